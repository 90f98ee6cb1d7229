"""The rows of a request, whichever way they are written.

Two readers: ``columns_of`` looks for a few columns and believes nothing, for whoever routes a
request; ``Reader`` reads it whole against a model's signature, in the worker. What is wrong with a
request is said in its own words: which row, which field, what is wanted, what was found.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import msgspec

from firedoor.errors import shorten
from firedoor.wire.answers import EVERYTHING, Wanted, check_wanted, datatypes_of, wanted_of
from firedoor.wire.bundle import Field, Signature
from firedoor.wire.columns import (
    UNREADABLE,
    BadPayload,
    Columns,
    Values,
    dtype_of,
    is_plain,
    told,
    typed,
    wanted,
    within,
)
from firedoor.wire.serving import ROWS_MAX, Ask, Form
from firedoor.wire.tensors import Tensor, by_name, column_of, read_request, read_tensors

__all__ = ["BadPayload", "Reader", "Taken", "columns_of"]

NAMES_MAX = 10_000
"""Columns of a request where no signature says which."""
READERS_MAX = 16

_NO_ROWS = "there are no rows: send one at least"
_JSON_END = "the JSON of the body is said to be longer than the body"


def columns_of(form: Form, body: bytes, json_bytes: int, names: tuple[str, ...]) -> Columns:
    """Return those of some columns that are in a request, as they are written.

    Columns that are not there, or not in all rows, are left out; nothing is checked but what is
    needed to find them.

    Args:
        form: how the rows are written.
        body: of the request.
        json_bytes: of ``V2_BINARY``: how many bytes of it are JSON.
        names: the columns.

    Raises:
        BadPayload: if it cannot be read at all.
    """
    if form is Form.ROWS:
        try:
            decoder, plain = _picker(names)
            found = decoder.decode(body)
        except UNREADABLE as error:
            raise BadPayload(told(error, ())) from error
        rows = cast("list[msgspec.Struct]", found if isinstance(found, list) else [found])
        picked = zip(*(msgspec.structs.astuple(row) for row in rows), strict=True)
        columns = {name: list(column) for name, column in zip(plain, picked, strict=False)}
        return {name: col for name, col in columns.items() if msgspec.UNSET not in col}
    head, binary = _parts(form, body, json_bytes)
    tensors = read_tensors(read_request(head), binary, only=frozenset(names))
    return by_name(tensors, nan_is_missing=True)


class Taken(NamedTuple):
    """The rows of a request, read whole."""

    names: tuple[str, ...]
    rows: list[tuple[object, ...]]
    """Values by the order of ``names``."""
    wanted: Wanted = EVERYTHING


class Reader:
    """Reads requests against the signature of a model."""

    def __init__(self, signature: Signature, *, nan_is_missing: bool = False) -> None:
        """Prepare.

        Args:
            signature: of the model; without inputs, every column is taken as it is written.
            nan_is_missing: whether NaN in a binary tensor stands for a missing value.

        Raises:
            UnknownType: if its values cannot come in a request.
        """
        for field in signature.inputs:
            dtype_of(field)
        self._fields = signature.inputs
        self._outputs = tuple(datatypes_of(signature.outputs))
        self._nan_is_missing = nan_is_missing
        self._whole = _RowsReader(signature.inputs) if signature.inputs else None
        # Further columns are the same for all requests of a service, but for one of another.
        self._without = functools.lru_cache(maxsize=READERS_MAX)(self._make)

    def read(self, ask: Ask) -> Taken:
        """Return the rows of a request, with the further columns that come beside its body.

        Raises:
            BadPayload: if it is not what the model takes.
        """
        if not ask.extra:
            return self._body(ask, self._fields, self._whole)
        extra = self._extra(ask.extra)
        if not self._fields:
            return _joined(self._body(ask, (), None), extra)
        fields, reader = self._without(frozenset(extra))
        return _joined(self._body(ask, fields, reader), extra)

    def _body(self, ask: Ask, fields: tuple[Field, ...], reader: _RowsReader | None) -> Taken:
        """Return what the body holds of some fields; all of it where there is no signature."""
        if ask.form is Form.ROWS:
            if reader is not None:
                return Taken(reader.names, reader.read(ask.body))
            taken = _untyped(ask.body)
            # Every declared column comes from elsewhere: the body says how many rows there are.
            return taken if not self._fields else Taken((), [()] * len(taken.rows))
        request = read_request(_parts(ask.form, ask.body, ask.json_bytes)[0])
        asked = wanted_of(request)
        check_wanted(asked, self._outputs)
        only = frozenset(field.name for field in fields) if self._fields else None
        binary = _parts(ask.form, ask.body, ask.json_bytes)[1]
        tensors = read_tensors(request, binary, only=only)
        names, columns = self._columns(tensors, fields)
        if self._fields and not fields:
            rows = request.inputs[0].shape[0] if request.inputs and request.inputs[0].shape else 0
            return Taken((), [()] * _bounded(rows), asked)
        return Taken(names, _transposed(names, columns), asked)

    def _columns(
        self, tensors: dict[str, Tensor], fields: tuple[Field, ...]
    ) -> tuple[tuple[str, ...], list[Values]]:
        """Return tensors as columns, in the order of the fields."""
        if not self._fields:
            columns = by_name(tensors, nan_is_missing=self._nan_is_missing)
            return tuple(columns), list(columns.values())
        found = []
        for field in fields:
            tensor = tensors.get(field.name)
            if tensor is None:
                raise BadPayload(f"{wanted(field)} and is not among the inputs")
            found.append(column_of(tensor, field, nan_is_missing=self._nan_is_missing))
        return tuple(field.name for field in fields), found

    def _extra(self, data: bytes) -> Columns:
        """Return the further columns that the model takes."""
        try:
            found = _further.decode(data)
        except UNREADABLE as error:
            raise BadPayload(f"looked-up columns cannot be read: {shorten(str(error))}") from error
        if not self._fields:
            return found
        columns: Columns = {}
        for field in self._fields:
            if field.name in found:
                columns[field.name] = _converted(field, found[field.name])
        return columns

    def _make(self, names: frozenset[str]) -> tuple[tuple[Field, ...], _RowsReader | None]:
        """Return the fields that the body has to hold, and what reads them."""
        left = tuple(field for field in self._fields if field.name not in names)
        return left, _RowsReader(left) if left else None


class _RowsReader:
    """Reads rows in JSON that have some fields."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        """Make the types that rows are decoded to."""
        self.names = tuple(field.name for field in fields)
        self._fields = fields
        self._large = tuple(
            (at, field) for at, field in enumerate(fields) if dtype_of(field).datatype == "UINT64"
        )
        row = _row_type((field.name, typed(field)) for field in fields)
        self._decoder = msgspec.json.Decoder(row | list[row])  # type: ignore[valid-type]

    def read(self, body: bytes) -> list[tuple[object, ...]]:
        """Return the values of each row.

        Raises:
            BadPayload: naming row, field, what is wanted and what was found.
        """
        try:
            found = self._decoder.decode(body)
        except UNREADABLE as error:
            raise BadPayload(told(error, self._fields)) from error
        if isinstance(found, list):
            _bounded(len(found))
            rows = list(map(msgspec.structs.astuple, found))
        else:
            rows = [msgspec.structs.astuple(found)]
        for at, field in self._large:
            within(field, [row[at] for row in rows])
        return rows


def _row_type(fields: Iterable[tuple[str, object]], default: object = None) -> type[msgspec.Struct]:
    """Return a type with these fields, whatever characters their names have."""
    named = list(fields)
    optional = () if default is None else (default,)
    spec = [(f"f{at}", kind, *optional) for at, (_, kind) in enumerate(named)]
    return msgspec.defstruct(
        "Row",
        cast("list[tuple[str, type, Any]]", spec),
        rename={f"f{at}": name for at, (name, _) in enumerate(named)},
        gc=False,
    )


@functools.lru_cache(maxsize=64)
def _picker(names: tuple[str, ...]) -> tuple[msgspec.json.Decoder[object], tuple[str, ...]]:
    """Return what decodes a few columns of rows, and their names in order."""
    plain = tuple(dict.fromkeys(name for name in names if is_plain(name)))
    row = _row_type(((name, Any) for name in plain), msgspec.UNSET)
    return msgspec.json.Decoder(row | list[row]), plain  # type: ignore[valid-type]


_further: msgspec.msgpack.Decoder[Columns] = msgspec.msgpack.Decoder(dict[str, list[Any]])
_plain: msgspec.json.Decoder[dict[str, object] | list[dict[str, object]]] = msgspec.json.Decoder(
    dict[str, Any] | list[dict[str, Any]]
)


def _untyped(body: bytes) -> Taken:
    """Return rows as they are written, which must have the same columns."""
    try:
        found = _plain.decode(body)
    except UNREADABLE as error:
        raise BadPayload(told(error, ())) from error
    objects = found if isinstance(found, list) else [found]
    _bounded(len(objects))
    names = tuple(objects[0])
    if len(names) > NAMES_MAX:
        raise BadPayload(f"row 0 has {len(names)} fields, and at most {NAMES_MAX} are taken")
    for at, row in enumerate(objects):
        if row.keys() != objects[0].keys():
            odd = min(row.keys() ^ objects[0].keys())
            raise BadPayload(
                f"row {at}: field {shorten(odd, 100)!r} is in some rows and not in all"
            )
    return Taken(names, [tuple(row[name] for name in names) for row in objects])


def _parts(form: Form, body: bytes, json_bytes: int) -> tuple[memoryview, memoryview]:
    """Return the JSON of a body, and the tensors behind it."""
    view = memoryview(body)
    if form is not Form.V2_BINARY:
        return view, view[:0]
    if not 0 <= json_bytes <= len(body):
        raise BadPayload(_JSON_END)
    return view[:json_bytes], view[json_bytes:]


def _transposed(names: tuple[str, ...], columns: list[Values]) -> list[tuple[object, ...]]:
    """Return columns as rows, once they are equally long."""
    heights = {len(column): name for name, column in zip(names, columns, strict=True)}
    if len(heights) > 1:
        said = ", ".join(f"{shorten(name, 60)!r} has {n}" for n, name in heights.items())
        raise BadPayload(f"inputs have different numbers of rows: {shorten(said, 200)}")
    _bounded(next(iter(heights), 0))
    return list(zip(*columns, strict=True))


def _joined(taken: Taken, extra: Columns) -> Taken:
    """Return rows with further columns, which stand for those of the same name in the body."""
    for name, column in extra.items():
        if len(column) != len(taken.rows):
            raise BadPayload(
                f"looked-up column {name!r} has {len(column)} values for {len(taken.rows)} rows"
            )
    keep = [at for at, name in enumerate(taken.names) if name not in extra]
    rows = taken.rows
    if len(keep) < len(taken.names):
        rows = [tuple(row[at] for at in keep) for row in rows]
    names = (*(taken.names[at] for at in keep), *extra)
    beside = zip(*extra.values(), strict=True) if extra else [()] * len(rows)
    return Taken(
        names, [(*row, *more) for row, more in zip(rows, beside, strict=True)], taken.wanted
    )


def _converted(field: Field, values: Values) -> Values:
    """Return a looked-up column as its field wants it."""
    try:
        found = cast("Values", msgspec.convert(values, list[typed(field)]))  # type: ignore[misc]
    except msgspec.ValidationError as error:
        raise BadPayload(f"looked-up {wanted(field)}: {shorten(str(error), 160)}") from error
    within(field, found)
    return found


def _bounded(rows: int) -> int:
    """Refuse no rows, and too many."""
    if rows < 1:
        raise BadPayload(_NO_ROWS)
    if rows > ROWS_MAX:
        raise BadPayload(f"there are {rows:,} rows, and at most {ROWS_MAX:,} are taken: send fewer")
    return rows
