"""What a dashboard shows of each kind of zone. Metrics are those of ``events.metrics``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from firedoor.events import metrics
from firedoor.events.metrics import Metric
from firedoor.slo.objective import Kind

RATE = "[$__rate_interval]"
OF_ZONE = 'pipeline="$pipeline", zone=~"$zone"'
OF_SERVICE = 'pipeline="$pipeline", service=~"$zone"'
OF_INBOX = 'pipeline="$pipeline", edge=~".+:($zone)"'


class Query(NamedTuple):
    """One line of a panel, or several by their labels."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. ``unit`` is Grafana's word for it."""

    title: str
    told: str
    """What it shows, in a sentence."""
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    """Of 24 columns."""
    least: float | None = 0
    """Where its axis begins; None: where values do."""
    stacked: bool = False


def _rate(metric: Metric, chosen: str, *by: str, more: str = "", word: str = "") -> Query:
    """Return a counter's rate, by labels; ``word`` tells its lines from others of the panel."""
    labels = ", ".join(by)
    expr = f"sum by ({labels}) (rate({metric.name}{{{chosen}{more}}}{RATE}))"
    return Query(expr, " ".join([*(f"{{{{{label}}}}}" for label in by), *filter(None, [word])]))


def _sum(metric: Metric, chosen: str, *by: str, more: str = "") -> Query:
    """Return a gauge, added up by labels."""
    labels = ", ".join(by)
    expr = f"sum by ({labels}) ({metric.name}{{{chosen}{more}}})"
    return Query(expr, " ".join(f"{{{{{label}}}}}" for label in by))


def _quantiles(metric: Metric, chosen: str, label: str) -> tuple[Query, ...]:
    """Return three quantiles of a histogram."""
    return tuple(
        Query(
            f"histogram_quantile({share}, sum by ({label}, le) "
            f"(rate({metric.name}_bucket{{{chosen}}}{RATE})))",
            f"{{{{{label}}}}} p{share * 100:g}",
        )
        for share in (0.5, 0.95, 0.99)
    )


UNITS = metrics.OBJECTIVE_UNITS.name
BAD = Panel(
    title="Bad units, own and inherited",
    told="Share of what was counted: by the zone's own fault, and by whose else it was.",
    unit="percentunit",
    width=12,
    queries=(
        Query(
            f'sum by (zone, indicator, outcome, cause) (rate({UNITS}{{{OF_ZONE}, outcome!="good"}}'
            f"{RATE})) / on (zone, indicator) group_left () "
            f"sum by (zone, indicator) (rate({UNITS}{{{OF_ZONE}}}{RATE}))",
            "{{zone}} {{indicator}} {{outcome}} {{cause}}",
        ),
    ),
)
BUDGET = Panel(
    title="Error budget left", told="In its period; below 0 it is overdrawn.", unit="percentunit",
    width=6, least=None,
    queries=(
        Query(f"max by (zone, indicator) ({metrics.BUDGET_LEFT.name}{{{OF_ZONE}}})",
              "{{zone}} {{indicator}}"),
    ),
)  # fmt: skip
ALERTS = Panel(
    title="Alerts", told="1 while somebody is told.", unit="short", width=6,
    queries=(
        Query(f"max by (zone, indicator, severity) ({metrics.ALERT.name}{{{OF_ZONE}}})",
              "{{severity}} {{zone}} {{indicator}}"),
    ),
)  # fmt: skip
SLOS = (BAD, BUDGET, ALERTS)

ROWS = Panel(
    title="Rows", told="By what became of them.", unit="rowsps", stacked=True,
    queries=(_rate(metrics.ZONE_ROWS, OF_ZONE, "zone", "outcome"),),
)  # fmt: skip
DEAD = Panel(
    title="Dead rows", told="By what they died of: firedoor dlq.", unit="rowsps", stacked=True,
    queries=(_rate(metrics.ZONE_DEAD, OF_ZONE, "zone", "code"),),
)  # fmt: skip
BATCHES = Panel(
    title="Batch duration", told="From a batch's arrival at a process to its acknowledgement.",
    unit="s", queries=_quantiles(metrics.ZONE_SECONDS, OF_ZONE, "zone"),
)  # fmt: skip
STEP = Panel(
    title="Saturation of the step",
    told="Seconds in user code a second and process: 1 is one worker without a pause.",
    unit="short", queries=(_rate(metrics.ZONE_STEP, OF_ZONE, "zone", "process"),),
)  # fmt: skip
STATE = Panel(
    title="State", told="Processes by the state that they are in.", unit="short", stacked=True,
    queries=(_sum(metrics.ZONE_STATE, OF_ZONE, "zone", "state"),),
)  # fmt: skip
RETRIES = Panel(
    title="Retries, deliveries again, workers lost", told="What did not go well at once.",
    unit="ops",
    queries=(
        _rate(metrics.ZONE_RETRIES, OF_ZONE, "zone", "cause"),
        _rate(metrics.ZONE_REDELIVERED, OF_ZONE, "zone", word="delivered again"),
        _rate(metrics.ZONE_WORKERS_LOST, OF_ZONE, "zone", word="workers lost"),
    ),
)  # fmt: skip
MEMORY = Panel(
    title="Memory", told="Of processes and their workers.", unit="bytes",
    queries=(_sum(metrics.ZONE_MEMORY, OF_ZONE, "zone", "process"),),
)  # fmt: skip
BREAKERS = Panel(
    title="Breakers", told="Workers by the state of their breakers.", unit="short",
    queries=(_sum(metrics.ZONE_BREAKERS, OF_ZONE, "zone", "guard", "state"),),
)  # fmt: skip
INBOX = Panel(
    title="Inbox",
    told="Share of its room that is taken: at 1 the publisher is held up.",
    unit="percentunit",
    queries=(
        Query(
            f"max by (edge) ({metrics.INBOX_BYTES.name}{{{OF_INBOX}}}) / "
            f"max by (edge) ({metrics.INBOX_LIMIT.name}{{{OF_INBOX}}})",
            "{{edge}}",
        ),
    ),
)
OLDEST = Panel(
    title="Oldest batch that waits", told="Against what is promised as freshness.", unit="s",
    queries=(Query(f"max by (edge) ({metrics.INBOX_OLDEST.name}{{{OF_INBOX}}})", "{{edge}}"),),
)  # fmt: skip

REQUESTS = Panel(
    title="Requests", told="By status.", unit="reqps", stacked=True,
    queries=(_rate(metrics.REQUESTS, OF_SERVICE, "service", "status"),),
)  # fmt: skip
REQUEST_DURATION = Panel(
    title="Request duration", told="From a request's last byte to its answer.", unit="s",
    queries=_quantiles(metrics.REQUEST_SECONDS, OF_SERVICE, "service"),
)  # fmt: skip
DEGRADED = Panel(
    title="Degraded answers", told="By why they are not what was asked for.", unit="reqps",
    queries=(_rate(metrics.REQUESTS, OF_SERVICE, "service", "degraded", more=', degraded!=""'),),
)  # fmt: skip
ARMS = Panel(
    title="Requests by arm", told="Who answers: champion, candidate ...", unit="reqps",
    stacked=True,
    queries=(_rate(metrics.REQUESTS, OF_SERVICE, "service", "arm"),),
)  # fmt: skip
ROOM = Panel(
    title="Requests under way", told="Against how many may be.", unit="short",
    queries=(
        _sum(metrics.IN_FLIGHT, OF_SERVICE, "service"),
        Query(
            f"sum by (service) ({metrics.CONCURRENCY.name}{{{OF_SERVICE}}})", "{{service}} limit"
        ),
    ),
)  # fmt: skip
SHED = Panel(
    title="Requests refused", told="For lack of room, and by breakers.", unit="reqps",
    queries=(
        _rate(metrics.SHED, OF_SERVICE, "service", word="no room"),
        _rate(metrics.BREAKER_REFUSED, OF_SERVICE, "service", "variant", word="breaker"),
    ),
)  # fmt: skip
DEATHS = Panel(
    title="Worker deaths", told="By cause.", unit="ops",
    queries=(_rate(metrics.WORKER_DEATHS, OF_SERVICE, "service", "variant", "cause"),),
)  # fmt: skip
ROLLOUT = Panel(
    title="Rollout", told="The candidate's share of subjects.", unit="percentunit",
    queries=(
        Query(f"max by (service) ({metrics.ROUTE_WEIGHT.name}{{{OF_SERVICE}}})", "{{service}}"),
    ),
)  # fmt: skip
FEATURES = Panel(
    title="Features", told="Values that requests were given, by quality.", unit="ops", stacked=True,
    queries=(_rate(metrics.FEATURES_VALUES, OF_SERVICE, "features", "code"),),
)  # fmt: skip
RUNS = Panel(
    title="Runs", told="By what became of them.", unit="short", stacked=True, width=12,
    queries=(
        Query(
            f"sum by (zone, outcome, cause) (increase({UNITS}{{{OF_ZONE}, "
            'indicator="availability"}[1h]))',
            "{{zone}} {{outcome}} {{cause}}",
        ),
    ),
)  # fmt: skip

_ZONE = (ROWS, DEAD, BATCHES, STATE)
PANELS: dict[Kind, tuple[Panel, ...]] = {
    "source": (*SLOS, *_ZONE, RETRIES, MEMORY),
    "transform": (*SLOS, *_ZONE, STEP, INBOX, OLDEST, RETRIES, BREAKERS, MEMORY),
    "sink": (*SLOS, *_ZONE, STEP, INBOX, OLDEST, RETRIES, MEMORY),
    "service": (
        *SLOS, REQUESTS, REQUEST_DURATION, DEGRADED, ARMS, ROOM, SHED, DEATHS, ROLLOUT, FEATURES,
    ),
    "job": (*SLOS, RUNS),
}  # fmt: skip
