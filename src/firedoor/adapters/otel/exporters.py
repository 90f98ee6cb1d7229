"""The SDK's exporters, that speak OTLP over HTTP and read OpenTelemetry's variables themselves."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.trace.export import SpanExportResult

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

CLOSE_MS = 1


def be_quiet() -> None:
    """Have the exporters log nothing: whoever sends tells it, once."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)


class SpanSender:
    """Sends spans. See ``sending.Exporter``."""

    def __init__(self) -> None:
        """Read where to from the environment."""
        self._exporter = OTLPSpanExporter()

    def send(self, items: Sequence[ReadableSpan]) -> bool:
        """Send spans."""
        try:
            return self._exporter.export(items) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - whatever a collector does ends here, and is counted
            return False

    def abort(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class MetricSender:
    """Sends metrics. See ``sending.Exporter``."""

    def __init__(self) -> None:
        """Read where to from the environment."""
        self._exporter = OTLPMetricExporter()

    def send(self, items: Sequence[MetricsData]) -> bool:
        """Send the latest of all totals: they hold what came before."""
        try:
            return self._exporter.export(items[-1]) is MetricExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - whatever a collector does ends here, and is counted
            return False

    def abort(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown(CLOSE_MS)


class LineSender:
    """Sends log lines. See ``sending.Exporter``."""

    def __init__(self) -> None:
        """Read where to from the environment."""
        self._exporter = OTLPLogExporter()

    def send(self, items: Sequence[ReadableLogRecord]) -> bool:
        """Send log lines."""
        try:
            return self._exporter.export(items) is LogRecordExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - whatever a collector does ends here, and is counted
            return False

    def abort(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
