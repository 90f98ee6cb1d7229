"""How a worker died, in the words of a failure."""

from __future__ import annotations

import signal

from firedoor.compute import blame
from firedoor.isolation.narrow import Cause, Failure

EXTERNAL = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT})
"""Signals that operators and the kernel send: such a death must repeat before it counts."""

_NAMED = frozenset(signal.Signals)


def signal_name(number: int) -> str:
    """Return what a signal is called; those for real time have no names."""
    return signal.Signals(number).name if number in _NAMED else f"signal {number}"


def failure_of(cause: Cause, what: str, dump: str, *, external: bool = False) -> Failure:
    """Describe a death: what happened, and the last frames where they are known."""
    label = {"hang": "hang", "memory": "memory"}.get(cause, what)
    caught = cause in {Cause.HANG, Cause.MEMORY}
    said = blame.of_trace(label, dump, by_function=caught)
    return Failure(
        cause=cause,
        signature=said.signature,
        message=said.message.replace(label, what, 1),
        line=said.line,
        columns=said.columns,
        external=external,
    )
