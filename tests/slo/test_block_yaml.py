"""What is written is what another reader of YAML reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.slo.block_yaml import Value, to_yaml

yaml = pytest.importorskip("yaml", reason="PyYAML reads what is written; it is not installed")

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["yes", "null", "1", "1e3", "a: b", "- a", "#", "a #b", "0x1", "~", "5m", ""]),
)
SCALARS = st.one_of(TEXTS, st.integers(), st.floats(allow_nan=False, allow_infinity=False))
VALUES: st.SearchStrategy[Value] = st.recursive(
    st.one_of(SCALARS, st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@given(VALUES)
def test_every_value_comes_back(value: Value) -> None:
    written = to_yaml(value)
    assert yaml.safe_load(written) == value, written


def test_text_of_several_lines_is_written_as_a_block() -> None:
    written = to_yaml({"expr": "a\n  + b\n\nand c"})
    assert written == "expr: |-\n  a\n    + b\n\n  and c\n"
    assert yaml.safe_load(written) == {"expr": "a\n  + b\n\nand c"}
