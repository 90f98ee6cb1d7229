"""A process that is stopped goes on, whoever is killed meanwhile. The processes are real."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from firedoor.compose.freezing import frozen

WAIT_S = 20.0
LONG_S = 600.0
SUPERVISOR = """
import asyncio, subprocess, sys
from firedoor.compose.freezing import frozen

async def main():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    async with frozen(child.pid, 600):
        print(child.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def until(true: Callable[[], object]) -> None:
    ends_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < ends_s
        time.sleep(0.01)


def stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def guards_of(pid: int) -> list[psutil.Process]:
    return [
        child for child in psutil.Process(pid).children() if "freeze_guard" in str(child.cmdline())
    ]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def test_it_stands_still_in_the_block_and_goes_on_after_it(
    sleeper: subprocess.Popen[bytes],
) -> None:
    async def main() -> None:
        async with frozen(sleeper.pid, LONG_S) as stop:
            until(lambda: stopped(sleeper.pid))
            assert stop.held
        assert not stopped(sleeper.pid)
        assert not stop.held
        assert guards_of(os.getpid()) == []

    asyncio.run(main())


def test_it_goes_on_at_the_end_of_its_time_which_may_be_renewed(
    sleeper: subprocess.Popen[bytes],
) -> None:
    async def main() -> None:
        async with frozen(sleeper.pid, LONG_S) as stop:
            stop.renew(2 * LONG_S)
            until(lambda: stopped(sleeper.pid))
            stop.renew(0.05)
            async with asyncio.timeout(WAIT_S):
                await stop._guard.wait()
            assert not stopped(sleeper.pid), "by itself: the block is not left yet"
            assert not stop.held

    asyncio.run(main())


def test_it_goes_on_when_its_supervisor_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        child = psutil.Process(int(supervisor.stdout.readline()))
        try:
            until(lambda: child.status() == psutil.STATUS_STOPPED)
            supervisor.kill()
            supervisor.wait(timeout=WAIT_S)
            until(lambda: child.status() != psutil.STATUS_STOPPED)
        finally:
            child.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_goes_on_when_its_guard_is_killed(
    sleeper: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    async def main() -> None:
        async with frozen(sleeper.pid, LONG_S) as stop:
            (guard,) = guards_of(os.getpid())
            guard.send_signal(number)
            async with asyncio.timeout(WAIT_S):
                await stop._guard.wait()
            assert not stop.held
        assert not stopped(sleeper.pid)

    asyncio.run(main())


def test_a_block_that_is_cancelled_ends_the_stop(sleeper: subprocess.Popen[bytes]) -> None:
    async def hold(begun: asyncio.Event) -> None:
        async with frozen(sleeper.pid, LONG_S):
            begun.set()
            await asyncio.Event().wait()

    async def main() -> None:
        begun = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            holding = group.create_task(hold(begun))
            await begun.wait()
            until(lambda: stopped(sleeper.pid))
            holding.cancel()
        assert not stopped(sleeper.pid)

    asyncio.run(main())


def test_a_process_that_is_gone_cannot_be_stopped(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"], cwd=tmp_path)  # noqa: S607 - of the system
    gone.wait()

    async def main() -> None:
        async with frozen(gone.pid, LONG_S):
            pass

    with pytest.raises(ProcessLookupError):
        asyncio.run(main())
