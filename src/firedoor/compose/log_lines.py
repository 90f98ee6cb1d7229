"""How a process writes its log: a line for people, or with ``FIREDOOR_LOG=json`` a line of JSON.

A line of JSON has ``time``, ``level``, ``logger``, ``message``, of what it is a line (``zone`` or
``service``), ``pid``, and, where work of a trace logs it, ``trace_id`` and ``span_id``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from firedoor.errors import DeclarationError
from firedoor.events.trace import CURRENT, read

FORM = "FIREDOOR_LOG"
PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"
TEXT_MAX = 8_192
"""Characters of a message, and of a traceback."""


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON."""

    def __init__(self, about: Mapping[str, str]) -> None:
        """Write ``about`` into each line: whose it is."""
        super().__init__()
        self._about = dict(about)
        self._pid = os.getpid()

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, str | int] = {
            "time": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:TEXT_MAX],
            **self._about,
            "pid": self._pid,
        }
        worker = getattr(record, "worker_logger", "")
        if worker:
            line["worker_logger"] = str(worker)
        place = read(CURRENT.get())
        if place is not None:
            line["trace_id"] = f"{place.trace:032x}"
            line["span_id"] = f"{place.span:016x}"
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-TEXT_MAX:]
        return msgspec.json.encode(line).decode()


def set_up(environ: Mapping[str, str], **about: str) -> None:
    """Have this process log to standard error, in the form that ``FIREDOOR_LOG`` names.

    Args:
        environ: of the process.
        about: whose lines they are: ``zone="clean"``.

    Raises:
        DeclarationError: for a form that is not known.
    """
    form = environ.get(FORM, "").strip().lower()
    if form not in {"", "text", "json"}:
        raise DeclarationError(FORM, form, "is no form of a log", "give json, or text")
    if form == "json":
        handler = logging.StreamHandler()
        handler.setFormatter(JsonLines(about))
        logging.basicConfig(level=logging.INFO, handlers=[handler])
    else:
        logging.basicConfig(level=logging.INFO, format=PLAIN)
