"""What became of jobs in an exercise: they run now and then, and are judged by runs, not by counts.

A fault in a job is felt by the run that it strikes. The job is well again once the next run, which
nothing strikes, has ended well. Other jobs are judged where a run of theirs fell into the exercise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from firedoor.drill.cell import Cell, Verdict
from firedoor.drill.planning import Exercise
from firedoor.drill.stage import Seat, Stage

OPEN = "running"
CUT_SHORT = frozenset({"lost", "cancelled"})
"""Ended from outside: another run of the same goes on with it."""
FOLLOW_S = 15.0
"""In which jobs that follow one that ended well are waited for: one may have nothing to do."""
TOLD_MAX = 6
"""Runs of a job that are told of, the latest."""


class RunSaid(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run, as whoever supervises tells of it."""

    run: str
    """``train-3``."""
    started_s: float
    ended_s: float | None = None
    outcome: str = OPEN
    cause: str = ""
    tries: dict[str, int] = {}
    """How many attempts ended badly, by cause."""
    drilled: str = ""
    """Id of the fault that was wanted when it began; empty: none was."""
    changed: int = 0
    """Rows that a drill changed in what it read."""
    model: str = ""
    """The version that it made."""
    judges: str = ""
    verdict: str = ""

    @property
    def answered(self) -> bool:
        """Whether it came to an end of its own."""
        return self.outcome not in {OPEN, *CUT_SHORT}

    @property
    def in_words(self) -> str:
        """Return how it ended: ``train-3 ended well (killed 1)``."""
        tries = ", ".join(f"{cause} {count}" for cause, count in self.tries.items())
        how = {"done": "ended well", OPEN: "is at work"}.get(self.outcome, self.outcome)
        more = tries if self.outcome == "done" else self.cause
        changed = f", {self.changed:,} rows of what it read were changed" if self.changed else ""
        return f"{self.run} {how}" + (f" ({more})" if more else "") + changed


class JobSaid(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of the beat ``runs.JOB``: the latest runs of a job, the latest last."""

    job: str
    runs: tuple[RunSaid, ...] = ()


@dataclass(slots=True)
class RunsSeen:
    """The runs of jobs in one exercise."""

    stage: Stage
    exercise: Exercise
    began_s: float
    """UTC, of the injection. Runs that had ended before are none of it."""
    _runs: dict[str, dict[str, RunSaid]] = field(default_factory=dict)

    def add(self, said: Iterable[JobSaid]) -> None:
        """Take what is said of jobs now."""
        names = {seat.name for seat in self.stage.jobs}
        for job in said:
            if job.job not in names:
                continue
            known = self._runs.setdefault(job.job, {})
            for run in job.runs:
                if run.ended_s is None or run.ended_s >= self.began_s:
                    known[run.run] = run

    @property
    def of_job(self) -> bool:
        """Whether it is a job that is faulted."""
        return any(seat.name == self.exercise.fault.zone for seat in self.stage.jobs)

    @property
    def answered(self) -> bool:
        """Whether a run that was struck has come to an end of its own."""
        return any(run.answered for run in self._struck())

    def waits_for(self, now_s: float) -> str:
        """Return what is waited for, in words; empty: nothing.

        That is, where a job is faulted, a good run of it, the end of all that are at work, and runs
        of the jobs that follow it.

        Args:
            now_s: UTC.
        """
        if not self.of_job:
            return ""
        if self._good() is None:
            return f"a good run of {self.exercise.fault.zone}"
        runs = [run for runs in self._runs.values() for run in runs.values()]
        at_work = [run.run for run in runs if run.outcome == OPEN]
        if at_work:
            return f"the end of {', '.join(at_work)}"
        awaited = self._awaited(now_s)
        return f"runs of {', '.join(awaited)}" if awaited else ""

    def cells(self, why_void: str) -> list[Cell]:
        """Return a cell for each job of which a run fell into the exercise, or had to.

        Args:
            why_void: why the exercise proves nothing; empty: it does.
        """
        made = []
        for seat in self.stage.jobs:
            if seat.name == self.exercise.fault.zone:
                made.append(_cell(seat, *self._faulted(why_void)))
            elif not why_void:
                found = self._other(seat)
                if found is not None:
                    made.append(_cell(seat, *found))
        return made

    # ---- the faulted job

    def _struck(self) -> list[RunSaid]:
        """Return its runs under the fault, the first first."""
        runs = self._of(self.exercise.fault.zone)
        return [run for run in runs if run.drilled == self.exercise.fault.id]

    def _good(self) -> RunSaid | None:
        """Return the run of it that ended well after the last one that was struck."""
        struck = self._struck()
        if not struck:
            return None
        for run in self._of(self.exercise.fault.zone):
            later = run.started_s > struck[-1].started_s
            if later and run.outcome == "done" and not run.drilled:
                return run
        return None

    def _faulted(self, why_void: str) -> tuple[Verdict, str]:
        """Return the verdict on the faulted job."""
        if why_void:
            return "no_evidence", why_void
        struck, good = self._struck(), self._good()
        if not struck:
            return "no_evidence", "no run of it began while the fault was wanted"
        told = ", ".join(run.in_words for run in struck)
        if good is None:
            latest = self._of(self.exercise.fault.zone)[-1]
            after = f"; then {latest.in_words}" if latest not in struck else ""
            return "breach", f"{told}{after}: no run ended well in time after the fault"
        unjudged = self._unjudged()
        if unjudged:
            return "no_evidence", f"{told}: nothing judged {unjudged}, which the drill has spoilt"
        unhurt = struck[-1].outcome == "done" and not struck[-1].changed
        return ("kept" if unhurt else "expected"), f"{told}; then {good.in_words}"

    # ---- the others

    def _awaited(self, now_s: float) -> list[str]:
        """Return the jobs that run after the faulted one, and have not yet."""
        after, good = self.stage.seat(self.exercise.fault.zone).after, self._good()
        since_s = 0.0 if good is None or good.ended_s is None else good.ended_s
        if now_s - since_s > FOLLOW_S and not self._unjudged():
            return []
        return [
            seat.name
            for seat in self.stage.jobs
            if seat.name in after
            and not any(run.answered and run.started_s >= since_s for run in self._of(seat.name))
        ]

    def _other(self, seat: Seat) -> tuple[Verdict, str] | None:
        """Return the verdict on another job; None: no run of it fell into the exercise."""
        runs = [run for run in self._of(seat.name) if run.outcome != OPEN]
        passed = [run for run in runs if self._let_pass(run)]
        if passed:
            judged = ", ".join(run.judges for run in passed)
            return "breach", f"it lets {judged} pass, which learnt from what the drill had changed"
        if not runs:
            return None
        told = "; ".join(_judgement(run) for run in runs)
        bad = [run for run in runs if run.outcome == "failed"]
        if not bad:
            return ("kept" if any(run.outcome == "done" for run in runs) else "expected"), told
        inside = seat.name in self.exercise.may_hurt
        return ("expected" if inside else "breach"), told

    def _changed(self) -> dict[str, RunSaid]:
        """Return the runs that learnt from what the drill had changed, by the version they made."""
        return {run.model: run for run in self._struck() if run.changed and run.model}

    def _let_pass(self, run: RunSaid) -> bool:
        """Return whether an evaluation let a model pass that learnt from what was changed."""
        return run.judges in self._changed() and run.verdict == "promote"

    def _unjudged(self) -> str:
        """Return the versions that learnt from what was changed and that nothing has judged."""
        judged = {
            run.judges for runs in self._runs.values() for run in runs.values() if run.verdict
        }
        return ", ".join(sorted(self._changed().keys() - judged))

    def _of(self, job: str) -> list[RunSaid]:
        """Return the runs of a job, the first first."""
        return sorted(self._runs.get(job, {}).values(), key=lambda run: run.started_s)


def _judgement(run: RunSaid) -> str:
    """Return how a run ended, and what it says of whom."""
    return run.in_words + (f", {run.verdict} {run.judges}" if run.verdict else "")


def _cell(seat: Seat, verdict: Verdict, why: str) -> Cell:
    """Return a cell that stands on runs."""
    cause = "own" if verdict in {"breach", "expected"} else ""
    return Cell(zone=seat.name, verdict=verdict, why=why, cause=cause)
