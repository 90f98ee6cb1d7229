"""What is kept of a service's rollouts, under ``rollout.SERVICE``.

State and counts seen are one value: after a restart no look is counted twice, and none is lost.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from firedoor.errors import StoreRefused, StreamsUnavailable, shorten
from firedoor.ports.streams import Streams
from firedoor.rollout.state import Heading, ServiceState, Target
from firedoor.spec.service_plan import ServicePlan
from firedoor.wire.evidence import Evidence
from firedoor.wire.route import Arm, Cutoffs, Route, decode_route, encode_route

LEASE_LEAST_S = 10.0
"""Down to which a time scale shortens the lease."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of ``rollout.SERVICE``."""

    state: ServiceState
    seen: dict[str, Evidence] = {}
    """By gateway, what it said when it was counted last."""
    handled: int = 0
    """Number of the last order that was seen to."""
    looked_s: float = 0.0
    """When the last look was; seconds since 1970."""
    waits: str = ""
    """Why it is where it is, in a sentence."""


def rollout_key(service: str) -> str:
    """Return the key of a service's rollouts."""
    return f"rollout.{service}"


def route_key(service: str) -> str:
    """Return the key of a service's route."""
    return f"route.{service}"


def encode_rollouts(kept: Kept) -> bytes:
    """Return it as JSON."""
    return msgspec.json.encode(kept)


def decode_rollouts(data: bytes) -> Kept:
    """Return what is kept.

    Raises:
        StoreRefused: if another version of firedoor wrote it.
    """
    try:
        return msgspec.json.decode(data, type=Kept)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = (
            f"the rollouts that are kept were written by another version of firedoor: "
            f"{shorten(str(error))}; go on with that one, or delete the value to begin anew with "
            "the registry's champion"
        )
        raise StoreRefused(message) from error


def arm_of(plan: ServicePlan, target: Target) -> Arm:
    """Return a version as gateways know it."""
    return Arm(model=plan.model.name, version=target.version, digest=target.digest)


def make_route(
    plan: ServicePlan, state: ServiceState, heading: Heading, *, at_s: float, because: str
) -> Route | None:
    """Return the route that a state means, without a generation; None: nobody is live."""
    if state.live is None:
        return None
    cutoffs = Cutoffs()
    if heading.cutoffs is not None:
        cutoffs = Cutoffs(q95_s=heading.cutoffs[0], q99_s=heading.cutoffs[1])
    return Route(
        service=plan.name,
        champion=arm_of(plan, state.live),
        candidate=None if heading.candidate is None else arm_of(plan, heading.candidate),
        previous=None if state.previous is None else arm_of(plan, state.previous),
        mode=heading.mode,
        rollout=heading.rollout,
        step=heading.step,
        weight=heading.weight,
        mirror=heading.mirror,
        salt=heading.rollout or plan.name,
        held_slices=heading.held_slices,
        cutoffs=cutoffs,
        lease_s=_lease_s(plan) if heading.weight else None,
        at_s=at_s,
        by="the rollout",
        because=because,
    )


def _lease_s(plan: ServicePlan) -> float:
    """Return how long gateways go on without a heartbeat; scaled, but never of a few beats only."""
    scaled_s = plan.rollout.lease_s / plan.rollout.time_scale
    return max(min(plan.rollout.lease_s, LEASE_LEAST_S), scaled_s)


class KeptRollouts:
    """The value in the broker, and what is known of it here."""

    def __init__(self, streams: Streams, service: str) -> None:
        """Read nothing yet."""
        self._streams = streams
        self._key = rollout_key(service)
        self._kept: Kept | None = None
        self._stored: bytes | None = None
        """What the broker holds, as far as is known."""
        self._sent: bytes | None = None
        """What it may hold since it went away while it was told so."""

    async def load(self, empty: ServiceState) -> tuple[Kept, bool]:
        """Return what is kept; from the broker the first time, and when that is not sure.

        Returns:
            It, and whether what was sent when the broker went away is what it holds.

        Raises:
            StreamsUnavailable: if the broker is away.
            StoreRefused: if another version of firedoor wrote it.
        """
        if self._kept is not None and self._sent is None:
            return self._kept, False
        found = await self._streams.get(self._key)
        taken = found is not None and found == self._sent
        self._kept = decode_rollouts(found) if found else Kept(state=empty)
        self._stored, self._sent = found, None
        return self._kept, taken

    async def save(self, kept: Kept) -> None:
        """Keep it, durably.

        Raises:
            StreamsUnavailable: if the broker is away, or another controller kept something else
                meanwhile. Load again: nothing may be done that follows from this.
        """
        data = encode_rollouts(kept)
        if data == self._stored:
            self._kept = kept
            return
        self._sent = data
        if not await self._streams.swap(self._key, data, self._stored):
            self._kept, self._stored, self._sent = None, None, None
            message = "another controller drives the rollouts of this service: going by its state"
            raise StreamsUnavailable(message)
        self._kept, self._stored, self._sent = kept, data, None


class RoutePost:
    """Sends the route, when it is another one."""

    def __init__(self, streams: Streams, plan: ServicePlan) -> None:
        """Read nothing yet."""
        self._streams = streams
        self._plan = plan
        self._sent: Route | None = None

    @property
    def generation(self) -> int:
        """Return the generation of the route as it is now; 0: none is known."""
        return 0 if self._sent is None else self._sent.generation

    async def load(self) -> None:
        """Read the route that there is, if it is not known.

        Raises:
            StreamsUnavailable: if the broker is away.
        """
        if self._sent is None:
            self._sent = _read(await self._streams.get(route_key(self._plan.name)))

    async def send(
        self, state: ServiceState, heading: Heading, now_s: float, *, followed: int = 0
    ) -> None:
        """Write the route that a state means, unless it is there.

        Args:
            state: of the service's rollouts.
            heading: where the one under way has got to.
            now_s: UTC.
            followed: the newest generation that a gateway follows. Where the broker's store was
                wiped, theirs is of the old one, and they follow none that is older.

        Raises:
            StreamsUnavailable: if the broker is away.
        """
        because = state.said[-1].because if state.said else ""
        route = make_route(self._plan, state, heading, at_s=now_s, because=because)
        if route is None:
            return
        await self.load()
        if self._sent is not None and _same(self._sent, route) and self.generation >= followed:
            return
        route = replace(route, generation=max(self.generation, followed) + 1)
        try:
            await self._streams.put(route_key(self._plan.name), encode_route(route))
        except StreamsUnavailable:
            self._sent = None
            raise
        self._sent = route


def _read(data: bytes | None) -> Route | None:
    """Return the route that there is; one that cannot be read is written anew."""
    try:
        return decode_route(data) if data else None
    except ValueError:
        return None


def _same(one: Route, other: Route) -> bool:
    """Return whether two routes lead requests the same way."""
    plain = {"generation": 0, "at_s": 0.0, "by": "", "because": ""}
    return replace(one, **plain) == replace(other, **plain)
