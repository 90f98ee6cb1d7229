"""Routes about rollouts, and what was changed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, HTTPException, Query
from fastapi import Path as InPath

from firedoor.api.bodies import (
    ChangeAnswer,
    ErrorAnswer,
    Given,
    Health,
    RolloutAnswer,
    RolloutBody,
)
from firedoor.api.desk import At, Desk, Reader, Writer
from firedoor.compose.rollout_desk import is_controlled, picture
from firedoor.compose.rollout_desk import order as give_and_wait
from firedoor.control.changes import changes
from firedoor.control.orders import give, read_orders
from firedoor.control.rollout_kept import rollout_key
from firedoor.errors import StoreRefused, StreamsUnavailable
from firedoor.spec.service_plan import ServicePlan
from firedoor.wire.rollout_order import RolloutOrder

WAIT_MAX_S = 30.0
VerbPath = Literal["start", "pause", "resume", "abort", "promote", "rollback"]
Service = Annotated[str, InPath(min_length=1, max_length=60, description="Name of the service.")]
REFUSED: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The body cannot be read."},
    401: {"model": ErrorAnswer, "description": "No token, or nobody's."},
    403: {"model": ErrorAnswer, "description": "The token only reads."},
    404: {"model": ErrorAnswer, "description": "There is no such thing; the answer says what is."},
    409: {"model": ErrorAnswer, "description": "It cannot be done as things are."},
    413: {"model": ErrorAnswer, "description": "The body is too large."},
    422: {"model": ErrorAnswer, "description": "A field is wrong; the answer says which."},
    503: {"model": ErrorAnswer, "description": "The broker is away: try again."},
}
rollouts_router = APIRouter(responses=REFUSED)


@rollouts_router.get("/healthz")
async def health(at: At) -> Health:
    """Say whether the API is at work; needs no token."""
    try:
        await at.streams().get("flags")
    except StreamsUnavailable:
        return Health(status="ok", broker=False)
    return Health(status="ok", broker=True)


@rollouts_router.get("/rollouts")
async def list_rollouts(at: At, _: Reader) -> list[RolloutAnswer]:
    """Show every service, its route, its rollout, and orders that wait."""
    return [await _rollout(at, service) for service in at.plan.services]


@rollouts_router.get("/rollouts/{service}")
async def show_rollout(service: Service, at: At, _: Reader) -> RolloutAnswer:
    """Show one service."""
    return await _rollout(at, at.service(service))


@rollouts_router.post("/rollouts/{service}/{verb}", status_code=202)
async def order_rollout(
    service: Service,
    verb: VerbPath,
    body: RolloutBody,
    at: At,
    who: Writer,
    wait_s: Annotated[
        float,
        Query(
            ge=0, le=WAIT_MAX_S, allow_inf_nan=False,
            description="How long to wait until it was seen to; one that is refused is 409 then.",
        ),
    ] = 0.0,
) -> Given:  # fmt: skip
    """Order something of a rollout; it is seen to within a second or so."""
    name = at.service(service).name
    if verb != "start" and (body.version is not None or body.supersede or body.override):
        told = "version, supersede and override are of `start`: leave them out"
        raise HTTPException(422, told)
    order = RolloutOrder(
        number=0,
        verb=verb,
        by=who.name,
        because=body.because,
        at_s=at.clock.utc_s(),
        version=body.version,
        supersede=body.supersede,
        override=body.override,
        second=body.second,
    )
    if not wait_s:
        number = await give(at.streams(), name, order)
        return Given(service=name, verb=verb, number=number, taken=False, said=[])
    taken = await give_and_wait(at.streams(), name, order, clock=at.clock, within_s=wait_s)
    if taken.refusal:
        raise HTTPException(409, f"order {taken.number} was refused: {taken.refusal}")
    said = [f"{one.what}: {one.because}" for one in taken.said]
    return Given(service=name, verb=verb, number=taken.number, taken=taken.taken, said=said)


@rollouts_router.get("/changes")
async def list_changes(
    at: At,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
    about: Annotated[str, Query(max_length=200, description="Of one flag or service.")] = "",
) -> list[ChangeAnswer]:
    """Show what was changed, the newest first: who, what, why."""
    found = await changes(at.streams(), limit, about=about)
    return [
        ChangeAnswer(
            at_s=change.at_s,
            by=change.by,
            because=change.because,
            what=change.what,
            about=change.about,
            before=change.before,
            after=change.after,
        )
        for change in found
    ]


async def _rollout(at: Desk, service: ServicePlan) -> RolloutAnswer:
    """Return what is known of one service; of what cannot be read, that it cannot."""
    streams, name = at.streams(), service.name
    try:
        why = (await picture(streams, service, now_s=at.clock.utc_s())).why
    except StoreRefused as error:
        why = str(error)
    orders = await read_orders(streams, name)
    return RolloutAnswer(
        service=name,
        why=why,
        controlled=await is_controlled(streams, name),
        route=_json(await streams.get(f"route.{name}")),
        state=_json(await streams.get(rollout_key(name))),
        orders=[msgspec.to_builtins(order) for order in orders.orders],
    )


def _json(value: bytes | None) -> dict[str, object] | None:
    """Return a value as it is kept; None for none, or what is no JSON."""
    try:
        return msgspec.json.decode(value, type=dict[str, object]) if value else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
