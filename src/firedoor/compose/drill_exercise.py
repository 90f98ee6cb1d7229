"""Inject one fault for a while, and watch until all is well again.

The drill is a client of the broker and no more: a fault is a beat that is renewed, and ends where
it is injected when nothing is heard any more. So this process may be killed at any moment.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from firedoor.compose.drill_books import Books
from firedoor.compose.drill_ledger import Chronicle
from firedoor.compose.drill_recovery import note_unrecovered, unrecovered_of
from firedoor.compose.drill_stopping import take_back
from firedoor.compose.drill_watch import Look, Watch
from firedoor.compose.operating import give_order
from firedoor.drill.assembling import Course, make_row
from firedoor.drill.fault import RENEW_S, Fault, Injected
from firedoor.drill.following import Following
from firedoor.drill.job_runs import RunsSeen
from firedoor.drill.judging import Doubt
from firedoor.drill.lease import PREFIX, taken_back
from firedoor.drill.matrix import Matrix
from firedoor.drill.measured import Measured
from firedoor.drill.planning import Exercise
from firedoor.drill.report import Moment, Row, Unrecovered
from firedoor.drill.spending import Spending
from firedoor.drill.stage import BROKER, Stage
from firedoor.drill.worsening import Control
from firedoor.errors import FiredoorError, StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan

LOOK_S = 1.0
AWAY_MAX_S = 20.0
"""For so long the broker may not answer, where it is not the broker that is faulted."""
END_S = 15.0
"""After its lease, in which it must be said that a fault is over: beats live 10 s."""
REFUSED_S = 3.0
"""After which a fault that one process refuses is not waited for to be injected by another."""
EVIDENCE_S = 10.0
"""For which is waited, after all are well, where too little was seen of a zone to judge it."""
RESUME_S = 3.0
"""After which a zone that is still halted is resumed, as a person would."""
JOB_MIN_S = 30.0
"""In which a fault of a job waits at least for the run that it is to strike, and for its end."""


@dataclass(slots=True, kw_only=True)
class Scene:
    """What all exercises of a drill have in common."""

    streams: Streams
    plan: Plan
    stage: Stage
    clock: Clock
    watch: Watch
    books: Books
    matrix: Matrix
    observed: tuple[str, ...]
    before: Mapping[str, Measured]
    """What each zone did while nothing was injected."""
    control: Control
    """The same, second by second."""
    doubt: Doubt
    spending: Spending
    production: bool
    chronicle: Chronicle
    stopped: Callable[[], Awaitable[str]]
    """Why the drill must stop; empty: it goes on. Asked each second."""
    leaving: Callable[[], bool]
    """Whether it must not even wait until all is well."""
    note: Callable[[Moment], None]
    """Told each thing that the drill does or sees, as it happens."""


@dataclass(slots=True)
class Injecting:
    """One exercise, from the injection to the books."""

    scene: Scene
    exercise: Exercise
    _hits: dict[str, int] = field(default_factory=dict)
    """By process."""
    _heard: bool = False
    _refused: str = ""
    _hurt: set[str] = field(default_factory=set)
    _began_s: float = 0.0
    _renewals: int = 0
    _moments: list[Moment] = field(default_factory=list)
    _unrecovered: tuple[Unrecovered, ...] = ()
    _told_stop: str = ""
    _warned: set[tuple[str, str]] = field(default_factory=set)
    """Of which zones what was told that would end the fault in production."""
    _runs: RunsSeen = field(init=False)

    async def run(self) -> tuple[Row, str]:
        """Return the row, and why the whole drill has to stop; empty: it may go on."""
        scene, fault = self.scene, self.exercise.fault
        following = Following(
            scene.stage, self.exercise, scene.before, scene.observed, scene.control
        )
        began_utc_s, self._began_s = scene.clock.utc_s(), scene.clock.now_s()
        self._runs = RunsSeen(scene.stage, self.exercise, began_utc_s)
        try:
            aborted, stop = await self._hold(following)
        finally:
            # also where it is cancelled: the beat that ends it is one call
            lasted_s = scene.clock.now_s() - self._began_s
            with contextlib.suppress(StreamsUnavailable):
                await self._say(taken_back(self._renewed()))
        cleaned = await self._end(following, everything=bool(aborted) and not scene.leaving())
        over = "it is over" if cleaned else "nobody says that it is over"
        self._tell("fault", fault.zone, over)
        await scene.chronicle.note(
            "fault", "over" if cleaned else "left", f"{self.exercise.row}: {over}", zone=fault.zone,
            because=aborted, facts={"hits": sum(self._hits.values()), "fault": fault.id},
        )  # fmt: skip
        recovered_s, stop = await self._recover(following, stop)
        await note_unrecovered(
            scene.chronicle, self.exercise.row, fault, self._unrecovered, aborted or stop
        )
        scene.spending.close(following.bad_s())
        conservation = await scene.books.check()
        self._tell("books", "", conservation.in_words)
        course = Course(
            began_s=began_utc_s,
            ended_s=scene.clock.utc_s(),
            lasted_s=lasted_s,
            hits=sum(self._hits.values()),
            heard=self._heard,
            refused="" if self._hits else self._refused,
            aborted=aborted or stop,
            cleaned=cleaned,
            recovered_s=recovered_s,
            unrecovered=self._unrecovered,
            conservation=conservation,
            timeline=tuple(self._moments),
        )
        return make_row(following, course, scene.doubt, self._runs), stop

    # ---- the fault

    async def _hold(self, following: Following) -> tuple[str, str]:
        """Have it injected for as long as planned, renewing it; return why it ended early.

        Returns:
            Why this fault ended early, and why the whole drill has to stop; empty: they did not.
        """
        scene, fault = self.scene, self.exercise.fault
        said_s = -math.inf
        self._tell("fault", fault.zone, f"{self.exercise.row} begins")
        await scene.chronicle.note(
            "fault", "wanted", f"{self.exercise.row} begins", zone=fault.zone,
            because=self.exercise.because, facts={"fault": fault.id, "seed": fault.seed},
        )  # fmt: skip
        of_job = self._runs.of_job
        for_s = max(self.exercise.for_s, JOB_MIN_S) if of_job else self.exercise.for_s
        while self._passed_s() < for_s and not (of_job and self._runs.answered):
            if scene.clock.now_s() - said_s >= RENEW_S:
                said_s = scene.clock.now_s()
                with contextlib.suppress(StreamsUnavailable):
                    await self._say(self._renewed())
            await scene.clock.wait(min(LOOK_S, for_s - self._passed_s()))
            stop = await self._look(following)
            if stop:
                return stop, stop
            if self._refused and not self._heard and self._passed_s() >= REFUSED_S:
                break  # nobody else injects it
            unsafe = self._unsafe(following)
            if unsafe:
                return unsafe, ""
        return "", ""

    def _unsafe(self, following: Following) -> str:
        """Return why the fault must be taken back now; empty: it may go on.

        A zone outside that misses its promise ends it anywhere. In production one does that is
        worse than in the warm-up, or has spent too much, and keeps its promise yet. In development
        that is told: there a verdict is worth more.
        """
        hurt = following.broken(self.scene.doubt)
        if hurt:
            self._tell("drill", hurt, "outside of what may be hurt: the fault is taken back")
            return f"{hurt} was hurt, which must not be"
        found = [("worse", *each) for each in following.worse()]
        found += [("spent", *each) for each in self.scene.spending.overspent(following.bad_s())]
        for what, zone, why in found:
            if self.scene.production:
                self._tell("drill", zone, f"{why}: the fault is taken back")
                return f"{zone}: {why}"
            if (what, zone) not in self._warned:
                self._warned.add((what, zone))
                self._tell("drill", zone, f"{why}: in production the fault would be taken back")
        return ""

    async def _end(self, following: Following, *, everything: bool) -> bool:
        """Take the fault back until nobody injects it; return whether that was so in time.

        Args:
            following: told what is seen meanwhile.
            everything: whether all faults of this pipeline are taken back, whoever wanted them.
        """
        scene, fault = self.scene, taken_back(self._renewed())
        until_s = scene.clock.now_s() + self.exercise.fault.lease_s + END_S
        while True:
            with contextlib.suppress(StreamsUnavailable):
                await self._say(fault)
                if everything:
                    await take_back(scene.streams, await scene.streams.beats(PREFIX))
            look = await self._see(following)
            if look is not None and not self._injected(look, everything=everything):
                return True
            if scene.clock.now_s() >= until_s:
                return False
            await scene.clock.wait(LOOK_S)

    def _renewed(self) -> Fault:
        """Return the fault with another sign of life: each is taken once."""
        self._renewals += 2  # taking it back is one more
        return replace(self.exercise.fault, renewal=self._renewals)

    async def _say(self, fault: Fault) -> None:
        """Say what is to be injected.

        Raises:
            StreamsUnavailable: if the broker is away.
        """
        await self.scene.streams.beat(f"{PREFIX}{fault.zone}", msgspec.json.encode(fault))

    # ---- what comes of it

    async def _recover(self, following: Following, stop: str) -> tuple[float | None, str]:
        """Watch until all are well for a while; return after how long they were, and why to stop.

        It goes on for a while where too little was seen to judge by. Zones that halted are resumed,
        as a person would. A drill that is stopped waits for it as well.
        """
        scene, resumed = self.scene, False
        ended_s = self._passed_s()
        while (now_s := self._passed_s()) - ended_s < scene.matrix.recover_s:
            quiet = self._quiet_since_s(following)
            settled = quiet is not None and now_s - max(quiet, ended_s) >= scene.matrix.settle_s
            settled = settled and not self._runs.waits_for(scene.clock.utc_s())
            enough = bool(stop) or self._seen_enough(following, now_s - ended_s)
            if settled and quiet is not None and enough:
                well_s = now_s if self._runs.of_job else quiet
                return max(0.0, well_s - ended_s), stop
            await scene.clock.wait(LOOK_S)
            stop = await self._look(following, recovering=True) or stop
            if scene.leaving():
                self._tell("drill", "", "nobody waits until all are well again")
                return None, stop
            if not resumed and now_s - ended_s >= RESUME_S:
                resumed = await self._resume(following)
        quiet, awaited = self._quiet_since_s(following), self._runs.waits_for(scene.clock.utc_s())
        if quiet is not None and not awaited:  # well at the end, if not for as long as it should be
            return max(0.0, quiet - ended_s), stop
        if not self._heard:  # then it is not the fault that it does not recover from
            self._tell("drill", "", f"not well, with no fault: {', '.join(following.unwell())}")
            return None, stop
        if awaited:
            self._tell("drill", "", f"not well again in time: {awaited}")
        self._unrecovered = unrecovered_of(
            scene.plan, following, scene.doubt, waited_s=self._passed_s() - ended_s,
            away_s=scene.watch.away_s,
        )  # fmt: skip
        for each in self._unrecovered:
            self._tell("drill.not_recovered", each.zone, each.in_words)
        return None, stop

    def _quiet_since_s(self, following: Following) -> float | None:
        """Return since when all are well; None: they are not, or it cannot be seen."""
        return None if self.scene.watch.away_s else following.quiet_since_s

    def _seen_enough(self, following: Following, waited_s: float) -> bool:
        """Return whether all can be judged, or waiting for it has been long enough."""
        waiting = following.unproven(self.scene.doubt)
        return not waiting or waited_s >= self.scene.matrix.settle_s + EVIDENCE_S

    async def _resume(self, following: Following) -> bool:
        """Resume zones that halted; return whether there were any."""
        scene = self.scene
        kinds = {zone.name for zone in scene.plan.zones}
        halted = [zone for zone in following.halted() if zone in kinds]
        for zone in halted:
            with contextlib.suppress(FiredoorError):
                await give_order(
                    scene.streams, scene.plan, zone, "resume",
                    because=f"drill {self.exercise.fault.id} is over", by="drill",
                    at_s=scene.clock.utc_s(),
                )  # fmt: skip
                self._tell("order", zone, "halted, and resumed by the drill")
        return bool(halted)

    async def _look(self, following: Following, *, recovering: bool = False) -> str:
        """Look once; return why the drill has to stop."""
        scene = self.scene
        look = await self._see(following)
        stop = await scene.stopped() or ("" if look is None else look.stop)
        faulted = self.exercise.fault.zone == BROKER
        if not stop and scene.watch.away_s > AWAY_MAX_S and not faulted and not recovering:
            stop = f"the broker has not answered for {scene.watch.away_s:.0f} s"
        if stop and stop != self._told_stop:
            self._told_stop = stop
            self._tell("drill", "", stop)
        return stop

    async def _see(self, following: Following) -> Look | None:
        """Take what is to be seen now; None: the broker does not answer."""
        look = await self.scene.watch.look()
        if look is None:
            return None
        at_s = self._passed_s()
        following.add(look.made, at_s)
        self._runs.add(look.jobs)
        for one in self._ours(look):
            if one.refused:
                self._refused = self._refused or one.refused
                continue
            if not self._heard:
                self._tell("fault", one.zone, f"injected by {one.process}")
            self._heard = True
            if one.hits:
                self._hits[one.process] = max(one.hits, self._hits.get(one.process, 0))
        for zone in following.hurt() - self._hurt:
            self._hurt.add(zone)
            self._tell("hurt", zone, "first seen hurt")
        return look

    def _ours(self, look: Look) -> list[Injected]:
        """Return what is said of this fault."""
        return [one for one in look.injected if one.id == self.exercise.fault.id]

    def _injected(self, look: Look, *, everything: bool) -> bool:
        """Return whether somebody still says that they inject it, or anything at all."""
        found = look.injected if everything else self._ours(look)
        return any(not one.over and not one.refused for one in found)

    def _passed_s(self) -> float:
        """Return how long ago the injection was."""
        return self.scene.clock.now_s() - self._began_s

    def _tell(self, what: str, zone: str, text: str) -> None:
        """Note what the drill does or sees."""
        moment = Moment(at_s=self.scene.clock.utc_s(), what=what, zone=zone, text=text)
        self._moments.append(moment)
        self.scene.note(moment)
