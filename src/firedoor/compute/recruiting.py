"""New workers for a version: how they are started, how often, and when no more are."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import Executor
from typing import Protocol

from firedoor.compute.launch import FORKED_LOAD_S, LOAD_S, Launched, Launcher, Unready
from firedoor.compute.process import WorkerDied
from firedoor.errors import shorten
from firedoor.isolation.narrow import Cause, Failure
from firedoor.isolation.relapse import RelapsePolicy, Relapses, died, explained, wait_s

LOAD_FAILURES_MAX = 3
LOAD_FAILURES_EXTERNAL_MAX = 20
LOADS_MAX = 2
"""Workers that are loaded at the same time."""
BECAUSE_CHARACTERS = 1_000


class Employer(Protocol):
    """Who needs workers."""

    def missing(self, starting: int) -> int:
        """Return how many are missing, when so many are being started."""

    def admit(self, launched: Launched) -> None:
        """Take a worker that is ready."""

    def died_loading(self, failure: Failure) -> None:
        """One died before it was ready."""

    def gave_up(self) -> None:
        """There will be no more."""


class Recruiter:
    """Starts workers, in tasks of a group."""

    def __init__(
        self,
        launcher: Launcher,
        employer: Employer,
        *,
        tasks: asyncio.TaskGroup,
        threads: Executor,
        policy: RelapsePolicy,
    ) -> None:
        """Prepare; ``fill`` starts the first."""
        self.way = "fork" if sys.platform == "linux" else "spawn"
        self.proven = self.way == "spawn"
        """Whether a worker that was started in this way has predicted something."""
        self.failed = ""
        """Why no more are started."""
        self.last = ""
        """What went wrong last."""
        self.notes: tuple[str, ...] = ()
        self._launcher, self._employer = launcher, employer
        self._tasks, self._threads, self._policy = tasks, threads, policy
        self._loop = asyncio.get_running_loop()
        self._relapses = Relapses()
        self._failures = self._kills = 0
        self._start_s = 0.0
        """What the last start took."""
        self._ready = False
        self._loads: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def backs_off(self) -> bool:
        """Whether it waits before it starts another."""
        return self._timer is not None and not self._loads

    def fill(self) -> None:
        """Start as many workers as are missing, now or when it is time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        missing = self._employer.missing(len(self._loads))
        if self._closed or self.failed or missing <= 0:
            return
        until_s = self._relapses.last_s + wait_s(
            self._relapses, self._policy, start_s=self._start_s
        )
        if self._relapses.count and until_s > self._loop.time():
            self._timer = self._loop.call_at(until_s, self.fill)
            return
        most = LOADS_MAX if self._ready else 1  # the first one shows whether it can be loaded
        for _ in range(min(missing, most - len(self._loads))):
            task = self._tasks.create_task(self._start())
            self._loads.add(task)
            task.add_done_callback(self._started)

    def relapsed(self, why: str) -> None:
        """Count a death of a worker that was ready."""
        self.last = why
        self._relapses = died(self._relapses, self._policy, self._loop.time())

    def explained(self) -> None:
        """Count one death less: what it died of is known, and will not happen again."""
        self._relapses = explained(self._relapses)

    def spawn_from_now(self, why: str) -> None:
        """Start workers afresh from now on: forking them was shown to be unsound."""
        self.way, self.proven, self._failures = "spawn", True, 0
        self.notes = (*self.notes, f"workers are spawned, not forked: {why}")

    async def close(self) -> None:
        """Start no more, and end those that are not ready yet."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._loop.run_in_executor(self._threads, self._launcher.stop)
        if self._loads:
            await asyncio.wait(tuple(self._loads))

    def _started(self, task: asyncio.Task[None]) -> None:
        """Look for what is missing still."""
        self._loads.discard(task)
        if not task.cancelled():
            self.fill()

    async def _start(self) -> None:
        """Start one worker; whatever comes of it is kept here."""
        limit_s = LOAD_S if self.proven else FORKED_LOAD_S
        began_s = self._loop.time()
        try:
            try:
                launched = await self._loop.run_in_executor(
                    self._threads, self._launcher.launch, self.way, limit_s
                )
            finally:
                self._start_s = self._loop.time() - began_s
        except Unready as error:
            self._unloaded(str(error))
        except WorkerDied as dead:
            self._died(dead.failure)
        except Exception as error:  # noqa: BLE001 - one version's trouble must not end a gateway
            self._unloaded(f"no worker can be started: {type(error).__name__}: {error}")
        else:
            if self._closed or launched.process.way != self.way:
                await self._loop.run_in_executor(self._threads, launched.end)
                return
            self.proven = self.proven or bool(launched.ready.examples)
            self._failures = self._kills = 0
            self._ready = True
            self.notes = tuple(dict.fromkeys((*self.notes, *launched.ready.notes)))
            self._employer.admit(launched)

    def _died(self, failure: Failure) -> None:
        """Count a worker that died while it loaded."""
        if self._closed:
            return
        self._employer.died_loading(failure)
        why = f"a worker died while it loaded: {failure.message}"
        if failure.external:
            self._kills += 1
            self._give_up(why, self._kills >= LOAD_FAILURES_EXTERNAL_MAX)
            return
        if not self.proven and (failure.cause is Cause.HANG or self._failures):
            self.spawn_from_now(f"a forked one did not get ready ({failure.signature})")
        self._unloaded(why)

    def _unloaded(self, why: str) -> None:
        """Count a worker that could not be loaded."""
        if self._closed:
            return
        self._failures += 1
        self.relapsed(shorten(why, BECAUSE_CHARACTERS))
        self._give_up(why, self._failures >= LOAD_FAILURES_MAX)

    def _give_up(self, why: str, over: bool) -> None:  # noqa: FBT001 - what was just found out
        """Start no more, if it was tried often enough."""
        self.last = shorten(why, BECAUSE_CHARACTERS)
        if over:
            tries = self._failures + self._kills
            remedy = "put that right, or roll the version back"
            self.failed = f"{self.last} (tried {tries} times); {remedy}"
            self._employer.gave_up()
