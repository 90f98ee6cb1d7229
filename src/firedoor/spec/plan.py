"""A declared pipeline as plain values: what processes that run no user code know of it.

``spec.pipeline`` is what a user writes; ``compose.loading`` makes a ``Plan`` of it in a process of
its own, because importing a user's file runs user code. It is kept as JSON in the project folder.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from firedoor.flow.triggers import TriggerPlan
from firedoor.quality.grades import Demand
from firedoor.spec.dataset_plan import DatasetPlan
from firedoor.spec.evaluation_plan import EvaluationPlan
from firedoor.spec.referred import ModelPlan, StepNote
from firedoor.spec.service_plan import ServicePlan

PLAN_VERSION = 1
"""Rises when who reads the number before would misread a plan. Fields not known are skipped."""
BATCH_MAX_BYTES = 4 * 2**20
"""Size of the largest batch."""

Kind = Literal["source", "transform", "sink"]
WhenFull = Literal["block", "shed", "detach"]


class SchemaNote(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a dataframely schema without importing it."""

    name: str
    columns: dict[str, str]
    """Type of each column, as polars writes it."""
    nullable: tuple[str, ...]
    rules: dict[str, tuple[str, ...]]
    """Columns of each rule: ``distance|min``, ``goes_somewhere_else`` ..."""


class GatePolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When too many bad rows slow a zone down, and when they halt it."""

    throttle_share: float = 0.02
    """Share of dead rows in the window above which the zone pulls more slowly. 0 to 1."""
    dead_max: float = 0.1
    """Share of dead rows in the window above which it halts. 0 to 1; 1 disables."""
    window_rows: int = 100_000
    """Rows that the window covers, the latest ones."""
    rows_min: int = 1_000
    """Rows in the window below which nothing is judged but contrast, in the wall."""
    throttle_max_s: float = 5.0
    """Longest wait between two batches."""


class ShedPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a batch: a share by hashed key, or the rows of most priority."""

    keep: float
    key: tuple[str, ...] = ()
    priority: str = ""
    salt: str = ""
    """Hashed with each key: where two that sample follow each other, the second must not keep just
    the keys that the first has kept."""


class LadderPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a zone does under pressure, or while a lookup cannot be read; None: not that."""

    older_s: float | None = None
    """Age of a lookup beyond which it pauses."""
    sample: ShedPlan | None = None
    slower_s: float | None = None
    """Wait between two batches."""


class EdgePlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One publisher, one reader, one inbox."""

    publisher: str
    reader: str
    when_full: WhenFull = "block"
    bytes_max: int = 256 * 2**20
    shed: ShedPlan | None = None
    by_way: bool = False
    """Whether batches can reach the reader by several ways, so that their ids say which."""
    demand: Demand | None = None
    """What is required of a batch to go here, where a zone beside takes the others."""
    instead_of: tuple[str, ...] = ()
    """Readers beside whose demands a batch has to miss to go here; none: every batch does."""

    @property
    def name(self) -> str:
        """``publisher:reader``."""
        return f"{self.publisher}:{self.reader}"


class SourcePlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a source reads."""

    form: Literal["jsonl", "csv", "parquet", "frames"]
    patterns: tuple[str, ...] = ()
    """Absolute paths or globs."""
    batch_rows: int = 10_000
    rate: float | None = None
    """Rows a second at most; None: as fast as they are taken."""
    follow: bool = False
    """Whether it goes on looking for new files after the last one (``firedoor up``)."""
    line_bytes_max: int = 2**20


class SinkPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a sink writes."""

    form: Literal["parquet", "function"]
    path: str = ""
    """Absolute path of the folder."""
    keyed: bool | None = None
    """Whether the function ever reads the key that it is given; None: not known."""


class LookupPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A versioned, immutable table that steps join to."""

    name: str
    path: str = ""
    """Absolute path of a Parquet, CSV or IPC file; empty for a function."""
    key: tuple[str, ...] = ()
    """Columns that must be unique, if declared."""
    refresh_s: float | None = None
    live_s: float | None = None
    """Age up to which it is live; None: however old."""


class RungPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer of a guard's fallback ladder."""

    kind: Literal["stale", "previous", "constant", "function"]
    age_max_s: float | None = None
    """Greatest age of the answer; None: it has no age."""
    guard: str = ""
    """Name of the guard around the function, if it has one."""


class BreakerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """When a guard's breaker opens."""

    calls_min: int
    window_s: float
    consecutive: int
    row_s: float = 3_600.0
    """Seconds of bad calls alone after which half of ``consecutive`` are enough."""


class GuardPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The numbers of a guard, as declared."""

    name: str
    """Who calls whom: ``enrich->weather``."""
    priority: str = "default"
    timeout_s: float | None = None
    """Longest time of one attempt; None: no timeout."""
    attempts: int = 1
    wait_min_s: float = 0.0
    wait_max_s: float = 0.0
    """Between which the longest wait before another attempt doubles."""
    breaker: BreakerPlan | None = None
    limit: int | None = None
    """Most calls at once, in one process; None: no limit."""
    rate: float | None = None
    """Calls a second, in one process."""
    fallback: tuple[RungPlan, ...] = ()


class DependencyPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a step calls out of its zone."""

    guard: GuardPlan
    availability: float | None = None
    calls: float | None = None
    """Calls that a batch makes."""
    idempotent: bool | None = None


class ExemptPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that does not count, for a while."""

    rule: str
    owner: str
    reason: str
    until: str
    """The last day on which it holds, ``YYYY-MM-DD``."""


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a zone is built for; None: not declared."""

    peak: float | None = None
    """Rows a second, of a source."""
    batch_s: float | None = None
    """Seconds that a batch takes in the step."""
    batch_bytes: int | None = None
    """Size of a batch that waits."""


class ZonePlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One zone."""

    name: str
    kind: Kind
    owner: str
    version: str
    """Hash of the code that makes its step, and of its options."""
    doc: str = ""
    step: StepNote | None = None
    """Of a transform, or of a sink that is a function; None otherwise."""
    schema: SchemaNote | None = None
    out_schema: SchemaNote | None = None
    wall: dict[str, bool | int | float | str | list[str | int] | None] = {}
    """Options of ``Wall``."""
    source: SourcePlan | None = None
    sink: SinkPlan | None = None
    lookups: dict[str, str] = {}
    """Parameter of the step -> name of the lookup."""
    models: dict[str, ModelPlan] = {}
    """By parameter of the step."""
    gate: GatePolicy = GatePolicy()
    sensitive: tuple[str, ...] = ()
    expands: bool = False
    slo: dict[str, float] = {}
    where: str = ""
    """``file:line`` of its declaration."""
    runbook: str = ""
    """A URL, or an absolute path; empty: none."""
    depends: tuple[DependencyPlan, ...] = ()
    load: LoadPlan = LoadPlan()
    exempt: tuple[ExemptPlan, ...] = ()
    ladder: LadderPlan | None = None
    demand: Demand | None = None
    """What it requires of the batches that it takes."""
    drills: tuple[str, ...] = ()
    """Faults that may be injected in it in production."""


class JobPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A function that runs to completion. No part of the graph: no stream leads to it."""

    name: str
    owner: str
    version: str
    """Hash of the code that makes its function, and of its options."""
    step: StepNote
    limits: JobLimits
    doc: str = ""
    reads: str = ""
    """The sink that it reads; empty: none."""
    folder: str = ""
    """Absolute path of that folder."""
    dataset: str = ""
    """What it reads of the sink; empty: the files as they are."""
    evaluation: EvaluationPlan | None = None
    """What it judges, and how; None: it is no evaluation."""
    parameters: dict[str, bool | int | float | str | None] = {}
    """By name, what each is where nobody says otherwise."""
    trigger: TriggerPlan = TriggerPlan()
    slo: dict[str, float] = {}
    where: str = ""
    """``file:line`` of its declaration."""


class JobLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a job may use and reach."""

    memory_bytes: int = 2**30
    timeout_s: float = 3_600.0
    disk_bytes: int = 16 * 2**30
    cpu_s: int | None = None
    hang_s: float | None = 600.0
    """Longest time without a sign of life; None: as long as it may run."""
    attempts: int = 1
    may_read: tuple[str, ...] = ()
    """Absolute paths."""
    network: bool | tuple[int, ...] = False
    env: tuple[str, ...] = ()
    processes_max: int = 64
    files_max: int = 1024


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline: zones in an order in which every zone comes after those that it reads."""

    pipeline: str
    owner: str
    file: str
    """Absolute path of the Python file that declares it."""
    sys_path: tuple[str, ...]
    """For processes that import user code."""
    zones: tuple[ZonePlan, ...]
    edges: tuple[EdgePlan, ...]
    lookups: tuple[LookupPlan, ...] = ()
    dead_bytes_max: int = 2**30
    retention_days: float = 30.0
    """Of records; dead letters stay until they are replayed or discarded."""
    exempt: tuple[ExemptPlan, ...] = ()
    """Of findings about the pipeline as a whole."""
    jobs: tuple[JobPlan, ...] = ()
    datasets: tuple[DatasetPlan, ...] = ()
    services: tuple[ServicePlan, ...] = ()
    predictions_bytes_max: int = 2**30
    """Of the log of predictions: the oldest go first. They go after ``retention_days`` at last."""
    environment: Literal["", "development", "production"] = ""
    """As declared; see ``drill.permission.environment_of``."""
    drills: tuple[str, ...] = ()
    """Faults that may be injected in production in the broker and the control process."""
    version: int = PLAN_VERSION

    def dataset(self, name: str) -> DatasetPlan:
        """Return a dataset. Raises KeyError if there is none of that name."""
        for dataset in self.datasets:
            if dataset.name == name:
                return dataset
        raise KeyError(name)

    def read_by(self, job: JobPlan) -> DatasetPlan | None:
        """Return what a job reads: a dataset, or a sink's files as they are; None: nothing."""
        if job.dataset:
            return self.dataset(job.dataset)
        if job.reads:
            return DatasetPlan(name=job.reads, sink=job.reads, folder=job.folder)
        return None

    def job(self, name: str) -> JobPlan:
        """Return a job. Raises KeyError if there is none of that name."""
        for job in self.jobs:
            if job.name == name:
                return job
        raise KeyError(name)

    @property
    def keeps_predictions(self) -> bool:
        """Whether any service logs what it answers."""
        return any(service.log for service in self.services)

    def service(self, name: str) -> ServicePlan:
        """Return a service. Raises KeyError if there is none of that name."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    def zone(self, name: str) -> ZonePlan:
        """Return a zone. Raises KeyError if there is none of that name."""
        for zone in self.zones:
            if zone.name == name:
                return zone
        raise KeyError(name)

    def inboxes(self, zone: str) -> tuple[EdgePlan, ...]:
        """Return the edges that a zone reads."""
        return tuple(edge for edge in self.edges if edge.reader == zone)

    def deadline_s(self, source: str, cut_s: float) -> float | None:
        """Return when a batch is late that a source cut then (UTC); None: nobody promises anything.

        It is late once it is older than any zone that its rows reach promises to be.
        """
        reached, fresh_s = {source}, []
        for zone in self.zones:  # each comes after those that it reads
            if any(edge.publisher in reached for edge in self.inboxes(zone.name)):
                reached.add(zone.name)
            if zone.name in reached and "freshness_s" in zone.slo:
                fresh_s.append(zone.slo["freshness_s"])
        return cut_s + min(fresh_s) if fresh_s else None

    def outlets(self, zone: str) -> tuple[EdgePlan, ...]:
        """Return the edges that a zone publishes to."""
        return tuple(edge for edge in self.edges if edge.publisher == zone)


def encode_plan(plan: Plan) -> bytes:
    """Return a plan as JSON."""
    return msgspec.json.format(msgspec.json.encode(plan))


def decode_plan(data: bytes) -> Plan:
    """Return the plan in JSON.

    Raises:
        msgspec.DecodeError: if it is none.
    """
    return msgspec.json.decode(data, type=Plan)
