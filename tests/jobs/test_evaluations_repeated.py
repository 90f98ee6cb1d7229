"""An evaluation begins by itself, and is repeated: the same verdict, given to nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from firedoor.adapters.clock import SystemClock
from firedoor.cli.main import app
from firedoor.compose.jobs import job_of, run_job
from firedoor.compose.loading import load_plan
from firedoor.compose.models import Models
from firedoor.compose.reproducing import reproduce
from firedoor.compose.runs import Runs
from firedoor.errors import NotKnown, StoreRefused
from firedoor.flow.triggers import Because
from firedoor.spec.plan import Plan
from firedoor.wire.run import RunRecord
from jobs import judged
from jobs.kept_rows import run_one

QUICK = 'memory="512MiB", timeout_s=30, hang_s=2,'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def repeat(plan: Plan, place: Path, record: RunRecord) -> RunRecord:
    again, _ = reproduce(
        record, plan, project=place, clock=SystemClock(), by="ann",
        watcher=lambda _: None, cancelled=lambda: False,
    )  # fmt: skip
    return again


def test_an_evaluation_that_is_repeated_says_the_same_and_gives_it_to_nobody(place: Path) -> None:
    plan = judged.settle(place)
    judged.add(place)
    first = judged.judge(plan, place)
    Models(place).promote("late@1")
    judged.add(place, weight=1.4)
    before = Models(place).read("late")
    again = repeat(plan, place, first)
    assert (again.outcome, again.judges, again.reproduces) == ("done", "late@1", first.id)
    assert again.identical
    assert again.verdict is not None
    assert first.verdict is not None
    assert again.verdict.judgement == first.verdict.judgement
    assert (again.verdict.champion, again.verdict.given) == ("", False)
    assert Models(place).read("late") == before
    text = (place / "evaluated.py").read_text()
    (place / "evaluated.py").write_text(text.replace('"roc_auc", 0.65', '"roc_auc", 0.95'))
    other = repeat(load_plan(place / "evaluated.py"), place, first)
    assert not other.identical
    told = {one.name: (one.before, one.now) for one in other.differences if one.counts}
    assert told["word"] == ("promote", "reject")
    assert "predictions" not in told
    assert Models(place).read("late") == before


def test_an_evaluation_whose_version_has_gone_or_that_is_none_any_more_is_not_repeated(
    place: Path,
) -> None:
    plan = judged.settle(place)
    judged.add(place)
    first = judged.judge(plan, place, "quick")
    text = (place / "evaluated.py").read_text()
    other = text.replace("def quick(", "def slow(").replace("def train(", "def quick(")
    (place / "evaluated.py").write_text(other)
    with pytest.raises(StoreRefused, match="'quick' is no evaluation now, unlike quick-1"):
        repeat(load_plan(place / "evaluated.py"), place, first)
    assert Models(place)._artifacts.delete(judged.version(place, 1).digest)
    with pytest.raises(NotKnown, match="late@1, which quick-1 judged or compared with, is gone"):
        repeat(plan, place, first)
    assert len(Runs(place).every("quick")) == 1


def test_an_evaluation_follows_a_training_by_itself_and_once(place: Path) -> None:
    run_one(judged.settle(place), place, "train")
    text = (place / "evaluated.py").read_text()
    assert QUICK in text
    (place / "evaluated.py").write_text(text.replace(QUICK, f"{QUICK} trigger=fd.on(train),"))
    command = ["job", "watch", "--once", "--pipeline", "evaluated.py"]
    for _ in range(2):
        ended = CliRunner().invoke(app, command)
        assert ended.exit_code == 0, ended.output
    (record,) = Runs(place).every("quick")
    assert record.because is not None
    assert (record.because.runs, record.judges) == (("train-1",), "late@1")


def test_an_evaluation_that_something_began_says_what(place: Path) -> None:
    plan = judged.settle(place)
    trained = run_one(plan, place, "train")
    because = Because(trigger="on", said=f"{trained.id} ended well", runs=(trained.id,))
    record = run_job(
        plan, job_of(plan, "quick"), project=place, clock=SystemClock(), by="its trigger",
        parameters={}, because=because,
    )  # fmt: skip
    assert (record.judges, record.because) == (trained.model, because)
    assert Runs(place).events(record.id)[0].said == f"by its trigger: {because.said}"


def test_the_run_that_judged_a_version_is_kept_as_long_as_the_version(place: Path) -> None:
    plan = judged.settle(place)
    judged.add(place)
    first = judged.judge(plan, place, "quick")
    judged.add(place, weight=1.4)
    judged.judge(plan, place, "quick")
    judged.judge(plan, place, "quick", version="2")
    assert Runs(place).prune(1) == ["quick-2"]
    assert Runs(place).read(first.id) == first
