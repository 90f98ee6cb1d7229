"""Predictions as the fragments and tails of answers."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable
from typing import NamedTuple, cast

import msgspec

from firedoor.errors import shorten
from firedoor.wire.bundle import Field
from firedoor.wire.columns import BadPayload, Columns, Values, dtype_of
from firedoor.wire.serving import Form
from firedoor.wire.tensors import LENGTH, PACKED, InferRequest

PREDICTION = "prediction"
"""Name of the output where a model's signature names none."""

_json = msgspec.json.Encoder()


class Wanted(NamedTuple):
    """Which outputs a request wants, and how they are written."""

    names: tuple[str, ...] = ()
    """Empty: all."""
    binary: bool = False
    binary_of: dict[str, bool] | None = None
    """Where it differs, by name."""


EVERYTHING = Wanted()


def wanted_of(request: InferRequest) -> Wanted:
    """Return what a request wants."""
    binary = request.parameters.binary_data_output
    if not request.outputs:
        return Wanted(binary=True) if binary else EVERYTHING
    said = {asked.name: asked.parameters.binary_data for asked in request.outputs}
    differs = {name: told for name, told in said.items() if told is not None}
    return Wanted(tuple(said), binary, differs)


def check_wanted(wanted: Wanted, names: Iterable[str]) -> None:
    """Refuse outputs that the model does not have.

    Raises:
        BadPayload: naming the first.
    """
    known = tuple(names)
    for name in wanted.names:
        if name not in known:
            have = ", ".join(known[:10])
            raise BadPayload(f"the model has no output {shorten(name, 100)!r}: it has {have}")


def datatypes_of(outputs: Iterable[Field]) -> dict[str, str]:
    """Return the datatype of each output of a signature.

    Raises:
        UnknownType: if one cannot be told.
    """
    return {field.name: dtype_of(field).datatype for field in outputs} or {PREDICTION: "FP64"}


def write_answer(
    form: Form, columns: Columns, datatypes: dict[str, str], wanted: Wanted
) -> tuple[bytes, bytes]:
    """Return fragment and tail of an answer, see ``wire.serving.Told``.

    Args:
        form: of the request.
        columns: the predictions, plain and finite.
        datatypes: of each column.
        wanted: which ones are told, and how.
    """
    if form is Form.ROWS:
        return write_rows(columns), b""
    return write_tensors(columns, datatypes, wanted)


def write_rows(columns: Columns) -> bytes:
    """Return predictions as a list of objects."""
    if len(columns) == 1:
        ((name, values),) = columns.items()
        return _json.encode([{name: value} for value in values])
    names = tuple(columns)
    rows = zip(*columns.values(), strict=True)
    return _json.encode([dict(zip(names, row, strict=True)) for row in rows])


def write_tensors(
    columns: Columns, datatypes: dict[str, str], wanted: Wanted
) -> tuple[bytes, bytes]:
    """Return predictions as ``outputs``, and those that are wanted so as bytes behind it."""
    outputs: list[dict[str, object]] = []
    tail: list[bytes] = []
    for name in wanted.names or columns:
        values, shape = _flat(columns[name])
        output: dict[str, object] = {"name": name, "shape": shape, "datatype": datatypes[name]}
        if (wanted.binary_of or {}).get(name, wanted.binary):
            packed = pack(datatypes[name], values)
            output["parameters"] = {"binary_data_size": len(packed)}
            tail.append(packed)
        else:
            output["data"] = values
        outputs.append(output)
    return _json.encode(outputs), b"".join(tail)


def pack(datatype: str, values: Values) -> bytes:
    """Return the elements of an output, binary."""
    if datatype == "BYTES":
        texts = [str(value).encode("utf-8", "replace") for value in values]
        return b"".join([LENGTH.pack(len(text)) + text for text in texts])
    return struct.pack(f"<{len(values)}{PACKED[datatype][0]}", *values)


def _flat(values: Values) -> tuple[Values, tuple[int, ...]]:
    """Return the values of a column one after the other, and their shape."""
    shape = [len(values)]
    while values and isinstance(values[0], list):
        shape.append(len(values[0]))
        values = list(itertools.chain.from_iterable(cast("list[Values]", values)))
    return values, tuple(shape)
