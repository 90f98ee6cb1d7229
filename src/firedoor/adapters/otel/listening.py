"""Somebody listens: events go to a collector as spans, totals as metrics, log lines as log records.

See ``ports.telemetry.Telemetry``. The caller's thread draws an id and appends to a queue; spans are
made, encoded and sent by a thread of their own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, TypeVar, cast

from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from firedoor.adapters.otel import exporters
from firedoor.adapters.otel.collector_link import CollectorFaults, CollectorLink
from firedoor.adapters.otel.lines import Lines
from firedoor.adapters.otel.measures import metrics_of
from firedoor.adapters.otel.sending import CLOSE_S, Exporter, Queue, Sender
from firedoor.adapters.otel.spans import Spans
from firedoor.adapters.otel.wishes import Sampling, Wishes
from firedoor.events.metrics import TELEMETRY_DROPPED, Sample
from firedoor.events.trace import Place, read, write
from firedoor.events.work import BatchWorked, RequestAnswered
from firedoor.ports.clock import Clock

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

SCOPE = "firedoor"
TRACE_IDS, SPAN_IDS = 128, 64
"""Bits."""
Worked = BatchWorked | RequestAnswered
_T = TypeVar("_T")


class Listening:
    """Tells a collector. Used from any thread, closed once."""

    def __init__(
        self,
        wishes: Wishes,
        about: Mapping[str, str | int],
        *,
        clock: Clock,
        chance: random.Random,
        release: str,
        tell: Callable[[str], None],
    ) -> None:
        """Begin to send.

        Args:
            wishes: what is to be told.
            about: attributes of this process, ``service.name`` and the like; variables win.
            clock: the time.
            chance: ids are drawn from it.
            release: firedoor's.
            tell: told when the collector goes and comes.
        """
        exporters.be_quiet()
        self._sampling: Sampling = wishes.sampling
        self._traces = "traces" in wishes.signals
        self._clock, self._chance = clock, chance
        self._process = str(about.get("service.instance.id", ""))
        self._pipeline = str(about.get("service.namespace", ""))
        self._resource = Resource.create(dict(about)).merge(OTELResourceDetector().detect())
        self._scope = InstrumentationScope(SCOPE, release)
        self._spans = Spans(self._resource, self._scope, chance)
        self._began_ns = int(clock.utc_s() * 1e9)
        self._samples: Callable[[], Sequence[Sample]] = tuple
        spans = CollectorLink(_Told(exporters.SpanSender, self._spans))
        totals = CollectorLink(exporters.MetricSender())
        told = CollectorLink(exporters.LineSender())
        self._links = (spans, totals, told)
        self._work = Queue[Worked](
            what="spans", exporter=spans,
            every_s=wishes.spans_s, items_max=wishes.spans_max, batch_max=wishes.batch_max,
        )  # fmt: skip
        self._totals = Queue[MetricsData](
            what="metrics", exporter=totals, every_s=wishes.metrics_s,
            fill=self._measure,
        )  # fmt: skip
        lines = Queue(
            what="log lines", exporter=told, every_s=wishes.spans_s,
            items_max=wishes.spans_max, batch_max=wishes.batch_max,
        )  # fmt: skip
        self.lines = Lines(self._resource, self._scope, lambda line: self._put(lines, line))
        """The handler to give to the root logger, where log lines are to be told."""
        queues = {"traces": self._work, "metrics": self._totals, "logs": lines}
        self._queues = cast(
            "dict[str, Queue[object]]",
            {name: queue for name, queue in queues.items() if name in wishes.signals},
        )
        self._sender = Sender(
            list(self._queues.values()),
            now_s=clock.now_s,
            tell=tell,
        )

    def drilled_by(self, faults: CollectorFaults) -> None:
        """Have the collector be away or slow where a drill wants that."""
        for link in self._links:
            link.faults = faults

    def measure(self, samples: Callable[[], Sequence[Sample]]) -> None:
        """Have metrics told: ``samples`` is called in the sending thread when they are due."""
        self._samples = samples

    # ---- see ports.telemetry

    def begin(self, parent: str = "") -> str:
        """Return the ``traceparent`` of a new span."""
        above = read(parent)
        span = self._chance.getrandbits(SPAN_IDS) or 1
        if above is not None:
            sampled = self._traces and self._sampling.goes_on(above.trace, sampled=above.sampled)
            return write(Place(above.trace, span, sampled))
        trace = self._chance.getrandbits(TRACE_IDS) or 1
        return write(Place(trace, span, self._traces and self._sampling.begins(trace)))

    def batch(self, worked: BatchWorked) -> None:
        """Take a batch that was worked on."""
        self._put(self._work, worked)

    def request(self, answered: RequestAnswered) -> None:
        """Take a request that was answered."""
        self._put(self._work, answered)

    def close(self, within_s: float = CLOSE_S) -> None:
        """Send what waits, and end."""
        self._sender.close(within_s)

    def _put(self, queue: Queue[_T], item: _T) -> None:
        """Have something sent; called by anybody."""
        if queue.put(item):
            self._sender.ring()

    def _measure(self) -> Sequence[MetricsData]:
        """Return all totals as they are now."""
        dropped = [
            Sample(TELEMETRY_DROPPED, (self._process, name), float(queue.dropped))
            for name, queue in self._queues.items()
        ]
        return [
            metrics_of(
                chain(self._samples(), dropped),
                pipeline=self._pipeline,
                resource=self._resource,
                scope=self._scope,
                began_ns=self._began_ns,
                now_ns=int(self._clock.utc_s() * 1e9),
            )
        ]


class _Told:
    """Makes spans of events, and sends them. See ``sending.Exporter``."""

    def __init__(self, made: Callable[[], Exporter[ReadableSpan]], spans: Spans) -> None:
        self._exporter = made()
        self._spans = spans

    def send(self, items: Sequence[Worked]) -> bool:
        """Send events."""
        made = chain.from_iterable(
            self._spans.of_batch(item)
            if isinstance(item, BatchWorked)
            else self._spans.of_request(item)
            for item in items
        )
        return self._exporter.send(list(made))

    def abort(self) -> None:
        """Send nothing more."""
        self._exporter.abort()
