"""What is said between who takes a snapshot and the worker that reads the rows."""

from __future__ import annotations

import msgspec

from firedoor.spec.dataset_plan import DatasetPlan
from firedoor.wire.dataset import Provenance, Span

ORDER, FOUND = "order.json", "found.json"
"""Files: in the folder that the worker is handed as kept, and in the one that it keeps."""
KEPT = "snapshot"
"""Name of the latter; of the former too, since it is never handed back."""
FOUND_BYTES_MAX = 256 * 2**20


class SnapshotOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What to read, and how to part it."""

    dataset: DatasetPlan
    names: tuple[str, ...]
    """Files, relative to the folder that is handed over, in the order of their rows."""
    mark: str
    """Key in a file's metadata under which a sink says which batch it is."""


class PartFound(msgspec.Struct, frozen=True, kw_only=True):
    """A part that was written."""

    name: str
    rows: int
    span: Span | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was read and written; or why nothing was."""

    refused: str = ""
    sha256: tuple[str, ...] = ()
    """Of each file, as it was read."""
    rows: int = 0
    columns: dict[str, str] = {}
    parts: tuple[PartFound, ...] = ()
    provenance: Provenance = Provenance()
    span: Span | None = None
    apart: int = 0
    leaks: tuple[str, ...] = ()


_orders = msgspec.json.Decoder(SnapshotOrder)
_found = msgspec.json.Decoder(Found)


def encode(said: SnapshotOrder | Found) -> bytes:
    """Return what is said as JSON."""
    return msgspec.json.encode(said)


def decode_order(data: bytes) -> SnapshotOrder:
    """Return an order."""
    return _orders.decode(data)


def decode_found(data: bytes) -> Found:
    """Return what a worker found.

    Raises:
        msgspec.MsgspecError: if it is not that.
    """
    return _found.decode(data)
