"""A copy reads and writes in its own folder, and at the pace that was recorded."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from control.world import make_plan
from firedoor.adapters.otel.wishes import wishes_of
from firedoor.compose.drill_copy import around_copy, copied_plan, feed, sweep
from firedoor.compose.drill_recording import Piece, Recording, read_recording
from firedoor.errors import NotKnown
from firedoor.spec.plan import SinkPlan

PIECES = (
    Piece(file="flights/000001.parquet", at_s=0.0, rows=1),
    Piece(file="flights/000002.parquet", at_s=5.0, rows=1),
)


def recording(**more: object) -> Recording:
    values = {
        "pipeline": "year", "file": "/code/year.py", "began_s": 0.0, "seconds": 5.0,
        "sources": {"flights": PIECES}, **more,
    }  # fmt: skip
    return Recording(**values)  # type: ignore[arg-type]


def test_nothing_that_a_copy_does_reaches_the_world() -> None:
    plan = make_plan()
    zones = tuple(
        msgspec.structs.replace(zone, sink=SinkPlan(form="function"))
        if zone.name == "audit"
        else zone
        for zone in plan.zones
    )
    plan = msgspec.structs.replace(plan, zones=zones, environment="production")
    made = copied_plan(plan, recording(), Path("/copy"))
    assert made.environment == "development"
    for zone in made.zones:
        if zone.source is not None:
            assert zone.source.patterns == ("/copy/feed/flights/*.parquet",)
            assert zone.source.follow
        if zone.sink is not None:
            assert (zone.sink.form, zone.step) == ("parquet", None)
            assert zone.sink.path == f"/copy/out/{zone.name}"
    assert made.edges == plan.edges


def test_a_source_that_was_not_recorded_is_refused() -> None:
    with pytest.raises(NotKnown, match="source flights"):
        copied_plan(make_plan(), recording(sources={}), Path("/copy"))


def test_what_a_copy_tells_is_not_taken_for_the_real_pipelines() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "PATH": "/bin",
               "FIREDOOR_ENVIRONMENT": "production"}  # fmt: skip
    assert wishes_of(environ).signals
    around = around_copy(environ)
    assert not wishes_of(around).signals
    assert (around["FIREDOOR_ENVIRONMENT"], around["PATH"]) == ("development", "/bin")


def test_what_a_killed_drill_left_of_a_copy_is_removed_and_nothing_else(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, alive = f"copy-{ended.pid}", f"copy-{os.getpid()}"
    for name in (dead, alive, "20261129-040000-abcd"):
        (tmp_path / name / "out").mkdir(parents=True)
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20261129-040000-abcd", alive]


class Ticking:
    """A clock that stands still but for waits, and ends the story at last."""

    def __init__(self, until_s: float) -> None:
        self.at_s, self.until_s = 0.0, until_s

    def now_s(self) -> float:
        return self.at_s

    def utc_s(self) -> float:
        return self.at_s

    async def wait(self, seconds: float) -> None:
        self.at_s += seconds
        if self.at_s > self.until_s:
            raise asyncio.CancelledError


def test_batches_come_when_they_came_and_again_after_the_end(tmp_path: Path) -> None:
    (tmp_path / "flights").mkdir()
    for piece in PIECES:
        (tmp_path / piece.file).write_text(piece.file)
    for until_s, count in ((4.0, 1), (5.5, 2), (7.0, 3), (11.5, 4)):
        to = tmp_path / f"feed-{count}"
        to.mkdir()
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(feed(tmp_path, PIECES, to, Ticking(until_s)))
        files = sorted(to.iterdir())
        assert len(files) == count
        assert [file.suffix for file in files] == [".parquet"] * count
        told = [file.read_text() for file in files]
        assert told == [PIECES[place % 2].file for place in range(count)]


def test_a_recording_that_is_none_or_not_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotKnown, match="firedoor drill record"):
        read_recording(tmp_path)
    (tmp_path / "recording.json").write_text("{}")
    with pytest.raises(NotKnown, match="no recording of this version"):
        read_recording(tmp_path)
    (tmp_path / "recording.json").write_bytes(msgspec.json.encode(recording()))
    with pytest.raises(NotKnown, match="is not there any more"):
        read_recording(tmp_path)
