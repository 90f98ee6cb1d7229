"""What a drill does to one attempt at a job, and to nothing else.

A worker is stopped by the process that watches it, with each of its looks: so it goes on when the
lease is over, and ends with that process, as ever. The rest the worker does to itself.
"""

from __future__ import annotations

import contextlib
import os
import signal

from firedoor.ports.faults import Faults
from firedoor.wire.striking import Strike

INSIDE = frozenset({"job_kill", "job_memory", "job_segfault", "job_raise"})
"""Done by the worker to itself, before the function begins."""


class JobStrike:
    """The fault of one attempt, if it has one."""

    def __init__(self, faults: Faults, *, attempt: int, memory_bytes: int) -> None:
        """Begin with nothing.

        Args:
            faults: what is wanted of the job.
            attempt: its number.
            memory_bytes: what its worker may take.
        """
        self._faults, self._attempt, self._memory_bytes = faults, attempt, memory_bytes
        self._stopped = False

    def told(self) -> Strike | None:
        """Return what the worker is told to do to itself; None: nothing. It is counted."""
        fault = self._faults.now("job")
        if fault is None or fault.name not in INSIDE:
            return None
        if fault.name == "job_kill" and self._attempt > 1:
            return None  # it was killed once
        self._faults.hit()
        return Strike(
            fault=fault.id, name=fault.name, seed=fault.seed, until_s=self._faults.ends_s(),
            amount=fault.intensity * self._memory_bytes,
        )  # fmt: skip

    def look(self, pidfd: int | None, pid: int) -> None:
        """Do what is wanted now to a worker that has begun, or undo it.

        Args:
            pidfd: descriptor of the process; None: the system has none.
            pid: its id.
        """
        fault = self._faults.now("job")
        hangs = fault is not None and fault.name == "job_hang"
        if hangs and not self._stopped:
            self._faults.hit()
        if hangs != self._stopped:
            self._stopped = hangs
            _signal(pidfd, pid, signal.SIGSTOP if hangs else signal.SIGCONT)


def _signal(pidfd: int | None, pid: int, number: signal.Signals) -> None:
    """Send a signal to a process, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        if pidfd is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(pidfd, number)
