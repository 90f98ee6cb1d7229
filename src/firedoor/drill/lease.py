"""A fault as the place knows it that injects it: a lease, which ends there whatever happens.

It ends when the beat is gone (the broker forgets it 10 s after the drill's last), ``lease_s`` after
``renewal`` last rose (also where the broker cannot be asked), and ``LEASE_MAX_S`` after it began.
``lease_s=0`` is how a drill takes a fault back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from firedoor.drill.fault import LEASE_MAX_S, SUPERVISOR, Fault

PREFIX = "fault."
"""Of the keys of beats, before the name of a zone."""
POLL_S = 0.5
"""How often a zone's process looks whether it is to inject something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What was last heard of a fault, and when, by a clock that never jumps."""

    fault: Fault | None = None
    began_s: float = 0.0
    renewed_s: float = 0.0
    here: bool = False
    """Whether it was there when somebody last looked."""
    refused: str = ""
    """Why it is not injected here; empty: it may be."""


NOTHING = Lease()


def heard(lease: Lease, fault: Fault | None, now_s: float) -> Lease:
    """Return what is known after a look that was answered; None: there is no fault.

    One that is there again after it had gone goes on where it was: it does not begin anew.
    """
    if fault is None:
        return replace(lease, here=False) if lease.here else lease
    known = lease.fault
    if known is None or known.id != fault.id:
        return Lease(fault=fault, began_s=now_s, renewed_s=now_s, here=True)
    if fault.renewal <= known.renewal:
        return replace(lease, here=True)
    return replace(lease, fault=fault, renewed_s=now_s, here=True)


def refuse(lease: Lease, why: str) -> Lease:
    """Return a lease that is not injected here, and why."""
    return replace(lease, refused=why)


def ends_s(lease: Lease) -> float:
    """Return when it ends at the latest, if nothing more is heard; now or before: it is over."""
    if lease.fault is None:
        return lease.renewed_s
    return min(lease.renewed_s + lease.fault.lease_s, lease.began_s + LEASE_MAX_S)


def in_force(lease: Lease, now_s: float) -> Fault | None:
    """Return the fault that is to be injected now, if any is."""
    if not lease.here or lease.refused or now_s >= ends_s(lease):
        return None
    return lease.fault


def taken_back(fault: Fault) -> Fault:
    """Return what to beat to end a fault at once."""
    return msgspec.structs.replace(fault, lease_s=0.0, renewal=fault.renewal + 1)


def is_for(fault: Fault, *, supervisor: bool) -> bool:
    """Return whether it is the supervisor's, or the zone's own, to inject."""
    return (fault.by == SUPERVISOR) == supervisor
