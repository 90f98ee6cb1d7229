"""Cut an entry of the ledger to what one may take."""

from __future__ import annotations

from msgspec.structs import replace

from firedoor.errors import shorten
from firedoor.events.happened import TEXT_MAX, Happened

NAME_MAX = 200
"""Characters of a code and of a trace, of a process, a fact's name."""
FACTS_MAX = 32


def bounded(happened: Happened) -> Happened:
    """Return it with every text cut in its middle, and no more than ``FACTS_MAX`` facts."""
    facts = {
        shorten(name, NAME_MAX): shorten(fact, TEXT_MAX) if isinstance(fact, str) else fact
        for name, fact in list(happened.facts.items())[:FACTS_MAX]
    }
    return replace(
        happened,
        text=shorten(happened.text, TEXT_MAX),
        code=shorten(happened.code, NAME_MAX),
        cause=shorten(happened.cause, NAME_MAX),
        by=shorten(happened.by, NAME_MAX),
        because=shorten(happened.because, TEXT_MAX),
        about=shorten(happened.about, TEXT_MAX),
        before=shorten(happened.before, TEXT_MAX),
        after=shorten(happened.after, TEXT_MAX),
        trace=shorten(happened.trace, NAME_MAX),
        facts=facts,
    )
