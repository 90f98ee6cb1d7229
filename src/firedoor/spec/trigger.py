"""What has a job run: a person, a length of time, or something that has happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from firedoor.errors import DeclarationError
from firedoor.flow.triggers import QUIET_S, TriggerPlan
from firedoor.spec.checking import check_number
from firedoor.units import parse_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from firedoor.spec.reads import Known
    from firedoor.spec.zone import Zone

    Event: TypeAlias = Zone | Callable[..., object] | str

EVERY_S = (1, 366 * 86_400)
QUIET_MAX_S = 86_400
EVENTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Trigger:
    """When a job runs. ``fd.manual``: when somebody says ``firedoor job run NAME``."""

    kind: Literal["manual", "every", "on"]
    every_s: float = 0.0
    events: tuple[Event, ...] = ()
    quiet_s: float = QUIET_S


manual = Trigger("manual")


def every(interval: float | str) -> Trigger:
    """Have a job run again and again: when its last run began so long ago, however that ended.

    ``firedoor job watch`` and ``firedoor up`` run it. A run that takes longer is waited for, and
    what would have been due meanwhile is due once.

    Args:
        interval: seconds, or ``"15min"``, ``"12h"``, ``"1d"``, ``"1w"``; 1 second to 366 days.

    Raises:
        DeclarationError: if it is something else.
    """
    every_s = parse_interval("every", interval)
    check_number("every", every_s, *EVERY_S, "seconds")
    return Trigger("every", every_s=every_s)


def on(*events: Event, quiet_s: float = QUIET_S) -> Trigger:
    """Have a job run when something has happened.

    * of a job: once for each run of it that ends well. Where several have ended meanwhile, one run
      stands for all of them, and its record names them;
    * of a sink that writes files: when they have changed since the job's last run, and were quiet
      for a while or the pipeline's run has ended.

    ``firedoor job watch`` and ``firedoor up`` run it.

    Args:
        events: jobs and sinks; any of them.
        quiet_s: how long the files of a sink must have been as they are.

    Raises:
        DeclarationError: if that is no length of time, or nothing is named.
    """
    check_number("quiet_s", quiet_s, 0, QUIET_MAX_S, "seconds")
    if not 0 < len(events) <= EVENTS_MAX:
        why = f"is not 1 to {EVENTS_MAX} jobs and sinks"
        raise DeclarationError("on", events, why, "write fd.on(train) or fd.on(store)")
    return Trigger("on", events=events, quiet_s=float(quiet_s))


def plan_trigger(trigger: object, known: Known) -> TriggerPlan:
    """Return a trigger as a plain value.

    Args:
        trigger: as the user wrote it.
        known: the zones and jobs that it can mean.

    Raises:
        DeclarationError: if it is none, or waits for what never happens.
    """
    if not isinstance(trigger, Trigger):
        remedy = 'write trigger=fd.manual, fd.every("1d") or fd.on(...)'
        raise DeclarationError("trigger", trigger, "is no trigger that there is", remedy)
    if trigger.kind != "on":
        return TriggerPlan(kind=trigger.kind, every_s=trigger.every_s)
    jobs: list[str] = []
    sinks: list[str] = []
    for event in trigger.events:
        name, kept = _meant(event, known, jobs, sinks)
        if name in kept:
            raise DeclarationError("on", name, "is named twice", "name it once")
        kept.append(name)
    return TriggerPlan(kind="on", jobs=tuple(jobs), sinks=tuple(sinks), quiet_s=trigger.quiet_s)


def _meant(event: Event, known: Known, jobs: list[str], sinks: list[str]) -> tuple[str, list[str]]:
    """Return the name of what is waited for, and the list that it belongs to."""
    named = [name for name, step in known.jobs.items() if step is event or name == event]
    if len(named) > 1:
        why = f"is the function of several jobs: {', '.join(named)}"
        raise DeclarationError("on", event, why, "name the job")
    if named:
        return named[0], jobs
    zones = [zone for zone in known.zones.values() if zone is event or zone.name == event]
    if zones and zones[0].folder:
        return zones[0].name, sinks
    there = [*known.jobs, *(zone.name for zone in known.zones.values() if zone.folder)]
    remedy = f"wait for one of: {', '.join(there)}" if there else "declare that job or sink first"
    why = "is no job and no sink that writes Parquet files, of those that are declared so far"
    raise DeclarationError("on", getattr(event, "name", event), why, remedy)
