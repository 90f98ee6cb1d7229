"""The prediction log: chunks of records, and in a header what is known without reading them."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator

import msgspec

from firedoor.adapters.nats.asked import Absent
from firedoor.adapters.nats.keeping import Kept, look_up, messages, store
from firedoor.adapters.nats.link import Link
from firedoor.adapters.nats.naming import Names
from firedoor.errors import StoreRefused
from firedoor.wire.prediction import Chunk

NOTE = "Fd-Chunk"
MESSAGE_ID = "Nats-Msg-Id"
PAGE = 16
"""Chunks that are read at once: they are far larger than records."""


class _Note(msgspec.Struct, frozen=True):
    """What a chunk's header says."""

    id: str
    first_s: float
    last_s: float
    records: int
    labels: int


async def append(link: Link, names: Names, chunk: Chunk) -> bool:
    """Keep a chunk. See ``ports.streams.Streams.log_predictions``."""
    noted = _Note(chunk.id, chunk.first_s, chunk.last_s, chunk.records, chunk.labels)
    note = msgspec.json.encode(noted)
    headers = {NOTE: note.decode("ascii"), MESSAGE_ID: chunk.id}
    subject = names.prediction(chunk.service)
    try:
        return await store(
            link,
            subject,
            chunk.payload,
            headers=headers,
            patience_s=link.read_s,  # whoever logs tries again, and nobody waits for it
            wait_for_it=False,
        )
    except Absent as absent:
        raise StoreRefused(_nowhere(names)) from absent


async def read(
    link: Link, names: Names, since_s: float, service: str | None
) -> AsyncIterator[Chunk]:
    """Go through chunks. See ``ports.streams.Streams.predictions``."""
    subjects = names.prediction("*" if service is None else service)
    start = dt.datetime.fromtimestamp(max(since_s, 0.0), dt.UTC).isoformat()
    try:
        body = {"start_time": start, "next_by_subj": subjects}
        first = await look_up(link, names.predictions, body, wait_for_it=False)
    except Absent as absent:
        raise StoreRefused(_nowhere(names)) from absent
    if first is None:
        return
    found = messages(link, names.predictions, subjects, page_size=PAGE, seq=first.seq)
    async for kept in found:
        yield _chunk_of(kept)


def _chunk_of(kept: Kept) -> Chunk:
    """Return the chunk in a message."""
    service = kept.subject.rpartition(".")[2]
    note = msgspec.json.decode(kept.headers[NOTE], type=_Note)
    return Chunk(note.id, service, note.first_s, note.last_s, note.records, note.labels, kept.data)


def _nowhere(names: Names) -> str:
    """Say that nothing keeps predictions there."""
    return (
        f"no service of {names.pipeline} keeps predictions in this store: `firedoor serve` "
        "declares what does"
    )
