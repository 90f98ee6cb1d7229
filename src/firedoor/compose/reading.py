"""The reader child: ``python -m firedoor.compose.reading FD``. See ``data.reader``.

A user's code runs here (the pipeline's file, where a schema or an iterable stands in it), and so do
the parsers of files. A thread listens: when the socket ends, so does the process, whatever the
main thread is doing.
"""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import polars as pl

from firedoor.adapters.clock import SystemClock
from firedoor.compose.pipeline_file import load_pipeline
from firedoor.compose.stage import encode_numbers
from firedoor.compute import ipc, letters
from firedoor.compute.frames import fingerprint, to_polars
from firedoor.compute.outputs import rule_reasons
from firedoor.data import reader
from firedoor.data.child import heard, say
from firedoor.data.reading.admit import Admitted, Door
from firedoor.data.reading.csv import CsvFile
from firedoor.data.reading.cut import Cut, Supply, Unreadable
from firedoor.data.reading.files import Files, OpenFile
from firedoor.data.reading.frames import FrameSupply
from firedoor.data.reading.hints import Types
from firedoor.data.reading.jsonl import JsonLines
from firedoor.data.reading.parquet import ParquetFile
from firedoor.errors import PipelineUnloadable
from firedoor.ports.stage import DeadRows
from firedoor.spec import sources
from firedoor.spec.plan import Plan, SourcePlan, ZonePlan, decode_plan
from firedoor.spec.wall import Extra
from firedoor.units import format_bytes
from firedoor.wire.envelope import PAYLOAD_MAX
from firedoor.wire.records import Position

if TYPE_CHECKING:
    import dataframely as dy

LOOK_S = 1.0
"""How often a source that is followed looks for new files."""
CREDITS_MAX = 2 * reader.AHEAD
GROW_SHARE = 4
"""A batch that fills less than this part of what may be sent is followed by one twice as long."""
REMEDIED = frozenset({"changed", "raised"})
"""Codes of what there is another remedy for than to mend it and to go on."""
MENDED_OUTSIDE = frozenset({"missing", "unreadable", "damaged", "row_too_large"})
"""Codes of what says itself how it is mended."""
COMMAND = (sys.executable, "-P", "-m", "firedoor.compose.reading")


def main(descriptor: int) -> None:
    """Read and send until there is nothing more, or nobody listens."""
    line = socket.socket(fileno=descriptor)
    line.set_inheritable(False)
    begin = reader.decode_told(heard(line)[0])
    assert isinstance(begin, reader.Begin), "a reader is told what to read first"
    credit: queue.Queue[None] = queue.Queue(CREDITS_MAX)
    threading.Thread(target=_listen, args=(line, credit), daemon=True).start()
    try:
        for said, *payload in _said(begin):
            if isinstance(said, reader.Batch):
                credit.get()
            say(line, reader.encode(said, *payload))
            if isinstance(said, reader.Waiting):
                threading.Event().wait(LOOK_S)
    except Unreadable as error:
        told = _remedied(error, begin.zone)
        failed = reader.Failed(code=error.code, message=told, columns=error.columns)
        say(line, reader.encode(failed))
    except PipelineUnloadable as error:
        say(line, reader.encode(reader.Failed(code="step_unloadable", message=str(error))))
    # What it said is read before its end is seen: nobody hears a process that goes on.
    line.shutdown(socket.SHUT_WR)
    threading.Event().wait()


def _remedied(error: Unreadable, zone: str) -> str:
    """Return why a source cannot go on, and how it is set going again once that is put right."""
    if error.code in REMEDIED:
        return str(error)
    mend = "" if error.code in MENDED_OUTSIDE else "correct the file or the schema, "
    return f"{str(error).rstrip('.')}; {mend}then run `firedoor zone restart {zone}`"


def _said(begin: reader.Begin) -> Iterator[tuple[reader.Said, *tuple[bytes, ...]]]:
    """Go through what there is to say."""
    plan = decode_plan(begin.plan)
    zone = plan.zone(begin.zone)
    source = zone.source
    assert source is not None, f"{zone.name} is a source"
    schema, frames = _declared(plan, zone)
    door = Door(
        schema,
        extra=cast("Extra", zone.wall.get("extra", "keep")),
        share_max=float(cast("float", zone.wall.get("contrast", 0.05))),
        absent_is_null=source.form == "jsonl",
    )
    supply = _supply(source, frames, door.declared, begin.known)
    position = begin.position
    clock = SystemClock()
    while True:
        began_s, since_s = clock.utc_s(), clock.now_s()
        found = _batch(supply, door, zone, position)
        if found is not None:
            batch, parcel, dead = found
            position = batch.position
            took_s = clock.now_s() - since_s
            yield msgspec.structs.replace(batch, began_s=began_s, seconds=took_s), parcel, dead
        elif source.follow:
            yield (reader.Waiting(),)
        else:
            yield (reader.Ended(),)
            return


def _declared(plan: Plan, zone: ZonePlan) -> tuple[type[dy.Schema] | None, sources.Frames | None]:
    """Return the schema and the iterable of a source; the user's file is run only for these."""
    assert zone.source is not None, f"{zone.name} is a source"
    if zone.schema is None and zone.source.form != "frames":
        return None, None
    sys.path[:] = [*sys.path, *(path for path in plan.sys_path if path not in sys.path)]
    pipeline = load_pipeline(Path(plan.file))
    for declared in pipeline.zones:
        if declared.name == zone.name and declared.reading is not None:
            form = declared.reading.form
            return declared.schema, form if isinstance(form, sources.Frames) else None
    message = f"{plan.file}: source {zone.name!r} is not in it any more; run the pipeline anew"
    raise PipelineUnloadable(message)


def _supply(
    source: SourcePlan, frames: sources.Frames | None, declared: Types, known: tuple[str, ...]
) -> Supply:
    """Return what batches are cut from."""
    if source.form == "frames":
        if frames is None:
            message = "the source gives no frames any more; run the pipeline anew"
            raise PipelineUnloadable(message)
        return FrameSupply(frames.frames, to_polars)

    def open_file(path: str) -> OpenFile:
        if source.form == "jsonl":
            return JsonLines(path, declared=declared, line_bytes_max=source.line_bytes_max)
        if source.form == "csv":
            return CsvFile(path, line_bytes_max=source.line_bytes_max)
        return ParquetFile(path)

    return Files(source.patterns, open_file, known=known, follow=source.follow)


def _batch(
    supply: Supply, door: Door, zone: ZonePlan, position: Position | None
) -> tuple[reader.Batch, bytes, bytes] | None:
    """Return the next batch as bytes, of fewer lines if they do not fit; None if there is none."""
    assert zone.source is not None, f"{zone.name} is a source"
    declared = zone.source.batch_rows
    rows = position.rows if position is not None and position.rows else declared
    while True:
        cut = supply.cut(position, rows)
        if cut is None:
            return None
        admitted = door.admit(cut)
        parcel, frame_bytes = _parcel(admitted)
        dead = _dead(admitted, zone)
        size = max(len(parcel), len(dead.payload) if dead else 0)
        if size <= PAYLOAD_MAX:
            break
        if cut.lines == 1:
            message = (
                f"{cut.segment.file}, line {cut.segment.line:,}: the row has {format_bytes(size)}, "
                f"and a batch may have {format_bytes(PAYLOAD_MAX)}: take what is large out of it"
            )
            raise Unreadable(message, code="row_too_large")
        rows = max(1, min(rows, cut.lines) // 2)
    more = rows * 2 if size * GROW_SHARE <= PAYLOAD_MAX else rows
    go_on = msgspec.structs.replace(cut.position, rows=min(declared, max(more, 1)))
    batch = _note(cut, admitted, dead, parcel_bytes=len(parcel), frame_bytes=frame_bytes)
    batch = msgspec.structs.replace(batch, position=go_on)
    return batch, parcel, dead.payload if dead else b""


def _note(
    cut: Cut, admitted: Admitted, dead: DeadRows | None, *, parcel_bytes: int, frame_bytes: int
) -> reader.Batch:
    """Return what is said of a batch besides its bytes."""
    return reader.Batch(
        parcel_bytes=parcel_bytes,
        frame_bytes=frame_bytes,
        rows=admitted.frame.height,
        schema=fingerprint(admitted.frame),
        lines=cut.lines,
        dropped=cut.dropped,
        segment=cut.segment,
        position=cut.position,
        dead_rows=dead.rows if dead else 0,
        dead_frame_bytes=dead.frame_bytes if dead else 0,
        groups=dead.groups if dead else (),
    )


def _parcel(admitted: Admitted) -> tuple[bytes, int]:
    """Return the rows as a payload, and how much of it is the frame."""
    try:
        frame = b"".join(ipc.encode(admitted.frame, compress=True))
    except pl.exceptions.PolarsError as error:
        message = f"the rows cannot be sent on: {error}"
        raise Unreadable(message, code="wrong_frame") from error
    numbers = b"" if admitted.numbers is None else encode_numbers(admitted.numbers)
    return frame + numbers, len(frame)


def _dead(admitted: Admitted, zone: ZonePlan) -> DeadRows | None:
    """Return dead rows as bytes, None if there are none."""
    reasons = admitted.reasons
    if not reasons.height:
        return None
    told = reasons.select("row", pl.concat_list("signature").alias("rules"), "message")
    reasons = reasons.with_columns(rule_reasons(told, "schema")["attempts"])  # nothing was run
    return letters.pack(admitted.dead, reasons, sensitive=zone.sensitive)


def _listen(line: socket.socket, credit: queue.Queue[None]) -> None:
    """Take credit; end the process with the socket."""
    while True:
        try:
            heard(line)
        except (OSError, EOFError, msgspec.MsgspecError):
            os._exit(0)
        try:
            credit.put_nowait(None)
        except queue.Full:
            os._exit(1)  # more credit than batches were sent for: nobody sane is at the other end


if __name__ == "__main__":
    main(int(sys.argv[1]))
