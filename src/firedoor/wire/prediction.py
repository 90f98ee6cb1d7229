"""The prediction log: a copy of each answer, with what it was made of."""

from __future__ import annotations

import msgspec


class Feature(msgspec.Struct, frozen=True, array_like=True):
    """Where a looked-up group of features came from, for all rows of a request."""

    group: str
    code: str
    """``live``, ``cached``, ``default`` or ``missing``: the worst of all its values."""
    age_s: float = 0.0
    """Of the oldest value that came from the store, now or before."""
    codes: dict[str, str] = {}
    """By column, a letter a row, of the first 1,000: ``l``, ``c``, ``d`` or ``m``. Columns that are
    live in every row are left out."""
    ages_s: dict[str, tuple[float, ...]] = {}
    """By column, the age a row, of the first 1,000; 0 for what never was in the store. Columns
    whose values were all fetched for this request are left out."""


class PredictionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request that was answered."""

    id: str
    """Sortable by time: 12 hexadecimal digits of milliseconds since 1970, then chance."""
    at_s: float
    service: str
    gateway: str
    arm: str
    """``champion``, ``candidate``, ``previous``, ``cached``, ``constant``, ``function``."""
    model: str = ""
    version: int | None = None
    digest: str = ""
    status: int = 200
    degraded: str = ""
    form: int = 1
    json_bytes: int = 0
    body: bytes = b""
    """As it came, up to 64 KiB; empty beyond."""
    body_bytes: int = 0
    extra: bytes = b""
    """Looked-up columns as they were used, msgpack."""
    features: tuple[Feature, ...] = ()
    scores: tuple[float, ...] = ()
    """Of the first 1,000 rows."""
    shadow_scores: tuple[float, ...] = ()
    """The other version's, where it was asked too."""
    seconds: float = 0.0
    key: str = ""
    source: str = ""
    """Where the caller says that its rows are from: ``flights-000123/17``."""
    rollout: str = ""


_records = msgspec.msgpack.Decoder(tuple[PredictionRecord, ...])


def encode_predictions(records: list[PredictionRecord]) -> bytes:
    """Return several records as msgpack."""
    return msgspec.msgpack.encode(records)


def decode_predictions(data: bytes) -> tuple[PredictionRecord, ...]:
    """Return the records.

    Raises:
        msgspec.MsgspecError: if there are none.
    """
    return _records.decode(data)
