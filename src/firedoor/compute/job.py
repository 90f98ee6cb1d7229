"""One attempt at a job: a worker of its own, spawned afresh, sealed, limited and watched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from msgspec import structs

from firedoor.compute import cgroup, limits, seal
from firedoor.compute.hiding import hider_of
from firedoor.compute.job_striking import JobStrike
from firedoor.compute.process import OUT_OF_CPU, POLL_S, Bounds, WorkerDied, WorkerProcess
from firedoor.compute.server import ForkServer, ServerGone
from firedoor.errors import WorkersUnavailable
from firedoor.isolation.narrow import Cause
from firedoor.ports.faults import Faults, NoFaults
from firedoor.spec.plan import JobLimits
from firedoor.spec.referred import StepNote
from firedoor.units import format_bytes, format_seconds
from firedoor.wire.jobs import JobEnded, JobLoad, JobRaised, Keep, Kept, Metric, Progress
from firedoor.wire.messages import Loaded, Reply, Unloadable

LOAD_TIMEOUT_S = 120.0
"""Longest time that importing the job's module may take."""
DISK_LOOK_S = 0.5
DISK_LOOK_SHARE = 20
"""Of the time that a look at the disk takes, to wait until the next."""


class Listener(Protocol):
    """Who is told what a job says while it runs."""

    def loaded(self, loaded: Loaded, notes: Sequence[str]) -> None:
        """It is sealed, and its function is imported."""

    def progress(self, said: Progress) -> None:
        """It lives, and may have told how far it is."""

    def metric(self, said: Metric) -> None:
        """It has a figure."""

    def keep(self, said: Keep) -> str:
        """Take a folder over from its scratch folder; return why not, empty where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to run."""

    job: str
    run: str
    attempt: int
    step: StepNote
    sys_path: tuple[str, ...]
    limits: JobLimits
    parameters: dict[str, bool | int | float | str | None]
    seed: int
    folder: str | None
    """What it reads; None: nothing."""
    scratch: Path
    """There, empty, and removed when the attempt has ended."""
    checkpoints: Path
    """There."""
    space: Path
    """The folder that both are in: what it holds counts as the job's."""
    denies: tuple[str, ...] = ()
    """What it must not read, see ``seal.plan``."""
    in_project: bool = True
    """Whether the current folder is the project, and readable."""
    faults: Faults = field(default_factory=NoFaults)
    """What drills want of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended."""

    cause: str = ""
    """See ``wire.run.Attempt``; empty: well."""
    message: str = ""
    line: str = ""
    peak_bytes: int = 0
    last_lines: str = ""


def attempt(order: Order, listener: Listener, cancelled: Callable[[], bool]) -> Ending:
    """Run a job once, in a process that is gone, with all that it started, on return.

    Args:
        order: what to run.
        listener: told while it runs.
        cancelled: asked often whether it is to be ended.
    """
    hide = hider_of(os.environ, order.limits.env)
    try:
        server = ForkServer(())
    except WorkersUnavailable as error:
        return Ending(cause="not_started", message=str(error))
    try:
        started = server.start_worker("spawn", order.sys_path, str(order.scratch))
        worker = WorkerProcess(
            started,
            server,
            way="spawn",
            wall=order.job,
            bounds=Bounds(
                memory_bytes=order.limits.memory_bytes,
                processes_max=order.limits.processes_max,
                cpu_s=order.limits.cpu_s,
            ),
            hide=hide,
            cage=cgroup.enclose(
                cgroup.find(),
                started.pid,
                memory_bytes=order.limits.memory_bytes,
                processes_max=order.limits.processes_max,
            ),
        )
        try:
            ending = _Watch(worker, order, listener, cancelled, hide).until_it_ends()
        finally:
            worker.end()
        return replace(
            ending, message=hide(ending.message), peak_bytes=worker.peak_bytes,
            last_lines=worker.last_lines,
        )  # fmt: skip
    except (ServerGone, WorkersUnavailable) as error:
        why = str(error) or "the process that starts it was ended from outside"
        return Ending(cause="not_started", message=why)
    finally:
        server.close()


class _Watch:
    """A worker that runs a job, and its deadlines."""

    def __init__(
        self,
        worker: WorkerProcess,
        order: Order,
        listener: Listener,
        cancelled: Callable[[], bool],
        hide: Callable[[str], str],
    ) -> None:
        """Tell the worker what to do."""
        self._worker = worker
        self._order = order
        self._listener = listener
        self._cancelled = cancelled
        self._hide = hide
        limit = order.limits.memory_bytes
        self._strike = JobStrike(order.faults, attempt=order.attempt, memory_bytes=limit)
        load, self._notes = _load(order)
        worker.post(structs.replace(load, strike=self._strike.told()))
        self._loaded = False
        self._began_s = self._heard_s = self._look_s = time.monotonic()

    def until_it_ends(self) -> Ending:
        """Return how it ended; a worker that has to be ended is."""
        try:
            while True:
                if self._loaded:
                    self._strike.look(self._worker.pidfd, self._worker.pid)
                reply = self._worker.poll(POLL_S)
                if reply is not None:
                    self._heard_s = time.monotonic()
                    ending = self._take(reply)
                    if ending is not None:
                        return ending
                late = self._late()
                if late is not None:
                    cause, what = late
                    died = self._worker.condemn(Cause.HANG, what)
                    return _ending(died, cause)
        except WorkerDied as died:
            return _ending(died, _cause(died))

    def _late(self) -> tuple[str, str] | None:
        """Return why it has to be ended now, if it has."""
        now_s, told = time.monotonic(), self._order.limits
        ran_s, silent_s = now_s - self._began_s, now_s - self._heard_s
        if self._cancelled():
            return "cancelled", "was cancelled"
        if not self._loaded:
            late = ran_s > LOAD_TIMEOUT_S
            what = f"was not imported within {format_seconds(LOAD_TIMEOUT_S)}"
            return ("hang", what) if late else None
        if ran_s > told.timeout_s:
            return "timeout", f"exceeded {format_seconds(told.timeout_s)}"
        if told.hang_s is not None and silent_s > told.hang_s:
            return "hang", f"gave no sign of life for {format_seconds(told.hang_s)}"
        full = now_s >= self._look_s and self._disk_bytes() > told.disk_bytes
        return ("disk", f"took more than {format_bytes(told.disk_bytes)} of disk") if full else None

    def _disk_bytes(self) -> int:
        """Return the space that the job takes; the more files there are, the seldomer it looks."""
        began_s = time.monotonic()
        held = limits.folder_bytes(str(self._order.space))
        now_s = time.monotonic()
        self._look_s = now_s + max(DISK_LOOK_S, DISK_LOOK_SHARE * (now_s - began_s))
        return held

    def _take(self, reply: Reply) -> Ending | None:
        """Pass on what it says; return how it ended, if it says that."""
        match reply:
            case Loaded():
                self._loaded = True
                self._began_s = self._heard_s = time.monotonic()
                self._listener.loaded(reply, self._notes)
            case Progress():
                self._listener.progress(structs.replace(reply, step=self._hide(reply.step)))
            case Metric():
                self._listener.metric(structs.replace(reply, name=self._hide(reply.name)))
            case Keep():
                self._worker.post(Kept(error=self._listener.keep(reply)))
                self._heard_s = time.monotonic()
            case JobEnded():
                return Ending()
            case JobRaised():
                cause = "memory" if reply.memory else "raised"
                return Ending(cause=cause, message=reply.message, line=reply.line or "")
            case Unloadable():
                said = "\n".join(part for part in (reply.message, reply.detail) if part)
                return Ending(cause="unloadable", message=f"cannot be imported: {said}")
            case _:
                return Ending(
                    cause="crash", message=f"said {type(reply).__name__}, which no job says"
                )
        return None


def _ending(died: WorkerDied, cause: str) -> Ending:
    """Describe a death."""
    failure = died.failure
    message = failure.message
    if cause == "cpu":
        message = message.replace("SIGXCPU", f"{OUT_OF_CPU} (SIGXCPU)", 1)
    return Ending(cause=cause, message=message, line=failure.line or "")


def _cause(died: WorkerDied) -> str:
    """Return of what a job's worker died."""
    failure = died.failure
    if failure.cause is Cause.MEMORY:
        return "memory"
    if failure.signature.startswith(("SIGXCPU", OUT_OF_CPU)):
        return "cpu"
    if failure.signature.startswith("exceeded"):
        return "processes"
    return "killed" if failure.external else "crash"


def _load(order: Order) -> tuple[JobLoad, tuple[str, ...]]:
    """Return what the worker has to know, and notes about its seal."""
    told = order.limits
    here = os.getcwd()  # noqa: PTH109 - a plain string
    inputs = [] if order.folder is None else [order.folder]
    plan = seal.plan(
        project=here if order.in_project else None,
        libraries=order.sys_path,
        reads=told.may_read,
        handed=[*inputs, str(order.checkpoints)],
        denies=order.denies,
        scratch=str(order.scratch),
        network=told.network,
    )
    load = JobLoad(
        wall=order.job,
        pickled=order.step.pickled,
        main_path=order.step.main_path,
        main_module=order.step.main_module,
        sys_path=tuple(entry or here for entry in order.sys_path),
        cwd=here,
        environ=seal.scrub_environment(dict(os.environ), told.env),
        scratch=str(order.scratch),
        memory_bytes=told.memory_bytes,
        cpu_s=told.cpu_s,
        files_max=told.files_max,
        processes_max=told.processes_max,
        tasks_max=limits.tasks_backstop(told.processes_max),
        seal_reads=plan.reads,
        seal_lists=plan.lists,
        seal_writes=plan.writes,
        network=plan.network,
        run=order.run,
        attempt=order.attempt,
        seed=order.seed,
        parameters=order.parameters,
        folder=order.folder,
        checkpoints=str(order.checkpoints),
    )
    return load, plan.notes
