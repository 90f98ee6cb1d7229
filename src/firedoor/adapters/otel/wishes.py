"""What OpenTelemetry's environment variables ask for. Nothing of the SDK is imported for it.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ . One thing is
unlike there: without an endpoint and without a named exporter nothing is told, so that who has no
collector pays nothing. Where it goes, and how, the exporters read themselves
(``OTEL_EXPORTER_OTLP_*``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_SAMPLERS = {
    "always_on": (False, 1.0),
    "always_off": (False, 0.0),
    "traceidratio": (False, None),
    "parentbased_always_on": (True, 1.0),
    "parentbased_always_off": (True, 0.0),
    "parentbased_traceidratio": (True, None),
}
"""By name: whether what came sampled stays so, and the share of others; None: as the argument."""
TRACE_IDS = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Which traces are to be seen. As the SDK's samplers decide, so that all agree."""

    parent_based: bool = True
    """Whether a trace that began elsewhere is seen exactly if it was there."""
    share: float = 1.0
    """Of the traces that begin here (or of all). 0 to 1."""

    def begins(self, trace: int) -> bool:
        """Return whether a trace that begins here is seen."""
        return trace % TRACE_IDS < round(self.share * TRACE_IDS)

    def goes_on(self, trace: int, *, sampled: bool) -> bool:
        """Return whether a trace is seen that came sampled, or not."""
        return sampled if self.parent_based else self.begins(trace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is to be told, and how much may wait for it."""

    signals: frozenset[Signal] = frozenset()
    sampling: Sampling = field(default_factory=Sampling)
    spans_max: int = 2_048
    """That wait to be sent; further ones are dropped, and counted."""
    batch_max: int = 512
    """Sent at once."""
    spans_s: float = 5.0
    """Between two sendings of spans and log lines."""
    metrics_s: float = 60.0
    """Between two of metrics."""
    complaints: tuple[str, ...] = ()
    """What of the variables cannot be meant, in sentences."""


def wishes_of(environ: Mapping[str, str]) -> Wishes:
    """Return what environment variables ask for.

    >>> sorted(wishes_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}).signals)
    ['logs', 'metrics', 'traces']
    >>> wishes_of({}).signals
    frozenset()
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Wishes()
    complaints: list[str] = []
    signals = frozenset(signal for signal in SIGNALS if _wants(environ, signal, complaints))
    protocol = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    if signals and protocol != "http/protobuf":
        complaints.append(
            f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: only http/protobuf is spoken, and is used"
        )
    return Wishes(
        signals=signals,
        sampling=_sampling(environ, complaints),
        spans_max=int(_number(environ, "OTEL_BSP_MAX_QUEUE_SIZE", 2_048, complaints)),
        batch_max=int(_number(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, complaints)),
        spans_s=_number(environ, "OTEL_BSP_SCHEDULE_DELAY", 5_000, complaints) / 1e3,
        metrics_s=_number(environ, "OTEL_METRIC_EXPORT_INTERVAL", 60_000, complaints) / 1e3,
        complaints=tuple(complaints),
    )


def _wants(environ: Mapping[str, str], signal: Signal, complaints: list[str]) -> bool:
    """Return whether a signal is to be told."""
    name = f"OTEL_{signal.upper()}_EXPORTER"
    named = environ.get(name, "").strip().lower()
    if named == "none":
        return False
    if named and named != "otlp":
        complaints.append(f"{name}={named}: only otlp and none are known; it is not told")
        return False
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    return bool(named or environ.get(ENDPOINT) or environ.get(own))


def _sampling(environ: Mapping[str, str], complaints: list[str]) -> Sampling:
    """Return which traces are to be seen."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() or "parentbased_always_on"
    known = _SAMPLERS.get(name)
    if known is None:
        complaints.append(f"OTEL_TRACES_SAMPLER={name}: choose one of {', '.join(_SAMPLERS)}")
        return Sampling()
    parent_based, share = known
    if share is None:
        share = _share(environ.get("OTEL_TRACES_SAMPLER_ARG", "1"), complaints)
    return Sampling(parent_based=parent_based, share=share)


def _share(told: str, complaints: list[str]) -> float:
    """Return a share, 1 for what is none."""
    try:
        share = float(told)
    except ValueError:
        share = -1.0
    if 0 <= share <= 1:
        return share
    complaints.append(f"OTEL_TRACES_SAMPLER_ARG={told}: give a share from 0 to 1; 1 is taken")
    return 1.0


def _number(
    environ: Mapping[str, str], name: str, otherwise: float, complaints: list[str]
) -> float:
    """Return a positive number, or what is usual."""
    told = environ.get(name, "").strip()
    if not told:
        return otherwise
    try:
        number = float(told)
    except ValueError:
        number = 0.0
    if 1 <= number < 1e9:  # noqa: PLR2004 - a bound, so that a typing error is no queue of memory
        return number
    complaints.append(f"{name}={told}: give a number from 1; {otherwise:g} is taken")
    return otherwise
