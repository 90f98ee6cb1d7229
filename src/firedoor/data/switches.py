"""Which kill switches are thrown for a zone, and what each has it do. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from firedoor.spec.plan import ZonePlan
from firedoor.wire.flags import Flag, Flags, killed, needs_confirmation, tell_kill
from firedoor.wire.records import GuardOrder

EVERY_GUARD = "*"
"""Of an order that is for all guards of a zone's step."""


@dataclass(frozen=True, slots=True)
class Thrown:
    """What is killed of a zone."""

    hold: str = ""
    """Why it takes no more: who, what, why; empty: it does."""
    by_switch: str = ""
    """By which switch, ``ingest`` or ``model``."""
    guards: tuple[GuardOrder, ...] = ()
    """What all guards of its step are told besides."""
    told: tuple[str, ...] = ()
    """A sentence a switch, for people, and whether somebody is to look at it again."""
    noted: tuple[str, ...] = ()
    """A sentence a switch that does not hold the zone."""


def thrown(flags: Flags, zone: ZonePlan, *, now_s: float) -> Thrown:
    """Return what is killed of a zone.

    ``ingest`` holds it as a pause does; so does ``model``, if it uses one. With ``retry`` its
    guards make one attempt.
    """
    hold = by_switch = ""
    guards: list[GuardOrder] = []
    told: list[str] = []
    noted: list[str] = []
    wanted = {"ingest": True, "model": bool(zone.models), "retry": bool(zone.depends)}
    for capability, has in wanted.items():
        flag = killed(flags, zone.name, capability)
        if flag is None or not has:
            continue
        sentence = tell_kill(flag, capability)
        told.append(f"{sentence}{_due(flag, now_s)}")
        if capability == "retry":
            guards.append(_once(flag))
            noted.append(sentence)
        elif not hold:
            hold, by_switch = sentence, capability
    return Thrown(hold, by_switch, tuple(guards), tuple(told), tuple(noted))


def _once(flag: Flag) -> GuardOrder:
    """Return what has guards make one attempt for as long as it comes with batches."""
    return GuardOrder(
        guard=EVERY_GUARD,
        want="once",
        number=0,
        because=flag.because,
        by=flag.by,
        at_s=flag.at_s,
    )


def _due(flag: Flag, now_s: float) -> str:
    """Say that somebody is to look at a switch again, if that is due."""
    return " (needs confirmation)" if needs_confirmation(flag, now_s) else ""
