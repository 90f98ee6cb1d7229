"""The workers of one wall: so many at work, one warm in reserve, and replacements for the dead."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from firedoor.compute import cgroup, limits, seal, server
from firedoor.compute.process import Bounds, WorkerDied, WorkerProcess
from firedoor.compute.step import StepReference
from firedoor.errors import StepUnloadable, WallClosed, WorkersUnavailable
from firedoor.isolation.narrow import Cause, Failure
from firedoor.spec.wall import WallOptions
from firedoor.wire.messages import Batch, Gated, Load, Loaded, Loading, Passed, Tracing, Unloadable

PRELOAD = ("polars", "dataframely", "firedoor.compute.worker", "firedoor.compute.workbench")
KNOWN_LIBRARIES = ("numpy", "pandas", "pyarrow", "scipy", "sklearn", "lightgbm", "xgboost")
"""Imported by the fork server as well where the calling process has them already."""
LOAD_TRIES = 3
SAMPLE_RUNS = 2
"""A worker runs its sample once to be warm, and once more to be timed."""
LOAD_TRIES_EXTERNAL = 10
"""The same where workers are ended from outside while they load: no fault of the step."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker that died, when, and how."""

    at_s: float
    pid: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows known to pass, with which a new worker is warmed before it is needed."""

    batch: Batch
    payload: tuple[bytes, ...]


class Crew:
    """Workers, idle, spare and busy. Thread-safe."""

    def __init__(
        self,
        reference: StepReference,
        options: WallOptions,
        *,
        name: str,
        lost: Callable[[Lost], None],
        note: Callable[[str], None],
    ) -> None:
        """Prepare; no process is started before the first batch."""
        self.way = "spawn" if options.start == "spawn" or sys.platform != "linux" else "fork"
        self.proven = self.way != "fork"
        """Whether a forked worker has been tried on rows."""
        self.acquitted = False
        """Whether a fresh worker has been tried where a forked one did not answer."""
        self.sample: Sample | None = None
        self.loaded: Loaded | None = None
        self.notes: tuple[str, ...] = ()
        """What a person should know about the seal."""
        self.fixed_s = 0.0
        """Time of the sample in a worker that has run it before: what a call costs by itself."""
        self.replacements: deque[float] = deque(maxlen=1000)
        """Seconds from a death to a replacement that is ready, the latest thousand."""
        self._reference = reference
        self._options = options
        self._name = name
        self._lost = lost
        self._note = note
        self._bounds = Bounds(
            memory_bytes=options.memory_bytes, processes_max=options.processes_max
        )
        here = {lib for lib in KNOWN_LIBRARIES if lib in sys.modules}
        self._preload = (*PRELOAD, *sorted(here | set(options.preload)))
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(options.workers)
        self._server: server.ForkServer | None = None
        self.delegation: cgroup.Delegation | None = None
        """Where workers are put into control groups, if they are."""
        self._idle: list[WorkerProcess] = []
        self._spare: WorkerProcess | None = None
        self._all: set[WorkerProcess] = set()
        self._closed = False

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a place to work in, and give it back."""
        # With a timeout, because polars installs a SIGINT handler that restarts system calls: a
        # wait without one is never interrupted, and Ctrl-C would do nothing.
        self._slots.acquire(timeout=threading.TIMEOUT_MAX)
        try:
            yield
        finally:
            self._slots.release()

    def take(self) -> WorkerProcess:
        """Return a worker that is ready: an idle one, the spare, or a new one.

        Raises:
            StepUnloadable: if the step cannot be imported.
            WorkersUnavailable: if workers die while they load.
        """
        failures: list[Failure] = []
        while _worth_another_try(failures):
            worker = self._candidate()
            try:
                self._settle(worker)
            except WorkerDied as died:
                failures.append(died.failure)
                self.forget(worker, died.failure)
                self._doubt_fork(failures)
                continue
            except BaseException:
                self.dismiss(worker)
                raise
            self._order_spare()
            return worker
        message = (
            f"wall {self._name!r}: {len(failures)} workers running died before they were ready "
            f"({failures[-1].message}); look at what the step's module does when it is imported, "
            "and at the wall's memory and reads; if it is killed from outside, at the machine's "
            "free memory"
        )
        raise WorkersUnavailable(message)

    def remember(self, sample: Sample) -> None:
        """Keep rows to warm workers with, beginning with the spare."""
        with self._lock:
            self.sample = sample
            if self._spare is not None and self._spare.sample is None:
                self._begin_warming(self._spare)

    def give_back(self, worker: WorkerProcess) -> None:
        """Keep a worker for the next batch."""
        with self._lock:
            if not self._closed and worker.way == self.way:
                self._idle.append(worker)
                return
        self.dismiss(worker)

    def replace(self, worker: WorkerProcess, failure: Failure) -> WorkerProcess:
        """Return a ready worker in place of one that died."""
        began = time.monotonic()
        self.forget(worker, failure)
        fresh = self.take()
        self.replacements.append(time.monotonic() - began)
        return fresh

    def forget(self, worker: WorkerProcess, failure: Failure) -> None:
        """Record a death."""
        with self._lock:
            self._all.discard(worker)
        self._lost(Lost(time.monotonic(), worker.pid, failure))

    def dismiss(self, worker: WorkerProcess) -> None:
        """End a worker that is not wanted any more."""
        with self._lock:
            self._all.discard(worker)
        worker.end()

    def start(self, way: str, *, warm: bool = True) -> WorkerProcess:
        """Start a worker and tell it what to be, without waiting until it is.

        ``warm``: have it run the sample as well.

        Raises:
            WallClosed: if the crew was closed.
        """
        with self._lock:
            if self._closed:
                message = f"wall {self._name!r} is closed: make a new one"
                raise WallClosed(message)
            started = self._start_process(way)
            worker = WorkerProcess(
                started,
                self._current(),
                way=way,
                wall=self._name,
                bounds=self._bounds,
                cage=cgroup.enclose(
                    self.delegation,
                    started.pid,
                    memory_bytes=self._bounds.memory_bytes,
                    processes_max=self._bounds.processes_max,
                ),
            )
            self._all.add(worker)
        worker.post(self._load(started.scratch))
        if warm:
            self._begin_warming(worker)
        return worker

    def switch_to_spawn(self) -> None:
        """Start workers afresh from now on: forking them was shown to be unsound."""
        with self._lock:
            self.way = "spawn"
            stale = [*self._idle, *([self._spare] if self._spare else [])]
            self._idle, self._spare = [], None
        for worker in stale:
            self.dismiss(worker)

    def pids(self) -> dict[str, list[int]]:
        """Return the process ids of the fork server and of the workers."""
        with self._lock:
            return {
                "server": [self._server.pid] if self._server else [],
                "workers": sorted(worker.pid for worker in self._all),
            }

    def close(self) -> None:
        """End all workers. Batches under way fail with WallClosed."""
        with self._lock:
            self._closed = True
            resting = {*self._idle, *([self._spare] if self._spare else [])}
            busy, self._all = self._all - resting, set()
            borrowed, self._server = self._server, None
            self._idle, self._spare = [], None
        for worker in busy:
            worker.stop()  # whoever waits for it finds it dead, and the wall closed
        for worker in resting:
            worker.end()
        if borrowed is not None:
            server.give_back(self._preload)

    def abandon(self) -> None:
        """Forget everything in a forked child of the caller: none of it is ours."""
        for worker in self._all:
            worker.abandon()

    def _candidate(self) -> WorkerProcess:
        """Return a living worker, ready or not."""
        while True:
            with self._lock:
                if self._idle:
                    worker = self._idle.pop()
                elif self._spare is not None:
                    worker, self._spare = self._spare, None
                else:
                    break
            if worker.is_alive():
                return worker
            worker.end()  # replies that nobody has read, to its load and sample, go with it
            self.forget(worker, _while_idle(worker))
        return self.start(self.way)

    def _settle(self, worker: WorkerProcess) -> None:
        """Wait until a worker has loaded the step and is warm."""
        if worker.settled:
            return
        reply, _ = worker.next(self._options.load_timeout_s)
        if isinstance(reply, Unloadable):
            message = f"wall {self._name!r}: the step cannot be loaded: {reply.message}"
            raise StepUnloadable(message, reply.detail)
        if isinstance(reply, Loaded):
            if self.loaded is None:
                self._tell_failed_preloads()
            self.loaded = reply
        if worker.sample is None:
            self._begin_warming(worker)
        if worker.sample is not None:
            self._warm(worker)
        worker.sample, worker.settled = None, True

    def _begin_warming(self, worker: WorkerProcess) -> None:
        """Have a worker run the sample, if there is one."""
        if self.sample is not None:
            worker.post(self.sample.batch, *self.sample.payload)
            worker.sample = self.sample

    def _tell_failed_preloads(self) -> None:
        """Say which libraries the fork server could not import."""
        for name, why in (self._server.failed_preloads if self._server else {}).items():
            self._note(f"{name} cannot be preloaded, each worker imports it by itself: {why}")

    def _warm(self, worker: WorkerProcess) -> None:
        """Read the replies to the sample; what they took is what a call costs by itself."""
        limit_s = self._options.load_timeout_s
        reply, _ = worker.next(limit_s)
        seconds, passed = 0.0, 0
        while passed < SAMPLE_RUNS and isinstance(reply, Loading | Gated | Tracing | Passed):
            reply, _ = worker.next(limit_s)
            if isinstance(reply, Passed):
                seconds, passed = reply.step_s, passed + 1
        if passed < SAMPLE_RUNS:
            self.sample = None  # it does not pass everywhere: no good as a sample
            return
        self.fixed_s = max(self.fixed_s, seconds)

    def _doubt_fork(self, failures: Sequence[Failure]) -> None:
        """Go over to spawning if workers hang, or die time and again, before one has worked."""
        if self.proven or self.way != "fork" or self._options.start != "auto":
            return
        own = [failure for failure in failures if not failure.external]
        if own and (own[-1].cause is Cause.HANG or len(own) == LOAD_TRIES - 1):
            self.switch_to_spawn()
            self._note("forked workers do not get ready: workers are spawned now")

    def _order_spare(self) -> None:
        """Start the next spare if there is none."""
        with self._lock:
            wanted = self._spare is None and not self._closed
        if not wanted:
            return
        try:
            spare = self.start(self.way)
        except (WorkersUnavailable, WallClosed):
            return  # whoever needs a worker next will say so
        with self._lock:
            if self._spare is None and not self._closed and spare.way == self.way:
                self._spare = spare
                return
        self.dismiss(spare)

    def _start_process(self, way: str) -> server.Started:
        """Ask the server for a process, starting another server if it is gone."""
        path = [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109 - a plain string
        for _ in range(LOAD_TRIES):
            try:
                return self._current().start_worker(way, path)
            except server.ServerGone:
                self._server = server.renew(self._preload, self._current())
        message = (
            f"wall {self._name!r}: the fork server ends as soon as it starts; try importing "
            f"{', '.join(self._preload)} with {sys.executable}"
        )
        raise WorkersUnavailable(message)

    def _current(self) -> server.ForkServer:
        """Return the server, borrowing it at first use. The caller holds the lock."""
        if self._server is None:
            self._server = server.borrow(self._preload)
            self.delegation = cgroup.find()
        return self._server

    def _load(self, scratch: str) -> Load:
        """Return what a worker has to know."""
        options = self._options
        environ = seal.scrub_environment(dict(os.environ), tuple(options.env))
        plan = seal.plan(
            project=os.getcwd(),  # noqa: PTH109
            libraries=sys.path,
            reads=[str(Path(path).resolve()) for path in options.reads],
            scratch=scratch,
            network=options.network,
        )
        self.notes = plan.notes
        return Load(
            wall=self._name,
            pickled=self._reference.pickled,
            main_path=self._reference.main_path,
            main_module=self._reference.main_module,
            sys_path=tuple(entry or os.getcwd() for entry in sys.path),  # noqa: PTH109
            cwd=os.getcwd(),  # noqa: PTH109
            environ=environ,
            scratch=scratch,
            extra=options.extra,
            batchwise=options.batchwise,
            expands=options.expands,
            memory_bytes=options.memory_bytes,
            files_max=options.files_max,
            processes_max=options.processes_max,
            tasks_max=limits.tasks_backstop(options.processes_max),
            seal_reads=plan.reads,
            seal_lists=plan.lists,
            seal_writes=plan.writes,
            network=plan.network,
        )


def _worth_another_try(failures: Sequence[Failure]) -> bool:
    """Return whether to start one more worker after so many died before they were ready."""
    own = sum(not failure.external for failure in failures)
    return own < LOAD_TRIES and len(failures) < LOAD_TRIES_EXTERNAL


def _while_idle(worker: WorkerProcess) -> Failure:
    """Say that a worker died while it had nothing to do: no row was near it."""
    what = f"worker {worker.pid} was ended from outside while it was idle"
    return Failure(cause=Cause.CRASH, signature="ended while idle", message=what, external=True)
