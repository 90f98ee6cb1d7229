"""Entries for the ledger about processes: that one began, that one died."""

from __future__ import annotations

import os

from firedoor.events.happened import Happened


def began(what: str, at_s: float) -> Happened:
    """Return the entry that says that this process began."""
    pid = os.getpid()
    return Happened(
        at_s=at_s, kind="process.began", code="began", about=what, facts={"pid": pid},
        text=f"{what} began (process {pid})",
    )  # fmt: skip


def died(
    what: str,
    how: str,
    *,
    at_s: float,
    zone: str = "",
    pid: int = 0,
    deaths: int = 0,
    looping: bool = False,
    said: str = "",
) -> Happened:
    """Return the entry that says that a process died, or could not be started.

    Args:
        what: which: ``zone enrich``, ``gateway 1``.
        how: it ended, in words.
        at_s: when that was noticed.
        zone: whose it is.
        pid: its process id; 0: it had none.
        deaths: of this kind so far, this one included.
        looping: whether they die again and again.
        said: the last that it printed.
    """
    told = f"{what}: process {pid} {how}" if pid else f"{what}: {how}"
    facts: dict[str, str | int | float] = {"pid": pid, "deaths": deaths, "times": 1}
    if said:
        facts["said"] = said
    return Happened(
        at_s=at_s, kind="process.died", zone=zone, code="crash_loop" if looping else "died",
        about=what, text=told + (", again and again" if looping else ""), facts=facts,
    )  # fmt: skip
