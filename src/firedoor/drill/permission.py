"""Whether a fault may be injected: in development all may, in production what was allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from firedoor.drill.choosing import check_fault
from firedoor.drill.fault import Fault
from firedoor.drill.fault_kind import ZoneKind
from firedoor.errors import DeclarationError

Environment = Literal["development", "production"]
ENVIRONMENTS: tuple[Environment, ...] = ("development", "production")
ENV = "FIREDOOR_ENVIRONMENT"
"""The variable that overrides what the pipeline declares."""
PRODUCTION_SHARE_MAX = 0.1
"""Of rows, batches, messages or requests that a fault may hit in production."""


def environment_of(declared: str, named: str, *, foreign_broker: bool) -> Environment:
    """Return in which environment a pipeline runs.

    Args:
        declared: by ``fd.Pipeline(environment=)``; empty: it is not.
        named: what ``FIREDOOR_ENVIRONMENT`` says; empty: nothing.
        foreign_broker: whether firedoor has not started the broker. Unless told, such a pipeline
            is in production.
    """
    for said in (named.strip().lower(), declared):
        if said == "development":
            return "development"
        if said:  # a word that nobody knows must not allow anything
            return "production"
    return "production" if foreign_broker else "development"


def why_not(
    fault: Fault, *, zone_kind: ZoneKind, environment: Environment, drills: Sequence[str]
) -> str:
    """Return why a fault may not be injected, with what to do; empty: it may.

    Args:
        fault: what is to be injected.
        zone_kind: where.
        environment: of the pipeline.
        drills: faults that the zone allows in production.
    """
    try:
        kind = check_fault(fault, zone_kind)
    except DeclarationError as error:
        return str(error)
    if environment == "development":
        return ""
    if not fault.allowed:
        return (
            f"{fault.zone} is in production: say --allow-production, or set {ENV}=development "
            "where it is not"
        )
    if fault.name not in drills:
        allowed = ", ".join(drills) or "none"
        return (
            f"{fault.zone} allows {allowed} in production: declare "
            f'drills=("{fault.name}", ...) where the zone is declared'
        )
    if kind.of_what and fault.share > PRODUCTION_SHARE_MAX:
        return (
            f"a share of {fault.share:g} of the {kind.of_what} is more than "
            f"{PRODUCTION_SHARE_MAX:g}, the most in production: give less"
        )
    return ""
