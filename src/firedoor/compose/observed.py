"""Whether anybody listens to a process, and what it tells then.

Where nobody does, nothing of OpenTelemetry is imported, and no event is made.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING

from firedoor.adapters.otel.wishes import Wishes, wishes_of
from firedoor.ports.clock import Clock

if TYPE_CHECKING:
    from firedoor.adapters.otel.listening import Listening
    from firedoor.events.metrics import Sample

MEASURE_S = 2.0
"""Longest that the sending thread waits for the event loop to say its metrics."""

_log = logging.getLogger(__name__)


def listening(
    pipeline: str,
    name: str,
    *,
    process: str,
    clock: Clock,
    release: str,
    environ: Mapping[str, str] = os.environ,
) -> Listening | None:
    """Return whom to tell; None: nobody listens. Close it at the end.

    Args:
        pipeline: its name: ``service.namespace``.
        name: of the zone, or of what else this process is: ``service.name``.
        process: which process it is: ``service.instance.id``.
        clock: the time.
        release: firedoor's.
        environ: what OpenTelemetry's variables are read from.
    """
    wishes = wishes_of(environ)
    for complaint in wishes.complaints:
        _log.warning("telemetry: %s", complaint)
    if not wishes.signals:
        return None
    try:
        return _listen(wishes, _about(pipeline, name, process, release), clock, release)
    except ImportError as error:
        _log.warning(
            "telemetry is asked for by OTEL_* and cannot be told (%s): install firedoor[otel]",
            error,
        )
    except Exception as error:  # noqa: BLE001 - what is wrong with a variable must not end a zone
        _log.warning("telemetry cannot be told: %s: look at the OTEL_* variables", error)
    return None


def gathered(
    loop: asyncio.AbstractEventLoop, samples: Callable[[], Iterable[Sample]]
) -> Callable[[], Sequence[Sample]]:
    """Return what another thread may call to have samples made by the event loop.

    What the loop cannot say in time is left out: totals come again.
    """

    def gather() -> Sequence[Sample]:
        future: Future[list[Sample]] = Future()

        def measure() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(list(samples()))
                except Exception as error:  # noqa: BLE001 - told where it is waited for
                    future.set_exception(error)

        try:
            loop.call_soon_threadsafe(measure)
            return future.result(MEASURE_S)
        except (TimeoutError, CancelledError, RuntimeError):  # the loop is busy, or has ended
            future.cancel()
            return ()

    return gather


def _about(pipeline: str, name: str, process: str, release: str) -> dict[str, str | int]:
    """Return what is told of this process with everything."""
    return {
        "service.namespace": pipeline,
        "service.name": name,
        "service.instance.id": process,
        "service.version": release,
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
    }


def _listen(
    wishes: Wishes, about: Mapping[str, str | int], clock: Clock, release: str
) -> Listening:
    """Begin to tell.

    Raises:
        ImportError: if the SDK is not installed.
    """
    from firedoor.adapters.otel.listening import Listening  # noqa: PLC0415 - for who listens

    found = Listening(
        wishes,
        about,
        clock=clock,
        chance=random.Random(os.urandom(16)),  # noqa: S311 - ids have to differ, not to be secret
        release=release,
        tell=_log.warning,
    )
    if "logs" in wishes.signals:
        logging.getLogger().addHandler(found.lines)
    return found
