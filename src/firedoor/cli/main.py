"""``firedoor``: the command line."""

from __future__ import annotations

import importlib
from typing import Annotated, cast

import typer
import typer.core

COMMANDS = {
    "run": "firedoor.cli.run:run",
    "up": "firedoor.cli.run:up",
    "serve": "firedoor.cli.serve:serve",
    "rollout": "firedoor.cli.rollout:app",
    "gateway": "firedoor.cli.serve:gateway",
    "control": "firedoor.cli.serve:control",
    "status": "firedoor.cli.status:status",
    "why": "firedoor.cli.status:why",
    "dlq": "firedoor.cli.dlq:app",
    "trace": "firedoor.cli.trace:trace",
    "zone": "firedoor.cli.zone:app",
    "drill": "firedoor.cli.drill:app",
    "job": "firedoor.cli.job:app",
    "runs": "firedoor.cli.runs:app",
    "datasets": "firedoor.cli.datasets:app",
    "reproduce": "firedoor.cli.reproduce:reproduce",
    "predictions": "firedoor.cli.predictions:app",
    "models": "firedoor.cli.models:app",
    "mlflow": "firedoor.cli.mlflow:app",
    "flag": "firedoor.cli.flag:app",
    "kill": "firedoor.cli.kill:kill",
    "changes": "firedoor.cli.changed:changed",
    "events": "firedoor.cli.events:events",
    "backfill": "firedoor.cli.backfill:backfill",
    "map": "firedoor.cli.map:draw",
    "check": "firedoor.cli.check:check",
    "new": "firedoor.cli.new:new",
    "doctor": "firedoor.cli.doctor:doctor",
    "broker": "firedoor.cli.broker:app",
}
"""Each command's module is imported when it is asked for: a zone's process must start quickly."""


class Commands(typer.core.TyperGroup):
    """Commands by name, each loaded when it is needed."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override] # noqa: ARG002
        """Return the names, in the order in which they are needed."""
        return list(COMMANDS)

    def get_command(  # type: ignore[override]
        self,
        ctx: typer.Context,  # noqa: ARG002 - the signature is given
        cmd_name: str,
    ) -> typer.core.TyperCommand | typer.core.TyperGroup | None:
        """Return a command, importing its module."""
        where = COMMANDS.get(cmd_name)
        if where is None:
            return None
        module, _, attribute = where.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            return typer.main.get_group(found)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(cmd_name)(found)
        return cast("typer.core.TyperCommand", typer.main.get_command(alone))


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def firedoor(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Fault isolation for machine-learning pipelines: one bad row costs one row."""
    if version:
        from firedoor.compute.doctor import version_of  # noqa: PLC0415 - only where it is asked for

        print(f"firedoor {version_of('firedoor') or '(not installed as a package)'}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    app()
