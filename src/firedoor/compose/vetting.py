"""The rules of ``firedoor check`` on a plan, on this machine and this day."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from firedoor.lint.judging import Judgement, judge
from firedoor.spec.plan import Plan


def vet(plan: Plan, utc_s: float) -> Judgement:
    """Return what the rules say of a plan.

    Args:
        plan: the pipeline.
        utc_s: seconds since 1970, UTC; decides which exemptions hold.
    """
    named = {zone.runbook for zone in plan.zones if zone.runbook and "://" not in zone.runbook}
    absent = frozenset(path for path in named if not Path(path).is_file())
    return judge(plan, today=datetime.fromtimestamp(utc_s, UTC).date(), absent=absent)


def counted(number: int, what: str) -> str:
    """Return a number of things in words.

    >>> counted(1, "error"), counted(0, "error")
    ('1 error', '0 errors')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
