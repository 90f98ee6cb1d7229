"""What a zone is exempt from, by whom, why and until when: ``fd.Exempt``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import date

from firedoor.errors import DeclarationError
from firedoor.spec.checking import check_text
from firedoor.spec.plan import ExemptPlan

RULES = (
    "FD101", "FD102", "FD103", "FD104", "FD105", "FD106", "FD107", "FD108", "FD109", "FD110",
    "FD111", "FD113", "FD114", "FD115", "FD116", "FD117", "FD118",
)  # fmt: skip
"""Rules of ``firedoor check`` that a zone can be exempt from."""
DAY = "YYYY-MM-DD"


@dataclass(frozen=True, slots=True)
class Exempt:
    """A rule of ``firedoor check`` that shall not count, for a while.

    >>> Exempt("FD106", owner="ops", reason="a batch at night", until="2027-01-31").rule
    'FD106'
    """

    rule: str
    """``FD101`` to ``FD118``."""
    _: KW_ONLY
    owner: str
    """Who answers for it."""
    reason: str
    """Why it may be."""
    until: str
    """The last day on which it holds, ``YYYY-MM-DD``. After it the rule counts again."""

    def __post_init__(self) -> None:
        """Refuse one that is nobody's, for no reason, or for ever."""
        if self.rule not in RULES:
            alike = difflib.get_close_matches(str(self.rule).upper(), RULES, n=1)
            remedy = f"write {alike[0] if alike else 'FD106'!r}; docs/reference/checks.md has all"
            raise DeclarationError("rule", self.rule, "is no rule of firedoor check", remedy)
        for field in ("owner", "reason"):
            if not check_text(field, getattr(self, field)).strip():
                raise DeclarationError(field, getattr(self, field), "is empty", f"give {field}=")
        _check_day(self.until)

    def plan(self) -> ExemptPlan:
        """Return it as a plain value."""
        return ExemptPlan(rule=self.rule, owner=self.owner, reason=self.reason, until=self.until)


def check_exempt(value: object) -> tuple[ExemptPlan, ...]:
    """Return exemptions as plain values.

    Raises:
        DeclarationError: for what is none, or for a rule that is named twice.
    """
    remedy = 'write exempt=[fd.Exempt("FD106", owner="...", reason="...", until="2027-01-31")]'
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise DeclarationError("exempt", value, "is no list of exemptions", remedy)
    plans: list[ExemptPlan] = []
    for item in value:
        if not isinstance(item, Exempt):
            raise DeclarationError("exempt", item, "is no exemption", remedy)
        if any(item.rule == other.rule for other in plans):
            raise DeclarationError("exempt", item.rule, "is exempt twice", "name it once")
        plans.append(item.plan())
    return tuple(plans)


def _check_day(until: object) -> None:
    """Refuse what is no day."""
    try:
        good = isinstance(until, str) and len(until) == len(DAY) and date.fromisoformat(until)
    except ValueError:
        good = False
    if not good:
        raise DeclarationError("until", until, "is no day", f'write it as {DAY}: "2027-01-31"')
