"""Try new code of a zone beside the live one: begin, confirm, abort; and switch when it is time.

``shadow.<zone>`` holds what is wanted and what was seen. The zone's processes add what they see;
the supervisor replaces the zone's process when the verdict is good, or when a person says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from firedoor.compose.deploying import check_other
from firedoor.compose.deploys import (
    Deploy,
    Deployed,
    keep_deployed,
    live_deploy,
    past_with,
    read_deploy,
)
from firedoor.compose.project import Project
from firedoor.control.changes import record
from firedoor.errors import DeclarationError, NotKnown, StoreRefused, StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.change import Change
from firedoor.wire.shadow import Shadow, ShadowState, read_shadow, shadow_key

LOOK_S = 0.2
SWITCH_S = 120.0
SWAPS_MAX = 20
ITSELF = "firedoor"
"""Who changes what nobody has asked for at that moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What has to be seen before new code may take over."""

    batches_min: int = 20
    rows_min: int = 10_000
    allow: tuple[str, ...] = ()
    auto: bool = True


def check_shadowed(zone: ZonePlan) -> None:
    """Refuse what has an effect: beside the live code it would have it twice.

    Raises:
        StoreRefused: for sources and sinks, and for a step that calls what may not be called twice.
    """
    instead = f"deploy it as it is (`firedoor zone deploy {zone.name} --code DIR`), and if it is "
    instead += f"wrong go back with `firedoor zone rollback {zone.name} --because ...`"
    if zone.kind != "transform":
        what = "write what it writes" if zone.kind == "sink" else "read and publish what it reads"
        message = f"{zone.name} is a {zone.kind}: beside the live one it would {what} twice; "
        raise StoreRefused(message + instead)
    unsafe = [each.guard.name for each in zone.depends if each.idempotent is not True]
    if unsafe:
        message = (
            f"{zone.name} calls {', '.join(unsafe)}, beside the live code twice for each batch: "
            "where that does no harm say so by idempotent=True in fd.Dependency; else "
        )
        raise StoreRefused(message + instead)


async def begin_shadow(
    streams: Streams,
    project: Project,
    plan: Plan,
    deployed: Deployed,
    terms: Terms,
    *,
    by: str,
    because: str,
    clock: Clock,
) -> Shadow:
    """Have new code tried beside the live one; return what is wanted.

    Raises:
        DeclarationError: if that version is live, or what has to be seen is nothing.
        StoreRefused: if it may not be tried, or another one is being tried.
        StreamsUnavailable: if the broker is away.
    """
    name = deployed.zone.name
    check_shadowed(deployed.zone)
    check_shadowed(plan.zone(name))
    _check_terms(terms)
    runs = check_other(project, plan, deployed)
    value = await streams.get(shadow_key(name))
    before = read_shadow(value)
    if before is not None and before.beside == runs and not _over(before):
        message = (
            f"version {before.version} of {name} is being tried already: end that first with "
            f"`firedoor zone deploy {name} --abort --because ...`, or confirm it"
        )
        raise StoreRefused(message)
    shadow = Shadow(
        version=deployed.zone.version,
        beside=runs,
        declared=plan.zone(name).version,
        file=str(Path(keep_deployed(project, deployed)).relative_to(project.folder)),
        code=str(deployed.folder),
        at_s=clock.utc_s(),
        by=by,
        because=because,
        auto=terms.auto,
        batches_min=terms.batches_min,
        rows_min=terms.rows_min,
        allow=terms.allow,
    )
    if not await streams.swap(shadow_key(name), msgspec.json.encode(shadow), value):
        message = f"somebody else has begun to try code of {name} at this moment: look again"
        raise StoreRefused(message)
    await record(streams, _change(name, shadow, "zone shadow started", by=by, because=because))
    return shadow


def _over(shadow: Shadow) -> bool:
    """Return whether nothing more can come of what was tried: another may take its place."""
    if shadow.state == "running":
        return shadow.verdict.complete and shadow.verdict.word == "worse"
    return shadow.state != "switching"


async def abort_shadow(
    streams: Streams, zone: str, *, by: str, because: str, at_s: float
) -> Shadow:
    """End what is tried; return how far it came. The live code goes on.

    Raises:
        NotKnown: if nothing is tried.
        StreamsUnavailable: if the broker is away.
    """
    ended = f"by {by}" + (f": {because}" if because else "")
    shadow = await _move(streams, zone, "aborted", ended)
    change = _change(zone, shadow, "zone shadow aborted", by=by, because=because)
    await record(streams, replace(change, at_s=at_s))
    return shadow


async def confirm_shadow(
    streams: Streams,
    zone: str,
    *,
    by: str,
    because: str,
    clock: Clock,
    within_s: float = SWITCH_S,
) -> Shadow:
    """Have what is tried take over, whatever differs; return what came of it.

    Raises:
        NotKnown: if nothing is tried.
        StoreRefused: if it was not seen enough of yet, and nobody says why that is enough.
        StreamsUnavailable: if nobody answers: the broker or the supervisor is away.
    """
    there = read_shadow(await streams.get(shadow_key(zone)))
    if there is not None and not because and not there.verdict.complete:
        message = (
            f"version {there.version} of {zone} was not seen enough of yet "
            f"({there.verdict.progress}): wait, or say with --because why that is enough"
        )
        raise StoreRefused(message)
    shadow = await _move(streams, zone, "switching", "")
    change = _change(zone, shadow, "zone shadow confirmed", by=by, because=because)
    await record(streams, replace(change, at_s=clock.utc_s()))
    until_s = clock.now_s() + within_s
    while clock.now_s() < until_s:
        await clock.wait(LOOK_S)
        now = read_shadow(await streams.get(shadow_key(zone)))
        if now is not None and now.at_s == shadow.at_s and now.state != "switching":
            return now
    message = (
        f"nobody has switched {zone} within {within_s:g} s: is the pipeline's supervisor at work? "
        "It will do so when it is; see `firedoor status`"
    )
    raise StreamsUnavailable(message)


async def _move(streams: Streams, zone: str, state: ShadowState, ended: str) -> Shadow:
    """Bring what is tried into another state; processes may add evidence meanwhile."""
    for _ in range(SWAPS_MAX):
        value = await streams.get(shadow_key(zone))
        shadow = read_shadow(value)
        if shadow is None or shadow.state not in {"running", "switching"}:
            message = (
                f"no code of {zone} is being tried: `firedoor zone deploy {zone} --code DIR "
                "--shadow` begins"
            )
            raise NotKnown(message)
        moved = replace(shadow, state=state, ended=ended)
        if await streams.swap(shadow_key(zone), msgspec.json.encode(moved), value):
            return moved
    message = f"the shadow of {zone} changes all the time: try again"
    raise StreamsUnavailable(message)


def _change(zone: str, shadow: Shadow, what: str, *, by: str, because: str) -> Change:
    """Return a change of a zone's shadow."""
    return Change(
        at_s=shadow.at_s,
        by=by,
        because=because,
        what=what,
        about=zone,
        before=shadow.beside,
        after=shadow.version,
    )


def _check_terms(terms: Terms) -> None:
    """Refuse what would be a pass without data."""
    for field, value in (("batches", terms.batches_min), ("rows", terms.rows_min)):
        if value < 1:
            raise DeclarationError(
                field, value, "is no evidence", "give 1 or more: no data is never a pass"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Switching:
    """The supervisor's part: deploy what passes, and keep what came of it."""

    project: Project
    plan: Plan
    clock: Clock
    tell: Callable[[str], None]

    async def look(self, streams: Streams, shadows: Mapping[str, Shadow]) -> None:
        """Do what is due about each zone; what cannot be done now is done at the next look."""
        for zone, shadow in shadows.items():
            with contextlib.suppress(StreamsUnavailable):
                await self._follow(streams, zone, shadow)

    async def _follow(self, streams: Streams, zone: str, shadow: Shadow) -> None:
        """Do what is due about one zone."""
        live = live_deploy(self.project, self.plan.zone(zone))
        version = self.plan.zone(zone).version if live is None else live.version
        match shadow.state:
            case "running" if shadow.auto and shadow.beside == version and shadow.verdict.passes:
                await self._pass(streams, zone, shadow)
            case "switching":
                await self._switch(streams, zone, shadow, version)
            case _:
                return

    async def _pass(self, streams: Streams, zone: str, shadow: Shadow) -> None:
        """Let code take over that makes the same."""
        value = await streams.get(shadow_key(zone))
        if read_shadow(value) != shadow:
            return  # somebody was faster: the next look sees how it is
        switching = replace(shadow, state="switching")
        if not await streams.swap(shadow_key(zone), msgspec.json.encode(switching), value):
            return
        why = "; ".join(shadow.verdict.why)
        self.tell(f"zone {zone}: version {shadow.version} takes over from {shadow.beside}: {why}")
        change = _change(zone, shadow, "zone shadow passed", by=ITSELF, because=why)
        await record(streams, replace(change, at_s=self.clock.utc_s()))

    async def _switch(self, streams: Streams, zone: str, shadow: Shadow, version: str) -> None:
        """Have the zone's process replaced, once, and keep what came of it."""
        deploy = read_deploy(await streams.get(f"deploy.{zone}"))
        ours = deploy if deploy is not None and deploy.shadow_s == shadow.at_s else None
        if version == shadow.version:
            await self._end(streams, zone, shadow, "live", "")
        elif ours is not None and ours.state == "failed":
            await self._end(streams, zone, shadow, "failed", ours.because)
        elif version != shadow.beside or self.plan.zone(zone).version != shadow.declared:
            why = f"version {version} is live, and it was tried beside {shadow.beside}"
            await self._end(streams, zone, shadow, "failed", why)
        elif ours is None:
            wanted = Deploy(
                version=shadow.version,
                before=shadow.declared,
                file=shadow.file,
                code=shadow.code,
                by=shadow.by,
                at_s=self.clock.utc_s(),
                past=past_with(self.project, self.plan, zone, code=shadow.code),
                shadow_s=shadow.at_s,
            )
            await streams.put(f"deploy.{zone}", msgspec.json.encode(wanted))

    async def _end(
        self, streams: Streams, zone: str, shadow: Shadow, state: ShadowState, ended: str
    ) -> None:
        """Keep what came of it; where somebody was faster, it is looked at again."""
        value = await streams.get(shadow_key(zone))
        if read_shadow(value) == shadow:
            moved = replace(shadow, state=state, ended=ended)
            await streams.swap(shadow_key(zone), msgspec.json.encode(moved), value)
