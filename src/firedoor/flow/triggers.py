"""When a job with a trigger is due. Pure: records of runs in, a decision out.

Nothing is kept for this but the records of runs themselves: one that a trigger has begun says which
runs of other jobs it answers, and how far that look at them went. So a decision after a kill, on
another machine or after old records were pruned is the one that would have been made before.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from firedoor.units import format_interval

QUIET_S = 10.0
INTERRUPTED_MAX = 3
"""Runs in a row that were ended from outside, after which what they were for counts as answered."""
INTERRUPTED = frozenset({"cancelled", "lost"})
RUNS_MAX = 100
"""Runs that one answers and names in its record, the latest; the count is of all."""
NAMED_MAX = 3


class TriggerPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a job runs by itself."""

    kind: Literal["manual", "every", "on"] = "manual"
    every_s: float = 0.0
    jobs: tuple[str, ...] = ()
    """Once for each run of these that ends well."""
    sinks: tuple[str, ...] = ()
    """When the files of these have changed, and are quiet."""
    quiet_s: float = QUIET_S

    @property
    def words(self) -> str:
        """Say it as a person would."""
        if self.kind == "every":
            return f"every {format_interval(self.every_s)}"
        return f"on {', '.join((*self.jobs, *self.sinks))}" if self.kind == "on" else "manual"


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far runs of a job were looked at."""

    upto: int = 0
    """The greatest number that there was."""
    open: tuple[int, ...] = ()
    """Those that were at work then: they are not answered yet."""

    def covers(self, number: int) -> bool:
        """Return whether a run had ended when they were looked at."""
        return number <= self.upto and number not in self.open


class Because(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What had a run begin that no person asked for."""

    trigger: Literal["every", "on", "drill"]
    said: str
    """In words."""
    runs: tuple[str, ...] = ()
    """Runs of other jobs that it stands for, the one that is meant last."""
    sinks: tuple[str, ...] = ()
    """Sinks whose files had changed."""
    marks: dict[str, Mark] = {}
    drill: str = ""
    """The fault of a drill for which it was begun, see ``flow.drilled``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A run, as far as triggers care."""

    number: int
    outcome: str
    began_s: float
    ended_s: float = 0.0
    because: Because | None = None
    drilled: str = ""
    """The fault of a drill that was wanted of the job when it began."""
    seen: Mapping[str, str] = field(default_factory=dict)
    """Listing of each sink that is watched, when it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files of a sink, now."""

    listing: str
    """Hash over them; empty: there are none."""
    since_s: float
    """When the latest change was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a trigger looks at."""

    now_s: float
    past: Sequence[Past]
    """Runs of the job itself, in any order."""
    others: Mapping[str, Sequence[Past]] = field(default_factory=dict)
    """Runs of the jobs that it waits for, likewise."""
    sinks: Mapping[str, Files] = field(default_factory=dict)
    ended: bool = False
    """Whether the pipeline is not at work, so that no file is written any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A run that is to begin, and when; it is due once that time has come."""

    at_s: float
    because: Because


def due(trigger: TriggerPlan, sight: Sight) -> Due | None:
    """Return the next run that a trigger asks for; None: nothing is known of any.

    Nothing is, while a run of the job is at work: it waits for that one.
    """
    past = sorted(sight.past, key=lambda run: run.number, reverse=True)
    if trigger.kind == "manual" or any(run.outcome == "running" for run in past):
        return None
    if trigger.kind == "every":
        because = Because(trigger="every", said=trigger.words)
        return Due(at_s=_next_s(trigger.every_s, past, sight.now_s), because=because)
    return _on(trigger, past, sight)


def _next_s(every_s: float, past: Sequence[Past], now_s: float) -> float:
    """Return when the next run of an interval is due. Where the clock was set back, that is now."""
    if not past or past[0].began_s > now_s:
        return now_s
    return past[0].began_s + every_s


def answers(past: Sequence[Past]) -> Sequence[Past]:
    """Return runs, the latest first, without those that were ended before they could answer."""
    leading = list(
        itertools.takewhile(lambda run: run.because and run.outcome in INTERRUPTED, past)
    )
    return past[len(leading) :] if len(leading) < INTERRUPTED_MAX else past


def _on(trigger: TriggerPlan, past: Sequence[Past], sight: Sight) -> Due | None:
    """Return the run that others' ends and changed files ask for."""
    # One that was begun by hand, or by a drill, answers no other run.
    begun = answers([run for run in past if run.because and run.because.trigger != "drill"])
    told, past = begun[0].because if begun else None, answers(past)
    marks, runs, said, times = {}, [], [], []
    for job in trigger.jobs:
        others = sorted(sight.others.get(job, ()), key=lambda run: run.number)
        mark = told.marks.get(job) if told else None
        new = _unanswered(others, mark)
        at_work = tuple(run.number for run in others if run.outcome == "running")
        marks[job] = Mark(upto=others[-1].number if others else 0, open=at_work)
        if new:
            runs += [f"{job}-{run.number}" for run in new[-RUNS_MAX:]]
            said.append(_said(job, new))
            times.append(min(run.ended_s for run in new))
    changed = [name for name in trigger.sinks if _changed(name, past, sight)]
    quiet = {name: _quiet_s(trigger, sight.sinks[name], ended=sight.ended) for name in changed}
    soon = [name for name in changed if quiet[name] <= sight.now_s]
    times += quiet.values()
    if not times:
        return None
    said += [f"files of {name} have changed" for name in (soon if said else soon or changed)]
    because = Because(
        trigger="on", said="; ".join(said), runs=tuple(runs), sinks=tuple(soon), marks=marks
    )
    return Due(at_s=min(times), because=because)


def _unanswered(others: Sequence[Past], mark: Mark | None) -> list[Past]:
    """Return the runs that ended well and that nothing stands for yet."""
    highest = others[-1].number if others else 0
    if mark is not None and highest < mark.upto:
        mark = None  # somebody removed their records: numbers began anew
    good = (run for run in others if run.outcome == "done")
    return [run for run in good if mark is None or not mark.covers(run.number)]


def _said(job: str, new: Sequence[Past]) -> str:
    """Say which run is answered, and which others it stands for."""
    *before, meant = (f"{job}-{run.number}" for run in new)
    if not before:
        return f"{meant} ended well"
    more = f" and {len(before) - NAMED_MAX} more" if len(before) > NAMED_MAX else ""
    return f"{meant} ended well, and stands for {', '.join(before[-NAMED_MAX:])}{more} as well"


def _changed(sink: str, past: Sequence[Past], sight: Sight) -> bool:
    """Return whether a sink has other files than when the job began last."""
    listing = sight.sinks[sink].listing
    return bool(listing) and (not past or past[0].seen.get(sink) != listing)


def _quiet_s(trigger: TriggerPlan, files: Files, *, ended: bool) -> float:
    """Return when changed files count as whole."""
    return files.since_s if ended else files.since_s + trigger.quiet_s
