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
from firedoor.adapters.nats.streams import connect
from firedoor.compose.project import Endpoint, Project
from firedoor.control.status import Snapshot, decode_snapshot, take
from firedoor.errors import NotKnown, ProjectBusy, StreamsUnavailable
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan

WRITE_S = 30.0
PATIENCE_S = 2.0
"""For which a command that only looks waits for a broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A pipeline's streams."""

    streams: Streams
    plan: Plan
    folder: Path
    """``.firedoor``."""


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
    directory: Path, *, nats: str | None = None, change: bool = False
) -> AsyncIterator[Reached]:
    """Give a project's streams.

    Args:
        directory: what ``.firedoor`` is in.
        nats: address of the broker, if it is not the project's own.
        change: whether dead letters are going to be changed: one command at a time does that.

    Raises:
        NotKnown: if nothing ever ran there.
        ProjectBusy: if a run is just beginning, or another command changes dead letters.
        StreamsUnavailable: if the broker does not answer.
    """
    project = Project.at(directory)
    plan = await asyncio.to_thread(project.read_plan)
    async with AsyncExitStack() as stack:
        if change:
            stack.enter_context(_changing(project.folder))
        if nats is None and project.supervisor_pid() is None:
            stack.enter_context(project.locked())
            local = await asyncio.to_thread(server.start, project.folder)
            stack.push_async_callback(asyncio.to_thread, local.stop)
            own = local.endpoint()
            endpoint = Endpoint(url=own.url, user=own.user, password=own.password)
        else:
            endpoint = _endpoint(project, nats)
        try:
            streams = await connect(
                endpoint.url,
                pipeline=plan.pipeline,
                user=endpoint.user,
                password=endpoint.password,
                write_s=WRITE_S if change else PATIENCE_S,
            )
        except StreamsUnavailable as error:
            message = (
                f"the broker of {project.folder} does not answer: {error}; `firedoor status` "
                "tells how its run was when it last did"
            )
            raise StreamsUnavailable(message) from error
        stack.push_async_callback(streams.close)
        yield Reached(streams=streams, plan=plan, folder=project.folder)


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
    running = nats is not None or pid is not None
    async with AsyncExitStack() as stack:
        if running:
            try:
                reached = await stack.enter_async_context(reach(directory, nats=nats))
                now_s = SystemClock().utc_s()
                snapshot = await take(
                    reached.streams, reached.plan, at_s=now_s, supervisor_pid=pid or 0
                )
            except (StreamsUnavailable, ProjectBusy):
                snapshot = msgspec.structs.replace(_kept(project, plan, anyhow=True), broker="down")
            else:
                yield Sight(plan=plan, snapshot=snapshot, running=True, streams=reached.streams)
                return
        else:
            snapshot = _kept(project, plan, anyhow=anyhow)
        yield Sight(plan=plan, snapshot=snapshot, running=running, streams=None)


def current_lookups(folder: Path) -> dict[str, str]:
    """Return the version of each lookup that holds now; none if there are no lookups."""
    try:
        told = json.loads((folder / "lookups" / "current.json").read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(version) for name, version in dict(told).items()}


def _endpoint(project: Project, nats: str | None) -> Endpoint:
    """Return where the broker is."""
    if nats is None:
        return project.endpoint()
    try:
        own = project.endpoint()
    except NotKnown:
        return Endpoint(url=nats)
    return Endpoint(url=nats, user=own.user, password=own.password)


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
