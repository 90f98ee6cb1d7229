"""Why a guard does what it does, as plain data and as sentences.

Everything in an ``Explanation`` is a number, a word, or a tuple of these: it can be written as
JSON, carried to another process, and read at night.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from firedoor.guards import breaker as breakers


@dataclass(frozen=True, slots=True)
class BadCall:
    """One bad call."""

    cause: str
    ago_s: float


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose calls were refused since the breaker closed last, and how many."""

    caller: str
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Calls since the guard was made."""

    good: int = 0
    bad: int = 0
    neutral: int = 0
    refused: int = 0
    """By breaker, limit, rate or deadline: nothing happened."""
    retries: int = 0
    degraded: int = 0
    """Answered by the fallback ladder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The state of a guard and its reasons."""

    guard: str
    state: str
    """``closed``, ``open``, ``half-open``, ``forced-open`` or ``disabled``."""
    why: str
    """One sentence."""
    next_probe_s: float | None
    """Seconds until a call is let through to try; None: no probe is needed, or none will be."""
    by: str
    """Who ordered the state; empty: nobody did."""
    calls: int
    """Of the window: good and bad calls."""
    bad: int
    slow: int
    consecutive: int
    window_s: float
    last_bad: tuple[BadCall, ...]
    """The latest first."""
    asked: tuple[Asker, ...]
    """The most refused first."""
    flapping: bool
    totals: Totals
    limit: int | None
    """Calls at once; None: unlimited."""
    inflight: int | None
    waiting: int
    retry_tokens: int | None
    """Left in the retry budget; None: no retries."""
    listener_error: str
    """The latest exception of the listener; empty: it raised none."""

    def as_dict(self) -> dict[str, object]:
        """Return it as dicts, lists and plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Return it as a person reads it."""
        lines = [f"{self.guard}: {self.state}. {self.why}"]
        if self.next_probe_s is not None:
            lines.append(f"  next probe: in {self.next_probe_s:.1f} s")
        lines.append(
            f"  last {self.window_s:g} s: {self.calls} calls, {self.bad} bad, "
            f"{self.slow} of them slow; {self.consecutive} bad in a row"
        )
        lines += [f"  {call.ago_s:.1f} s ago: {call.cause}" for call in self.last_bad]
        lines += [f"  refused {asker.refused} calls of {asker.caller}" for asker in self.asked]
        if self.limit is not None:
            lines.append(
                f"  {self.inflight} of {self.limit} calls under way, {self.waiting} waiting"
            )
        if self.retry_tokens is not None:
            lines.append(f"  retry budget: {self.retry_tokens} tokens left")
        if self.flapping:
            lines.append("  flapping: it opens again and again; look at the dependency")
        return "\n".join(lines)


def reason(
    breaker: breakers.Breaker | None, why: str, now_s: float
) -> tuple[str, str, float | None, str]:
    """Return the state in a word and a sentence, seconds to the next probe, and who ordered it.

    ``why`` is what opened the breaker last. None for a breaker: the guard has none.
    """
    if breaker is None:
        return "closed", "It has no breaker.", None, ""
    state = breakers.word(breaker)
    match breaker.mode:
        case breakers.Closed():
            return state, "Calls go through.", None, ""
        case breakers.Open(until_s=until_s, probes=probes):
            count = "a probe" if probes == 1 else f"{probes} probes"
            failed = f", and {count} failed since" if probes else ""
            return state, f"Opened because {why}{failed}.", max(0.0, until_s - now_s), ""
        case breakers.HalfOpen(until_s=until_s):
            left_s = max(0.0, until_s - now_s)
            told = (
                f"Opened because {why}; a probe is under way, for another {left_s:.1f} s at most."
            )
            return state, told, left_s, ""
        case breakers.Forced(by, because):
            return state, f"{by} opened it: {because}", None, by
        case breakers.Disabled(by, because):
            return state, f"{by} disabled it: {because}", None, by
