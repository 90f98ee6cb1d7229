"""The record of a snapshot: which rows a dataset is, where they came from, how they were parted.

A snapshot is a folder, made whole and never changed: ``.firedoor/datasets/NAME-DIGEST/``.

| In it | What |
|---|---|
| ``snapshot.json`` | the record |
| ``open/`` | what a job is handed; with parts ``open/PART/rows.parquet``, without them the files |
| ``sealed/PART/inputs/rows.parquet`` | a sealed part, all columns but the label |
| ``sealed/PART/labels/rows.parquet`` | its label, in the same order |
"""

from __future__ import annotations

import msgspec

from firedoor.errors import StoreRefused, shorten

SNAPSHOT_VERSION = 1
SINK_KEY = "firedoor"
"""Under which the metadata of a file that a sink wrote says zone, batch and the checksum of the
payload that it was made of."""


class FileNote(msgspec.Struct, frozen=True, kw_only=True):
    """A file, and what is in it."""

    name: str
    """Relative to the folder of the sink, or to that of the snapshot."""
    bytes: int
    sha256: str


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """The times of rows, as ISO 8601, both included."""

    column: str
    first: str
    last: str


class PartNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of a dataset."""

    name: str
    rows: int
    files: tuple[FileNote, ...]
    sealed: bool = False
    span: Span | None = None


class Provenance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which batches the rows came in, as the files of a sink say themselves."""

    batches: int = 0
    first: str = ""
    last: str = ""
    unknown: int = 0
    """Files that no sink of firedoor wrote."""
    listing: str = ""
    """Hash over the batches and their checksums, in order."""


class SnapshotRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One snapshot."""

    name: str
    """Of the dataset; of a sink that is read as it is, the sink's."""
    digest: str
    """SHA-256 over the content of all files that were read, and over how they were parted."""
    pipeline: str
    sink: str
    taken_s: float
    rows: int
    files: tuple[FileNote, ...]
    """What was read."""
    columns: dict[str, str]
    """Dtype by column."""
    schema: str
    """Fingerprint of the columns."""
    parts: tuple[PartNote, ...]
    """Without a split one, named ``all``."""
    provenance: Provenance = Provenance()
    span: Span | None = None
    label: str = ""
    """The column that is kept from models under evaluation."""
    split: str = ""
    """How it was parted, as declared; empty: it was not."""
    apart: int = 0
    """Rows that are in no part, among them those without a label."""
    leaks: tuple[str, ...] = ()
    """What parts share, few enough to be let pass."""
    compared: str = ""
    """What was compared to find leaks; empty: nothing was."""
    version: int = SNAPSHOT_VERSION

    @property
    def id(self) -> str:
        """The name of its folder."""
        return f"{self.name}-{self.digest[:16]}"

    @property
    def sealed(self) -> tuple[str, ...]:
        """The parts that no job may see that reads it."""
        return tuple(part.name for part in self.parts if part.sealed)

    def part(self, name: str) -> PartNote:
        """Return a part. Raises KeyError if there is none."""
        found = {part.name: part for part in self.parts}
        return found[name]


_records = msgspec.json.Decoder(SnapshotRecord)


def encode_snapshot(record: SnapshotRecord) -> bytes:
    """Return a record as JSON, for people to read as well."""
    return msgspec.json.format(msgspec.json.encode(record)) + b"\n"


def decode_snapshot(data: bytes) -> SnapshotRecord:
    """Return the record in JSON.

    Raises:
        StoreRefused: if it is none, or of another version.
    """
    try:
        record = _records.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"it is no record of a snapshot: {shorten(str(error))}; remove its folder"
        raise StoreRefused(message) from error
    if record.version != SNAPSHOT_VERSION:
        message = f"it is of version {record.version}, and this firedoor reads {SNAPSHOT_VERSION}"
        raise StoreRefused(message)
    return record
