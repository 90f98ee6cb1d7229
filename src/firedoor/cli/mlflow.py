"""``firedoor mlflow``: runs and models mirrored to a tracking server of MLflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from firedoor.adapters.mlflow.naming import check_uri, shown
from firedoor.adapters.mlflow.server import Server
from firedoor.adapters.mlflow.tracking import MlflowTracking
from firedoor.cli.asking import JsonOption, ProjectOption, one_line
from firedoor.compose.mirroring import Mirror, Mirrored, Place
from firedoor.errors import DeclarationError, DependencyDown, FiredoorError

ENV = "MLFLOW_TRACKING_URI"
REFUSED = 2
AWAY = 3
"""How the command ends while the server is away: nothing is wrong, and it may be run again."""
LOOK_S = 2.0
"""Between two looks at the project with ``--follow``."""
AWAY_S = 5.0
"""Between two tries while the server is away, or refuses something."""
AFTER_S = 20.0
"""How long a mirror has that is started when a run has ended."""
LINE_MAX = 300

app = typer.Typer(
    help="MLflow: mirror runs, figures, artifacts, versions and aliases to a tracking server.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def mlflow() -> None:
    """MLflow: mirror runs, figures, artifacts, versions and aliases to a tracking server."""


@app.command()
def mirror(
    *,
    uri: Annotated[
        str, typer.Option("--uri", envvar=ENV, help="The server: http://127.0.0.1:5000.")
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until Ctrl-C or SIGTERM, also while it is away.")
    ] = False,
    pipeline: Annotated[
        str, typer.Option("--pipeline", help="Only runs of this one, and what they made.")
    ] = "",
    name: Annotated[
        str, typer.Option("--name", help="Of the project on the server; else its folder's.")
    ] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Look at everything again: the server lost some of it.")
    ] = False,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Send what is new of a project's runs and models. May be killed, and run as often as wished.

    Nothing is there twice. Ends with 0 if all is there, with 1 if some of it was refused, with 2
    if there is no such server, with 3 if it is away: what was sent stays, and the rest goes with
    the next call.
    """
    try:
        uri = check_uri(uri or _nowhere())
        place = Place(project, uri)
        with place.held():
            note = place.read(name, again=again)
            tracking = MlflowTracking(Server(uri), place.known_as())
            work = Mirror(project, tracking, place, note, pipeline=pipeline)
            if follow:
                with _asked_to_end() as ended:
                    _follow(work.once, ended, as_json=as_json)
                return
            done = work.once()
    except FiredoorError as error:
        codes = {DependencyDown: AWAY, DeclarationError: REFUSED}
        _end(error, codes.get(type(error), 1))
    _tell(done, {}, as_json=as_json)
    if not as_json and not done.said and not done.refused:
        print(f"{shown(uri)} has all of it")
    if done.refused:
        print("firedoor: if the server lost some of it, give --again", file=sys.stderr)
        raise typer.Exit(1)


def _end(error: FiredoorError, code: int) -> NoReturn:
    """Print an error, and end with that code."""
    print(f"firedoor: {error}", file=sys.stderr)
    raise typer.Exit(code) from error


def mirror_after(uri: str, project: Path) -> None:
    """Mirror a project in a process of its own, for some seconds, and only warn if it fails."""
    command = [sys.executable, "-m", "firedoor.cli", "mlflow", "mirror", "--project", str(project)]
    # By the environment: the address may hold a password, and arguments are seen by everybody.
    environment = {**os.environ, ENV: uri}
    try:
        ended = subprocess.run(  # noqa: S603 - our own program
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=AFTER_S,
            check=False,
        )
        why = ended.stderr.strip().removeprefix("firedoor: ") if ended.returncode else ""
    except subprocess.TimeoutExpired:
        why = f"it took longer than {AFTER_S:.0f} s"
    except KeyboardInterrupt:
        why = "it was asked to end"
    except OSError as error:
        why = f"it cannot be started: {error}"
    if why:
        later = "`firedoor mlflow mirror` sends the rest"
        print(f"warning: not all is mirrored: {one_line(why, LINE_MAX)}; {later}", file=sys.stderr)


def _nowhere() -> str:
    """Refuse to guess.

    Raises:
        DeclarationError: always.
    """
    raise DeclarationError(
        "uri", "", "says no server", f"give --uri http://127.0.0.1:5000, or set {ENV}"
    )


def _follow(once: Callable[[], Mirrored], ended: threading.Event, *, as_json: bool) -> None:
    """Mirror until asked to end; a server that is away is told once, and waited for."""
    refused: dict[str, str] = {}
    away = False
    while not ended.is_set():
        try:
            done = once()
        except DependencyDown as error:
            if not away:
                print(f"firedoor: {error}; it is tried again until it is back", file=sys.stderr)
            away, wait_s = True, AWAY_S
        else:
            if away:
                print("firedoor: the tracking server is back", file=sys.stderr)
            away = False
            _tell(done, refused, as_json=as_json)
            refused = done.refused
            wait_s = AWAY_S if refused else LOOK_S
        ended.wait(wait_s)


def _tell(done: Mirrored, before: dict[str, str], *, as_json: bool) -> None:
    """Print what a pass did; what was refused before as well is not told again."""
    new = {what: why for what, why in done.refused.items() if before.get(what) != why}
    if as_json:
        if done.said or new or not before:
            print(json.dumps({"said": done.said, "refused": new}), flush=True)
        return
    for line in done.said:
        print(one_line(line, LINE_MAX), flush=True)
    for what, why in new.items():
        print(f"firedoor: {what}: {why}", file=sys.stderr)


@contextmanager
def _asked_to_end() -> Iterator[threading.Event]:
    """Return what is set by SIGINT and SIGTERM, while the block is at work."""
    ended = threading.Event()
    both = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.signal(one, lambda *_: ended.set()) for one in both}
    try:
        yield ended
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
