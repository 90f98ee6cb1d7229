"""Start workers that answer requests, and see them loaded and warmed. It blocks: use threads."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from firedoor.compute import cgroup, limits, seal, server
from firedoor.compute.affliction import Affliction
from firedoor.compute.hiding import hider_of
from firedoor.compute.process import Bounds, WorkerProcess
from firedoor.compute.serving_line import make_progress
from firedoor.compute.worker import INSIDE
from firedoor.errors import WorkersUnavailable
from firedoor.spec.referred import StepNote
from firedoor.spec.service_plan import ServiceLimits, Takes
from firedoor.wire.bundle import Signature
from firedoor.wire.messages import Unloadable
from firedoor.wire.model_files import ModelFiles
from firedoor.wire.serving_load import ServingLoad, ServingReady

PRELOAD = ("polars", "firedoor.compute.worker", "firedoor.compute.serving_worker")
FORKED_LOAD_S = 30.0
"""Longest that a forked worker may take to be ready, while forking is not proven."""
LOAD_S = 120.0
SERVER_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingOrder:
    """What workers of one version are."""

    name: str
    """``delays@3``: of the logger, and in messages."""
    step: StepNote
    limits: ServiceLimits
    takes: Takes = "polars"
    nan_is_missing: bool = False
    files: ModelFiles | None = None
    """The model; None: the function is called with rows alone."""
    signature: Signature = field(default_factory=Signature)
    """Of the rows, where there is no model."""
    nice: int = 0
    """By how much a worker that takes more than its processors yields, until it is ended."""
    libraries: tuple[str, ...] = ()
    """Imported before a worker is forked, besides polars: what models need, never user code."""
    sys_path: tuple[str, ...] = ()
    """Empty: that of this process."""
    in_project: bool = True
    """Whether the current folder is the project, and readable."""
    denies: tuple[str, ...] = ()
    """What workers must not read, see ``seal.plan``."""
    affliction: Affliction = field(default_factory=Affliction)
    """What a drill does to them."""


class Unready(Exception):
    """A worker says that it cannot do what it is to do: its model or function cannot be loaded."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A worker that is ready."""

    process: WorkerProcess
    progress_fd: int
    """Of the file in which it counts."""
    ready: ServingReady
    affliction: Affliction
    """Knows the file as well, and closes it."""

    def end(self) -> None:
        """End it: it is not wanted."""
        self.let_go()
        self.process.end()

    def let_go(self) -> None:
        """Close the file in which it counts."""
        self.affliction.gave_up(self.progress_fd)


class Launcher:
    """Starts workers of one kind."""

    def __init__(self, order: ServingOrder) -> None:
        """Prepare; the fork server is started with the first worker."""
        self._order = order
        self._preload = (*PRELOAD, *order.libraries)
        self._threads = max(1, math.ceil(order.limits.cpus))
        self._path = tuple(entry or os.getcwd() for entry in order.sys_path or sys.path)  # noqa: PTH109
        self._lock = threading.Lock()
        self._server: server.ForkServer | None = None
        self._delegation: cgroup.Delegation | None = None
        self._loading: set[WorkerProcess] = set()
        self._closed = False
        self.hide: Callable[[str], str] = hider_of(os.environ, order.limits.env)
        """Takes secrets out of a text."""

    def drilled(self) -> bool:
        """Whether a drill does something to workers: what they die of says nothing of them."""
        return self._order.affliction.fault is not None

    def launch(self, way: str, limit_s: float) -> Launched:
        """Return a worker that is ready.

        Args:
            way: ``fork`` or ``spawn``.
            limit_s: longest that it may take.

        Raises:
            Unready: if it says that it cannot be.
            WorkerDied: if it dies, or takes too long.
            WorkersUnavailable: if none can be started.
        """
        worker, affliction = self._start(way), self._order.affliction
        progress_fd = -1
        try:
            progress_fd = make_progress(worker.scratch)
            affliction.took(progress_fd)
            worker.post(self._load(worker.scratch))
            reply, _ = worker.next(limit_s)
            if isinstance(reply, ServingReady):
                return Launched(worker, progress_fd, reply, affliction)
        except BaseException:
            affliction.gave_up(progress_fd)
            worker.end()
            raise
        finally:
            with self._lock:
                self._loading.discard(worker)
        affliction.gave_up(progress_fd)
        worker.end()
        if isinstance(reply, Unloadable):
            said = "\n".join(part for part in (reply.message, reply.detail) if part)
            raise Unready(self.hide(said))
        message = f"it said {type(reply).__name__}: is another firedoor first on its sys.path?"
        raise Unready(message)

    def stop(self) -> None:
        """Start no more, and end those that are being loaded."""
        with self._lock:
            self._closed = True
            loading = tuple(self._loading)
        for worker in loading:
            worker.stop()  # whoever waits for it finds it dead

    def close(self) -> None:
        """Let go of the fork server, once all workers have ended."""
        self.stop()
        with self._lock:
            borrowed, self._server = self._server, None
        if borrowed is not None:
            server.give_back(self._preload, self._threads)

    def _start(self, way: str) -> WorkerProcess:
        """Start a worker, and tell it what to be."""
        told = self._order.limits
        started, from_server = self._process(way)
        worker = WorkerProcess(
            started,
            from_server,
            way=way,
            wall=self._order.name,
            bounds=Bounds(memory_bytes=told.memory_bytes, processes_max=told.processes_max),
            cage=cgroup.enclose(
                self._delegation,
                started.pid,
                memory_bytes=told.memory_bytes,
                processes_max=told.processes_max,
            ),
            hide=self.hide,
        )
        with self._lock:
            closed = self._closed
            self._loading.add(worker)
        if closed:
            worker.stop()
        return worker

    def _process(self, way: str) -> tuple[server.Started, server.ForkServer]:
        """Ask the server for a process, starting another server if it is gone."""
        for _ in range(SERVER_TRIES):
            with self._lock:
                if self._closed:
                    break
                if self._server is None:
                    self._server = server.borrow(self._preload, self._threads)
                    self._delegation = cgroup.find()
                current = self._server
            try:
                return current.start_worker(way, self._path), current
            except server.ServerGone:
                with self._lock:
                    if not self._closed:
                        self._server = server.renew(self._preload, current, self._threads)
        message = f"no worker of {self._order.name} can be started: its fork server ends"
        raise WorkersUnavailable(message)

    def _load(self, scratch: str) -> ServingLoad:
        """Return what a worker has to know."""
        order, told = self._order, self._order.limits
        here = os.getcwd()  # noqa: PTH109 - a plain string
        files = order.affliction.files_for(order.files)
        handed = [] if files is None else [files.folder, f"{files.folder}.json"]
        plan = seal.plan(
            project=here if order.in_project else None,
            libraries=self._path,
            reads=[str(Path(path).resolve()) for path in told.may_read],
            handed=handed,
            denies=order.denies,
            scratch=scratch,
            network=False,
        )
        environ = server.threads_environment(self._threads)
        environ |= seal.scrub_environment(dict(os.environ), told.env)
        environ.pop(INSIDE, None)
        return ServingLoad(
            wall=order.name,
            pickled=order.step.pickled,
            main_path=order.step.main_path,
            main_module=order.step.main_module,
            sys_path=self._path,
            cwd=here,
            environ=environ,
            scratch=scratch,
            memory_bytes=told.memory_bytes,
            files_max=told.files_max,
            processes_max=told.processes_max,
            tasks_max=limits.tasks_backstop(told.processes_max),
            seal_reads=plan.reads,
            seal_lists=plan.lists,
            seal_writes=plan.writes,
            network=plan.network,
            model=files,
            signature=order.signature,
            takes=order.takes,
            nan_is_missing=order.nan_is_missing,
            batch_rows=told.batch_rows,
            hang_s=told.hang_s,
        )
