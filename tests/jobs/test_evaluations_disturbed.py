"""An evaluation that something disturbs gives no verdict, or one that says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firedoor.adapters.clock import SystemClock
from firedoor.compose import contest
from firedoor.compose.datasets import Datasets
from firedoor.compose.models import Models
from firedoor.compose.runs import Runs
from firedoor.errors import (
    ModelRefused,
    ModelsUnavailable,
    NotKnown,
    ProjectBusy,
    SnapshotDamaged,
)
from firedoor.spec.plan import Plan
from firedoor.wire.jobs import Keep
from firedoor.wire.run import RunRecord
from jobs import judged
from jobs.judged import left, verdict_of
from jobs.kept_rows import run_one


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plan(place: Path) -> Plan:
    return judged.settle(place)


def test_rows_that_are_changed_under_an_evaluation_leave_no_verdict(
    plan: Plan, place: Path
) -> None:
    judged.add(place)
    snapshot = Datasets(place).take(plan, plan.dataset("delays"), clock=SystemClock())
    labels = Datasets(place).folder(snapshot.id) / "sealed" / "test" / "labels" / "rows.parquet"

    def tamper(record: RunRecord) -> None:
        if len(record.attempts) == 1:
            labels.chmod(0o600)
            labels.write_bytes(labels.read_bytes() + b"x")

    record = judged.judge(plan, place, "quick", watcher=tamper)
    assert (record.outcome, record.cause, record.verdict) == ("failed", "tampered", None)
    assert "labels/rows.parquet is not what was taken" in record.message
    assert judged.version(place, 1).verdict == ""
    with pytest.raises(SnapshotDamaged, match=r"labels/rows.parquet is not what was taken"):
        judged.judge(plan, place, "quick")


def test_a_bundle_that_was_changed_leaves_no_verdict_and_a_damaged_champion_holds(
    plan: Plan, place: Path
) -> None:
    judged.add(place)
    judged.judge(plan, place)
    Models(place).promote("late@1")
    judged.add(place, weight=1.4)
    digest = Models(place).manifest("late@1").files[0].sha256
    kept = next(path for path in (place / ".firedoor").rglob(f"*{digest[2:]}*") if path.is_file())
    kept.chmod(0o600)
    kept.write_bytes(b"x" * len(kept.read_bytes()))
    said = verdict_of(judged.judge(plan, place))
    assert said.word == "hold"
    assert said.judgement.why[0].startswith("the champion, late@1, cannot be compared with: ")
    Models(place).quarantine("late@1", because="damaged")
    Models(place).release("late@1", because="to see what comes of it")
    record = judged.judge(plan, place, version="1")
    assert (record.outcome, record.cause, record.verdict) == ("failed", "tampered", None)


def test_a_champion_that_crashes_is_not_the_challengers_fault(plan: Plan, place: Path) -> None:
    judged.add(place, how="crashes")
    Models(place).qualify("late@1", "promote", because="nobody looked")
    Models(place).promote("late@1")
    judged.add(place)
    record = judged.judge(plan, place)
    said = verdict_of(record)
    assert said.word == "hold"
    why = "the champion, late@1, cannot be compared with: it could not predict the rows: SIGSEGV"
    assert said.judgement.why[0].startswith(why)
    assert record.causes == {"crash": 1}
    assert judged.version(place, 2).state == "candidate"


def test_a_promotion_meanwhile_leaves_the_verdict_with_whom_it_was_compared(
    plan: Plan, place: Path
) -> None:
    judged.add(place)
    judged.judge(plan, place)
    judged.add(place, weight=1.4)
    promoted: list[str] = []

    def promote(record: RunRecord) -> None:
        if record.attempts and not promoted:
            promoted.append(record.id)
            Models(place).promote("late@1")

    said = verdict_of(judged.judge(plan, place, watcher=promote))
    assert (said.word, said.champion, judged.version(place, 2).against) == ("promote", "", None)
    with pytest.raises(ModelRefused, match="qualified against no champion, and now version 1"):
        Models(place).promote("late@2")


def test_a_version_that_went_live_or_was_barred_meanwhile_takes_no_verdict(
    plan: Plan, place: Path
) -> None:
    judged.add(place)

    def bar(record: RunRecord) -> None:
        if record.attempts and judged.version(place, 1).state == "candidate":
            Models(place).quarantine("late@1", because="it did harm")

    record = judged.judge(plan, place, watcher=bar)
    assert (record.outcome, record.cause) == ("failed", "refused")
    assert "the verdict is promote, and the registry does not take it" in record.message
    assert record.verdict is not None
    assert not record.verdict.given
    assert judged.version(place, 1).verdict == ""


def test_a_registry_that_is_away_is_told_before_or_with_the_verdict_that_it_did_not_take(
    plan: Plan, place: Path
) -> None:
    judged.add(place)
    registry = place / ".firedoor" / "models" / "registry"

    def away(record: RunRecord) -> None:
        if record.verdict is not None and registry.exists():
            registry.rename(registry.with_name("away"))

    record = judged.judge(plan, place, watcher=away)
    assert (record.outcome, record.cause) == ("failed", "refused")
    assert record.verdict is not None
    assert not record.verdict.given
    with pytest.raises((ModelsUnavailable, NotKnown)):
        judged.judge(plan, place)
    registry.with_name("away").rename(registry)
    assert verdict_of(judged.judge(plan, place)).word == "promote"


def test_the_latest_candidate_without_a_verdict_is_judged_or_what_is_named(
    plan: Plan, place: Path
) -> None:
    with pytest.raises(ModelsUnavailable, match="holds no models"):
        judged.judge(plan, place)
    judged.add(place)
    judged.add(place, weight=1.4)
    assert verdict_of(judged.judge(plan, place, "quick")).judged == "late@2"
    assert verdict_of(judged.judge(plan, place, "quick")).judged == "late@1"
    with pytest.raises(NotKnown, match="no version of late waits for a verdict"):
        judged.judge(plan, place, "quick")
    assert verdict_of(judged.judge(plan, place, "quick", version="challenger")).judged == "late@1"
    Models(place).promote("late@1")
    with pytest.raises(ModelRefused, match="version 1 is live, which no verdict changes"):
        judged.judge(plan, place, "quick", version="1")
    with pytest.raises(NotKnown, match="version 9 is not there"):
        judged.judge(plan, place, "quick", version="9")


def test_the_same_evaluation_twice_at_once_is_refused_and_two_versions_are_not(
    plan: Plan, place: Path
) -> None:
    judged.add(place)
    judged.add(place, weight=1.4)
    met: list[str] = []

    def meet(record: RunRecord) -> None:
        if record.attempts and not met:
            met.append(record.id)
            with pytest.raises(ProjectBusy, match=f"run {record.id} of the same"):
                judged.judge(plan, place, "quick", version="2")
            met.append(verdict_of(judged.judge(plan, place, "quick", version="1")).judged)

    said = verdict_of(judged.judge(plan, place, "quick", version="2", watcher=meet))
    assert (said.word, met) == ("promote", ["quick-1", "late@1"])
    assert Models(place).read("late").state.challenger == 2


def test_what_is_not_known_of_a_training_is_said_beside_the_verdict(
    plan: Plan, place: Path
) -> None:
    by_hand = judged.add(place)
    said = verdict_of(judged.judge(plan, place, "quick"))
    assert said.notes[0].startswith("it was added by hand: nothing shows that it was not trained")
    judged.add(place, weight=1.4, run="train-7")
    said = verdict_of(judged.judge(plan, place, "quick"))
    assert said.notes[0].startswith("run train-7 is not known: nothing shows")
    trained = run_one(plan, place, "train", {"weight": 1.6})
    assert trained.input is not None
    Datasets(place).forget(trained.input.snapshot)
    said = verdict_of(judged.judge(plan, place, "quick"))
    assert said.notes[0].startswith("the snapshot that train-1 read has gone: nothing shows")
    judged.add(place, weight=1.3, run=trained.id)
    said = verdict_of(judged.judge(plan, place, "quick"))
    assert said.notes[0].startswith("run train-1 says that it made late@3, and not this: nothing")
    assert by_hand.number == 1


def test_a_seal_that_was_only_advisory_is_said_beside_the_verdict(plan: Plan, place: Path) -> None:
    trained = run_one(plan, place, "train")
    record = place / ".firedoor" / "runs" / trained.id / "record.json"
    told = json.loads(record.read_text())
    told["seal"] = {"level": "advisory", "missing": {"files": "no Landlock in this kernel"}}
    record.write_text(json.dumps(told))
    said = verdict_of(judged.judge(plan, place, "quick"))
    expected = "the seal of train-1, which made it, was advisory; files: no Landlock"
    assert said.notes[0].startswith(expected)


def test_an_evaluation_that_is_cancelled_or_whose_file_breaks_leaves_no_verdict(
    plan: Plan, place: Path
) -> None:
    judged.add(place, how="hangs")
    asked: list[RunRecord] = []
    record = judged.judge(
        plan, place, "quick", watcher=asked.append,
        cancelled=lambda: any(one.seal.level for one in asked),
    )  # fmt: skip
    assert (record.outcome, record.verdict) == ("cancelled", None)
    (place / "evaluated.py").write_text("raise RuntimeError('no licence')\n")
    broken = judged.judge(plan, place, "quick")
    assert (broken.outcome, broken.cause, broken.verdict) == ("failed", "unloadable", None)
    assert judged.version(place, 1).verdict == ""


def test_a_judge_that_fails_leaves_no_verdict(
    plan: Plan, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged.add(place)
    monkeypatch.setattr(contest, "JUDGEMENT_BYTES_MAX", 10)
    record = judged.judge(plan, place, "quick")
    assert (record.outcome, record.cause, record.verdict) == ("failed", "crash", None)
    assert "the judgement cannot be read: judgement.json has more than 10 bytes" in record.message
    monkeypatch.setattr(contest, "TOLD_BYTES_MAX", 1)
    said = verdict_of(judged.judge(plan, place, "quick"))
    assert said.word == "hold"
    assert "what it says of its predictions cannot be read" in said.judgement.why[0]


def test_a_disk_that_is_full_fails_the_evaluation_and_says_so(
    plan: Plan, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged.add(place)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(contest, "_share", full)
    record = judged.judge(plan, place, "quick")
    assert (record.outcome, record.cause, record.verdict) == ("failed", "record", None)
    assert left(place, record) <= {"record.json", "events.jsonl", "lock", "checkpoints"}


def test_a_supervisor_that_dies_after_the_verdict_was_given_leaves_a_run_that_is_done(
    plan: Plan, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged.add(place)

    def die(self: Models, *_: Any, **more: Any) -> None:
        given(self, *_, **more)
        raise KeyboardInterrupt

    given: Callable[..., Any] = Models.qualify
    monkeypatch.setattr(Models, "qualify", die)
    with pytest.raises(KeyboardInterrupt):
        judged.judge(plan, place, "quick")
    settled = Runs(place).read("quick-1")
    assert verdict_of(settled).word == "promote"
    monkeypatch.setattr(Models, "qualify", interrupted)
    with pytest.raises(KeyboardInterrupt):
        judged.judge(plan, place, "quick", version="1", seed=1)
    lost = Runs(place).read("quick-2")
    assert (lost.outcome, lost.cause) == ("lost", "supervisor")
    assert lost.verdict is not None
    assert not lost.verdict.given


def interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_what_a_worker_hands_over_is_not_followed_out_of_its_folder(place: Path) -> None:
    heard = contest._Heard.__new__(contest._Heard)
    source = place / "keep" / "predictions"
    source.mkdir(parents=True)
    (source / "told.json").symlink_to("/etc/passwd")
    heard._source, heard._wanted, heard._to = source, "predictions", place / "taken"
    heard.taken = False
    keep = Keep(kind="checkpoint", name="predictions")
    assert "holds what is no plain file" in heard.keep(keep)
    assert "is not asked for" in heard.keep(Keep(kind="model", name="predictions"))
    shutil.rmtree(source)
    source.symlink_to("/etc")
    assert "is no folder" in heard.keep(keep)
    assert not heard.taken
