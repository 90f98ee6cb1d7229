"""Jobs: functions that run to completion, declared beside the zones of a pipeline."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, cast

from firedoor.errors import DeclarationError
from firedoor.flow.triggers import TriggerPlan
from firedoor.spec.checking import check_bytes, check_known, check_number
from firedoor.spec.dataset import Dataset, check_sink_read
from firedoor.spec.evaluation_plan import EvaluationPlan
from firedoor.spec.plan import JobLimits
from firedoor.spec.reads import Known
from firedoor.spec.slo import SLO, check_slo
from firedoor.spec.steps import check_job, doc_of
from firedoor.spec.trigger import plan_trigger
from firedoor.spec.upkeep import declared_at
from firedoor.spec.zone import Zone
from firedoor.spec.zone_wall import check_wall

TIME_MAX_S = 30 * 86_400
ATTEMPTS_MAX = 10
HANG_S = 600.0
PARAMETERS_MAX = 100
TEXT_MAX = 1_000
MEMORY_BYTES = (2**20, 2**50)
DISK_BYTES = (2**20, 2**50)

Parameter = bool | int | float | str | None


class JobOptions(TypedDict, total=False):
    """Further keyword arguments of a job."""

    memory: int | str
    """Memory of the job and everything it starts. Default: 1 GiB."""
    disk: int | str
    """Space that its scratch folder, its checkpoints and its model may take. Default: 16 GiB."""
    timeout_s: float
    """Longest time of one attempt, up to 30 days. Default: 3,600."""
    cpu_s: float
    """CPU time of it and what it starts, together, in whole seconds. Default: no limit."""
    hang_s: float | None
    """Longest time without ``run.progress``, ``run.heartbeat`` or another call of ``run``; None:
    no such limit. Default: 600, or ``timeout_s`` if that is less."""
    attempts: int
    """How often it is tried, 1 to 10. Default: 1."""
    parameters: Mapping[str, Parameter]
    """What ``--param`` may set, and what holds otherwise."""
    may_read: Sequence[str | Path]
    """Files and folders it may read besides libraries, the project and what it ``reads``."""
    network: bool | Sequence[int]
    """Whether it may use TCP, or the ports that it may connect to. Default: False."""
    env: Sequence[str]
    """Environment variables that it is given besides harmless ones."""
    processes_max: int
    """Processes that it may have, itself included. Default: 64."""
    files_max: int
    """Open files that it may have. Default: 1,024."""
    owner: str | None
    """Who is told. Default: the pipeline's owner."""
    slo: SLO | None
    """What it promises: the share of its runs that succeed."""


_JOB = ("reads", "trigger", "name", *JobOptions.__annotations__)
_OF_WALL = ("memory", "may_read", "network", "env", "processes_max", "files_max")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A declared job."""

    name: str
    owner: str
    step: Callable[..., object]
    reads: str
    """The sink that it reads; empty: none."""
    limits: JobLimits
    parameters: Mapping[str, Parameter]
    trigger: TriggerPlan
    dataset: Dataset | None = None
    """What it reads of that sink; None: the files as they are."""
    evaluation: EvaluationPlan | None = None
    """What it judges, and how; None: it is no evaluation."""
    checks: Mapping[str, Callable[..., object]] = field(default_factory=dict)
    """Of an evaluation: changes of inputs, by name."""
    doc: str = ""
    where: str = ""
    slo: Mapping[str, float] = field(default_factory=dict)


def declare_job(
    known: Known,
    datasets: Mapping[str, Dataset],
    folder: Path,
    *,
    reads: Zone | Dataset | str | None,
    trigger: object,
    more: JobOptions,
) -> Callable[[str, object, str], Job]:
    """Return what makes a job of a name, a function and an owner.

    Args:
        known: zones that can be read, and jobs that can be waited for.
        datasets: likewise, by name.
        folder: what paths are relative to.
        reads: as the user wrote it.
        trigger: likewise.
        more: likewise.

    Raises:
        DeclarationError: for anything that cannot work.
    """
    check_known(more.items(), _JOB, "a job")
    planned = plan_trigger(trigger, known)
    dataset = dataset_read(reads, datasets)
    sink = dataset.sink if dataset else "" if reads is None else check_sink_read(reads, known).name
    limits = job_limits(more, folder)
    if dataset is not None and dataset.sealed and limits.network is True:
        why = f"would let what is sealed in {dataset.name!r} be had from anywhere"
        raise DeclarationError("network", more["network"], why, "name the ports that it needs")
    parameters = check_parameters(more.get("parameters", {}))
    promised, where = check_job_slo(more.get("slo")), declared_at()

    def make(name: str, step: object, owner: str) -> Job:
        function = check_job(step, reads=bool(sink))
        return Job(
            name=name, owner=owner, step=function, reads=sink, limits=limits, dataset=dataset,
            parameters=parameters, doc=doc_of(function), where=where, trigger=planned,
            slo=promised,
        )  # fmt: skip

    return make


def check_job_slo(slo: object) -> dict[str, float]:
    """Return what a job promises: that runs succeed, and nothing else.

    Raises:
        DeclarationError: for anything else.
    """
    promised = check_slo(slo)
    for name in ("latency_p99_s", "freshness_s"):
        if name in promised:
            why, remedy = "is nothing that a job can promise", "write slo=fd.SLO(availability=0.9)"
            raise DeclarationError(name, promised[name], why, remedy)
    return promised


def check_parameters(given: object) -> dict[str, Parameter]:
    """Return parameters by name: switches, numbers, lines of text, or None.

    Raises:
        DeclarationError: for any other.
    """
    remedy = 'write parameters={"rounds": 100}'
    if not isinstance(given, Mapping) or len(given) > PARAMETERS_MAX:
        why = f"is no mapping of at most {PARAMETERS_MAX}"
        raise DeclarationError("parameters", given, why, remedy)
    for name, value in given.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise DeclarationError("parameters", name, "is no name of a parameter", remedy)
        good = value is None or isinstance(value, bool | int | float | str)
        if not good or (isinstance(value, float) and not math.isfinite(value)):
            why = f"of {name} is no switch, finite number, text or None"
            raise DeclarationError("parameters", value, why, remedy)
        if isinstance(value, str) and len(value) > TEXT_MAX:
            why = f"of {name} is longer than {TEXT_MAX} characters"
            raise DeclarationError("parameters", value, why, "put it into a file of the project")
        if isinstance(value, int) and abs(value) >= 2**63:
            why = f"of {name} does not fit into 64 bits"
            raise DeclarationError("parameters", value, why, "give it as text")
    return {str(name): cast("Parameter", value) for name, value in given.items()}


def dataset_read(reads: object, datasets: Mapping[str, Dataset]) -> Dataset | None:
    """Return the dataset that is read; None: it is none."""
    if isinstance(reads, str):
        return datasets.get(reads)
    if not isinstance(reads, Dataset):
        return None
    if datasets.get(reads.name) is not reads:
        why = f"is a dataset of another pipeline, {reads.pipeline!r}"
        known = ", ".join(datasets) or "none so far"
        raise DeclarationError("reads", reads.name, why, f"read one of this one: {known}")
    return reads


def job_limits(more: JobOptions, folder: Path) -> JobLimits:
    """Return what a job may use and reach."""
    of_wall = {name: value for name, value in more.items() if name in _OF_WALL}
    options, given = check_wall({"network": False, **of_wall}, folder)
    timeout_s, cpu_s = more.get("timeout_s", 3_600.0), more.get("cpu_s")
    check_number("timeout_s", timeout_s, 0.1, TIME_MAX_S, "seconds")
    if cpu_s is not None:
        check_number("cpu_s", cpu_s, 1, TIME_MAX_S, "seconds")
    hang_s = more.get("hang_s", min(HANG_S, timeout_s))
    if hang_s is not None:
        check_number("hang_s", hang_s, 0.1, TIME_MAX_S, "seconds")
        if hang_s > timeout_s:
            why = f"is more than timeout_s={timeout_s:g}, so that no hang would ever be found"
            raise DeclarationError("hang_s", hang_s, why, "give less, or None for no such limit")
    attempts = more.get("attempts", 1)
    check_number("attempts", attempts, 1, ATTEMPTS_MAX, "attempts", whole=True)
    network = options.network
    return JobLimits(
        memory_bytes=check_bytes("memory", options.memory, *MEMORY_BYTES),
        disk_bytes=check_bytes("disk", more.get("disk", "16GiB"), *DISK_BYTES),
        timeout_s=float(timeout_s),
        cpu_s=None if cpu_s is None else math.ceil(cpu_s),
        hang_s=None if hang_s is None else float(hang_s),
        attempts=attempts,
        may_read=tuple(cast("list[str]", given.get("reads", ()))),
        network=network if isinstance(network, bool) else tuple(network),
        env=tuple(options.env),
        processes_max=options.processes_max,
        files_max=options.files_max,
    )
