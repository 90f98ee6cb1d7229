"""A job that reads a dataset cannot see its sealed parts: it is tried, in every way known here."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.nats.server import start
from firedoor.cli.main import app
from firedoor.compose.datasets import Datasets
from firedoor.compose.models import Models
from firedoor.compose.runs import RunFolder
from firedoor.compute import seal
from firedoor.errors import SnapshotDamaged
from firedoor.spec.plan import JobPlan, Plan
from firedoor.wire.run import RunRecord, SealNote
from jobs.kept_rows import SPRING, frame_of, run_one, settle, write
from wall.test_odd_machines import DENY_LANDLOCK

SEALED = pytest.mark.skipif(seal.supported() == 0, reason="no Landlock in this kernel")
PORTS = pytest.mark.skipif(seal.supported() < 4, reason="this kernel's Landlock knows no ports")

Peek = Callable[..., RunRecord]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sealed")


@pytest.fixture(scope="module")
def plan(place: Path) -> Plan:
    plan = settle(place)
    (place / "data" / "a.jsonl").write_text('{"flight": "N1"}\n')
    (place / "copy").mkdir()
    frame_of(0, 3, SPRING).write_parquet(place / "copy" / "rows-000001.parquet")
    return plan


@pytest.fixture
def peek(plan: Plan, place: Path, monkeypatch: pytest.MonkeyPatch) -> Peek:
    monkeypatch.chdir(place)

    def run_peek(how: str, at: Path, name: str = "peeks", **more: Any) -> RunRecord:
        given = {"how": how, "at": str(at), "pid": os.getpid(), **more.pop("params", {})}
        return run_one(plan, place, name, given, fresh=True, **more)

    return run_peek


def sealed_file(plan: Plan, place: Path) -> Path:
    kept = Datasets(place)
    record = kept.take(plan, plan.dataset("delays"), clock=SystemClock())
    return kept.folder(record.id) / "sealed" / "test" / "labels" / "rows.parquet"


def refused(record: RunRecord) -> None:
    """Hold a run to have read what is open, and to have failed at what is not."""
    assert record.metrics == {"open": 40}
    assert (record.outcome, record.cause) == ("failed", "raised"), record
    # A hard link out of a folder that may not be left is refused as if to another disk.
    assert "PermissionError" in record.message or "[Errno 18]" in record.message, record.message


WAYS = [
    "path", "symlink", "above", "own_root", "root", "cwd", "fd", "mem", "ptrace", "inherited",
    "hardlink", "rename",
]  # fmt: skip


@SEALED
@pytest.mark.parametrize("how", WAYS)
def test_a_sealed_part_cannot_be_read(plan: Plan, place: Path, peek: Peek, how: str) -> None:
    at = sealed_file(plan, place)
    assert at.read_bytes()
    refused(peek(how, at))
    assert at.exists()


@SEALED
def test_nor_can_what_holds_the_same_rows(plan: Plan, place: Path, peek: Peek) -> None:
    run_one(plan, place, "plain")
    kept = Datasets(place)
    whole = kept.folder(kept.every("store")[0].id) / "open" / "rows-000002.parquet"
    late = place / "data" / "later.jsonl"
    late.write_text("{}\n")
    for at in (
        place / "out" / "rows-000002.parquet",
        place / "copy" / "rows-000001.parquet",
        place / "data" / "a.jsonl",
        late,
        whole,
    ):
        assert at.read_bytes()
        refused(peek("path", at))
        refused(peek("symlink", at))
    # It is what is sealed that closes them: all but .firedoor is open to other jobs.
    for at in (place / "data" / "a.jsonl", late, place / "copy" / "rows-000001.parquet"):
        assert peek("path", at, "sees").outcome == "done"


@SEALED
def test_a_link_that_somebody_else_made_does_not_lead_there(
    plan: Plan, place: Path, peek: Peek
) -> None:
    link = place / "innocent"
    link.symlink_to(place / "out")
    refused(peek("path", link / "rows-000002.parquet"))
    link.unlink()
    link.symlink_to(sealed_file(plan, place))
    refused(peek("path", link))


@SEALED
def test_the_project_of_a_command_may_be_another_folder(
    plan: Plan, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    elsewhere = place / "elsewhere"
    at = sealed_file(plan, elsewhere)
    refused(run_one(plan, elsewhere, "peeks", {"how": "path", "at": str(at)}))


@SEALED
def test_a_job_without_network_cannot_ask_anybody(place: Path, peek: Peek) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        refused(peek("stream", place, params={"port": port}))


@PORTS
def test_the_broker_tells_a_job_nothing_and_a_job_with_ports_is_told_to_be_sealed_in_part(
    plan: Plan, place: Path, peek: Peek, tmp_path: Path
) -> None:
    with start(tmp_path, plan) as broker:
        port = int(broker.url.rpartition(":")[2])

        def reaching(job: JobPlan) -> JobPlan:
            limits = msgspec.structs.replace(job.limits, network=(port,))
            return msgspec.structs.replace(job, limits=limits)

        record = peek("stream", place, params={"port": port}, change=reaching)
    refused(record)
    assert "Authorization Violation" in record.message
    assert record.seal.level == "partial"
    assert "at the ports" in record.seal.missing["sealed parts"]
    assert not record.held
    said = CliRunner().invoke(app, ["runs", record.id, "--project", str(place)]).output
    assert "seal       partial; sealed parts: may be handed out by what answers at" in said


def test_a_run_says_whether_what_is_sealed_was_out_of_reach(plan: Plan, place: Path) -> None:
    record = run_one(plan, place, "counts")
    assert record.held == (record.seal.level == "full")
    assert not run_one(plan, place, "halves").held  # nothing is sealed
    said = CliRunner().invoke(app, ["runs", record.id, "--project", str(place)]).output
    assert "parts      train 40, test 20 (sealed)\n" in said


@pytest.mark.usefixtures("plan")
@pytest.mark.skipif(platform.system() != "Linux", reason="the filter is Linux's")
def test_without_landlock_a_run_says_that_the_sealed_part_was_within_reach(place: Path) -> None:
    script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from jobs.kept_rows import run_one
from firedoor.compose.loading import load_plan
place = Path({str(place)!r})
record = run_one(load_plan(place / "parted.py"), place, "counts", fresh=True)
print(record.id, record.outcome, record.seal.level, record.held)
"""
    ended = subprocess.run(
        [sys.executable, "-c", DENY_LANDLOCK + script], capture_output=True, text=True,
        check=True, cwd=place,
    )  # fmt: skip
    name, outcome, level, held = ended.stdout.split()
    assert (outcome, level, held) == ("done", "advisory", "False")
    said = CliRunner().invoke(app, ["runs", name, "--project", str(place)]).output
    assert "sealed parts: could be read: nothing kept the job from them" in said


def test_a_part_that_is_changed_during_a_run_fails_it_and_registers_nothing(
    plan: Plan, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    kept = Datasets(place)
    labels = sealed_file(plan, place)
    before = labels.read_bytes()

    def tamper(record: RunRecord) -> None:
        if "begun" in record.checkpoints and not Path("go").exists():
            labels.chmod(0o600)
            labels.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
            Path("go").touch()

    record = run_one(plan, place, "waits", watcher=tamper)
    Path("go").unlink()
    assert (record.outcome, record.cause, len(record.attempts)) == ("failed", "tampered", 1)
    assert "sealed/test/labels/rows.parquet is not what was taken" in record.message
    assert "it was changed while the job ran" in record.message
    assert "void" not in Models(place).names()
    with pytest.raises(SnapshotDamaged):
        kept.verify(kept.every("delays")[0].id)
    again = run_one(plan, place, "counts", fresh=True)
    assert (again.cause, again.attempts[0].peak_bytes) == ("tampered", 0)
    assert "nothing was run" in again.message
    labels.write_bytes(before)
    labels.chmod(0o400)
    assert run_one(plan, place, "counts", fresh=True).outcome == "done"


def test_a_run_goes_on_only_with_the_same_content(
    place: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)

    def end(record: RunRecord) -> None:
        if "begun" in record.checkpoints:
            asked.append("end")

    asked: list[str] = []
    first = run_one(plan, place, "waits", watcher=end, cancelled=lambda: bool(asked))
    assert (first.outcome, first.checkpoints) == ("cancelled", ("begun",))
    path = write(place, 9, frame_of(900, 1, SPRING))
    Path("go").touch()
    other = run_one(plan, place, "waits")
    assert (other.outcome, other.resumes) == ("done", "")
    path.unlink()
    kept = RunFolder(place / ".firedoor" / "runs" / first.id)
    kept.write(msgspec.structs.replace(first, seal=SealNote(level="advisory")))
    again = run_one(plan, place, "waits")
    Path("go").unlink()
    assert (again.outcome, again.resumes, again.held) == ("done", first.id, False)
    why = f"may have been read by run {first.id}, whose checkpoints it took over"
    assert again.seal.missing["sealed parts"] == why
