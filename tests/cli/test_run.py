"""`firedoor run` ends with every row accounted for, and goes on where a killed run stopped."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.running import STEP, Tiny


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """A pipeline that has run to its end once."""
    tiny = Tiny(tmp_path_factory.mktemp("through"), rows=100)
    assert tiny.through("--json", str(tiny.folder / "figures.json")) == 0, tiny.told()
    yield tiny
    tiny.close()


class TestABoundedRun:
    def test_every_row_is_stored_once_and_the_report_says_so(self, through: Tiny) -> None:
        told = through.told()
        assert "tiny is through after" in told
        assert "100 rows in store" in told
        assert "every row is accounted for" in told
        assert "try: firedoor trace rows-000000/0" in told

    def test_zones_are_told_in_plain_lines_where_there_is_no_terminal(self, through: Tiny) -> None:
        assert "double: " in through.told()
        assert "\x1b" not in through.told()

    def test_the_figures_are_written(self, through: Tiny) -> None:
        figures = json.loads((through.folder / "figures.json").read_text())
        assert figures["exit_code"] == 0
        assert figures["conservation"] is True
        assert figures["ended"] == "through"
        assert (figures["rows_in"], figures["sinks"]) == (100, {"store": 100})
        assert json.loads((through.project / "report.json").read_text()) == figures

    def test_nobody_else_may_look_into_the_project(self, through: Tiny) -> None:
        assert stat.S_IMODE(through.project.stat().st_mode) == 0o700
        secrets = [through.project / "endpoint.json", *through.project.glob("credentials/*")]
        assert len(secrets) == 4
        assert {stat.S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}

    def test_the_next_run_takes_what_is_new_and_only_that(self, through: Tiny) -> None:
        through.add(40)
        assert through.through() == 0, through.told()
        assert through.numbers() == list(range(140))


def test_a_killed_supervisor_leaves_no_orphan_and_a_drained_run_goes_on(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path, rows=400, rate=100.0)
    try:
        tiny.start()
        tiny.until(lambda: tiny.zone("store").get("batches", 0) >= 2, "two batches stored")
        assert tiny.kill() == []
        # The next run goes on, survives the death of its broker and of a zone, and is interrupted.
        tiny.start()
        tiny.until(lambda: tiny.zone("store").get("batches", 0) >= 1, "a batch stored again")
        nats = next(process for process in tiny.family() if process.name() == "nats-server")
        pid = tiny.zone("double")["pid"]
        nats.kill()
        os.kill(pid, signal.SIGKILL)
        tiny.until(lambda: "the broker" in tiny.told(), "the broker's death was told")
        tiny.until(lambda: tiny.zone("double").get("pid", pid) != pid, "double was started again")
        run = tiny.run
        assert run is not None
        family = tiny.family()
        run.send_signal(signal.SIGINT)
        assert tiny.finish() == 130, tiny.told()
        assert "was asked to end" in tiny.told()
        assert "every row is accounted for" in tiny.told()
        assert not [process for process in family if process.is_running()]
        tiny.rate = None
        tiny.write(tmp_path, STEP)
        assert tiny.through() == 0, tiny.told()
        assert tiny.numbers() == list(range(400))
    finally:
        tiny.close()


def test_a_halted_zone_ends_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path, rows=100)
    tiny.write(tmp_path, 'raise KeyError("renamed")')
    assert tiny.through() == 1, tiny.told()
    told = tiny.told()
    assert "tiny came to rest" in told
    assert "double is in a state of 'halted'" in told
    assert "KeyError" in told
    assert "next: firedoor why double" in told
    assert "the next run goes on with it" in told
    assert " dead " not in told.partition("came to rest")[2]
    tiny.write(tmp_path, STEP)
    assert tiny.through() == 0, tiny.told()
    assert tiny.numbers() == list(range(100))


class TestBadInput:
    def refused(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "firedoor.cli", *words],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("firedoor: ")
        return done.stderr

    def test_no_such_file(self, tmp_path: Path) -> None:
        project = ("--project", str(tmp_path))
        assert "there is no such file" in self.refused("run", str(tmp_path / "no.py"), *project)

    def test_nothing_to_read(self, tmp_path: Path) -> None:
        tiny = Tiny(tmp_path, rows=1)
        (tmp_path / "in-000000.jsonl").unlink()
        assert "matches no file" in self.refused("run", str(tiny.file), "--project", str(tmp_path))

    def test_a_file_where_the_folder_should_be(self, through: Tiny, tmp_path: Path) -> None:
        (tmp_path / ".firedoor").write_text("")
        said = self.refused("run", str(through.file), "--project", str(tmp_path))
        assert "name another folder with --project" in said

    def test_a_folder_that_cannot_be_written(self, through: Tiny) -> None:
        said = self.refused("run", str(through.file), "--project", "/proc/self")
        assert "/proc/self/.firedoor" in said

    def test_a_password_in_the_address(self, through: Tiny, tmp_path: Path) -> None:
        broker = ("--nats", "nats://user:secret@host:4222")
        said = self.refused("run", str(through.file), "--project", str(tmp_path), *broker)
        assert "FIREDOOR_NATS_PASSWORD" in said
        assert "secret" not in said

    def test_a_broker_that_does_not_answer(self, through: Tiny, tmp_path: Path) -> None:
        broker = ("--nats", "nats://127.0.0.1:9")
        assert "127.0.0.1:9" in self.refused(
            "run", str(through.file), "--project", str(tmp_path), *broker
        )
