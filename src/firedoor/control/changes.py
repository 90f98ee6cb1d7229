"""Who changed what should be, when and why: what the ledger has of that, which never goes.

Changes that were kept before there was a ledger were values under ``change.NANOSECONDS-WHO``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from firedoor.events.bounded import bounded
from firedoor.events.happened import Happened, Kind
from firedoor.ports.streams import Streams
from firedoor.wire.change import Change
from firedoor.wire.flags import KILL

OLD_PREFIX = "change."
OLD_MAX = 10_000
SHOWN_MAX = 1_000
PAGE = 256
"""Entries that are looked through at once, from the newest on."""
PAGES_MAX = 100
_KINDS: tuple[tuple[str, Kind], ...] = (
    ("zone deployed", "deploy"),
    ("zone rolled back", "deploy"),
    ("zone shadow", "deploy"),
    ("zone", "order"),
    ("guard", "order"),
    ("flag", "flag"),
    ("kill", "flag"),
)
"""The kind of a change by how it begins; others are of rollouts."""


async def record(streams: Streams, change: Change) -> None:
    """Put a change into the ledger; it is durable when this returns, and kept for ever.

    The same change again, since the answer was lost, is not kept twice.

    Raises:
        LedgerFull: if there is no room for it.
        StreamsUnavailable: if the broker is away.
    """
    await streams.enter(_entry(change))


async def changes(streams: Streams, limit: int = 50, *, about: str = "") -> list[Change]:
    """Return the latest changes, the newest first, at most ``SHOWN_MAX``; of one thing if named.

    Looks through ``PAGE * PAGES_MAX`` acts at most.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    limit = min(limit, SHOWN_MAX)
    found: list[Change] = []
    until = await streams.last_place("acts") + 1
    for _ in range(PAGES_MAX):
        if until <= 1 or len(found) >= limit:
            break
        after, page = max(0, until - 1 - PAGE), list[Change]()
        async for entry in streams.entries("acts", after=after):
            if entry.place >= until:
                break
            change = change_of(entry.happened)
            if change is not None and about in {"", change.about}:
                page.append(change)
        found += reversed(page)
        until = after + 1
    return sorted(found, key=lambda change: change.at_s, reverse=True)[:limit]


async def bring_over(streams: Streams) -> int:
    """Put changes into the ledger that were kept before there was one; return how many.

    Raises:
        LedgerFull: if there is no room for them; those that are left stay where they are.
        StreamsUnavailable: if the broker is away. The next time goes on where this broke off.
    """
    count = 0
    for key in sorted(await streams.keys(OLD_PREFIX))[:OLD_MAX]:
        value = await streams.get(key)
        change = None if value is None else _old(value)
        if change is not None:
            await record(streams, change)
            count += 1
        await streams.forget(key)
    return count


def change_of(happened: Happened) -> Change | None:
    """Return the change that an entry is; None if it is something else."""
    if not happened.facts.get("change"):
        return None
    return Change(
        at_s=happened.at_s,
        by=happened.by,
        because=happened.because,
        what=happened.code.replace("_", " "),
        about=happened.about,
        before=happened.before,
        after=happened.after,
    )


def show_changes(found: Sequence[Change]) -> list[tuple[str, ...]]:
    """Return a row a change: who, what, about what, from what to what, why."""
    return [
        (
            change.by,
            change.what,
            change.about,
            f"{change.before or '-'} -> {change.after or '-'}",
            change.because,
        )
        for change in found
    ]


def _entry(change: Change) -> Happened:
    """Return a change as an entry of a process of its own, the same each time."""
    kinds = [kind for word, kind in _KINDS if change.what.startswith(word)]
    kind = kinds[0] if kinds else "rollout"
    happened = bounded(
        Happened(
            at_s=change.at_s,
            kind=kind,
            zone=_zone(change, kind),
            text=f"{change.what}: {change.about}",
            code=change.what.replace(" ", "_"),
            by=change.by,
            because=change.because,
            about=change.about,
            before=change.before,
            after=change.after,
            facts={"change": 1},
        )
    )
    digest = hashlib.sha256(msgspec.json.encode(happened)).hexdigest()[:24]
    return replace(happened, process=f"act-{digest}", sequence=1)


def _zone(change: Change, kind: Kind) -> str:
    """Return whose a change is: flags are of the pipeline, kill switches of a zone."""
    if kind != "flag":
        return change.about
    killed, _, _ = change.about.removeprefix(KILL).partition(".")
    return killed if change.about.startswith(KILL) else ""


def _old(value: bytes) -> Change | None:
    """Return the change that a value is; what another version wrote is left out."""
    try:
        return msgspec.json.decode(value, type=Change)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
