"""Dead letters: rows in the payload, what is known of them in a header, to be listed alone."""

from __future__ import annotations

import base64
import zlib
from collections.abc import AsyncIterator

import msgspec

from firedoor.adapters.nats.answers import NOT_FOUND, Done, Message, consumed, status_of
from firedoor.adapters.nats.asked import Again
from firedoor.adapters.nats.keeping import (
    MESSAGE_MAX,
    message_of,
    next_message,
    store,
    store_once,
)
from firedoor.adapters.nats.link import Link
from firedoor.adapters.nats.naming import API, Names
from firedoor.errors import DeadLettersFull
from firedoor.units import format_bytes
from firedoor.wire.envelope import Damaged, checksum
from firedoor.wire.records import DeadEntry

ENTRY = "Fd-Entry"
IN_FRONT = "Fd-Entry-Bytes"
"""Where the entry does not fit into a header: its length, and it stands before the rows."""
HEADER_MAX = 48 * 2**10
"""The broker takes 64 KiB of headers."""
PAGE = 128
NANOS = 1_000_000_000
IDLE_S = 30


async def bury(link: Link, names: Names, entry: DeadEntry, payload: bytes) -> bool:
    """Keep dead rows. See ``ports.streams.Streams.bury``."""
    headers, body = _pack(entry, payload)
    subject = names.letter(entry.zone, entry.batch)
    try:
        return await store_once(link, subject, body, headers=headers, full=DeadLettersFull)
    except DeadLettersFull as error:
        raise _full(entry, len(body)) from error


async def rebury(link: Link, names: Names, entry: DeadEntry, payload: bytes) -> None:
    """Replace an entry, or remove it if no rows are left."""
    subject = names.letter(entry.zone, entry.batch)
    if entry.rows == 0:
        verb = f"STREAM.PURGE.{names.dead}"
        await link.api(verb, {"filter": subject}, answer=Done, patience_s=link.write_s)
        return
    headers, body = _pack(entry, payload)
    try:
        await store(link, subject, body, headers=headers, full=DeadLettersFull)
    except DeadLettersFull as error:
        raise _full(entry, len(body)) from error


async def dead(link: Link, names: Names, subjects: str) -> AsyncIterator[DeadEntry]:
    """Go through entries as they were buried, a page at a time, without their rows.

    In a cluster a page may come from a copy that lags behind: the leader is asked for what follows.
    """
    seq = 1
    while True:
        page = await _page(link, names, subjects, seq)
        for message in page:
            seq = consumed(message).seq + 1
            headers = message.headers or {}
            if ENTRY in headers:
                yield _entry_of(headers, b"")
                continue
            whole = await message_of(link, names.dead, message.subject)
            if whole is not None:  # it was replayed meanwhile, otherwise
                yield _entry_of(whole.headers, whole.data)
        if page:
            continue
        last = await next_message(link, names.dead, subjects, seq) if link.clustered else None
        if last is None:
            return
        seq = last.seq + 1
        yield _entry_of(last.headers, last.data)


async def dead_rows(
    link: Link, names: Names, zone: str, batch: str
) -> tuple[DeadEntry, bytes] | None:
    """Return one entry with its payload.

    Raises:
        Damaged: if the payload is not what was buried.
    """
    found = await message_of(link, names.dead, names.letter(zone, batch))
    if found is None:
        return None
    entry = _entry_of(found.headers, found.data)
    rows = found.data[int(found.headers.get(IN_FRONT, 0)) :]
    if checksum(rows) != entry.crc32:
        message = f"the dead rows of batch {batch} in zone {zone} are not the ones that were buried"
        raise Damaged(message)
    return entry, rows


def _pack(entry: DeadEntry, payload: bytes) -> tuple[dict[str, str], bytes]:
    """Return headers and payload of an entry."""
    text = msgspec.json.encode(entry)
    header = base64.b64encode(zlib.compress(text, 1)).decode("ascii")
    if len(header) <= HEADER_MAX:
        return {ENTRY: header}, payload
    return {IN_FRONT: str(len(text))}, text + payload


def _entry_of(headers: dict[str, str], data: bytes) -> DeadEntry:
    """Return the entry of a message."""
    try:
        if ENTRY in headers:
            text = zlib.decompress(base64.b64decode(headers[ENTRY]))
        else:
            text = data[: int(headers[IN_FRONT])]
        return msgspec.json.decode(text, type=DeadEntry)
    except (KeyError, ValueError, zlib.error, msgspec.DecodeError) as error:
        message = f"an entry of dead letters cannot be read: {error}"
        raise Damaged(message) from error


def _full(entry: DeadEntry, size: int) -> DeadLettersFull:
    """Return the error that says why there is no room, and what to do."""
    what = f"{entry.rows} dead rows of batch {entry.batch} in zone {entry.zone}"
    if size > MESSAGE_MAX:
        most = format_bytes(MESSAGE_MAX)
        message = f"{what} take {format_bytes(size)}, at most {most} fit: lower batch_rows="
        return DeadLettersFull(message)
    message = (
        f"there is no room for {what} ({format_bytes(size)}): replay or discard some by "
        "firedoor dlq, or raise dead_bytes= of the pipeline"
    )
    return DeadLettersFull(message)


async def _page(link: Link, names: Names, subjects: str, seq: int) -> list[Message]:
    """Return the next messages from a number on, without their payloads.

    Only consumers leave payloads out. One serves a page; the broker forgets it by itself if it is
    not deleted.
    """
    config = {
        "ack_policy": "none",
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": seq,
        "filter_subject": subjects,
        "headers_only": True,
        "mem_storage": True,
        "inactive_threshold": IDLE_S * NANOS,
    }

    async def once(left_s: float) -> list[Message]:
        # Another one each time: the server that was to have the last one may be gone.
        name = f"list-{link.unique()}"
        body = {"stream_name": names.dead, "config": {"name": name, **config}}
        verb = f"CONSUMER.CREATE.{names.dead}.{name}"
        await link.api(verb, body, answer=Done, patience_s=left_s)
        consumer = f"{names.dead}.{name}"
        asked = link.expect(f"{API}.CONSUMER.MSG.NEXT.{consumer}", consumer=consumer)
        found: list[Message] = []
        try:
            await link.send(asked, msgspec.json.encode({"batch": PAGE, "no_wait": True}))
            while len(found) < PAGE:
                answer = await asked.next(left_s)
                if status_of(answer) == NOT_FOUND:
                    break
                if status_of(answer):
                    message = f"the broker answers {status_of(answer)}"
                    raise Again(message)
                found.append(answer)
        finally:
            link.forget(asked)
        await link.api(f"CONSUMER.DELETE.{consumer}", answer=Done, patience_s=left_s)
        return found

    return await link.patiently(once, patience_s=link.read_s)
