"""A worker that looks features up, as a gateway's event loop sees it. See ``ports.fetching``.

A thread of its own waits for the worker, watches its limits and replaces it; another worker is
ready for that, so that a crash or a hang costs the next call nothing. A call that takes too long
is ended with the worker: whoever asked has given up before.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from firedoor.compute import cgroup, limits, seal, server
from firedoor.compute.hiding import hider_of
from firedoor.compute.process import POLL_S, Bounds, WorkerDied, WorkerProcess
from firedoor.errors import WorkersUnavailable
from firedoor.isolation.narrow import Cause
from firedoor.ports.fetching import FetcherFacts
from firedoor.spec.service_plan import FeaturesPlan
from firedoor.wire.fetching import Fetch, Fetched, FetchNote
from firedoor.wire.messages import Load, Loaded, Reply, Unloadable

PRELOAD = ("polars", "firedoor.compute.worker", "firedoor.compute.fetchbench")
HANG_MIN_S = 1.0
HANG_TIMEOUTS = 5
"""Timeouts that a call may take before it is ended: what comes late is still worth keeping."""
LOAD_S = 60.0
IDLE_S = 1.0
"""Between two looks at a worker that has nothing to do."""
WAIT_MIN_S, WAIT_MAX_S = 0.1, 5.0
"""Between two tries to start a worker: doubled each time."""
PROCESSES_MAX = 64
FILES_MAX = 1_024


@dataclass(frozen=True, slots=True)
class _Order:
    """One call, and who is told."""

    ask: Fetch
    told: Callable[[Fetched], None]
    loop: AbstractEventLoop

    def answer(self, fetched: Fetched) -> None:
        """Tell, in the loop; nobody, if that is closed."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.told, fetched)


class WorkerFetcher:
    """Looks one group up in a worker behind a wall."""

    def __init__(
        self, plan: FeaturesPlan, *, service: str, sys_path: Sequence[str], in_project: bool = True
    ) -> None:
        """Start a worker, and return before it is ready.

        Args:
            plan: what is looked up.
            service: by which; named in logs.
            sys_path: for importing the function.
            in_project: whether the current folder is the project, and readable.
        """
        self._plan = plan
        self._wall = f"{service}.{plan.name}"
        self._sys_path = tuple(sys_path)
        self._in_project = in_project
        self._hide = hider_of(os.environ, plan.env)
        self._hang_s = max(HANG_MIN_S, HANG_TIMEOUTS * plan.timeout_s)
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._facts = FetcherFacts(state="loading")
        self._closed = threading.Event()
        self._way = "fork" if sys.platform == "linux" else "spawn"
        self._proven = False
        """Whether a worker started this way has answered."""
        self._worker: WorkerProcess | None = None
        self._thread = threading.Thread(target=self._run, name=f"fetch {self._wall}", daemon=True)
        self._thread.start()

    @property
    def facts(self) -> FetcherFacts:
        """How it is now."""
        return self._facts

    def fetch(self, ask: Fetch, told: Callable[[Fetched], None]) -> None:
        """Look keys up, and call ``told`` in the running loop."""
        order = _Order(ask, told, get_running_loop())
        if self._closed.is_set():
            order.answer(Fetched(error="the service is closing"))
        else:
            self._orders.put(order)

    async def close(self) -> None:
        """End its worker, whatever that is at."""
        loop = get_running_loop()
        self._closed.set()
        self._orders.put(None)
        worker = self._worker
        if worker is not None:
            worker.stop()
        await loop.run_in_executor(None, self._thread.join)

    # ---- all below runs in the thread

    def _run(self) -> None:
        """Keep a worker and a spare until it is closed."""
        spare: WorkerProcess | None = None
        wait_s = WAIT_MIN_S
        self._server = server.borrow(PRELOAD)
        try:
            while not self._closed.is_set():
                worker, spare = spare, None
                why = ""
                try:
                    worker = self._worker = worker or self._start()
                    why = self._settle(worker)
                    if not why:
                        wait_s = WAIT_MIN_S
                        spare = self._start()
                        self._serve(worker)
                except WorkerDied as died:
                    why = self._note_death(died)
                    spare = self._reconsider(spare, died)
                except (server.ServerGone, WorkersUnavailable) as error:
                    why = str(error) or "the process that starts workers was ended from outside"
                finally:
                    self._worker = None
                    if worker is not None:
                        worker.end()
                if why and spare is None and not self._closed.is_set():
                    self._back_off(why, wait_s)
                    wait_s = min(2 * wait_s, WAIT_MAX_S)
        finally:
            if spare is not None:
                spare.end()
            self._refuse_all("the service is closing")
            self._facts = replace(self._facts, state="closed", because="", pid=0)
            server.give_back(PRELOAD)

    def _serve(self, worker: WorkerProcess) -> None:
        """Pass calls on until the worker dies or all is closed."""
        self._facts = replace(self._facts, state="ready", because="", pid=worker.pid)
        while not self._closed.is_set():
            try:
                order = self._orders.get(timeout=IDLE_S)
            except queue.Empty:
                if worker.poll(0) is not None:  # what it prints is read, too
                    raise worker.condemn(Cause.CRASH, "spoke without being asked") from None
                continue
            if order is None:
                return
            try:
                worker.post(order.ask)
                reply, _ = worker.next(self._hang_s)
            except WorkerDied as died:
                order.answer(Fetched(error=f"its worker died: {died.failure.signature}"))
                raise
            self._proven = True
            order.answer(self._checked(reply, order.ask))

    def _checked(self, reply: Reply, ask: Fetch) -> Fetched:
        """Return what a worker says, if it is what can be said to that."""
        count = len(next(iter(ask.keys.values())))
        if not isinstance(reply, Fetched):
            return Fetched(error=f"its worker said {type(reply).__name__}")
        whole = reply.error or all(
            len(reply.values.get(column, ())) == count for column in self._plan.columns
        )
        if not whole:
            return Fetched(error="its worker told of other keys than it was asked for")
        return Fetched(
            values=reply.values,
            wrong=reply.wrong,
            said=self._hide(reply.said),
            error=self._hide(reply.error),
            seconds=reply.seconds,
        )

    def _settle(self, worker: WorkerProcess) -> str:
        """Wait until a worker has imported the function; return why it cannot, or nothing."""
        if worker.settled:
            return ""
        until_s = time.monotonic() + LOAD_S
        while not self._closed.is_set():
            reply = worker.poll(POLL_S)
            match reply:
                case Loaded():
                    worker.settled = True
                    return ""
                case Unloadable():
                    return self._hide(f"fetch cannot be imported: {reply.message}")
                case None if time.monotonic() < until_s:
                    self._refuse_all("its worker is being started")
                case _:
                    raise worker.condemn(Cause.HANG, f"was not ready within {LOAD_S:g} s")
        return "the service is closing"

    def _note_death(self, died: WorkerDied) -> str:
        """Count a death; return what happened."""
        what = self._hide(died.failure.message.partition("\n")[0])
        deaths = self._facts.deaths + 1
        self._facts = replace(self._facts, state="loading", because=what, pid=0, deaths=deaths)
        return what

    def _reconsider(self, spare: WorkerProcess | None, died: WorkerDied) -> WorkerProcess | None:
        """Spawn workers from now on, where one that was forked has hung before any answered."""
        if self._proven or self._way == "spawn" or died.failure.cause is not Cause.HANG:
            return spare
        self._way = "spawn"
        if spare is not None:
            spare.end()
        return None

    def _back_off(self, why: str, wait_s: float) -> None:
        """Answer that there is no worker, for a while."""
        self._facts = replace(self._facts, state="backing_off", because=why, pid=0)
        until_s = time.monotonic() + wait_s
        while (left_s := until_s - time.monotonic()) > 0 and not self._closed.is_set():
            with contextlib.suppress(queue.Empty):
                order = self._orders.get(timeout=left_s)
                if order is not None:
                    order.answer(Fetched(error=why))

    def _refuse_all(self, why: str) -> None:
        """Answer what waits."""
        with contextlib.suppress(queue.Empty):
            while True:
                order = self._orders.get_nowait()
                if order is not None:
                    order.answer(Fetched(error=why))

    def _start(self) -> WorkerProcess:
        """Start a worker and tell it what to be, without waiting until it is."""
        try:
            started = self._server.start_worker(self._way, self._sys_path)
        except server.ServerGone:
            self._server = server.renew(PRELOAD, self._server)
            started = self._server.start_worker(self._way, self._sys_path)
        memory_bytes = self._plan.memory_bytes
        worker = WorkerProcess(
            started,
            self._server,
            way=self._way,
            wall=self._wall,
            bounds=Bounds(memory_bytes=memory_bytes, processes_max=PROCESSES_MAX),
            cage=cgroup.enclose(
                cgroup.find(),
                started.pid,
                memory_bytes=memory_bytes,
                processes_max=PROCESSES_MAX,
            ),
            hide=self._hide,
        )
        worker.post(self._load(started.scratch))
        return worker

    def _load(self, scratch: str) -> Load:
        """Return what the worker has to know."""
        plan = self._plan
        here = os.getcwd()  # noqa: PTH109 - a plain string
        sealed = seal.plan(
            project=here if self._in_project else None,
            libraries=self._sys_path,
            reads=plan.may_read,
            scratch=scratch,
            network=plan.network,
        )
        return Load(
            wall=self._wall,
            pickled=plan.step.pickled,
            main_path=plan.step.main_path,
            main_module=plan.step.main_module,
            sys_path=tuple(entry or here for entry in self._sys_path),
            cwd=here,
            environ=seal.scrub_environment(dict(os.environ), plan.env),
            scratch=scratch,
            extra="keep",
            batchwise=False,
            memory_bytes=plan.memory_bytes,
            files_max=FILES_MAX,
            processes_max=PROCESSES_MAX,
            tasks_max=limits.tasks_backstop(PROCESSES_MAX),
            seal_reads=sealed.reads,
            seal_lists=sealed.lists,
            seal_writes=sealed.writes,
            network=sealed.network,
            fetches=FetchNote(keys=plan.keys, columns=plan.columns),
        )
