"""Who changed what should be, when and why: one value a change, kept as long as records are.

Keys are ``change.NANOSECONDS-WHO``, so that their order is that of the changes, and two people who
change something at the same moment have one each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from firedoor.errors import StreamsUnavailable, shorten
from firedoor.ports.streams import Streams
from firedoor.wire.change import Change

PREFIX = "change."
TEXT_MAX = 1_000
"""Characters of each text of a change that are kept."""
KEPT_MAX = 10_000
"""Changes that are kept at most, whatever the retention is."""
PRUNED_MAX = 1_000
"""Changes that are removed at once; the rest is, the next time."""
SHOWN_MAX = 1_000
WHO_MAX = 40
NANOS = 10**9
DAY_S = 86_400.0
TRIES_MAX = 1_000
_DIGITS = 19


async def record(streams: Streams, change: Change) -> str:
    """Keep a change; return its key. It is durable when this returns.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    kept = replace(
        change,
        because=shorten(change.because, TEXT_MAX),
        about=shorten(change.about, TEXT_MAX),
        before=shorten(change.before, TEXT_MAX),
        after=shorten(change.after, TEXT_MAX),
    )
    value = msgspec.json.encode(kept)
    for number in range(TRIES_MAX):
        key = _key(change.at_s, change.by, number)
        if await streams.swap(key, value, None):
            return key
    message = f"{change.by} makes more changes at once than can be told apart: try again"
    raise StreamsUnavailable(message)


async def changes(streams: Streams, limit: int = 50, *, about: str = "") -> list[Change]:
    """Return the latest changes, the newest first, at most ``SHOWN_MAX``; of one thing if named.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    found: list[Change] = []
    for key in sorted(await streams.keys(PREFIX), reverse=True):
        if len(found) >= min(limit, SHOWN_MAX):
            break
        change = _read(await streams.get(key))
        if change is not None and about in {"", change.about}:
            found.append(change)
    return found


async def prune(streams: Streams, *, retention_days: float, now_s: float) -> int:
    """Remove changes past retention, or beyond ``KEPT_MAX``; return how many.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    keys = sorted(await streams.keys(PREFIX))
    before = _key(max(0.0, now_s - retention_days * DAY_S), "", 0)
    old = [key for place, key in enumerate(keys) if key < before or place < len(keys) - KEPT_MAX]
    for key in old[:PRUNED_MAX]:
        await streams.forget(key)
    return len(old[:PRUNED_MAX])


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


def _key(at_s: float, who: str, number: int) -> str:
    """Return the key of a change; ``number`` tells those of one moment apart."""
    plain = re.sub(r"[^a-z0-9_]+", "-", who.lower())[:WHO_MAX]
    return f"{PREFIX}{int(at_s * NANOS) + number:0{_DIGITS}d}-{plain}"


def _read(value: bytes | None) -> Change | None:
    """Return the change that a value is; what another version wrote is left out."""
    try:
        return None if value is None else msgspec.json.decode(value, type=Change)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
