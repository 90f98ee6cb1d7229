"""The rows of requests: what comes out is what was sent, and what is wrong is said in its terms."""

from __future__ import annotations

import datetime as dt
import json
import struct
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.wire.bundle import Field, Signature, parse_fields
from firedoor.wire.columns import UnknownType, is_plain
from firedoor.wire.payload import BadPayload, Reader, Taken, columns_of
from firedoor.wire.serving import Ask, Form

FLIGHT = Signature(
    inputs=parse_fields(
        "inputs", {"distance": "Int64", "dep delay": "Float64", "carrier": "String"}
    )
)


def rows(body: object, signature: Signature = FLIGHT, **more: Any) -> Taken:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reader(signature).read(Ask(Form.ROWS, data, **more))


def v2(*inputs: Mapping[str, object], signature: Signature = FLIGHT, **more: object) -> Taken:
    body = json.dumps({"inputs": inputs, **more}).encode()
    return Reader(signature).read(Ask(Form.V2, body))


def binary(
    *tensors: tuple[str, str, list[int], bytes],
    signature: Signature,
    nan_is_missing: bool = False,
    tail: bytes = b"",
) -> Taken:
    inputs = [
        {"name": n, "datatype": d, "shape": s, "parameters": {"binary_data_size": len(b)}}
        for n, d, s, b in tensors
    ]
    head = json.dumps({"inputs": inputs}).encode()
    body = head + b"".join(b for *_, b in tensors) + tail
    reader = Reader(signature, nan_is_missing=nan_is_missing)
    return reader.read(Ask(Form.V2_BINARY, body, json_bytes=len(head)))


def one(name: str, dtype: str) -> Signature:
    return Signature(inputs=parse_fields("inputs", {name: dtype}))


ROW = {"distance": 100, "dep delay": 2.5, "carrier": "UA"}


def test_rows_come_out_in_the_order_of_the_signature_and_unknown_fields_are_ignored() -> None:
    taken = rows([{"carrier": "UA", "odd": [1], "distance": 3, "dep delay": 1}, ROW])
    assert taken.names == ("distance", "dep delay", "carrier")
    assert taken.rows == [(3, 1.0, "UA"), (100, 2.5, "UA")]
    assert rows(ROW).rows == [(100, 2.5, "UA")]


def test_null_is_a_missing_value_and_an_absent_field_is_not() -> None:
    assert rows({**ROW, "dep delay": None}).rows == [(100, None, "UA")]
    with pytest.raises(BadPayload, match="row 1: field 'carrier' is wanted as String and is not"):
        rows([ROW, {"distance": 1, "dep delay": 2}])
    with pytest.raises(BadPayload, match="row 0: field 'carrier' is wanted as String and is not"):
        rows({"distance": 1, "dep delay": 2})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([ROW, {**ROW, "distance": "far"}], "row 1: field 'distance' is wanted as Int64, found te"),
        ({**ROW, "distance": 1.5}, "row 0: field 'distance' is wanted as Int64, found a number w"),
        ({**ROW, "distance": 2**63}, "field 'distance' is wanted as Int64"),
        ({**ROW, "carrier": 5}, "field 'carrier' is wanted as String, found an integer"),
        ({**ROW, "dep delay": True}, "field 'dep delay' is wanted as Float64, found true or false"),
        ([ROW, 5], "row 1: an object with a field a column is wanted, found an integer"),
        (5, "the body is not what is wanted"),
        ([], "there are no rows"),
        (b"{", "the body is no JSON"),
        (b"\xff", "the body is no JSON"),
        (b'{"distance": NaN}', "the body is no JSON"),
        (b'{"distance":1,"carrier":"a","dep delay":1e999}', "field 'dep delay'"),
        (b"[" * 5000, "row 0"),
        ([ROW] * 100_001, "at most 100,000"),
    ],
)
def test_what_is_wrong_with_rows_is_said_with_row_and_field(body: object, said: str) -> None:
    with pytest.raises(BadPayload, match=said):
        rows(body)


def test_integers_of_every_size_have_their_bounds() -> None:
    for bits in (8, 16, 32, 64):
        for name, least, most in (
            (f"Int{bits}", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
            (f"UInt{bits}", 0, 2**bits - 1),
        ):
            for value in (least, most):
                assert rows({"a": value}, one("a", name)).rows == [(value,)]
            for value in (least - 1, most + 1):
                with pytest.raises(BadPayload):
                    rows({"a": value}, one("a", name))


def test_a_number_that_a_float_of_32_bits_cannot_hold_is_refused() -> None:
    assert rows({"a": 3.4e38}, one("a", "Float32")).rows == [(3.4e38,)]
    with pytest.raises(BadPayload, match="Float32"):
        rows({"a": 3.5e38}, one("a", "Float32"))
    with pytest.raises(BadPayload, match="Float32"):
        binary(("a", "FP64", [1], struct.pack("<d", 1e39)), signature=one("a", "Float32"))


def test_dates_and_times_are_read_from_text() -> None:
    signature = Signature(
        inputs=parse_fields("inputs", {"d": "Date", "t": "Datetime(time_unit='us')"})
    )
    want = [(dt.date(2013, 1, 2), dt.datetime(2013, 1, 2, 3, 4))]  # noqa: DTZ001
    assert rows({"d": "2013-01-02", "t": "2013-01-02T03:04:00"}, signature).rows == want
    assert (
        v2(
            {"name": "d", "datatype": "BYTES", "shape": [1], "data": ["2013-01-02"]},
            {"name": "t", "datatype": "BYTES", "shape": [1, 1], "data": [["2013-01-02T03:04:00"]]},
            signature=signature,
        ).rows
        == want
    )
    with pytest.raises(BadPayload, match="'d' is wanted as Date"):
        rows({"d": "yesterday", "t": None}, signature)


def test_a_field_with_a_shape_takes_lists_of_that_length() -> None:
    signature = one("pixels", "Float32[2, ?]")
    assert rows({"pixels": [[1, 2, 3], [4, 5, 6]]}, signature).rows[0] == ([[1, 2, 3], [4, 5, 6]],)
    with pytest.raises(BadPayload, match=r"'pixels' is wanted as Float32\[2, \?\]"):
        rows({"pixels": [[1.0]]}, signature)
    flat = struct.pack("<12f", *range(12))
    taken = binary(("pixels", "FP32", [2, 2, 3], flat), signature=signature)
    assert taken.rows == [([[0, 1, 2], [3, 4, 5]],), ([[6, 7, 8], [9, 10, 11]],)]
    with pytest.raises(BadPayload, match="its shape; found FP32"):
        binary(("pixels", "FP32", [2, 3, 2], flat), signature=signature)
    nested = v2(
        {"name": "pixels", "datatype": "FP32", "shape": [1, 2, 1], "data": [[[1], [2]]]},
        signature=signature,
    )
    assert nested.rows == [([[1.0], [2.0]],)]


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        ({"shape": [2], "data": [1]}, "1 elements, and shape"),
        ({"shape": [1], "data": ["a"]}, "its data does not fit INT64"),
        ({"shape": [1, 2], "data": [1, 2]}, r"wanted as Int64, as \[rows\]; found INT64"),
        ({"shape": [1]}, "neither data nor binary_data_size"),
        ({"shape": [-1], "data": []}, r"shape is wanted as \[rows\]"),
        ({"shape": [], "data": [1]}, r"shape is wanted as \[rows\]"),
        ({"shape": [10**12, 0], "data": []}, "is wanted as|at most 100,000"),
        ({"shape": [0], "data": []}, "there are no rows"),
        ({"shape": [1], "data": [1], "datatype": "INT65"}, "is none of INT8"),
        ({"shape": [1], "data": [1.0], "datatype": "FP64"}, "found FP64 of shape"),
        ({"shape": [2, 1], "data": [[1, 2], []]}, "is not nested as shape"),
        ({"shape": [1], "data": [1], "name": "other"}, "is not among the inputs"),
        ({"shape": [1], "parameters": {"binary_data_size": 8}}, "binary_data_size is 8"),
    ],
)
def test_what_is_wrong_with_tensors_is_said(tensor: dict[str, object], said: str) -> None:
    with pytest.raises(BadPayload, match=said):
        v2({"name": "n", "datatype": "INT64", **tensor}, signature=one("n", "Int64"))


def test_inputs_of_different_lengths_and_doubled_ones_are_refused() -> None:
    signature = Signature(inputs=parse_fields("inputs", {"a": "Int64", "b": "Int64"}))
    a = {"name": "a", "datatype": "INT64", "shape": [1], "data": [1]}
    with pytest.raises(BadPayload, match="different numbers of rows"):
        v2(a, {**a, "name": "b", "shape": [2], "data": [1, 2]}, signature=signature)
    with pytest.raises(BadPayload, match="twice"):
        v2(a, a, signature=signature)


PACKED = {
    "INT8": ("b", "Int8"), "INT16": ("h", "Int16"), "INT32": ("i", "Int32"),
    "INT64": ("q", "Int64"),
    "UINT8": ("B", "UInt8"), "UINT16": ("H", "UInt16"), "UINT32": ("I", "UInt32"),
    "UINT64": ("Q", "UInt64"), "FP16": ("e", "Float16"), "FP32": ("f", "Float32"),
    "FP64": ("d", "Float64"), "BOOL": ("?", "Boolean"),
}  # fmt: skip


@pytest.mark.parametrize("datatype", PACKED)
def test_binary_tensors_of_every_datatype_are_read_and_lying_sizes_are_refused(
    datatype: str,
) -> None:
    code, dtype = PACKED[datatype]
    values = [1, 0, 1] if datatype == "BOOL" else [1, 2, 100]
    packed = struct.pack(f"<3{code}", *values)
    signature = one("x", dtype)
    assert binary(("x", datatype, [3, 1], packed), signature=signature).rows == [
        (value,) for value in values
    ]
    for shape in ([2], [4], [10**30], [3, 3]):
        with pytest.raises(BadPayload):
            binary(("x", datatype, shape, packed), signature=signature)
    with pytest.raises(BadPayload, match="follow the last tensor"):
        binary(("x", datatype, [3], packed), signature=signature, tail=b"\0")


def test_text_in_binary_tensors_is_of_a_length_and_so_many_bytes() -> None:
    signature = one("x", "String")
    packed = b"".join(struct.pack("<I", len(t)) + t for t in ("é".encode(), b"", b"c"))
    assert binary(("x", "BYTES", [3], packed), signature=signature).rows == [("é",), ("",), ("c",)]
    for bad in (b"\1\0\0", struct.pack("<I", 2**32 - 1) + b"a", b"\1\0\0\0\xff", packed[:-1]):
        with pytest.raises(BadPayload, match=r"element|shape"):
            binary(("x", "BYTES", [3], bad), signature=signature)


def test_nan_in_a_binary_tensor_is_refused_unless_it_stands_for_missing() -> None:
    packed = struct.pack("<3d", 1.0, float("nan"), 3.0)
    with pytest.raises(BadPayload, match="element 1 is nan"):
        binary(("x", "FP64", [3], packed), signature=one("x", "Float64"))
    taken = binary(("x", "FP64", [3], packed), signature=one("x", "Float64"), nan_is_missing=True)
    assert taken.rows == [(1.0,), (None,), (3.0,)]
    infinite = struct.pack("<2d", 1.0, float("-inf"))
    with pytest.raises(BadPayload, match="element 1 is -inf"):
        binary(("x", "FP64", [2], infinite), signature=one("x", "Float64"), nan_is_missing=True)


def test_narrower_tensors_widen_and_wider_ones_must_fit() -> None:
    assert v2(
        {"name": "x", "datatype": "INT32", "shape": [1], "data": [7]}, signature=one("x", "Float64")
    ).rows == [(7.0,)]
    with pytest.raises(BadPayload, match="'x' is wanted as Int8, found 300"):
        binary(("x", "INT64", [1], struct.pack("<q", 300)), signature=one("x", "Int8"))


def test_looked_up_columns_stand_beside_the_body_and_in_place_of_its_own() -> None:
    extra = msgspec.msgpack.encode({"dep delay": [7, None], "unasked": [1, 2]})
    body = [{"distance": 1, "carrier": "a", "dep delay": 0}, {"distance": 2, "carrier": "b"}]
    taken = rows(body, extra=extra)
    assert taken.names == ("distance", "carrier", "dep delay")
    assert taken.rows == [(1, "a", 7.0), (2, "b", None)]
    for bad, said in (({"dep delay": [1]}, "1 values for 2 rows"), ({"carrier": [1, 2]}, "looked")):
        with pytest.raises(BadPayload, match=said):
            rows([ROW, ROW], extra=msgspec.msgpack.encode(bad))


def test_without_a_signature_every_column_is_taken_as_it_is() -> None:
    taken = rows([{"a": 1, "b": "x"}, {"b": "y", "a": 2}], Signature())
    assert (taken.names, taken.rows) == (("a", "b"), [(1, "x"), (2, "y")])
    with pytest.raises(BadPayload, match="'b' is in some rows"):
        rows([{"a": 1, "b": 2}, {"a": 1}], Signature())
    packed = struct.pack("<2d", 1, 2)
    assert binary(("x", "FP64", [2, 1], packed), signature=Signature()).rows == [(1.0,), (2.0,)]


def test_outputs_that_the_model_does_not_have_are_refused() -> None:
    x = {"name": "x", "datatype": "INT64", "shape": [1], "data": [1]}
    signature = one("x", "Int64")
    asked = [{"name": "prediction", "parameters": {"binary_data": True}}]
    taken = v2(x, signature=signature, outputs=asked)
    assert taken.wanted.names == ("prediction",)
    assert taken.wanted.binary_of == {"prediction": True}
    with pytest.raises(BadPayload, match="no output 'chance': it has prediction"):
        v2(x, signature=signature, outputs=[{"name": "chance"}])


def test_a_type_that_no_request_can_carry_is_told_when_the_reader_is_made() -> None:
    with pytest.raises(UnknownType, match=r"'x' is declared as Struct"):
        Reader(Signature(inputs=(Field(name="x", dtype="Struct({'a': Int64})"),)))


def test_a_router_finds_its_columns_whatever_else_is_wrong() -> None:
    body = json.dumps([{"key": "N1", "odd": {}}, {"key": "N2", "late": 1}]).encode()
    assert columns_of(Form.ROWS, body, 0, ("key", "late", "none")) == {"key": ["N1", "N2"]}
    assert columns_of(Form.ROWS, b'{"key": 5}', 0, ("key",)) == {"key": [5]}
    head = json.dumps(
        {
            "inputs": [
                {"name": "a", "datatype": "FP64", "shape": [2],
                 "parameters": {"binary_data_size": 16}},
                {"name": "key", "datatype": "INT32", "shape": [2, 1],
                 "parameters": {"binary_data_size": 8}},
            ]
        }
    ).encode()  # fmt: skip
    whole = head + b"\xff" * 16 + struct.pack("<2i", 4, 5)
    assert columns_of(Form.V2_BINARY, whole, len(head), ("key",)) == {"key": [4, 5]}
    with pytest.raises(BadPayload):
        columns_of(Form.ROWS, b"no", 0, ("key",))
    with pytest.raises(BadPayload, match="longer than the body"):
        columns_of(Form.V2_BINARY, b"{}", 3, ("key",))


VALUES = {
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "UInt64": st.integers(0, 2**64 - 1),
    "Float64": st.floats(allow_nan=False, allow_infinity=False),
    "Boolean": st.booleans(),
    "String": st.text(st.characters(codec="utf-8"), max_size=20),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, str], list[tuple[object, ...]]]:
    dtypes = draw(
        st.dictionaries(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(is_plain),
            st.sampled_from(sorted(VALUES)),
            min_size=1,
            max_size=5,
        )
    )
    row = st.tuples(*(st.none() | VALUES[dtype] for dtype in dtypes.values()))
    return dtypes, draw(st.lists(row, min_size=1, max_size=5))


@given(tables())
@settings(max_examples=200, deadline=None)
def test_what_is_sent_as_rows_or_tensors_is_what_comes_out(
    table: tuple[dict[str, str], list[tuple[object, ...]]],
) -> None:
    dtypes, sent = table
    reader = Reader(Signature(inputs=parse_fields("inputs", dtypes)))
    objects = [dict(zip(dtypes, row, strict=True)) for row in sent]
    assert reader.read(Ask(Form.ROWS, json.dumps(objects).encode())).rows == sent
    names = {"Int64": "INT64", "UInt64": "UINT64", "Float64": "FP64", "Boolean": "BOOL"}
    inputs = [
        {
            "name": name,
            "datatype": names.get(dtype, "BYTES"),
            "shape": [len(sent)],
            "data": [row[at] for row in sent],
        }
        for at, (name, dtype) in enumerate(dtypes.items())
    ]
    assert reader.read(Ask(Form.V2, json.dumps({"inputs": inputs}).encode())).rows == sent


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["inputs", "name", "shape", "datatype", "data", "parameters", "a", "outputs"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
READERS = [Reader(FLIGHT), Reader(Signature()), Reader(one("a", "Float32[?, 2]"))]


@given(
    st.sampled_from(Form),
    st.binary(max_size=60) | JSONISH.map(lambda value: json.dumps(value).encode()),
    st.integers(-5, 80),
    st.sampled_from(READERS),
    st.binary(max_size=8),
)
@settings(max_examples=400, deadline=None)
def test_whatever_comes_raises_nothing_but_bad_payload(
    form: Form, body: bytes, json_bytes: int, reader: Reader, extra: bytes
) -> None:
    for read in (
        lambda: reader.read(Ask(form, body, json_bytes=json_bytes)),
        lambda: reader.read(Ask(form, body, json_bytes=json_bytes, extra=extra)),
        lambda: columns_of(form, body, json_bytes, ("a", "name")),
    ):
        try:
            read()
        except BadPayload as bad:
            assert 0 < len(str(bad)) < 700  # noqa: PT017 - what it says is the claim


@given(
    st.sampled_from([*PACKED, "BYTES", "X"]),
    st.lists(st.integers(-2, 2**40), max_size=4),
    st.integers(-3, 40),
    st.binary(max_size=40),
)
@settings(max_examples=400, deadline=None)
def test_binary_tensors_whose_sizes_lie_raise_nothing_but_bad_payload(
    datatype: str, shape: list[int], size: int, tail: bytes
) -> None:
    head = json.dumps(
        {"inputs": [{"name": "a", "datatype": datatype, "shape": shape,
                     "parameters": {"binary_data_size": size}}]}
    ).encode()  # fmt: skip
    for reader in READERS:
        try:
            taken = reader.read(Ask(Form.V2_BINARY, head + tail, json_bytes=len(head)))
        except BadPayload:
            continue
        assert taken.rows
