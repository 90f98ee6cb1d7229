"""``firedoor status`` and ``firedoor why``: who is hurt, and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import JsonOption, NatsOption, ProjectOption, ask, one_line
from firedoor.compose.project import Project
from firedoor.compose.reaching import Sight, look, reach
from firedoor.compose.serving_folder import GatewayState, ServingFolder
from firedoor.control.board import align, show_board
from firedoor.control.causes import Evidence, gather_evidence, known_zone, show_why
from firedoor.control.status import encode_snapshot
from firedoor.errors import ProjectBusy, StreamsUnavailable

WORDS_CHARACTERS = 160


def status(
    *, as_json: JsonOption = False, project: ProjectOption = Path(), nats: NatsOption = None
) -> None:
    """Say who is hurt, then zone by zone what to do.

    The first line says whether anybody outside a faulted zone is. Without the broker, all is told
    as it was when it last answered.
    """

    async def work() -> Sight:
        async with look(project, nats=nats) as sight:
            return sight

    sight = ask(work())
    gateways = ServingFolder(Project.at(project), print).gateways()
    if as_json:
        told = msgspec.json.decode(encode_snapshot(sight.snapshot))
        told["services"] = {str(number): state.services for number, state in gateways.items()}
        print(msgspec.json.encode({"running": sight.running, **told}).decode())
        return
    now_s = SystemClock().utc_s()
    if gateways and not sight.snapshot.zones:
        print("services are answered, and no zone runs: firedoor up starts them, if there are any")
    else:
        for line in show_board(sight.plan, sight.snapshot, now_s=now_s, running=sight.running):
            print(line)
    for line in _services(gateways):
        print(line)


def _services(gateways: Mapping[int, GatewayState]) -> list[str]:
    """Return how services are, gateway by gateway."""
    rows = [
        (service, str(number or "own"), one_line(words, WORDS_CHARACTERS))
        for number, state in gateways.items()
        for service, words in state.services.items()
    ]
    return ["", *align([("service", "gateway", "how"), *rows])] if rows else []


def why(
    zone: Annotated[str, typer.Argument(help="The zone's name.")],
    *,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Say why a zone is as it is.

    Its last transitions, what changed, and what rows died of.
    """

    async def work() -> list[str]:
        async with look(project, nats=nats, anyhow=True) as sight:
            known_zone(sight.plan, zone)
            now_s = SystemClock().utc_s()
            evidence = await _evidence(sight, zone, project)
            return show_why(sight.plan, sight.snapshot, zone, evidence, now_s=now_s)

    for line in ask(work()):
        print(line)


async def _evidence(sight: Sight, zone: str, project: Path) -> Evidence | None:
    """Return what the broker knows of a zone's past; None if it does not answer."""
    try:
        if sight.streams is not None:
            return await gather_evidence(sight.streams, sight.plan, zone)
        if sight.running:
            return None
        async with reach(project) as reached:
            return await gather_evidence(reached.streams, reached.plan, zone)
    except (StreamsUnavailable, ProjectBusy):
        return None
