"""Frames of requests and answers: whatever pieces they come in, they come out whole."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.wire.answers import Wanted, datatypes_of, pack, write_answer
from firedoor.wire.bundle import parse_fields
from firedoor.wire.serving import (
    ASK,
    TELL,
    Ask,
    Form,
    Outcome,
    Told,
    decode_asks,
    decode_tolds,
    encode_ask,
    encode_told,
)
from firedoor.wire.serving_frames import BUFFER_BYTES, Frames


def feed(frames: Frames, stream: bytes, sizes: list[int]) -> list[tuple[int, Ask]]:
    """Return the requests in a stream that comes in pieces of some sizes."""
    found, at, turn = [], 0, 0
    while at < len(stream):
        room = frames.room()
        count = min(len(room), len(stream) - at, sizes[turn % len(sizes)])
        assert count > 0
        room[:count] = stream[at : at + count]
        found += decode_asks(frames.took(count))
        at, turn = at + count, turn + 1
    return found


ASKS = st.builds(
    Ask,
    form=st.sampled_from(Form),
    body=st.binary(max_size=300) | st.integers(0, 3 * BUFFER_BYTES).map(bytes),
    json_bytes=st.integers(0, 2**32 - 1),
    deadline_s=st.floats(0, 1e9),
    extra=st.binary(max_size=20),
    suspect=st.booleans(),
    traced=st.just(value=False),  # is not told to workers
)


@given(
    st.lists(ASKS, min_size=1, max_size=8),
    st.lists(st.integers(1, 2**20), min_size=1, max_size=5),
)
@settings(max_examples=100, deadline=None)
def test_requests_come_out_as_they_went_in_whatever_pieces_they_come_in(
    asks: list[Ask], sizes: list[int]
) -> None:
    stream = b"".join(b"".join(encode_ask(number, ask)) for number, ask in enumerate(asks))
    if len(stream) / min(sizes) > 20_000:
        sizes = [max(size, len(stream) // 5_000 + 1) for size in sizes]
    frames = Frames(ASK.size)
    assert feed(frames, stream, sizes) == list(enumerate(asks))
    assert len(frames.room()) == BUFFER_BYTES  # it shrinks again, and nothing is left in it


@given(
    st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5),
)
def test_bytes_that_are_no_answer_raise_value_errors_alone(pieces: list[bytes]) -> None:
    frames = Frames(TELL.size)
    try:
        for piece in pieces:
            frames.room()[: len(piece)] = piece
            list(decode_tolds(frames.took(len(piece))))
    except ValueError:
        return


@pytest.mark.parametrize("size", [0, 5, 2**26 + 1, 2**32 - 1])
def test_a_length_that_cannot_be_is_found_before_room_is_made_for_it(size: int) -> None:
    frames = Frames(TELL.size)
    frames.room()[:4] = struct.pack("<I", size)
    with pytest.raises(ValueError, match="a frame of"):
        frames.took(4)


def test_answers_come_out_as_they_went_in() -> None:
    good = Told(Outcome.OK, 2, b"12345678" * 2, b"[1,2]", b"tail", seconds=0.5)
    bad = Told(Outcome.RAISED, message="why\0not", signature="ValueError at a.py:1")
    stream = b"".join(encode_told(number, told) for number, told in enumerate((good, bad, good)))
    assert list(decode_tolds(stream)) == [(0, good), (1, bad), (2, good)]


def test_outputs_are_written_as_they_are_asked_for() -> None:
    columns: dict[str, list[object]] = {"chance": [0.5, 0.25], "label": ["a", "b"]}
    types = datatypes_of(parse_fields("outputs", {"chance": "Float32", "label": "String"}))
    fragment, tail = write_answer(Form.ROWS, columns, types, Wanted())
    assert json.loads(fragment) == [
        {"chance": 0.5, "label": "a"},
        {"chance": 0.25, "label": "b"},
    ]
    wanted = Wanted(("label", "chance"), binary=True, binary_of={"chance": False})
    fragment, tail = write_answer(Form.V2_BINARY, columns, types, wanted)
    label, chance = json.loads(fragment)
    assert label == {
        "name": "label", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 10},
    }  # fmt: skip
    assert chance == {"name": "chance", "shape": [2], "datatype": "FP32", "data": [0.5, 0.25]}
    assert tail == b"\1\0\0\0a\1\0\0\0b"


def test_a_vector_a_row_is_written_with_its_shape() -> None:
    columns: dict[str, list[object]] = {"scores": [[1.0, 2.0], [3.0, 4.0]]}
    fragment, _ = write_answer(Form.V2, columns, {"scores": "FP64"}, Wanted())
    assert json.loads(fragment)[0] == {
        "name": "scores", "shape": [2, 2], "datatype": "FP64", "data": [1.0, 2.0, 3.0, 4.0],
    }  # fmt: skip
    assert pack("BOOL", [True, False]) == b"\1\0"
