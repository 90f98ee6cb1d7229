"""What a person may want of one zone while the pipeline runs.

Orders are kept in the streams and read by the zone itself: they hold whoever supervises it, and
across restarts. Nothing that is in flight is lost by any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from firedoor.compose.deploys import Deploy, Deployed, keep_deployed, read_deploy
from firedoor.compose.loading import load_plan
from firedoor.compose.project import Project
from firedoor.control.status import KEEPER_KEY, read_order, read_past, read_word
from firedoor.errors import DeclarationError, NotKnown, StoreRefused, StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.compat import fits_beside
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.records import GuardOrder, Order

Verb = Literal["pause", "resume", "drain", "restart"]
GuardVerb = Literal["open", "close", "reset"]
PAST_MAX = 50
LOOK_S = 0.2
DEPLOY_S = 120.0
"""The supervisor gives a new version 60 s, after it has noticed it."""


async def give_order(
    streams: Streams, plan: Plan, zone: str, verb: Verb, *, because: str, by: str, at_s: float
) -> Order:
    """Keep an order for a zone, which follows it within a second; return it.

    Raises:
        NotKnown: if there is no such zone.
        StreamsUnavailable: if the broker is away.
    """
    known_zone(plan, zone)
    before = read_order(await streams.get(f"order.{zone}")) or Order()
    again = verb in {"resume", "restart"}
    order = Order(
        want="pause" if verb == "pause" else "drain" if verb == "drain" else "run",
        generation=before.generation + again,
        restarts=before.restarts + (verb == "restart"),
        because=because,
        by=by,
        at_s=at_s,
        guards=before.guards,
    )
    await _keep(streams, zone, order)
    return order


async def order_guard(
    streams: Streams,
    plan: Plan,
    zone: str,
    guard: str,
    verb: GuardVerb,
    *,
    because: str,
    by: str,
    at_s: float,
) -> GuardOrder:
    """Keep an order for a guard of a zone's step, and note it among the past ones; return it.

    The zone's processes follow it with their next batch, those too that are started later.

    Raises:
        NotKnown: if there is no such zone, or its step depends on no such guard.
        StreamsUnavailable: if the broker is away.
    """
    known = [dependency.guard.name for dependency in known_zone(plan, zone).depends]
    if guard not in known:
        listed = f"it depends on {', '.join(known)}" if known else "it names none in depends="
        message = f"zone {zone} of {plan.pipeline} has no guard {guard!r}: {listed}"
        raise NotKnown(message)
    before = read_order(await streams.get(f"order.{zone}")) or Order()
    number = 1 + max((order.number for order in before.guards), default=0)
    order = GuardOrder(guard=guard, want=verb, number=number, because=because, by=by, at_s=at_s)
    others = tuple(other for other in before.guards if other.guard != guard)
    past = (*await read_past(streams, zone), order)[-PAST_MAX:]
    await streams.put(f"ordered.{zone}", msgspec.json.encode(past))
    await _keep(streams, zone, replace(before, guards=(*others, order)))
    return order


async def _keep(streams: Streams, zone: str, order: Order) -> None:
    """Keep an order.

    Raises:
        StreamsUnavailable: if the broker is away, or cannot store.
    """
    try:
        await streams.put(f"order.{zone}", msgspec.json.encode(order))
    except StreamsUnavailable as error:
        fault = read_word((await streams.beats(KEEPER_KEY)).get(KEEPER_KEY)).broker_fault
        if not fault:
            raise
        message = f"the order for {zone} could not be kept, since the broker cannot store: {fault}"
        raise StreamsUnavailable(message) from error


def known_zone(plan: Plan, zone: str) -> ZonePlan:
    """Return a zone's plan.

    Raises:
        NotKnown: if there is none of that name.
    """
    try:
        return plan.zone(zone)
    except KeyError:
        known = ", ".join(each.name for each in plan.zones)
        message = f"{plan.pipeline} has no zone {zone!r}: it has {known}"
        raise NotKnown(message) from None


def prepare_deploy(plan: Plan, zone: str, code: Path) -> Deployed:
    """Return a zone's new plan, loaded from another folder, if it fits beside the others.

    Args:
        plan: the pipeline that runs.
        zone: whose code is replaced.
        code: a folder with a file of the same name as the one that declares the pipeline.

    Raises:
        NotKnown: if there is no such zone or folder.
        PipelineUnloadable: if the file does not declare a pipeline.
        StoreRefused: if other zones or edges would be needed, or schemas do not fit.
    """
    known_zone(plan, zone)
    file = code.absolute() / Path(plan.file).name
    if not file.is_file():
        message = (
            f"{file} is not there: --code names a folder with a {file.name}, as {plan.file} is"
        )
        raise NotKnown(message)
    new = load_plan(file)
    if _shape(new) != _shape(plan):
        message = (
            f"{file} declares other zones or edges than the pipeline that runs "
            f"({_differences(plan, new)}): a deployment replaces one zone's code; start the "
            "pipeline anew for the rest"
        )
        raise StoreRefused(message)
    replaced = new.zone(zone)
    problems = fits_beside(plan, replaced)
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        message = f"the new {zone} does not fit beside the zones that run:{listed}"
        raise StoreRefused(message)
    return Deployed(zone=replaced, file=new.file, sys_path=new.sys_path)


async def deploy(
    streams: Streams,
    project: Project,
    plan: Plan,
    deployed: Deployed,
    *,
    by: str,
    clock: Clock,
    asked: Callable[[], None] = lambda: None,
    within_s: float = DEPLOY_S,
) -> Deploy:
    """Have the supervisor replace a zone's process; return what came of it.

    In-flight batches finish on the old version. If the new one does not get to work within a
    minute, the old one stays: then the state is ``failed``, and ``because`` says why.

    Raises:
        DeclarationError: if the version runs already.
        StreamsUnavailable: if nobody answers: the broker or the supervisor is away.
    """
    name, key = deployed.zone.name, f"deploy.{deployed.zone.name}"
    before = read_deploy(await streams.get(key))
    runs = declared = plan.zone(name).version
    if before is not None and before.state == "live" and before.before == declared:
        runs = before.version
    if deployed.zone.version == runs:
        code = str(Path(deployed.file).parent)
        remedy = "change the code, or run `firedoor zone restart` for a fresh process"
        raise DeclarationError("code", code, f"is version {runs}, which runs already", remedy)
    wanted = Deploy(
        version=deployed.zone.version,
        before=declared,
        file=str(Path(keep_deployed(project, deployed)).relative_to(project.folder)),
        code=str(Path(deployed.file).parent),
        by=by,
        at_s=clock.utc_s(),
    )
    await streams.put(key, msgspec.json.encode(wanted))
    asked()
    until_s = clock.now_s() + within_s
    while clock.now_s() < until_s:
        await clock.wait(LOOK_S)
        now = read_deploy(await streams.get(key))
        if now is not None and now.at_s == wanted.at_s and now.state != "wanted":
            return now
    message = (
        f"nobody has deployed {name} within {within_s:g} s: is the pipeline's supervisor at work? "
        "It will do so when it is; see `firedoor status`"
    )
    raise StreamsUnavailable(message)


def _shape(plan: Plan) -> tuple[object, ...]:
    """Return what a deployment must not change: the pipeline's name, zones, and edges.

    Whether a zone has a ladder decides which columns sinks write; a demand, where batches go.
    """
    zones = frozenset((zone.name, zone.kind, zone.ladder is not None) for zone in plan.zones)
    edges = frozenset((edge.name, edge.demand, edge.instead_of) for edge in plan.edges)
    return plan.pipeline, zones, edges


_DIFFERENTLY = (
    "a zone is of another kind, has a ladder where there was none or none where there was one, or "
    "sends batches elsewhere by their quality"
)


def _differences(old: Plan, new: Plan) -> str:
    """Return in what two pipelines differ."""
    if old.pipeline != new.pipeline:
        return f"it is called {new.pipeline!r}, not {old.pipeline!r}"
    was = {zone.name for zone in old.zones} | {edge.name for edge in old.edges}
    now = {zone.name for zone in new.zones} | {edge.name for edge in new.edges}
    more = [f"more: {', '.join(sorted(now - was))}"] if now - was else []
    less = [f"missing: {', '.join(sorted(was - now))}"] if was - now else []
    return "; ".join([*more, *less]) or _DIFFERENTLY
