"""Judge predictions by labels. Runs in a worker that knows labels, and no code but firedoor's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import msgspec
import polars as pl

from firedoor.compute.evaluation_order import (
    CHALLENGER,
    CHAMPION,
    JUDGEMENT,
    LABELS_FILE,
    PREDICTIONS,
    ROWS_FILE,
    TASK_FILE,
    TOLD_FILE,
    JudgeTask,
    decode_judge,
    decode_told,
)
from firedoor.compute.jobbench import Run
from firedoor.evaluation import rules
from firedoor.evaluation.calibration import Calibration
from firedoor.evaluation.intervals import Estimate
from firedoor.evaluation.metrics import Unknown
from firedoor.evaluation.report import Report, Wanted, report
from firedoor.evaluation.slices import SliceReport
from firedoor.evaluation.verdict import Evidence, NoChampion
from firedoor.spec.evaluation_plan import EvaluationPlan, RulePlan
from firedoor.wire.verdict import (
    BinNote,
    CalibrationNote,
    Figure,
    Judgement,
    RuleNote,
    SliceNote,
    SlicesNote,
)

_KINDS: dict[str, type[rules.Rule]] = {kind.__name__: kind for kind in get_args(rules.Rule)}


def judge(run: Run, folder: Path) -> None:
    """Judge what a task names, and hand the judgement over.

    Args:
        run: of the evaluation.
        folder: the task.
    """
    task = decode_judge((folder / TASK_FILE).read_bytes())
    run.progress(0, 1, step="figures")
    plan = task.evaluation
    evidence, predictions = evidence_of(task, folder)
    wanted = Wanted(
        metrics=plan.metrics, slices=plan.slices, rows_min=plan.rows_min,
        slice_rows_min=plan.slice_rows_min,
    )  # fmt: skip
    found = report(rules_of(plan.rules), evidence, wanted, seed=plan.seed)
    digest = hashlib.sha256(predictions.to_numpy().tobytes()).hexdigest()
    said = msgspec.structs.replace(judgement_of(found), predictions=digest)
    with run.checkpoint(JUDGEMENT) as out:
        (out / f"{JUDGEMENT}.json").write_bytes(msgspec.json.encode(said))


def rules_of(plans: Sequence[RulePlan]) -> list[rules.Rule]:
    """Return rules from the plan, each checked as where it was declared."""
    return [msgspec.json.decode(plan.fields, type=_KINDS[plan.kind]) for plan in plans]


def evidence_of(task: JudgeTask, folder: Path) -> tuple[Evidence, pl.Series]:
    """Return what there is to judge by, and the predictions."""
    predicted, clusters = folder / CHALLENGER, task.evaluation.clusters
    told = decode_told((predicted / TOLD_FILE).read_bytes())
    once = pl.read_parquet(predicted / f"{PREDICTIONS}.parquet")
    columns = pl.read_parquet(folder / ROWS_FILE, columns=_needed(task.evaluation))
    timed = predicted / "latency.parquet"
    champion: pl.Series | NoChampion | Unknown = Unknown(task.why)
    if task.champion == "there":
        champion = pl.read_parquet(folder / CHAMPION / f"{PREDICTIONS}.parquet")["prediction"]
    elif task.champion == "none":
        champion = NoChampion()
    changed: dict[str, tuple[pl.Series, pl.Series] | Unknown] = {
        name: Unknown(why) for name, why in told.unchecked.items()
    }
    for name, stem in told.checks.items():
        pair = pl.read_parquet(predicted / f"{Path(stem).name}.parquet")
        changed[name] = pair["before"], pair["after"]
    evidence = Evidence(
        labels=pl.read_parquet(folder / LABELS_FILE)[task.label],
        predictions=once["prediction"],
        again=once["again"],
        champion=champion,
        columns=columns,
        clusters=columns[clusters] if clusters else None,
        changed=changed,
        row_s=pl.read_parquet(timed)["row_s"] if timed.exists() else None,
    )
    return evidence, once["prediction"]


def judgement_of(found: Report) -> Judgement:
    """Return a report as plain values."""
    return Judgement(
        word=found.verdict.word,
        rules=tuple(
            RuleNote(
                rule=one.rule, outcome=one.outcome, figure=_figure(one.found), sentence=one.sentence
            )
            for one in found.verdict.findings
        ),
        metrics={name: _figure(one) for name, one in found.metrics.items()},
        champion=found.champion,
        slices=tuple(_sliced(column, name, one) for (column, name), one in found.slices.items()),
        calibration=_calibration(found.calibration),
    )


def _needed(plan: EvaluationPlan) -> list[str]:
    """Return the columns that slices, and rules about them, and clusters are about."""
    return list(dict.fromkeys([*plan.slices, *([plan.clusters] if plan.clusters else [])]))


def _figure(found: Estimate | Unknown) -> Figure:
    """Return a figure as plain values."""
    if isinstance(found, Unknown):
        return Figure(why=found.why)
    return Figure(
        value=found.value, low=found.low, high=found.high, rows=found.rows,
        confidence=found.confidence,
    )  # fmt: skip


def _sliced(column: str, name: str, found: SliceReport | Unknown) -> SlicesNote:
    """Return the slices of a column as plain values."""
    if isinstance(found, Unknown):
        return SlicesNote(column=column, metric=name, why=found.why)
    parts = (
        SliceNote(value=one.value, rows=one.rows, figure=_figure(found.shown(one)))
        for one in found.slices
    )
    return SlicesNote(
        column=column, metric=name, slices=tuple(parts), small=found.small,
        small_rows=found.small_rows,
    )  # fmt: skip


def _calibration(found: Calibration | Unknown) -> CalibrationNote:
    """Return a calibration as plain values."""
    if isinstance(found, Unknown):
        return CalibrationNote(rmsce=_figure(found))
    bins = (
        BinNote(rows=one.rows, predicted=one.predicted, observed=one.observed) for one in found.bins
    )
    return CalibrationNote(rmsce=_figure(found.rmsce), chance=found.chance, bins=tuple(bins))
