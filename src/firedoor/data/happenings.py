"""What a zone's process notes for the ledger: what happens to the zone, and nothing a batch does.

It is noted where the zone's conduct hears of it, and is never waited for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from firedoor.events.happened import Happened, Kind
from firedoor.events.trace import CURRENT, trace_of
from firedoor.flow.blame import standing
from firedoor.flow.probes import Trouble
from firedoor.flow.zone import ZoneState
from firedoor.ports.clock import Clock
from firedoor.ports.telemetry import Journal, Unheard
from firedoor.wire.records import BatchRecord, GuardNote

SIGNATURES_MAX = 10
"""Ways to die that are told of one batch."""
BY_PERSONS = frozenset({"ordered", ""})
"""Codes of states that somebody wanted."""
_GRAVITY = ("closed", "disabled", "half-open", "open", "forced-open")
"""States of a breaker, the gravest last."""


class Happenings:
    """One zone's, from one process."""

    def __init__(self, zone: str, clock: Clock) -> None:
        """Tell nobody, until there is a journal."""
        self.journal: Journal = Unheard()
        self._zone, self._clock = zone, clock
        self._workers_lost = 0
        self._guards: dict[str, str] = {}

    def note(
        self,
        text: str,
        *,
        kind: Kind = "zone.note",
        code: str = "",
        about: str = "",
        cause: str = "",
    ) -> None:
        """Note that something happened which is no change of the zone's state."""
        self._note(kind, text, code=code, about=about, cause=cause)

    def state(self, before: str, word: str, code: str, why: str, state: ZoneState, by: str) -> None:
        """Note that the zone is in another state.

        Args:
            before: its state before.
            word: its state.
            code: of the cause.
            why: the cause.
            state: all that is the matter.
            by: who wants it so, where a person does.
        """
        self._note(
            "zone.state", f"{word}: {why}" if why else word, code=code or word,
            cause=_whose(code, state), before=before, after=word,
            by=by if code in BY_PERSONS else "",
        )  # fmt: skip

    def trouble(self, trouble: Trouble) -> None:
        """Note that a batch came to nothing."""
        batch, _, _ = trouble.why.partition(":")
        self._note(
            "batch.trouble",
            trouble.why,
            code=trouble.code,
            about=batch,
            cause=_drilled(trouble.fault) or trouble.cause,
            batches=1,
        )

    def recorded(self, record: BatchRecord) -> None:
        """Note what of a batch died or was shed, and which runs came to nothing."""
        batch, drilled = record.batch, _drilled(record.fault)
        deaths = sorted(record.signatures.items(), key=lambda each: -each[1])
        for signature, rows in deaths[:SIGNATURES_MAX]:
            text = f"{rows} rows of {batch} died of {signature}"
            self._note(
                "dead_letters",
                text,
                code=signature,
                about=batch,
                cause=drilled,
                rows=rows,
                batches=1,
            )
        if rest := sum(rows for _, rows in deaths[SIGNATURES_MAX:]):
            text = f"{rest} rows of {batch} died in {len(deaths) - SIGNATURES_MAX} other ways"
            self._note(
                "dead_letters", text, code="other", about=batch, cause=drilled, rows=rest, batches=1
            )
        for cause, times in record.attempts.items():
            text = f"{times} runs of {batch} came to nothing: {cause}"
            self._note("batch.trouble", text, code=cause, about=batch, times=times)
        for edge, rows in record.shed.items():
            if rows:
                self._note("shed", f"{rows} rows of {batch} were shed", about=edge, rows=rows)

    def looked(self, workers_lost: int, guards: Iterable[GuardNote]) -> None:
        """Note workers that died, and breakers that are in another state, since the last look."""
        if workers_lost > self._workers_lost:
            times = workers_lost - self._workers_lost
            text = "a worker died" if times == 1 else f"{times} workers died"
            self._note("worker.died", text, code="worker", times=times)
        self._workers_lost = workers_lost
        for guard, (state, why, workers) in _gravest(guards).items():
            before = self._guards.get(guard, "closed")
            if state != before:
                self._note(
                    "breaker", f"{guard} is {state} in {workers} of its workers: {why}",
                    code=state, about=guard, before=before, after=state,
                    cause=f"dependency:{guard}" if state != "closed" else "",
                )  # fmt: skip
            self._guards[guard] = state

    def _note(
        self,
        kind: Kind,
        text: str,
        *,
        code: str = "",
        about: str = "",
        cause: str = "",
        before: str = "",
        after: str = "",
        by: str = "",
        **facts: int,
    ) -> None:
        """Hand an entry to the journal."""
        self.journal.note(
            Happened(
                at_s=self._clock.utc_s(), kind=kind, zone=self._zone, text=text, code=code,
                cause=cause, about=about, before=before, after=after, by=by,
                trace=trace_of(CURRENT.get()), facts={**facts},
            )
        )  # fmt: skip


def _whose(code: str, state: ZoneState) -> str:
    """Return whose fault a state is; empty: the zone's own, or nobody's."""
    if state.trouble is not None and state.trouble.fault and code == state.trouble.code:
        return _drilled(state.trouble.fault)
    found = standing(state)
    return found.cause if found.how == "bad" else ""


def _drilled(fault: str) -> str:
    """Return the cause of what a drill did: the id of its fault; empty: none did it."""
    return f"drill:{fault}" if fault else ""


def _gravest(guards: Iterable[GuardNote]) -> Mapping[str, tuple[str, str, int]]:
    """Return, of each guard, its gravest state in any worker, why, and in how many that is so."""
    found: dict[str, tuple[str, str, int]] = {}
    for note in guards:
        guard, state, why = note.explained.guard, note.explained.state, note.explained.why
        known, _, workers = found.get(guard, ("", "", 0))
        if state == known:
            found[guard] = state, why, workers + 1
        elif not known or _gravity(state) > _gravity(known):
            found[guard] = state, why, 1
    return found


def _gravity(state: str) -> int:
    """Return how grave a breaker's state is."""
    return _GRAVITY.index(state) if state in _GRAVITY else 0
