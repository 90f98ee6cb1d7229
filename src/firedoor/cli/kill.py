"""``firedoor kill``: throw a kill switch of a zone or a service, also while the broker is away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firedoor.cli.asking import NatsOption, ProjectOption, ask
from firedoor.cli.flagging import HOUR_S, BecauseOption, HoursOption, desk, tell_offline
from firedoor.compose.flag_table import Changed
from firedoor.control.causes import clock
from firedoor.control.flags import CONFIRM_S, known_switch
from firedoor.wire.flags import KILL


def kill(
    target: Annotated[
        str,
        typer.Argument(
            metavar="ZONE.CAPABILITY",
            help="What of which zone or service: predict.candidate, clean.ingest ...",
        ),
    ],
    *,
    because: BecauseOption,
    off: Annotated[bool, typer.Option("--off", help="Lift it.")] = False,
    hours: HoursOption = None,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Throw a kill switch, or lift one.

    Of a service: route (answers from its fallbacks only), candidate (gets no traffic), model (no
    version runs), features.GROUP, log. Of a zone: ingest (takes no more), retry (its guards make
    one attempt), model (it holds). It holds until it is lifted: after a day, or --hours, `firedoor
    flag list` asks somebody to confirm it. It works while the broker is away, for this machine.
    """

    async def work() -> tuple[Changed, Path]:
        async with desk(project, nats) as at:
            name = known_switch(at.plan, target)
            due_s = CONFIRM_S if hours is None else hours * HOUR_S
            changed = await at.change(
                "unset" if off else "set",
                name,
                because=because,
                confirm_after_s=None if off else due_s,
            )
            return changed, at.file

    changed, file = ask(work())
    plain = target.removeprefix(KILL)
    flag = changed.flags.flags.get(changed.change.about)
    if flag is None:
        print(f"{plain} is lifted")
    else:
        print(f"{plain} is killed, and stays so; `firedoor kill {plain} --off` lifts it")
        if flag.confirm_s is not None:
            print(f"somebody is to confirm it by {clock(flag.confirm_s)}")
    for line in tell_offline(changed, file):
        print(line)
