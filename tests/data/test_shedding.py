"""What is kept of a batch where an inbox is full."""

from __future__ import annotations

import io
import subprocess
import sys

import polars as pl
import pytest

from firedoor.data.shedding import shed
from firedoor.errors import StepAtFault
from firedoor.ports.stage import Parcel
from firedoor.spec.plan import ShedPlan
from firedoor.wire.envelope import Envelope

FRAME = pl.DataFrame(
    {
        "tail": [f"N{n % 200}" for n in range(2_000)],
        "worth": [n * 7919 % 2_000 for n in range(2_000)],
        "day": [n % 7 for n in range(2_000)],
    }
)
MANY = pl.DataFrame({"tail": [f"N{n}" for n in range(20_000)]})
NUMBERS = [2 * n for n in range(2_000)]


def encoded(frame: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.write_ipc_stream(file)
    return file.getvalue()


def made(
    plan: ShedPlan, *, frame: pl.DataFrame = FRAME, numbered: bool = False, batch: str = "f-000001"
) -> tuple[Parcel, pl.DataFrame, list[int]]:
    head = encoded(frame)
    numbers = pl.DataFrame({"row": NUMBERS}, schema={"row": pl.UInt32})
    payload = head + (encoded(numbers) if numbered else b"")
    envelope = Envelope(
        batch=batch, rows=frame.height, frame_bytes=len(head), crc32=0, zone="f", zone_version="1",
        cut_s=0.0, schema="s",
    )  # fmt: skip
    kept = shed(payload, envelope, plan)
    rows = pl.read_ipc_stream(io.BytesIO(kept.payload[: kept.frame_bytes]))
    told = pl.read_ipc_stream(io.BytesIO(kept.payload[kept.frame_bytes :]))["row"]
    assert told.dtype == pl.UInt32
    assert kept.rows == rows.height == told.len()
    return kept, rows, told.to_list()


def test_a_key_is_kept_in_every_batch_or_in_none() -> None:
    plan = ShedPlan(keep=0.3, key=("tail",))
    _, rows, numbers = made(plan)
    assert rows.equals(FRAME[numbers])
    tails = set(rows["tail"])
    assert 0.15 * 200 < len(tails) < 0.45 * 200
    assert rows.height == len(tails) * 10
    half = FRAME.reverse()
    assert set(made(plan, frame=half, batch="f-000002")[1]["tail"]) == tails


def test_the_same_keys_are_kept_by_another_process() -> None:
    code = (
        "from firedoor.data.shedding import _drawn\n"
        "print(_drawn([f'N{n}' for n in range(50)], 0.3))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60,
        env={"PYTHONHASHSEED": "7"},
    ).stdout  # fmt: skip
    plan = ShedPlan(keep=0.3, key=("tail",))
    small = FRAME.head(50)
    assert told.strip() == str(made(plan, frame=small)[2])
    assert told.strip() == "[4, 10, 11, 12, 13, 16, 17, 21, 25, 27, 31, 39]"


def weighed(first: str, second: str) -> float:
    """Return how many rows the rows stand for that two samples in turn have kept, each a half."""
    _, rows, _ = made(ShedPlan(keep=0.5, key=("tail",), salt=first), frame=MANY)
    _, rows, _ = made(ShedPlan(keep=0.5, key=("tail",), salt=second), frame=rows)
    return rows.height * 2 * 2


def test_two_samples_in_turn_stand_for_all_rows_because_each_has_its_own_salt() -> None:
    assert 0.95 * MANY.height < weighed("src:mid", "mid") < 1.05 * MANY.height
    assert weighed("mid", "mid") > 1.9 * MANY.height, "by one hash the second keeps every key"


def test_a_sample_has_the_share_of_keys_that_it_says_whatever_the_salt() -> None:
    for salt in ("mid", "out", "src:mid"):
        _, rows, _ = made(ShedPlan(keep=0.1, key=("tail",), salt=salt), frame=MANY)
        assert rows["tail"].n_unique() * 10 == pytest.approx(MANY.height, rel=0.05)


def test_keys_of_several_columns_and_nulls_are_keys_of_their_own() -> None:
    frame = pl.DataFrame({"tail": ["a", None, "a", None], "day": [1, 1, None, None]})
    _, rows, _ = made(ShedPlan(keep=1.0, key=("tail", "day")), frame=frame)
    assert rows.height == 4
    _, rows, _ = made(ShedPlan(keep=0.0, key=("tail", "day")), frame=frame)
    assert rows.height == 0


def test_rows_keep_the_numbers_that_they_had() -> None:
    _, rows, numbers = made(ShedPlan(keep=0.5, key=("tail",)), numbered=True)
    assert rows.equals(FRAME[[number // 2 for number in numbers]])


def test_without_a_key_rows_are_drawn_alike_when_the_batch_comes_again() -> None:
    plan = ShedPlan(keep=0.25)
    first, rows, _ = made(plan)
    assert made(plan)[0] == first
    assert 0.2 * 2_000 < rows.height < 0.3 * 2_000
    assert made(plan, batch="f-000002")[0] != first


def test_by_priority_the_first_are_kept_in_their_order() -> None:
    _, rows, numbers = made(ShedPlan(keep=0.1, priority="worth"))
    assert sorted(rows["worth"]) == list(range(1_800, 2_000))
    assert numbers == sorted(numbers)
    frame = pl.DataFrame({"worth": [1.0, None, 1.0, None, 0.5]})
    _, _, numbers = made(ShedPlan(keep=0.2, priority="worth"), frame=frame)
    assert numbers == [0]


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(StepAtFault, match=r"f-000001 has no column 'tale' to shed by.*fd\.Shed"):
        made(ShedPlan(keep=0.5, key=("tail", "tale")))
