"""One version of a model, whatever becomes of its workers. See ``ports.variants``.

So many workers answer, and one more is warm. When one dies, the warm one steps in, and what the
dead one had not begun goes to it at once. What it had begun is suspected: each such request is run
again alone, in a worker that serves nobody else meanwhile; one that kills two workers so is guilty,
and its copies are answered without being run. A worker that is killed from outside makes nobody
suspected, unless that happens again with the same request.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from firedoor.compute.calls import BUSY, EXPIRED, NOT_READY, Call, Guilty, Tell
from firedoor.compute.launch import Launched, Launcher, ServingOrder
from firedoor.compute.recruiting import BECAUSE_CHARACTERS, Recruiter
from firedoor.compute.replica import Death, Replica
from firedoor.errors import shorten
from firedoor.events.objective import counted_as
from firedoor.isolation.narrow import Failure
from firedoor.isolation.relapse import RelapsePolicy
from firedoor.ports.variants import VariantFacts, VariantState
from firedoor.wire.bundle import Manifest
from firedoor.wire.serving import Ask, Outcome, Told

LOOK_S, SWEEP_S = 0.05, 0.01
RECENT_S = 30.0
ALONE_DEATHS = 2
ALONE_DEATHS_EXTERNAL = 3
EXTERNAL_DEATHS = 2
"""Workers killed from outside with one request in their hands, from which on it is suspected."""
EXTERNAL_FREE = 20
"""Of the last 30 s, that are mended at once: more, and whoever kills is not helped at it."""
SUSPECTS_MAX = 1_024
CONTRAST = 3
"""Requests found guilty one after the other: then it is not the requests."""
CONTRAST_ANSWERS = 20
"""Answers between two of them, after which they are not one after the other."""
THREADS = 6


class WorkerVariant:
    """A version in workers of its own. Made by ``open_variant``; used from one event loop."""

    def __init__(
        self,
        order: ServingOrder,
        manifest: Manifest | None,
        *,
        tasks: asyncio.TaskGroup,
        policy: RelapsePolicy | None = None,
    ) -> None:
        """Start workers, in tasks of a group that outlives this."""
        self._limits, self._manifest, self._nice = order.limits, manifest, order.nice
        self._loop = asyncio.get_running_loop()
        self._launcher = Launcher(order)
        self._threads = ThreadPoolExecutor(THREADS, f"variant-{order.name}")
        self._recruiter = Recruiter(
            self._launcher, self, tasks=tasks, threads=self._threads,
            policy=RelapsePolicy() if policy is None else policy,
        )  # fmt: skip
        self._serving: list[Replica] = []
        self._spares: list[Replica] = []
        self._stuck: list[Replica] = []
        self._court: Replica | None = None
        self._backlog: deque[Call] = deque()
        """Requests for which there is no worker just now."""
        self._suspects: deque[Call] = deque()
        self._dying: dict[Replica, list[Call]] = {}
        """What workers held of which it is not known yet how they died."""
        self._guilty = Guilty(order.affliction)
        self._answers = self._answers_then = self._guilty_in_a_row = 0
        self._closed = self._burns = self._sweeping = False
        self._deaths: Counter[str] = Counter()
        self._recent: deque[float] = deque(maxlen=10_000)
        self._kills: deque[float] = deque(maxlen=EXTERNAL_FREE + 1)
        self._changed = asyncio.Event()
        """Set when it is ready, has failed or is closed."""
        self._quiet = asyncio.Event()
        """Set while no request waits for an answer."""
        self._quiet.set()
        self._looking = self._loop.call_later(LOOK_S, self._look)
        self._recruiter.fill()

    # ---- the port

    @property
    def facts(self) -> VariantFacts:
        """How it is now."""
        workers, recruiter = self._workers(), self._recruiter
        while self._recent and self._recent[0] < self._loop.time() - RECENT_S:
            self._recent.popleft()
        state = self._state()
        told = recruiter.last if state == "backing_off" else "; ".join(recruiter.notes)
        return VariantFacts(
            state=state,
            because=recruiter.failed or told,
            replicas=len(self._serving),
            waiting=sum(len(worker.held) for worker in workers) + len(self._backlog),
            deaths=self._deaths.total(),
            deaths_by=dict(self._deaths),
            recent_deaths=len(self._recent),
            memory_bytes=sum(worker.memory_bytes for worker in workers),
            pids=tuple(worker.pid for worker in workers),
        )

    @property
    def manifest(self) -> Manifest | None:
        """Of its bundle; None for a function without a model."""
        return self._manifest

    def ask(self, ask: Ask) -> asyncio.Future[Told]:
        """Have one request answered."""
        future: asyncio.Future[Told] = self._loop.create_future()
        self._take(ask, future.set_result, future)
        return future

    def post(self, ask: Ask, told: Tell) -> None:
        """Have one request answered, see ``ports.variants``."""
        self._take(ask, told, None)

    async def ready(self, wait_s: float) -> bool:
        """Wait until a worker answers; False if it has failed, or does not by then."""
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return self._state() == "ready"

    async def close(self, grace_s: float = 5.0) -> None:
        """Finish what it holds within the grace, then end its workers."""
        if self._closed:
            return
        self._closed = True
        self._changed.set()
        try:
            async with asyncio.timeout(grace_s):
                await self._quiet.wait()
        except TimeoutError:
            pass  # what is left is told so below
        finally:
            self._looking.cancel()
            workers = self._workers()
            for call in self._calls():
                call.end()
            self._backlog.clear()
            self._suspects.clear()
            self._serving, self._spares, self._stuck, self._court = [], [], [], None
            ends = [worker.close() for worker in workers]
            await self._recruiter.close()
            for end in (*ends, self._launcher.close):
                await self._loop.run_in_executor(self._threads, end)
            self._threads.shutdown(wait=False)

    # ---- requests

    def _take(self, ask: Ask, answer: Tell, future: asyncio.Future[Told] | None) -> None:
        """Give a request to a worker, or say at once why not."""
        now_s = self._loop.time()
        ends_s = now_s + self._limits.attempt_s
        if ask.deadline_s and ask.deadline_s < ends_s:
            ends_s = ask.deadline_s
        special = not self._serving or self._closed or ends_s <= now_s or self._guilty.told
        if special and (told := self._refuse(ask, now_s, ends_s)) is not None:
            answer(told)
            return
        call = Call(ask, answer, ends_s, future)
        if ask.suspect:
            self._suspect(call)
            self._assign()
        elif not self._dispatch(call):
            call.tell(BUSY)
        if not self._sweeping and call.open:
            self._sweeping = True
            self._quiet.clear()
            self._loop.call_later(SWEEP_S, self._sweep)

    def _refuse(self, ask: Ask, now_s: float, ends_s: float) -> Told | None:
        """Return what is said at once to a request that is not run; None: it is."""
        if self._state() != "ready":
            return NOT_READY
        if ends_s <= now_s:
            return EXPIRED
        return self._guilty.find(ask, now_s) if self._guilty.told else None

    def _dispatch(self, call: Call) -> bool:
        """Give a request to the worker that holds fewest; return whether there was room."""
        most, serving = self._limits.waiting_max, self._serving
        if serving:
            best = min(serving, key=lambda one: len(one.held)) if serving[1:] else serving[0]
            return len(best.held) < most and best.post(call)
        if len(self._backlog) >= most:
            return False
        self._backlog.append(call)
        return True

    def _move(self, calls: list[Call]) -> None:
        """Give requests to other workers."""
        for call in calls:
            if call.open and not self._dispatch(call):
                call.tell(BUSY)

    def _sweep(self) -> None:
        """Answer those whose time is over; whoever holds them goes on."""
        now_s, waits = self._loop.time(), False
        for call in self._calls():
            if call.ends_s <= now_s:
                call.end()
            waits = waits or call.open
        while self._backlog and not self._backlog[0].open:
            self._backlog.popleft()
        if waits:
            self._loop.call_later(SWEEP_S, self._sweep)
        else:
            self._sweeping = False
            self._quiet.set()

    def _calls(self) -> list[Call]:
        """Return all requests that are not answered, and those that workers still hold."""
        held = (worker.held.values() for worker in self._workers())
        return [*chain(*held, self._backlog, self._suspects, *self._dying.values())]

    # ---- what becomes of workers

    def answered(self, replica: Replica, count: int) -> None:
        """See whether a worker that tried a suspect alone is free again."""
        self._answers += count
        if replica.alone and replica.alive:
            replica.alone, self._court = False, None
            self._spares.append(replica)
            self._assign()

    def lost(self, replica: Replica, innocent: list[Call], suspects: list[Call]) -> None:
        """Replace a worker, and give to others what it had not begun."""
        self._dying[replica] = suspects
        if replica is self._court:
            self._court = None
            self._suspects.extendleft(innocent)
            innocent = []
        for role in (self._serving, self._spares, self._stuck):
            if replica in role:
                role.remove(replica)
        self._assign()
        self._move(innocent)
        self._recruiter.fill()

    def buried(self, replica: Replica, death: Death) -> None:
        """Record a death, and judge those that the worker held."""
        suspects = self._dying.pop(replica, [])
        self._count("killed" if death.external else death.cause)
        why = shorten(self._launcher.hide(death.told), BECAUSE_CHARACTERS)
        if death.external:
            now_s = self._loop.time()
            self._kills.append(now_s)
            if len(self._kills) > EXTERNAL_FREE and self._kills[0] > now_s - RECENT_S:
                self._recruiter.relapsed(why)
        else:
            if not replica.alone or self._guilty_in_a_row >= CONTRAST:
                self._recruiter.relapsed(why)
            if death.cause == "cpu":
                self._burns = True  # its successors yield before they begin to burn
                for worker in self._workers():
                    worker.yield_processors()
            unproven = not (self._recruiter.proven or replica.answers or self._launcher.drilled)
            if unproven and death.cause == "hang":
                self._recruiter.spawn_from_now("a forked one hung at its first request")
        for call in suspects:
            self._judge(call, replica, death, why)
        self._assign()
        self._recruiter.fill()

    def _judge(self, call: Call, replica: Replica, death: Death, why: str) -> None:
        """Decide what becomes of a request that a worker died with in its hands."""
        call.told = Told(
            Outcome.DIED,
            message=shorten(f"a worker died with it: {why}", 500),
            signature=shorten(death.failure.signature, 200),
            pid=replica.pid if call.ask.traced else 0,
        )
        if death.external:
            call.external += 1
            call.alone_external += replica.alone
            if call.external < EXTERNAL_DEATHS and not replica.alone:
                self._move([call])
                return
        else:
            call.alone += replica.alone
        if call.alone >= ALONE_DEATHS or call.alone_external >= ALONE_DEATHS_EXTERNAL:
            self._convict(call, call.told)
            return
        if call.ask.deadline_s:  # it has as long as its caller waits: it is not the first attempt
            call.ends_s = max(call.ends_s, call.ask.deadline_s)
        self._suspect(call)

    def _convict(self, call: Call, told: Told) -> None:
        """Remember a request that killed two workers, alone."""
        self._guilty.remember(call.ask, told, self._loop.time())
        call.tell(told)
        if self._answers - self._answers_then >= CONTRAST_ANSWERS:
            self._guilty_in_a_row = 0
        self._guilty_in_a_row += 1
        self._answers_then = self._answers
        if self._guilty_in_a_row < CONTRAST:
            self._recruiter.explained()

    def _suspect(self, call: Call) -> None:
        """Have a request tried alone when a worker can be spared."""
        if self._closed or len(self._suspects) >= SUSPECTS_MAX:
            call.end()
        else:
            self._suspects.append(call)

    def _assign(self) -> None:
        """Give each worker that is free something to do: first of all, somebody serves."""
        while self._spares:
            if len(self._serving) < self._limits.replicas:
                self._serving.append(self._spares.pop())
                self._changed.set()
                backlog, self._backlog = list(self._backlog), deque()
                self._move(backlog)
                continue
            while self._suspects and self._suspects[0].stale(self._loop.time()):
                self._suspects.popleft()
            if not self._suspects or self._court is not None:
                return
            self._court = self._spares.pop()
            self._court.alone = True
            self._court.post(self._suspects.popleft(), alone=True)

    def _look(self) -> None:
        """See whether workers keep to their limits, and whether one is stuck."""
        now_s = self._loop.time()
        for worker in self._workers():
            worker.look(now_s)
        for worker in [one for one in self._serving if one.still_s > self._limits.attempt_s]:
            if self._spares:  # somebody else steps in while it is waited for
                self._serving.remove(worker)
                self._stuck.append(worker)
                self._assign()
        for worker in [one for one in self._stuck if not one.still_s]:
            self._stuck.remove(worker)
            self._spares.append(worker)
            self._assign()
        self._looking = self._loop.call_later(LOOK_S, self._look)

    # ---- new workers

    def missing(self, starting: int) -> int:
        """Return how many workers are missing."""
        return self._limits.replicas + 1 - len(self._workers()) - starting

    def admit(self, launched: Launched) -> None:
        """Take a worker that is ready."""
        replica = Replica(
            launched, self._limits, self, loop=self._loop, threads=self._threads,
            hide=self._launcher.hide, nice=self._nice,
        )  # fmt: skip
        if self._burns:
            replica.yield_processors()
        self._spares.append(replica)
        self._assign()

    def died_loading(self, failure: Failure) -> None:
        """Record the death of a worker that was not ready yet."""
        self._count("killed" if failure.external else f"loading: {failure.cause}")

    def gave_up(self) -> None:
        """Say that there will be no more workers."""
        self._changed.set()
        if not self._serving:
            for call in (*self._backlog, *self._suspects):
                call.end()

    # ---- looking

    def _state(self) -> VariantState:
        """Return how it is."""
        if self._closed:
            return "closed"
        if self._serving:
            return "ready"
        if self._recruiter.failed:
            return "failed"
        if not self._changed.is_set():
            return "loading"
        return "backing_off" if self._recruiter.backs_off and not self._workers() else "ready"

    def _workers(self) -> list[Replica]:
        """Return all workers that live."""
        court = () if self._court is None else (self._court,)
        return [*self._serving, *self._spares, *self._stuck, *court]

    def _count(self, cause: str) -> None:
        """Count a death; a model may end its process with any code there is."""
        self._deaths[counted_as(cause, self._deaths)] += 1
        self._recent.append(self._loop.time())
