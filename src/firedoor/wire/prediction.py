"""The prediction log: a copy of each answer, with what it was made of."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

CHUNK_BYTES_MAX = 2**20
"""Of a chunk's records before they are compressed."""
LABEL = "label"
"""The arm of a record that is one."""
ID_DIGITS_MIN = 13
"""Of an id: its time, and something else."""
RECORD_BYTES_MAX = 256 * 2**10
"""Of one record; a larger one goes without its rows."""
EMPTY_BYTES = 400
"""About what a record takes beside its rows and scores."""
INFLATED_BYTES_MAX = 8 * CHUNK_BYTES_MAX
"""Of a chunk whose records were guessed to be smaller than they are."""


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
    """``champion``, ``candidate``, ``previous``, ``cached``, ``constant``, ``function``; see
    ``label``."""
    model: str = ""
    version: int | None = None
    digest: str = ""
    status: int = 200
    degraded: str = ""
    because: str = ""
    """Of a degraded answer: why the version that was to answer did not; at most 300 characters."""
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
    code: str = ""
    """Version of the service's code."""
    label: float | None = None
    """Of a record that says what came true of a prediction, later: ``id`` is the prediction's, and
    ``arm`` is ``label``. Such records are read beside those that they are about."""


class Chunk(NamedTuple):
    """Records of one service, as they are kept together."""

    id: str
    """Made of the first of them: a chunk that is sent twice is kept once."""
    service: str
    first_s: float
    last_s: float
    """Between which all of them were made."""
    records: int
    labels: int
    """Of them, that are labels."""
    payload: bytes
    """msgpack, compressed by zlib."""


_records = msgspec.msgpack.Decoder(tuple[PredictionRecord, ...])


def made_s(prediction: str) -> float | None:
    """Return when a prediction was made, by its id; None: that is none.

    >>> made_s("019ac5d0b400-host7-1f2e3d4c5b6a")
    1764255380.48
    """
    try:
        return int(prediction[:12], 16) / 1_000 if len(prediction) >= ID_DIGITS_MIN else None
    except ValueError:
        return None


def size_of(record: PredictionRecord) -> int:
    """Return about how many bytes a record takes."""
    scores = len(record.scores) + len(record.shadow_scores)
    noted = sum(len(codes) for group in record.features for codes in group.codes.values())
    noted += sum(9 * len(ages) for group in record.features for ages in group.ages_s.values())
    noted += len(record.because)
    return EMPTY_BYTES + len(record.body) + len(record.extra) + 9 * scores + noted


def slim(record: PredictionRecord) -> PredictionRecord:
    """Return a record that fits into a chunk: a giant one without its rows."""
    if size_of(record) <= RECORD_BYTES_MAX:
        return record
    groups = (msgspec.structs.replace(group, codes={}, ages_s={}) for group in record.features)
    return msgspec.structs.replace(record, body=b"", extra=b"", features=tuple(groups))


def encode_chunk(records: Sequence[PredictionRecord]) -> Chunk:
    """Return records of one service as a chunk. There is one at least."""
    times = [record.at_s for record in records]
    payload = zlib.compress(msgspec.msgpack.encode(records), 1)
    first, labels = records[0], sum(record.arm == LABEL for record in records)
    name = f"{first.id}-{first.arm}"  # a label has the id of its prediction
    return Chunk(name, first.service, min(times), max(times), len(records), labels, payload)


def decode_chunk(chunk: Chunk) -> tuple[PredictionRecord, ...]:
    """Return the records of a chunk.

    Raises:
        ValueError: if it is none, or of another version of firedoor.
    """
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(chunk.payload, INFLATED_BYTES_MAX)
        return _records.decode(data)
    except (zlib.error, msgspec.MsgspecError) as error:
        message = f"a chunk of the prediction log cannot be read: {error}"
        raise ValueError(message) from error
