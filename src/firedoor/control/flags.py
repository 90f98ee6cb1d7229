"""Change the table of flags: by compare-and-set, with who, why and when, and a note of each change.

``edit`` is pure, and the same for the broker's table and for the file that stands in for it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec.structs import replace

from firedoor.bounds import within
from firedoor.control.changes import changes, record
from firedoor.errors import DeclarationError, NotKnown, StoreRefused, StreamsUnavailable, shorten
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan
from firedoor.wire.change import Change
from firedoor.wire.flags import KILL, Flag, Flags, Offline, Value, decode_flags, encode_flags, merge

KEY = "flags"
FLAGS_MAX = 1_000
TEXT_MAX = 1_000
"""Characters of a value that is a text, and of a reason."""
CONFIRM_S = 86_400.0
"""After which somebody is to say again that a kill switch is wanted."""
TRIES_MAX = 100
LATEST = 20
"""Changes of a flag among which one that was made offline is looked for."""
SAFE_WHOLE = 2**53
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,119}")
Verb = Literal["set", "unset", "confirm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One change that somebody wants of the table."""

    verb: Verb
    name: str
    by: str
    because: str
    at_s: float
    value: Value = True
    share: float = 1.0
    confirm_after_s: float | None = None
    """After which a person is to look again; None: never, or, of ``confirm``, after a day."""

    def __post_init__(self) -> None:
        """Refuse what cannot be kept, naming field, value and remedy."""
        if not _NAME.fullmatch(self.name):
            why = "cannot name a flag"
            remedy = "use letters, digits, dots, _ and -, a letter or digit first, at most 120"
            raise DeclarationError("name", self.name, why, remedy)
        if not self.because.strip():
            why = "says nothing"
            raise DeclarationError("because", self.because, why, "say why: others will read it")
        within("share", self.share, 0, 1, "as a share of the subjects")
        if self.confirm_after_s is not None:
            within("confirm_after_s", self.confirm_after_s, 1, 365 * CONFIRM_S, "seconds")
        if isinstance(self.value, str) and len(self.value) > TEXT_MAX:
            remedy = "keep long texts elsewhere, and name them here"
            why = f"has more than {TEXT_MAX} characters"
            raise DeclarationError("value", self.value, why, remedy)
        if type(self.value) is int and abs(self.value) > SAFE_WHOLE:
            why = "is a whole number that JSON readers round"
            raise DeclarationError("value", self.value, why, "write it as a text")
        if type(self.value) is float and not abs(self.value) < float("inf"):
            why = "is no number"
            raise DeclarationError("value", self.value, why, "give a finite one")


def switches(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return what can be killed, by service and zone."""
    found: dict[str, tuple[str, ...]] = {}
    for service in plan.services:
        groups = tuple(f"features.{group.name}" for group in service.features)
        features = ("features", *groups) if groups else ()
        found[service.name] = ("route", "candidate", "model", "mirror", "retry", *features, "log")
    for zone in plan.zones:
        retry = ("retry",) if zone.depends else ()
        found[zone.name] = ("ingest", *retry, *(("model",) if zone.models else ()))
    return found


def known_switch(plan: Plan, target: str) -> str:
    """Return the name of the flag that kills ``ZONE.CAPABILITY``.

    Raises:
        NotKnown: if there is no such zone or service, or nothing like it that can be killed there.
    """
    there = switches(plan)
    zone, _, capability = target.removeprefix(KILL).partition(".")
    if zone not in there:
        listed = ", ".join(there)
        message = f"{plan.pipeline} has no zone or service {zone!r}: it has {listed}"
        raise NotKnown(message)
    if capability not in there[zone]:
        listed = ", ".join(f"{zone}.{one}" for one in there[zone])
        message = f"{zone} has nothing called {capability!r} that can be killed: it has {listed}"
        raise NotKnown(message)
    return f"{KILL}{zone}.{capability}"


def edit(table: Flags, wanted: Wanted) -> tuple[Flags, Change]:
    """Return the table after a change, and the change.

    Raises:
        NotKnown: if the flag is not there, and has to be.
        StoreRefused: if there are too many.
    """
    before, flags = table.flags.get(wanted.name), dict(table.flags)
    if before is None and wanted.verb != "set":
        message = f"there is no flag {wanted.name!r} to {wanted.verb}: {_listed(table)}"
        raise NotKnown(message)
    because = shorten(" ".join(wanted.because.split()), TEXT_MAX)
    after: Flag | None = None
    if wanted.verb == "set":
        due = wanted.confirm_after_s
        after = Flag(
            value=wanted.value,
            share=wanted.share,
            by=wanted.by,
            because=because,
            at_s=wanted.at_s,
            confirm_s=None if due is None else wanted.at_s + due,
        )
    elif wanted.verb == "confirm":
        assert before is not None, "refused above"
        due_s = wanted.at_s + (wanted.confirm_after_s or CONFIRM_S)
        after = replace(before, at_s=wanted.at_s, confirm_s=due_s)
    if after is None:
        del flags[wanted.name]
    else:
        flags[wanted.name] = after
    if len(flags) > FLAGS_MAX:
        message = f"there are {FLAGS_MAX} flags already: unset those that nobody reads any more"
        raise StoreRefused(message)
    change = Change(
        at_s=wanted.at_s,
        by=wanted.by,
        because=because,
        what=_what(wanted),
        about=wanted.name,
        before=tell_flag(before),
        after=tell_flag(after),
    )
    return replace(table, generation=table.generation + 1, flags=flags), change


def edit_offline(table: Flags, wanted: Wanted) -> tuple[Flags, Change]:
    """Return the table after a change that the broker is to be told of later, and the change.

    Raises:
        NotKnown, StoreRefused: as ``edit``.
    """
    after, change = edit(table, wanted)
    note = Offline(at_s=change.at_s, by=change.by, because=change.because)
    return replace(after, offline=table.offline | {wanted.name: note}), change


async def read_flags(streams: Streams) -> Flags:
    """Return the broker's table; what cannot be read is none.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    return _decode(await streams.get(KEY))


async def change_flags(streams: Streams, wanted: Wanted) -> tuple[Flags, Change]:
    """Change the broker's table, and record the change; return both.

    Raises:
        NotKnown, StoreRefused: as ``edit``.
        StreamsUnavailable: if the broker is away; the change may have been made.
    """
    for _ in range(TRIES_MAX):
        seen = await streams.get(KEY)
        after, change = edit(_decode(seen), wanted)
        if await streams.swap(KEY, encode_flags(after), seen):
            await record(streams, change)
            return after, change
    raise StreamsUnavailable(_CONTENDED)


async def merge_back(streams: Streams, kept: Flags) -> tuple[Flags, tuple[Change, ...]]:
    """Lay over the broker's table what was changed while it was away, and record it.

    A broker that has none, since its store is new, gets the whole table that is kept here. Return
    the table that holds, with nothing marked any more, and what was recorded. Where it broke off it
    is called again: nothing is recorded twice.

    Raises:
        StreamsUnavailable: if the broker is away (again).
    """
    for _ in range(TRIES_MAX):
        seen = await streams.get(KEY)
        told = _decode(seen)
        merged = kept if seen is None and kept.generation else merge(kept, told)
        after = told if merged is told else replace(merged, offline={})
        if after is told or await streams.swap(KEY, encode_flags(after), seen):
            return after, tuple([change async for change in _record_offline(streams, kept, told)])
    raise StreamsUnavailable(_CONTENDED)


async def _record_offline(streams: Streams, kept: Flags, told: Flags) -> AsyncIterator[Change]:
    """Record what was changed offline and is in no log yet; go through that.

    A change that the broker took, and whose note it did not, was made offline as well.
    """
    for name, note in kept.offline.items():
        mine, before = kept.flags.get(name), told.flags.get(name)
        if before is not None and before != mine and before.at_s > note.at_s:
            continue  # somebody has decided later
        latest = await changes(streams, LATEST, about=name)
        if any(change.at_s == note.at_s and change.by == note.by for change in latest):
            continue
        change = Change(
            at_s=note.at_s,
            by=note.by,
            because=note.because,
            what="flag changed while the broker was away",
            about=name,
            before=tell_flag(before),
            after=tell_flag(mine),
        )
        await record(streams, change)
        yield change


def tell_flag(flag: Flag | None) -> str:
    """Return a flag in a few words: ``true for 10 % of the subjects``; empty for none."""
    if flag is None:
        return ""
    value = msgspec.json.encode(flag.value).decode()
    share = "" if flag.share == 1 else f" for {100 * flag.share:g} % of the subjects"
    return f"{value}{share}"


_CONTENDED = "the table of flags is changed by others all the time: try again"


def _decode(value: bytes | None) -> Flags:
    """Return the table in a value.

    Raises:
        StoreRefused: if it is none: nothing is thrown away for a change.
    """
    table = Flags() if not value else decode_flags(value)
    if table is None:
        message = "the table of flags was written by another version of firedoor: use that one"
        raise StoreRefused(message)
    return table


def _what(wanted: Wanted) -> str:
    """Return a change in two words."""
    if not wanted.name.startswith(KILL):
        return f"flag {wanted.verb}" + ("ed" if wanted.verb == "confirm" else "")
    if wanted.verb == "confirm":
        return "kill confirmed"
    return "killed" if wanted.verb == "set" and wanted.value is True else "kill lifted"


def _listed(table: Flags) -> str:
    """Say which flags there are."""
    names = ", ".join(sorted(table.flags)[:20])
    return f"there are {names}" if names else "there are none"
