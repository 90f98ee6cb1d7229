"""Cut an entry of the ledger to what one may take, and to what JSON can say."""

from __future__ import annotations

import math

from msgspec.structs import replace

from firedoor.errors import shorten
from firedoor.events.happened import TEXT_MAX, Happened

NAME_MAX = 200
"""Characters of a code, a person's name, a trace, the name of a fact."""
FACTS_MAX = 32
SAFE_WHOLE = 2**53
"""Up to which every reader of JSON has whole numbers."""


def bounded(happened: Happened) -> Happened:
    """Return it with every text cut in its middle, and no more than ``FACTS_MAX`` facts."""
    facts = list(happened.facts.items())[:FACTS_MAX]
    return replace(
        happened,
        text=_text(happened.text, TEXT_MAX),
        code=_text(happened.code, NAME_MAX),
        cause=_text(happened.cause, NAME_MAX),
        by=_text(happened.by, NAME_MAX),
        because=_text(happened.because, TEXT_MAX),
        about=_text(happened.about, TEXT_MAX),
        before=_text(happened.before, TEXT_MAX),
        after=_text(happened.after, TEXT_MAX),
        trace=_text(happened.trace, NAME_MAX),
        facts={_text(name, NAME_MAX): _fact(fact) for name, fact in facts},
    )


def _fact(fact: object) -> str | int | float:
    """Return a fact that can be kept: whoever notes one may have been wrong about its type."""
    if isinstance(fact, float) and math.isfinite(fact):
        return float(fact)
    if isinstance(fact, int) and abs(fact) < SAFE_WHOLE:
        return int(fact)
    return _text(str(fact), TEXT_MAX)


def _text(text: str, length: int) -> str:
    """Return a text that is short enough, without halves of characters."""
    return shorten(text, length).encode("utf-8", "replace").decode()
