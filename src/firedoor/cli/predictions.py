"""``firedoor predictions``: what services answered, as a file to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import JsonOption, NatsOption, ProjectOption, ask, parse_when
from firedoor.compose.prediction_rows import Exported, export
from firedoor.compose.reaching import reach
from firedoor.control.predictions import predictions_between
from firedoor.errors import DeclarationError

app = typer.Typer(
    help="Copies of what services answered: exported, to learn from.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def predictions() -> None:
    """Keep ``export`` a command of its own, though it is the only one."""


@app.command("export")
def export_predictions(
    *,
    to: Annotated[Path, typer.Option("--to", help="The Parquet file to write.")],
    since: Annotated[
        str, typer.Option("--since", help="2026-11-29T12:00 (UTC), or how long ago: 36h.")
    ] = "24h",
    until: Annotated[str, typer.Option("--until", help="Likewise; up to there.")] = "0s",
    service: Annotated[str | None, typer.Option("--service", help="Only those of it.")] = None,
    unmasked: Annotated[
        bool, typer.Option("--unmasked", help="With values of sensitive columns.")
    ] = False,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Write predictions with their rows, features as used, scores, and labels that came.

    A row a row that was asked; columns about the prediction begin with _.
    """

    async def work() -> Exported:
        now_s = SystemClock().utc_s()
        since_s, until_s = parse_when("since", since, now_s), parse_when("until", until, now_s)
        if since_s >= until_s:
            raise DeclarationError("since", since, "is not before --until", "swap them")
        async with reach(project, nats=nats, services=True) as reached:
            records = predictions_between(reached.streams, since_s, until_s, service)
            return await export(records, to, frozenset() if unmasked else reached.sensitive)

    done = ask(work())
    if as_json:
        print(msgspec.json.encode(done).decode())
        return
    lost = f"; the rows of {done.unreadable:,} more are not known" if done.unreadable else ""
    print(
        f"{done.path}: {done.rows:,} rows of {done.predictions:,} predictions, "
        f"{done.labelled:,} of them labelled{lost}"
    )
