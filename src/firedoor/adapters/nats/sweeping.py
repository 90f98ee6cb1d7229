"""Take batches out of an inbox that are done, and were not deleted.

A work queue deletes what is acknowledged. Where its disk is full just then, nats-server forgets the
batch and cannot write that down: after its restart the batch is there again, below what the reader
has acknowledged, and is never delivered. A run would wait for it for ever.
"""

from __future__ import annotations

from firedoor.adapters.nats.answers import NO_MESSAGE, ConsumerInfo, Done, Refusal
from firedoor.adapters.nats.configs import IN_FLIGHT_MAX
from firedoor.adapters.nats.keeping import message_of, next_message
from firedoor.adapters.nats.link import Link
from firedoor.adapters.nats.naming import Names, durable_of


async def sweep(link: Link, names: Names, edge: str) -> int:
    """Delete what the reader has acknowledged and recorded; return how many batches that was.

    What is not recorded is left: only a record says that a batch is done.

    Raises:
        StreamsUnavailable: if the broker is away.
        Refusal: if it refuses.
    """
    stream, durable = names.inbox(edge), durable_of(edge)
    reader = await link.api(f"CONSUMER.INFO.{stream}.{durable}", answer=ConsumerInfo)
    swept = 0
    seq, floor = 1, reader.ack_floor.stream_seq
    for _ in range(IN_FLIGHT_MAX):
        found = await next_message(link, stream, names.batch(edge, "*"), seq)
        if found is None or found.seq > floor:
            break
        seq = found.seq + 1
        record = names.record(durable, found.subject.rpartition(".")[2])
        if await message_of(link, names.records, record) is not None:
            await _delete(link, stream, found.seq)
            swept += 1
    return swept


async def _delete(link: Link, stream: str, seq: int) -> None:
    """Delete one message; one that is gone already is fine."""
    body = {"seq": seq, "no_erase": True}
    try:
        await link.api(f"STREAM.MSG.DELETE.{stream}", body, answer=Done)
    except Refusal as refusal:
        if refusal.fault.err_code not in NO_MESSAGE:
            raise
