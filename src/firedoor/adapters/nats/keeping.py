"""Messages kept under subjects of their own: records, attempts, values, beats."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from firedoor.adapters.nats.answers import (
    FULL,
    NOT_FOUND,
    TAKEN,
    TEMPORARY,
    Message,
    Stored,
    status_of,
)
from firedoor.adapters.nats.asked import Again
from firedoor.adapters.nats.configs import PAYLOAD_BYTES
from firedoor.adapters.nats.link import Link
from firedoor.adapters.nats.naming import API
from firedoor.errors import Full, StoreRefused

PAGE = 256
"""Messages that are read at once."""
EXPECTED = "Nats-Expected-Last-Subject-Sequence"
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
        if fault.err_code == TAKEN or "per subject" in said:
            return False
        if fault.err_code in TEMPORARY or NO_SPACE in said:
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


async def message_of(link: Link, stream: str, subject: str) -> Kept | None:
    """Return the last message of a subject."""
    return await link.ask(f"{API}.DIRECT.GET.{stream}.{subject}", read=kept)


async def last_message(link: Link, stream: str, subjects: str) -> Kept | None:
    """Return the last message of all subjects that a pattern fits."""
    body = msgspec.json.encode({"last_by_subj": subjects})
    return await link.ask(f"{API}.DIRECT.GET.{stream}", body, read=kept)


async def messages(
    link: Link, stream: str, subjects: str, *, page_size: int = PAGE
) -> AsyncIterator[Kept]:
    """Go through the messages that a pattern fits, as they were written, a page at a time.

    What is written meanwhile may come too.
    """
    seq = 1
    while True:
        body = msgspec.json.encode({"seq": seq, "next_by_subj": subjects, "batch": page_size})
        page = await link.ask_many(f"{API}.DIRECT.GET.{stream}", body)
        for message in page:
            found = kept(message)
            if found is None:
                return
            seq = found.seq + 1
            yield found
        if not page:
            return


async def last_messages(link: Link, stream: str, subjects: str) -> list[Kept]:
    """Return the last message of each subject that a pattern fits.

    Raises:
        Absent: if there is no such stream.
    """
    body = msgspec.json.encode({"multi_last": [subjects], "batch": 4 * PAGE})
    page = await link.ask_many(f"{API}.DIRECT.GET.{stream}", body, wait_for_it=False)
    return [found for message in page if (found := kept(message)) is not None]
