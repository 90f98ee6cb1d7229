"""Gate C: whether a drill has shown that what made the last version go stays where it happens.

A replay shows that a successor does well what that one failed at. It says nothing of the next
version that fails so. A drill does: it has the service fail in the same way, and looks who is hurt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Shown = Literal["green", "red", "answered", "unclear"]
"""``green``: nobody was hurt who may not be. ``red``: somebody was. ``answered``: somebody was, for
which an owner answers until a day. ``unclear``: too little was seen."""

FAULTS = {
    "raised": "model_raise",
    "non_finite": "model_nan",
    "late": "model_slow",
    "hang": "model_hang",
    "memory": "model_memory",
    "died": "model_segfault",
}
"""The fault of the catalogue that stands for a way to fail, see ``wire.pack.kind_of``. Answers of
another shape than is declared have none: no drill makes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """What the last drill showed of a fault in a service; ``unclear`` only where none showed more.

    Else a drill that hit nothing would wipe out what one before it found.
    """

    fault: str
    shown: Shown
    at_s: float
    """When it was injected, seconds since 1970."""
    drill: str
    """Its name."""
    why: str = ""
    """Who was hurt, or was not seen; of green ones empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What drills say of a version that follows a rollback."""

    holds: bool = False
    """Whether it has to wait."""
    lacks: str = ""
    """What no drill has shown, in a sentence; empty: nothing is missing."""


def faults_of(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the faults that stand for ways to fail; ways for which none does are left out."""
    return tuple(sorted({FAULTS[kind] for kind in kinds if kind in FAULTS}))


def judge(
    faults: Sequence[str], drills: Iterable[Drilled], *, service: str, since_s: float, need: bool
) -> Proof:
    """Return whether drills have shown that faults stay in a service.

    The last drill of each fault counts. One before the rollback shows nothing of what was mended
    since; but where it found somebody hurt, nothing has shown that this is over.

    Args:
        faults: that stand for what the last version failed at.
        drills: the last one of each fault that was ever drilled in the service.
        service: its name.
        since_s: when the last version was rolled back.
        need: whether the version waits until all was shown.
    """
    last = {one.fault: one for one in drills}
    if not faults:
        lacks = "no drill can show that what the last version failed at stays in the service"
        return Proof(lacks=lacks)
    red = [last[fault] for fault in faults if fault in last and last[fault].shown == "red"]
    if red:
        told = "; ".join(f"{one.fault}: {one.why} (drill {one.drill})" for one in red)
        lacks = f"what the last version failed at hurts others, as a drill showed: {told}"
        return Proof(holds=True, lacks=f"{lacks}; mend that, then {_order(red[0].fault, service)}")
    open_ones = [fault for fault in faults if not _proves(last.get(fault), since_s)]
    if not open_ones:
        return Proof()
    told = ", ".join(_told(fault, last.get(fault)) for fault in open_ones)
    lacks = f"no drill since the rollback has shown that it stays in {service}: {told}"
    return Proof(holds=need, lacks=f"{lacks}; {_order(open_ones[0], service)}")


def _proves(found: Drilled | None, since_s: float) -> bool:
    """Return whether a drill shows what is wanted."""
    return found is not None and found.shown == "green" and found.at_s > since_s


def _told(fault: str, found: Drilled | None) -> str:
    """Say of a fault what there is."""
    if found is None:
        return f"{fault} was never drilled"
    if found.shown == "green":
        return f"{fault} was drilled before it"
    return f"{fault} does not show it ({found.why}; drill {found.drill})"


def _order(fault: str, service: str) -> str:
    """Return what to do."""
    return f"`firedoor drill run --fault {fault} --zone {service}`"
