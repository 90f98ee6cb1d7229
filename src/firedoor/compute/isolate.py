"""Take one batch through a wall: run it whole, and where that fails find the rows to blame.

``isolation.narrow`` says which slices to run next and ``isolation.contrast`` when it is not the
rows; this module runs them in workers that may die, and puts together what comes out.
"""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import polars as pl

from firedoor.compute.crew import Crew, Sample
from firedoor.compute.process import WorkerDied, WorkerProcess
from firedoor.compute.report import Tally
from firedoor.errors import StepAtFault, WorkersUnavailable
from firedoor.isolation import agreement, contrast, narrow
from firedoor.isolation.narrow import Cause, Failure, Guilty, Search, Slice
from firedoor.spec.wall import WallOptions
from firedoor.units import format_seconds
from firedoor.wire.framing import Garbled, sections
from firedoor.wire.messages import AtFault, Batch, Gated, Passed, Prove, Proved, Raised, Reply, Run

SLICE_LIMIT_MIN_S = 0.2
WARM_ROWS = 16
PROBES_AFTER_DEATHS = 16
PROBES_AFTER_ERRORS = 64
ERRORS_BEFORE_PROBE = 8
DEATHS_BEFORE_PROBE = 2
SLICES_A_REQUEST_MAX = 4_096
PROOF_LIMITS = 6
DROPS_MIN = 10
"""Rows that may vanish from a batch before a declared share is held against them."""

REASONS = {
    "row": pl.UInt32,
    "code": pl.String,
    "signature": pl.String,
    "message": pl.String,
    "attempts": pl.Struct({str(cause): pl.UInt16 for cause in Cause}),
}


@dataclass(slots=True)
class Settled:
    """What became of a batch."""

    good: pl.DataFrame
    rows: pl.Series | None
    """Row numbers of ``good`` in the batch, or None where the step hides them."""
    reasons: pl.DataFrame
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Output:
    """Rows that came out of one slice, and which rows of the gated batch they were."""

    start: int
    stop: int
    frame: pl.DataFrame
    rows: pl.Series | None
    rejected: pl.DataFrame | None
    drops: dict[str, int]


class Isolation:
    """One batch on its way through a wall. Holds one worker at a time."""

    def __init__(
        self, frame: pl.DataFrame, *, crew: Crew, options: WallOptions, tally: Tally, gated: bool
    ) -> None:
        """Prepare to take ``frame`` through."""
        self._frame = frame
        self._crew = crew
        self._options = options
        self._tally = tally
        self._gate = gated
        self._policy = narrow.NarrowPolicy()
        self._contrast = contrast.ContrastPolicy(share_max=options.contrast)
        self._worker: WorkerProcess | None = None
        self._in_hand = False
        self._fresh = False
        self._deadline = time.monotonic() + options.timeout_s + options.isolation_limit_s
        self._kept = frame
        self._kept_rows: pl.Series | None = None
        self._rejected: pl.DataFrame | None = None
        self._probed: set[str] = set()
        self._reference_rows = max(1, frame.height)

    def run(self) -> Settled:
        """Return what became of the batch.

        Raises:
            StepAtFault: if the step, not a row, is to blame. Nothing was dead-lettered.
        """
        self._worker = self._crew.take()
        try:
            return self._settle()
        except BaseException:
            # The line may hold half an answer: this worker has had its day.
            self._crew.dismiss(self._worker)
            self._worker = None
            raise
        finally:
            if self._worker is not None:
                self._crew.give_back(self._worker)

    # ------------------------------------------------------------------ the whole batch

    def _settle(self) -> Settled:
        """Run the batch whole; if that fails, search."""
        gate_guilty = self._pass_gate()
        search = narrow.begin(self._kept.height)
        outputs: list[_Output] = []
        try:
            search = self._search(search, outputs, first=True)
        except _Recovered as recovered:
            return self._finish(recovered.outputs, gate_guilty)
        if search.guilty or search.failures:
            outputs = self._confirm(search, outputs)
            if outputs is None:
                return self._all_dead(search, gate_guilty)
        else:
            self._prove()
        return self._finish(outputs, (*gate_guilty, *search.guilty))

    def _pass_gate(self) -> tuple[Guilty, ...]:
        """Send the batch and judge it by the schema. Returns rows on which a rule itself died."""
        guilty: tuple[Guilty, ...] = ()
        for _ in range(2):
            self._post_batch(self._kept, gate=self._gate, slices=())
            try:
                self._read_gate()
            except WorkerDied as died:
                self._lose(died.failure)
                guilty = self._narrow_gate()
                self._leave_out(guilty)
                continue
            self._in_hand = True
            return guilty
        message = (
            f"the rules of schema fail on the whole batch, but on no row of it alone "
            f"({self._tally.last_death()}): a rule over groups of rows is at fault"
        )
        raise StepAtFault(message, code="rule_fails", signature="schema")

    def _read_gate(self) -> None:
        """Wait for the gate's verdict on what was posted, and keep what it kept."""
        reply, payload = self._next(self._options.timeout_s)
        if isinstance(reply, AtFault):
            raise _at_fault(reply)
        if not isinstance(reply, Gated):
            raise _unexpected(reply)
        self._tally.gated(reply)
        if reply.rejected:
            (part,) = sections(payload, reply.sections)
            rejected = _decode(part)
            self._rejected = rejected
            kept = pl.int_range(self._kept.height, eager=True, dtype=pl.UInt32)
            kept = kept.filter(~kept.is_in(rejected["row"].implode()))
            self._kept = self._kept[kept]
            self._kept_rows = kept if self._kept_rows is None else self._kept_rows.gather(kept)
        if self._kept.height != reply.kept:
            raise Garbled

    def _narrow_gate(self) -> tuple[Guilty, ...]:
        """Find the rows on which a rule of the schema crashes, hangs or outgrows its memory."""
        search = narrow.begin(self._kept.height)
        if self._kept.height > 1:
            search = replace(search, todo=narrow.split(search.todo[0], self._policy.death_parts))
        while search.todo:
            head = search.todo[0]
            self._check_budget(search)
            part = self._kept.slice(head.start, head.rows)
            # The step sees no rows here; whether it likes that is not the question.
            self._post_batch(part, gate=True, slices=((0, 0),))
            try:
                reply, _ = self._next(self._limit(head))
                if isinstance(reply, AtFault):
                    raise _at_fault(reply)
                self._next(self._options.timeout_s)
                search = narrow.passed(search)
            except WorkerDied as died:
                self._lose(died.failure)
                search = narrow.failed(search, died.failure, self._policy)
                self._judge(search)
        return search.guilty

    def _leave_out(self, guilty: Iterable[Guilty]) -> None:
        """Go on without rows that are guilty already."""
        bad = pl.Series([g.row for g in guilty], dtype=pl.UInt32)
        kept = pl.int_range(self._kept.height, eager=True, dtype=pl.UInt32)
        self._kept_rows = kept.filter(~kept.is_in(bad.implode()))
        self._kept = self._kept[self._kept_rows]

    # ------------------------------------------------------------------ the search

    def _search(self, search: Search, outputs: list[_Output], *, first: bool) -> Search:
        """Run what the search asks for until it is done; ``first``: the gate has started it."""
        running = first
        while search.todo:
            if not running:
                self._check_budget(search)
                self._start_slices(search)
            running = False
            for part in search.todo[:SLICES_A_REQUEST_MAX]:
                failure = self._run_slice(part, outputs)
                if failure is None:
                    search = narrow.passed(search)
                    continue
                if self._tally.batchwise(self._options) and part.rows > 1:
                    return self._fail_whole(search, failure)
                search = narrow.failed(search, failure, self._policy)
                self._judge(search)
                search = self._look_around(search, failure)
                break
        return search

    def _start_slices(self, search: Search) -> None:
        """Ask for the slices to do, with their rows if the worker does not have them."""
        todo = search.todo[:SLICES_A_REQUEST_MAX]
        slices = tuple((part.start, part.stop) for part in todo)
        if self._in_hand:
            self._posted(Run(slices=slices))
            return
        start, stop = todo[0].start, todo[-1].stop
        self._post_batch(
            self._kept.slice(start, stop - start), gate=False, slices=slices, first=start
        )
        self._in_hand = True

    def _run_slice(self, part: Slice, outputs: list[_Output]) -> Failure | None:
        """Wait for the outcome of one slice; keep its output or return its failure."""
        limit_s = self._limit(part)
        if self._fresh:
            limit_s += 3 * self._crew.cold_s
            self._fresh = False
        try:
            reply, payload = self._next(limit_s)
            while isinstance(reply, Gated):
                reply, payload = self._next(limit_s)
        except WorkerDied as died:
            self._lose(died.failure)
            return died.failure
        match reply:
            case Passed():
                try:
                    outputs.append(_output(reply, payload))
                except Garbled as garbled:
                    return self._garbled(garbled)
                self._tally.ran(reply)
                if self._crew.sample is None and part.rows:
                    self._remember_sample(part)
                return None
            case Raised():
                return self._raised(reply)
            case AtFault():
                raise _at_fault(reply)
            case _:
                raise _unexpected(reply)

    def _raised(self, reply: Raised) -> Failure:
        """Make a failure of what the step raised; refuse if it raises on no rows at all."""
        if reply.always:
            message = f"the step fails even on a frame without rows: {reply.message}"
            raise StepAtFault(
                message,
                code="always_fails",
                signature=reply.signature,
                line=reply.line,
                columns=reply.columns,
                failed_rows=self._kept.height,
            )
        failure = Failure(
            cause=Cause.MEMORY if reply.code == "memory" else Cause.EXCEPTION,
            signature=reply.signature,
            message=reply.message,
            code=reply.code,
            line=reply.line,
            columns=reply.columns,
        )
        if failure.cause is Cause.MEMORY:
            # Python survived, but what it holds on to cannot be known: a new worker, please.
            assert self._worker is not None
            self._worker.end()
            self._lose(failure)
        return failure

    def _limit(self, part: Slice) -> float:
        """Return how long a slice may take: its share of the limit, but never an unfair one."""
        whole = self._options.timeout_s
        if part.rows >= self._kept.height or part.alone:
            return whole
        share = whole * part.rows / self._reference_rows
        return min(whole, max(SLICE_LIMIT_MIN_S, 3 * self._crew.fixed_s, share))

    def _check_budget(self, search: Search) -> None:
        """Give up a search that takes too long: so many faults are no matter of rows."""
        if time.monotonic() < self._deadline:
            return
        counts = Counter(guilty.failure.signature for guilty in search.guilty)
        signature, count = counts.most_common(1)[0] if counts else ("", 0)
        message = (
            f"the search for bad rows took over {format_seconds(self._options.isolation_limit_s)} "
            f"and had found {len(search.guilty):,} of {self._kept.height:,} rows, most of them by "
            f"{signature or 'nothing yet'}; correct the step, or raise isolation_s"
        )
        raise StepAtFault(
            message, code="isolation_budget", signature=signature, failed_rows=count
        )

    # ------------------------------------------------------------------ is it the rows?

    def _judge(self, search: Search) -> None:
        """Refuse to blame rows as soon as too many fail in one way."""
        if not search.guilty:
            return
        latest = search.guilty[-1].failure
        count = sum(guilty.failure.family == latest.family for guilty in search.guilty)
        verdict = contrast.judge(Counter({latest.family: count}), self._frame.height, self._contrast)
        if verdict is not None:
            raise _contrast_fault(verdict, latest)

    def _look_around(self, search: Search, failure: Failure) -> Search:
        """Try rows from all over the batch, once failures are more than one row's worth.

        One slice that fails says nothing about the rest. If single rows picked from everywhere
        fail alike, it is the step, and finding that out row by row would take for ever.
        """
        kind = "error" if failure.cause is Cause.EXCEPTION else "death"
        enough = (
            len(search.guilty) >= ERRORS_BEFORE_PROBE
            if kind == "error"
            else search.deaths >= DEATHS_BEFORE_PROBE
        )
        few = self._kept.height < 2 * self._contrast.rows_min
        if not enough or few or kind in self._probed or self._options.contrast >= 1:
            return search
        self._probed.add(kind)
        count = PROBES_AFTER_ERRORS if kind == "error" else PROBES_AFTER_DEATHS
        picked = self._kept[list(narrow.spread(self._kept.height, count))]
        outcomes, last = self._try_alone(picked)
        verdict = contrast.judge_sample(outcomes, self._contrast, rows=self._kept.height)
        if verdict is None:
            return search
        if last is not None and last.cause is Cause.HANG and self._fork_is_to_blame(picked[:1]):
            return narrow.begin(self._kept.height)
        raise _contrast_fault(verdict, last or failure)

    def _try_alone(self, picked: pl.DataFrame) -> tuple[list[str | None], Failure | None]:
        """Run rows one by one until a verdict is certain; return how each ended."""
        outcomes: list[str | None] = []
        last: Failure | None = None
        thrown: list[_Output] = []
        running = False
        for row in range(picked.height):
            if not running:
                rest = tuple((i, i + 1) for i in range(row, picked.height))
                self._post_batch(picked[row:], gate=False, slices=rest, first=row)
                running = True
            failure = self._run_slice(Slice(row, row + 1), thrown)
            outcomes.append(failure.family if failure else None)
            if failure is not None:
                last, running = failure, False
                if contrast.judge_sample(outcomes, self._contrast, rows=self._kept.height):
                    break
        self._in_hand = False
        return outcomes, last

    def _fork_is_to_blame(self, row: pl.DataFrame) -> bool:
        """Return whether a row that hangs in forked workers passes in one started afresh."""
        if self._crew.way != "fork" or self._options.start != "auto":
            return False
        assert self._worker is not None
        self._crew.dismiss(self._worker)
        passed = passes_spawned(self._crew, row, self._options.timeout_s)
        if passed:
            self._tally.note("forked workers hang, fresh ones do not: workers are spawned now")
            self._crew.switch_to_spawn()
        self._worker = self._crew.take()
        self._in_hand, self._fresh = False, True
        return passed

    # ------------------------------------------------------------------ is it row-wise?

    def _confirm(self, search: Search, outputs: list[_Output]) -> list[_Output] | None:
        """Check pieces against all good rows together; return what to deliver, None for nothing.

        A search is right only for a step whose rows do not depend on each other. So the good rows
        run together once more: if that gives what the pieces gave, it is delivered.
        """
        if self._tally.batchwise(self._options):
            return None
        good = _ranges(search.passed)
        if not good.len():
            return outputs
        self._post_batch(self._kept[good], gate=False, slices=())
        self._in_hand = False
        together: list[_Output] = []
        failure = self._run_slice(Slice(0, good.len(), alone=1), together)
        if failure is not None:
            return self._too_large(failure, search, outputs)
        if not search.guilty:
            self._tally.note(f"did not repeat: {search.failures[0].signature}")
        pieces = [piece.frame for piece in outputs]
        if len(pieces) > 1:
            same = agreement.agree(together[0].frame, pl.concat(pieces, how="vertical_relaxed"))
            if not same:
                self._tally.found_batchwise(f"apart and together differ: {same.why}")
                return None if search.guilty else together
        self._prove()
        if self._tally.batchwise(self._options) and search.guilty:
            return None
        return [_relabel(together[0], good)]

    def _too_large(
        self, failure: Failure, search: Search, outputs: list[_Output]
    ) -> list[_Output] | None:
        """Decide about a batch whose rows pass apart but not together."""
        if failure.cause is Cause.EXCEPTION or failure.cause is Cause.CRASH:
            message = (
                f"the step fails on {self._kept.height:,} rows together, but on none of the "
                f"{self._kept.height - len(search.guilty):,} good ones alone: {failure.message}"
            )
            raise StepAtFault(
                message,
                code="contrast",
                signature=failure.signature,
                line=failure.line,
                columns=failure.columns,
            )
        what = "memory" if failure.cause is Cause.MEMORY else "time"
        self._tally.note(
            f"batch too large for its limit of {what} ({failure.signature}): delivered in "
            f"{len(outputs)} pieces; use smaller batches or raise the limit"
        )
        return outputs

    def _prove(self) -> None:
        """Have the last run repeated in parts, on the first and on sampled batches."""
        if not self._tally.proof_is_due(self._options, self._kept.height):
            return
        self._posted(Prove())
        try:
            reply, _ = self._next(PROOF_LIMITS * self._options.timeout_s)
        except WorkerDied as died:
            self._lose(died.failure)
            return
        if not isinstance(reply, Proved):
            raise _unexpected(reply)
        if reply.rowwise:
            self._tally.found_rowwise()
        else:
            self._tally.found_batchwise(reply.why)

    def _fail_whole(self, search: Search, failure: Failure) -> Search:
        """Try a batch that cannot be cut once more; then all of it is dead."""
        attempts = (failure.cause,)
        outputs: list[_Output] = []
        self._post_batch(self._kept, gate=False, slices=())
        self._in_hand = False
        again = self._run_slice(Slice(0, self._kept.height, alone=1), outputs)
        if again is None:
            raise _Recovered(outputs)
        guilty = Guilty(0, again, (*attempts, again.cause))
        return replace(search, todo=(), guilty=(guilty,), failures=(again,))

    def _all_dead(self, search: Search, gate_guilty: tuple[Guilty, ...]) -> Settled:
        """Dead-letter a batch whole: its rows depend on each other."""
        said = [f"row {g.row}: {g.failure.message}" for g in search.guilty[:3]]
        failure = (search.guilty[0].failure if search.guilty else search.failures[0])
        why = "\n".join(["the step is not row-wise, so the whole batch is dead", *said])
        attempts = search.guilty[0].attempts if search.guilty else (failure.cause,)
        shared = replace(failure, code="batch", message=why)
        everyone = tuple(Guilty(row, shared, attempts) for row in range(self._kept.height))
        return self._finish([], (*gate_guilty, *everyone))

    # ------------------------------------------------------------------ what comes out

    def _finish(self, outputs: list[_Output], guilty: tuple[Guilty, ...]) -> Settled:
        """Put together good rows, dead rows and their reasons."""
        dropped = self._count_drops(outputs)
        reasons = self._reasons(outputs, guilty)
        frames = [output.frame for output in outputs]
        good = pl.concat(frames, how="vertical_relaxed") if frames else self._kept.clear()
        return Settled(good, self._rows(outputs), reasons, dropped)

    def _rows(self, outputs: list[_Output]) -> pl.Series | None:
        """Return the row numbers of all output rows in the caller's frame."""
        numbers = []
        for output in outputs:
            if output.rows is None:
                return None
            numbers.append(output.rows)
        if not numbers:
            return pl.Series("row", [], dtype=pl.UInt32)
        inside = numbers[0] if len(numbers) == 1 else pl.concat(numbers)
        return inside if self._kept_rows is None else self._kept_rows.gather(inside).rename("row")

    def _count_drops(self, outputs: list[_Output]) -> dict[str, int]:
        """Count rows dropped as declared; rows that vanish otherwise are a fault of the step."""
        declared: Counter[str] = Counter()
        vanished = 0
        for output in outputs:
            declared.update(output.drops)
            rejected = output.rejected.height if output.rejected is not None else 0
            came = output.frame.height + rejected + sum(output.drops.values())
            vanished += output.stop - output.start - came
        allowed = self._options.may_drop
        if vanished > 0 and (allowed == 0 or vanished > max(DROPS_MIN, allowed * self._kept.height)):
            rows = f"{vanished:,} of {self._kept.height:,} rows vanish in the step"
            limit = f"may_drop={allowed:g}" if allowed else "nothing declared"
            message = (
                f"{rows}, against {limit}: an inner join or a filter; declare it with may_drop=, "
                'or with firedoor.drop(frame, where, because="...")'
            )
            raise StepAtFault(
                message, code="rows_vanished", signature="rows vanish", failed_rows=vanished
            )
        if vanished > 0:
            declared["may_drop"] += vanished
        return dict(declared)

    def _reasons(self, outputs: list[_Output], guilty: tuple[Guilty, ...]) -> pl.DataFrame:
        """Return the dead rows' reasons, by row number in the caller's frame."""
        tables = [_guilty_reasons(guilty, self._kept_rows)] if guilty else []
        if self._rejected is not None:
            tables.append(_rule_reasons(self._rejected, "schema"))
        for output in outputs:
            if output.rejected is not None:
                mapped = output.rejected
                if self._kept_rows is not None:
                    mapped = mapped.with_columns(row=self._kept_rows.gather(mapped["row"]))
                tables.append(_rule_reasons(mapped, "out_schema"))
        if not tables:
            return pl.DataFrame(schema=REASONS)
        return pl.concat(tables).sort("row")

    # ------------------------------------------------------------------ talking to the worker

    def _post_batch(
        self, frame: pl.DataFrame, *, gate: bool, slices: tuple[tuple[int, int], ...], first: int = 0
    ) -> None:
        """Send rows and what to do with them."""
        payload = encode_frame(frame)
        message = Batch(first=first, gate=gate, slices=slices)
        self._posted(message, payload)

    def _posted(self, message: Batch | Run | Prove, *payload: memoryview) -> None:
        """Post to the worker in hand."""
        assert self._worker is not None
        self._worker.post(message, *payload)

    def _next(self, limit_s: float) -> tuple[Reply, memoryview]:
        """Return the worker's next reply."""
        assert self._worker is not None
        return self._worker.next(limit_s)

    def _lose(self, failure: Failure) -> None:
        """Go on with another worker."""
        assert self._worker is not None
        self._worker = self._crew.replace(self._worker, failure)
        self._in_hand, self._fresh = False, True

    def _garbled(self, garbled: Garbled) -> Failure:
        """Replace a worker that sends what is no frame: user code wrote over its memory."""
        assert self._worker is not None
        what = f"the worker sent garbled data: {garbled}"
        failure = Failure(cause=Cause.CRASH, signature="garbled data", message=what)
        self._worker.end()
        self._lose(failure)
        return failure

    def _remember_sample(self, part: Slice) -> None:
        """Keep a few rows that passed, to warm workers with."""
        rows = self._kept.slice(part.start, min(part.rows, WARM_ROWS))
        twice = ((0, rows.height), (0, rows.height))
        self._crew.sample = Sample(Batch(first=0, gate=False, slices=twice), encode_frame(rows))


class _Recovered(Exception):  # noqa: N818 - unwinds a search that turned out to be needless
    """A batch that cannot be cut passed at the second try."""

    def __init__(self, outputs: list[_Output]) -> None:
        super().__init__()
        self.outputs = outputs


def passes_spawned(crew: Crew, rows: pl.DataFrame, limit_s: float) -> bool:
    """Return whether rows pass in a worker that is started afresh, not forked."""
    worker = crew.start("spawn")
    try:
        reply, _ = worker.next(limit_s + 60)
        if worker.tag is not None:
            for _ in range(3):
                worker.next(limit_s + 60)
        worker.post(Batch(first=0, gate=False, slices=()), encode_frame(rows))
        while not isinstance(reply, Passed | Raised | AtFault):
            reply, _ = worker.next(limit_s)
    except WorkerDied:
        return False
    finally:
        crew.dismiss(worker)
    return isinstance(reply, Passed | Raised)


def encode_frame(frame: pl.DataFrame) -> memoryview:
    """Return a frame as Arrow IPC stream bytes."""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="uncompressed")
    return buffer.getbuffer()


def _decode(part: memoryview) -> pl.DataFrame:
    """Return the frame in Arrow IPC bytes that a worker sent.

    Raises:
        Garbled: if they are none.
    """
    try:
        return pl.read_ipc_stream(io.BytesIO(part))
    except BaseException as error:
        # polars panics on some broken input, and a panic is no Exception.
        if isinstance(error, KeyboardInterrupt):
            raise
        message = f"not Arrow IPC: {error}"
        raise Garbled(message) from error


def _output(reply: Passed, payload: memoryview) -> _Output:
    """Decode what a slice returned."""
    parts = sections(payload, reply.sections)
    frame = _decode(parts.pop(0))
    rows: pl.Series | None = None
    if reply.identity == "traced":
        rows = _decode(parts.pop(0))["row"] + reply.start
    elif reply.identity == "position":
        rows = pl.int_range(reply.start, reply.stop, eager=True, dtype=pl.UInt32).rename("row")
    rejected = _decode(parts.pop(0)) if reply.rejected else None
    if frame.height != reply.rows_out:
        raise Garbled
    return _Output(reply.start, reply.stop, frame, rows, rejected, reply.drops)


def _relabel(output: _Output, rows: pl.Series) -> _Output:
    """Number an output of gathered rows by the rows they were gathered from."""
    numbers = None if output.rows is None else rows.gather(output.rows)
    rejected = output.rejected
    if rejected is not None:
        rejected = rejected.with_columns(row=rows.gather(rejected["row"]))
    return _Output(output.start, output.stop, output.frame, numbers, rejected, output.drops)


def _ranges(passed: tuple[tuple[int, int], ...]) -> pl.Series:
    """Return the numbers of all rows in these ranges."""
    ranges = [pl.int_range(a, b, eager=True, dtype=pl.UInt32) for a, b in passed if b > a]
    return pl.concat(ranges) if ranges else pl.Series([], dtype=pl.UInt32)


def _guilty_reasons(guilty: tuple[Guilty, ...], kept_rows: pl.Series | None) -> pl.DataFrame:
    """Return guilty rows as a table of reasons."""
    numbers = pl.Series([g.row for g in guilty], dtype=pl.UInt32)
    if kept_rows is not None:
        numbers = kept_rows.gather(numbers)
    none = {str(cause): 0 for cause in Cause}
    columns = {
        "row": numbers,
        "code": [g.failure.code or str(g.failure.cause) for g in guilty],
        "signature": [g.failure.signature for g in guilty],
        "message": [g.failure.message for g in guilty],
        "attempts": [none | g.counts() for g in guilty],
    }
    return pl.DataFrame(columns, schema=REASONS)


def _rule_reasons(rejected: pl.DataFrame, code: str) -> pl.DataFrame:
    """Return rows that failed rules as a table of reasons."""
    nothing = pl.struct(pl.lit(0, dtype=pl.UInt16).alias(str(cause)) for cause in Cause)
    return rejected.select(
        pl.col("row").cast(pl.UInt32),
        pl.lit(code).alias("code"),
        pl.concat_str(pl.lit("rule "), pl.col("rules").list.join(", ")).alias("signature"),
        pl.col("message"),
        nothing.alias("attempts"),
    )


def _at_fault(reply: AtFault) -> StepAtFault:
    """Make an error of a reply that no row can be to blame for."""
    return StepAtFault(
        reply.message,
        code=reply.code,
        signature=reply.rule or reply.code,
        rule=reply.rule,
        line=reply.line,
        columns=reply.columns,
    )


def _contrast_fault(verdict: contrast.Verdict, failure: Failure) -> StepAtFault:
    """Make an error of a verdict."""
    message = (
        f"{verdict.why}, so it is the step, not the rows; nothing was dead-lettered\n"
        f"{failure.message}"
    )
    return StepAtFault(
        message,
        code="contrast",
        signature=failure.signature,
        line=failure.line,
        columns=failure.columns,
        failed_rows=verdict.failed_rows,
    )


def _unexpected(reply: Reply) -> Exception:
    """A worker that does not follow the protocol is broken."""
    return WorkersUnavailable(f"a worker answered out of turn: {type(reply).__name__}")
