"""The ledger: two streams, an entry a subject, so that none is kept twice.

The broker lets a zone write under subjects of its own name only: whose an entry is, and its
process and sequence, are read from there, and not from what it says.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import AsyncIterator

import msgspec
from msgspec.structs import replace

from firedoor.adapters.nats.answers import NO_STREAM, Refusal, StreamInfo
from firedoor.adapters.nats.asked import Absent
from firedoor.adapters.nats.configs import acts_config
from firedoor.adapters.nats.declaring import make_stream
from firedoor.adapters.nats.keeping import EXPECTED, Kept, look_up, messages, store
from firedoor.adapters.nats.link import Link
from firedoor.adapters.nats.naming import WHOLE, Names
from firedoor.errors import LedgerFull, StoreRefused, StreamsUnavailable
from firedoor.events.happened import Happened
from firedoor.events.kinds import Book, book_of
from firedoor.ports.streams import Entry

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")


async def enter(link: Link, names: Names, happened: Happened) -> bool:
    """Keep an entry. See ``ports.streams.Streams.enter``."""
    book = book_of(happened.kind)
    process = _UNFIT.sub("-", happened.process) or WHOLE
    zone = _UNFIT.sub("-", happened.zone) or WHOLE
    subject = names.entry(book, zone, process, str(happened.sequence))
    data, first = msgspec.json.encode(happened), {EXPECTED: "0"}
    try:
        try:
            return await store(
                link, subject, data, headers=first, full=LedgerFull, wait_for_it=False
            )
        except Absent:
            if book == "acts":  # the store is older than the ledger, and people act all the same
                await make_stream(link, acts_config(names))
            return await store(link, subject, data, headers=first, full=LedgerFull)
    except LedgerFull as full:
        message = (
            f"the ledger has no room for what people do ({full}): "
            f"`nats stream edit {names.book(book)}` raises its bound"
        )
        raise LedgerFull(message) from full


async def entries(
    link: Link, names: Names, book: Book, *, after: int, since_s: float, zone: str | None
) -> AsyncIterator[Entry]:
    """Go through a book. See ``ports.streams.Streams.entries``."""
    stream, whose = names.book(book), "*" if zone is None else zone or WHOLE
    subjects = names.entry(book, whose, "*", "*")
    begins: dict[str, object] = {"seq": after + 1}
    if since_s > 0:
        begins = {"start_time": dt.datetime.fromtimestamp(since_s, dt.UTC).isoformat()}
    try:
        body = begins | {"next_by_subj": subjects}
        first = await look_up(link, stream, body, wait_for_it=False)
    except Absent as absent:
        if not link.clustered:
            return  # the store is older than the ledger
        message = f"the ledger has no leader now: {absent}"
        raise StreamsUnavailable(message) from absent
    if first is None:
        return
    seq = max(after + 1, first.seq)
    async for kept in messages(link, stream, subjects, seq=seq):
        happened = _read(kept)
        if happened is not None:
            yield Entry(kept.seq, happened)


async def last_place(link: Link, names: Names, book: Book) -> int:
    """Return the place of the last entry. See ``ports.streams.Streams.last_place``."""
    try:
        info = await link.api(f"STREAM.INFO.{names.book(book)}", answer=StreamInfo)
    except Refusal as refusal:
        if refusal.fault.err_code == NO_STREAM:
            return 0
        message = f"{refusal}: is the pipeline declared in this store?"
        raise StoreRefused(message) from refusal
    return info.state.last_seq


def _read(kept: Kept) -> Happened | None:
    """Return the entry that a message is; None: another version of firedoor wrote it."""
    try:
        happened = msgspec.json.decode(kept.data, type=Happened)
        zone, process, sequence = kept.subject.split(".")[-3:]
        return replace(
            happened,
            zone="" if zone == WHOLE else zone,
            process=process,
            sequence=int(sequence),
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return None
