"""Log lines for machines hold what was logged, whose it is, and the trace that it belongs to."""

from __future__ import annotations

import json
import logging
import os

import pytest

from firedoor.compose.log_lines import JsonLines, set_up
from firedoor.errors import DeclarationError
from firedoor.events.trace import CURRENT, Place, write


def record(message: str, *args: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("firedoor.zone", logging.WARNING, "f.py", 3, message, args, None)
    made.__dict__.update(more)
    return made


def test_a_line_is_one_object_whatever_it_says() -> None:
    line = JsonLines({"zone": "clean"}).format(record('he said\n"%s"', "no", worker_logger="step"))
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == 'he said\n"no"'
    assert (told["level"], told["logger"], told["zone"]) == ("WARNING", "firedoor.zone", "clean")
    assert told["worker_logger"] == "step"
    assert told["time"].endswith("Z")
    assert "trace_id" not in told


def test_a_line_of_work_names_its_trace() -> None:
    token = CURRENT.set(write(Place(7, 8, sampled=True)))
    try:
        told = json.loads(JsonLines({}).format(record("x")))
    finally:
        CURRENT.reset(token)
    assert (told["trace_id"], told["span_id"]) == (f"{7:032x}", f"{8:016x}")


def test_an_exception_is_told_whole() -> None:
    with pytest.raises(KeyError) as raised:
        os.environ["NOT_THERE_EVER"]
    exc_info = (raised.type, raised.value, raised.tb)
    told = json.loads(JsonLines({}).format(record("failed", exc_info=exc_info)))
    assert told["exception"].endswith("KeyError: 'NOT_THERE_EVER'")


def test_a_form_that_is_not_known_is_refused() -> None:
    with pytest.raises(DeclarationError, match="FIREDOOR_LOG='xml'"):
        set_up({"FIREDOOR_LOG": "xml"})
