"""What commands have in common: options, the clock, and errors as one clear line."""

from __future__ import annotations

import asyncio
import datetime as dt
import getpass
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from firedoor.errors import DeclarationError, FiredoorError

T = TypeVar("T")
AGES = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

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


def parse_when(field: str, text: str, now_s: float) -> float:
    """Return seconds since 1970 of an instant (UTC unless it says otherwise), or of an age.

    Raises:
        DeclarationError: for what is neither.
    """
    count, unit = text[:-1], AGES.get(text[-1:])
    if unit is not None and count.isdecimal():
        return now_s - int(count) * unit
    try:
        instant = dt.datetime.fromisoformat(text)
    except ValueError:
        remedy = "write 2026-11-29T12:00, or an age like 90m, 36h, 7d"
        raise DeclarationError(field, text, "is no time", remedy) from None
    return (instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).timestamp()
