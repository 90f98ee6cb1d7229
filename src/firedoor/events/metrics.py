"""Every metric that firedoor tells, in one table: what it counts, in what unit, by which labels.

Prometheus reads them under ``name``. By OTLP they go as ``otlp_name`` with their unit, which a
collector that writes Prometheus' names turns into the same again. ``LABELS`` says what each label
may be and how many values it may have: no label is made of what a caller or a row contains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["1", "s", "By", "{batch}", "{call}", "{connection}", "{key}", "{request}",
               "{row}", "{run}", "{token}", "{unit}", "{value}", "{worker}"]  # fmt: skip
"""As UCUM writes them; what is in braces is only what is counted."""
_SUFFIXES = {"s": "_seconds", "By": "_bytes"}

REQUEST_BOUNDS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0
)  # fmt: skip
"""Where the buckets of a histogram of requests end."""
BATCH_BOUNDS_S = (*REQUEST_BOUNDS_S, 30.0, 60.0, 300.0, 1_800.0)
"""Where those of batches and runs end."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    """For Prometheus: counters end with ``_total``."""
    kind: Kind
    unit: Unit
    labels: tuple[str, ...]
    help: str
    bounds: tuple[float, ...] = ()
    """Where the buckets of a histogram end, in its unit."""

    @property
    def otlp_name(self) -> str:
        """Its name for OpenTelemetry, which keeps the unit apart."""
        name = self.name.removesuffix("_total")
        return name.removesuffix(_SUFFIXES.get(self.unit, "")).replace("_", ".", 1)


class Spread(NamedTuple):
    """The value of a histogram."""

    counts: tuple[int, ...]
    """By bucket, not added up; one more than bounds: slower than all."""
    total: float
    """Sum of what was measured."""


class Sample(NamedTuple):
    """A metric's value for one set of labels."""

    metric: Metric
    labels: tuple[str, ...]
    """Values, in the order of the metric's names."""
    value: float | Spread


PIPELINE = "pipeline"
"""A label that all have besides: whose they are. Zones of two pipelines may have one name."""
LABELS: dict[str, tuple[str, int | None]] = {
    "zone": ("a zone, service or job, as it is declared", None),
    "service": ("a service, as it is declared", None),
    "process": ("which process tells: `host-pid`; of a zone those that were heard lately", 200),
    "gateway": ("which gateway tells: `host-pid`", 64),
    "edge": ("an inbox, `publisher:reader`, as it is declared", None),
    "indicator": ("`availability`, `latency` or `freshness`", 3),
    "outcome": ("what became of it, of the list that the metric's line gives", 12),
    "cause": (
        "whose fault: none, a zone, `dependency:NAME`, `broker`, `other`; or how a run ended",
        22,
    ),
    "code": ("what rows died of, or how good a value was; from the 51st on `other`", 51),
    "fate": ("`good`, `late`, `degraded` or `bad`", 4),
    "state": ("of a zone, a breaker or a version of a model", 9),
    "guard": ("a guard of a step, by its name; 16 a worker", 16),
    "severity": ("`page` or `ticket`", 2),
    "arm": ("`champion`, `candidate`, `previous` and the like; beyond 200 series `other`", 8),
    "status": ("of HTTP", 30),
    "degraded": ("why an answer is not what was asked for; from the 201st series on `other`", 201),
    "variant": ("a version of a model that is held, `delays@3`", 8),
    "features": ("a group of features, as it is declared", None),
    "kind": ("`failed`, `late` or `wrong`", 3),
    "le": ("where a bucket ends", 18),
    PIPELINE: ("of all metrics: whose they are", None),
}  # fmt: skip
"""By label: what it may be, and how many values at once; None: as many as are declared."""


def _counter(name: str, unit: Unit, labels: Sequence[str], told: str) -> Metric:
    """Return a counter; its name is that of what is counted."""
    return Metric(f"firedoor_{name}_total", "counter", unit, tuple(labels), told)


def _gauge(name: str, unit: Unit, labels: Sequence[str], told: str) -> Metric:
    """Return a gauge."""
    return Metric(f"firedoor_{name}", "gauge", unit, tuple(labels), told)


# ---- what is promised: of zones, services and jobs alike

_OF = ("zone", "process")
OBJECTIVE_UNITS = _counter(
    "objective_units", "{unit}", (*_OF, "indicator", "outcome", "cause"),
    "Rows, requests, runs or seconds by what became of a promise: good, own or inherited.",
)  # fmt: skip
OBJECTIVE_DEGRADED = _counter(
    "objective_degraded", "{unit}", _OF,
    "Of the good ones, those that came through by something worse than promised.",
)  # fmt: skip
OBJECTIVE_WAITING = _gauge(
    "objective_waiting", "{unit}", _OF, "Batches in the inboxes, or requests under way."
)
BUDGET_LEFT = _gauge(
    "budget_left_ratio", "1", ("zone", "indicator"),
    "What is left of an error budget in its period, own faults only; below 0: overdrawn.",
)  # fmt: skip
ALERT = _gauge("alert", "1", ("zone", "indicator", "severity"), "1 while an objective is at risk.")

# ---- zones

ZONE_STATE = _gauge("zone_state", "1", (*_OF, "state"), "1: the process is in this state.")
ZONE_ROWS = _counter(
    "zone_rows", "{row}", (*_OF, "outcome"),
    "Rows worked on: passed, dead or dropped; shed: passed, and left out where an inbox was full.",
)  # fmt: skip
ZONE_DEAD = _counter("zone_dead_rows", "{row}", (*_OF, "code"), "Dead rows, by what they died of.")
ZONE_BATCHES = _counter(
    "zone_batches", "{batch}", (*_OF, "fate"),
    "Batches worked on; bad: came to nothing, and come again.",
)  # fmt: skip
ZONE_SECONDS = Metric(
    "firedoor_zone_batch_seconds", "histogram", "s", _OF,
    "From a batch's arrival at a process to its acknowledgement.", BATCH_BOUNDS_S,
)  # fmt: skip
ZONE_WAITED = _counter(
    "zone_waited_seconds", "s", _OF, "Seconds that batches had waited in the inbox, summed."
)
ZONE_STEP = _counter(
    "zone_step_seconds", "s", _OF,
    "Seconds in the step; over time and workers, how saturated the zone is.",
)  # fmt: skip
ZONE_RETRIES = _counter(
    "zone_retries", "{run}", (*_OF, "cause"), "Runs that came to nothing, by how they ended."
)
ZONE_REDELIVERED = _counter(
    "zone_redelivered", "{batch}", _OF, "Deliveries of batches after their first."
)
ZONE_WORKERS_LOST = _counter("zone_workers_lost", "{worker}", _OF, "Workers that died.")
ZONE_MEMORY = _gauge("zone_memory_bytes", "By", _OF, "Of the zone's process and its workers.")
ZONE_BREAKERS = _gauge(
    "zone_breakers", "{worker}", (*_OF, "guard", "state"),
    "Workers whose breaker of this guard is in this state.",
)  # fmt: skip
INBOX_BATCHES = _gauge("inbox_batches", "{batch}", ("edge",), "Batches that wait in an inbox.")
INBOX_BYTES = _gauge("inbox_bytes", "By", ("edge",), "Bytes that wait in an inbox.")
INBOX_LIMIT = _gauge("inbox_limit_bytes", "By", ("edge",), "Bytes that an inbox has room for.")
INBOX_OLDEST = _gauge(
    "inbox_oldest_seconds", "s", ("edge",), "How long the oldest batch of an inbox has waited."
)

ZONES: tuple[Metric, ...] = (
    OBJECTIVE_UNITS, OBJECTIVE_DEGRADED, OBJECTIVE_WAITING, ZONE_STATE, ZONE_ROWS, ZONE_DEAD,
    ZONE_BATCHES, ZONE_SECONDS, ZONE_WAITED, ZONE_STEP, ZONE_RETRIES, ZONE_REDELIVERED,
    ZONE_WORKERS_LOST, ZONE_MEMORY, ZONE_BREAKERS, INBOX_BATCHES, INBOX_BYTES, INBOX_LIMIT,
    INBOX_OLDEST,
)  # fmt: skip
"""What zones tell: `firedoor zone run --health`, `firedoor up --metrics`, OTLP."""
JUDGED: tuple[Metric, ...] = (BUDGET_LEFT, ALERT)
"""What whoever judges objectives tells."""

# ---- gateways

_BY = ("gateway", "service")
_VERSION = (*_BY, "variant", "arm")
REQUESTS = _counter(
    "requests", "{request}", (*_BY, "arm", "status", "degraded"), "Requests answered."
)
REQUEST_SECONDS = Metric(
    "firedoor_request_seconds", "histogram", "s", _BY,
    "From a request's last byte to its answer.", REQUEST_BOUNDS_S,
)  # fmt: skip
ROWS = _counter("rows", "{row}", _BY, "Rows predicted.")
IN_FLIGHT = _gauge("requests_in_flight", "{request}", _BY, "Requests under way.")
SHED = _counter("requests_shed", "{request}", _BY, "Requests refused for lack of room.")
SERVICE_READY = _gauge("service_ready", "1", _BY, "1: a version of the model answers.")
ROUTE_GENERATION = _gauge("route_generation", "1", _BY, "Of the route that is followed.")
ROUTE_WEIGHT = _gauge("route_weight", "1", _BY, "The candidate's share of subjects, in force.")
CONCURRENCY = _gauge(
    "concurrency_limit", "{request}", _BY, "Requests that may be under way; 0: no limit."
)
LEASE_AGE = _gauge("lease_age_seconds", "s", _BY, "Since the control plane's heartbeat.")
VARIANT_STATE = _gauge(
    "variant_state", "1", (*_VERSION, "state"), "1: the version is in this state."
)
VARIANT_WORKERS = _gauge("variant_workers", "{worker}", _VERSION, "Workers that answer.")
VARIANT_WAITING = _gauge(
    "variant_waiting", "{request}", _VERSION, "Requests that its workers hold."
)
VARIANT_MEMORY = _gauge(
    "variant_memory_bytes", "By", _VERSION, "Of its workers, and what they started."
)
WORKER_DEATHS = _counter(
    "worker_deaths", "{worker}", (*_VERSION, "cause"), "Workers that died, by cause."
)
BREAKER_OPEN = _gauge("breaker_open", "1", (*_BY, "variant"), "1 while a breaker refuses.")
BREAKER_REFUSED = _counter(
    "breaker_refused", "{call}", (*_BY, "variant"), "Attempts that a breaker refused."
)
ATTEMPTS = _counter(
    "attempts", "{call}", (*_BY, "variant", "outcome"), "Attempts of a version, by how they ended."
)
COPIES = _counter("copies", "{request}", _BY, "Copies for the other version.")
COPIES_DROPPED = _counter("copies_dropped", "{request}", _BY, "Copies that found no room.")
SUSPECTS = _gauge("suspects", "{request}", _BY, "Requests that a worker died of lately.")
RETRY_TOKENS = _gauge("retry_tokens", "{token}", _BY, "Left of the retry budget.")
FALLBACK_FAILED = _counter(
    "fallback_function_failed", "{call}", _BY, "Calls of the fallback function without an answer."
)
CACHE = _gauge("cache_bytes", "By", _BY, "Of cached answers.")
_FEATURES = (*_BY, "features")
FEATURES_OPEN = _gauge("features_breaker_open", "1", _FEATURES, "1 while a store is not asked.")
FEATURES_CALLS = _counter("features_calls", "{call}", _FEATURES, "Calls of a store.")
FEATURES_KEPT = _gauge("features_kept", "{key}", _FEATURES, "Keys that are cached.")
FEATURES_VALUES = _counter(
    "features_values", "{value}", (*_FEATURES, "code"),
    "Values that requests were given, by quality.",
)  # fmt: skip
FEATURES_BAD = _counter(
    "features_bad", "{call}", (*_FEATURES, "kind"),
    "Calls of a store that failed or were late; wrong values.",
)  # fmt: skip
LOG_WRITTEN = _counter(
    "prediction_log_written", "{row}", ("gateway",), "Predictions in the log, durably."
)
LOG_DROPPED = _counter(
    "prediction_log_dropped", "{row}", ("gateway",), "Predictions that the log lost."
)
CONNECTIONS = _gauge("http_connections", "{connection}", ("gateway",), "Open connections.")
HTTP_REFUSED = _counter(
    "http_refused", "{request}", ("gateway", "status"), "Requests the server refused by itself."
)
PROCESS_CPU = Metric(
    "process_cpu_seconds_total", "counter", "s", ("gateway",), "User and system time."
)
PROCESS_MEMORY = Metric(
    "process_resident_memory_bytes", "gauge", "By", ("gateway",), "Memory in use."
)
PROCESS_START = Metric("process_start_time_seconds", "gauge", "s", ("gateway",), "Since 1970.")

GATEWAYS: tuple[Metric, ...] = (
    REQUESTS, REQUEST_SECONDS, ROWS, IN_FLIGHT, SHED, SERVICE_READY, ROUTE_GENERATION, ROUTE_WEIGHT,
    CONCURRENCY, LEASE_AGE, VARIANT_STATE, VARIANT_WORKERS, VARIANT_WAITING, VARIANT_MEMORY,
    WORKER_DEATHS, BREAKER_OPEN, BREAKER_REFUSED, ATTEMPTS, COPIES, COPIES_DROPPED, SUSPECTS,
    RETRY_TOKENS, FALLBACK_FAILED, CACHE, FEATURES_OPEN, FEATURES_CALLS,
    FEATURES_KEPT, FEATURES_VALUES, FEATURES_BAD, LOG_WRITTEN, LOG_DROPPED, CONNECTIONS,
    HTTP_REFUSED, PROCESS_CPU, PROCESS_MEMORY, PROCESS_START,
)  # fmt: skip
"""What gateways tell under `/metrics`, besides the promises of their services."""

# ---- telemetry itself

TELEMETRY_DROPPED = _counter(
    "telemetry_dropped", "1", ("process", "outcome"),
    "What could not be told: spans and log records that found no room, exports that failed.",
)  # fmt: skip

TABLE: tuple[Metric, ...] = (*ZONES, *JUDGED, *GATEWAYS, TELEMETRY_DROPPED)
"""All of them, each once."""
BY_NAME = {metric.name: metric for metric in TABLE}
