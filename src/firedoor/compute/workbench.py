"""What a worker does with a batch: decode, gate, run slices of it through the step, encode.

Everything here runs in the worker. Nothing that user code raises gets past ``Workbench``: it
becomes a reply.
"""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import polars as pl

from firedoor.compute import blame, frames, ipc, lookups, models
from firedoor.compute.outward import Away, Outward
from firedoor.compute.step import Step
from firedoor.isolation import agreement, dropping, tracing
from firedoor.quality import gate
from firedoor.wire.messages import AtFault, Batch, Gated, Loading, Passed, Proved, Raised, Tracing

if TYPE_CHECKING:
    import dataframely as dy

    from firedoor.compute.striking import Striking

TRACE_S = 0.5
TRACE_CALLS_MIN = 8
UNTRACED_MAX = 3
"""Rows are looked for by running parts until that failed so often running."""

UNNAMED = ("unknown", "expanded")
"""Ways in which output rows have no row that they came from."""

Parts = tuple[bytes, ...]
Answer = tuple[Loading | Gated | Tracing | Passed | Raised | AtFault | Proved, Parts]


class Workbench:
    """The step, its schemas, and the batch in hand."""

    def __init__(
        self,
        step: Step,
        schema: type[dy.Schema] | None,
        out_schema: type[dy.Schema] | None,
        *,
        extra: gate.Extra,
        batchwise: bool = False,
        expands: bool = False,
    ) -> None:
        """Prepare to run ``step``, which gets the kind of frame its annotation asks for."""
        self._step = step
        self._schema = schema
        self._out_schema = out_schema
        self._extra = extra
        self._batchwise = batchwise
        self._expands = expands
        self._compress = False
        self._key: str | None = None
        self._lookups = lookups.Lookups()
        self._models = models.Models()
        self._outward = Outward()
        self._arguments: Mapping[str, object] = {}
        self._kind = frames.wanted_kind(step)
        self._frame = pl.DataFrame()
        self._answered: pl.DataFrame | None = None
        """A row that came through."""
        self._first = 0
        self._empty_tried = False
        self._last: tuple[pl.DataFrame, pl.DataFrame, pl.Series | None] | None = None
        self._strike: Striking | None = None
        self._untraced = 0
        """Batches running whose rows could not be traced."""

    def take(self, batch: Batch, payload: io.BytesIO) -> Iterator[Answer]:
        """Take a batch in hand, judge it by the schema, run the slices that came with it."""
        started = time.perf_counter()
        frame = ipc.decode(payload)
        decoded = time.perf_counter()
        self._first, self._empty_tried, self._last = batch.first, False, None
        self._strike = None
        if batch.strike is not None:
            from firedoor.compute.striking import Striking  # noqa: PLC0415 - for a drill

            self._strike = Striking(batch.strike, frame)
            frame = self._strike.changed(frame)
        self._outward.begin(batch)
        self._compress = batch.compress
        if missing := self._models.missing(batch.models):
            yield Loading(models=missing), ()
        try:
            self._arguments = {
                **self._lookups.frames(batch.lookups, self._kind),
                **self._models.objects(batch.models),
            }
            self._key = batch.key
            if batch.key is not None:
                self._empty_tried = True  # no rows would be an effect as well
            self._frame, rejected = self._admit(frame, gated=batch.gate)
            if self._strike is not None:
                self._strike.keep(rejected)
            self._models.check(batch.models, self._frame.schema)
        except gate.SchemaBroken as broken:
            yield _broken(broken), ()
            return
        except models.ModelFails as fails:
            yield fails.reply, ()
            return
        except BaseException as error:  # noqa: BLE001 - rules are user code, and polars panics
            self._empty_tried = True  # it was not the step
            code = "memory" if isinstance(error, MemoryError) else "exception"
            yield self._raised(error, frame, 0, frame.height, code=code), ()
            return
        parts = ipc.encode(rejected) if rejected.height else ()
        yield (
            Gated(
                kept=self._frame.height,
                rejected=rejected.height,
                decode_s=decoded - started,
                gate_s=time.perf_counter() - decoded,
                sections=(ipc.size(parts),) if parts else (),
            ),
            parts,
        )
        slices = batch.slices or ((batch.first, batch.first + self._frame.height),)
        yield from self.run(slices)

    def _admit(self, frame: pl.DataFrame, *, gated: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the rows that the step may see, and those that the schema rejects, if asked."""
        if self._schema is None:
            return frame, pl.DataFrame()
        if not gated:
            return gate.cast(frame, self._schema, extra=self._extra), pl.DataFrame()
        judged = gate.judge(frame, self._schema, extra=self._extra)
        return judged.kept, judged.rejected

    def run(self, slices: tuple[tuple[int, int], ...]) -> Iterator[Answer]:
        """Run slices one after another; stop at the first that fails, the wall will say how on."""
        for start, stop in slices:
            for answer in self._run_one(start, stop):
                yield answer
                if not isinstance(answer[0], Passed | Tracing):
                    return

    def prove(self) -> Proved:
        """Run the last slice again in parts, and say whether the step is row-wise."""
        if self._last is None:
            return Proved(rowwise=True, why="nothing to compare")
        frame, output, rows = self._last
        try:
            proof = agreement.prove(self._call, frame, output, rows=rows)
        except BaseException as error:  # noqa: BLE001 - the step runs in here, and may raise anything
            said = blame.of_exception(error, frame.columns)
            return Proved(rowwise=False, why=f"it fails on a part of its rows: {said.signature}")
        # As many rows as went in are taken to be in their order. A step that sorts them differs in
        # parts as well, and then it is worth another run to say so.
        problem = None
        if not proof.rowwise and output.height == frame.height:
            problem = tracing.trace(self._call, frame, output, calls_max=0).problem
        return Proved(rowwise=proof.rowwise, why=proof.why, problem=problem)

    def _run_one(self, start: int, stop: int) -> Iterator[Answer]:
        """Run one slice; say so before anything is run only to find out about it."""
        part = self._frame.slice(start - self._first, stop - start)
        started = time.perf_counter()
        try:
            with dropping.collect_drops() as drops:
                if self._strike is not None:
                    self._strike.before(start - self._first, stop - self._first)
                output = self._call(part)
        except frames.NotAFrame as wrong:
            yield AtFault(code="not_a_frame", message=str(wrong)), ()
            return
        except MemoryError as error:
            yield self._raised(error, part, start, stop, code="memory"), ()
            return
        except BaseException as error:  # noqa: BLE001 - here is where a fault of the step stops
            away = self._outward.away(error)
            if away is not None and away.edge is not None and self._key is None:
                yield Tracing(seconds=time.perf_counter() - started), ()
                others = self._outward.others(self._frame, self._answered)
                if self._outward.answers(away, self._call, others):
                    away = None
            yield self._raised(error, part, start, stop, code="exception", away=away), ()
            return
        step_s = time.perf_counter() - started
        self._outward.passed()
        self._answered = part[[0]] if part.height else self._answered
        if output.height < part.height and not self._expands:
            yield Tracing(seconds=step_s), ()
        yield self._passed(part, output, drops, start, step_s)

    def _call(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Call the step with the kind of frame it wants, and make of its answer a polars frame."""
        # A clone shares the data: a step that inserts a column in place does it to its own.
        given = frame.clone() if self._kind == "polars" else frames.from_polars(frame, self._kind)
        with self._outward.calling():
            if self._key is not None:
                self._step(given, self._key)
                return pl.DataFrame()  # a sink's function gives nothing back, whatever it returns
            value = self._step(given, **self._arguments)
        return frames.returned_to_polars(value)

    def _passed(
        self,
        part: pl.DataFrame,
        output: pl.DataFrame,
        drops: dict[str, int],
        start: int,
        step_s: float,
    ) -> Answer:
        """Find out which rows came out, judge them by the output's schema, encode."""
        try:
            rows, identity = self._identify(part, output, step_s)
            self._last = (part, output, rows)
            output, rows, identity, rejected = self._judge(part, output, rows, identity)
        except gate.SchemaBroken as broken:
            return _broken(broken), ()
        except _Misshapen as wrong:
            return AtFault(code=wrong.code, message=str(wrong)), ()
        if identity in UNNAMED and rejected.height:
            return self._unnamed(rejected, start, start + part.height), ()
        encoding = time.perf_counter()
        try:
            parts = [ipc.encode(output, compress=self._compress)]
        except pl.exceptions.PolarsError as error:
            why = f"what the step returned cannot leave the worker: {error}"
            return AtFault(code="wrong_schema", message=why), ()
        if identity == "traced" and rows is not None:
            parts.append(ipc.encode(rows.cast(pl.UInt32).alias("row").to_frame()))
        if rejected.height:
            shifted = rejected.with_columns(row=pl.col("row").cast(pl.UInt32) + start)
            parts.append(ipc.encode(shifted))
        reply = Passed(
            start=start,
            stop=start + part.height,
            rows_out=output.height,
            identity=identity,
            drops=dict(drops),
            rejected=rejected.height,
            step_s=step_s,
            encode_s=time.perf_counter() - encoding,
            schema=frames.fingerprint(output),
            sections=tuple(ipc.size(part) for part in parts),
            guards=self._outward.notes(),
            quality=self._outward.quality(),
        )
        return reply, tuple(itertools.chain(*parts))

    def _identify(
        self, part: pl.DataFrame, output: pl.DataFrame, step_s: float
    ) -> tuple[pl.Series | None, str]:
        """Return which row of ``part`` each output row was, and how that is known."""
        if self._expands:
            return None, "expanded"
        if output.height == part.height:
            # Rows of a step that is declared batchwise may be in any order, and nobody proves it.
            return None, "unknown" if self._batchwise else "position"
        if output.height > part.height:
            raise _Misshapen(
                "rows_added",
                f"the step returned {output.height:,} rows for {part.height:,}: a row may become "
                "one row or none; look for a join whose right side repeats a key, or declare "
                "expands=True",
            )
        calls_max = min(tracing.CALLS_MAX, max(TRACE_CALLS_MIN, int(TRACE_S / max(step_s, 1e-6))))
        if self._untraced >= UNTRACED_MAX:
            calls_max = 0
        found = tracing.trace(self._call, part, output, calls_max=calls_max)
        self._untraced = self._untraced + 1 if found.rows is None else 0
        if found.problem is not None:
            code = "rows_reordered" if found.problem == "reordered" else "rows_added"
            why = f"the step returned rows {found.problem}: keep their order, and each once"
            raise _Misshapen(code, why)
        return found.rows, "unknown" if found.rows is None else "traced"

    def _judge(
        self, part: pl.DataFrame, output: pl.DataFrame, rows: pl.Series | None, identity: str
    ) -> tuple[pl.DataFrame, pl.Series | None, str, pl.DataFrame]:
        """Part output rows that fail the output's schema, numbered by the rows they came from."""
        if self._out_schema is None:
            return output, rows, identity, pl.DataFrame()
        judged = gate.check_output(output, self._out_schema)
        if not judged.rejected.height or identity in UNNAMED:
            return judged.kept, rows, identity, judged.rejected
        if rows is None:
            rows = pl.int_range(part.height, eager=True, dtype=pl.UInt32)
        named = judged.rejected.with_columns(row=rows.gather(judged.rejected["row"]))
        return judged.kept, rows.gather(judged.rows), "traced", named

    def _raised(
        self,
        error: BaseException,
        part: pl.DataFrame,
        start: int,
        stop: int,
        *,
        code: str,
        away: Away | None = None,
    ) -> Raised:
        """Describe what the step raised, and whether it raises the same on no rows at all."""
        said = blame.of_exception(error, part.columns)
        always = False
        if away is not None:
            code = "dependency"
        elif code == "exception" and part.height and not self._empty_tried:
            self._empty_tried = True
            always = self._fails_on_nothing(part, said)
        error.__traceback__ = None  # frames hold the batch
        return Raised(
            start=start,
            stop=stop,
            code=code,
            signature="memory" if code == "memory" else said.signature,
            message=said.message if away is None else away.message,
            line=said.line,
            columns=said.columns,
            always=always,
            retry_after_s=None if away is None else away.retry_after_s,
            guards=self._outward.notes(),
        )

    def _fails_on_nothing(self, part: pl.DataFrame, said: blame.Blame) -> bool:
        """Return whether the step fails in the very same way on zero rows."""
        try:
            self._call(part.clear())
        except BaseException as error:  # noqa: BLE001 - the step may raise anything
            again = blame.of_exception(error, part.columns)
            return again.message == said.message
        return False

    def _unnamed(self, rejected: pl.DataFrame, start: int, stop: int) -> Raised:
        """Make a failure of output rows whose input rows are unknown: the search will find them."""
        rule = rejected["rules"][0][0]
        return Raised(
            start=start,
            stop=stop,
            code="out_schema",
            signature=f"out_schema rule {rule}",
            message=rejected["message"][0],
            line=None,
            columns=gate.columns_of_rule(self._out_schema, rule) if self._out_schema else (),
            always=False,
        )


class _Misshapen(Exception):
    """The step returned rows that cannot be told apart."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _broken(broken: gate.SchemaBroken) -> AtFault:
    """Say that the schema cannot be applied."""
    return AtFault(
        code=broken.code, message=str(broken), rule=broken.rule, columns=tuple(broken.columns)
    )
