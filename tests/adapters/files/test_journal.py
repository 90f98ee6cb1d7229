"""A journal keeps what the ledger does not have, and nobody waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.files import journal as module
from firedoor.adapters.files.journal import BYTES_MAX, FileJournal
from firedoor.adapters.files.spool import FILES_MAX, SUFFIX, Spool, journals, take_over
from firedoor.events.happened import Happened

if TYPE_CHECKING:
    import pytest

SOON_S = 20.0
NOTES_AND_IS_KILLED = """
import os, signal, sys
from pathlib import Path
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.files.journal import FileJournal
from firedoor.events.happened import Happened
journal = FileJournal(Path(sys.argv[1]), "enrich", process="gone", clock=SystemClock())
for number in range(3):
    journal.note(Happened(at_s=0, kind="job", text=str(number)))
sys.stdout.write("noted\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def noted(number: int) -> Happened:
    return Happened(at_s=number, kind="job", zone="train", text=f"run {number}")


def begin(folder: Path, **options: object) -> FileJournal:
    return FileJournal(folder, "up", process="here-1-a", clock=SystemClock(), **options)  # type: ignore[arg-type]


def left_in(folder: Path) -> list[Happened]:
    """Return what dead processes left, and leave it there."""
    found: list[Happened] = []
    for path in journals(folder):
        left = take_over(path)
        assert left is not None, f"{path} is locked"
        found += left.entries
        left.let_go(sent=False)
    return found


def test_entries_wait_in_their_order_until_they_are_forwarded(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    for number in range(5):
        journal.note(noted(number))
    assert [one.sequence for one in journal.waiting(3)] == [1, 2, 3]
    journal.forwarded(2)
    assert [(one.sequence, one.process) for one in journal.waiting(9)] == [
        (3, "here-1-a"), (4, "here-1-a"), (5, "here-1-a"),
    ]  # fmt: skip
    journal.close(SOON_S)
    assert [one.text for one in left_in(tmp_path)][-3:] == ["run 2", "run 3", "run 4"]


def test_nothing_is_left_of_a_journal_that_was_forwarded(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    journal.note(noted(1))
    journal.forwarded(1)
    journal.close(SOON_S)
    assert journals(tmp_path) == []


def test_a_killed_process_leaves_what_it_noted_and_nobody_else_is_taken_from(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", NOTES_AND_IS_KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"noted\n"
        path = tmp_path / f"enrich.gone{SUFFIX}"
        clock, until_s = SystemClock(), SystemClock().now_s() + SOON_S
        while not path.exists() or path.read_bytes().count(b"\n") < 3:
            assert clock.now_s() < until_s, "nothing is written"
            threading.Event().wait(0.01)
        assert take_over(path) is None, "its process lives"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(SOON_S)
    assert [one.text for one in left_in(tmp_path)] == ["0", "1", "2"]
    left = take_over(path)
    assert left is not None
    assert take_over(path) is None, "two would forward it"
    left.let_go(sent=True)
    assert journals(tmp_path) == []


def test_what_has_no_room_is_counted_and_told(tmp_path: Path) -> None:
    journal = begin(tmp_path, bytes_max=8_192)
    for number in range(1_000):
        journal.note(noted(number))
    kept = journal.waiting(10_000)
    assert 10 < len(kept) < 200
    assert [one.sequence for one in kept] == list(range(1, len(kept) + 1))
    journal.forwarded(kept[-1].sequence)
    (gap,) = journal.waiting(9)
    assert (gap.kind, gap.sequence) == ("gap", 1_001)
    assert gap.facts == {"lost": 1_000 - len(kept), "first": len(kept) + 1, "last": 1_000}
    journal.note(noted(1))
    assert journal.waiting(9)[-1].sequence == 1_002
    journal.close(SOON_S)


def test_a_zone_notes_under_its_own_name_and_no_acts(tmp_path: Path) -> None:
    journal = begin(tmp_path, zone="enrich")
    journal.note(Happened(at_s=0, kind="zone.state", zone="predict", text="halted"))
    journal.note(Happened(at_s=0, kind="model", text="promoted", by="nobody"))
    journal.close(SOON_S)
    state, gap = left_in(tmp_path)
    assert (state.zone, state.kind) == ("enrich", "zone.state")
    assert (gap.kind, gap.facts["lost"]) == ("gap", 1)


def test_nobody_waits_for_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung, entered = threading.Event(), threading.Event()

    class Hanging(Spool):
        def add(self, lines: bytes) -> None:
            entered.set()
            hung.wait(SOON_S)
            super().add(lines)

    monkeypatch.setattr(module, "Spool", Hanging)
    journal = begin(tmp_path)
    journal.note(noted(0))
    assert entered.wait(SOON_S)
    for number in range(1, 100):
        journal.note(noted(number))
    assert len(journal.waiting(1_000)) == 100
    journal.forwarded(40)
    hung.set()
    journal.close(SOON_S)
    assert [one.sequence for one in left_in(tmp_path)][-60:] == list(range(41, 101))


def test_where_nothing_can_be_kept_it_goes_on_in_memory_and_says_so(tmp_path: Path) -> None:
    for number in range(FILES_MAX):
        (tmp_path / f"old.{number}{SUFFIX}").touch()
    journal = begin(tmp_path)
    journal.note(noted(1))
    journal.close(SOON_S)
    assert [one.text for one in journal.waiting(9)] == ["run 1"]
    assert "nobody has forwarded" in journal.fault


def test_a_file_stays_small_however_much_goes_through(tmp_path: Path) -> None:
    journal = begin(tmp_path, bytes_max=16_384)
    journal.note(noted(0))  # it stays behind: the file is never empty
    for number in range(1, 3_000):
        journal.note(noted(number))
        journal.forwarded(number)
    journal.close(SOON_S)
    (path,) = journals(tmp_path)
    assert path.stat().st_size <= 3 * 16_384
    assert [one.sequence for one in left_in(tmp_path)][-1] == 3_000


def test_lines_that_are_none_are_counted(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    journal.note(noted(1))
    journal.close(SOON_S)
    (path,) = journals(tmp_path)
    path.write_bytes(b'{"at_s":1,"kind":"of the future","text":""}\n' + path.read_bytes() + b'{"at')
    left = take_over(path)
    assert left is not None
    left.let_go(sent=False)
    assert ([one.text for one in left.entries], left.unreadable) == (["run 1"], 2)


def test_what_was_held_back_is_told_at_the_end(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    for _ in range(100):
        journal.note(
            Happened(at_s=0, kind="dead_letters", zone="a", text="", code="c", facts={"rows": 2})
        )
    journal.close(SOON_S)
    assert sum(int(one.facts["rows"]) for one in left_in(tmp_path)) == 200


def test_whoever_forwards_is_rung_by_each_entry(tmp_path: Path) -> None:
    journal, rung = begin(tmp_path), threading.Event()
    journal.ring = rung.set
    journal.note(noted(1))
    assert rung.is_set()

    def closed() -> None:
        raise RuntimeError("Event loop is closed")

    journal.ring = closed
    journal.note(noted(2))
    assert len(journal.waiting(9)) == 2
    journal.close(SOON_S)
    assert BYTES_MAX < 2**20
