"""``firedoor zone``: run one zone as a process of its own, and operate a zone that runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firedoor.compose.credentials import endpoint_of
from firedoor.compose.files import explain
from firedoor.compose.zone_process import REFUSED, ZoneOptions, run_zone
from firedoor.errors import FiredoorError

if TYPE_CHECKING:
    from firedoor.compose.operating import GuardVerb, Verb

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Run one zone, or operate a zone that runs.",
)

NameArgument = Annotated[str, typer.Argument(help="The zone's name.")]
ProjectOption = Annotated[
    Path, typer.Option("--project", help="The folder that .firedoor is in.", show_default="here")
]
NatsOption = Annotated[
    str | None, typer.Option("--nats", help="Address of the broker, if it is not the project's.")
]
BecauseOption = Annotated[str, typer.Option("--because", help="Why: shown by `firedoor status`.")]


@app.command()
def run(
    name: NameArgument,
    *,
    project: ProjectOption = Path(),
    pipeline: Annotated[
        Path | None,
        typer.Option("--pipeline", help="The pipeline's file, where no supervisor has loaded it."),
    ] = None,
    nats: NatsOption = None,
    credentials: Annotated[
        Path | None, typer.Option("--credentials", help="JSON file with user and password.")
    ] = None,
    health: Annotated[
        int | None,
        typer.Option(
            "--health", min=0, max=65535, help="Port of /livez, /readyz and /metrics; 0: any."
        ),
    ] = None,
    health_host: Annotated[
        str,
        typer.Option(
            "--health-host",
            help="Where --health is answered: 0.0.0.0 for Kubernetes, which asks from outside.",
            show_default="127.0.0.1",
        ),
    ] = "",
    supervised: Annotated[
        bool, typer.Option("--supervised", help="End when standard input ends.", hidden=True)
    ] = False,
    deployed: Annotated[
        Path | None, typer.Option("--deployed", help="The zone's new plan.", hidden=True)
    ] = None,
) -> None:
    """Run one zone as a process of its own.

    It ends when it is drained: by SIGTERM, by an order, or as a source that has no more. It
    finishes what it has begun, within 30 s. It needs the broker and nobody else.
    """
    try:
        endpoint = None if nats is None else endpoint_of(nats, credentials, os.environ)
        options = ZoneOptions(
            zone=name,
            directory=project,
            pipeline=pipeline,
            endpoint=endpoint,
            deployed=deployed,
            supervised=supervised,
            health=health,
            health_host=health_host,
        )
        code = run_zone(options)
    except FiredoorError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(explain(error))
    else:
        raise typer.Exit(code)


@app.command()
def pause(
    name: NameArgument,
    *,
    because: BecauseOption = "",
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Have a zone take no more.

    Its input waits in its inbox; `resume` lets it go on.
    """
    _order(name, "pause", because, project, nats)


@app.command()
def resume(
    name: NameArgument,
    *,
    because: BecauseOption = "",
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Have a zone go on that is paused, halted or drained."""
    _order(name, "resume", because, project, nats)


@app.command()
def drain(
    name: NameArgument,
    *,
    because: BecauseOption = "",
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Have a zone finish what it has begun and end.

    `resume` starts it again.
    """
    _order(name, "drain", because, project, nats)


@app.command()
def restart(
    name: NameArgument,
    *,
    because: BecauseOption = "",
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Replace a zone's process by a fresh one.

    That one tries again what had halted the zone.
    """
    _order(name, "restart", because, project, nats)


GuardArgument = Annotated[
    str, typer.Argument(help="The guard's name, as in depends=: `firedoor why` lists them.")
]


@app.command(name="open")
def open_guard(
    name: NameArgument,
    guard: GuardArgument,
    *,
    because: BecauseOption = "",
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Have a guard of a zone's step refuse every call.

    The zone pauses, as when the dependency is away, until `close` or `reset`.
    """
    _order_guard(name, guard, "open", because, project, nats)


@app.command(name="close")
def close_guard(
    name: NameArgument,
    guard: GuardArgument,
    *,
    because: BecauseOption = "",
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Have a guard of a zone's step make every call, whatever its breaker thinks.

    Until `open` or `reset`.
    """
    _order_guard(name, guard, "close", because, project, nats)


@app.command(name="reset")
def reset_guard(
    name: NameArgument,
    guard: GuardArgument,
    *,
    because: BecauseOption = "",
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Have a guard of a zone's step begin anew, and judge by itself again."""
    _order_guard(name, guard, "reset", because, project, nats)


@app.command()
def deploy(
    name: NameArgument,
    *,
    code: Annotated[
        Path | None,
        typer.Option("--code", help="Folder with the changed pipeline file and its modules."),
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Try it beside the live code first, on copies.")
    ] = False,
    batches: Annotated[
        int | None, typer.Option("--batches", help="Batches to compare; 20 unless given.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", help="Rows to compare; 10,000 unless given.")
    ] = None,
    allow: Annotated[
        str,
        typer.Option(
            "--allow", help="What may differ: columns=NAME,NAME; also rows, dead, dropped, *."
        ),
    ] = "",
    auto: Annotated[
        bool, typer.Option("--auto/--no-auto", help="Take over by itself where all is the same.")
    ] = True,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Have what is tried take over.")
    ] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Try it no more.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say how far it is.")] = False,
    because: BecauseOption = "",
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Replace one zone's code while the others run.

    Batches in flight finish on the old version. A schema that does not fit beside the zones that
    run is refused; a version that does not get to work within a minute is taken back. With
    --shadow it runs beside the old one on copies of batches first, and takes over if it makes the
    same, or when you --confirm it.
    """
    from firedoor.cli.deploying import Wish, do_deploy  # noqa: PLC0415 - as in _order

    do_deploy(
        Wish(
            zone=name,
            code=code,
            project=project,
            nats=nats,
            because=because,
            shadow=shadow,
            confirm=confirm,
            abort=abort,
            status=status,
            batches=batches,
            rows=rows,
            allow=allow,
            auto=auto,
        )
    )


@app.command()
def rollback(
    name: NameArgument,
    *,
    because: Annotated[str, typer.Option("--because", help="Why: kept with the change.")],
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Bring back the code that was live before, also after an ordinary deploy.

    Batches in flight finish on the version that has them, and nothing is needed of that one. Asked
    again, it goes back further.
    """
    from firedoor.cli.deploying import Wish, do_rollback  # noqa: PLC0415 - as in _order

    do_rollback(Wish(zone=name, code=None, project=project, nats=nats, because=because))


def _order(name: str, verb: Verb, because: str, project: Path, nats: str | None) -> None:
    """Keep an order, and say what it does."""
    from firedoor.adapters.clock import SystemClock  # noqa: PLC0415 - a zone's process starts faster so
    from firedoor.cli.asking import ask, somebody  # noqa: PLC0415
    from firedoor.compose.operating import give_order  # noqa: PLC0415
    from firedoor.compose.project import Project  # noqa: PLC0415
    from firedoor.compose.reaching import reach  # noqa: PLC0415

    there = Project.at(project)
    running = nats is not None or there.supervisor_pid() is not None or there.elsewhere()

    async def work() -> None:
        async with reach(project, nats=nats) as reached:
            await give_order(
                reached.streams,
                reached.plan,
                name,
                verb,
                because=because,
                by=somebody(),
                at_s=SystemClock().utc_s(),
            )

    ask(work())
    if running:
        print(f"{name}: {_SAID[verb].format(name=name)}")
    else:
        print(f"{name}: nothing runs here; {_LATER[verb].format(name=name)}")


def _order_guard(
    name: str, guard: str, verb: GuardVerb, because: str, project: Path, nats: str | None
) -> None:
    """Keep an order for a guard, and say what it does."""
    from firedoor.adapters.clock import SystemClock  # noqa: PLC0415 - as in _order
    from firedoor.cli.asking import ask, somebody  # noqa: PLC0415
    from firedoor.compose.operating import order_guard  # noqa: PLC0415
    from firedoor.compose.reaching import reach  # noqa: PLC0415

    async def work() -> None:
        async with reach(project, nats=nats) as reached:
            await order_guard(
                reached.streams,
                reached.plan,
                name,
                guard,
                verb,
                because=because,
                by=somebody(),
                at_s=SystemClock().utc_s(),
            )

    ask(work())
    print(f"{name}: {guard} {_GUARD_SAID[verb].format(name=name, guard=guard)}")


_GUARD_SAID: dict[GuardVerb, str] = {
    "open": "refuses every call from the next batch on, until "
    '`firedoor zone reset {name} "{guard}"`',
    "close": "makes every call from the next batch on, until "
    '`firedoor zone reset {name} "{guard}"`',
    "reset": "begins anew with the next batch",
}
_SAID: dict[Verb, str] = {
    "pause": "takes no more; `firedoor zone resume {name}` lets it go on",
    "resume": "goes on, if no kill switch holds it: `firedoor status` says so",
    "drain": "finishes what it has begun and ends; `firedoor zone resume {name}` starts it again",
    "restart": "makes room for a fresh process",
}
_LATER: dict[Verb, str] = {
    "pause": "the next run begins with it paused, until `firedoor zone resume {name}`",
    "resume": "the next run begins with it at work",
    "drain": "the next run goes without it, until `firedoor zone resume {name}`",
    "restart": "the next run starts a fresh process anyway",
}


def _refuse(message: str) -> None:
    """Say why it cannot begin, and end."""
    print(f"firedoor: {message}", file=sys.stderr)
    raise typer.Exit(REFUSED)
