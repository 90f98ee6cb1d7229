"""Evaluations: by which rules a model is judged on rows that its training was kept from."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

import msgspec

from firedoor.errors import DeclarationError
from firedoor.names import check_name
from firedoor.spec.checking import check_columns, check_known, check_number
from firedoor.spec.dataset import Dataset
from firedoor.spec.evaluation_plan import EvaluationPlan, RulePlan
from firedoor.spec.job import Job, JobOptions, dataset_read, job_limits
from firedoor.spec.reads import Known
from firedoor.spec.steps import check_change, check_evaluation, doc_of
from firedoor.spec.trigger import plan_trigger
from firedoor.spec.upkeep import declared_at

if TYPE_CHECKING:  # needs numpy, an extra
    from firedoor.evaluation.rules import Latency, Rule

CHECKS_MAX = 20
COLUMNS_MAX = 20
METRICS_MAX = 50
NAME_MAX = 60
CALLS_MAX = 20_000
CALLS_OVER = 3
"""Times the calls that would do if each were quick enough: a few may be slow, as is declared."""
TAIL = 0.025
"""Of the interval that a rule is judged by, on one side."""
SEED_MAX = 2**63 - 1

Change = Callable[..., object]


class EvaluationOptions(TypedDict, total=False):
    """Further keyword arguments of an evaluation. Limits are those of each worker."""

    rows_min: int
    """Rows below which nothing is judged, 10 or more. Default: 100."""
    slice_rows_min: int
    """Rows below which a slice is counted, and not judged. 10 or more. Default: 500."""
    memory: int | str
    """Memory of a worker and everything it starts. Default: 1 GiB."""
    disk: int | str
    """Space that the models' files, the rows and the predictions may take. Default: 16 GiB."""
    timeout_s: float
    """Longest time of one worker, up to 30 days. Default: 3,600."""
    cpu_s: float
    """CPU time of its process, all threads together, in whole seconds. Default: no limit."""
    hang_s: float | None
    """Longest time of one call of the function; None: no such limit. Default: 600, or
    ``timeout_s`` if that is less."""
    attempts: int
    """How often a worker is tried, 1 to 10. Default: 1."""
    may_read: Sequence[str | Path]
    """Files and folders that the model may read besides libraries, the project and its bundle."""
    processes_max: int
    """Processes that it may have, itself included. Default: 64."""
    files_max: int
    """Open files that it may have. Default: 1,024."""
    owner: str | None
    """Who is told. Default: the pipeline's owner."""


_OF_ROWS = ("rows_min", "slice_rows_min", "owner")


def declare_evaluation(
    known: Known,
    datasets: Mapping[str, Dataset],
    folder: Path,
    *,
    reads: Dataset | str,
    part: str,
    model: str,
    rules: Sequence[Rule],
    metrics: Sequence[str],
    slices: Sequence[str],
    clusters: str | None,
    checks: Mapping[str, Change],
    allow: Sequence[str],
    trigger: object,
    seed: int,
    more: EvaluationOptions,
) -> Callable[[str, object, str], Job]:
    """Return what makes an evaluation of a name, a function and an owner. All as the user wrote it.

    Raises:
        DeclarationError: for anything that cannot work.
    """
    _check_numpy()
    check_known(more.items(), tuple(EvaluationOptions.__annotations__), "an evaluation")
    planned = plan_trigger(trigger, known)
    dataset = dataset_read(reads, datasets)
    if dataset is None:
        there = ", ".join(datasets) or "none so far"
        why = "is no dataset, and only parts of one are kept from training"
        raise DeclarationError("reads", reads, why, f"read one of: {there}")
    if part not in dataset.sealed:
        why = f"is no sealed part of {dataset.name!r}, so that training could learn it by heart"
        sealed = ", ".join(dataset.sealed) or "declare sealed= at the dataset"
        raise DeclarationError("part", part, why, f"name one of: {sealed}")
    changes = _checks(checks)
    columns, cluster = _columns("slices", slices, dataset), clusters or ""
    if clusters is not None:
        _columns("clusters", [clusters], dataset)
    check_number("seed", seed, 0, SEED_MAX, "as a whole number", whole=True)
    if tuple(allow) not in {(), ("pickle",)}:
        remedy = 'write allow=("pickle",), or leave it out'
        raise DeclarationError("allow", allow, "allows what is not known", remedy)
    plans, calls = _rules(rules, columns, tuple(changes))
    plan = EvaluationPlan(
        model=check_name("model", model), part=part, rules=plans,
        metrics=_metrics(metrics), slices=columns, clusters=cluster, checks=tuple(changes),
        allow=tuple(allow), seed=seed, rows_min=_least("rows_min", more.get("rows_min", 100)),
        slice_rows_min=_least("slice_rows_min", more.get("slice_rows_min", 500)), calls=calls,
    )  # fmt: skip
    of_job = {name: value for name, value in more.items() if name not in _OF_ROWS}
    limits = job_limits(cast("JobOptions", of_job), folder)
    where = declared_at()

    def make(name: str, step: object, owner: str) -> Job:
        function = check_evaluation(step)
        return Job(
            name=name, owner=owner, step=function, reads=dataset.sink, limits=limits,
            dataset=dataset, parameters={}, doc=doc_of(function), where=where, evaluation=plan,
            checks=changes, trigger=planned,
        )  # fmt: skip

    return make


def _rules(
    given: object, slices: tuple[str, ...], checks: tuple[str, ...]
) -> tuple[tuple[RulePlan, ...], int]:
    """Return rules as plain values, and how many calls have to be timed for them."""
    from firedoor.evaluation import rules  # noqa: PLC0415 - numpy, an extra
    from firedoor.evaluation.verdict import RULES_MAX  # noqa: PLC0415

    example = 'write rules=[fd.rules.at_least("roc_auc", 0.65)]'
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise DeclarationError("rules", given, "is no list of rules", example)
    if len(given) > RULES_MAX:
        remedy = f"declare at most {RULES_MAX}"
        raise DeclarationError("rules", f"{len(given)} rules", "are too many", remedy)
    plans: dict[str, RulePlan] = {}
    for rule in given:
        if not isinstance(rule, rules.Rule):
            raise DeclarationError("rules", rule, "is no rule", example)
        said = str(rule)
        if said in plans:
            raise DeclarationError("rules", said, "is declared twice", "declare it once")
        _check_about(rule, slices, checks)
        fields = msgspec.Raw(msgspec.json.encode(rule))
        plans[said] = RulePlan(kind=type(rule).__name__, said=said, fields=fields)
    used = {rule.check for rule in given if isinstance(rule, rules.Behaves)}
    idle = next((name for name in checks if name not in used), None)
    if idle is not None:
        remedy = f"write fd.rules.invariant({idle!r}) or fd.rules.directional({idle!r}, may=...)"
        raise DeclarationError("checks", idle, "is used by no rule", remedy)
    timed = (rule for rule in given if isinstance(rule, rules.Latency))
    return tuple(plans.values()), max((_calls(rule) for rule in timed), default=0)


def _check_about(rule: Rule, slices: tuple[str, ...], checks: tuple[str, ...]) -> None:
    """Refuse a rule about what is not declared beside it."""
    from firedoor.evaluation import rules  # noqa: PLC0415 - numpy, an extra

    if isinstance(rule, rules.WorstSlice) and rule.column not in slices:
        why = f"is about column {rule.column!r}, which is no slice"
        raise DeclarationError("rules", str(rule), why, f'write slices=["{rule.column}"]')
    if isinstance(rule, rules.Behaves) and rule.check not in checks:
        why = f"is about check {rule.check!r}, which there is not"
        remedy = f"write checks={{{rule.check!r}: a function}}"
        raise DeclarationError("rules", str(rule), why, remedy)


def _calls(rule: Latency) -> int:
    """Return how many calls have to be timed to show that a share of them is quick enough."""
    needed = math.ceil(math.log(TAIL) / math.log(rule.share))
    if needed > CALLS_MAX:
        why = f"needs {needed:,} calls to be shown, and {CALLS_MAX:,} are timed at most"
        raise DeclarationError("rules", str(rule), why, "ask for a smaller share")
    return min(CALLS_MAX, CALLS_OVER * needed)


def _checks(given: object) -> dict[str, Change]:
    """Return changes of inputs by name."""
    example = 'write checks={"more wind": more_wind}'
    if not isinstance(given, Mapping) or len(given) > CHECKS_MAX:
        raise DeclarationError("checks", given, f"is no mapping of at most {CHECKS_MAX}", example)
    for name in given:
        named = isinstance(name, str) and 0 < len(name) <= NAME_MAX and name.isprintable()
        if not named:
            raise DeclarationError("checks", name, "is no name of a check", example)
    return {name: check_change(name, change) for name, change in given.items()}


def _columns(field: str, given: Sequence[str], dataset: Dataset) -> tuple[str, ...]:
    """Return columns that rows are cut or drawn by."""
    columns = check_columns(field, given)
    if len(columns) > COLUMNS_MAX:
        remedy = f"name at most {COLUMNS_MAX}"
        raise DeclarationError(field, f"{len(columns)} columns", "are too many", remedy)
    if dataset.label in columns:
        raise DeclarationError(field, dataset.label, "is the label", "name another column")
    return columns


def _metrics(given: Sequence[str]) -> tuple[str, ...]:
    """Return names of figures."""
    from firedoor.evaluation.metrics import metric  # noqa: PLC0415 - numpy, an extra

    names = check_columns("metrics", given)
    if len(names) > METRICS_MAX:
        why, remedy = "are too many", f"name at most {METRICS_MAX}"
        raise DeclarationError("metrics", f"{len(names)} figures", why, remedy)
    return tuple(metric(name).name for name in names)


def _least(field: str, value: int) -> int:
    """Return a number of rows."""
    check_number(field, value, 10, 10**9, "rows", whole=True)
    return value


def _check_numpy() -> None:
    """Refuse to judge where what figures are computed with is missing.

    Raises:
        DeclarationError: saying what to install.
    """
    if importlib.util.find_spec("numpy") is None:
        remedy = "pip install 'firedoor[train]'"
        raise DeclarationError("evaluation", "numpy", "is not installed", remedy)
