"""Messages kept under subjects of their own: records, attempts, values, beats.

In a cluster any server that has a copy of a stream answers direct reads, with what it has: 11 of
300 messages were not found that way just after they were stored. What a decision hangs on is read
from the stream's leader there. A server by itself is its leader.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import msgspec

from firedoor.adapters.nats.answers import (
    FULL,
    NO_MESSAGE,
    NO_STREAM,
    NOT_FOUND,
    TAKEN,
    Fault,
    Message,
    Stored,
    passes,
    status_of,
)
from firedoor.adapters.nats.asked import Absent, Again, NotYet
from firedoor.adapters.nats.configs import PAYLOAD_BYTES
from firedoor.adapters.nats.link import ASK_S, Link
from firedoor.adapters.nats.naming import API
from firedoor.errors import Full, StoreRefused, StreamsUnavailable

PAGE = 256
"""Messages that are read at once."""
EXPECTED = "Nats-Expected-Last-Subject-Sequence"
MESSAGE_ID = "Nats-Msg-Id"
THERE = "maximum messages per subject exceeded"
"""The store's answer to a second message of a subject that holds one."""
MESSAGE_MAX = PAYLOAD_BYTES - 2**16
"""Bytes of a payload, beside which its headers have room."""
NO_SPACE = "no space left"


@dataclass(frozen=True, slots=True)
class Kept:
    """One message of a stream."""

    subject: str
    seq: int
    data: bytes
    headers: dict[str, str]


def kept(message: Message) -> Kept | None:
    """Return the message that was read; None if there is none."""
    if status_of(message) == NOT_FOUND:
        return None
    if status := status_of(message):
        text = f"the broker answers {status}"
        raise Again(text)
    headers = message.headers or {}
    seq = int(headers["Nats-Sequence"])
    return Kept(headers["Nats-Subject"], seq, message.data, headers)


class _Found(msgspec.Struct, frozen=True):
    """A message in a leader's answer; bytes are base64 there."""

    subject: str
    seq: int
    hdrs: bytes = b""
    data: bytes = b""


class _Told(msgspec.Struct, frozen=True):
    """A leader's answer."""

    error: Fault | None = None
    message: _Found | None = None


def _told(message: Message, *, wait_for_it: bool) -> Kept | None:
    """Return the message that a leader read; None if there is none."""
    told = msgspec.json.decode(message.data, type=_Told)
    found = told.message
    if found is not None:
        return Kept(found.subject, found.seq, found.data, _headers(found.hdrs))
    if told.error is not None and told.error.err_code in NO_MESSAGE:
        return None
    if not wait_for_it and told.error is not None and told.error.err_code == NO_STREAM:
        raise Absent(told.error.description)
    text = "no message" if told.error is None else told.error.description
    raise Again(text)


def _headers(raw: bytes) -> dict[str, str]:
    r"""Return headers as they are on the wire, ``NATS/1.0`` before them.

    >>> _headers(b"NATS/1.0\r\nNats-Msg-Id: a:1\r\n\r\n")
    {'Nats-Msg-Id': 'a:1'}
    """
    lines = raw.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


async def store(
    link: Link,
    subject: str,
    payload: bytes,
    *,
    headers: dict[str, str] | None = None,
    full: type[Full] | None = None,
    patience_s: float | None = None,
    wait_for_it: bool = True,
) -> bool:
    """Store a message durably. False: it is there already.

    ``full`` is what to raise when there is no room; ``patience_s`` None means as long as for what
    writes; with ``wait_for_it`` a stream that is not there is waited for.

    Raises:
        Full: as ``full`` says.
        Absent: if there is no such stream, and it is not waited for.
        StreamsUnavailable: if the broker is away.
        StoreRefused: if it refuses for another reason.
    """
    if len(payload) > MESSAGE_MAX:  # the broker would end the connection
        text = f"{subject} does not fit: {len(payload)} bytes, at most {MESSAGE_MAX} do"
        raise StoreRefused(text) if full is None else full(text)

    def read(message: Message) -> bool:
        stored = msgspec.json.decode(message.data, type=Stored)
        fault = stored.error
        if fault is None:
            return not stored.duplicate
        said = fault.description
        if fault.err_code == TAKEN or said == THERE:
            return False
        if passes(fault):
            raise NotYet(said)
        if NO_SPACE in said:
            raise Again(said)
        if fault.err_code == FULL and said.startswith("maximum") and full is not None:
            text = f"{subject} does not fit: {said}"
            raise full(text)
        text = f"the broker refuses {subject}: {said} ({fault.err_code})"
        raise StoreRefused(text)

    return await link.ask(
        subject,
        payload,
        headers=headers,
        read=read,
        patience_s=link.write_s if patience_s is None else patience_s,
        wait_for_it=wait_for_it,
    )


async def store_once(
    link: Link,
    subject: str,
    payload: bytes,
    *,
    headers: dict[str, str] | None = None,
    full: type[Full] | None = None,
) -> bool:
    """Store the first message of a subject; False, if there is one already, which stays."""
    guarded = {EXPECTED: "0"} | (headers or {})
    return await store(link, subject, payload, headers=guarded, full=full)


async def store_next(link: Link, stream: str, subject: str, payload: bytes, *, after: int) -> bool:
    """Store a message, if the last of its subject is still number ``after``; 0: there is none.

    Sent again, since the answer was lost, it may find itself there, and is refused before its id is
    looked at: the id of what is there then says whose that is.

    Raises:
        StreamsUnavailable: if the broker is away, or it was sent again and another is there now,
            which may have followed this one.
        StoreRefused: if it does not fit, or the broker refuses it for another reason.
    """
    headers = {EXPECTED: str(after), MESSAGE_ID: link.unique()}
    before = link.unanswered
    if await store(link, subject, payload, headers=headers):
        return True
    if link.unanswered == before:
        return False
    found = await message_of(link, stream, subject)
    if found is not None and found.headers.get(MESSAGE_ID) == headers[MESSAGE_ID]:
        return True
    message = f"{subject}: the answer was lost, and another value is there by now; read it again"
    raise StreamsUnavailable(message)


async def message_of(link: Link, stream: str, subject: str) -> Kept | None:
    """Return the last message of a subject."""
    if link.clustered:
        return await look_up(link, stream, {"last_by_subj": subject})
    return await link.ask(f"{API}.DIRECT.GET.{stream}.{subject}", read=kept)


async def last_message(link: Link, stream: str, subjects: str) -> Kept | None:
    """Return the last message of all subjects that a pattern fits."""
    return await look_up(link, stream, {"last_by_subj": subjects})


async def look_up(
    link: Link,
    stream: str,
    body: Mapping[str, object],
    *,
    patience_s: float | None = None,
    wait_for_it: bool = True,
) -> Kept | None:
    """Return the message that a request names, if its leader has it.

    Raises:
        Absent: if there is no such stream, and it is not waited for.
    """
    payload = msgspec.json.encode(body)
    if not link.clustered:
        subject = f"{API}.DIRECT.GET.{stream}"
        return await link.ask(
            subject, payload, read=kept, patience_s=patience_s, wait_for_it=wait_for_it
        )
    subject = f"{API}.STREAM.MSG.GET.{stream}"
    told = functools.partial(_told, wait_for_it=wait_for_it)
    return await link.ask(subject, payload, read=told, patience_s=patience_s, each_s=ASK_S)


async def next_message(link: Link, stream: str, subjects: str, seq: int) -> Kept | None:
    """Return the first message from a number on that a pattern fits."""
    return await look_up(link, stream, {"seq": seq, "next_by_subj": subjects})


async def messages(
    link: Link, stream: str, subjects: str, *, page_size: int = PAGE, seq: int = 1
) -> AsyncIterator[Kept]:
    """Go through the messages that a pattern fits, as they were written, a page at a time.

    From number ``seq`` on.

    What is written meanwhile may come too. In a cluster the copy that answers may lag behind: where
    it ends, the leader is asked for what follows.
    """
    while True:
        body = msgspec.json.encode({"seq": seq, "next_by_subj": subjects, "batch": page_size})
        page = await link.ask_many(f"{API}.DIRECT.GET.{stream}", body)
        for message in page:
            found = kept(message)
            if found is None:
                return
            seq = found.seq + 1
            yield found
        if page:
            continue
        found = await next_message(link, stream, subjects, seq) if link.clustered else None
        if found is None:
            return
        seq = found.seq + 1
        yield found


async def last_messages(link: Link, stream: str, subjects: str) -> list[Kept]:
    """Return the last message of each subject that a pattern fits.

    Raises:
        Absent: if there is no such stream.
    """
    body = msgspec.json.encode({"multi_last": [subjects], "batch": 4 * PAGE})
    page = await link.ask_many(f"{API}.DIRECT.GET.{stream}", body, wait_for_it=False)
    return [found for message in page if (found := kept(message)) is not None]
