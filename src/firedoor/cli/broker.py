"""``firedoor broker``: what a broker that others run needs before zones can meet there."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from firedoor.cli.run import CredentialsOption
from firedoor.cli.unloadable import refusals_told
from firedoor.compose.connecting import connect_to
from firedoor.compose.credentials import endpoint_of
from firedoor.compose.loading import load_plan
from firedoor.compose.project import Endpoint, Project
from firedoor.errors import StoreRefused
from firedoor.spec.plan import Plan

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Prepare a broker that is not started by firedoor.",
)

FileArgument = Annotated[Path, typer.Argument(help="The Python file that declares the pipeline.")]


@app.command()
def users(
    pipeline: FileArgument,
    *,
    out: Annotated[
        Path, typer.Option("--out", help="The folder to write to; only its owner can read it.")
    ] = Path("users"),
) -> None:
    """Write a user for each zone, for the settings of a broker.

    Each may use its own inboxes, the next ones and its own records, and nothing else. Passwords
    that are in the folder already stay.
    """
    from firedoor.adapters.nats.users import write_account  # noqa: PLC0415 - optional dependency

    with refusals_told():
        plan = load_plan(pipeline)
        try:
            settings, admin, *zones = write_account(out, plan)
        except OSError as error:
            message = f"{out} cannot be written ({error.strerror}): name another folder with --out"
            raise StoreRefused(message) from error
    print(f"{settings}: include it in accounts {{ }} of the broker's settings")
    print(f"{admin}: --credentials of `firedoor broker declare`")
    for zone in zones:
        name = zone.stem.removeprefix("zone-")
        print(f"{zone}: --credentials of `firedoor zone run {name}`")


@app.command()
def declare(
    pipeline: FileArgument,
    *,
    nats: Annotated[
        str, typer.Option("--nats", help="Address of the broker; several are joined by commas.")
    ],
    credentials: CredentialsOption = None,
    project: Annotated[
        Path,
        typer.Option("--project", help="The folder to make .firedoor in.", show_default="here"),
    ] = Path(),
) -> None:
    """Make the streams of a pipeline, or bring them up to date.

    In a cluster each is kept three times. The pipeline and the broker are noted in the folder, so
    that status, dlq, trace and the others work from there.
    """
    with refusals_told():
        plan = load_plan(pipeline)
        endpoint = endpoint_of(nats, credentials, os.environ)
        there = Project.at(project)
        there.create()
        with there.locked():
            copies = asyncio.run(_declare(plan, endpoint))
            there.write_plan(plan)
            there.write_endpoint(endpoint)
    kept = "kept once" if copies == 1 else f"kept {copies} times each"
    print(f"{plan.pipeline}: {len(plan.edges)} inboxes and what is kept beside them, {kept}")


async def _declare(plan: Plan, endpoint: Endpoint) -> int:
    """Declare; return how often each stream is kept."""
    from firedoor.adapters.nats.declaring import copies_of  # noqa: PLC0415 - optional dependency

    streams = await connect_to(endpoint, pipeline=plan.pipeline)
    try:
        await streams.declare(plan)
        return copies_of(streams.link)
    finally:
        await streams.close()
