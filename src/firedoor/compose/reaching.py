"""Reach a project's streams from a command: through its run, or, where none is at work, by itself.

After a run its broker has ended with it. Commands that read or repair what is kept start it again
for as long as they last, holding the project's lock, so that no run can begin in the middle.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.nats import server
from firedoor.adapters.nats.link import OPEN_S
from firedoor.compose.connecting import connect_to
from firedoor.compose.credentials import endpoint_of
from firedoor.compose.project import Endpoint, Project
from firedoor.compose.serving_folder import ServingFolder
from firedoor.control.status import Snapshot, decode_snapshot, remember, take
from firedoor.errors import NotKnown, ProjectBusy, StreamsUnavailable
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan

WRITE_S = 30.0
PATIENCE_S = 2.0
"""For which a command that only reads waits for a broker."""
GLANCE_S = 1.0
"""For which ``look`` does, which has something to say without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A pipeline's streams."""

    streams: Streams
    plan: Plan
    folder: Path
    """``.firedoor``."""
    beside: Reached | None = None
    """Of services: the pipeline that ran last in the project, where that is another one."""

    @property
    def sensitive(self) -> frozenset[str]:
        """Return the columns that a zone of either declares to be so."""
        plans = (self.plan,) if self.beside is None else (self.plan, self.beside.plan)
        return frozenset(name for plan in plans for zone in plan.zones for name in zone.sensitive)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How a pipeline is, or was when it was last seen."""

    plan: Plan
    snapshot: Snapshot
    running: bool
    streams: Streams | None
    """None if the broker does not answer."""


@asynccontextmanager
async def reach(
    directory: Path,
    *,
    nats: str | None = None,
    change: bool = False,
    services: bool = False,
    patience_s: float = PATIENCE_S,
    open_s: float = OPEN_S,
) -> AsyncIterator[Reached]:
    """Give a project's streams.

    Args:
        directory: what ``.firedoor`` is in.
        nats: address of the broker, if it is not the project's own.
        change: whether dead letters are going to be changed: one command at a time does that.
        services: whether those of the pipeline are meant whose services are served, which may be
            another one than ran last.
        patience_s: how long an answer is waited for, where nothing is changed.
        open_s: how long a connection is.

    Raises:
        NotKnown: if nothing ever ran there.
        ProjectBusy: if a run is just beginning, or another command changes dead letters.
        StreamsUnavailable: if the broker does not answer.
    """
    project = Project.at(directory)
    plans = await asyncio.to_thread(_served if services else _ran, project)
    async with AsyncExitStack() as stack:
        if change:
            stack.enter_context(_changing(project.folder))
        if nats is None and project.supervisor_pid() is None and not project.elsewhere():
            stack.enter_context(project.locked())
            local = await asyncio.to_thread(server.start, project.folder)
            stack.push_async_callback(asyncio.to_thread, local.stop)
            own = local.endpoint()
            endpoint = Endpoint(url=own.url, user=own.user, password=own.password)
        else:
            endpoint = _endpoint(project, nats)
        found: Reached | None = None
        for plan in plans:
            try:
                streams = await connect_to(
                    endpoint,
                    pipeline=plan.pipeline,
                    write_s=WRITE_S if change else patience_s,
                    read_s=patience_s,
                    open_s=open_s,
                )
            except StreamsUnavailable as error:
                message = f"{error}; `firedoor status` tells how the run was when it last did"
                raise StreamsUnavailable(message) from error
            stack.push_async_callback(streams.close)
            found = Reached(streams=streams, plan=plan, folder=project.folder, beside=found)
        assert found is not None, "one plan is there at least"
        yield found


@asynccontextmanager
async def look(
    directory: Path, *, nats: str | None = None, anyhow: bool = False
) -> AsyncIterator[Sight]:
    """Give a picture of a pipeline: of now, or, without its broker, the last one that was kept.

    Args:
        directory: what ``.firedoor`` is in.
        nats: address of the broker, if it is not the project's own.
        anyhow: give an empty picture where none was kept.

    Raises:
        NotKnown: if nothing ever ran there.
    """
    project = Project.at(directory)
    plan = await asyncio.to_thread(project.read_plan)
    pid = project.supervisor_pid()
    running = nats is not None or pid is not None or project.elsewhere()
    if not running:
        snapshot = _kept(project, plan, anyhow=anyhow)
        yield Sight(plan=plan, snapshot=snapshot, running=False, streams=None)
        return
    before = _kept(project, plan, anyhow=True)
    async with AsyncExitStack() as stack:
        reaching = reach(directory, nats=nats, patience_s=GLANCE_S, open_s=GLANCE_S)
        try:
            reached = await stack.enter_async_context(reaching)
            now_s = SystemClock().utc_s()
            taken = await take(reached.streams, plan, at_s=now_s, supervisor_pid=pid or 0)
        except (StreamsUnavailable, ProjectBusy, NotKnown):  # it may be just starting
            snapshot = msgspec.structs.replace(before, broker="down")
            yield Sight(plan=plan, snapshot=snapshot, running=True, streams=None)
        else:
            snapshot = remember(plan, taken, before)
            yield Sight(plan=plan, snapshot=snapshot, running=True, streams=reached.streams)


def _ran(project: Project) -> tuple[Plan, ...]:
    """Return the pipeline that runs, or ran last. Raises as ``Project.read_plan``."""
    return (project.read_plan(),)


def _served(project: Project) -> tuple[Plan, ...]:
    """Return the pipeline whose services are served, last; before it one that ran, if another.

    Raises:
        NotKnown, StoreRefused: if there is neither, or it was written by another version.
    """
    try:
        served = ServingFolder(project, lambda _: None).read_plan()
    except NotKnown:
        return _ran(project)
    try:
        ran = project.read_plan()
    except NotKnown:
        return (served,)
    if ran.pipeline == served.pipeline:
        return (msgspec.structs.replace(ran, services=served.services),)
    return (ran, served)


def current_lookups(folder: Path) -> dict[str, str]:
    """Return the version of each lookup that holds now; none if there are no lookups."""
    try:
        told = json.loads((folder / "lookups" / "current.json").read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(version) for name, version in dict(told).items()}


def _endpoint(project: Project, nats: str | None) -> Endpoint:
    """Return where the broker is: what is not named on the command line was kept by the run."""
    if nats is None:
        return project.endpoint()
    named = endpoint_of(nats, None, os.environ)
    try:
        own = project.endpoint()
    except NotKnown:
        return named
    who = own if named.user is None else named
    how = own if named.ca is None and named.certificate is None else named
    return Endpoint(
        url=named.url,
        user=who.user,
        password=who.password,
        ca=how.ca,
        certificate=how.certificate,
        key=how.key,
        external=True,
    )


def _kept(project: Project, plan: Plan, *, anyhow: bool) -> Snapshot:
    """Return the last snapshot."""
    try:
        return decode_snapshot(project.status_file.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        if anyhow:
            return Snapshot(pipeline=plan.pipeline, at_s=0.0)
        message = (
            f"nothing runs in {project.folder}, and how its last run was left is not kept "
            f"({error}): start it with `firedoor run {plan.file}`"
        )
        raise NotKnown(message) from error


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Hold what only one command at a time may do."""
    descriptor = os.open(folder / "changing", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = (
                f"another command is changing dead letters of {folder}: try again when it is done"
            )
            raise ProjectBusy(message) from None
        yield
    finally:
        os.close(descriptor)
