"""``firedoor rollout``: have a new version rolled out, and see what it waits for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import JsonOption, NatsOption, ProjectOption, ask, somebody
from firedoor.cli.rollout_shown import picture_lines
from firedoor.compose.reaching import Reached, reach
from firedoor.compose.rollout_desk import Picture, Taken, known_service, order, picture
from firedoor.wire.rollout_order import RolloutOrder, Verb

WAITS, REFUSED = 3, 4
WATCH_S = 1.0

ServiceArgument = Annotated[str, typer.Argument(help="The service.")]
BecauseOption = Annotated[
    str, typer.Option("--because", help="Why: kept with the change, and shown to others.")
]

app = typer.Typer(
    help="New versions of a service's model, let in step by step.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def start(
    service: ServiceArgument,
    *,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Which; else the challenger.")
    ] = None,
    supersede: Annotated[
        bool, typer.Option("--supersede", help="End a rollout that is under way.")
    ] = False,
    override: Annotated[
        bool,
        typer.Option("--override", help="Although it is not qualified, or is quarantined."),
    ] = False,
    because: BecauseOption = "",
    second: Annotated[
        str, typer.Option("--second", help="Who agrees, where two people are needed.")
    ] = "",
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Have a version rolled out: shadow, then more and more requests, as evidence allows.

    The challenger, which an evaluation qualified last, or --version. It goes on by itself, and is
    taken back by itself. One at a time: a second one waits, unless it supersedes. Ends with 0 when
    the control process has taken the order, with 3 if none runs and the order waits, with 4 if it
    was refused.
    """
    _order(
        service, "start", because, project, nats, version=version, supersede=supersede,
        override=override, second=second,
    )  # fmt: skip


@app.command()
def status(
    service: Annotated[str, typer.Argument(help="The service; else all.")] = "",
    *,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and print what changes.")] = False,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Say how rollouts are, and what each waits for: evidence so far against what it takes."""

    async def work() -> None:
        before: list[str] = []
        async with reach(project, nats=nats, services=True) as reached:
            while True:
                now = await _texts(reached, service, as_json=as_json)
                if now != before:
                    print("\n".join(now), flush=True)
                before = now
                if not watch:
                    return
                await SystemClock().wait(WATCH_S)

    try:
        ask(work())
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command()
def pause(
    service: ServiceArgument, *, because: BecauseOption, project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:  # fmt: skip
    """Keep its share as it is.

    It is judged all the same, and taken back if it is worse.
    """
    _order(service, "pause", because, project, nats)


@app.command()
def resume(
    service: ServiceArgument, *, because: BecauseOption = "", project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:  # fmt: skip
    """Let it go on after a pause."""
    _order(service, "resume", because, project, nats)


@app.command()
def abort(
    service: ServiceArgument, *, because: BecauseOption, project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:  # fmt: skip
    """End the rollout: everybody is served by the champion, within a second.

    The version is not barred: it may be rolled out again.
    """
    _order(service, "abort", because, project, nats)


@app.command()
def promote(
    service: ServiceArgument, *, because: BecauseOption, project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:  # fmt: skip
    """Have the candidate go live now, whatever evidence there is."""
    _order(service, "promote", because, project, nats)


@app.command()
def rollback(
    service: ServiceArgument, *, because: BecauseOption, project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:  # fmt: skip
    """Go back to the version that was live before, within a second.

    During a rollout and its bake to the champion of before; later to what was live before the
    champion. While no broker runs: `firedoor models rollback`.
    """
    _order(service, "rollback", because, project, nats)


def _order(
    service: str,
    verb: Verb,
    because: str,
    project: Path,
    nats: str | None,
    *,
    version: int | None = None,
    supersede: bool = False,
    override: bool = False,
    second: str = "",
) -> None:
    """Give an order, and say what became of it."""
    clock = SystemClock()

    async def work() -> Taken:
        async with reach(project, nats=nats, services=True) as reached:
            known_service(reached.plan, service)
            wanted = RolloutOrder(
                number=0, verb=verb, by=somebody(), because=because, at_s=clock.utc_s(),
                version=version, supersede=supersede, override=override, second=second,
            )  # fmt: skip
            return await order(reached.streams, service, wanted, clock=clock)

    taken = ask(work())
    if not taken.taken:
        who = "the control process has not seen to it yet" if taken.controlled else (
            "no control process runs: `firedoor serve` or `firedoor control` starts one"
        )  # fmt: skip
        print(f"{service}: the order to {verb} waits (number {taken.number}); {who}")
        raise typer.Exit(WAITS)
    for said in taken.said:
        print(f"{service}: {said.what}" + (f": {said.because}" if said.because else ""))
    if taken.refusal:
        raise typer.Exit(REFUSED)
    if not taken.said:
        print(f"{service}: the order to {verb} was taken; see `firedoor rollout status {service}`")


async def _texts(reached: Reached, wanted: str, *, as_json: bool) -> list[str]:
    """Return what is said of each service."""
    if wanted:
        known_service(reached.plan, wanted)
    now_s = SystemClock().utc_s()
    told = []
    for service in reached.plan.services:
        if wanted in {"", service.name}:
            found = await picture(reached.streams, service, now_s=now_s)
            told += [_as_json(found)] if as_json else picture_lines(found, now_s=now_s)
    return told or ["this pipeline declares no service"]


def _as_json(found: Picture) -> str:
    """Return a picture as a line of JSON."""
    return json.dumps(msgspec.to_builtins(found))
