"""Log lines as OpenTelemetry's log records, with the trace that they belong to."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.trace import TraceFlags

from firedoor.events.trace import CURRENT, read

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

TEXT_MAX = 8_192
"""Characters of a line."""
OWN = ("opentelemetry", "urllib3", "requests")
"""What sends them logs as well: its lines would come back for ever."""
_SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
)


class Lines(logging.Handler):
    """Hands each line on, to be sent by another thread."""

    def __init__(
        self,
        resource: Resource,
        scope: InstrumentationScope,
        put: Callable[[ReadableLogRecord], None],
    ) -> None:
        """Take who tells, and who takes lines without waiting."""
        super().__init__()
        self._resource = resource
        self._scope = scope
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line on."""
        if record.name.partition(".")[0] not in OWN:
            self._put(ReadableLogRecord(_told(record), self._resource, self._scope))


def _told(record: logging.LogRecord) -> LogRecord:
    """Return a line as OpenTelemetry has it."""
    place = read(CURRENT.get())
    attributes: dict[str, str | int] = {"logger.name": record.name}
    worker = getattr(record, "worker_logger", "")
    if worker:
        attributes["firedoor.worker.logger"] = str(worker)
    if record.exc_info and record.exc_info[0] is not None:
        attributes["exception.type"] = record.exc_info[0].__name__
        text = "".join(traceback.format_exception(*record.exc_info))
        attributes["exception.stacktrace"] = text[-TEXT_MAX:]
    at_ns = int(record.created * 1e9)
    return LogRecord(
        timestamp=at_ns,
        observed_timestamp=at_ns,
        trace_id=None if place is None else place.trace,
        span_id=None if place is None else place.span,
        trace_flags=TraceFlags(1 if place is not None and place.sampled else 0),
        severity_text=record.levelname,
        severity_number=_severity(record.levelno),
        body=record.getMessage()[:TEXT_MAX],
        attributes=attributes,
    )


def _severity(level: int) -> SeverityNumber:
    """Return how grave a line is."""
    return next((found for least, found in _SEVERITIES if level >= least), SeverityNumber.DEBUG)
