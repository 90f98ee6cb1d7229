"""A copy of a pipeline that reads a recording at its pace: to be drilled without touching the real.

It has a folder, a broker and sinks of its own. Sources read what was recorded, each batch when its
time has come, again from the beginning after the end. Sinks that are functions write files instead:
nothing that the copy does reaches the world. Services and jobs are not in it.

``python -m firedoor.compose.drill_copy FOLDER`` is the copy, until its standard input ends.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from firedoor.adapters.clock import SystemClock
from firedoor.compose.drill_recording import Piece, Recording, read_recording
from firedoor.compose.files import FOLDER_MODE, write_atomically
from firedoor.compose.living import is_alive
from firedoor.compose.loading import load_plan
from firedoor.compose.progress import screen_for
from firedoor.compose.project import Project
from firedoor.compose.supervisor import Supervisor
from firedoor.control.status import decode_snapshot
from firedoor.drill.permission import ENV
from firedoor.errors import NotKnown, WorkersUnavailable
from firedoor.ports.clock import Clock
from firedoor.spec.plan import Plan, SinkPlan, SourcePlan, ZonePlan, decode_plan, encode_plan

START_S = 120.0
END_S = 30.0
LOOK_S = 0.2
REST_S = 1.0
"""Between the end of a recording and its next beginning."""
COPY = "copy-"
"""Before the number of the drill's process: the name of a copy's folder."""
AT_WORK = frozenset({"running", "throttled"})


def copied_plan(plan: Plan, recording: Recording, folder: Path) -> Plan:
    """Return the plan of a copy.

    Raises:
        NotKnown: if a source of the pipeline is not in the recording.
    """
    zones = []
    for zone in plan.zones:
        if zone.source is not None and zone.name not in recording.sources:
            message = f"source {zone.name} of {plan.pipeline} is not in the recording: record anew"
            raise NotKnown(message)
        zones.append(_copied(zone, folder))
    return msgspec.structs.replace(
        plan, zones=tuple(zones), jobs=(), services=(), datasets=(), environment="development"
    )


def _copied(zone: ZonePlan, folder: Path) -> ZonePlan:
    """Return a zone that reads and writes in the folder of the copy alone."""
    if zone.source is not None:
        feed = str(folder / "feed" / zone.name / "*.parquet")
        source = SourcePlan(
            form="parquet", patterns=(feed,), batch_rows=zone.source.batch_rows, follow=True
        )
        return msgspec.structs.replace(zone, source=source)
    if zone.sink is not None:
        sink = SinkPlan(form="parquet", path=str(folder / "out" / zone.name))
        return msgspec.structs.replace(zone, sink=sink, step=None)
    return zone


@contextmanager
def copied(recording: Path, project: Project, pipeline: Path | None) -> Iterator[Path]:
    """Run a copy of a pipeline, and give the folder that its ``.firedoor`` is in. Blocks.

    Args:
        recording: what it reads.
        project: whose folder has room for it, and models that zones use.
        pipeline: the file that declares it; None: the one that was recorded.

    Raises:
        NotKnown: if there is no such recording, or it does not fit.
        PipelineUnloadable: if the file declares no pipeline.
        WorkersUnavailable: if the copy does not begin.
    """
    recorded = read_recording(recording)
    plan = load_plan(pipeline or Path(recorded.file))
    sweep(project.folder / "drills")
    folder = project.folder / "drills" / f"{COPY}{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=FOLDER_MODE, parents=True)
    try:
        write_atomically(folder / "copy.json", encode_plan(copied_plan(plan, recorded, folder)))
        (folder / "recording").symlink_to(recording.absolute())
        models = project.folder / "models"
        if models.is_dir():
            (folder / ".firedoor").mkdir(mode=FOLDER_MODE)
            (folder / ".firedoor" / "models").symlink_to(models)
        with _running(folder) as copy:
            _await(folder, copy)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(drills: Path) -> None:
    """Remove copies whose drill was killed: the copy has ended with it, its folder has not."""
    for left in drills.glob(f"{COPY}*"):
        drill = left.name.removeprefix(COPY)
        alive = drill.isdecimal() and is_alive(int(drill))
        if not alive and Project.at(left).supervisor_pid() is None:
            shutil.rmtree(left, ignore_errors=True)


def around_copy(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a copy: what it tells must not be taken for the real pipeline's."""
    return {**environ, ENV: "development", "OTEL_SDK_DISABLED": "true"}


@contextmanager
def _running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the copy as a process of its own, which ends when this one does."""
    command = [sys.executable, "-P", "-m", "firedoor.compose.drill_copy", str(folder)]
    with (folder / "copy.log").open("wb") as log:
        copy = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
            env=around_copy(os.environ),
        )  # fmt: skip
    try:
        yield copy
    finally:
        assert copy.stdin is not None
        copy.stdin.close()
        try:
            copy.wait(END_S)
        except subprocess.TimeoutExpired:
            copy.kill()
            copy.wait()


def _await(folder: Path, copy: subprocess.Popen[bytes]) -> None:
    """Wait until every zone of the copy is at work."""
    plan = decode_plan((folder / "copy.json").read_bytes())
    status, clock = Project.at(folder).status_file, SystemClock()
    until_s = clock.now_s() + START_S
    while True:
        states: dict[str, str] = {}
        with suppress(OSError, msgspec.MsgspecError):
            snapshot = decode_snapshot(status.read_bytes())
            states = {beat.zone: beat.state for beat in snapshot.zones}
        if all(states.get(zone.name) in AT_WORK for zone in plan.zones):
            return
        with suppress(subprocess.TimeoutExpired):
            copy.wait(LOOK_S)
        if copy.returncode is not None or clock.now_s() > until_s:
            told = (folder / "copy.log").read_text(errors="replace")[-2_000:]
            message = f"the copy of {plan.pipeline} does not begin: {told.strip() or states}"
            raise WorkersUnavailable(message)


# ---- the copy itself


async def feed(recording: Path, pieces: tuple[Piece, ...], to: Path, clock: Clock) -> None:
    """Put recorded batches of one source into a folder, each when its time has come, for ever."""
    number, began_s = 0, clock.now_s()
    last_s = max((piece.at_s for piece in pieces), default=0.0) + REST_S
    while pieces:
        for piece in pieces:
            wait_s = began_s + piece.at_s - clock.now_s()
            if wait_s > 0:
                await clock.wait(wait_s)
            number += 1
            await asyncio.to_thread(_put, recording / piece.file, to / f"{number:09}.parquet")
        began_s += last_s


def _put(recorded: Path, file: Path) -> None:
    """Put a file there, whole."""
    new = file.with_suffix(".new")
    try:
        os.link(recorded, new)
    except OSError:  # another file system
        shutil.copyfile(recorded, new)
    new.rename(file)


async def _run(folder: Path, plan: Plan) -> None:
    """Run the supervisor of the copy, and feed its sources."""
    project, clock = Project.at(folder), SystemClock()
    recording = read_recording(folder / "recording")
    supervisor = Supervisor(
        project=project, plan=plan, clock=clock, screen=screen_for(sys.stdout, clock),
        bounded=False, external=None,
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), _heard, supervisor)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.end)
    async with asyncio.TaskGroup() as group:
        feeding = []
        for name, pieces in recording.sources.items():
            to = folder / "feed" / name
            feeding.append(group.create_task(feed(folder / "recording", pieces, to, clock)))
        await supervisor.run()
        for task in feeding:
            task.cancel()


def _heard(supervisor: Supervisor) -> None:
    """End when nobody is there any more."""
    if not os.read(sys.stdin.fileno(), 4_096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        supervisor.end()


def main(folder: Path) -> None:
    """Be the copy."""
    plan = decode_plan((folder / "copy.json").read_bytes())
    for zone in plan.zones:
        if zone.source is not None:
            (folder / "feed" / zone.name).mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    project = Project.at(folder)
    project.create()
    with project.locked():
        asyncio.run(_run(folder, plan))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
