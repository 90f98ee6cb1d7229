"""Bytes and seconds, read as people write them and written as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.errors import DeclarationError
from firedoor.units import format_bytes, format_seconds, parse_bytes

POWERS = {
    "": 1,
    "B": 1,
    "kB": 1_000,
    "MB": 1_000_000,
    "GB": 1_000_000_000,
    "TB": 1_000_000_000_000,
    "KiB": 1_024,
    "MiB": 1_048_576,
    "GiB": 1_073_741_824,
    "TiB": 1_099_511_627_776,
}


@given(st.integers(0, 9_999), st.sampled_from(sorted(POWERS)), st.sampled_from(["", " ", "  "]))
def test_a_number_with_a_unit_is_that_many_bytes(number: int, unit: str, gap: str) -> None:
    for text in (
        f"{number}{gap}{unit}",
        f" {number}{gap}{unit.lower()} ",
        f"{number}{unit.upper()}",
    ):
        assert parse_bytes("memory", text) == number * POWERS[unit]


@given(st.integers(0, 2**60))
def test_a_whole_number_is_bytes_already(number: int) -> None:
    assert parse_bytes("memory", number) == number
    assert parse_bytes("memory", str(number)) == number


@pytest.mark.parametrize(
    ("text", "size"), [("0.5KiB", 512), ("1.5 GB", 1_500_000_000), ("1.25MiB", 1_310_720)]
)
def test_a_fraction_of_a_unit_is_taken(text: str, size: int) -> None:
    assert parse_bytes("memory", text) == size


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "GiB",
        "1 GiB 2",
        "-1GiB",
        "1e9",
        "1,000",
        "1GiBs",
        "1.MiB",
        "٣GiB",
        "1K",
        1.5,
        True,
        None,
        b"1",
    ],
)
def test_anything_else_is_refused_by_the_name_of_its_field(value: object) -> None:
    with pytest.raises(DeclarationError) as caught:
        parse_bytes("memory", value)  # type: ignore[arg-type]
    assert caught.value.field == "memory"
    assert "512MiB" in caught.value.remedy


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1_023, "1023 B"),
        (1_024, "1 KiB"),
        (1_536, "1.5 KiB"),
        (10 * 2**20, "10 MiB"),
        (2**30, "1 GiB"),
        (2**40, "1024 GiB"),
        (-(2**20), "-1 MiB"),
    ],
)
def test_sizes_read_well(size: int, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 us"),
        (0.000_000_4, "0 us"),
        (0.000_25, "250 us"),
        (0.001, "1 ms"),
        (0.012_3, "12 ms"),
        (0.999, "999 ms"),
        (1, "1 s"),
        (1.25, "1.2 s"),
        (3_600, "3600 s"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@given(st.integers(0, 2**50))
def test_a_written_size_reads_back_to_within_its_last_digit(size: int) -> None:
    again = parse_bytes("memory", format_bytes(size))
    assert again == pytest.approx(size, rel=0.06, abs=0)


@given(st.floats(1e-3, 86_400))
def test_a_written_duration_names_the_right_size(seconds: float) -> None:
    number, unit = format_seconds(seconds).split()
    assert float(number) * {"s": 1, "ms": 1e-3}[unit] == pytest.approx(seconds, rel=0.5)
