"""Which records of runs are old enough to go. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from firedoor.flow.triggers import INTERRUPTED
from firedoor.wire.run import RunRecord

RUNS_KEPT = 100
"""Of each job, the latest."""


def number_of(run: str) -> int:
    """Return the number of a run.

    >>> number_of("train-3")
    3
    """
    return int(run.rpartition("-")[2])


def old_runs(records: Sequence[RunRecord], keep: int, referred: frozenset[str]) -> list[str]:
    """Return the runs of one job that nothing needs.

    Args:
        records: all of them.
        keep: how many of the latest stay, at least 1: numbers are not given twice.
        referred: those that a version of a model refers to.
    """
    latest = sorted(records, key=lambda record: number_of(record.id), reverse=True)
    begun = [one for one in latest if one.because and one.because.trigger != "drill"]
    whole = [record for record in begun if record.outcome not in INTERRUPTED]
    # How far its trigger has come is read from the latest that it began.
    needed = {record.id for record in (*latest[: max(1, keep)], *begun[:1], *whole[:1])}
    return [
        record.id
        for record in latest
        if record.id not in needed | referred and record.outcome != "running"
    ]
