"""What people and CI ask of rollouts."""

from __future__ import annotations

from typing import Literal

import msgspec

Verb = Literal["start", "pause", "resume", "abort", "promote", "rollback"]


class RolloutOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One order."""

    number: int
    """From 1, for the service."""
    verb: Verb
    by: str
    because: str = ""
    at_s: float = 0.0
    version: int | None = None
    """Of ``start``; None: the challenger."""
    supersede: bool = False
    """Of ``start``: end a rollout that is under way, instead of waiting for it."""
    override: bool = False
    """Of ``start``: although the version is quarantined or not qualified; wants ``because``."""
    second: str = ""
    """Who agrees, where two people are needed."""


class RolloutOrders(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of ``orders.SERVICE``: what was not seen to yet, the oldest first, at most 100."""

    next_number: int = 1
    orders: tuple[RolloutOrder, ...] = ()
