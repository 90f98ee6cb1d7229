"""Which version answers which request: what the control plane tells gateways.

A gateway keeps the last one on disk and goes on with it for as long as nobody says otherwise.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from firedoor.errors import shorten

Mode = Literal["steady", "shadow", "canary"]


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model that is held ready."""

    model: str
    version: int
    digest: str
    """Of its bundle."""

    @property
    def name(self) -> str:
        """``delays@3``."""
        return f"{self.model}@{self.version}"


class Cutoffs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What counts as slow, in seconds: quantiles of the champion, frozen when traffic began."""

    q95_s: float | None = None
    q99_s: float | None = None


class Route(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of ``route.SERVICE``."""

    service: str
    generation: int = 0
    """Higher is newer; 0: nobody has said anything yet, the registry's champion serves."""
    champion: Arm
    candidate: Arm | None = None
    previous: Arm | None = None
    """Kept warm: what requests fall back to, and what a rollback after promotion returns to."""
    mode: Mode = "steady"
    rollout: str = ""
    """Which rollout this is a step of: ``predict-7``; empty: none."""
    step: int = 0
    """Number of the step; evidence of each step is also counted by itself."""
    weight: float = 0.0
    """Share of the subjects that the candidate answers, 0 to 1."""
    mirror: float = 1.0
    """Share of the other arm's requests that are run on this one besides, for comparison."""
    salt: str = ""
    """Of the hash by which subjects are split."""
    held_slices: tuple[str, ...] = ()
    """``carrier=UA``: stay with the champion."""
    cutoffs: Cutoffs = Cutoffs()
    lease_s: float | None = None
    """Without a heartbeat of the control plane for so long, all goes back to the champion."""
    at_s: float = 0.0
    by: str = ""
    because: str = ""


def encode_route(route: Route) -> bytes:
    """Return a route as JSON."""
    return msgspec.json.encode(route)


def decode_route(data: bytes) -> Route:
    """Return the route in JSON.

    Raises:
        ValueError: if it is none.
    """
    try:
        return msgspec.json.decode(data, type=Route)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(shorten(str(error))) from error
