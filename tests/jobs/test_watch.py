"""``firedoor job watch`` and ``firedoor up`` run what is due, also after they were killed."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firedoor.compose.runs import Runs
from firedoor.compute.limits import descendants
from pipelines.shops import BATCH, GOOD, LIMIT_S, Process, Shop, opened

PIPELINE = '''
import signal

import firedoor as fd

pipeline = fd.Pipeline("late")


@pipeline.job(trigger=fd.every("1s"))
def train(run: fd.Run) -> None:
    """Learn, and fail each second time."""
    if int(run.id.rpartition("-")[2]) % 2 == 0:
        raise ValueError("no luck")


@pipeline.job(trigger=fd.on(train), parameters={"wait": False})
def check(run: fd.Run) -> None:
    """Look at it."""
    if WAITS:
        with run.checkpoint("began") as folder:
            (folder / "n").write_text("n")
        signal.pause()
'''
JOBS = """

@pipeline.job(reads="store", trigger=fd.on("store", quiet_s=0.5))
def count(run: fd.Run, folder) -> None:
    run.log_metric("rows", sum(pl.read_parquet(file).height for file in folder.rglob("*.parquet")))
"""


Watch = Callable[..., subprocess.Popen[str]]
LONG = """

@pipeline.job(trigger=fd.every("1d"))
def long(run: fd.Run) -> None:
    with run.checkpoint("began") as folder:
        (folder / "n").write_text("n")
    while True:
        time.sleep(0.1)
        run.heartbeat()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write(tmp_path, waits=False)
    return tmp_path


def write(place: Path, *, waits: bool) -> None:
    (place / "late.py").write_text(PIPELINE.replace("WAITS", str(waits)))


@pytest.fixture
def watch(place: Path) -> Iterator[Watch]:
    """Return what starts a watcher; none is left when the test has ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*more: str) -> subprocess.Popen[str]:
        started.append(_watch(place, *more))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=LIMIT_S)


def _watch(place: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "firedoor.cli", "job", "watch", "--pipeline", "late.py", *more]
    return subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def until(done: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something holds that a process brings about."""
    end_s = time.monotonic() + LIMIT_S
    while not done():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end_s, "nothing came of it"
        select.select([], [], [], 0.02)


def outcomes(place: Path, job: str) -> list[str]:
    """Return how the runs of a job ended, the first first."""
    return [record.outcome for record in reversed(Runs(place).every(job))]


def ended(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> str:
    process.send_signal(number)
    said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said
    return said


def test_jobs_run_by_time_and_after_each_other_and_one_that_fails_ends_nothing(
    place: Path,
    watch: Watch,
) -> None:
    process = watch()
    until(lambda: len(outcomes(place, "check")) >= 2, process)
    second = watch()
    said, _ = second.communicate(timeout=LIMIT_S)
    assert second.returncode == 2
    assert "the triggers of pipeline 'late' are watched already" in said
    said = ended(process)
    trains = Runs(place).every("train")
    assert outcomes(place, "train")[:3] == ["done", "failed", "done"]
    begins = sorted(record.started_s for record in trains)
    assert all(later - before >= 1 for before, later in itertools.pairwise(begins))
    answered = [record.because for record in Runs(place).every("check")]
    assert {one.runs for one in answered if one} >= {("train-1",), ("train-3",)}
    assert "train: every 1s\n" in said
    assert "check: train-3 ended well\n" in said
    assert "run        train-2: failed (raised)" in said


def test_a_watcher_that_is_killed_or_ended_leaves_a_run_that_the_next_one_goes_on_with(
    place: Path,
    watch: Watch,
) -> None:
    write(place, waits=True)
    process = watch()
    until((place / ".firedoor/runs/check-1/checkpoints/began").exists, process)
    started = descendants(process.pid)
    assert started
    process.kill()
    process.communicate(timeout=LIMIT_S)
    process = watch()
    until((place / ".firedoor/runs/check-2/checkpoints/began").exists, process)
    ended(process)
    assert outcomes(place, "check") == ["lost", "cancelled"]
    write(place, waits=False)
    process = watch()
    until(lambda: "done" in outcomes(place, "check"), process)
    ended(process, signal.SIGINT)
    (first, second, third) = reversed(Runs(place).every("check")[-3:])
    assert first.because == second.because
    assert second.resumes == "check-1"
    assert third.because is not None
    assert third.because.runs[0] == "train-1", "it was answered by no run that ended by itself"


def test_once_runs_what_is_due_and_ends_and_says_by_its_code_whether_all_went_well(
    place: Path,
    watch: Watch,
) -> None:
    first = watch("--once")
    assert first.wait(timeout=LIMIT_S) == 0
    assert (outcomes(place, "train"), outcomes(place, "check")) == (["done"], ["done"])
    until_s = Runs(place).read("train-1").started_s + 1
    while time.time() < until_s:  # the interval itself
        select.select([], [], [], 0.05)
    second = watch("--once")
    assert second.wait(timeout=LIMIT_S) == 1
    assert outcomes(place, "train") == ["done", "failed"]
    assert len(outcomes(place, "check")) == 1


def test_a_pipeline_without_triggers_is_nothing_to_watch(place: Path, watch: Watch) -> None:
    text = (place / "late.py").read_text()
    (place / "late.py").write_text(
        text.replace('trigger=fd.every("1s")', "").replace("trigger=fd.on(train), ", "")
    )
    process = watch()
    said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert 'has a trigger: write trigger=fd.every("1d") at one' in said


# ---- up


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(tmp_path, rows=BATCH) as shop:
        shop.write(GOOD, follow=True, more=JOBS)
        yield shop


def rows(shop: Shop) -> float:
    """Return the rows that the job counted last."""
    records = Runs(shop.folder).every("count")
    return records[0].metrics.get("rows", 0) if records else 0


def watcher_of(run: Process) -> int:
    """Return the process that runs jobs beside a pipeline."""
    for pid in descendants(run.pid):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[4:6] == [b"job", b"watch"]:
            return pid
    return 0


def test_up_runs_jobs_when_files_have_changed_and_replaces_the_process_that_does(
    shop: Shop,
) -> None:
    run = shop.start("up", "shop.py")
    shop.until(run, lambda: rows(shop) == BATCH, "the first file is counted")
    first = watcher_of(run)
    assert first
    os.kill(first, signal.SIGKILL)
    shop.until(run, lambda: watcher_of(run) not in {0, first}, "it is replaced")
    shop.add(BATCH)
    shop.until(run, lambda: rows(shop) == 2 * BATCH, "the second file is counted")
    code, said = shop.call("runs")
    assert code == 0
    assert "count runs on store" in said
    assert "nobody runs what is due" not in said
    second = watcher_of(run)
    run.send_signal(signal.SIGTERM)
    told, _ = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 0, told
    assert "the process that runs jobs with triggers was ended by SIGKILL; started again (1" in told
    assert not Path(f"/proc/{second}").exists()
    assert "nobody runs what is due: start `firedoor up`" in shop.call("runs")[1]
    record = Runs(shop.folder).every("count")[0]
    assert record.because is not None
    assert record.because.sinks == ("store",)


def test_run_leaves_jobs_alone(shop: Shop) -> None:
    shop.write(GOOD, more=JOBS)
    code, _ = shop.run()
    assert code == 0
    assert Runs(shop.folder).every() == []
    code, told = shop.call("job", "watch", "--once")
    assert code == 0, told
    assert rows(shop) == BATCH
    report = json.loads((shop.project / "report.json").read_text())
    assert report


def test_nothing_of_a_job_is_left_when_the_supervisor_is_killed(shop: Shop) -> None:
    shop.write(GOOD, follow=True, more=LONG)
    run = shop.start("up", "shop.py")
    kept = shop.project / "runs" / "long-1" / "checkpoints" / "began"
    shop.until(run, kept.exists, "the job is at work")
    assert shop.kill(run) == []
    assert [record.outcome for record in Runs(shop.folder).every("long")] == ["lost"]
