"""Replace one zone's code while the others run, and bring back the code before.

What is asked for is kept in the streams and done by the supervisor: batches in flight finish on the
version that has them, and if the other one does not get to work, all stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from firedoor.compose.deploys import (
    Deploy,
    Deployed,
    keep_deployed,
    live_deploy,
    past_with,
    read_deploy,
    read_deployed,
)
from firedoor.compose.loading import load_plan
from firedoor.compose.operating import known_zone
from firedoor.compose.project import Project
from firedoor.control.changes import record
from firedoor.errors import DeclarationError, NotKnown, StoreRefused, StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.compat import fits_beside
from firedoor.spec.plan import Plan
from firedoor.wire.change import Change
from firedoor.wire.shadow import read_shadow, shadow_key

LOOK_S = 0.2
DEPLOY_S = 120.0
"""The supervisor gives a new version 60 s, after it has noticed it."""


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
    because: str = "",
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
    name = deployed.zone.name
    runs = check_other(project, plan, deployed)
    wanted = Deploy(
        version=deployed.zone.version,
        before=plan.zone(name).version,
        file=str(Path(keep_deployed(project, deployed)).relative_to(project.folder)),
        code=str(deployed.folder),
        by=by,
        at_s=clock.utc_s(),
        past=past_with(project, plan, name, code=str(deployed.folder)),
    )
    change = Change(
        at_s=wanted.at_s,
        by=by,
        because=because,
        what="zone deployed",
        about=name,
        before=runs,
        after=wanted.version,
    )
    return await _ask(streams, name, wanted, change, clock=clock, asked=asked, within_s=within_s)


async def rollback(
    streams: Streams,
    project: Project,
    plan: Plan,
    zone: str,
    *,
    by: str,
    because: str,
    clock: Clock,
    asked: Callable[[], None] = lambda: None,
    within_s: float = DEPLOY_S,
) -> Deploy:
    """Have the supervisor bring back the code that was live before; return what came of it.

    It needs nothing of the code that is live now, which may be gone. Asked again, it goes back
    further.

    Raises:
        NotKnown: if there is no such zone, or none was live before, or its code is not there.
        StreamsUnavailable: if nobody answers: the broker or the supervisor is away.
    """
    declared = known_zone(plan, zone)
    live = live_deploy(project, declared)
    if live is None or not live.past:
        message = (
            f"{zone} runs version {declared.version if live is None else live.version}, and "
            "no other was live before it: `firedoor zone deploy` brings another one"
        )
        raise NotKnown(message)
    back = live.past[-1]
    if back.gone:
        message = (
            f"version {back.version} of {zone} was in {back.code}, and the one that is live was "
            "deployed from there: put it back into a folder of its own and deploy that"
        )
        raise NotKnown(message)
    if back.file:
        read_deployed(project, back.file)
    wanted = Deploy(
        version=back.version,
        before=declared.version,
        file=back.file,
        code=back.code,
        by=by,
        at_s=clock.utc_s(),
        past=live.past[:-1],
    )
    change = Change(
        at_s=wanted.at_s,
        by=by,
        because=because,
        what="zone rolled back",
        about=zone,
        before=live.version,
        after=back.version,
    )
    return await _ask(streams, zone, wanted, change, clock=clock, asked=asked, within_s=within_s)


def check_other(project: Project, plan: Plan, deployed: Deployed) -> str:
    """Return the version that is live, if it is another one than a zone's new plan.

    Raises:
        DeclarationError: if it is the same.
    """
    declared = plan.zone(deployed.zone.name)
    live = live_deploy(project, declared)
    runs = declared.version if live is None else live.version
    if deployed.zone.version == runs:
        code = str(deployed.folder)
        remedy = "change the code, or run `firedoor zone restart` for a fresh process"
        raise DeclarationError("code", code, f"is version {runs}, which runs already", remedy)
    return runs


async def _ask(
    streams: Streams,
    zone: str,
    wanted: Deploy,
    change: Change,
    *,
    clock: Clock,
    asked: Callable[[], None],
    within_s: float,
) -> Deploy:
    """Keep what is wanted, and return what came of it."""
    await _end_shadow(streams, zone, f"version {wanted.version} was deployed by {wanted.by}")
    key = f"deploy.{zone}"
    await record(streams, change)
    await streams.put(key, msgspec.json.encode(wanted))
    asked()
    until_s = clock.now_s() + within_s
    while clock.now_s() < until_s:
        await clock.wait(LOOK_S)
        now = read_deploy(await streams.get(key))
        if now is not None and now.at_s == wanted.at_s and now.state != "wanted":
            return now
    message = (
        f"nobody has deployed {zone} within {within_s:g} s: is the pipeline's supervisor at work? "
        "It will do so when it is; see `firedoor status`"
    )
    raise StreamsUnavailable(message)


async def _end_shadow(streams: Streams, zone: str, why: str) -> None:
    """End what is tried beside the code that goes."""
    value = await streams.get(shadow_key(zone))
    shadow = read_shadow(value)
    if shadow is None or shadow.state not in {"running", "switching"}:
        return
    ended = msgspec.structs.replace(shadow, state="aborted", ended=why)
    # Who was faster has written evidence, or ended it as well: then it is ended once more.
    if not await streams.swap(shadow_key(zone), msgspec.json.encode(ended), value):
        await _end_shadow(streams, zone, why)


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
