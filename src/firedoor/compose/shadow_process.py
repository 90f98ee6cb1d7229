"""New code of a zone on copies of batches: ``python -m firedoor.compose.shadow_process FD``.

See ``data.beside``. The code runs in workers of a wall of its own, as it would in the zone; here
what it made is compared with what the live code made. A thread listens: when the socket ends, so
does the process, and its workers with it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from pathlib import Path

import msgspec
import polars as pl
from msgspec.structs import replace

from firedoor.compose import outfit
from firedoor.compose.project import Project
from firedoor.compute.comparing import compare
from firedoor.data import beside
from firedoor.data.child import heard, say
from firedoor.errors import (
    DependencyDown,
    FiredoorError,
    StepAtFault,
    StepUnloadable,
    WorkersUnavailable,
)
from firedoor.ports.stage import Stage
from firedoor.spec.plan import ZonePlan, decode_plan

AHEAD_MAX = 4

Message = tuple[beside.Told, bytes]


def main(descriptor: int) -> None:
    """Try what comes until nobody sends any more."""
    line = socket.socket(fileno=descriptor)
    line.set_inheritable(False)
    asyncio.run(_main(line))


async def _main(line: socket.socket) -> None:
    """Load the code, and try batches one after another."""
    loop = asyncio.get_running_loop()
    came: asyncio.Queue[Message] = asyncio.Queue(AHEAD_MAX)
    threading.Thread(target=_listen, args=(line, loop, came), daemon=True).start()
    begin, _ = await came.get()
    assert isinstance(begin, beside.Begin), "it is told first what to run"
    plan = decode_plan(begin.plan)
    zone = plan.zone(begin.zone)
    stage = outfit.stage_of(zone, plan, Project(Path(begin.project)))
    say(line, beside.encode(await _loaded(stage)))
    warm = False
    while True:
        told, payload = await came.get()
        assert isinstance(told, beside.Try), "it began already"
        said = await _tried(stage, zone, told, payload)
        if isinstance(said, beside.Tried) and not warm:
            # The first batch pays for what libraries do when they are first used.
            said = beside.Tried(compared=replace(said.compared, step_s_new=0.0))
            warm = True
        say(line, beside.encode(said))


async def _loaded(stage: Stage) -> beside.Said:
    """Start a worker."""
    warm = getattr(stage, "warm", None)
    try:
        if warm is not None:
            await warm()
    except (StepUnloadable, WorkersUnavailable) as error:
        return beside.Failed(what="fault", message=f"it cannot be loaded: {error}")
    return beside.Ready()


async def _tried(
    stage: Stage, zone: ZonePlan, told: beside.Try, payload: bytes
) -> beside.Tried | beside.Failed:
    """Take a batch through the new code, and compare."""
    lost = stage.workers_lost()
    try:
        made = await stage.handle(told.envelope, payload[: told.batch_bytes], _journal)
    except DependencyDown as error:
        return beside.Failed(what="away", message=str(error))
    except StepAtFault as error:
        return beside.Failed(what="fault", message=f"{told.envelope.batch}: {error}")
    except FiredoorError as error:
        return beside.Failed(what="fault", message=str(error))
    peak = getattr(stage, "peak_bytes", None)
    try:
        compared = compare(
            told.envelope.batch,
            told.envelope.rows,
            beside.handled_of(told, payload),
            made,
            sensitive=zone.sensitive,
        )
    except pl.exceptions.PolarsError as error:
        message = f"{told.envelope.batch}: what it made cannot be read: {error}"
        return beside.Failed(what="fault", message=message)
    spent = replace(
        compared,
        lost_new=stage.workers_lost() - lost,
        peak_bytes_new=0 if peak is None else peak(),
    )
    return beside.Tried(compared=spent)


async def _journal(_cause: str, _where: str) -> None:
    """Keep nothing of a run after a death: a copy may be lost."""


def _listen(
    line: socket.socket, loop: asyncio.AbstractEventLoop, came: asyncio.Queue[Message]
) -> None:
    """Hand on what is told; end the process with the socket."""
    while True:
        try:
            header, payload = heard(line)
            message = beside.decode_told(header), payload
        except (OSError, EOFError, msgspec.MsgspecError):
            os._exit(0)
        loop.call_soon_threadsafe(came.put_nowait, message)


if __name__ == "__main__":
    main(int(sys.argv[1]))
