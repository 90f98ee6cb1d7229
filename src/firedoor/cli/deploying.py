"""What ``firedoor zone deploy`` and ``firedoor zone rollback`` do.

Apart from ``cli.zone``, which each zone's process imports at its start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import ask, somebody
from firedoor.compose.deploying import deploy, prepare_deploy, rollback
from firedoor.compose.deploys import Deploy
from firedoor.compose.operating import known_zone
from firedoor.compose.project import Project
from firedoor.compose.reaching import reach
from firedoor.compose.shadows import Terms, abort_shadow, begin_shadow, confirm_shadow
from firedoor.control.shadows import in_full
from firedoor.errors import DeclarationError, NotKnown
from firedoor.wire.shadow import Shadow, read_shadow, shadow_key

ROWS_MIN = Terms().rows_min


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line says."""

    zone: str
    code: Path | None
    project: Path
    nats: str | None
    because: str = ""
    shadow: bool = False
    confirm: bool = False
    abort: bool = False
    status: bool = False
    batches: int | None = None
    rows: int | None = None
    allow: str = ""
    auto: bool = True


def do_deploy(wish: Wish) -> None:
    """Do what is wished, and say what came of it."""
    ask(_check(wish))
    if wish.status:
        ask(_tell(wish))
    elif wish.abort:
        shadow = ask(_abort(wish))
        print(f"{wish.zone}: version {shadow.version} is tried no more; {shadow.beside} goes on")
    elif wish.confirm:
        _say_confirmed(wish.zone, ask(_confirm(wish)))
    elif wish.shadow:
        _say_begun(wish.zone, ask(_begin(wish)))
    else:
        _say_deployed(wish.zone, ask(_deploy(wish)))


def do_rollback(wish: Wish) -> None:
    """Bring back the code before, and say what came of it."""
    result = ask(_rollback(wish))
    if result.state == "failed":
        _say_failed(wish.zone, result.version, result.because)
    print(f"{wish.zone}: version {result.version} from {result.code} is at work again")


async def _check(wish: Wish) -> None:
    """Refuse options that do not go together."""
    chosen = [name for name in ("shadow", "confirm", "abort", "status") if getattr(wish, name)]
    if len(chosen) > 1:
        value = " ".join(f"--{name}" for name in chosen)
        raise DeclarationError("deploy", value, "are different wishes", "give one of them")
    if (wish.code is None) == (not chosen or wish.shadow):
        if wish.code is None:
            why, remedy = "is missing", "name the folder with the new code, as --code DIR"
        else:
            why, remedy = f"is not for --{chosen[0]}", "leave it out"
        raise DeclarationError("code", str(wish.code or ""), why, remedy)
    if not wish.shadow and (wish.batches or wish.rows or wish.allow):
        why = "say what a shadow has to show"
        raise DeclarationError("deploy", "--batches, --rows, --allow", why, "add --shadow")


async def _deploy(wish: Wish) -> Deploy:
    """Load, check, and have the supervisor replace the zone."""
    where = _supervised(wish)
    async with reach(wish.project, nats=wish.nats) as reached:
        code = wish.code or Path()
        deployed = await asyncio.to_thread(prepare_deploy, reached.plan, wish.zone, code)
        version = deployed.zone.version
        return await deploy(
            reached.streams,
            where,
            reached.plan,
            deployed,
            by=somebody(),
            because=wish.because,
            clock=SystemClock(),
            asked=lambda: print(f"{wish.zone}: version {version} is being started"),
        )


async def _rollback(wish: Wish) -> Deploy:
    """Have the supervisor bring back the code before."""
    where = _supervised(wish)
    async with reach(wish.project, nats=wish.nats) as reached:
        return await rollback(
            reached.streams,
            where,
            reached.plan,
            wish.zone,
            by=somebody(),
            because=wish.because,
            clock=SystemClock(),
        )


async def _begin(wish: Wish) -> Shadow:
    """Load, check, and have the zone's processes try the new code."""
    where = Project.at(wish.project)
    if wish.nats is None and not where.elsewhere():
        _supervised(wish)
    allow = tuple(name.removeprefix("columns=") for name in wish.allow.split(",") if name)
    terms = Terms(
        batches_min=Terms().batches_min if wish.batches is None else wish.batches,
        rows_min=Terms().rows_min if wish.rows is None else wish.rows,
        allow=allow,
        auto=wish.auto,
    )
    async with reach(wish.project, nats=wish.nats) as reached:
        code = wish.code or Path()
        deployed = await asyncio.to_thread(prepare_deploy, reached.plan, wish.zone, code)
        return await begin_shadow(
            reached.streams,
            where,
            reached.plan,
            deployed,
            terms,
            by=somebody(),
            because=wish.because,
            clock=SystemClock(),
        )


async def _confirm(wish: Wish) -> Shadow:
    """Have what is tried take over."""
    _supervised(wish)
    async with reach(wish.project, nats=wish.nats) as reached:
        known_zone(reached.plan, wish.zone)
        return await confirm_shadow(
            reached.streams,
            wish.zone,
            by=somebody(),
            because=wish.because,
            clock=SystemClock(),
        )


async def _abort(wish: Wish) -> Shadow:
    """End what is tried."""
    async with reach(wish.project, nats=wish.nats) as reached:
        known_zone(reached.plan, wish.zone)
        return await abort_shadow(
            reached.streams,
            wish.zone,
            by=somebody(),
            because=wish.because,
            at_s=SystemClock().utc_s(),
        )


async def _tell(wish: Wish) -> None:
    """Say how far it is."""
    async with reach(wish.project, nats=wish.nats) as reached:
        known_zone(reached.plan, wish.zone)
        shadow = read_shadow(await reached.streams.get(shadow_key(wish.zone)))
        for line in in_full(wish.zone, shadow) or [f"{wish.zone}: no code was tried beside it"]:
            print(line)


def _supervised(wish: Wish) -> Project:
    """Return the project, in which somebody has to be at work.

    Raises:
        NotKnown: if nobody is.
    """
    where = Project.at(wish.project)
    if where.run_pid() is None:
        message = (
            f"nothing runs in {where.folder}, so there is nothing to replace: start the pipeline "
            "with the code that is to run; at scale, have your scheduler start the zone with it"
        )
        raise NotKnown(message)
    return where


def _say_begun(zone: str, shadow: Shadow) -> None:
    """Say that new code is tried, and what will come of it."""
    print(f"{zone}: version {shadow.version} is tried beside {shadow.beside}, on copies of batches")
    need = f"{shadow.batches_min:,} batches and {shadow.rows_min:,} rows"
    if shadow.auto:
        print(f"  if it makes the same of {need} it takes over by itself; else it needs your word")
    else:
        print(f"  after {need} it needs your word: firedoor zone deploy {zone} --confirm")
    print(f"  how it goes: firedoor zone deploy {zone} --status")


def _say_confirmed(zone: str, shadow: Shadow) -> None:
    """Say what came of a person's word."""
    if shadow.state != "live":
        _say_failed(zone, shadow.version, shadow.ended)
    print(f"{zone}: version {shadow.version} is at work")


def _say_deployed(zone: str, result: Deploy) -> None:
    """Say what came of a deployment."""
    if result.state == "failed":
        _say_failed(zone, result.version, result.because)
    print(f"{zone}: version {result.version} is at work")


def _say_failed(zone: str, version: str, because: str) -> NoReturn:
    """Say that all stays as it was, and end."""
    print(f"{zone}: version {version} is not deployed, the old one is at work:")
    print(f"  {because}")
    raise typer.Exit(1)
