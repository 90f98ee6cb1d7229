"""Chunks of the prediction log are read as they were written, or refused."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.wire.prediction import (
    INFLATED_BYTES_MAX,
    LABEL,
    RECORD_BYTES_MAX,
    Feature,
    PredictionRecord,
    decode_chunk,
    encode_chunk,
    made_s,
    size_of,
    slim,
)

many = settings(max_examples=100, deadline=None, derandomize=True)
RECORDS = st.builds(
    PredictionRecord,
    id=st.from_regex(r"[0-9a-f]{12}-g1-[0-9a-f]{12}", fullmatch=True),
    at_s=st.floats(0, 4e9),
    service=st.just("predict"),
    gateway=st.just("g1"),
    arm=st.sampled_from(["champion", "candidate", LABEL]),
    version=st.none() | st.integers(1, 9),
    body=st.binary(max_size=200),
    extra=st.binary(max_size=50),
    scores=st.lists(st.floats(allow_nan=False), max_size=5).map(tuple),
    features=st.lists(
        st.builds(Feature, st.just("weather"), st.just("live"), st.floats(0, 1e6)), max_size=2
    ).map(tuple),
    label=st.none() | st.floats(allow_nan=False),
)


@many
@given(records=st.lists(RECORDS, min_size=1, max_size=20))
def test_records_come_out_as_they_went_in_and_the_head_says_which(
    records: list[PredictionRecord],
) -> None:
    chunk = encode_chunk(records)
    assert list(decode_chunk(chunk)) == records
    assert chunk.first_s == min(record.at_s for record in records)
    assert chunk.last_s == max(record.at_s for record in records)
    assert chunk.labels == sum(record.arm == LABEL for record in records)
    assert chunk.records == len(records)


@many
@given(record=RECORDS, at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused(record: PredictionRecord, at: int, bit: int) -> None:
    chunk = encode_chunk([record])
    payload = bytearray(chunk.payload)
    payload[at % len(payload)] ^= 1 << bit
    try:
        found = decode_chunk(chunk._replace(payload=bytes(payload)))
    except ValueError:
        return
    assert list(found) == [record], "zlib has bits that say nothing"


def test_what_would_unfold_without_end_is_refused_in_bounded_memory() -> None:
    chunk = encode_chunk([PredictionRecord(id="0", at_s=0, service="s", gateway="g", arm="x")])
    bomb = zlib.compress(b"\x91" + b"\0" * (20 * INFLATED_BYTES_MAX), 9)
    with pytest.raises(ValueError, match="cannot be read"):
        decode_chunk(chunk._replace(payload=bomb))


def test_a_label_and_its_prediction_make_chunks_of_two_names() -> None:
    made = PredictionRecord(id="0" * 13, at_s=0, service="s", gateway="g", arm="champion")
    label = msgspec.structs.replace(made, arm=LABEL, label=1.0)
    assert encode_chunk([made]).id != encode_chunk([label]).id


def test_a_record_is_guessed_to_be_no_smaller_than_it_is_and_a_giant_one_goes_without_rows() -> (
    None
):
    record = PredictionRecord(
        id="0" * 40, at_s=1e9, service="predict", gateway="g" * 20, arm="champion",
        body=b"x" * 5_000, extra=b"y" * 3_000, scores=tuple(n / 7 for n in range(1_000)),
        features=(Feature("w", "cached", 1.5, {"t": "c" * 1_000}, {"t": (1.5,) * 1_000}),),
    )  # fmt: skip
    assert len(msgspec.msgpack.encode(record)) <= size_of(record)
    assert slim(record) is record
    giant = msgspec.structs.replace(record, extra=b"y" * RECORD_BYTES_MAX)
    assert size_of(slim(giant)) < 20_000
    assert slim(giant).features[0].code == "cached"


@pytest.mark.parametrize("text", ["", "019ac5d0b400", "flights-000123/17", "zzzzzzzzzzzzzzz"])
def test_what_begins_with_no_time_is_no_id(text: str) -> None:
    assert made_s(text) is None


def test_an_id_says_when_it_was_made() -> None:
    assert made_s(f"{1_764_288_050_176:012x}-host7-0123456789ab") == 1_764_288_050.176
