"""A declared row of outputs as the answer to any request."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import msgspec

from firedoor.wire.answers import EVERYTHING, write_answer
from firedoor.wire.columns import Columns
from firedoor.wire.serving import ROWS_MAX, Form, Outcome, Told

Row = Mapping[str, bool | int | float | str | None]
_DATATYPES = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}


_DOUBLE = struct.Struct("<d")


class _Tensor(msgspec.Struct):
    shape: list[int]


class _Infer(msgspec.Struct):
    inputs: list[_Tensor]


_rows = msgspec.json.Decoder(list[msgspec.Raw])
_infer = msgspec.json.Decoder(_Infer)


def rows_of(form: Form, body: bytes, json_bytes: int) -> int:
    """Return how many rows a request has, without reading them.

    Raises:
        ValueError: if that cannot be told, or there are none, or too many.
    """
    try:
        if form is Form.ROWS:
            rows = 1 if body.lstrip()[:1] == b"{" else len(_rows.decode(body))
        else:
            head = body[:json_bytes] if form is Form.V2_BINARY else body
            rows = _infer.decode(head).inputs[0].shape[0]
    except (msgspec.MsgspecError, UnicodeDecodeError, IndexError) as error:
        message = "the body has no rows that could be counted: send a list of objects, or tensors"
        raise ValueError(message) from error
    if not 0 < rows <= ROWS_MAX:
        message = f"the body has {rows} rows: send 1 to {ROWS_MAX:,}"
        raise ValueError(message)
    return rows


def constant(form: Form, row: Row, rows: int) -> Told:
    """Return the same outputs for each row, as a version would have told them, in JSON."""
    columns: Columns = {name: [value] * rows for name, value in row.items()}
    datatypes = {name: _DATATYPES.get(type(value), "FP64") for name, value in row.items()}
    fragment, tail = write_answer(form, columns, datatypes, EVERYTHING)
    first = next(iter(row.values()))
    score = b"" if first is None or isinstance(first, str) else _DOUBLE.pack(float(first)) * rows
    return Told(Outcome.OK, rows, score, fragment, tail)
