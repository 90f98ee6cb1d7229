"""Record what sources brought in lately: batches as files, and when each was cut.

Batches are cut again from what the sources read, as a backfill cuts them: nothing is taken out of
the pipeline, and nothing in it waits. Lines that could not be read are not in a recording.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from firedoor.compose.files import FOLDER_MODE, explain, write_atomically
from firedoor.compose.recutting import Recutter
from firedoor.control.payloads import decode_frame
from firedoor.errors import NotKnown, Refused
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.records import BatchRecord

NAME = "recording.json"
BATCHES_MAX = 20_000
BYTES_MAX = 2 * 2**30
"""Of all files of a recording."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One batch."""

    file: str
    """Relative to the recording."""
    at_s: float
    """After the beginning of the recording."""
    rows: int


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder of batches holds: the file ``recording.json``."""

    pipeline: str
    file: str
    """That declares the pipeline."""
    began_s: float
    """UTC, of the first batch."""
    seconds: float
    """Until the last one."""
    sources: dict[str, tuple[Piece, ...]]
    version: int = 1


async def record(
    streams: Streams, plan: Plan, out: Path, *, since_s: float, until_s: float
) -> Recording:
    """Write the batches that sources cut in a span of time to a folder, and return what is in it.

    Args:
        streams: of the pipeline.
        plan: the pipeline.
        out: a folder that is not there yet, or is empty.
        since_s: UTC.
        until_s: UTC.

    Raises:
        NotKnown: if nothing was cut then.
        Refused: if the folder is taken, or what sources read is not as it was.
        StreamsUnavailable: if the broker is away.
    """
    _take(out)
    found: dict[str, list[tuple[BatchRecord, BatchRecord | None]]] = {}
    for zone in plan.zones:
        if zone.kind == "source":
            found[zone.name] = await _records(streams, zone.name, since_s, until_s)
    cuts = [one.cut_s for records in found.values() for one, _ in records]
    if not cuts:
        message = "sources cut nothing then: name a longer time with --last"
        raise NotKnown(message)
    began_s, pieces, size = min(cuts), dict[str, tuple[Piece, ...]](), 0
    async with Recutter(streams, plan) as recutter:
        for name, records in found.items():
            made: list[Piece] = []
            for one, before in records:
                file = f"{name}/{len(made) + 1:06}.parquet"
                size += await _write(recutter, plan.zone(name), one, before, out / file)
                _bound(size)
                made.append(Piece(file=file, at_s=one.cut_s - began_s, rows=one.passed))
            pieces[name] = tuple(made)
    recording = Recording(
        pipeline=plan.pipeline,
        file=plan.file,
        began_s=began_s,
        seconds=max(cuts) - began_s,
        sources=pieces,
    )
    write_atomically(out / NAME, msgspec.json.format(msgspec.json.encode(recording)))
    return recording


def read_recording(folder: Path) -> Recording:
    """Return what is in a recording.

    Raises:
        NotKnown: if it is none, or a file of it is missing.
    """
    try:
        recording = msgspec.json.decode((folder / NAME).read_bytes(), type=Recording)
    except OSError as error:
        message = f"{folder} holds no recording ({explain(error)}): firedoor drill record DIR"
        raise NotKnown(message) from error
    except msgspec.MsgspecError as error:
        message = f"{folder / NAME} is no recording of this version: {error}; record anew"
        raise NotKnown(message) from error
    for piece in (piece for pieces in recording.sources.values() for piece in pieces):
        if not (folder / piece.file).is_file():
            message = f"{folder / piece.file} is not there any more: record anew"
            raise NotKnown(message)
    return recording


async def _records(
    streams: Streams, source: str, since_s: float, until_s: float
) -> list[tuple[BatchRecord, BatchRecord | None]]:
    """Return the batches of a source in a span of time, each with the one before it."""
    found: list[tuple[BatchRecord, BatchRecord | None]] = []
    before: BatchRecord | None = None
    async for one in streams.records(source):
        if since_s <= one.cut_s <= until_s:
            found.append((one, before))
            if len(found) > BATCHES_MAX:
                message = f"{source} cut more than {BATCHES_MAX:,} batches then: record less time"
                raise Refused(message)
        before = one
    return found


async def _write(
    recutter: Recutter, zone: ZonePlan, one: BatchRecord, before: BatchRecord | None, file: Path
) -> int:
    """Write one batch; return its size."""
    parcel = await recutter.cut(zone, one, before)

    def work() -> int:
        file.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
        decode_frame(parcel.payload[: parcel.frame_bytes]).write_parquet(file)
        file.chmod(0o600)
        return file.stat().st_size

    return await asyncio.to_thread(work)


def _take(out: Path) -> None:
    """Make the folder.

    Raises:
        Refused: if there is something in it, or it cannot be made.
    """
    try:
        out.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        taken = any(out.iterdir())
    except OSError as error:
        raise Refused(explain(error)) from error
    if taken:
        message = f"{out} is not empty: name a folder that is not there yet"
        raise Refused(message)


def _bound(size: int) -> None:
    """Refuse a recording that would fill the disk."""
    if size > BYTES_MAX:
        message = f"what was cut then is larger than {BYTES_MAX:,} bytes: record less time"
        raise Refused(message)
