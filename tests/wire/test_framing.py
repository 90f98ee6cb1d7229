"""Messages as bytes: whole, in pieces, and from a sender whose memory was written over."""

from __future__ import annotations

import io
import itertools
import tracemalloc
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.wire.bundle import Field, Signature
from firedoor.wire.fetching import Fetch, Fetched, FetchNote
from firedoor.wire.framing import (
    HEADER_BYTES_MAX,
    PREFIX,
    Garbled,
    Inbox,
    decode_reply,
    decode_request,
    encode,
    sections,
)
from firedoor.wire.jobs import JobEnded, JobLoad, JobRaised, Keep, Kept, Metric, Progress
from firedoor.wire.messages import (
    AtFault,
    Batch,
    Gated,
    Load,
    Loaded,
    Loading,
    Passed,
    Prove,
    Proved,
    Raised,
    Reply,
    Request,
    Run,
    Tracing,
    Unloadable,
)
from firedoor.wire.model_files import ModelFiles
from firedoor.wire.serving_load import ServingLoad, ServingReady

many = settings(max_examples=150, deadline=None, derandomize=True)
BOUND = 2**20

REQUESTS: list[Request] = [
    Load(
        wall="enrich",
        pickled=b"\x00\xff" * 10,
        main_path="/srv/job.py",
        main_module=None,
        sys_path=("/srv", "/lib"),
        cwd="/srv",
        environ={"PATH": "/bin", "EMPTY": ""},
        scratch="/scratch/1",
        extra="keep",
        batchwise=False,
        memory_bytes=2**33,
        files_max=64,
        processes_max=4,
        tasks_max=None,
        seal_reads=("/lib", "/data"),
        seal_lists=(),
        seal_writes=("/scratch/1",),
        network=(443, 5432),
        fetches=FetchNote(keys=("origin",), columns={"temp": "Float64"}),
    ),
    Fetch(keys={"origin": ["EWR", None, 3, 2.5, True]}),
    Batch(
        first=7,
        gate=True,
        slices=((7, 9), (9, 12)),
        models={
            "model": ModelFiles(
                name="late@3", digest="0" * 64, folder="/models/0", allow=("pickle",)
            )
        },
    ),
    Run(slices=((0, 1),)),
    Prove(),
    JobLoad(
        wall="train",
        pickled=b"\x00\xff" * 10,
        main_path="/srv/job.py",
        main_module=None,
        sys_path=("/srv", "/lib"),
        cwd="/srv",
        environ={"PATH": "/bin"},
        scratch="/scratch/1",
        memory_bytes=2**33,
        cpu_s=None,
        files_max=64,
        processes_max=4,
        tasks_max=None,
        seal_reads=("/lib", "/data"),
        seal_lists=(),
        seal_writes=("/scratch/1",),
        network=False,
        run="train-1",
        attempt=2,
        seed=2**63,
        parameters={"rate": 0.1, "trees": 100, "name": "é", "early": True, "none": None},
        folder="/data",
        checkpoints="/checkpoints",
    ),
    Kept(error="the disk is full"),
    ServingLoad(
        wall="delays@3",
        pickled=b"\x00\xff" * 10,
        main_path=None,
        main_module=None,
        sys_path=("/srv", "/lib"),
        cwd="/srv",
        environ={"PATH": "/bin"},
        scratch="/scratch/1",
        memory_bytes=2**33,
        files_max=64,
        processes_max=4,
        tasks_max=None,
        seal_reads=("/lib", "/data"),
        seal_lists=(),
        seal_writes=("/scratch/1",),
        network=False,
        model=ModelFiles(name="delays@3", digest="0" * 64, folder="/models/0"),
        signature=Signature(inputs=(Field(name="x", dtype="Float32", shape=(2, None)),)),
        takes="numpy",
    ),
]
REPLIES: list[Reply] = [
    Loaded(
        seconds=0.25,
        rss_bytes=2**30,
        seal_level="full",
        seal_what=("files",),
        seal_missing=(("network", "no Landlock"),),
    ),
    Unloadable(message="ImportError: no", detail="trace"),
    Gated(kept=3, rejected=1, decode_s=0.1, gate_s=0.2, sections=(12,)),
    Loading(models=("late@3",)),
    Tracing(seconds=0.5),
    Passed(
        start=0,
        stop=4,
        rows_out=3,
        identity="traced",
        drops={"no destination": 1},
        rejected=0,
        step_s=0.1,
        encode_s=0.2,
        sections=(3, 4),
    ),
    Raised(
        start=0,
        stop=4,
        code="exception",
        signature="KeyError at steps.py:3",
        message="KeyError: 'é'",
        line="steps.py:3",
        columns=("é",),
        always=False,
    ),
    AtFault(code="not_a_frame", message="the step returned None"),
    Proved(rowwise=False, why="a mean"),
    Fetched(values={"temp": [1.5, None]}, wrong={"temp": [1]}, said="NaN", seconds=0.1),
    Progress(done=3.0, total=10.0, step="fit"),
    Metric(name="auc", value=0.72),
    Keep(kind="checkpoint", name="epoch", inputs={"x": "f8"}, outputs={"y": "f8"}),
    JobEnded(),
    JobRaised(memory=False, signature="KeyError at a.py:1", message="KeyError: 'x'", line=None),
    ServingReady(seconds=0.5, seal_level="full", examples=3, notes=("no example rows",)),
]


def joined(message: Request | Reply, *payload: bytes) -> bytes:
    return b"".join(bytes(piece) for piece in encode(message, *payload))


def feed(inbox: Inbox, data: bytes, cuts: list[int]) -> list[tuple[Reply, bytes]]:
    """Give bytes to the inbox as a socket would: never more than it has room for."""
    came = []
    edges = [0, *sorted(cuts), len(data)]
    for start, stop in itertools.pairwise(edges):
        at = start
        while at < stop:
            room = inbox.room()
            count = min(len(room), stop - at)
            assert count, "an inbox without room would spin for ever"
            room[:count] = data[at : at + count]
            whole = inbox.took(count)
            at += count
            if whole is not None:
                came.append((whole[0], whole[1].getvalue()))
    return came


def test_the_lists_above_hold_every_message() -> None:
    assert {type(message) for message in REQUESTS} == set(get_args(Request))
    assert {type(message) for message in REPLIES} == set(get_args(Reply))


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda message: type(message).__name__)
def test_every_request_comes_back_as_it_was_sent(request_: Request) -> None:
    head, *payload = encode(request_, b"rows", b"more")
    header_size, payload_size = PREFIX.unpack(bytes(head)[: PREFIX.size])
    header = bytes(head)[PREFIX.size :]
    assert len(header) == header_size
    assert payload_size == len(b"rowsmore")
    assert payload == [b"rows", b"more"]
    assert decode_request(header) == request_


@pytest.mark.parametrize("reply", REPLIES, ids=lambda message: type(message).__name__)
def test_every_reply_comes_back_cut_at_any_byte(reply: Reply) -> None:
    data = joined(reply, b"out", b"put")
    for cut in range(len(data) + 1):
        assert feed(Inbox(BOUND), data, [cut]) == [(reply, b"output")]


@many
@given(st.lists(st.tuples(st.sampled_from(REPLIES), st.binary(max_size=40)), max_size=6), st.data())
def test_replies_one_after_another_come_back_in_order_however_they_are_cut(
    sent: list[tuple[Reply, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(joined(reply, payload) for reply, payload in sent)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    assert feed(Inbox(BOUND), stream, cuts) == sent


def test_a_payload_is_handed_over_whole_though_the_next_message_follows() -> None:
    inbox = Inbox(BOUND)
    kept: list[io.BytesIO] = []
    for payload in (b"first", b"second"):
        data = joined(Proved(rowwise=True, why=""), payload)
        for at in range(len(data)):
            inbox.room()[:1] = data[at : at + 1]
            whole = inbox.took(1)
            if whole is not None:
                kept.append(whole[1])
    assert [payload.getvalue() for payload in kept] == [b"first", b"second"]


@pytest.mark.parametrize(
    ("header", "payload"),
    [(HEADER_BYTES_MAX + 1, 0), (2**32 - 1, 0), (10, BOUND + 1), (10, 2**64 - 1)],
)
def test_a_length_over_its_bound_is_refused_before_anything_is_allocated(
    header: int, payload: int
) -> None:
    inbox = Inbox(BOUND)
    tracemalloc.start()
    try:
        with pytest.raises(Garbled, match=f"{header} \\+ {payload} bytes is over its bound"):
            feed(inbox, PREFIX.pack(header, payload), [])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**16


def test_a_message_exactly_at_its_bound_is_taken() -> None:
    assert feed(Inbox(8), joined(REPLIES[0], b"12345678"), []) == [(REPLIES[0], b"12345678")]


@many
@given(st.binary(max_size=200))
def test_a_header_of_any_bytes_is_a_reply_or_garbled_and_nothing_else(header: bytes) -> None:
    try:
        decoded = decode_reply(header)
    except Garbled:
        return
    assert isinstance(decoded, get_args(Reply))


@many
@given(st.sampled_from(REPLIES), st.data())
def test_one_flipped_byte_is_another_reply_or_garbled_and_nothing_else(
    reply: Reply, data: st.DataObject
) -> None:
    stream = bytearray(joined(reply, b"rows"))
    at = data.draw(st.integers(0, len(stream) - 1))
    stream[at] ^= data.draw(st.integers(1, 255))
    try:
        came = feed(Inbox(BOUND), bytes(stream), [])
    except Garbled:
        return
    assert all(isinstance(found, get_args(Reply)) for found, _ in came)


def test_a_request_sent_as_a_reply_is_garbled() -> None:
    with pytest.raises(Garbled):
        feed(Inbox(BOUND), joined(Prove()), [])


def test_messages_cannot_be_changed() -> None:
    for message in [*REQUESTS, *REPLIES]:
        if fields := msgspec.structs.fields(message):
            with pytest.raises(AttributeError, match="immutable"):
                setattr(message, fields[0].name, None)


@many
@given(st.lists(st.binary(max_size=20), max_size=5))
def test_sections_are_what_was_joined(parts: list[bytes]) -> None:
    cut = sections(io.BytesIO(b"".join(parts)), tuple(len(part) for part in parts))
    assert [piece.getvalue() for piece in cut] == parts


@pytest.mark.parametrize("sizes", [(), (3,), (5,), (2, 1), (5, -1), (2**70, 4 - 2**70)])
def test_sections_that_do_not_add_up_are_garbled(sizes: tuple[int, ...]) -> None:
    with pytest.raises(Garbled, match="do not add up to 4 bytes"):
        sections(io.BytesIO(b"rows"), sizes)
