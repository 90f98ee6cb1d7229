"""Changes of what should be: who, when, why, from what to what."""

from __future__ import annotations

import msgspec


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As ``firedoor changes`` shows it; an act in the ledger, see ``control.changes``."""

    at_s: float
    by: str
    because: str
    what: str
    """``rollout started``, ``flag set``, ``zone deployed`` ..."""
    about: str
    """``predict``, ``kill.predict.candidate`` ..."""
    before: str = ""
    after: str = ""
