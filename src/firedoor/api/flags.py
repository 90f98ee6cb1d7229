"""Routes about flags and kill switches. They work while the broker is away, for this machine."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi import Path as InPath

from firedoor.api.bodies import (
    TEXT_MAX,
    Changed,
    ConfirmBody,
    FlagAnswer,
    FlagBody,
    FlagsAnswer,
    KillBody,
)
from firedoor.api.desk import At, Desk, Reader, Writer
from firedoor.api.rollouts import REFUSED
from firedoor.api.tokens import Token
from firedoor.compose.files import explain
from firedoor.control.flags import CONFIRM_S, Verb, Wanted, known_switch
from firedoor.errors import StoreRefused
from firedoor.wire.flags import KILL, Value, needs_confirmation

flags_router = APIRouter(responses=REFUSED)
Name = Annotated[
    str,
    InPath(
        max_length=120,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,119}$",
        description="Name of the flag.",
    ),
]
Word = Annotated[str, InPath(min_length=1, max_length=120)]


@flags_router.get("/flags")
async def list_flags(at: At, _: Reader) -> FlagsAnswer:
    """Show the flags that are set, kill switches among them."""
    flags, answered = await at.flags().read()
    now_s = at.clock.utc_s()
    told = [
        FlagAnswer(
            name=name,
            value=flag.value,
            share=flag.share,
            by=flag.by,
            because=flag.because,
            at_s=flag.at_s,
            confirm_s=flag.confirm_s,
            needs_confirmation=needs_confirmation(flag, now_s),
            offline=name in flags.offline,
        )
        for name, flag in sorted(flags.flags.items())
    ]
    return FlagsAnswer(generation=flags.generation, broker=answered, flags=told)


@flags_router.put("/flags/{name}")
async def set_flag(name: Name, body: FlagBody, at: At, who: Writer) -> Changed:
    """Set a flag, for everybody or for a share of the subjects."""
    if name.startswith(KILL):
        known_switch(at.plan, name)
    return await _change(
        at,
        who,
        "set",
        name,
        because=body.because,
        value=body.value,
        share=body.share,
        confirm_after_s=body.confirm_after_s,
    )


@flags_router.delete("/flags/{name}")
async def unset_flag(
    name: Name,
    because: Annotated[str, Query(min_length=1, max_length=TEXT_MAX, pattern=r"\S")],
    at: At,
    who: Writer,
) -> Changed:
    """Have the code's default hold again."""
    return await _change(at, who, "unset", name, because=because)


@flags_router.post("/flags/{name}/confirm")
async def confirm_flag(name: Name, body: ConfirmBody, at: At, who: Writer) -> Changed:
    """Say that a flag is still wanted as it is."""
    due_s = body.confirm_after_s
    return await _change(at, who, "confirm", name, because=body.because, confirm_after_s=due_s)


@flags_router.post("/kill/{zone}/{capability}")
async def kill(zone: Word, capability: Word, body: KillBody, at: At, who: Writer) -> Changed:
    """Throw a kill switch, or lift it. It holds until it is lifted."""
    name = known_switch(at.plan, f"{zone}.{capability}")
    if body.off:
        return await _change(at, who, "unset", name, because=body.because)
    due_s = body.confirm_after_s or CONFIRM_S
    return await _change(at, who, "set", name, because=body.because, confirm_after_s=due_s)


async def _change(
    at: Desk,
    who: Token,
    verb: Verb,
    name: str,
    *,
    because: str,
    value: Value = True,
    share: float = 1.0,
    confirm_after_s: float | None = None,
) -> Changed:
    """Make a change.

    Raises:
        FiredoorError: as ``FlagTable.change``; StoreRefused, if no file can be written either.
    """
    wanted = Wanted(
        verb=verb,
        name=name,
        by=who.name,
        because=because,
        at_s=at.clock.utc_s(),
        value=value,
        share=share,
        confirm_after_s=confirm_after_s,
    )
    try:
        made = await at.flags().change(wanted)
    except OSError as error:
        message = f"the broker is away, and {explain(error)}"
        raise StoreRefused(message) from error
    change = made.change
    return Changed(
        name=name,
        before=change.before,
        after=change.after,
        offline=made.offline,
        generation=made.flags.generation,
    )
