"""Services: what answers requests by a model, declared beside the zones of a pipeline."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast, get_origin

from firedoor.errors import DeclarationError
from firedoor.rollout.betting import loss_bound
from firedoor.rollout.policy import RolloutPolicy
from firedoor.spec.checking import (
    check_bytes,
    check_choice,
    check_columns,
    check_known,
    check_number,
    check_switch,
)
from firedoor.spec.drills import check_drills
from firedoor.spec.fallback import Fallback
from firedoor.spec.features import Features, check_features
from firedoor.spec.referred import ModelPlan
from firedoor.spec.service_plan import Loss, ServiceLimits, Takes
from firedoor.spec.slo import SLO, check_slo
from firedoor.spec.steps import check_evaluation, doc_of
from firedoor.spec.upkeep import check_runbook, declared_at
from firedoor.spec.zone_wall import check_wall

SLICES_MAX = 8
"""Columns; a rollout judges the 50 values met first of each."""
LOSSES: tuple[Loss, ...] = ("", "log_loss", "squared", "absolute")
MEMORY_BYTES = (2**20, 2**50)
BODY_BYTES = (2**10, 32 * 2**20)
HEADER_BYTES = (2**10, 2**20)
TIMEOUT_MAX_S = 600
ATTEMPT_S = 0.25
HANG_S = 2.0


class ServiceOptions(TypedDict, total=False):
    """Further keyword arguments of a service. Limits are those of each worker and gateway."""

    replicas: int
    """Workers of a version that answer, 1 to 64; one more is kept warm. Default: 1."""
    memory: int | str
    """Memory of each worker and what it starts. Default: 1 GiB."""
    cpus: float
    """Processors that one worker may keep busy, averaged over 2 s. 0.1 to 256. Default: 1."""
    timeout_s: float
    """Deadline of a request that names none, and the longest that one may name. 0.005 to 600.
    Default: 1."""
    attempt_s: float
    """Longest that one version may take before the next answer of the ladder is tried. Default:
    0.25, or ``timeout_s`` if that is less."""
    hang_s: float
    """Longest that a worker may be at one batch; beyond it is ended. Default: 2, or ``attempt_s``
    if that is more."""
    batch_rows: int
    """Rows that are predicted together at most, 1 to 100,000. Default: 256."""
    waiting_max: int
    """Requests that one worker may hold, 1 to 65,536. Default: 256."""
    processes_max: int
    """Processes that a worker may have, itself included. Default: 64."""
    files_max: int
    """Open files that it may have. Default: 1,024."""
    may_read: Sequence[str | Path]
    """Files and folders it may read besides libraries, the project and the model's bundle."""
    env: Sequence[str]
    """Environment variables that it is given besides harmless ones."""
    body: int | str
    """Largest body of a request, 1 KiB to 32 MiB. Default: 4 MiB."""
    header: int | str
    """Largest head of a request, 1 KiB to 1 MiB. Default: 32 KiB."""
    connections: int
    """Connections of one gateway, 1 to 65,536. Default: 1,024."""
    concurrency: int
    """Requests under way in one gateway, 1 to 65,536. Default: 1,024."""
    body_s: float
    """Longest that a request's head and body may take to arrive, 0.1 to 600. Default: 10."""
    idle_s: float
    """Longest that a connection may be open without a request, 1 to 3,600. Default: 75."""
    drain_s: float
    """Longest that requests under way are finished at the end, 0 to 600. Default: 10."""
    loss: Loss
    """``log_loss``, ``squared`` or ``absolute``: of a prediction, once its label comes. Default:
    labels are not asked for."""
    nan_is_missing: bool
    """Whether NaN in a binary tensor stands for a missing value; else it is refused. Default:
    False."""
    log: bool
    """Whether copies of answers go to the prediction log. Default: True."""
    slo: SLO | None
    """What it promises."""
    owner: str | None
    """Who is told. Default: the pipeline's owner."""
    runbook: str | None
    """A URL or a path. Default: the pipeline's."""
    drills: Sequence[str]
    """Faults that a drill may inject here in production. Default: the pipeline's."""


_SERVICE = ("model", "key", "slices", "features", "fallback", "rollout", "name")
_OF_WALL = ("memory", "may_read", "env", "processes_max", "files_max")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Service:
    """A declared service."""

    name: str
    owner: str
    step: Callable[..., object]
    model: ModelPlan
    takes: Takes
    key: str
    slices: tuple[str, ...]
    features: tuple[Features, ...]
    fallback: Fallback
    rollout: RolloutPolicy
    limits: ServiceLimits
    loss: Loss
    nan_is_missing: bool
    log: bool
    slo: dict[str, float]
    runbook: str
    drills: tuple[str, ...] = ()
    doc: str = ""
    where: str = ""


def declare_service(
    folder: Path,
    *,
    model: ModelPlan,
    key: str | None,
    slices: Sequence[str],
    features: Sequence[Features],
    fallback: Fallback | None,
    rollout: RolloutPolicy | None,
    runbook: str,
    drills: tuple[str, ...],
    more: ServiceOptions,
) -> Callable[[str, object, str], Service]:
    """Return what makes a service of a name, a function and an owner. All as the user wrote it.

    Raises:
        DeclarationError: for anything that cannot work.
    """
    check_known(more.items(), (*_SERVICE, *ServiceOptions.__annotations__), "a service")
    _check_model(model)
    subject = "" if key is None else check_columns("key", [key])[0]
    cut, groups = _slices(slices), check_features(features)
    ladder = Fallback() if fallback is None else fallback
    if not isinstance(ladder, Fallback):
        remedy = 'write fallback=fd.Fallback(constant={"chance": 0.2})'
        raise DeclarationError("fallback", fallback, "is no Fallback", remedy)
    policy = RolloutPolicy() if rollout is None else rollout
    loss = more.get("loss", "")
    check_choice("loss", loss, LOSSES)
    _check_rollout(policy, loss)
    for switch in ("nan_is_missing", "log"):
        check_switch(switch, more.get(switch, True))
    limits, promised = service_limits(more, folder), check_slo(more.get("slo"))
    named = more.get("runbook")
    book, where = runbook if named is None else check_runbook(named), declared_at()
    allowed = check_drills(more["drills"]) if "drills" in more else drills

    def make(name: str, step: object, owner: str) -> Service:
        function = check_evaluation(step)
        return Service(
            name=name, owner=owner, step=function, model=model, takes=takes_of(function),
            key=subject, slices=cut, features=groups, fallback=ladder,
            rollout=policy, limits=limits, loss=loss,
            nan_is_missing=more.get("nan_is_missing", False), log=more.get("log", True),
            slo=promised, runbook=book, drills=allowed, doc=doc_of(function), where=where,
        )  # fmt: skip

    return make


def _check_model(model: object) -> None:
    """Refuse what is no model, or not the one that rollouts change."""
    remedy = 'write model=fd.model("delays")'
    if not isinstance(model, ModelPlan):
        raise DeclarationError("model", model, "is no model", remedy)
    if model.alias != "champion":
        why = "is not what a service answers by: rollouts decide which version is the champion"
        raise DeclarationError("model", f"{model.name}@{model.alias}", why, remedy)
    if model.column:
        why = "is a column of what sinks write, and a service writes none"
        raise DeclarationError("model", model.column, why, "leave column= out")


def _slices(given: Sequence[str]) -> tuple[str, ...]:
    """Return columns by whose values rollouts are judged besides."""
    columns = check_columns("slices", given)
    if len(columns) > SLICES_MAX:
        why = f"are more than {SLICES_MAX}, all of which are counted for each request"
        raise DeclarationError("slices", f"{len(columns)} columns", why, "name the ones that count")
    return columns


def _check_rollout(policy: object, loss: str) -> None:
    """Refuse a policy that could never promote anything."""
    if not isinstance(policy, RolloutPolicy):
        remedy = "write rollout=fd.RolloutPolicy(steps=(0.1, 0.5, 1.0))"
        raise DeclarationError("rollout", policy, "is no RolloutPolicy", remedy)
    if policy.need_labels and not loss:
        why = "waits for labels, and without loss= nobody takes any"
        raise DeclarationError("need_labels", value=True, why=why, remedy='write loss="log_loss"')
    if loss:
        loss_bound(loss, policy.loss_max)  # refuses one that is needed and not there


def service_limits(more: ServiceOptions, folder: Path) -> ServiceLimits:
    """Return what a service and its workers may use.

    Raises:
        DeclarationError: for what is out of range, or contradicts itself.
    """
    of_wall = {name: value for name, value in more.items() if name in _OF_WALL}
    options, given = check_wall({"network": False, **of_wall}, folder)
    timeout_s = _seconds(more, "timeout_s", 1.0, 0.005, TIMEOUT_MAX_S)
    attempt_s = _seconds(more, "attempt_s", min(ATTEMPT_S, timeout_s), 0.001, TIMEOUT_MAX_S)
    if attempt_s > timeout_s:
        why = f"is more than timeout_s={timeout_s:g}, so that no other answer could be tried"
        raise DeclarationError("attempt_s", attempt_s, why, "give less, or a longer timeout_s")
    hang_s = _seconds(more, "hang_s", max(HANG_S, attempt_s), 0.01, TIMEOUT_MAX_S)
    if hang_s < attempt_s:
        why = f"is less than attempt_s={attempt_s:g}: workers would be ended while they are waited"
        raise DeclarationError("hang_s", hang_s, f"{why} for", "give at least attempt_s")
    cpus = more.get("cpus", 1.0)
    check_number("cpus", cpus, 0.1, 256, "processors")
    return ServiceLimits(
        replicas=_whole(more, "replicas", 1, 64, "workers"),
        memory_bytes=check_bytes("memory", options.memory, *MEMORY_BYTES),
        cpus=float(cpus), timeout_s=timeout_s, attempt_s=attempt_s, hang_s=hang_s,
        batch_rows=_whole(more, "batch_rows", 256, 100_000, "rows"),
        waiting_max=_whole(more, "waiting_max", 256, 65_536, "requests"),
        processes_max=options.processes_max, files_max=options.files_max,
        may_read=tuple(cast("list[str]", given.get("reads", ()))), env=tuple(options.env),
        body_bytes=check_bytes("body", more.get("body", "4MiB"), *BODY_BYTES),
        header_bytes=check_bytes("header", more.get("header", "32KiB"), *HEADER_BYTES),
        connections=_whole(more, "connections", 1_024, 65_536, "connections"),
        concurrency=_whole(more, "concurrency", 1_024, 65_536, "requests"),
        body_s=_seconds(more, "body_s", 10.0, 0.1, 600),
        idle_s=_seconds(more, "idle_s", 75.0, 1, 3_600),
        drain_s=_seconds(more, "drain_s", 10.0, 0, 600),
    )  # fmt: skip


def _seconds(more: ServiceOptions, name: str, usual: float, low: float, high: float) -> float:
    """Return a time."""
    value = cast("dict[str, float]", more).get(name, usual)
    check_number(name, value, low, high, "seconds")
    return float(value)


def _whole(more: ServiceOptions, name: str, usual: int, high: int, unit: str) -> int:
    """Return a number from 1."""
    value = cast("dict[str, int]", more).get(name, usual)
    check_number(name, value, 1, high, unit, whole=True)
    return value


_NAMED: dict[Takes, re.Pattern[str]] = {
    "polars": re.compile(r"\b(pl|polars)\.DataFrame\b"),
    "pandas": re.compile(r"\b(pd|pandas)\.DataFrame\b"),
    "numpy": re.compile(r"\b((np|numpy)\.ndarray|NDArray)\b"),
}
_CLASSES: dict[Takes, str] = {"polars": "DataFrame", "pandas": "DataFrame", "numpy": "ndarray"}


def takes_of(step: Callable[..., object]) -> Takes:
    """Return in which form a function wants its rows: what it annotates its second argument with.

    Raises:
        DeclarationError: for an annotation that is none of the three.
    """
    return form_of(step, 1) or "polars"


def form_of(step: Callable[..., object], at: int) -> Takes | None:
    """Return in which form a function wants its rows, by its argument ``at``; None: it says not.

    Raises:
        DeclarationError: for an annotation that is none of the three.
    """
    annotation = _annotation(step, at)
    if annotation is inspect.Parameter.empty:
        return None
    for takes, named in _NAMED.items():
        if isinstance(annotation, str):
            if named.search(annotation):
                return takes
            continue
        made = get_origin(annotation) or annotation
        for one in getattr(made, "__mro__", ()):
            if one.__name__ == _CLASSES[takes] and one.__module__.partition(".")[0] == takes:
                return takes
    shown = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "?")
    remedy = "annotate rows as pl.DataFrame, pd.DataFrame or np.ndarray"
    raise DeclarationError("rows", shown, "is no form in which rows can be handed over", remedy)


def _annotation(step: Callable[..., object], at: int) -> object:
    """Return the annotation of an argument; a string where it cannot be evaluated."""
    try:
        parameters = inspect.signature(step, eval_str=True).parameters
    except Exception:  # noqa: BLE001 - annotations are the user's code, and may name what is not there
        try:
            parameters = inspect.signature(step).parameters
        except (TypeError, ValueError):
            return inspect.Parameter.empty
    places = [
        each
        for each in parameters.values()
        if each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}
    ]
    return places[at].annotation if len(places) > at else inspect.Parameter.empty
