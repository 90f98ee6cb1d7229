"""Tensors of the Open Inference Protocol, in JSON and binary.

Binary tensors are little-endian; ``BYTES`` are elements of a length (4 bytes) and so many bytes.
Sources: ``rest_predict_v2.yaml`` of the Open Inference Protocol, ``extension_binary_data.md`` of
Triton.
"""

from __future__ import annotations

import functools
import itertools
import math
import struct
from collections.abc import Callable, Container, Sequence
from typing import Annotated, NamedTuple, cast

import msgspec

from firedoor.errors import shorten
from firedoor.wire.bundle import Field
from firedoor.wire.columns import (
    UNREADABLE,
    BadPayload,
    Columns,
    Dtype,
    Values,
    dtype_of,
    typed,
    wanted,
)
from firedoor.wire.serving import ROWS_MAX

RANK_MAX = 8
TENSORS_MAX = 10_000

PACKED = {
    **{f"INT{8 * size}": (code, size) for code, size in zip("bhiq", (1, 2, 4, 8), strict=True)},
    **{f"UINT{8 * size}": (code, size) for code, size in zip("BHIQ", (1, 2, 4, 8), strict=True)},
    "FP16": ("e", 2),
    "FP32": ("f", 4),
    "FP64": ("d", 8),
    "BOOL": ("B", 1),
}
"""How the elements of a datatype are packed, and their size."""
LENGTH = struct.Struct("<I")
_PYTHON: dict[str, type] = {"BOOL": bool, "BYTES": str}


class TensorParameters(msgspec.Struct, frozen=True):
    """What is said of a tensor besides."""

    binary_data_size: int | None = None
    binary_data: bool | None = None


class InputTensor(msgspec.Struct, frozen=True):
    """One input as it is written."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = msgspec.Raw()
    parameters: TensorParameters = TensorParameters()


class OutputAsked(msgspec.Struct, frozen=True):
    """One output that is asked for."""

    name: str
    parameters: TensorParameters = TensorParameters()


class RequestParameters(msgspec.Struct, frozen=True):
    """What is said of a request besides."""

    binary_data_output: bool = False


class InferRequest(msgspec.Struct, frozen=True):
    """The JSON of a request."""

    inputs: Annotated[list[InputTensor], msgspec.Meta(max_length=TENSORS_MAX)]
    outputs: Annotated[list[OutputAsked], msgspec.Meta(max_length=TENSORS_MAX)] = []
    parameters: RequestParameters = RequestParameters()


class Tensor(NamedTuple):
    """An input, decoded: its elements one after the other, the last index running fastest."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Values
    binary: bool


_requests = msgspec.json.Decoder(InferRequest)


def read_request(head: bytes | memoryview) -> InferRequest:
    """Return the JSON of a request; its data is not looked at yet.

    Raises:
        BadPayload: if it is none.
    """
    try:
        return _requests.decode(head)
    except UNREADABLE as error:
        raise BadPayload(f"the body is no inference request: {shorten(str(error))}") from error


def read_tensors(
    request: InferRequest, binary: memoryview, *, only: Container[str] | None = None
) -> dict[str, Tensor]:
    """Return the inputs of a request by name.

    Args:
        request: its JSON.
        binary: what follows.
        only: names of those that are read; None: all.

    Raises:
        BadPayload: if one is not what it says, or its size lies.
    """
    found: dict[str, Tensor] = {}
    at = 0
    for tensor in request.inputs:
        size = tensor.parameters.binary_data_size
        if size is not None:
            if not 0 <= size <= len(binary) - at:
                raise BadPayload(
                    f"{_named(tensor)}: binary_data_size is {size}, and {len(binary) - at} bytes "
                    "are left"
                )
            at += size
        if tensor.name in found:
            raise BadPayload(f"{_named(tensor)} is there twice")
        if only is None or tensor.name in only:
            found[tensor.name] = _read(tensor, None if size is None else binary[at - size : at])
    if at != len(binary):
        raise BadPayload(
            f"{len(binary) - at} bytes follow the last tensor: binary_data_size of some is too "
            "small, or Inference-Header-Content-Length is wrong"
        )
    return found


def _read(tensor: InputTensor, binary: memoryview | None) -> Tensor:
    """Return one input.

    Raises:
        BadPayload: if it is not what it says.
    """
    if tensor.datatype != "BYTES" and tensor.datatype not in PACKED:
        known = ", ".join((*PACKED, "BYTES"))
        raise BadPayload(
            f"{_named(tensor)}: datatype {shorten(tensor.datatype, 40)!r} is none of {known}"
        )
    shape = tensor.shape
    if not 0 < len(shape) <= RANK_MAX or shape[0] < 0 or min(shape) < min(shape[0], 1):
        raise BadPayload(f"{_named(tensor)}: its shape is wanted as [rows] or [rows, ...]")
    if shape[0] > ROWS_MAX:
        raise BadPayload(
            f"{_named(tensor)} has {shape[0]:,} rows, and at most {ROWS_MAX:,} are taken"
        )
    count = math.prod(tensor.shape)
    if binary is not None:
        values = _unpack(tensor, binary, count)
    elif tensor.data:
        values = _flat(tensor)
    else:
        raise BadPayload(f"{_named(tensor)} has neither data nor binary_data_size")
    if len(values) != count:
        found = shorten(str(shape), 60)
        raise BadPayload(f"{_named(tensor)}: {len(values)} elements, and shape {found}")
    return Tensor(tensor.name, tensor.datatype, tuple(tensor.shape), values, binary is not None)


def _unpack(tensor: InputTensor, binary: memoryview, count: int) -> Values:
    """Return the elements of a binary tensor."""
    if tensor.datatype == "BYTES":
        return _strings(tensor, binary)
    code, size = PACKED[tensor.datatype]
    if len(binary) != size * count:
        raise BadPayload(
            f"{_named(tensor)}: {len(binary)} bytes, and {shorten(str(size * count), 40)} are "
            f"wanted for {tensor.datatype} of shape {shorten(str(tensor.shape), 60)}"
        )
    values: Values = list(struct.unpack(f"<{count}{code}", binary))
    if tensor.datatype == "BOOL":
        if not {0, 1}.issuperset(values):
            raise BadPayload(f"{_named(tensor)}: BOOL is wanted as bytes of 0 and 1")
        return list(map(bool, values))
    return values


def _strings(tensor: InputTensor, binary: memoryview) -> Values:
    """Return the elements of a binary tensor of text."""
    values: Values = []
    at = 0
    while at < len(binary):
        start = at + LENGTH.size
        if start > len(binary):
            raise BadPayload(f"{_named(tensor)}: it ends within the length of an element")
        at = start + LENGTH.unpack_from(binary, at)[0]
        if at > len(binary):
            raise BadPayload(f"{_named(tensor)}: element {len(values)} is longer than the tensor")
        try:
            values.append(str(binary[start:at], "utf-8"))
        except UnicodeDecodeError as error:
            raise BadPayload(
                f"{_named(tensor)}: element {len(values)} is no UTF-8: {shorten(str(error), 80)}"
            ) from error
    return values


def _flat(tensor: InputTensor) -> Values:
    """Return the elements of a tensor in JSON, which may be nested as its shape says, or flat."""
    raw = bytes(tensor.data)
    depth = 0
    for byte in raw:
        depth += byte == _OPENS
        if byte not in _BEFORE:
            break
    nested = depth if depth == len(tensor.shape) else 1
    decoder = _decoder(tensor.datatype, nested)
    try:
        values = decoder.decode(raw)
    except UNREADABLE as error:
        what = shorten(str(error), 160)
        raise BadPayload(
            f"{_named(tensor)}: its data does not fit {tensor.datatype}: {what}"
        ) from (error)
    return _flattened(tensor, values, nested)


_OPENS = ord("[")
_BEFORE = frozenset(b" \t\r\n[")


def _flattened(tensor: InputTensor, values: Values, depth: int) -> Values:
    """Return nested lists as one, once each is as long as the shape says."""
    for size in tensor.shape[1:depth]:
        lists = cast("list[Values]", values)
        if any(len(part) != size for part in lists):
            shape = shorten(str(tensor.shape), 60)
            raise BadPayload(f"{_named(tensor)}: its data is not nested as shape {shape}")
        values = list(itertools.chain.from_iterable(lists))
    return values


@functools.lru_cache(maxsize=256)
def _decoder(datatype: str, depth: int) -> msgspec.json.Decoder[Values]:
    """Return what decodes the data of a tensor in JSON."""
    kind: object = (_PYTHON.get(datatype) or _bounded(datatype)) | None  # type: ignore[operator]
    for _ in range(depth):
        kind = list.__class_getitem__(kind)
    return msgspec.json.Decoder(cast("type[Values]", kind))


def _bounded(datatype: str) -> object:
    """Return the type of numbers of a datatype."""
    if datatype.startswith("FP"):
        return float
    field = Field(name="", dtype=datatype.replace("UINT", "UInt").replace("INT", "Int"))
    return dtype_of(field).python


def column_of(tensor: Tensor, field: Field, *, nan_is_missing: bool) -> Values:
    """Return a tensor as the column of a field.

    Raises:
        BadPayload: if it does not fit.
    """
    dtype = dtype_of(field)
    values = _FITS[dtype.kind](tensor, field, dtype)
    if tensor.datatype.startswith("FP") and tensor.binary:
        values = finite(values, tensor.name, nan_is_missing=nan_is_missing)
    shape = tensor.shape
    if not field.shape:
        if len(shape) > 1 and shape[1:] != (1,):
            raise BadPayload(_misfit(tensor, field))
        return values
    fits = len(shape) == 1 + len(field.shape) and all(
        size in {None, found} for size, found in zip(field.shape, shape[1:], strict=True)
    )
    if not fits:
        raise BadPayload(_misfit(tensor, field))
    return nest(values, shape)


def nest(values: Values, shape: Sequence[int]) -> Values:
    """Return elements one after the other as nested lists."""
    for size in reversed(shape[1:]):
        count = len(values) // size if size else math.prod(shape[:-1])
        values = [values[size * at : size * (at + 1)] for at in range(count)]
        shape = shape[:-1]
    return values


def finite(values: Values, name: str, *, nan_is_missing: bool) -> Values:
    """Return floats without NaN, or as missing values where that is what they stand for.

    Raises:
        BadPayload: naming the first that is not finite.
    """
    numbers = cast("list[float]", values)
    if math.isfinite(sum(numbers)):
        return values
    for row, value in enumerate(numbers):
        if math.isinf(value) or (not nan_is_missing and math.isnan(value)):
            raise BadPayload(
                f"input {shorten(name, 100)!r}: element {row} is {value}; send finite numbers, "
                "and null in JSON where a value is missing"
            )
    return [None if math.isnan(value) else value for value in numbers]


def _numbers(tensor: Tensor, field: Field, dtype: Dtype) -> Values:
    """Return a tensor's elements as floats."""
    if tensor.datatype in {"BOOL", "BYTES"}:
        raise BadPayload(_misfit(tensor, field))
    values = cast("list[float | None]", tensor.values)
    if not tensor.datatype.startswith("FP"):
        values = [None if value is None else float(value) for value in values]
    if dtype.most is not None:
        _bound(tensor, field, dtype)
    return cast("Values", values)


def _integers(tensor: Tensor, field: Field, dtype: Dtype) -> Values:
    """Return a tensor's elements as integers."""
    if "INT" not in tensor.datatype:
        raise BadPayload(_misfit(tensor, field))
    if tensor.datatype != dtype.datatype or not tensor.binary:
        _bound(tensor, field, dtype)
    return tensor.values


def _booleans(tensor: Tensor, field: Field, _: Dtype) -> Values:
    """Return a tensor's elements as booleans."""
    if tensor.datatype != "BOOL":
        raise BadPayload(_misfit(tensor, field))
    return tensor.values


def _texts(tensor: Tensor, field: Field, _: Dtype) -> Values:
    """Return a tensor's elements as text."""
    if tensor.datatype != "BYTES":
        raise BadPayload(_misfit(tensor, field))
    return tensor.values


def _times(tensor: Tensor, field: Field, dtype: Dtype) -> Values:
    """Return a tensor's elements as dates or times."""
    _texts(tensor, field, dtype)
    one = typed(msgspec.structs.replace(field, shape=()))
    try:
        return cast("Values", msgspec.convert(tensor.values, list[one]))  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        raise BadPayload(f"{wanted(field)}: {shorten(str(error), 160)}") from error


_FITS: dict[str, Callable[[Tensor, Field, Dtype], Values]] = {
    "int": _integers,
    "float": _numbers,
    "bool": _booleans,
    "text": _texts,
    "time": _times,
}


def _bound(tensor: Tensor, field: Field, dtype: Dtype) -> None:
    """Refuse numbers that a field's type cannot hold; infinite ones are looked for elsewhere."""
    assert dtype.least is not None
    assert dtype.most is not None
    for at, value in enumerate(cast("list[float | None]", tensor.values)):
        outside = value is not None and not dtype.least <= value <= dtype.most
        if outside and math.isfinite(value or 0):
            raise BadPayload(f"element {at}: {wanted(field)}, found {value}")


def _misfit(tensor: Tensor, field: Field) -> str:
    """Say that a tensor is not what a field wants."""
    shape = shorten(str(list(tensor.shape)), 60)
    rows = "[rows]" if not field.shape else "[rows, ...] and its shape"
    return f"{wanted(field)}, as {rows}; found {tensor.datatype} of shape {shape}"


def _named(tensor: InputTensor) -> str:
    """Return what a tensor is called in a message."""
    return f"input {shorten(tensor.name, 100)!r}"


def by_name(tensors: dict[str, Tensor], *, nan_is_missing: bool) -> Columns:
    """Return tensors as columns by what they say of themselves, where no signature does.

    Raises:
        BadPayload: if a number is not finite.
    """
    columns: Columns = {}
    for name, tensor in tensors.items():
        values = tensor.values
        if tensor.datatype.startswith("FP") and tensor.binary:
            values = finite(values, name, nan_is_missing=nan_is_missing)
        columns[name] = values if tensor.shape[1:] == (1,) else nest(values, tensor.shape)
    return columns
