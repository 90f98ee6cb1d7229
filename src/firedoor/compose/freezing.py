"""Stop a process of one's own for a while, so that it goes on whoever is killed meanwhile.

A process that is stopped cannot see that its supervisor has gone. A guard in between can: it lets
the process go on at the end of the time, when this process ends, and when it is asked to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from firedoor.compose import freeze_guard
from firedoor.errors import WorkersUnavailable

START_S = 10.0
"""For the guard to begin; it takes 20 ms."""
END_S = 5.0


class Frozen:
    """A process that is stopped."""

    def __init__(self, guard: Process) -> None:
        """Hold its guard."""
        self._guard = guard

    @property
    def held(self) -> bool:
        """Whether it is still stopped, as far as its guard is concerned."""
        return self._guard.returncode is None

    def renew(self, for_s: float) -> None:
        """Let it be stopped for so long from now on."""
        if self.held and self._guard.stdin is not None:
            with contextlib.suppress(OSError):  # the guard has just ended
                self._guard.stdin.write(f"{max(0.0, for_s):.3f}\n".encode())


@asynccontextmanager
async def frozen(pid: int, for_s: float) -> AsyncIterator[Frozen]:
    """Stop a child of this process, or a child of one, until the block is left, or for so long.

    Args:
        pid: which process; it must not have been waited for.
        for_s: longest time, unless it is renewed.

    Raises:
        ProcessLookupError: if it is not there any more.
        WorkersUnavailable: if no guard can be started.
    """
    descriptor = os.pidfd_open(pid) if sys.platform == "linux" else -1
    try:
        guard = await _guard(pid, descriptor, for_s)
        try:
            assert guard.stdout is not None, "it is a pipe"
            said = b""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_S):
                    said = await guard.stdout.readline()
            if said != freeze_guard.SAID:
                message = f"process {pid} could not be stopped: its guard said {said!r}"
                raise WorkersUnavailable(message)
            yield Frozen(guard)
        finally:
            await _end(guard, pid, descriptor)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


async def _guard(pid: int, descriptor: int, for_s: float) -> Process:
    """Start the guard.

    Raises:
        WorkersUnavailable: if it cannot be.
    """
    named = f"fd:{descriptor}" if descriptor >= 0 else f"pid:{pid}"
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", freeze_guard.__file__, named, f"{max(0.0, for_s):.3f}",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            pass_fds=(descriptor,) if descriptor >= 0 else (),
            start_new_session=True,  # Ctrl-C is the supervisor's
        )  # fmt: skip
    except OSError as error:
        message = f"no process can be started that ends a stop in time: {error}"
        raise WorkersUnavailable(message) from error


async def _end(guard: Process, pid: int, descriptor: int) -> None:
    """End the stop, also where the guard was killed."""
    if guard.stdin is not None:
        guard.stdin.close()
    try:
        async with asyncio.timeout(END_S):
            await guard.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            guard.kill()
    finally:
        with contextlib.suppress(ProcessLookupError):
            if descriptor >= 0:
                signal.pidfd_send_signal(descriptor, signal.SIGCONT)
            else:
                os.kill(pid, signal.SIGCONT)
