"""``firedoor serve``, ``gateway`` and ``control``: answer requests by a pipeline's models."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from firedoor.compose.credentials import endpoint_of
from firedoor.compose.files import explain
from firedoor.compose.project import Project
from firedoor.errors import FiredoorError
from firedoor.ports.clock import Clock
from firedoor.spec.plan import Plan

REFUSED = 2
PORT = 8080

FileArgument = Annotated[Path, typer.Argument(help="The Python file that declares the pipeline.")]
PipelineOption = Annotated[
    Path | None,
    typer.Option("--pipeline", help="The pipeline's file, where no supervisor has loaded it."),
]
ProjectOption = Annotated[
    Path, typer.Option("--project", help="The folder that .firedoor is in.", show_default="here")
]
HostOption = Annotated[
    str, typer.Option("--host", help="Where requests are answered: 0.0.0.0 for other machines.")
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")]
NatsOption = Annotated[
    str | None, typer.Option("--nats", help="Address of a broker that is there already.")
]
CredentialsOption = Annotated[
    Path | None,
    typer.Option(
        "--credentials",
        help="JSON file with user and password for --nats; or set FIREDOOR_NATS_USER and "
        "FIREDOOR_NATS_PASSWORD.",
    ),
]
SupervisedOption = Annotated[
    bool, typer.Option("--supervised", help="End when standard input ends.", hidden=True)
]


def serve(
    pipeline: FileArgument,
    *,
    port: PortOption = PORT,
    host: HostOption = "127.0.0.1",
    gateways: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that share the port.")
    ] = 1,
    control_port: Annotated[
        int,
        typer.Option(
            "--control-port", min=0, max=65535, help="Of the control API; 0: any free one."
        ),
    ] = 0,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
    credentials: CredentialsOption = None,
) -> None:
    """Answer requests by the champions of a pipeline's services, until it is asked to end.

    Gateways answer, a control process drives rollouts, a broker carries what they say to each
    other: the one of `firedoor up`, if that runs here or as soon as it does, else one that is
    started. Answers go on whatever becomes of broker and control process. Ctrl-C or SIGTERM
    finishes what is under way.
    Ends with 0; with 2 if it cannot begin.
    """
    from firedoor.adapters.clock import SystemClock  # noqa: PLC0415 - a gateway needs none of it
    from firedoor.compose.loading import load_plan  # noqa: PLC0415
    from firedoor.compose.serve import ServeOptions, Serving  # noqa: PLC0415

    try:
        external = None if nats is None else endpoint_of(nats, credentials, os.environ)
        where = Project.at(project)
        where.create()
        options = ServeOptions(
            host=host, port=port, gateways=gateways, control_port=control_port, external=external
        )
        serving = Serving(
            project=where, plan=load_plan(pipeline), clock=SystemClock(), options=options,
            tell=lambda line: print(line, flush=True),
        )  # fmt: skip
        asyncio.run(_until_asked(serving))
    except FiredoorError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(explain(error))


async def _until_asked(serving: object) -> None:
    """Serve; signals ask it to end."""
    from firedoor.compose.serve import Serving  # noqa: PLC0415 - as above

    assert isinstance(serving, Serving)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, serving.end)
    await serving.run()


def gateway(
    *,
    pipeline: PipelineOption = None,
    port: PortOption = PORT,
    host: HostOption = "127.0.0.1",
    number: Annotated[int, typer.Option(hidden=True)] = 0,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
    credentials: CredentialsOption = None,
    supervised: SupervisedOption = False,
) -> None:
    """Answer requests as one process of its own, where something else supervises processes.

    It needs the project's folder and nobody: it goes on, and even begins, with the last that the
    control plane said, or else with the registry's champions. SIGTERM finishes what is under way
    and ends it. Ends with 2 if it cannot begin.
    """
    from firedoor.compose.gateway_process import GatewayOptions, run_gateway  # noqa: PLC0415

    try:
        endpoint = None if nats is None else endpoint_of(nats, credentials, os.environ)
        options = GatewayOptions(
            directory=project, pipeline=pipeline, endpoint=endpoint, host=host, port=port,
            number=number, supervised=supervised,
        )  # fmt: skip
        code = run_gateway(options)
    except FiredoorError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(explain(error))
    else:
        raise typer.Exit(code)


def control(
    *,
    pipeline: PipelineOption = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Of the control API; 0: any free one.")
    ] = 0,
    host: Annotated[
        str, typer.Option("--host", help="Of the control API: its tokens travel as they are.")
    ] = "127.0.0.1",
    project: ProjectOption = Path(),
    nats: NatsOption = None,
    credentials: CredentialsOption = None,
    supervised: SupervisedOption = False,
) -> None:
    """Drive the rollouts of a pipeline's services, and answer the control API.

    Of several only one drives a service; another waits, and takes over when that one is gone.
    Services are answered without it. Ends with 2 if it cannot begin.
    """
    from firedoor.api.app import control_app  # noqa: PLC0415 - a gateway needs none of it
    from firedoor.api.server import serve_control  # noqa: PLC0415
    from firedoor.api.tokens import Tokens  # noqa: PLC0415
    from firedoor.compose.control_process import (  # noqa: PLC0415
        ControlOptions,
        Reach,
        run_control,
    )

    async def serve_api(plan: Plan, where: Project, reach: Reach, clock: Clock) -> None:
        tokens = Tokens(where.folder)
        tokens.create()
        app = control_app(plan=plan, folder=where.folder, reach=reach, clock=clock, tokens=tokens)
        await serve_control(
            app, host, port, shared=supervised,
            began=lambda url: print(f"control API: {url}", flush=True),
        )  # fmt: skip

    try:
        endpoint = None if nats is None else endpoint_of(nats, credentials, os.environ)
        options = ControlOptions(
            directory=project, pipeline=pipeline, endpoint=endpoint,
            supervised=supervised,
        )  # fmt: skip
        code = run_control(options, serve_api)
    except FiredoorError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(explain(error))
    else:
        raise typer.Exit(code)


def _refuse(message: str) -> None:
    """Say why it cannot begin, and end."""
    print(f"firedoor: {message}", file=sys.stderr)
    raise typer.Exit(REFUSED)
