"""Take one batch through a wall: run it whole, and where that fails find the rows to blame.

``isolation.narrow`` says which slices to run next; what comes out is checked, then delivered.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from firedoor.compute import ipc, outputs
from firedoor.compute.conversation import Conversation, Manner
from firedoor.compute.crew import Crew
from firedoor.compute.held import Held
from firedoor.compute.outputs import Output, Settled
from firedoor.compute.report import Tally
from firedoor.compute.search import SAMPLE_ROWS, RowSearch
from firedoor.compute.suspicion import Suspicion, Terms
from firedoor.errors import StepAtFault
from firedoor.isolation import agreement, narrow
from firedoor.isolation.narrow import Cause, Failure, Guilty, Search
from firedoor.quality.grades import Grade, merged
from firedoor.units import format_bytes
from firedoor.wire.messages import Proved

PIECE_SHARE = 16
"""A frame over a sixteenth of a worker's memory is sent in pieces: in, out, and both encoded, with
room to work."""
GATE_TRIES = 5


class Isolation:
    """One batch on its way through a wall."""

    def __init__(
        self,
        held: Held,
        *,
        crew: Crew,
        terms: Terms,
        tally: Tally,
        manner: Manner,
    ) -> None:
        """Prepare to take rows through."""
        self._whole = held
        self._manner = manner
        self._crew = crew
        self._terms = terms
        self._options = terms.options
        self._tally = tally
        self._talk = Conversation(
            crew, tally, full_limit_s=terms.options.timeout_s,
            load_limit_s=terms.options.load_timeout_s, manner=manner,
        )  # fmt: skip
        self._kept = held
        self._kept_rows: pl.Series | None = None
        """Row numbers of ``_kept`` in ``_whole``; None while they are the same."""
        self._rejected: pl.DataFrame | None = None
        self._gate_guilty: tuple[Guilty, ...] = ()
        self._suspicion = Suspicion(
            self._talk,
            crew=crew,
            terms=terms,
            tally=tally,
            batch_rows=held.height,
            manner=manner,
        )

    def run(self) -> Settled:
        """Return what became of the batch.

        Raises:
            StepAtFault: if the step, not a row, is to blame. Nothing was dead-lettered.
        """
        with self._talk:
            self._suspicion.start_clock()
            if not self._crew.proven and self._whole.height:
                self._try_fork()
            self._pass_gate()
            search = RowSearch(
                self._kept,
                talk=self._talk,
                suspicion=self._suspicion,
                crew=self._crew,
                terms=self._terms,
                tally=self._tally,
                manner=self._manner,
            )
            search.run()
            if search.failed:
                return self._conclude(search)
            rows, may_drop = self._kept.height, self._options.may_drop
            outputs.check_drops(search.came, rows=rows, may_drop=may_drop)
            self._prove()
            return self._deliver(search.came, ())

    def _try_fork(self) -> None:
        """Run a few rows in a forked worker; where they do not return, in a fresh one as well."""
        rows = self._whole.frame[:SAMPLE_ROWS]
        gated = self._terms.schema is not None
        self._talk.post(ipc.encode(rows), gate=gated)
        verdict = self._talk.verdict(self._options.timeout_s)
        answer = (
            verdict if isinstance(verdict, Failure) else self._talk.outcome(self._options.timeout_s)
        )
        self._talk.holds_batch = False
        self._crew.proven = True
        if not isinstance(answer, Failure) or answer.cause is Cause.EXCEPTION:
            return
        self._suspicion.deaths = 1
        self._suspicion.blame_fork(rows, gate=gated)

    def _pass_gate(self) -> None:
        """Send the batch, judge it by the schema, leave out rows on which a rule itself dies."""
        failure: Failure | None = None
        unexplained = 0
        for _ in range(GATE_TRIES):
            self._talk.post(self._kept.pieces, gate=self._terms.schema is not None)
            answer = self._talk.verdict(self._options.timeout_s)
            if not isinstance(answer, Failure):
                self._keep(*answer)
                return
            found = self._narrow_gate()
            failure = answer
            unexplained += not found and not answer.external
            if unexplained > 1:  # once may be an accident: a worker that was stopped from outside
                break
            rows = outputs.without(
                self._kept.height, pl.Series([g.row for g in found], dtype=pl.UInt32)
            )
            self._gate_guilty += tuple(replace(g, row=self._number(g.row)) for g in found)
            self._kept_rows = rows if self._kept_rows is None else self._kept_rows.gather(rows)
            self._kept = self._kept.rows(rows)
        assert failure is not None
        raise StepAtFault(
            "the rules of the schema fail on the whole batch, but on no row of it alone: a rule "
            f"over groups of rows is at fault: {failure.message}",
            code="rule_fails",
            signature=failure.signature,
        )

    def _number(self, row: int) -> int:
        """Return the number in the frame of a row of what is kept."""
        return row if self._kept_rows is None else int(self._kept_rows[row])

    def _keep(self, kept: int, rejected: pl.DataFrame | None) -> None:
        """Go on with the rows that the gate kept."""
        self._rejected = rejected
        if rejected is None:
            return
        self._suspicion.judge_rules(rejected, self._terms.schema)
        rows = outputs.without(self._kept.height, rejected["row"])
        assert rows.len() == kept, "a gate that cannot count"
        self._kept = self._kept.rows(rows)
        if self._kept_rows is not None:
            self._rejected = rejected.with_columns(row=self._kept_rows.gather(rejected["row"]))
            rows = self._kept_rows.gather(rows)
        self._kept_rows = rows

    def _narrow_gate(self) -> tuple[Guilty, ...]:
        """Find rows on which a rule of the schema crashes, hangs or outgrows its memory."""
        search = narrow.begin(self._kept.height)
        if self._kept.height > 1:
            parts = narrow.split(search.todo[0], self._terms.narrow.death_parts)
            search = replace(search, todo=parts)
        while search.todo:
            head = search.todo[0]
            self._suspicion.check_budget(search)
            # The step sees no rows here; whether it likes that is not the question.
            rows = ipc.encode(self._kept.frame.slice(head.start, head.rows))
            self._talk.post(rows, gate=True, slices=((0, 0),))
            answer = self._talk.verdict(self._suspicion.limit_s(head, of=self._kept.height))
            if isinstance(answer, Failure):
                search = narrow.failed(search, answer, self._terms.narrow)
                self._suspicion.judge(search)
            else:
                self._talk.outcome(self._options.timeout_s)
                search = narrow.passed(search)
        return search.guilty

    def _conclude(self, search: RowSearch) -> Settled:
        """Settle a batch in which something failed."""
        if search.whole is not None:
            return self._try_whole_again(search.whole)
        deliverable = self._confirm(search)
        if deliverable is None:
            return self._deliver([], self._everyone(search.state))
        return self._deliver(deliverable, search.state.guilty)

    def _confirm(self, search: RowSearch) -> list[Output] | None:
        """Run all good rows together; return what to deliver, or None for nothing.

        A search is right only for a step whose rows do not depend on each other. So what comes out
        of the good rows together is delivered, if the pieces that were run agree with it.
        """
        good = self._good_rows(search)
        if not good.len():
            return search.came
        if not search.state.guilty and [o.stop - o.start for o in search.came] == [good.len()]:
            self._forgive(search.state.failures[0])
            self._prove()
            return search.came  # together is how they ran
        together = self._together(good)
        if isinstance(together, Failure) and search.put_off:
            search.run_rest()
            good = self._good_rows(search)
            together = self._together(good)
        if isinstance(together, Failure):
            return self._too_large(together, search)
        if not search.state.guilty:
            self._forgive(search.state.failures[0])
        whole = outputs.renumber(together, good)
        same = _agree(whole, search.came)
        if same:
            self._prove(at_once=not self._tally.rowwise())
        else:
            self._tally.found_batchwise(f"apart and together differ: {same.why}")
        if self._tally.batchwise(self._options) and search.state.guilty:
            return None
        return [whole]

    def _good_rows(self, search: RowSearch) -> pl.Series:
        """Return the numbers of the rows that are not guilty."""
        guilty = pl.Series([g.row for g in search.state.guilty], dtype=pl.UInt32)
        return outputs.without(self._kept.height, guilty)

    def _together(self, good: pl.Series) -> Output | Failure:
        """Run rows at once; again if the worker was perhaps killed from outside."""
        tries = 0
        while True:
            self._talk.post(ipc.encode(self._kept.frame[good]), gate=False)
            self._talk.holds_batch = False
            answer = self._talk.outcome(self._options.timeout_s)
            tries += 1
            if isinstance(answer, Output) or self._counts_after(answer, tries):
                return answer

    def _counts_after(self, failure: Failure, tries: int) -> bool:
        """Return whether the latest of so many failed tries is held against what was tried."""
        policy = self._terms.narrow
        return tries >= (policy.external_guilty_after if failure.external else 1)

    def _too_large(self, failure: Failure, search: RowSearch) -> list[Output] | None:
        """Deliver in pieces what passes apart and outgrows its limit together; None if wrong."""
        if failure.cause not in {Cause.HANG, Cause.MEMORY} and not failure.external:
            good = self._kept.height - len(search.state.guilty)
            raise StepAtFault(
                f"the step fails on {good:,} rows together, but on none of them alone: "
                f"{failure.message}",
                code="contrast",
                signature=failure.signature,
                line=failure.line,
                columns=failure.columns,
            )
        if not self._holds_apart(search.came):
            return None
        # What the kernel kills with no limit of ours passed has outgrown the machine.
        what = "time" if failure.cause is Cause.HANG else "memory"
        self._tally.note(
            f"batch too large for its limit of {what}: delivered in pieces; use smaller batches "
            "or raise the limit"
        )
        return search.came

    def _holds_apart(self, came: Sequence[Output]) -> bool:
        """Return whether pieces are what the whole would give, where the whole cannot be had."""
        if self._tally.rowwise():
            return True
        largest = max(came, key=lambda piece: piece.stop - piece.start)
        rows = self._kept.frame.slice(largest.start, largest.stop - largest.start)
        self._talk.post(ipc.encode(rows), gate=False)
        self._talk.holds_batch = False
        if isinstance(self._talk.outcome(self._options.timeout_s), Failure):
            return False
        proof = self._talk.proof()
        self._take_note(proof)
        return proof is not None and proof.rowwise

    def _forgive(self, failure: Failure) -> None:
        """Take note of a failure that nobody is blamed for."""
        self._tally.note(f"did not repeat, so no row is to blame: {failure.signature}")

    def _prove(self, *, at_once: bool = False) -> None:
        """Have the last run repeated in parts, on the first and on sampled batches."""
        if not (self._tally.proof_is_due(self._options, self._kept.height) or at_once):
            return
        self._take_note(self._talk.proof())

    def _take_note(self, proof: Proved | None) -> None:
        """Keep what running a batch in parts has shown; None shows nothing.

        Raises:
            StepAtFault: if the step does not keep its rows in order.
        """
        if proof is None:
            return
        if proof.problem is not None:
            raise StepAtFault(
                f"the step returned rows {proof.problem}: keep their order, and each once",
                code="rows_reordered" if proof.problem == "reordered" else "rows_added",
                signature=f"rows {proof.problem}",
            )
        self._tally.proved(rowwise=proof.rowwise, why=proof.why)

    def _try_whole_again(self, failure: Failure) -> Settled:
        """Try a batch that cannot be cut once more; if that fails too, all of it is dead."""
        again = self._together(outputs.numbers(0, self._kept.height))
        if isinstance(again, Output):
            self._forgive(failure)
            return self._deliver([again], ())
        size = self._whole.frame.estimated_size()
        if again.cause is Cause.MEMORY and size > self._options.memory_bytes // PIECE_SHARE:
            raise StepAtFault(
                f"a batch of {format_bytes(size)} cannot be cut, because the step is not row-wise, "
                f"and does not fit a worker with memory={self._options.memory!r}: use smaller "
                "batches, or give more memory",
                code="over_memory",
                signature=again.signature,
            )
        guilty = Guilty(0, again, (failure.cause, again.cause))
        return self._deliver([], self._everyone(Search((), guilty=(guilty,))))

    def _everyone(self, search: Search) -> tuple[Guilty, ...]:
        """Make every row guilty for the ones that are: their results depend on each other."""
        whole = tuple(Guilty(0, found, (found.cause,)) for found in search.failures[:1])
        first, *_ = search.guilty or whole
        said = [guilty.failure.message for guilty in (search.guilty or whole)[:3]]
        if search.guilty and len(search.passed) + len(search.guilty) > 1:
            said = [f"row {self._number(g.row)}: {g.failure.message}" for g in search.guilty[:3]]
        why = "\n".join(["the step is not row-wise, so the whole batch is dead", *said])
        shared = replace(first.failure, code="batch", message=why)
        return tuple(Guilty(row, shared, first.attempts) for row in range(self._kept.height))

    def _deliver(self, came: Sequence[Output], guilty: Sequence[Guilty]) -> Settled:
        """Put together what came out and why the rest did not, numbered as in the frame."""
        outputs.check_drops(came, rows=self._kept.height, may_drop=self._options.may_drop)
        for output in came:
            if output.rejected is not None:
                self._suspicion.judge_rules(output.rejected, self._terms.out_schema)
        tables = [self._numbered(table) for table in outputs.reasons_of(came, guilty)]
        if self._gate_guilty:
            tables.append(outputs.guilty_reasons(self._gate_guilty))
        if self._rejected is not None:
            tables.append(outputs.rule_reasons(self._rejected, "schema"))
        rows = outputs.rows_of(came)
        if rows is not None and self._kept_rows is not None:
            rows = self._kept_rows.gather(rows).alias("row")
        good = outputs.concatenated([o.held for o in came]) if came else self._nothing()
        schema = came[0].schema if came else ""
        nothing: dict[str, Grade] = {}
        quality = functools.reduce(merged, (output.quality for output in came), nothing)
        reasons, dropped = outputs.in_order(tables), outputs.drops_of(came)
        return Settled(good, rows, reasons, dropped, schema, quality)

    def _numbered(self, reasons: pl.DataFrame) -> pl.DataFrame:
        """Number reasons by the rows of the frame instead of those that the gate kept."""
        if self._kept_rows is None:
            return reasons
        return reasons.with_columns(row=self._kept_rows.gather(reasons["row"]))

    def _nothing(self) -> Held:
        """Return what the step makes of no rows, so that a dead batch has the columns of others.

        A step that cannot do that gives the columns that it was given.
        """
        nothing = self._kept.frame.clear()
        self._talk.post(ipc.encode(nothing), gate=False)
        self._talk.holds_batch = False
        try:
            answer = self._talk.outcome(self._options.timeout_s)
        except StepAtFault:
            return Held.of_frame(nothing)
        return answer.held if isinstance(answer, Output) else Held.of_frame(nothing)


def _agree(whole: Output, pieces: Sequence[Output]) -> agreement.Agreement:
    """Compare what came out of rows together with what came out of some of them apart."""
    if not pieces:
        return agreement.Agreement(agrees=True)
    apart = outputs.concatenated([piece.held for piece in pieces]).frame
    rows = outputs.rows_of(pieces)
    if rows is None or whole.rows is None:
        if apart.height < whole.held.height:
            return agreement.Agreement(agrees=True)  # nobody knows which: the proof has to tell
        return agreement.agree(whole.held.frame, apart)
    return agreement.agree(whole.held.frame.filter(whole.rows.is_in(rows.implode())), apart)
