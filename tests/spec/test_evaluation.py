"""What cannot be evaluated is refused where it is declared, and the plan says the rest."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import firedoor as fd
from firedoor.compose.loading import load_plan
from firedoor.compute.judging import rules_of
from firedoor.errors import DeclarationError
from firedoor.spec.dataset import Dataset
from jobs import judged


def declared() -> tuple[fd.Pipeline, Dataset]:
    pipeline = fd.Pipeline("late")
    store = pipeline.sink(
        "store", fd.parquet("out/"), reads=pipeline.source("rows", fd.jsonl("data/*.jsonl"))
    )
    until = {"train": datetime(2013, 6, 1, tzinfo=UTC), "test": None}
    delays = pipeline.dataset(
        "delays", reads=store, split=fd.ByTime(column="at", until=until), sealed=["test"],
        label="late",
    )  # fmt: skip
    return pipeline, delays


def evaluate(model: object, rows: object) -> object:
    return model or rows


def same(rows: object) -> object:
    return rows


def declare(**change: Any) -> fd.Pipeline:
    pipeline, delays = declared()
    step = change.pop("step", evaluate)
    given: dict[str, Any] = {
        "reads": delays, "part": "test", "model": "late",
        "rules": [fd.rules.at_least("roc_auc", 0.65)], **change,
    }  # fmt: skip
    pipeline.evaluation(**given)(step)
    return pipeline


def worst_by_origin() -> list[object]:
    return [fd.rules.worst_slice("origin", "roc_auc", 0.6)]


BAD: list[tuple[Callable[[], dict[str, Any]], str, str]] = [
    (lambda: {"reads": "store"}, "reads", "read one of: delays"),
    (lambda: {"reads": declared()[1]}, "reads", "read one of this one: delays"),
    (lambda: {"part": "train"}, "part", "name one of: test"),
    (lambda: {"model": "Late!"}, "model", "use a small letter"),
    (lambda: {"rules": []}, "rules", "write rules=[fd.rules.at_least"),
    (lambda: {"rules": ["roc_auc > 0.7"]}, "rules", "write rules=[fd.rules.at_least"),
    (lambda: {"rules": [fd.rules.deterministic()] * 2}, "rules", "declare it once"),
    (lambda: {"rules": worst_by_origin()}, "rules", 'write slices=["origin"]'),
    (lambda: {"rules": [fd.rules.invariant("wind")]}, "rules", "write checks={'wind'"),
    (lambda: {"rules": [fd.rules.latency_a_row_s(1, share=0.9999)]}, "rules", "a smaller share"),
    (lambda: {"metrics": ["auc"]}, "metric", "'roc_auc'"),
    (lambda: {"metrics": "brier"}, "metrics", "write metrics="),
    (lambda: {"slices": ["late"]}, "slices", "name another column"),
    (lambda: {"clusters": "late"}, "clusters", "name another column"),
    (lambda: {"checks": {"wind": same}}, "checks", "write fd.rules.invariant('wind')"),
    (lambda: {"checks": {"wind": 3}}, "checks['wind']", "write def step(rows)"),
    (lambda: {"checks": [same]}, "checks", 'write checks={"more wind"'),
    (lambda: {"allow": ("torch",)}, "allow", 'write allow=("pickle",)'),
    (lambda: {"seed": -1}, "seed", "as a whole number"),
    (lambda: {"rows_min": 5}, "rows_min", "give 10 to"),
    (lambda: {"network": True}, "network", "leave it out"),
    (lambda: {"trigger": "daily"}, "trigger", "fd.manual"),
    (lambda: {"hang_s": 60, "timeout_s": 10}, "hang_s", "give less"),
    (lambda: {"step": same}, "step", "write def same(model, rows)"),
]


@pytest.mark.parametrize(("change", "field", "remedy"), BAD)
def test_what_cannot_work_is_refused_with_the_remedy(
    change: Callable[[], dict[str, Any]], field: str, remedy: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        declare(**change())
    assert caught.value.field == field
    assert remedy in caught.value.remedy


def test_an_evaluation_shares_the_names_of_jobs_and_is_one() -> None:
    pipeline = declare()
    (job,) = pipeline.jobs
    assert (job.name, job.reads) == ("evaluate", "store")
    assert job.evaluation is not None
    assert (job.evaluation.part, job.evaluation.model) == ("test", "late")
    with pytest.raises(DeclarationError, match="is declared already"):
        pipeline.job(name="evaluate")(lambda run: run)


def test_without_numpy_the_declaration_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline, delays = declared()
    rules = [fd.rules.deterministic()]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DeclarationError, match=r"pip install 'firedoor\[train\]'"):
        pipeline.evaluation(reads=delays, part="test", model="late", rules=rules)


def test_without_numpy_the_rules_say_what_to_install() -> None:
    code = "import sys; sys.modules['numpy'] = None; import firedoor; firedoor.rules"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "firedoor.rules needs numpy: pip install 'firedoor[train]'" in ended.stderr


def test_the_plan_has_the_rules_as_they_were_declared(tmp_path: Path) -> None:
    plan = judged.settle(tmp_path)
    job = plan.job("evaluate")
    assert job.evaluation is not None
    assert [str(rule) for rule in rules_of(job.evaluation.rules)] == [
        rule.said for rule in job.evaluation.rules
    ]
    assert (job.dataset, job.evaluation.checks) == ("delays", ("renamed", "more x"))
    assert [name for name in ("timed", "many") if _calls(plan.job(name))] == ["timed"]
    text = (tmp_path / "evaluated.py").read_text()
    (tmp_path / "evaluated.py").write_text(text.replace("0.65", "0.66"))
    changed = load_plan(tmp_path / "evaluated.py")
    assert changed.job("evaluate").version != job.version


def _calls(job: Any) -> int:
    assert job.evaluation is not None
    return int(job.evaluation.calls)
