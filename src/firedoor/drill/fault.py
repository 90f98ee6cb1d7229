"""A fault that is to be injected: a lease that ends where it is injected, whatever happens."""

from __future__ import annotations

from typing import Literal

import msgspec

Class = Literal["process", "link", "data", "model", "control"]
LEASE_S = 15.0
"""For so long a fault goes on after the last sign of life of who wants it (three renewals)."""
RENEW_S = 5.0
LEASE_MAX_S = 600.0
"""No fault lasts longer, however often it is renewed."""
SUPERVISOR = "supervisor"
"""In place of a zone: whoever supervises processes injects it."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of the beat ``fault.ZONE``: one fault a zone at a time.

    Beats are forgotten by the broker after 10 s; besides, whoever injects it ends it ``lease_s``
    after it last saw ``renewal`` rise, and ``LEASE_MAX_S`` after it began, by a clock of its own.
    """

    id: str
    """``DRILL-NUMBER``: told with everything that it does."""
    drill: str
    name: str
    """Of the catalogue: ``kill``, ``latency``, ``poison_raise`` ..."""
    of: Class
    zone: str
    """Where it is injected; ``broker`` and ``control`` are zones here as well."""
    by: str
    """``ZONE`` itself, or ``supervisor``: who injects it."""
    intensity: float = 1.0
    """In the unit that the catalogue gives: seconds, a factor, bytes, standard deviations."""
    share: float = 1.0
    """Of rows, batches or requests that are hit, chosen by a hash of their key and ``seed``."""
    column: str = ""
    """Of data faults, where one column is meant; empty: the first that fits."""
    seed: int = 0
    lease_s: float = LEASE_S
    renewal: int = 0
    allowed: bool = False
    """Whether a person allowed it in production."""


class Injected(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of the beat ``injected.ZONE.PROCESS``: what a process does to itself now."""

    id: str
    name: str
    zone: str
    process: str
    since_s: float
    hits: int = 0
    """Rows, batches, requests or processes that it hit so far."""
    refused: str = ""
    """Why it is not injected here, with what to do; empty: it is."""
    over: bool = False
    """Whether it has ended here; it is said for 10 s more."""
