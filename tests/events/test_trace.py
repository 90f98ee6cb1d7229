"""Headers of W3C are read as they are meant, and everything else is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.events.trace import Place, is_sampled, read, trace_of, write

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read_back(trace: int, span: int, sampled: bool) -> None:  # noqa: FBT001
    place = Place(trace, span, sampled)
    assert read(write(place)) == place


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00-aa-bb-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_what_is_no_header_is_none(header: str | None) -> None:
    assert read(header) is None
    assert not is_sampled(header)
    assert trace_of(header) == ""


def test_a_later_version_may_say_more() -> None:
    assert read(f"01-{TRACE}-{SPAN}-03-more") == Place(int(TRACE, 16), int(SPAN, 16), sampled=True)
    assert trace_of(f"00-{TRACE}-{SPAN}-00") == TRACE
    assert not is_sampled(f"00-{TRACE}-{SPAN}-02")
