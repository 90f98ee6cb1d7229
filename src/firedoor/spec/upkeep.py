"""What those who look after a zone want to know: runbook, exemptions, dependencies, load."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from firedoor.spec.checking import check_bytes, check_number, check_text
from firedoor.spec.dependency import Depends, check_depends
from firedoor.spec.drills import check_drills
from firedoor.spec.exempt import Exempt, check_exempt
from firedoor.spec.plan import BATCH_MAX_BYTES, DependencyPlan, ExemptPlan, LoadPlan

PEAK_MAX = 1e9
BATCH_MAX_S = 86_400
RUNBOOK_MAX = 500


class ZoneUpkeep(TypedDict, total=False):
    """Keyword arguments of every zone."""

    runbook: str
    """What to do at a page: a URL, or a path relative to the pipeline's file. Default: the
    pipeline's."""
    exempt: Sequence[Exempt]
    """Rules of ``firedoor check`` that shall not count here, for a while."""
    drills: Sequence[str]
    """Faults that a drill may inject here in production. Default: the pipeline's."""


class SourceUpkeep(ZoneUpkeep, total=False):
    """Keyword arguments of a source."""

    peak: float
    """Rows a second at the busiest hour. Default: ``rate``."""


class StepUpkeep(ZoneUpkeep, total=False):
    """Keyword arguments of a zone with a step."""

    depends: Depends
    """Guards of what the step calls out of its zone; or ``fd.Dependency``, to say more."""
    batch_s: float
    """Seconds that a batch takes in the step."""
    batch_bytes: int | str
    """Size of a batch that waits for it."""


ZONE_UPKEEP = tuple(ZoneUpkeep.__annotations__)
OF_OTHERS = ("degrade", "models", "requires_quality")
"""Arguments that come among these and are neither upkeep nor limits of a wall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """The upkeep of one zone, checked."""

    runbook: str = ""
    exempt: tuple[ExemptPlan, ...] = ()
    depends: tuple[DependencyPlan, ...] = ()
    load: LoadPlan = field(default_factory=LoadPlan)
    drills: tuple[str, ...] = ()


def take_upkeep(
    given: Mapping[str, object], runbook: str = "", drills: tuple[str, ...] = ()
) -> tuple[Upkeep, dict[str, object]]:
    """Return the upkeep among keyword arguments, and the other arguments.

    Args:
        given: whatever was written.
        runbook: for zones that name none.
        drills: faults that may be injected in production, for zones that name none.

    Raises:
        DeclarationError: for anything that cannot be.
    """
    rest = {name: value for name, value in given.items() if name not in _UPKEEP}
    peak, batch_s, batch_bytes = (given.get(name) for name in ("peak", "batch_s", "batch_bytes"))
    if peak is not None:
        check_number("peak", peak, 0.001, PEAK_MAX, "rows a second")
    if batch_s is not None:
        check_number("batch_s", batch_s, 0.000_001, BATCH_MAX_S, "seconds a batch")
    load = LoadPlan(
        peak=_float(peak),
        batch_s=_float(batch_s),
        batch_bytes=None
        if batch_bytes is None
        else check_bytes("batch_bytes", batch_bytes, 1, BATCH_MAX_BYTES),  # type: ignore[arg-type]
    )
    named = given.get("runbook")
    upkeep = Upkeep(
        runbook=runbook if named is None else check_runbook(named),
        exempt=check_exempt(given.get("exempt", ())),
        depends=check_depends(given.get("depends", ())),
        load=load,
        drills=check_drills(given["drills"]) if "drills" in given else drills,
    )
    return upkeep, rest


def check_runbook(value: object) -> str:
    """Return where a runbook is. That it is there is found out by ``firedoor check``."""
    return check_text("runbook", value, length_max=RUNBOOK_MAX)


def declared_at() -> str:
    """Return ``file:line`` of the code outside of firedoor that is being called from."""
    frame = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("firedoor."):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _float(value: object) -> float | None:
    """Return a number that was checked, or None."""
    return float(value) if isinstance(value, int | float) else None


_UPKEEP = {*StepUpkeep.__annotations__, *SourceUpkeep.__annotations__, *OF_OTHERS}
