"""Flags go into flagd's file and come back as they were; what cannot is left out, and said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.control.flagd import SCHEMA, export_flagd, import_flagd
from firedoor.errors import DeclarationError
from firedoor.wire.flags import Flag, Flags

values = st.one_of(
    st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)  # fmt: skip
shares = st.integers(0, 1_000_000).map(lambda parts: parts / 1_000_000)


@given(st.dictionaries(st.text("abc.", min_size=1), st.tuples(values, shares), max_size=5))
def test_what_is_written_is_read_as_it_was(table: dict[str, tuple[bool | str, float]]) -> None:
    flags = Flags(flags={name: Flag(value=v, share=s) for name, (v, s) in table.items()})
    imported = import_flagd(export_flagd(flags, pipeline="year"))
    assert imported.left_out == {}
    assert imported.flags == table
    assert {n: type(v) for n, (v, _) in imported.flags.items()} == {
        n: type(v) for n, (v, _) in table.items()
    }


def test_the_file_is_one_of_flagd() -> None:
    flag = Flag(value="blue", by="ann", because="try it", at_s=5.0)
    flags = Flags(generation=7, flags={"colour": flag, "new": Flag(value=True, share=0.1)})
    told = json.loads(export_flagd(flags, pipeline="year"))
    assert told["$schema"] == SCHEMA
    assert told["metadata"] == {"flagSetId": "year", "version": "7"}
    assert told["flags"]["colour"] == {
        "state": "ENABLED",
        "variants": {"on": "blue"},
        "defaultVariant": "on",
        "metadata": {"by": "ann", "because": "try it", "at_s": 5.0},
    }
    new = told["flags"]["new"]
    assert new["defaultVariant"] is None, "the others get the code's default"
    fractional = {"fractional": [["on", 100_000], ["off", 900_000]]}
    assert new["targeting"] == {"if": [{"==": [fractional, "on"]}, "on", None]}


def test_what_cannot_be_said_here_is_left_out_with_the_reason() -> None:
    file = {
        "flags": {
            "plain": {"state": "ENABLED", "variants": {"a": 1, "b": 2}, "defaultVariant": "b"},
            "disabled": {"state": "DISABLED", "variants": {"a": 1}, "defaultVariant": "a"},
            "none": {"variants": {"a": 1}, "defaultVariant": None},
            "lost": {"variants": {"a": 1}, "defaultVariant": "z"},
            "object": {"variants": {"a": {"x": 1}}, "defaultVariant": "a"},
            "targeted": {
                "variants": {"on": 1},
                "defaultVariant": "on",
                "targeting": {"if": [{"ends_with": [{"var": "email"}, "@x.org"]}, "on"]},
            },
        },
        "$evaluators": {},
    }
    imported = import_flagd(json.dumps(file).encode())
    assert imported.flags == {"plain": (2, 1.0)}
    assert {name: why.split(",")[0] for name, why in imported.left_out.items()} == {
        "disabled": "it is disabled",
        "none": "it has no default variant",
        "lost": "it has no variant 'z'",
        "object": "its value is an object or a list",
        "targeted": "its targeting cannot be said here: a value",
    }


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"flags": 3}', b"\xff", b'{"flags":{"a":1}}']
)
def test_what_is_no_such_file_is_refused(data: bytes) -> None:
    with pytest.raises(DeclarationError, match="flagd file"):
        import_flagd(data)
