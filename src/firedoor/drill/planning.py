"""Make a plan of a matrix: which fault is injected where, in which order, and who may be hurt."""

from __future__ import annotations

from dataclasses import dataclass

from firedoor.drill.catalogue import fault_kind
from firedoor.drill.choosing import make_fault
from firedoor.drill.fault import Fault
from firedoor.drill.matrix import ALL, DOWNSTREAM, Asked, Matrix
from firedoor.drill.stage import BROKER, Seat, Stage
from firedoor.errors import DeclarationError

EXERCISES_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """One injection: a row of the matrix under one seed."""

    row: str
    """Names the row: ``kill in enrich``."""
    fault: Fault
    may_hurt: frozenset[str]
    """Who may be hurt, the faulted zone included."""
    may_starve: frozenset[str]
    """Who may wait for what the faulted zone does not make."""
    for_s: float
    because: str = ""

    def excuses(self, zone: str, indicator: str, cause: str) -> bool:
        """Return whether it is to be expected that a zone inherits so from somebody.

        A zone behind the faulted one waits for it, or for another that waits. One whose link is
        faulted takes it for the broker, or for its reader's inbox, and others hear that from it.
        """
        if indicator != "freshness" or zone not in self.may_starve:
            return False
        linked = self.fault.of == "link" and cause == BROKER
        return linked or cause in self.may_hurt or cause in self.may_starve


def plan_exercises(
    matrix: Matrix, stage: Stage, *, drill: str, allowed: bool = False
) -> tuple[Exercise, ...]:
    """Return what is to be done, in order: all seeds of a row, then the next row.

    Args:
        matrix: what is asked for.
        stage: where.
        drill: who does it: part of each fault's id.
        allowed: whether a person allowed it in production.

    Raises:
        DeclarationError: for a zone that is not there, a fault that cannot be injected in it, or
            one row twice.
    """
    for name in matrix.zones:
        stage.seat(name, field="zones")
    made: list[Exercise] = []
    seen: set[str] = set()
    for asked in matrix.rows:
        for seat in _seats(asked, stage):
            exercises = _of_row(matrix, asked, seat, stage, drill, len(made), allowed=allowed)
            row = exercises[0].row
            if row in seen:
                raise DeclarationError(
                    "rows", row, "is there twice", "drop one, or give another intensity or share"
                )
            seen.add(row)
            made += exercises
            if len(made) > EXERCISES_MAX:
                raise DeclarationError(
                    "rows", len(made), "is too much", f"give rows x seeds <= {EXERCISES_MAX}"
                )
    _check_known(matrix, stage)
    return tuple(made)


def observed(matrix: Matrix, stage: Stage) -> tuple[str, ...]:
    """Return who is observed, in the order of the pipeline."""
    return tuple(name for name in stage.names if not matrix.zones or name in matrix.zones)


def _seats(asked: Asked, stage: Stage) -> list[Seat]:
    """Return the zones of a row."""
    if asked.zone != ALL:
        zones = (asked.zone,) if isinstance(asked.zone, str) else asked.zone
        return [stage.seat(name) for name in zones]
    kind = fault_kind(asked.fault)
    found = [seat for seat in stage.targets if seat.kind in kind.kinds]
    if not found:
        why = f"can be injected in no zone of {stage.pipeline}"
        raise DeclarationError("fault", asked.fault, why, "drop the row")
    return found


def _of_row(
    matrix: Matrix,
    asked: Asked,
    seat: Seat,
    stage: Stage,
    drill: str,
    done: int,
    *,
    allowed: bool,
) -> list[Exercise]:
    """Return the exercises of a row in one zone."""
    hurt = {seat.name}
    for name in asked.may_hurt:
        hurt |= seat.after if name == DOWNSTREAM else {stage.seat(name, field="may_hurt").name}
    starving = {
        name
        for zone in hurt
        for name in stage.seat(zone).after
        if asked.may_starve and name != seat.name
    }
    return [
        Exercise(
            row=_name(asked, seat),
            fault=make_fault(
                asked.fault, zone=seat.name, zone_kind=seat.kind, drill=drill,
                number=done + place + 1, intensity=asked.intensity, share=asked.share,
                column=asked.column, seed=matrix.seed + place, allowed=allowed,
            ),
            may_hurt=frozenset(hurt),
            may_starve=frozenset(starving),
            for_s=matrix.for_s if asked.for_s is None else asked.for_s,
            because=asked.because,
        )
        for place in range(matrix.seeds)
    ]  # fmt: skip


def _name(asked: Asked, seat: Seat) -> str:
    """Return what names a row."""
    kind = fault_kind(asked.fault)
    more = []
    if asked.intensity is not None:
        more.append(f"{asked.intensity:g} {kind.unit}".strip())
    if asked.share is not None:
        more.append(f"{asked.share:.6g} of the {kind.of_what or 'zone'}")
    if asked.column:
        more.append(asked.column)
    return f"{asked.fault} in {seat.name}" + (f" ({', '.join(more)})" if more else "")


def _check_known(matrix: Matrix, stage: Stage) -> None:
    """Refuse known breaches of zones that are not there: nobody would notice that they are gone."""
    for known in matrix.known:
        stage.seat(known.zone, field="known.zone")
        if known.hurts != "end_to_end":
            stage.seat(known.hurts, field="known.hurts")
