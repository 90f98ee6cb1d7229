"""What commands have in common: options, the clock, and errors as one clear line."""

from __future__ import annotations

import asyncio
import getpass
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from firedoor.errors import FiredoorError

T = TypeVar("T")

ProjectOption = Annotated[
    Path, typer.Option("--project", help="The folder that .firedoor is in.", show_default="here")
]
NatsOption = Annotated[
    str | None, typer.Option("--nats", help="Address of the broker, if it is not the project's.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def ask(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; what firedoor raises is printed, and the command ends with 1."""
    return answer(lambda: asyncio.run(work))


def answer(work: Callable[[], T]) -> T:
    """Do a command's work that waits for nobody; errors end it as they do for ``ask``."""
    try:
        return work()
    except FiredoorError as error:
        stop(error)


def stop(error: FiredoorError) -> NoReturn:
    """Print an error, and end with 1."""
    print(f"firedoor: {error}", file=sys.stderr)
    raise typer.Exit(1) from error


def somebody() -> str:
    """Return who runs this command: ``ann@laptop``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no entry for this user id, as in some containers
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def one_line(text: str, length: int) -> str:
    """Return text in one line, cut at its end; control characters are shown, not sent."""
    plain = "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
    return plain if len(plain) <= length else plain[: length - 4] + " ..."
