"""Which faults there are: where each is injected, how strong it may be, and whom it may hit."""

from __future__ import annotations

import difflib

from firedoor.drill.fault import LEASE_MAX_S
from firedoor.drill.fault_kind import (
    ALL,
    DATA,
    EXPORTERS,
    JOB,
    SERVICE,
    STEPS,
    FaultKind,
    ZoneKind,
)
from firedoor.errors import DeclarationError

_PROCESS = (
    FaultKind(
        name="kill", of="process", at="supervisor", kinds=ALL,
        says="ends the zone's process with SIGKILL, once",
    ),
    FaultKind(
        name="freeze", of="process", at="supervisor", kinds=ALL,
        says="stops the zone's process with SIGSTOP, and lets it go on at the end",
    ),
    FaultKind(
        name="crash_loop", of="process", at="supervisor", kinds=ALL,
        unit="seconds", low=0.5, high=30.0, usual=2.0,
        says="ends the zone's process with SIGKILL again and again, so long after it has begun",
    ),
    FaultKind(
        name="worker_kill", of="process", at="worker", kinds=STEPS, of_what="batches", share=0.2,
        says="has the worker end itself with SIGKILL when it is given a batch, as if from outside",
    ),
    FaultKind(
        name="worker_hang", of="process", at="worker", kinds=STEPS, of_what="batches", share=0.05,
        unit="seconds", low=0.1, high=LEASE_MAX_S, usual=LEASE_MAX_S,
        says="has the worker stand still when it is given a batch, once a batch",
    ),
    FaultKind(
        name="worker_memory", of="process", at="worker", kinds=STEPS, of_what="batches", share=0.05,
        unit="times its limit", low=0.1, high=4.0, usual=1.5,
        says="has the worker take memory when it is given a batch, once a batch, beyond its limit",
    ),
    FaultKind(
        name="worker_cpu", of="process", at="worker", kinds=STEPS, of_what="batches", share=1.0,
        unit="seconds", low=0.01, high=60.0, usual=0.5,
        says="has the worker burn a processor for so long before each batch",
    ),
)  # fmt: skip
_JOBS = (
    FaultKind(
        name="job_kill", of="process", at="job", kinds=JOB,
        says="has the worker of the first attempt at a job end itself with SIGKILL when it begins, "
        "as if from outside",
    ),
    FaultKind(
        name="job_hang", of="process", at="job", kinds=JOB,
        says="stops the worker of a job with SIGSTOP, and lets it go on at the end",
    ),
    FaultKind(
        name="job_memory", of="process", at="job", kinds=JOB,
        unit="times its limit", low=0.1, high=4.0, usual=1.5,
        says="has each attempt at a job take memory when it begins, beyond its limit",
    ),
    FaultKind(
        name="job_segfault", of="process", at="job", kinds=JOB,
        says="has the worker of each attempt at a job die of SIGSEGV when it begins",
    ),
    FaultKind(
        name="job_raise", of="process", at="job", kinds=JOB,
        says="has each attempt at a job raise ValueError when it begins",
    ),
)  # fmt: skip
_LINK = (
    FaultKind(
        name="latency", of="link", at="link", kinds=(*DATA, "service"),
        of_what="messages", unit="seconds", low=0.001, high=30.0, usual=0.5,
        says="has each call to the broker, or each request of a service, take so much longer",
    ),
    FaultKind(
        name="jitter", of="link", at="link", kinds=DATA,
        of_what="messages", unit="seconds", low=0.001, high=30.0, usual=0.5,
        says="has each call to the broker take longer, by chance up to so much",
    ),
    FaultKind(
        name="drop", of="link", at="link", kinds=DATA, of_what="messages", share=0.2,
        says="loses the first delivery of a batch or the first answer to its publishing, so that "
        "it comes again",
    ),
    FaultKind(
        name="duplicate", of="link", at="link", kinds=DATA, of_what="messages", share=0.2,
        says="publishes a batch twice, and has one that was worked on come again",
    ),
    FaultKind(
        name="reorder", of="link", at="link", kinds=STEPS, of_what="messages", share=0.2,
        unit="seconds", low=0.1, high=30.0, usual=2.0,
        says="has a batch wait until others that came after it have passed",
    ),
    FaultKind(
        name="stream_full", of="link", at="link", kinds=("source", "transform"),
        of_what="messages",
        says="refuses to publish, as a full inbox does",
    ),
    FaultKind(
        name="partition", of="link", at="link", kinds=DATA,
        says="has every call to the broker fail, as if the network were cut",
    ),
    FaultKind(
        name="broker_down", of="link", at="supervisor", kinds=("broker",),
        says="ends the broker, and starts it again at the end",
        needs="a broker that firedoor has started",
    ),
    FaultKind(
        name="broker_freeze", of="link", at="supervisor", kinds=("broker",),
        says="stops the broker with SIGSTOP, and lets it go on at the end",
        needs="a broker that firedoor has started",
    ),
)  # fmt: skip
_POISON = (
    FaultKind(
        name="poison_raise", of="data", at="worker", kinds=STEPS,
        of_what="rows", share=0.001, share_max=0.5,
        says="has the step raise ValueError on a share of the rows, always on the same ones",
    ),
    FaultKind(
        name="poison_segfault", of="data", at="worker", kinds=STEPS,
        of_what="rows", share=0.0002, share_max=0.5,
        says="has the worker's process die of SIGSEGV in the step on a share of the rows",
    ),
    FaultKind(
        name="poison_hang", of="data", at="worker", kinds=STEPS,
        of_what="rows", share=0.0001, share_max=0.5,
        says="has the step stand still on a share of the rows, until it is ended",
    ),
    FaultKind(
        name="poison_memory", of="data", at="worker", kinds=STEPS,
        of_what="rows", share=0.0001, share_max=0.5,
        unit="times its limit", low=0.1, high=4.0, usual=1.5,
        says="has the step take memory on a share of the rows, beyond its limit",
    ),
)  # fmt: skip
_CHANGED = (
    FaultKind(
        name="schema_rename", of="data", at="worker", kinds=STEPS, of_what="batches", column=True,
        says="renames a column of what comes in, before its schema is checked",
    ),
    FaultKind(
        name="schema_retype", of="data", at="worker", kinds=STEPS, of_what="batches", column=True,
        says="turns a column of what comes in into text that is no number, before its schema is "
        "checked",
    ),
    FaultKind(
        name="schema_added", of="data", at="worker", kinds=STEPS, of_what="batches", column=True,
        says="adds a column to what comes in, before its schema is checked",
    ),
    FaultKind(
        name="null_burst", of="data", at="worker", kinds=STEPS,
        of_what="rows", share=0.02, column=True,
        says="empties a column of a share of the rows, before the schema is checked",
    ),
    FaultKind(
        name="unit_change", of="data", at="worker", kinds=STEPS,
        of_what="rows", share=1.0, column=True,
        unit="as a factor", low=0.000_001, high=1e9, usual=1_000.0, needs="a column of numbers",
        says="multiplies a column of a share of the rows, as a change of units does",
    ),
    FaultKind(
        name="feature_drift", of="data", at="worker", kinds=STEPS,
        of_what="rows", share=1.0, column=True,
        unit="standard deviations", low=-10.0, high=10.0, usual=3.0, needs="a column of numbers",
        says="shifts the mean of a column by so many of its standard deviations",
    ),
    FaultKind(
        name="label_flip", of="data", at="worker", kinds=(*STEPS, "job"),
        of_what="rows", share=0.1, column=True, needs="a column of two values",
        says="turns a column of two values round in a share of the rows, of a job in what it reads",
    ),
    FaultKind(
        name="out_of_order", of="data", at="worker", kinds=STEPS,
        of_what="rows", share=0.1, column=True, needs="a column of times",
        unit="seconds", low=1.0, high=31_536_000.0, usual=3_600.0,
        says="sets the time of a share of the rows back, as events that come late have it",
    ),
    FaultKind(
        name="volume", of="data", at="source", kinds=("source",),
        unit="as a factor", low=1.1, high=100.0, usual=10.0,
        says="has the source read so many times faster than its rate; without one, hold back what "
        "comes and let it through in one second, so many times denser",
    ),
    FaultKind(
        name="late", of="data", at="source", kinds=("source",), of_what="batches", share=1.0,
        unit="seconds", low=0.1, high=3_600.0, usual=10.0,
        says="has batches come that were cut so long ago",
    ),
    FaultKind(
        name="stale_features", of="data", at="gateway", kinds=SERVICE,
        of_what="requests", unit="seconds", low=1.0, high=31_536_000.0, usual=86_400.0,
        needs="a service that looks features up",
        says="has features that are looked up count as so much older than they are",
    ),
    FaultKind(
        name="features_down", of="data", at="gateway", kinds=SERVICE, of_what="requests",
        needs="a service that looks features up",
        says="has the look-up of features fail, as if their store were away",
    ),
)  # fmt: skip
_MODEL = (
    FaultKind(
        name="model_nan", of="model", at="replica", kinds=SERVICE, of_what="rows",
        says="has the model answer NaN",
    ),
    FaultKind(
        name="model_constant", of="model", at="replica", kinds=SERVICE, of_what="rows",
        unit="as the answer", low=-1e9, high=1e9, usual=0.5,
        says="has the model answer the same whatever it is asked",
    ),
    FaultKind(
        name="model_slow", of="model", at="replica", kinds=SERVICE, of_what="requests",
        unit="seconds", low=0.001, high=60.0, usual=0.3,
        says="has the model take so much longer",
    ),
    FaultKind(
        name="model_worse", of="model", at="replica", kinds=SERVICE, of_what="rows", share=0.3,
        says="has the model answer by chance, as one does that was trained badly",
    ),
    FaultKind(
        name="model_wrong_version", of="model", at="replica", kinds=SERVICE,
        says="ends the workers of the version that answers, and has the next ones find files of "
        "another version",
    ),
    FaultKind(
        name="model_raise", of="model", at="replica", kinds=SERVICE, of_what="rows", share=0.1,
        says="has the model raise ValueError on a share of the rows",
    ),
    FaultKind(
        name="model_segfault", of="model", at="replica", kinds=SERVICE,
        of_what="requests", share=0.01,
        says="has the worker's process die of SIGSEGV in the model",
    ),
    FaultKind(
        name="model_hang", of="model", at="replica", kinds=SERVICE,
        of_what="requests", share=0.01,
        says="has the model stand still until its worker is ended",
    ),
    FaultKind(
        name="model_memory", of="model", at="replica", kinds=SERVICE,
        of_what="requests", share=0.01, unit="times its limit", low=0.1, high=4.0, usual=1.5,
        says="has the model take memory beyond the limit of its worker",
    ),
    FaultKind(
        name="model_cpu", of="model", at="replica", kinds=SERVICE, of_what="requests",
        unit="processors", low=1.0, high=64.0, usual=2.0,
        says="has the model burn processors besides what it does",
    ),
)  # fmt: skip
_CONTROL = (
    FaultKind(
        name="control_down", of="control", at="supervisor", kinds=("control",),
        says="keeps the control process down",
    ),
    FaultKind(
        name="flags_down", of="control", at="gateway", kinds=SERVICE,
        says="has flags not be heard of, as if their store were away",
    ),
    FaultKind(
        name="collector_down", of="control", at="exporter", kinds=EXPORTERS,
        needs="telemetry that is exported",
        says="has the telemetry collector refuse everything",
    ),
    FaultKind(
        name="collector_slow", of="control", at="exporter", kinds=EXPORTERS,
        unit="seconds", low=0.01, high=60.0, usual=5.0, needs="telemetry that is exported",
        says="has the telemetry collector take so long for each export",
    ),
)  # fmt: skip

CATALOGUE: dict[str, FaultKind] = {
    kind.name: kind for kind in (*_PROCESS, *_JOBS, *_LINK, *_POISON, *_CHANGED, *_MODEL, *_CONTROL)
}
"""By name, in the order in which they are shown."""


def fault_kind(name: object, *, field: str = "fault") -> FaultKind:
    """Return a fault of the catalogue.

    Raises:
        DeclarationError: if there is none of that name, with the one that was meant.
    """
    kind = CATALOGUE.get(name) if isinstance(name, str) else None
    if kind is None:
        alike = difflib.get_close_matches(str(name), CATALOGUE, n=1)
        remedy = f"write {alike[0]!r}" if alike else f"choose one of {', '.join(CATALOGUE)}"
        raise DeclarationError(field, name, "is no fault of the catalogue", remedy)
    return kind


def faults_of(kind: ZoneKind, *, has_step: bool = True) -> tuple[FaultKind, ...]:
    """Return the faults that can be injected in a zone of this kind.

    ``has_step``: whether code of a user's runs in it; none does in a sink that writes files.
    """
    found = (fault for fault in CATALOGUE.values() if kind in fault.kinds)
    return tuple(fault for fault in found if has_step or not fault.needs_step)
