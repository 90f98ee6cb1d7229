"""Ask for a fault, and refuse what cannot be injected."""

from __future__ import annotations

from firedoor.bounds import within
from firedoor.drill.catalogue import fault_kind, faults_of
from firedoor.drill.fault import LEASE_MAX_S, Fault
from firedoor.drill.fault_kind import SHARE_MIN, FaultKind, ZoneKind
from firedoor.errors import DeclarationError


def make_fault(
    name: str,
    *,
    zone: str,
    zone_kind: ZoneKind,
    drill: str,
    number: int = 1,
    intensity: float | None = None,
    share: float | None = None,
    column: str = "",
    seed: int = 0,
    allowed: bool = False,
    has_step: bool = True,
) -> Fault:
    """Return a fault to inject, with what the catalogue says where nothing is given.

    Args:
        name: of the catalogue.
        zone: where; ``broker`` and ``control`` are zones here.
        zone_kind: what kind of zone that is.
        drill: who wants it.
        number: which fault of that drill.
        intensity: in the catalogue's unit.
        share: of what is hit, 0 to 1.
        column: which one, where the fault is about one.
        seed: chance.
        allowed: whether a person allowed it in production.
        has_step: whether code of a user's runs in the zone.

    Raises:
        DeclarationError: for anything that cannot be injected there.
    """
    kind = fault_kind(name)
    fault = Fault(
        id=f"{drill}-{number}",
        drill=drill,
        name=name,
        of=kind.of,
        zone=zone,
        by=kind.by(zone),
        intensity=kind.usual if intensity is None else intensity,
        share=kind.share if share is None else share,
        column=column,
        seed=seed,
        allowed=allowed,
    )
    check_fault(fault, zone_kind, has_step=has_step)
    return fault


def check_fault(fault: Fault, zone_kind: ZoneKind, *, has_step: bool = True) -> FaultKind:
    """Return the catalogue's entry of a fault that can be injected in such a zone.

    Raises:
        DeclarationError: for one that is unknown, out of range, or not for such a zone.
    """
    kind = fault_kind(fault.name)
    possible = faults_of(zone_kind, has_step=has_step)
    if kind not in possible:
        names = ", ".join(each.name for each in possible)
        what = zone_kind if zone_kind not in kind.kinds else f"{zone_kind} without code of yours"
        why = f"cannot be injected in {fault.zone!r}, which is a {what}"
        raise DeclarationError("fault", fault.name, why, f"choose one of {names}")
    _check_intensity(fault, kind)
    _check_share(fault, kind)
    if fault.column and not kind.column:
        why = f"is a column, and {fault.name} is about none"
        raise DeclarationError("column", fault.column, why, "leave it out")
    within("seed", fault.seed, 0, 2**63 - 1, "as a whole number", whole=True)
    within("lease_s", fault.lease_s, 0, LEASE_MAX_S, "seconds")
    return kind


def _check_intensity(fault: Fault, kind: FaultKind) -> None:
    """Refuse a fault that is stronger or weaker than it may be."""
    if not kind.unit and fault.intensity != 1:
        why = f"is an intensity, and {fault.name} has none"
        raise DeclarationError("intensity", fault.intensity, why, "leave it out")
    within("intensity", fault.intensity, kind.low, kind.high, kind.unit or "as it has none")


def _check_share(fault: Fault, kind: FaultKind) -> None:
    """Refuse a share of what cannot be hit in part, or too large a one."""
    if not kind.of_what and fault.share != 1:
        why = f"is a share, and {fault.name} hits all there is"
        raise DeclarationError("share", fault.share, why, "leave it out")
    within("share", fault.share, SHARE_MIN, kind.share_max, f"of the {kind.of_what or 'zone'}")
