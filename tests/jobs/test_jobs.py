"""Jobs run behind their wall: each way to end has one outcome, and nothing half-made is seen."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import firedoor as fd
from firedoor.adapters.clock import SystemClock
from firedoor.compose.jobs import job_of, run_job, with_parameters
from firedoor.compose.loading import load_plan
from firedoor.compose.models import Models
from firedoor.compose.runs import RunFolder, Runs
from firedoor.compute import seal
from firedoor.errors import DeclarationError, NotKnown
from firedoor.spec.plan import Plan
from firedoor.wire.run import Event, RunRecord

SEALED = pytest.mark.skipif(seal.supported() == 0, reason="no Landlock in this kernel")
MIB = 2**20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jobs")
    shutil.copy(Path(__file__).with_name("pipeline.py"), folder / "pipeline.py")
    return folder


@pytest.fixture(scope="module")
def plan(place: Path) -> Plan:
    return load_plan(place / "pipeline.py")


@pytest.fixture
def run(plan: Plan, place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunRecord]:
    monkeypatch.chdir(place)

    def run_one(name: str, params: dict[str, Any] | None = None, **more: Any) -> RunRecord:
        job = job_of(plan, name)
        given = with_parameters(job, params or {})
        record = run_job(
            plan, job, project=place, clock=SystemClock(), by="ann", parameters=given, **more
        )
        assert Runs(place).read(record.id) == record
        left = sorted(path.name for path in (place / ".firedoor" / "runs" / record.id).iterdir())
        assert set(left) <= {"record.json", "events.jsonl", "lock", "checkpoints"}
        return record

    return run_one


Runner = Callable[..., RunRecord]


def versions(place: Path) -> int:
    """Return how many versions of models there are."""
    if not (place / ".firedoor" / "models" / "registry").exists():
        return 0
    models = Models(place)
    return sum(len(models.read(name).state.versions) for name in models.names())


def test_a_job_that_ends_well_leaves_a_record_and_a_candidate(run: Runner, place: Path) -> None:
    record = run("good", {"rounds": 5}, seed=7)
    assert (record.outcome, record.cause, record.causes) == ("done", "", {})
    assert (record.parameters["rounds"], record.seed, record.by) == (5, 7, "ann")
    assert (record.done, record.total, record.step) == (5, 5, "fit")
    assert record.metrics == {"auc": 0.72}
    assert record.last_lines == "seed 7"
    assert record.peak_bytes > 10 * MIB
    assert record.libraries["polars"] == pl.__version__
    assert record.machine.cpus == os.cpu_count()
    assert record.ended_s is not None
    assert record.ended_s >= record.started_s
    version = Models(place).read("late").state.versions[-1]
    assert record.model == f"late@{version.number}"
    assert (version.state, version.run, version.metrics) == ("candidate", record.id, {"auc": 0.72})
    events = Runs(place).events(record.id)
    assert [e.what for e in events] == [
        "started", "attempt", "loaded", "metric", "metric", "model", "ended",
    ]  # fmt: skip


class Long(SystemClock):
    """A clock of many years ago."""

    def utc_s(self) -> float:
        return 1e9


def test_a_run_that_registers_a_version_lets_those_go_that_are_past_retention(
    run: Runner, place: Path, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    ago = Models(place, by="ann", clock=Long())
    for number in range(12):
        (tmp_path / "model" / "model.txt").write_text(str(number))
        ago.add("late", tmp_path / "model")
    old = [version.number for version in ago.read("late").state.versions][-12:]
    record = run("good", seed=11)
    left = [version.number for version in ago.read("late").state.versions]
    assert [number for number in old if number not in left] == old[:3]
    (note,) = [e.said for e in Runs(place).events(record.id) if e.what == "note"]
    assert all(f"late@{number}" in note for number in old[:3])


BAD = [
    ("raises", "raised", "ValueError: no rows of class 1"),
    ("crashes", "crash", "SIGSEGV"),
    ("grows", "memory", "exceeded 256"),
    ("leaps", "memory", "MemoryError"),
    ("hangs", "hang", "gave no sign of life for 1"),
    ("dawdles", "timeout", "exceeded 1"),
    ("burns", "cpu", "used up its CPU time (SIGXCPU)"),
    ("delegates", "cpu", "used up its CPU time together with what it started"),
    ("forks", "processes", "exceeded 4 processes"),
    ("fills", "disk", "took more than 8 MiB of disk"),
    ("hoards", "raised", "there are 100 under other names"),
    ("prints", "timeout", "exceeded 1"),
    ("exits", "crash", "exited with code 0"),
    ("asks", "raised", "KeyError: 'API_TOKEN'"),
    ("diverges", "raised", "is no finite number"),
    ("links", "refused", "its model cannot be registered"),
]


@pytest.mark.parametrize(("name", "cause", "said"), BAD, ids=[name for name, _, _ in BAD])
def test_a_job_that_ends_badly_says_how_and_leaves_no_model(
    run: Runner, place: Path, monkeypatch: pytest.MonkeyPatch, name: str, cause: str, said: str
) -> None:
    monkeypatch.setenv("API_TOKEN", "secret")
    before = versions(place)
    record = run(name)
    assert (record.outcome, record.cause) == ("failed", cause), record.message
    assert said in record.message
    assert record.model == ""
    assert versions(place) == before


def test_the_record_says_where_it_failed(run: Runner) -> None:
    record = run("raises")
    assert (record.step, record.done, record.total) == ("split", 1, 4)
    assert record.attempts[0].line.startswith("pipeline.py:")
    assert record.last_lines == "last words"
    hung = run("hangs")
    assert (hung.step, hung.done) == ("wait", 3)
    assert "in hangs" in hung.message
    crashed = run("crashes")
    assert "in crashes" in crashed.message
    assert crashed.causes == {"crash": 2}


def test_a_secret_that_a_job_is_given_stands_in_nothing_that_is_kept_or_shown(
    run: Runner, place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("API_TOKEN", "hunter2")
    monkeypatch.setenv("PLACE", "oslo")
    caplog.set_level("INFO", logger="firedoor.wall.blurts")
    record = run("blurts")
    assert record.message.startswith("ValueError: refused: ***")
    assert record.last_lines == "token is *** here in oslo"
    assert (record.step, record.metrics) == ("calling with ***", {"*** calls": 1})
    assert "token is *** here in oslo" in caplog.text
    folder = place / ".firedoor" / "runs" / record.id
    kept = [path.read_text() for path in folder.iterdir() if path.is_file()]
    assert "hunter2" not in "".join([caplog.text, *kept])


@SEALED
def test_a_job_writes_to_its_scratch_folder_only(run: Runner, place: Path, tmp_path: Path) -> None:
    aims = [
        tmp_path / "x", place / "x", place / "pipeline.py", place / ".firedoor" / "x",
        place / ".firedoor" / "runs" / "x",
    ]  # fmt: skip
    before = (place / "pipeline.py").read_bytes()
    for to in aims:
        record = run("writes", {"to": str(to)})
        assert (record.outcome, record.cause) == ("failed", "raised")
        assert "PermissionError" in record.message
        assert "sealed" in record.message
    assert (place / "pipeline.py").read_bytes() == before
    assert not any(to.exists() for to in aims if to.name == "x")


@SEALED
def test_a_job_reads_neither_other_runs_nor_models_nor_processes(run: Runner, place: Path) -> None:
    done = run("good")
    kept = place / ".firedoor"
    model = next(path for path in (kept / "models").rglob("*") if path.is_file())
    for at in (
        kept / "runs" / done.id / "record.json",
        model,
        Path(f"/proc/{os.getpid()}/environ"),
    ):
        assert at.read_bytes() is not None
        record = run("peeks", {"at": str(at)})
        assert (record.cause, "PermissionError" in record.message) == ("raised", True), record


@SEALED
def test_a_job_has_no_network_unless_it_says_so(run: Runner) -> None:
    record = run("calls")
    assert record.cause == "raised"
    assert "PermissionError" in record.message
    assert record.seal.level in {"full", "partial"}
    assert "network" in record.seal.what


@SEALED
def test_a_job_reads_the_sinks_files_and_cannot_change_them(run: Runner, place: Path) -> None:
    with pytest.raises(NotKnown, match=r"has written nothing into .* yet: run the pipeline first"):
        run("counts")
    (place / "out").mkdir()
    pl.DataFrame({"a": [1]}).write_parquet(place / "out" / "rows-000001.parquet")
    record = run("counts")
    assert record.metrics == {"files": 1}
    assert "PermissionError" in record.message
    assert record.input is not None
    assert (record.input.sink, record.input.files) == ("store", 1)
    assert [path.name for path in (place / "out").iterdir()] == ["rows-000001.parquet"]


def test_what_a_job_started_ends_with_it(run: Runner) -> None:
    record = run("leaves")
    assert record.outcome == "done"
    assert not Path(f"/proc/{int(record.metrics['child'])}").exists()


def test_an_attempt_goes_on_from_the_checkpoint_of_the_one_before(run: Runner) -> None:
    record = run("recovers")
    assert (record.outcome, record.causes) == ("done", {"crash": 1})
    assert record.metrics == {"attempt": 2}


def test_a_later_run_goes_on_from_a_checkpoint_and_a_finished_one_is_not_resumed(
    run: Runner, place: Path
) -> None:
    (place / "stop").write_text("7")
    first = run("resumes")
    assert (first.outcome, first.cause, first.step) == ("failed", "crash", "count")
    assert first.checkpoints == ("count",)
    (place / "stop").unlink()
    other = run("resumes", {"total": 3})
    assert (other.resumes, other.metrics["began_at"]) == ("", 0)
    fresh = run("resumes", fresh=True, seed=1)
    assert (fresh.resumes, fresh.metrics["began_at"]) == ("", 0)
    second = run("resumes")
    assert (second.resumes, second.metrics["began_at"], second.done) == (first.id, 7, 40)
    again = run("resumes")
    assert (again.resumes, again.metrics["began_at"]) == ("", 0)


def test_telling_each_round_of_a_loop_costs_little(run: Runner) -> None:
    told: list[RunRecord] = []
    record = run("tells", watcher=told.append)
    assert (record.outcome, record.done) == ("done", 200_000)
    assert len(told) < 2_000


def test_a_disk_that_is_full_fails_the_run_and_says_so(
    run: Runner, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: RunFolder, event: Event) -> None:
        if event.what == "metric":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunFolder, "tell", full)
    before = versions(place)
    record = run("good")
    assert (record.outcome, record.cause) == ("failed", "record")
    assert "free some space" in record.message
    assert versions(place) == before


def test_a_job_that_is_cancelled_ends_and_says_so(run: Runner) -> None:
    asked: list[RunRecord] = []
    record = run(
        "dawdles", watcher=asked.append, cancelled=lambda: any(one.seal.level for one in asked)
    )
    assert (record.outcome, record.causes) == ("cancelled", {"cancelled": 1})


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({"round": 3}, "there are rounds, rate, loss"),
        ({"rounds": "3"}, "give a int"),
        ({"rounds": True}, "give a int"),
        ({"loss": 3}, "give a str"),
    ],
)
def test_a_parameter_that_is_not_declared_is_refused(
    plan: Plan, given: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        with_parameters(job_of(plan, "good"), given)
    assert remedy in caught.value.remedy


def test_a_whole_number_is_good_where_a_fraction_is_declared(plan: Plan) -> None:
    assert with_parameters(job_of(plan, "good"), {"rate": 1})["rate"] == 1.0
    with pytest.raises(NotKnown, match="there are good, counts"):
        job_of(plan, "best")


def test_a_module_that_cannot_be_imported_again_is_told_once(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import pathlib, firedoor as fd\n"
        "pipeline = fd.Pipeline('p')\n"
        "pipeline.sink('s', fd.parquet('o'), reads=pipeline.source('r', fd.jsonl('*')))\n"
        "if pathlib.Path('broken').exists():\n    raise RuntimeError('no licence')\n"
        "@pipeline.job(attempts=3)\n"
        "def train(run):\n    run.heartbeat()\n"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.py").write_text(code)
    plan = load_plan(tmp_path / "p.py")
    (tmp_path / "broken").write_text("")
    record = run_job(
        plan, plan.job("train"), project=tmp_path, clock=SystemClock(), by="", parameters={}
    )
    assert (record.cause, len(record.attempts)) == ("unloadable", 1)
    assert "RuntimeError: no licence" in record.message
    assert place != tmp_path


def test_the_run_that_a_function_is_given_is_public() -> None:
    assert fd.Run.__module__ == "firedoor.compute.jobbench"
