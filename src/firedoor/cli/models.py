"""``firedoor models``: versions listed, shown, compared, promoted, rolled back, barred."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import JsonOption, ProjectOption, answer, one_line, somebody, stop
from firedoor.cli.models_shown import (
    Side,
    comparison,
    comparison_lines,
    history_lines,
    models_table,
    standing_of,
    version_lines,
    versions_table,
)
from firedoor.cli.verdict_shown import training_line, verdict_lines
from firedoor.compose.models import Models, PruneReport, parse_version
from firedoor.compose.runs import Runs
from firedoor.errors import BundleDamaged, FiredoorError, NotKnown, StoreRefused
from firedoor.registry.model import ModelState, resolve
from firedoor.registry.retention import DAY_S, Retention
from firedoor.units import format_bytes

if TYPE_CHECKING:
    from rich.table import Table

    from firedoor.wire.run import RunRecord

BECAUSE_CHARACTERS = 200

VersionArgument = Annotated[str, typer.Argument(help="flights@3, or flights@champion.")]
BecauseOption = Annotated[str, typer.Option("--because", help="Why. Kept with who and when.")]

app = typer.Typer(
    help="Versions of models: list, show, compare, promote, roll back, quarantine, prune.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("list")
def list_models(*, as_json: JsonOption = False, project: ProjectOption = Path()) -> None:
    """List the models, and which versions of them count."""
    models = Models(project)
    kept = answer(lambda: {name: models.read(name) for name in models.names()})
    if as_json:
        print(json.dumps({name: standing_of(one) for name, one in kept.items()}))
        return
    if not kept:
        print("no models")
        return
    _print(models_table(kept, now_s=SystemClock().utc_s()))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="flights, flights@3 or flights@champion.")],
    *,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Show the versions of a model, or all that is known of one."""
    models = Models(project)
    model, wanted = answer(lambda: parse_version(name))
    state = answer(lambda: models.read(model).state)
    if not wanted:
        if as_json:
            print(json.dumps(msgspec.to_builtins(state)))
            return
        _print(versions_table(state, now_s=SystemClock().utc_s()))
        for content, because in state.barred.items():
            print(f"quarantined: {content} {one_line(because, BECAUSE_CHARACTERS)}")
        return
    version = answer(lambda: resolve(state, wanted))
    manifest = answer(lambda: models.manifest(f"{model}@{version.number}"))
    trained, judged = _run(project, version.run), _run(project, version.judged)
    verdict = None if judged is None else judged.verdict
    if as_json:
        told = {"version": version, "manifest": manifest, "training": trained, "verdict": verdict}
        print(json.dumps(msgspec.to_builtins(told)))
        return
    for line in version_lines(model, state, version, manifest):
        print(line)
    if trained is not None:
        print(training_line(trained))
    if version.judged:
        gone = ", whose record has gone" if judged is None else ""
        print(f"judged by  {version.judged}{gone}")
    for line in () if verdict is None else verdict_lines(verdict):
        print(line)


@app.command()
def compare(
    one: VersionArgument,
    other: VersionArgument,
    *,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Compare two versions: figures, evaluation, signature, files, environment."""
    models = Models(project)
    sides = answer(lambda: [_side(models, project, name) for name in (one, other)])
    told = comparison(sides[0], sides[1])
    if as_json:
        print(json.dumps(told))
        return
    for line in comparison_lines(one, other, told):
        print(line)


@app.command()
def add(
    model: Annotated[str, typer.Argument(help="flights")],
    *,
    from_mlflow: Annotated[
        str,
        typer.Option("--from-mlflow", help="A folder with an MLmodel, models:/x/1 or runs:/ID/m."),
    ],
    uri: Annotated[
        str,
        typer.Option("--uri", envvar="MLFLOW_TRACKING_URI", help="The server that it is on."),
    ] = "",
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Register a model of MLflow as a candidate; nothing of it is loaded."""
    from firedoor.compose.from_mlflow import add_from_mlflow  # noqa: PLC0415 - asked for seldom

    models = _models(project)
    version = answer(lambda: add_from_mlflow(models, model, from_mlflow, uri=uri))
    if as_json:
        print(json.dumps(msgspec.to_builtins(version)))
        return
    print(f"{model}@{version.number}: {version.state}")


@app.command()
def promote(
    name: VersionArgument,
    *,
    because: BecauseOption = "",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Though it was compared with another champion.")
    ] = False,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Have a qualified version go live; its bundle is verified first."""
    models = _models(project)
    answer(lambda: models.promote(name, because=because, anyway=anyway))
    _tell(models, name, as_json=as_json)


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="flights; or flights@3: only if that is live.")],
    *,
    because: BecauseOption = "",
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Have the version go live again that was live last. Needs nothing of the current one."""
    models = _models(project)
    answer(lambda: models.rollback(name, because=because))
    _tell(models, name, as_json=as_json)


@app.command()
def quarantine(
    name: VersionArgument,
    *,
    because: BecauseOption,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Bar a version, under any number; if it is live, what was live before takes over."""
    models = _models(project)
    answer(lambda: models.quarantine(name, because=because))
    _tell(models, name, as_json=as_json)


@app.command()
def release(
    name: VersionArgument,
    *,
    because: BecauseOption,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Let a quarantined version be a candidate again."""
    models = _models(project)
    answer(lambda: models.release(name, because=because))
    _tell(models, name, as_json=as_json)


@app.command()
def prune(
    *,
    keep_days: Annotated[float, typer.Option(min=0, help="Days since the last change.")] = 90,
    keep_newest: Annotated[int, typer.Option(min=0, help="Versions kept of each model.")] = 10,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Take away versions that are old and that no alias needs, and what no version refers to."""
    models = _models(project)

    def work() -> PruneReport:
        retention = Retention(keep_s=keep_days * DAY_S, keep_newest=keep_newest)
        return models.prune(retention, dry_run=dry_run)

    report = answer(work)
    if as_json:
        print(json.dumps(msgspec.to_builtins(report)))
        return
    would = "would go" if dry_run else "gone"
    for model, numbers in report.versions.items():
        print(f"{model}: versions {', '.join(map(str, numbers))} {would}")
    print(f"{len(report.bundles)} bundles {would} that no version refers to")
    if not dry_run:
        swept = report.swept
        print(swept.kept or f"{swept.files} files gone, {format_bytes(swept.bytes)}")


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="flights or flights@3; else all.")] = None,
    *,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Read bundles whole and compare them with what was stored; ends with 1 if one differs."""
    models = Models(project)
    names = answer(lambda: _versions_meant(models, name))
    found: dict[str, str] = {}
    for one in names:
        try:
            models.verify(one)
            found[one] = ""
        except (BundleDamaged, NotKnown) as error:
            found[one] = str(error)
        except FiredoorError as error:
            stop(error)
    damaged = [f"{one}: {why}" for one, why in found.items() if why]
    if as_json:
        print(json.dumps(found))
    else:
        for line in damaged:
            print(line)
        print(f"{len(found) - len(damaged)} of {len(found)} bundles are what was stored")
    if damaged:
        raise typer.Exit(1)


@app.command()
def history(
    model: Annotated[str, typer.Argument(help="flights")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Changes at most.")] = 30,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Show who changed what, when and why; the latest last."""
    models = Models(project)
    entries = answer(lambda: models.history(model, limit))
    if as_json:
        print(json.dumps(msgspec.to_builtins(entries)))
        return
    for line in history_lines(entries):
        print(line)


def _side(models: Models, project: Path, name: str) -> Side:
    """Return one side of a comparison."""
    version = models.find(name)[1]
    judged = _run(project, version.judged)
    return version, models.manifest(name), None if judged is None else judged.verdict


def _run(project: Path, name: str) -> RunRecord | None:
    """Return the record of a run that a version names, if it is still there."""
    try:
        return Runs(project).read(name) if name else None
    except (NotKnown, StoreRefused):
        return None


def _models(project: Path) -> Models:
    """Return the models, to be changed by who runs this."""
    return Models(project, by=somebody())


def _versions_meant(models: Models, name: str | None) -> list[str]:
    """Return each version that is meant."""
    if name is not None and "@" in name:
        return [name]
    chosen = models.names() if name is None else [name]
    return [
        f"{model}@{version.number}"
        for model in chosen
        for version in models.read(model).state.versions
    ]


def _tell(models: Models, name: str, *, as_json: bool) -> None:
    """Print how a model stands after a change."""
    model = parse_version(name)[0]
    kept = answer(lambda: models.read(model))
    if as_json:
        print(json.dumps(standing_of(kept)))
        return
    print(f"{model}: {_standing(kept.state)}")


def _standing(state: ModelState) -> str:
    """Return the aliases in a few words."""
    live = "nothing is live" if state.champion is None else f"version {state.champion} is live"
    back = "there is nothing to roll back to"
    if state.previous is not None:
        back = f"a rollback goes to version {state.previous}"
    return f"{live}, {back}"


def _print(table: Table) -> None:
    """Print a table."""
    from rich.console import Console  # noqa: PLC0415 - not needed where JSON is wanted

    Console(highlight=False).print(table)
