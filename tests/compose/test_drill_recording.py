"""What sources cut lately is written to files, row for row and at its pace, or refused in words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from compose.test_recutting import cut_all, plan_of_files
from control.opening import open_world
from control.world import World, rows_of_batch
from firedoor.compose import drill_recording
from firedoor.compose.drill_recording import Recording, read_recording, record
from firedoor.errors import NotKnown, Refused

EVER_S = 1e12


def recorded(
    directory: Path, out: Path, since: Callable[[World], float] = lambda _: 0.0
) -> Recording:
    """Return a recording of what a source cut of two files, from a moment on."""

    async def run() -> Recording:
        world = await open_world(plan_of_files(directory))
        await cut_all(world)
        return await record(world.streams, world.plan, out, since_s=since(world), until_s=EVER_S)

    return asyncio.run(run())


def test_a_recording_holds_the_rows_of_each_batch_and_when_it_was_cut(tmp_path: Path) -> None:
    out = tmp_path / "recording"
    made = recorded(tmp_path, out)
    assert read_recording(out) == made
    pieces = made.sources["flights"]
    assert [piece.rows for piece in pieces] == [10, 10, 10]
    assert pieces[0].at_s == 0
    assert [piece.at_s for piece in pieces] == sorted(piece.at_s for piece in pieces)
    assert made.seconds == pieces[-1].at_s
    for number, piece in enumerate(pieces, start=1):
        file = out / piece.file
        assert pl.read_parquet(file).equals(rows_of_batch(number))
        assert file.stat().st_mode & 0o077 == 0, "rows may be anybody's secret"


def test_what_was_cut_before_then_is_left_out_and_nothing_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotKnown, match="--last"):
        recorded(tmp_path, tmp_path / "recording", since=lambda world: world.now_s + 1_000)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(Refused, match="is not empty"):
        recorded(tmp_path, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("bound", "most", "why"),
    [("BATCHES_MAX", 2, "more than 2 batches"), ("BYTES_MAX", 10, "larger than 10 bytes")],
)
def test_a_recording_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, most: int, why: str
) -> None:
    monkeypatch.setattr(drill_recording, bound, most)
    with pytest.raises(Refused, match=why):
        recorded(tmp_path, tmp_path / "recording")
    with pytest.raises(NotKnown):
        read_recording(tmp_path / "recording")
