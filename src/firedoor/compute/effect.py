"""A sink's function: called with a whole batch and its key, in a worker, never in parts.

What it does elsewhere (a row in a database, a message) cannot be taken back. So nothing is bisected
here, nothing is tried on a sample, and nobody is blamed for a row: the function is called again,
with the same key, until it returns.
"""

from __future__ import annotations

from collections import Counter

from firedoor.compute.conversation import Conversation, Manner
from firedoor.compute.crew import Crew
from firedoor.compute.held import Held
from firedoor.compute.outputs import Output
from firedoor.compute.report import Tally, WallReport
from firedoor.compute.step import StepReference
from firedoor.errors import DependencyDown, StepAtFault
from firedoor.isolation.narrow import Cause, Failure
from firedoor.spec.wall import WallOptions
from firedoor.wire.records import GuardNote

TRIES = 3
"""Workers that may die or hang over one batch before the function is at fault."""


class Effect:
    """Calls one function in workers."""

    def __init__(self, reference: StepReference, options: WallOptions, *, name: str) -> None:
        """Prepare; workers start at the first call."""
        self._options = options
        self._tally = Tally(name)
        self.crew = Crew(
            reference, options, name=name, lost=self._tally.died, note=self._tally.note
        )

    def call(self, held: Held, manner: Manner) -> None:
        """Call the function with all rows and ``manner.key``.

        Raises:
            DependencyDown: it raised: what it writes to is taken to be away, or a guard says so.
            StepAtFault: it crashed, hung or outgrew its memory, three times running.
        """
        failure: Failure | None = None
        for _ in range(TRIES):
            with self.crew.slot():
                answer = self._once(held, manner)
            if isinstance(answer, Output):
                self._tally.finished(
                    rows=held.height, good=held.height, codes=Counter(), dropped={}
                )
                return
            failure = answer
            if failure.cause is Cause.EXCEPTION:
                raise DependencyDown(failure.message)
            if failure.cause is Cause.HANG and not self.crew.proven and self.crew.way == "fork":
                self.crew.switch_to_spawn()
        assert failure is not None
        message = f"the sink {failure.message}, {TRIES} times running with key {manner.key!r}"
        raise StepAtFault(
            message, code=str(failure.cause), signature=failure.signature, line=failure.line
        )

    def guards(self) -> tuple[GuardNote, ...]:
        """Return what the workers said last of the guards that the function calls through."""
        return self._tally.guards(self.crew.pids()["workers"])

    def report(self) -> WallReport:
        """Return what happened so far."""
        crew = self.crew
        return self._tally.report(
            way=crew.way,
            loaded=crew.loaded,
            replacements=list(crew.replacements),
            options=self._options,
            seal_notes=crew.notes,
            caged=crew.delegation is not None,
        )

    def _once(self, held: Held, manner: Manner) -> Output | Failure:
        """Call the function once."""
        limit_s = self._options.timeout_s
        with Conversation(self.crew, self._tally, full_limit_s=limit_s, manner=manner) as talk:
            talk.post(held.pieces, gate=False)
            verdict = talk.verdict(limit_s)
            answer = verdict if isinstance(verdict, Failure) else talk.outcome(limit_s)
        self.crew.proven = self.crew.proven or isinstance(answer, Output)
        return answer
