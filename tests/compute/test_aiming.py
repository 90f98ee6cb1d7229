"""What a fault does to rows follows from the rows: the same ones are hit in any part of a batch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from firedoor.compute.aiming import Aim, aim
from firedoor.compute.striking import Striking, chosen
from firedoor.drill.choosing import make_fault

ROWS = 4_000
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FRAME = pl.DataFrame(
    {
        "tail": pl.Series([f"N{row % 97}" for row in range(ROWS)], dtype=pl.Categorical),
        "distance": [row * 7 for row in range(ROWS)],
        "speed": [row / 3 for row in range(ROWS)],
        "late": [row % 2 for row in range(ROWS)],
        "cancelled": [row % 5 == 0 for row in range(ROWS)],
        "way": [["in", "out"][row % 2] for row in range(ROWS)],
        "at": [NOON + timedelta(seconds=row) for row in range(ROWS)],
        "legs": [[row] for row in range(ROWS)],
    }
)


def aimed(
    name: str, *, frame: pl.DataFrame = FRAME, batch: str = "f-000001", **asked: object
) -> Aim:
    fault = make_fault(name, zone="z", zone_kind="transform", drill="d", **asked)  # type: ignore[arg-type]
    return aim(fault, batch, frame, memory_bytes=2**28)


def changed(name: str, *, frame: pl.DataFrame = FRAME, **asked: object) -> pl.DataFrame:
    strike = aimed(name, frame=frame, **asked).strike  # type: ignore[arg-type]
    assert strike is not None
    return Striking(strike, frame).changed(frame)


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_as_many_rows_are_hit_as_are_to_be_and_others_in_another_batch(share: float) -> None:
    found = aimed("poison_raise", share=share)
    assert found.strike is not None
    hit = chosen(FRAME, found.strike)
    assert hit.sum() == found.count
    assert share / 2 < found.count / ROWS < share * 2

    other = aimed("poison_raise", share=share, batch="f-000002")
    assert other.strike is not None
    assert not chosen(FRAME, other.strike).equals(hit)


def test_a_row_that_is_hit_is_hit_in_any_part_of_the_batch_in_any_order() -> None:
    strike = aimed("poison_raise", share=0.05).strike
    assert strike is not None
    whole = chosen(FRAME, strike)
    assert chosen(FRAME[700:900], strike).equals(whole[700:900])
    order = pl.Series(range(ROWS)).shuffle(seed=1)
    assert chosen(FRAME[order], strike).equals(whole[order])
    alone = FRAME[[whole.to_list().index(True)]]
    assert chosen(alone, strike).to_list() == [True]


def test_a_batch_is_hit_as_often_as_its_share_says() -> None:
    batches = [f"f-{number:06}" for number in range(400)]
    hit = [batch for batch in batches if aimed("worker_kill", batch=batch, share=0.25).strike]
    assert 60 < len(hit) < 140


def test_no_row_of_a_batch_is_hit_where_the_share_is_too_small_for_it() -> None:
    assert aimed("poison_raise", frame=FRAME[:10], share=1e-6) == Aim()


def test_values_of_a_share_of_the_rows_are_changed_and_nothing_else() -> None:
    share = 0.1
    for name, column in (("null_burst", "speed"), ("unit_change", "distance")):
        strike = aimed(name, share=share, column=column).strike
        assert strike is not None
        hit, after = chosen(FRAME, strike), changed(name, share=share, column=column)
        assert_frame_equal(after.filter(~hit), FRAME.filter(~hit))
        assert_frame_equal(after.drop(column), FRAME.drop(column))
        if name == "null_burst":
            assert after[column].null_count() == hit.sum()
        else:
            assert after.filter(hit)[column].equals(FRAME.filter(hit)[column] * 1_000)


def test_a_change_is_the_same_in_any_part_of_the_batch() -> None:
    for name in ("null_burst", "unit_change", "feature_drift", "label_flip", "out_of_order"):
        strike = aimed(name, share=0.3).strike
        assert strike is not None
        whole = Striking(strike, FRAME).changed(FRAME)
        part = FRAME[1_234:1_300]
        assert_frame_equal(Striking(strike, part).changed(part), whole[1_234:1_300])


def test_a_feature_drifts_by_standard_deviations_of_the_batch() -> None:
    after = changed("feature_drift", column="speed", intensity=2.0)
    moved = (after["speed"] - FRAME["speed"]).to_list()
    spread = FRAME["speed"].std()
    assert isinstance(spread, float)
    assert moved == pytest.approx([2.0 * spread] * ROWS)
    assert after.schema == FRAME.schema


@pytest.mark.parametrize("column", ["late", "cancelled", "way"])
def test_labels_of_two_values_are_turned_round(column: str) -> None:
    after = changed("label_flip", column=column, share=1.0)
    assert (after[column] != FRAME[column]).all()
    assert after[column].n_unique() == 2
    assert after.schema == FRAME.schema


def test_the_first_column_that_fits_is_taken_where_none_is_named() -> None:
    def column(name: str) -> str:
        strike = aimed(name).strike
        assert strike is not None
        return strike.column

    assert column("unit_change") == "distance"
    assert column("label_flip") == "late"
    assert column("out_of_order") == "at"
    assert column("null_burst") == "tail"


def test_times_are_set_back() -> None:
    after = changed("out_of_order", share=1.0, intensity=3_600.0)
    assert (FRAME["at"] - after["at"]).unique().to_list() == [timedelta(hours=1)]


def test_columns_are_renamed_retyped_and_added() -> None:
    assert changed("schema_rename", column="speed").columns[2] == "speed_renamed"
    retyped = changed("schema_retype", column="distance")
    assert retyped["distance"][:2].to_list() == ["~0", "~7"]
    assert changed("schema_added").columns == [*FRAME.columns, "added_by_drill"]
    assert changed("schema_added", column="extra").columns[-1] == "extra"


def test_a_batch_that_has_no_such_column_is_left_alone_with_the_reason() -> None:
    plain = FRAME.select("tail", "legs")
    found = aimed("unit_change", frame=plain)
    assert found.strike is None
    assert found.why_not.startswith("unit_change needs a column of numbers, and f-000001 has none")

    named = aimed("unit_change", column="tail")
    assert "column 'tail' of f-000001 is not there, or none" in named.why_not


def test_numbers_that_do_not_fit_their_type_any_more_are_null() -> None:
    small = pl.DataFrame({"n": pl.Series([1, 100], dtype=pl.Int8)})
    assert changed("unit_change", frame=small, intensity=100.0)["n"].to_list() == [100, None]
