"""How a run of a pipeline ended, and who is shown how it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from firedoor.compose.ending import Stuck
from firedoor.control.accounts import Accounts
from firedoor.control.status import Snapshot
from firedoor.spec.plan import Plan

Why = Literal["through", "stuck", "asked"]


class Screen(Protocol):
    """Shows a person how it goes."""

    def show(self, plan: Plan, snapshot: Snapshot) -> None:
        """Show a picture of now."""
        ...

    def tell(self, line: str) -> None:
        """Say what happened."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended."""

    why: Why
    seconds: float
    stuck: tuple[Stuck, ...]
    accounts: Accounts | None
    """None if the broker did not answer any more, or there was no time."""
    snapshot: Snapshot | None
    rows_read: int
    """By sources in this run, as far as they said so."""
    deaths: dict[str, int]
    """Processes of each zone that died and were replaced."""
