"""Versions are judged on rows that training was kept from: each way to end has one outcome."""

from __future__ import annotations

import pickle
from pathlib import Path

import polars as pl
import pytest

from firedoor.compose.loading import load_plan
from firedoor.compose.models import Models
from firedoor.compose.runs import Runs
from firedoor.compute import seal
from firedoor.errors import (
    StoreRefused,
)
from firedoor.spec.plan import Plan
from jobs import judged
from jobs.judged import left, verdict_of
from jobs.kept_rows import run_one

SEALED = pytest.mark.skipif(seal.supported() == 0, reason="no Landlock in this kernel")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plan(place: Path) -> Plan:
    return judged.settle(place)


def test_a_good_version_is_qualified_with_its_figures_and_the_run_says_why(
    plan: Plan, place: Path
) -> None:
    trained = run_one(plan, place, "train")
    record = judged.judge(plan, place)
    said = verdict_of(record)
    assert (said.word, said.judged, said.champion, said.rows) == ("promote", "late@1", "", 1_200)
    assert said.dataset == trained.input.snapshot if trained.input else ""
    assert [rule.outcome for rule in said.judgement.rules] == ["pass"] * 6
    figure = said.judgement.metrics["roc_auc"]
    assert figure.value is not None
    assert figure.low is not None
    assert 0.65 <= figure.low < figure.value < 0.9
    assert [(note.column, note.metric) for note in said.judgement.slices] == [
        ("origin", "brier"),
        ("origin", "roc_auc"),
    ]
    assert said.judgement.calibration is not None
    assert said.judgement.calibration.rmsce.value is not None
    assert said.notes == ()
    version = judged.version(place, 1)
    assert (version.state, version.verdict, version.judged) == ("qualified", "promote", record.id)
    assert version.metrics["test.roc_auc"] == figure.value
    assert version.metrics["rows"] == 100
    assert Models(place).read("late").state.challenger == 1
    assert Runs(place).read(record.id) == record
    assert left(place, record) == {"record.json", "events.jsonl", "lock", "checkpoints"}
    assert [attempt.worker for attempt in record.attempts] == ["challenger", "judge"]
    told = [event.what for event in Runs(place).events(record.id)]
    assert told == ["started", "attempt", "loaded", "attempt", "loaded", "verdict", "ended"]


def test_the_same_seed_gives_the_same_verdict_to_the_last_digit(plan: Plan, place: Path) -> None:
    judged.add(place)
    one = verdict_of(judged.judge(plan, place, seed=3))
    again = verdict_of(judged.judge(plan, place, version="1", seed=3))
    other = verdict_of(judged.judge(plan, place, version="1", seed=4))
    assert one == again
    assert one.judgement.predictions == other.judgement.predictions
    assert one.judgement.metrics != other.judgement.metrics


def test_a_worse_version_is_held_by_comparison_with_the_champion(plan: Plan, place: Path) -> None:
    judged.add(place)
    assert verdict_of(judged.judge(plan, place)).word == "promote"
    Models(place).promote("late@1")
    judged.add(place, weight=6.0)
    said = verdict_of(judged.judge(plan, place))
    assert (said.word, said.judged, said.champion) == ("reject", "late@2", "late@1")
    assert [rule.outcome for rule in said.judgement.rules].count("reject") == 1
    assert "worse than the champion" in said.judgement.why[0]
    assert said.judgement.champion["brier"] < (said.judgement.metrics["brier"].value or 0)
    assert judged.version(place, 2).state == "quarantined"
    judged.add(place, weight=1.6)
    equal = verdict_of(judged.judge(plan, place))
    assert (equal.word, equal.champion) == ("promote", "late@1")
    assert judged.version(place, 3).against == 1


ODD = [
    ("raises", "hold", "IndexError: list index out of range (evaluated.py:"),
    ("crashes", "hold", "it could not predict the rows: SIGSEGV"),
    ("exits", "hold", "it could not predict the rows: exited with code 0"),
    ("hangs", "hold", "gave no sign of life for 2"),
    ("grows", "hold", "exceeded 512"),
    ("short", "hold", "1,199 predictions were returned for 1,200 rows"),
    ("text", "hold", "predictions are not numbers"),
    ("frame", "hold", "a DataFrame of 2 dimensions was returned"),
    ("unloadable", "hold", "RuntimeError: no licence"),
    ("nan", "reject", "1 of 1,200 predictions are missing or not finite"),
    ("constant", "reject", "all 1,200 rows were given the same prediction, 0.3"),
]


@pytest.mark.parametrize(("how", "word", "says"), ODD, ids=[how for how, _, _ in ODD])
def test_a_model_that_cannot_be_judged_is_held_and_one_without_numbers_is_rejected(
    plan: Plan, place: Path, how: str, word: str, says: str
) -> None:
    judged.add(place, how=how)
    said = verdict_of(judged.judge(plan, place, "quick"))
    assert (said.word, len(said.judgement.rules)) == (word, 1)
    assert says in said.judgement.why[0]
    version = judged.version(place, 1)
    assert version.state == {"hold": "candidate", "reject": "quarantined"}[word]
    assert says in version.because


def test_a_model_that_draws_lots_is_rejected_as_it_gives_other_numbers(
    plan: Plan, place: Path
) -> None:
    judged.add(place, how="random")
    said = verdict_of(judged.judge(plan, place, "many"))
    assert said.word == "hold"
    said = verdict_of(judged.judge(plan, place, version="1"))
    assert said.word == "reject"
    assert any("rows gave other numbers again" in why for why in said.judgement.why)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"x": "Float32"}, "column 'x' is wanted as Float32 and is Float64"),
        ({"x": "Float64", "y": "Int64"}, "column 'y' (Int64) is not there"),
        ({"x": "Float64", "late": "Boolean"}, "column 'late' (Boolean) is not there"),
    ],
)
def test_a_model_whose_signature_does_not_fit_the_rows_is_rejected(
    plan: Plan, place: Path, inputs: dict[str, str], says: str
) -> None:
    judged.add(place, inputs=inputs)
    said = verdict_of(judged.judge(plan, place, "quick"))
    assert (said.word, said.judgement.rules[0].rule) == ("reject", "signature")
    assert says in said.judgement.why[0]


def test_a_model_that_names_no_inputs_is_judged_with_a_note(plan: Plan, place: Path) -> None:
    judged.add(place, inputs={})
    said = verdict_of(judged.judge(plan, place, "quick"))
    assert said.word == "promote"
    assert any("names no inputs" in note for note in said.notes)


@SEALED
def test_a_model_under_evaluation_reads_neither_labels_nor_what_they_came_from(
    plan: Plan, place: Path
) -> None:
    judged.add(place, how="leaks")
    record = judged.judge(plan, place, "quick")
    assert verdict_of(record).word == "hold"
    assert "PermissionError" in record.attempts[0].message
    assert "read " not in record.attempts[0].last_lines


def test_what_judges_runs_nothing_of_the_users(place: Path) -> None:
    judged.settle(place)
    file = place / "evaluated.py"
    file.write_text(file.read_text() + "print('the pipeline is imported')\n")
    judged.add(place)
    plan = load_plan(file)
    record = judged.judge(plan, place, "many")
    assert verdict_of(record).word == "hold"
    predicted, judge = record.attempts
    assert predicted.last_lines.endswith("the pipeline is imported")
    assert judge.last_lines == ""


def test_a_pickle_is_judged_only_where_that_is_allowed_by_name(plan: Plan, place: Path) -> None:
    folder = place / "pickled"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickle.dumps({"weight": 1.5}))
    Models(place).add("late", folder, format="pickle", inputs={"x": "Float64"})
    said = verdict_of(judged.judge(plan, place))
    assert said.word == "hold"
    assert 'allow=("pickle",)' in said.judgement.why[0]
    assert verdict_of(judged.judge(plan, place, "quick", version="1")).word == "promote"


def test_calls_are_timed_and_a_check_that_loses_rows_is_open(plan: Plan, place: Path) -> None:
    judged.add(place)
    said = verdict_of(judged.judge(plan, place, "timed"))
    assert (said.word, said.judgement.rules[0].figure.rows) == ("promote", 1_104)
    by_day = verdict_of(judged.judge(plan, place, "by_day", version="1"))
    assert by_day.word == "hold"
    assert by_day.judgement.why == (
        "check 'torn': it returned 1,199 rows, and not a frame of the 1,200 rows",
    )
    assert by_day.judgement.rules[0].outcome == "pass"


def test_an_evaluation_set_of_one_class_or_too_small_holds(tmp_path: Path, place: Path) -> None:
    summer = judged.frame_of(1_000, 300, judged.SUMMER)
    plan = judged.settle(place, test=summer.with_columns(late=pl.lit(value=False)))
    judged.add(place)
    one_class = verdict_of(judged.judge(plan, place, "quick"))
    assert one_class.word == "hold"
    assert one_class.judgement.why[0] == "all 300 rows have the same label, 0"
    small = verdict_of(judged.judge(plan, place, "many", version="1"))
    assert small.judgement.why[0] == "there are 300 rows, and 10,000 are needed for a verdict"
    judged.write(place, 2, summer.head(40))
    shrunk = verdict_of(judged.judge(plan, place, "quick", version="1"))
    assert shrunk.judgement.why[0] == "there are 40 rows, and 100 are needed for a verdict"
    assert tmp_path == place


def test_without_rows_to_judge_by_nothing_begins(place: Path) -> None:
    plan = judged.settle(place, test=judged.frame_of(1_000, 40, judged.SPRING))
    judged.add(place)
    with pytest.raises(StoreRefused, match="test"):
        judged.judge(plan, place, "quick")
    assert judged.version(place, 1).verdict == ""
    assert not (place / ".firedoor" / "runs").exists()


def test_a_label_that_is_no_number_holds(place: Path) -> None:
    summer = judged.frame_of(1_000, 300, judged.SUMMER)
    late = pl.when(pl.col("x") > 2).then(float("nan")).otherwise(pl.col("late").cast(pl.Float64))
    spring = judged.frame_of(0, 100, judged.SPRING).with_columns(pl.col("late").cast(pl.Float64))
    plan = judged.settle(place, test=summer.with_columns(late=late))
    judged.write(place, 1, spring)
    judged.add(place)
    said = verdict_of(judged.judge(plan, place, "quick"))
    assert said.word == "hold"
    assert "labels are missing or not finite" in said.judgement.why[0]
