"""An entry of the ledger: one thing that happened, in words and in fields."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal[
    "zone.state", "zone.note", "process.began", "process.died", "worker.died", "batch.trouble",
    "dead_letters", "edge", "breaker", "shed", "degraded", "model", "job", "rollout", "flag",
    "order", "deploy", "lookup", "broker", "control", "alert", "drill", "drill.not_recovered",
    "fault", "gap",
]  # fmt: skip
"""``edge``: cut or joined again. ``order``: what a person wants of a zone. ``alert``: an objective
is at risk, or no more. ``gap``: entries of a process that were lost, with their number.
``firedoor.events.kinds`` says what each is, and how long it is kept."""

TEXT_MAX = 2_000
"""Characters of each text."""


class Happened(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened. ``process`` and ``sequence`` are stamped by the journal."""

    at_s: float
    kind: Kind
    zone: str = ""
    """Whose it is: a zone or a service; empty: the pipeline's as a whole."""
    text: str
    """A sentence for a person."""
    code: str = ""
    """The same for a program: ``halted``, ``crash``, ``rolled_back`` ..."""
    cause: str = ""
    """Whose fault it is, as in ``events.work``: empty: the zone's own, or nobody's."""
    by: str = ""
    """Who, where a person did it, or somebody in their name."""
    because: str = ""
    about: str = ""
    """``kill.predict.candidate``, ``delays@3``, ``flights-000123``."""
    before: str = ""
    after: str = ""
    trace: str = ""
    """Trace id, 32 hexadecimal digits."""
    facts: dict[str, str | int | float] = {}
    """What a program may want besides."""
    process: str = ""
    """``host-pid-boot`` of who wrote it."""
    sequence: int = 0
    """From 1, without gaps, for each process."""
