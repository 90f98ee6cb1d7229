"""What people and CI ask of rollouts, and what is said of them: over the broker, from anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from firedoor.control.changes import changes
from firedoor.control.orders import give, read_orders
from firedoor.control.rollout_kept import Kept, decode_rollouts, rollout_key
from firedoor.errors import NotKnown, StoreRefused
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.rollout.state import ServiceState
from firedoor.rollout.telling import why_waiting
from firedoor.spec.plan import Plan
from firedoor.spec.service_plan import ServicePlan
from firedoor.wire.change import Change
from firedoor.wire.evidence import Evidence, decode_evidence
from firedoor.wire.rollout_order import RolloutOrder
from firedoor.wire.route import Route, decode_route

LOOK_S = 0.1
TAKEN_S = 10.0
"""The control process looks at orders at least each second."""
REFUSED = "order refused"
LOOKED_AT = 20
"""Changes of a service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of an order."""

    number: int
    taken: bool
    """Whether the control process has seen to it."""
    controlled: bool
    """Whether one speaks."""
    said: tuple[Change, ...] = ()
    """By the control process, since; the oldest first."""

    @property
    def refusal(self) -> str:
        """Why it was refused; empty: it was not."""
        return next((said.because for said in self.said if said.what == REFUSED), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """How the rollouts of a service are."""

    service: str
    route: Route | None
    state: ServiceState | None
    why: str
    """Why it waits, in a sentence: evidence so far against what it takes."""
    controlled: bool
    orders: tuple[RolloutOrder, ...] = ()
    """That nobody has seen to."""
    gateways: dict[str, Evidence] = field(default_factory=dict)
    """What each that speaks has counted."""


def known_service(plan: Plan, name: str) -> ServicePlan:
    """Return a service.

    Raises:
        NotKnown: if there is none of that name.
    """
    try:
        return plan.service(name)
    except KeyError:
        known = ", ".join(service.name for service in plan.services) or "none"
        message = f"{plan.pipeline} has no service {name!r}: it has {known}"
        raise NotKnown(message) from None


async def order(
    streams: Streams,
    service: str,
    wanted: RolloutOrder,
    *,
    clock: Clock,
    within_s: float = TAKEN_S,
) -> Taken:
    """Give an order, and wait until the control process has seen to it.

    Returns at once where none speaks: the order waits for one.

    Raises:
        StoreRefused: if too many orders wait.
        StreamsUnavailable: if the broker is away.
    """
    before = await changes(streams, LOOKED_AT, about=service)
    number = await give(streams, service, wanted)
    until_s = clock.now_s() + within_s
    while True:
        waits = any(one.number == number for one in (await read_orders(streams, service)).orders)
        controlled = await is_controlled(streams, service)
        if not waits:
            found = reversed(await changes(streams, LOOKED_AT, about=service))
            said = tuple(one for one in found if one not in before and not _is_order(one))
            return Taken(number=number, taken=True, controlled=controlled, said=said)
        if not controlled or clock.now_s() >= until_s:
            return Taken(number=number, taken=False, controlled=controlled)
        await clock.wait(LOOK_S)


async def picture(streams: Streams, service: ServicePlan, *, now_s: float) -> Picture:
    """Return how the rollouts of a service are.

    Args:
        streams: the pipeline's.
        service: which.
        now_s: seconds since 1970, UTC.

    Raises:
        StreamsUnavailable: if the broker is away.
        StoreRefused: if another version of firedoor wrote what is kept.
    """
    found, kept = await _kept(streams, service.name), await streams.get(f"route.{service.name}")
    beats = await streams.beats(f"evidence.{service.name}.")
    told = {key.rpartition(".")[2]: decode_evidence(value) for key, value in beats.items()}
    why = "nothing is rolled out"
    state = None if found is None else found.state
    if state is not None:
        labels, columns = bool(service.loss), len(service.slices)
        why = why_waiting(state, service.rollout, now_s, labels=labels, columns=columns)
    return Picture(
        service=service.name,
        route=None if kept is None else _route(service.name, kept),
        state=state,
        why=why,
        controlled=await is_controlled(streams, service.name),
        orders=(await read_orders(streams, service.name)).orders,
        gateways={name: one for name, one in told.items() if one is not None},
    )


async def is_controlled(streams: Streams, service: str) -> bool:
    """Return whether a control process speaks for a service."""
    return f"lease.{service}" in await streams.beats("lease.")


async def _kept(streams: Streams, service: str) -> Kept | None:
    """Return what is kept of a service's rollouts; None: there were none.

    Raises:
        StoreRefused: if another version wrote it.
    """
    value = await streams.get(rollout_key(service))
    return None if value is None else decode_rollouts(value)


def _route(service: str, value: bytes) -> Route:
    """Return a route.

    Raises:
        StoreRefused: if another version wrote it.
    """
    try:
        return decode_route(value)
    except ValueError as error:
        message = f"the route of {service} was kept by another version of firedoor: {error}"
        raise StoreRefused(message) from error


def _is_order(change: Change) -> bool:
    """Return whether a change is that somebody ordered something."""
    return change.what.endswith(" ordered")
