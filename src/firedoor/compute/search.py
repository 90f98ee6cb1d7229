"""Find the bad rows of a batch by running slices of it, as ``isolation.narrow`` says.

Most batches that fail have one bad row. So at first only the slice that failed is looked into:
what lies behind it is put off, and the last part of a slice whose other parts passed is not run to
be told what is known. Then all the rest is run together; if that fails too, the search goes on
through everything.
"""

from __future__ import annotations

from dataclasses import replace

from firedoor.compute import ipc
from firedoor.compute.conversation import Conversation, Manner
from firedoor.compute.crew import Crew, Sample
from firedoor.compute.held import Held
from firedoor.compute.outputs import Output
from firedoor.compute.report import Tally
from firedoor.compute.suspicion import Suspicion, Terms
from firedoor.isolation import narrow
from firedoor.isolation.narrow import Cause, Failure, Slice

SAMPLE_ROWS = 16
SLICES_A_REQUEST_MAX = 4_096


class RowSearch:
    """The search in the rows that passed the gate, and what came out of those that ran well."""

    def __init__(
        self,
        kept: Held,
        *,
        talk: Conversation,
        suspicion: Suspicion,
        crew: Crew,
        terms: Terms,
        tally: Tally,
        manner: Manner,
    ) -> None:
        """Prepare to search ``kept``, of which the worker is running the whole."""
        self.state = narrow.begin(kept.height)
        self.came: list[Output] = []
        """Outputs, in row order."""
        self.put_off: tuple[Slice, ...] = ()
        """Slices that have not been run, for they are most likely good."""
        self.whole: Failure | None = None
        """How the whole failed, where it may not be cut."""
        self._kept = kept
        self._manner = manner
        self._talk = talk
        self._suspicion = suspicion
        self._crew = crew
        self._policy = terms.narrow
        self._options = terms.options
        self._tally = tally
        self._quick = True

    @property
    def failed(self) -> bool:
        """Whether anything failed."""
        return bool(self.whole or self.state.guilty or self.state.failures)

    def run(self) -> None:
        """Search until nothing is left to do but what was put off. The whole is running."""
        self._run(self.state.todo)

    def run_rest(self) -> None:
        """Search what was put off: it failed when it was run together."""
        self.state = replace(self.state, todo=self.put_off)
        self.put_off, self._quick = (), False
        self._talk.holds_batch = False
        self._run(self._ask())

    def _run(self, asked: tuple[Slice, ...]) -> None:
        """Take the answers for the slices asked for, and ask for more."""
        while self.state.todo:
            for part in asked:
                answer = self._talk.outcome(self._suspicion.limit_s(part, of=self._kept.height))
                if isinstance(answer, Failure):
                    self._failed(answer)
                    break
                assert (answer.start, answer.stop) == (part.start, part.stop), "out of turn"
                self.came.append(answer)
                self._sample(part)
                self.state = narrow.passed(self.state)
            else:
                self._infer()
            asked = self._ask()

    def _failed(self, failure: Failure) -> None:
        """Go on after the head failed."""
        if self._tally.batchwise(self._options):
            self.whole, self.state = failure, replace(self.state, todo=())
            return
        head, *rest = self.state.todo
        if self._quick:
            self.put_off = (*rest, *self.put_off)
            self.state = replace(self.state, todo=(head,))
        self.state = narrow.failed(self.state, failure, self._policy)
        self._suspicion.judge(self.state)
        if self._suspicion.look_around(self._kept.frame, failure, self.state):
            self.state, self.put_off = narrow.begin(self._kept.height), ()
            self.came.clear()

    def _infer(self) -> None:
        """Cut the last part of a slice whose other parts passed: it would only fail again."""
        todo = self.state.todo
        if not self._quick or len(todo) != 1 or todo[0].rows == 1:
            return
        last = todo[0].attempts[-1]
        policy = self._policy
        parts = policy.error_parts if last is Cause.EXCEPTION else policy.death_parts
        self.state = replace(self.state, todo=narrow.split(todo[0], parts))

    def _ask(self) -> tuple[Slice, ...]:
        """Ask for the slices to do, sending their rows if the worker does not have them."""
        todo = self.state.todo[:SLICES_A_REQUEST_MAX]
        if not todo:
            return ()
        self._suspicion.check_budget(self.state)
        if self._quick and len(todo) > 1:
            todo = todo[:-1]  # if they all pass, the last one need not be run
        slices = tuple((part.start, part.stop) for part in todo)
        if self._talk.holds_batch:
            self._talk.post_slices(slices)
            return todo
        start, stop = slices[0][0], self.state.todo[-1].stop
        rows = self._kept.frame.slice(start, stop - start)
        self._talk.post(ipc.encode(rows), gate=False, slices=slices, first=start)
        return todo

    def _sample(self, part: Slice) -> None:
        """Keep a few rows that passed: new workers are warmed with them."""
        if self._crew.sample is not None or not part.rows:
            return
        rows = self._kept.frame.slice(part.start, min(part.rows, SAMPLE_ROWS))
        twice = ((0, rows.height), (0, rows.height))
        batch = self._manner.batch(first=0, gate=False, slices=twice)
        self._crew.remember(Sample(batch, ipc.encode(rows)))
