"""Keys to look up, and what was found: between a gateway and the worker that asks a store.

Values are plain: a gateway has no frames. Keys of one ask are distinct, and what is found is told
in their order; rows were joined to keys by value, in the worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

Scalar = bool | int | float | str | None
Columns = Mapping[str, Sequence[Scalar]]
"""A column is a list with a value a row."""


class FetchNote(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a worker one that looks up."""

    keys: tuple[str, ...]
    columns: dict[str, str]
    """What is looked up: dtype, as polars writes it, by column."""


class Fetch(msgspec.Struct, frozen=True, kw_only=True, tag="fetch"):
    """Look up distinct keys."""

    keys: dict[str, list[Scalar]]


class Fetched(msgspec.Struct, frozen=True, kw_only=True, tag="fetched", omit_defaults=True):
    """What was found."""

    values: dict[str, list[Scalar]] = {}
    """By column, one a key; None where the store has none."""
    wrong: dict[str, list[int]] = {}
    """By column, numbers of keys whose value cannot be used: NaN, infinite, of another type, or
    two rows of one key say different things."""
    said: str = ""
    """Why they cannot, of the first; masked."""
    error: str = ""
    """Nothing was found, because: the function raised, its worker died, or there is none."""
    seconds: float = 0.0
    """In the function."""


def encode_columns(columns: Columns) -> bytes:
    """Return columns as msgpack: what ``wire.serving.Ask.extra`` holds."""
    return msgspec.msgpack.encode(columns)


_columns = msgspec.msgpack.Decoder(dict[str, list[Scalar]])


def decode_columns(data: bytes) -> dict[str, list[Scalar]]:
    """Return the columns in msgpack.

    Raises:
        msgspec.MsgspecError: if there are none.
    """
    return _columns.decode(data) if data else {}
