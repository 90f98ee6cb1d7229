"""The feed of the drill: whole files, in order, at its pace, bounded, and gone on with."""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
LINES = [json.dumps({"id": number}).encode() + b"\n" for number in range(250)]


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLE)
    for name in ("feed", "year", "data", "steps"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("feed")


def brought(feed: ModuleType, folder: Path, *, until: int, rate: float, ahead: int) -> float:
    """Bring files until there are so many; return how long that took."""
    over = threading.Event()
    began_s = time.monotonic()
    thread = threading.Thread(
        target=feed.bring, args=(LINES, folder), kwargs={"rate": rate, "over": over, "ahead": ahead}
    )
    thread.start()
    ends_s = began_s + 30
    while len(list(folder.glob("flights-*.jsonl"))) < until and time.monotonic() < ends_s:
        threading.Event().wait(0.005)
    took_s = time.monotonic() - began_s
    over.set()
    thread.join(30)
    return took_s


def ids(folder: Path) -> list[int]:
    files = sorted(folder.glob("flights-*.jsonl"))
    return [json.loads(line)["id"] for file in files for line in file.read_bytes().splitlines()]


def test_files_have_a_batch_each_and_flights_begin_again_after_the_last_one(
    feed: ModuleType, tmp_path: Path
) -> None:
    brought(feed, tmp_path, until=5, rate=1e6, ahead=5)
    found = ids(tmp_path)
    assert found == [number % len(LINES) for number in range(len(found))]
    assert len(found) % feed.FILE_ROWS == 0
    assert not (tmp_path / "unfinished").exists()


def test_after_the_first_files_they_come_at_the_pace(feed: ModuleType, tmp_path: Path) -> None:
    took_s = brought(feed, tmp_path, until=6, rate=10 * feed.FILE_ROWS, ahead=2)
    assert took_s >= 0.29, "three more are due after 0.1 s each"


def test_begun_again_it_goes_on_with_the_next_flight(feed: ModuleType, tmp_path: Path) -> None:
    brought(feed, tmp_path, until=3, rate=1e5, ahead=3)
    before = len(ids(tmp_path)) // feed.FILE_ROWS
    brought(feed, tmp_path, until=before + 2, rate=100 * feed.FILE_ROWS, ahead=300)
    found = ids(tmp_path)
    assert found == [number % len(LINES) for number in range(len(found))]
    assert len(found) // feed.FILE_ROWS < before + 100, "none are brought in advance again"


def test_old_files_are_removed(
    feed: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEPT", 4)
    over = threading.Event()
    thread = threading.Thread(
        target=feed.bring, args=(LINES, tmp_path), kwargs={"rate": 1e6, "over": over, "ahead": 4}
    )
    thread.start()
    ends_s = time.monotonic() + 30
    newest = ""
    while newest < feed.name_of(20) and time.monotonic() < ends_s:
        names = [path.name for path in tmp_path.glob("flights-*.jsonl")]
        assert len(names) <= 5
        newest = max(names, default="")
    over.set()
    assert newest >= feed.name_of(20)
    thread.join(30)
    assert len(list(tmp_path.glob("flights-*.jsonl"))) == 4
