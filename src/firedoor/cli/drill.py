"""``firedoor drill``: inject faults into a running pipeline, and prove that they stay there."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from firedoor.adapters.clock import SystemClock
from firedoor.cli import drill_kept
from firedoor.cli.asking import NatsOption, ProjectOption, ask, one_line, parse_when, somebody
from firedoor.cli.drill_shown import comparison_lines, show, tell_moment
from firedoor.compose.drill_allowing import (
    Leave,
    give_leave,
    heard_objectives,
    remaining_of,
    require_leave,
)
from firedoor.compose.drill_copy import copied
from firedoor.compose.drill_file import find_matrix, load_matrix
from firedoor.compose.drill_files import drills_folder, keep, latest
from firedoor.compose.drill_recording import Recording
from firedoor.compose.drill_recording import record as write_recording
from firedoor.compose.drill_run import Drill, Setting
from firedoor.compose.drill_stopping import Stopped, stop_drills
from firedoor.compose.files import explain, write_atomically
from firedoor.compose.project import Project
from firedoor.compose.reaching import reach
from firedoor.compute.doctor import version_of
from firedoor.control.board import align
from firedoor.drill.catalogue import CATALOGUE
from firedoor.drill.comparing import compare
from firedoor.drill.matrix import Asked, Matrix
from firedoor.drill.permission import ENV, environment_of
from firedoor.drill.report import Report, encode_report
from firedoor.drill.scoring import CLEANUP, SAFETY, USAGE
from firedoor.errors import DeclarationError, DrillRefused, FiredoorError, NotKnown
from firedoor.spec.plan import Plan

CHAOS_STOP = "CHAOS_STOP"
"""A file of this name beside .firedoor, or in it, stops drills, and lets none begin."""

app = typer.Typer(
    help="Inject faults into a running pipeline, and see which zones they hurt.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command(name="show")(drill_kept.show_kept)
app.command(name="compare")(drill_kept.compare_kept)
app.command(name="history")(drill_kept.history)
BecauseOption = Annotated[
    str, typer.Option("--because", help="Why: kept with the drill, and shown to others.")
]


@app.command()
def run(
    *,
    matrix: Annotated[
        Path | None,
        typer.Option("--matrix", help="drills.yaml, .toml, .json or .py.", show_default="here"),
    ] = None,
    fault: Annotated[
        str | None, typer.Option("--fault", help="One fault instead: see firedoor drill list.")
    ] = None,
    zone: Annotated[
        list[str] | None, typer.Option("--zone", help="Where; may be given again. Default: all.")
    ] = None,
    intensity: Annotated[float | None, typer.Option(help="In the fault's unit.")] = None,
    share: Annotated[float | None, typer.Option(help="Of what is hit, 0 to 1.")] = None,
    for_s: Annotated[float | None, typer.Option("--for", help="Seconds of each fault.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="How often each row runs.")] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="End with 1 at a breach, 3 without evidence.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write JSON, JUnit, HTML, Markdown here as well.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the report to this file as well.")
    ] = None,
    allow_production: Annotated[
        bool, typer.Option("--allow-production", help="Although it is in production.")
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option("--replay", help="Drill a copy of the pipeline on what was recorded there."),
    ] = None,
    pipeline: Annotated[
        Path | None, typer.Option("--pipeline", help="With --replay: another file than recorded.")
    ] = None,
    because: BecauseOption = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the matrix only.")] = False,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Drill a running pipeline, and print the containment matrix.

    With --gate it ends with 0 if the hypothesis held, 1 at a breach, 3 if too little was seen to
    say; always with 1 if a zone was not well again in time, 2 if it cannot begin, 4 if it was
    stopped for safety, 5 if a fault could not be taken back. Ctrl-C takes back what is injected,
    and waits until all is well (again: at once); a kill has it end by itself within 15 s.
    """
    try:
        asked = _asked(matrix, fault, zone or [], intensity, share, project)
        asked = _with(asked, for_s, seeds)
        with _stage(replay, pipeline, project, nats) as where:
            report = asyncio.run(
                _drill(
                    asked, where, nats, home=Project.at(project), allowed=allow_production,
                    because=because, tell=_silent if quiet else _tell,
                )
            )  # fmt: skip
    except FiredoorError as error:
        _refuse(error)
    _finish(report, Project.at(project), out, json)
    code = report.exit_code
    grave = code in {SAFETY, CLEANUP} or any(row.unrecovered for row in report.rows)
    raise typer.Exit(code if gate or grave else 0)


def _finish(report: Report, place: Project, out: Path | None, json: Path | None) -> None:
    """Print what was found, and keep it."""
    before = latest(drills_folder(place.folder))
    show(report, Console())
    if before is not None:
        for line in comparison_lines(compare(before, report)):
            print(line)
    try:
        print(f"kept in {keep(report, place.folder, None if out is None else out.absolute())}")
        if json is not None:
            write_atomically(json.absolute(), encode_report(report))
    except OSError as error:
        print(f"firedoor: the report could not be kept: {explain(error)}", file=sys.stderr)
        raise typer.Exit(report.exit_code or USAGE) from error


@contextmanager
def _stage(
    replay: Path | None, pipeline: Path | None, project: Path, nats: str | None
) -> Iterator[Path]:
    """Give the folder of what is drilled: the pipeline that runs, or a copy made for it."""
    if replay is None:
        if pipeline is not None:
            remedy = "name a recording with --replay, or leave it out"
            raise DeclarationError("pipeline", str(pipeline), "is of a copy", remedy)
        yield project
        return
    if nats is not None:  # else the faults would be injected there, and not in the copy
        remedy = "leave one of them out"
        raise DeclarationError(
            "nats", nats, "is of a pipeline that runs, and --replay drills a copy", remedy
        )
    place = Project.at(project)
    place.create()
    with copied(replay, place, pipeline) as folder:
        yield folder


@app.command()
def record(
    out: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    *,
    last: Annotated[str, typer.Option("--last", help="How much: 90s, 5m, 2h.")] = "5m",
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Record the batches that sources brought in lately, with their pace, for --replay.

    They hold what the rows hold: keep them as you keep the data itself.
    """

    async def work() -> Recording:
        now_s = SystemClock().utc_s()
        since_s = parse_when("last", last, now_s)
        async with reach(project, nats=nats) as reached:
            plan = reached.plan
            return await write_recording(
                reached.streams, plan, out.absolute(), since_s=since_s, until_s=now_s
            )

    made = ask(work())
    rows = sum(piece.rows for pieces in made.sources.values() for piece in pieces)
    batches = sum(len(pieces) for pieces in made.sources.values())
    print(f"recorded {batches:,} batches, {rows:,} rows, {made.seconds:.0f} s: "
          f"firedoor drill run --replay {out}")  # fmt: skip


@app.command(name="list")
def show_catalogue(
    *, of: Annotated[str | None, typer.Option("--class", help="process, link, data ...")] = None
) -> None:
    """Show which faults there are, where each can be injected, and how strong it may be."""
    rows = [("fault", "class", "zones", "intensity", "share of", "what it does")]
    for kind in CATALOGUE.values():
        if of not in {None, kind.of}:
            continue
        strong = ""
        if kind.unit:
            strong = f"{kind.usual:g} ({kind.low:g} to {kind.high:g}) {kind.unit}"
        hit = f"{kind.of_what} {kind.share:g}" if kind.of_what else "all"
        needs = f"; needs {kind.needs}" if kind.needs else ""
        rows.append((kind.name, kind.of, ", ".join(kind.kinds), strong, hit, kind.says + needs))
    for line in align(rows):
        print(line)


@app.command()
def stop(
    *, because: BecauseOption = "", project: ProjectOption = Path(), nats: NatsOption = None
) -> None:
    """Stop every drill of a pipeline, and take back every fault, whoever injected it.

    Ends with 5 if a process still says that it injects something.
    """

    async def work() -> Stopped:
        async with reach(project, nats=nats) as reached:
            return await stop_drills(reached.streams, SystemClock(), by=somebody(), because=because)

    stopped = ask(work())
    for fault in stopped.faults:
        print(f"taken back: {fault.name} in {fault.zone} (drill {fault.drill})")
    if not stopped.faults:
        print("nothing was injected")
    for one in stopped.left:
        print(f"firedoor: {one.process} still injects {one.name} in {one.zone}: end it, or wait "
              "for its lease of 15 s", file=sys.stderr)  # fmt: skip
    raise typer.Exit(CLEANUP if stopped.left else 0)


@app.command()
def allow(
    *,
    because: Annotated[str, typer.Option("--because", help="Why; kept, and shown to others.")],
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Agree to drills of a pipeline in production for the next 15 minutes.

    A drill there needs this, --allow-production, and zones that allow the fault (drills=).
    """

    async def work() -> None:
        async with reach(project, nats=nats) as reached:
            leave = Leave(by=somebody(), because=because, at_s=SystemClock().utc_s())
            await give_leave(reached.streams, leave)

    ask(work())
    print("drills may begin here in the next 15 minutes")


def _asked(
    matrix: Path | None,
    fault: str | None,
    zones: list[str],
    intensity: float | None,
    share: float | None,
    project: Path,
) -> Matrix:
    """Return what is to be done: of a file, or one fault."""
    if fault is None:
        for name, value in (("zone", zones or None), ("intensity", intensity), ("share", share)):
            if value is not None:
                remedy = "name a fault with --fault, or write it into the matrix"
                raise DeclarationError(name, value, "is of one fault, and none is named", remedy)
        return load_matrix(matrix or find_matrix(project.absolute()))
    if matrix is not None:
        remedy = "give one of them"
        raise DeclarationError("fault", fault, "and a matrix were given", remedy)
    where = tuple(zones) or "all"
    return Matrix(rows=(Asked(fault=fault, zone=where, intensity=intensity, share=share),))


def _with(matrix: Matrix, for_s: float | None, seeds: int | None) -> Matrix:
    """Return a matrix with what was said on the command line."""
    values = {name: getattr(matrix, name) for name in matrix.__struct_fields__}
    values |= {} if for_s is None else {"for_s": for_s}
    values |= {} if seeds is None else {"seeds": seeds}
    return Matrix(**values)


async def _drill(
    matrix: Matrix,
    project: Path,
    nats: str | None,
    *,
    home: Project,
    allowed: bool,
    because: str,
    tell: Callable[[str], None],
) -> Report:
    """Drill, so that signals stop it and take back what is injected.

    ``project`` is elsewhere than ``home`` where a copy is drilled.
    """
    place, machine = Project.at(project), SystemClock()
    if nats is None and place.supervisor_pid() is None and not place.elsewhere():
        place.check()
        message = (
            f"nothing runs in {place.folder}: start the pipeline (firedoor up), and drill then"
        )
        raise NotKnown(message)
    async with reach(project, nats=nats) as reached:
        foreign = nats is not None or place.elsewhere()
        named = os.environ.get(ENV, "") if place.folder == home.folder else "development"
        setting = _setting(
            reached.plan, named=named, foreign=foreign, allowed=allowed, because=because
        )
        objectives = await heard_objectives(reached.streams)
        if setting.environment == "production" and allowed:
            await require_leave(reached.streams, reached.plan, objectives, at_s=machine.utc_s())
        drill = Drill(
            streams=reached.streams, plan=reached.plan, clock=machine, matrix=matrix,
            setting=setting, note=lambda moment: tell(tell_moment(moment)),
            halted=lambda: _halted(home) or _halted(place), remaining=remaining_of(objectives),
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, drill.interrupt, "asked to end by a signal")
        return await drill.run()


def _setting(plan: Plan, *, named: str, foreign: bool, allowed: bool, because: str) -> Setting:
    """Return who drills, where, and what is allowed; ``foreign``: the broker is others'."""
    environment = environment_of(plan.environment, named, foreign_broker=foreign)
    return Setting(
        drill=new_name(SystemClock().utc_s()),
        by=somebody(),
        because=because,
        environment=environment,
        allowed=allowed,
        version=version_of("firedoor") or "",
    )


def new_name(at_s: float) -> str:
    """Return the name of a drill: its time, so that names sort, and two bytes of chance."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _halted(place: Project) -> str:
    """Return why nobody may drill here; empty: one may."""
    for file in (place.folder.parent / CHAOS_STOP, place.folder / CHAOS_STOP):
        if file.exists():
            return f"{file} stops all drills: remove it when they may go on"
    return ""


def _tell(text: str) -> None:
    """Say what happens, beside the report."""
    print(one_line(text, 200), file=sys.stderr, flush=True)


def _silent(text: str) -> None:
    """Say nothing."""
    del text


def _refuse(error: FiredoorError) -> NoReturn:
    """Say why it cannot begin, and end."""
    print(f"firedoor: {error}", file=sys.stderr)
    code = SAFETY if isinstance(error, DrillRefused) and CHAOS_STOP in str(error) else USAGE
    raise typer.Exit(code) from error
