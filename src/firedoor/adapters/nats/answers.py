"""What the broker answers, as values: acknowledgements, faults, states of streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

STATUS = "Status"
NO_RESPONDERS = "503"
NOT_FOUND = "404"
ALL_SENT = "204"
ACK_TOKENS = 9

FULL = 10077
"""The store refused: also said for a second message of a subject, by its description."""
TAKEN = 10071
"""There is a message of this subject already."""
NO_STREAM = 10059
NO_MESSAGE = frozenset({10037, 10043, 10057})
NO_ROOM = 10047
"""The disk has no room for what a stream may take."""
NAME_TAKEN = 10058
"""There is a stream of this name, with other settings."""
NO_PEERS = 10005
"""Too few servers of a cluster are there to keep as many copies."""
NOT_CLUSTERED = 10074
"""A server by itself keeps one copy."""
UNDER_WAY = frozenset({10158, 10163, 10164})
"""The same id or subject is being stored, and may come to nothing if the leader dies: only when
it is stored, or not, is there an answer. Said in clusters only."""
TEMPORARY = frozenset({10008, 10009, 10023, 10039, 10076}) | UNDER_WAY
"""JetStream is not ready, or out of resources."""
UNAVAILABLE = 503


class Message(Protocol):
    """What arrives."""

    subject: str
    reply: str
    data: bytes
    headers: dict[str, str] | None


class Fault(msgspec.Struct, frozen=True):
    """What the broker says when it refuses."""

    code: int = 0
    err_code: int = 0
    description: str = ""


def passes(fault: Fault) -> bool:
    """Return whether a fault is one of the moment, and asking again may help.

    >>> passes(Fault(code=503, description="raft: not leader"))
    True
    >>> passes(Fault(code=503, err_code=FULL, description="maximum bytes exceeded"))
    False
    """
    full = fault.description.startswith("maximum")
    return fault.err_code in TEMPORARY or (fault.code == UNAVAILABLE and not full)


class Refusal(Exception):
    """The broker refused a request, and would again."""

    def __init__(self, fault: Fault, subject: str) -> None:
        """Keep what it said, and of what."""
        super().__init__(f"{fault.description} ({fault.err_code}, {subject})")
        self.fault = fault


class Done(msgspec.Struct, frozen=True):
    """An answer that only says that it is done."""

    success: bool = True


class Stored(msgspec.Struct, frozen=True):
    """The broker's answer to a message for a stream."""

    error: Fault | None = None
    stream: str = ""
    seq: int = 0
    duplicate: bool = False


class StreamConfig(msgspec.Struct, frozen=True):
    """Of a stream's settings, what is looked at."""

    name: str
    max_bytes: int = -1
    num_replicas: int = 1
    metadata: dict[str, str] = {}


class StreamState(msgspec.Struct, frozen=True):
    """What is in a stream."""

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    last_seq: int = 0
    first_ts: str = ""
    num_deleted: int = 0
    subjects: dict[str, int] = {}


class Copy(msgspec.Struct, frozen=True):
    """A server that follows the leader of a stream."""

    name: str = ""
    current: bool = False
    offline: bool = False
    lag: int = 0
    """Entries that it has not got yet."""
    active: int = 0
    """Nanoseconds since the leader heard from it."""


class Copies(msgspec.Struct, frozen=True):
    """Who keeps a stream in a cluster."""

    leader: str = ""
    """Empty while there is none."""
    replicas: list[Copy] = []


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream."""

    config: StreamConfig
    state: StreamState
    cluster: Copies | None = None
    """None: the server is one by itself."""


class Streamlist(msgspec.Struct, frozen=True):
    """A page of streams."""

    total: int = 0
    streams: list[StreamInfo] | None = None
    missing: list[str] | None = None
    """Streams of a cluster of which nobody answers now."""
    error: Fault | None = None


class Delivered(msgspec.Struct, frozen=True):
    """How far a consumer is."""

    consumer_seq: int = 0
    stream_seq: int = 0


class ConsumerInfo(msgspec.Struct, frozen=True):
    """A consumer."""

    delivered: Delivered = Delivered()
    ack_floor: Delivered = Delivered()
    """Everything up to it is acknowledged."""
    num_ack_pending: int = 0
    num_pending: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Consumed:
    """What the subject tells by which a delivery is acknowledged."""

    consumer: str
    """``stream.consumer``."""
    deliveries: int
    seq: int
    """Its number in the stream."""


def consumed(message: Message) -> Consumed:
    """Return what is known of a delivery.

    ``$JS.ACK.stream.consumer.deliveries.stream_seq.consumer_seq.time.pending``, or the same with a
    domain and an account before the stream and a token at the end.

    Raises:
        ValueError: if it is none.
    """
    tokens = message.reply.split(".")
    if len(tokens) > ACK_TOKENS:
        del tokens[2:4]
    if len(tokens) < ACK_TOKENS or tokens[1] != "ACK":
        text = f"not a delivery: {message.subject} {message.reply}"
        raise ValueError(text)
    return Consumed(f"{tokens[2]}.{tokens[3]}", int(tokens[4]), int(tokens[5]))


class _Answer(msgspec.Struct, frozen=True):
    error: Fault | None = None


def status_of(message: Message) -> str:
    """Return the status that a message is, empty if it is none."""
    return (message.headers or {}).get(STATUS, "")


def fault_of(data: bytes) -> Fault | None:
    """Return the fault that an answer is, if it is one."""
    if b'"error"' not in data:
        return None
    return msgspec.json.decode(data, type=_Answer).error
