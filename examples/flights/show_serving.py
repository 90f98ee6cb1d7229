"""What `serve.py` prints: commands as they are typed, each step of a rollout, what clients saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from load import told
from show import act, console, error
from show_training import typed

if TYPE_CHECKING:
    from load import Seen
    from serve import Rolled

__all__ = ["act", "closing_lines", "error", "registered", "step", "typed"]


def registered(better: int, worse: int) -> None:
    """Print which versions there are."""
    console.print(f"\nversion {worse} is version {better} with its log odds tripled")


def step(after_s: float, what: str) -> None:
    """Print that a rollout is somewhere else, and what it waits for."""
    console.print(f"{after_s:6.1f} s  {what}", soft_wrap=True)


def closing_lines(first: Rolled, second: Rolled, seen: Seen, took_s: float) -> None:
    """Print what it comes to."""
    act("4. What clients saw")
    console.print(told(seen))
    for one in (first, second):
        console.print(
            f"version {one.version:<3}{one.phase.replace('_', ' ')} after {one.took_s:.0f} s: "
            f"{one.verdict}",
            soft_wrap=True,
        )
    console.print(f"took       {took_s:.0f} s")
    tries = ["try: firedoor serve examples/flights/serving.py", "     firedoor rollout status"]
    console.print("\n" + "\n".join(tries))
