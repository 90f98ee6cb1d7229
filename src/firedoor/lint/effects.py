"""Rules about what is done twice, and about dead letters."""

from __future__ import annotations

from collections.abc import Iterator

from firedoor.lint.finding import Case, Finding, Said, Unjudged, rule
from firedoor.spec.plan import BATCH_MAX_BYTES
from firedoor.units import format_bytes

RETENTION_MIN_DAYS = 7.0


@rule("FD114", "a retry that repeats an effect")
def repeated(case: Case) -> Iterator[Said]:
    """Look for calls that must not be made twice. Every batch may be run again after a crash.

    Error: a dependency is declared with ``idempotent=False``. Warning: a sink is a function that
    never reads its ``key``, by which it could tell what is there already.
    Needs: for calls that a sink retries, ``idempotent``.
    """
    for zone in case.steps:
        for one in zone.depends:
            attempts = one.guard.attempts
            if one.idempotent is False:
                yield Finding(
                    severity="error",
                    zone=zone.name,
                    about=one.guard.name,
                    why=f"its calls are not idempotent, are tried up to {attempts} times, and "
                    "are made again when a batch comes again after a crash",
                    remedy="send the batch's key along and let the other side ignore one that it "
                    "has seen, then write idempotent=True; and leave retry= out until then",
                )
            elif one.idempotent is None and zone.kind == "sink" and attempts > 1:
                why = f"{one.guard.name} is declared without idempotent= (fd.Dependency)"
                yield Unjudged(zone=zone.name, why=why)
        if zone.sink is not None and zone.sink.keyed is False:
            yield Finding(
                severity="warning",
                zone=zone.name,
                about=zone.name,
                why="it never reads its key, so a batch that comes again after a crash has its "
                "effect twice",
                remedy="store the key with what is written, and ignore one that is there",
            )


@rule("FD115", "a hole under the dead letters")
def dead_letter_hole(case: Case) -> Iterator[Said]:
    """Look for dead letters that nobody will see in time. They stay until they are dealt with.

    Warning: records, by which they are traced, are kept for less than 7 days; ``dead_max=1``, so
    that a zone never halts, however many rows die; ``dead_bytes`` has no room for one batch of a
    step that is ``batchwise``, which dies whole.
    """
    days, room = case.plan.retention_days, case.plan.dead_bytes_max
    if days < RETENTION_MIN_DAYS:
        yield Finding(
            severity="warning",
            zone="",
            about="retention_days",
            why=f"retention_days={days:g}: after that a dead letter can be replayed, not traced",
            remedy=f"write retention_days={RETENTION_MIN_DAYS:g} or more",
        )
    for zone in case.plan.zones:
        if zone.gate.dead_max >= 1 and (zone.step is not None or zone.source is not None):
            yield Finding(
                severity="warning",
                zone=zone.name,
                about=zone.name,
                why=f"dead_max={zone.gate.dead_max:g}: every row may die, and the zone goes on",
                remedy="write dead_max=0.1, or what share is usual",
            )
        batch = zone.load.batch_bytes or BATCH_MAX_BYTES
        if zone.wall.get("batchwise") is True and room < batch:
            yield Finding(
                severity="warning",
                zone=zone.name,
                about=zone.name,
                why=f"a batch of up to {format_bytes(batch)} dies whole, and there is room for "
                f"{format_bytes(room)}: the zone would pause at the first",
                remedy=f'write dead_bytes="{format_bytes(10 * batch).replace(" ", "")}"',
            )
