"""A drill from its warm-up to its report."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from firedoor.compose.drill_books import Books
from firedoor.compose.drill_exercise import LOOK_S, Injecting, Scene
from firedoor.compose.drill_ledger import Chronicle
from firedoor.compose.drill_lock import DrillLock
from firedoor.compose.drill_stage import stage_of
from firedoor.compose.drill_watch import Watch
from firedoor.compose.vetting import counted
from firedoor.drill.assembling import doubt_for
from firedoor.drill.cell import missed
from firedoor.drill.following import summed
from firedoor.drill.judging import Doubt
from firedoor.drill.matrix import Matrix
from firedoor.drill.measured import Measured
from firedoor.drill.permission import Environment, why_not
from firedoor.drill.planning import Exercise, observed, plan_exercises
from firedoor.drill.report import Moment, Report, Row
from firedoor.drill.scoring import exit_code, in_words, joined, mark_known, score
from firedoor.drill.spending import Remaining, Spending, too_dear, unknown
from firedoor.drill.stage import END_TO_END, Stage
from firedoor.drill.worsening import control_of
from firedoor.errors import DrillRefused, StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan

WARM_UPS_MAX = 3
"""Warm-ups that a pipeline is given to keep what it promises."""
BASELINE_S = 2.0
"""Before the warm-up, in which processes are heard for the first time."""
Note = Callable[[Moment], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Who drills, where, and what is allowed."""

    drill: str
    """Names the drill: letters, digits and ``-``."""
    by: str
    because: str = ""
    environment: Environment = "development"
    allowed: bool = False
    """Whether a person allowed it in production."""
    version: str = ""
    """Of firedoor."""


@dataclass(slots=True, kw_only=True)
class Drill:
    """One drill."""

    streams: Streams
    plan: Plan
    clock: Clock
    matrix: Matrix
    setting: Setting
    note: Note = lambda moment: None  # noqa: ARG005
    halted: Callable[[], str] = lambda: ""
    """Why nobody may drill here, asked each second: the file CHAOS_STOP; empty: one may."""
    remaining: tuple[Remaining, ...] = ()
    """What is left of error budgets, as far as somebody judges that."""
    _stop: str = ""
    _leave: bool = False
    """Whether not even the recovery is waited for."""
    _rows: list[Row] = field(default_factory=list)

    def stop(self, because: str) -> None:
        """Have it take back what is injected, and end."""
        self._stop = self._stop or because

    def interrupt(self, because: str) -> None:
        """Have it end: the first time when all is well again, the second time at once."""
        self._leave = bool(self._stop)
        self.stop(because)

    async def run(self) -> Report:
        """Do everything that is asked for, and return what was found.

        Raises:
            DeclarationError: for a matrix that does not fit the pipeline.
            DrillRefused: where nothing may be injected.
            ProjectBusy: if another drill is at work.
            StreamsUnavailable: if the broker is away before anything began.
        """
        stage, setting = stage_of(self.plan), self.setting
        exercises = plan_exercises(self.matrix, stage, drill=setting.drill, allowed=setting.allowed)
        self._refuse(exercises, stage)
        began_s = self.clock.utc_s()
        lock = DrillLock(drill=setting.drill, by=setting.by, clock=self.clock)
        await lock.take(self.streams)
        chronicle = Chronicle(
            streams=self.streams, clock=self.clock, drill=setting.drill, by=setting.by
        )
        words = f"drill {setting.drill} begins: {counted(len(exercises), 'fault')}, one at a time"
        await chronicle.note("drill", "began", words, because=setting.because)
        scene, why = await self._set(stage, len(exercises), began_s, lock, chronicle)
        if scene is not None:
            await self._all(exercises, scene, lock)
        names = observed(self.matrix, stage)
        report = await chronicle.completed(self._report(began_s, names, why))
        code = "broken_off" if self._stop else "ended"
        words = f"drill {setting.drill} is over: {report.verdict}"
        facts: dict[str, str | int | float] = {"exit_code": report.exit_code}
        await chronicle.note("drill", code, words, because=self._stop, facts=facts)
        return report

    async def _set(
        self, stage: Stage, exercises: int, began_s: float, lock: DrillLock, chronicle: Chronicle
    ) -> tuple[Scene | None, str]:
        """Return what all exercises need, the warm-up included; or None, and why there is none."""
        watch = Watch(streams=self.streams, clock=self.clock, began_s=began_s)
        books = Books(streams=self.streams, plan=self.plan, clock=self.clock)
        names = observed(self.matrix, stage)
        doubt = doubt_for(
            doubt=self.matrix.doubt, cells=exercises * len(names), units_min=self.matrix.units_min
        )
        looks, why = await self._steady(watch, lock, stage, names, doubt)
        if not why and not await books.begin():
            why = "the broker does not give the books"
        if why:
            return None, why
        scene = Scene(
            streams=self.streams, plan=self.plan, stage=stage, clock=self.clock, watch=watch,
            books=books, matrix=self.matrix, observed=names, before=summed(looks), doubt=doubt,
            control=control_of(looks, chance=doubt.chance),
            spending=Spending(stage=stage, remaining=self.remaining),
            production=self.setting.environment == "production",
            chronicle=chronicle, stopped=lambda: self._hold(lock), leaving=lambda: self._leave,
            note=self.note,
        )  # fmt: skip
        return scene, ""

    async def _all(self, exercises: Sequence[Exercise], scene: Scene, lock: DrillLock) -> None:
        """Run exercises one after the other, until the last or until the drill has to stop."""
        for exercise in exercises:
            if await self._hold(lock):
                return
            row, stop = await Injecting(scene, exercise).run()
            self._rows.append(row)
            if stop:
                self.stop(stop)
            elif not row.cleaned:
                self.stop(f"{row.fault} could not be taken back in {row.zone}")
            elif self.setting.environment == "production" and (row.aborted or row.unrecovered):
                self.stop(row.aborted or f"{row.name} left zones that are not well")

    async def _steady(
        self, watch: Watch, lock: DrillLock, stage: Stage, names: Sequence[str], doubt: Doubt
    ) -> tuple[list[Mapping[str, Measured]], str]:
        """Return what zones do in each second while nothing is injected, and why nothing may be.

        A zone that misses what it promises already would be judged in no row. It is given time.
        """
        looks, sick = list[Mapping[str, Measured]](), ""
        for _ in range(WARM_UPS_MAX):
            looks = await self._warm_up(watch, lock, names)
            before = summed(looks)
            why = self._stop or self._too_idle(before, names)
            told = [
                missed(stage.seat(name), before[name], doubt) for name in names if name in before
            ]
            sick = "; ".join(filter(None, told))
            if why or not sick:
                return looks, why
            self._tell(f"nothing is injected, and {sick}: it is given time")
        why = (
            f"nothing was injected, and {sick}: that is no fault's doing, and proves nothing; mend "
            "it first (firedoor slo), or drill on a machine that is less busy"
        )
        return looks, why

    async def _warm_up(
        self, watch: Watch, lock: DrillLock, names: Sequence[str]
    ) -> list[Mapping[str, Measured]]:
        """Return what zones do in each second while nothing is injected."""
        self._tell(f"warm-up of {self.matrix.warm_up_s:g} s: {', '.join(names)}")
        await watch.begin()
        await self.clock.wait(BASELINE_S)
        await watch.look()
        looks: list[Mapping[str, Measured]] = []
        began_s = self.clock.now_s()
        while not self._stop and self.clock.now_s() - began_s < self.matrix.warm_up_s:
            await self.clock.wait(LOOK_S)
            await self._hold(lock)
            look = await watch.look()
            if look is not None:
                looks.append(look.made)
                if look.stop:
                    self.stop(look.stop)
        return looks

    async def _hold(self, lock: DrillLock) -> str:
        """Go on being the only one; return why to stop; empty: it goes on."""
        why = self.halted()
        if why:
            self.stop(why)
        try:
            taken = await lock.renew(self.streams)
        except StreamsUnavailable:
            return self._stop  # it is claimed again when the broker is back
        if taken:
            self.stop(f"{taken} has taken over")
            self._leave = True
        return self._stop

    def _refuse(self, exercises: Sequence[Exercise], stage: Stage) -> None:
        """Refuse what may not be injected, before anything is.

        Raises:
            DrillRefused: with who refuses, and what to do.
        """
        halted = self.halted()
        if halted:
            raise DrillRefused(halted)
        for exercise in exercises:
            seat = stage.seat(exercise.fault.zone)
            why = why_not(
                exercise.fault, zone_kind=seat.kind, environment=self.setting.environment,
                drills=seat.allows,
            )  # fmt: skip
            if why:
                message = f"{exercise.row}: {why}"
                raise DrillRefused(message)
        self._refuse_dear(exercises, stage)

    def _refuse_dear(self, exercises: Sequence[Exercise], stage: Stage) -> None:
        """Refuse what could spend too much of an error budget; in development say so."""
        dear = too_dear(exercises, stage, self.remaining)
        if self.setting.environment == "production":
            for zone, indicator in unknown(stage, self.remaining):
                message = (
                    f"what is left of the error budget of {zone} for {indicator} is not known: see "
                    "that it runs, and that somebody judges it (firedoor slo)"
                )
                raise DrillRefused(message)
            if dear:
                raise DrillRefused(dear[0])
        elif dear:
            more = f" (and {len(dear) - 1} more)" if len(dear) > 1 else ""
            self._tell(f"in production this would be refused: {dear[0]}{more}")

    def _too_idle(self, before: Mapping[str, Measured], names: Sequence[str]) -> str:
        """Return why nothing could be judged, however long one drills; empty: something could."""
        if not any(name in before for name in names):
            return "no zone says what it keeps: is the pipeline running, and by this version?"
        longest_s = self.matrix.for_s + self.matrix.recover_s
        counts = {name: before[name].availability.units for name in names if name in before}
        pace = longest_s / max(1.0, self.matrix.warm_up_s)
        if any(count * pace >= self.matrix.units_min for count in counts.values()):
            return ""
        busiest = max(counts, key=lambda name: counts[name])
        return (
            f"the pipeline is too idle to judge: the busiest zone, {busiest}, worked on "
            f"{counts[busiest]:,} rows in {self.matrix.warm_up_s:g} s, and {self.matrix.units_min} "
            "are needed while a fault is injected; give it load, or lower units_min"
        )

    def _report(self, began_s: float, names: Sequence[str], why_not_begun: str) -> Report:
        """Return what was found."""
        by_name: dict[str, list[Row]] = {}
        for row in self._rows:
            by_name.setdefault(row.name, []).append(row)
        today = datetime.fromtimestamp(self.clock.utc_s(), UTC).date().isoformat()
        rows, expired, mended = mark_known(
            [joined(same) for same in by_name.values()], self.matrix.known, today
        )
        scored = score(rows)
        code = exit_code(rows, scored, stopped=self._stop)
        words = in_words(rows, scored, code, self._stop)
        if why_not_begun and not self._stop:
            words = f"not proven: {why_not_begun}"
        zones = {zone.name: zone.version[:12] for zone in self.plan.zones}
        zones |= {service.name: service.version[:12] for service in self.plan.services}
        return Report(
            drill=self.setting.drill,
            pipeline=self.plan.pipeline,
            environment=self.setting.environment,
            by=self.setting.by,
            because=self.setting.because,
            began_s=began_s,
            ended_s=self.clock.utc_s(),
            zones=(*names, *self._jobs_seen(rows), END_TO_END),
            rows=rows,
            score=scored,
            exit_code=code,
            verdict=words,
            stopped=self._stop,
            doubt=self.matrix.doubt,
            settings={
                "warm_up_s": self.matrix.warm_up_s, "for_s": self.matrix.for_s,
                "recover_s": self.matrix.recover_s, "settle_s": self.matrix.settle_s,
                "seeds": self.matrix.seeds, "units_min": self.matrix.units_min,
            },
            versions={"firedoor": self.setting.version, **zones},
            matrix=digest_of(self.matrix),
            expired=expired,
            mended=mended,
        )  # fmt: skip

    def _jobs_seen(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """Return the jobs of which a run fell into some exercise: they have a column."""
        seen = {cell.zone for row in rows for cell in row.cells}
        return tuple(job.name for job in self.plan.jobs if job.name in seen)

    def _tell(self, text: str) -> None:
        self.note(Moment(at_s=self.clock.utc_s(), what="drill", text=text))


def digest_of(matrix: Matrix) -> str:
    """Return what tells matrices apart; who answers for known breaches does not."""
    asked = msgspec.structs.replace(matrix, known=())
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()[:16]
