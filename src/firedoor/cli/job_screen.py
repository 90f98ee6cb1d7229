"""What is seen of a job while it runs, and how it is asked to end."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from firedoor.compose.recording import Watcher

if TYPE_CHECKING:
    from rich.console import Console

    from firedoor.wire.run import RunRecord

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals(asked: list[int]) -> Iterator[None]:
    """Note signals that ask to end, while the block is at work; not those that nohup ignores."""
    heard = [one for one in SIGNALS if signal.getsignal(one) != signal.SIG_IGN]
    before = {one: signal.signal(one, lambda number, _: asked.append(number)) for one in heard}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def screen(job: str, *, quiet: bool) -> Iterator[Watcher]:
    """Show what the job prints, and on a terminal a bar that moves."""
    if quiet:
        yield lambda record: None  # noqa: ARG005 - nobody looks
        return
    from rich.console import Console  # noqa: PLC0415 - not needed where JSON is wanted
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)
    text = TextColumn("{task.description}", markup=False)
    told = TextColumn("{task.fields[told]}", markup=False)
    bar = Progress(
        text, BarColumn(), told, TimeElapsedColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    )  # fmt: skip
    with bar, _printed(job, console):
        task = bar.add_task(job, total=None, told="")

        def watch(record: RunRecord) -> None:
            step = f" {record.step}" if record.step else ""
            figures = [f"{name} {value:.4g}" for name, value in list(record.metrics.items())[-2:]]
            bar.update(
                task, description=f"{record.id}{step}", completed=record.done or 0,
                total=record.total, told=", ".join(figures),
            )  # fmt: skip

        yield watch


@contextmanager
def _printed(job: str, console: Console) -> Iterator[None]:
    """Print what the job prints, in characters that do nothing to a terminal."""

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage().expandtabs()
            plain = "".join(char if char.isprintable() else " " for char in text)
            # A reader that has gone, as with `| head`, is no reason for the job to end.
            with contextlib.suppress(OSError, ValueError):
                say(plain)

    say = console.print if console.is_terminal else print
    logger, handler = logging.getLogger(f"firedoor.wall.{job}"), Printer()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
