"""One batch's talk with a worker that may die at any moment and be replaced by another."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from firedoor.compute import ipc, outputs
from firedoor.compute.crew import Crew, Sample
from firedoor.compute.outputs import Output
from firedoor.compute.process import WorkerDied, WorkerProcess
from firedoor.compute.report import Tally
from firedoor.errors import DependencyDown, StepAtFault, WorkersUnavailable
from firedoor.isolation.narrow import Cause, Failure
from firedoor.wire.framing import Garbled
from firedoor.wire.messages import (
    AtFault,
    Batch,
    Gated,
    Loading,
    Passed,
    Prove,
    Proved,
    Raised,
    Reply,
    Run,
    Tracing,
    Unloadable,
)
from firedoor.wire.model_files import ModelFiles
from firedoor.wire.records import GuardOrder
from firedoor.wire.striking import Strike

if TYPE_CHECKING:
    import polars as pl

Slices = tuple[tuple[int, int], ...]
SPAWN_LOAD_S = 60.0
CALLS_SHARE = 0.9
"""Of a run's limit that calls out of the step may take: guards cut them before the wall does."""
OWN_WORK_LIMITS = 6
"""Limits that running a step again, for proof or to trace rows, may take."""


def _keep_no_journal(cause: str, where: str) -> None:
    """Do nothing: a wall by itself keeps no state on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How one batch is to be worked on."""

    compress: bool = False
    """Whether what comes out is compressed and left as bytes."""
    lookups: Mapping[str, str] = field(default_factory=dict)
    """Further arguments of the step: parameter -> Parquet file."""
    models: Mapping[str, ModelFiles] = field(default_factory=dict)
    """Further arguments of the step, by parameter."""
    key: str | None = None
    """What a sink is called with."""
    lenient: bool = False
    """Whether rows are blamed however many fail alike: all of them died before."""
    journal: Callable[[str, str], None] = _keep_no_journal
    """Told (cause, where) of each death before rows are run again."""
    attempt: int = 1
    """From 2 on the batch was tried before, by whoever hands it in."""
    orders: tuple[GuardOrder, ...] = ()
    """For guards of the step."""
    strike: Strike | None = None
    """What a drill does to the batch. No part of ``batch``: samples are not to be struck."""

    def batch(
        self, *, first: int, gate: bool, slices: Slices, left_s: float | None = None
    ) -> Batch:
        """Return a request to work on rows in this manner."""
        return Batch(
            first=first,
            gate=gate,
            slices=slices,
            compress=self.compress,
            lookups=dict(self.lookups),
            models=dict(self.models),
            key=self.key,
            attempt=self.attempt,
            left_s=left_s,
            orders=self.orders,
        )


PLAIN = Manner()


class Conversation:
    """Posts requests and turns what comes back, a death included, into outputs and failures."""

    def __init__(
        self,
        crew: Crew,
        tally: Tally,
        *,
        full_limit_s: float,
        load_limit_s: float = 60.0,
        manner: Manner = PLAIN,
    ) -> None:
        """Prepare; entering the conversation takes a worker."""
        self._manner = manner
        self._strike = manner.strike
        self._asked: deque[tuple[int, int]] = deque()
        self._crew = crew
        self._full_limit_s = full_limit_s
        self._load_limit_s = load_limit_s
        self._tally = tally
        self._worker: WorkerProcess | None = None
        self.holds_batch = False
        """Whether the worker has the batch, so that slices of it can be asked for."""
        self._fresh = False
        self._load_deaths = 0

    def __enter__(self) -> Self:
        """Take a worker."""
        self._worker = self._crew.take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the worker back; after an error it may be half-way through an answer, so end it."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        self._tally.peaked(worker.look())
        # What a step calls is away: the worker has said all, and its guards know what they know.
        if error is None or isinstance(error, DependencyDown):
            self._crew.give_back(worker)
        else:
            self._crew.dismiss(worker)

    def post(self, rows: ipc.Pieces, *, gate: bool, slices: Slices = (), first: int = 0) -> None:
        """Send encoded rows, numbered from ``first``, and slices to run; () runs them whole."""
        self._asked = deque(slices)
        left_s = CALLS_SHARE * self._full_limit_s
        batch = self._manner.batch(first=first, gate=gate, slices=slices, left_s=left_s)
        if self._strike is not None:
            batch = replace(batch, strike=self._strike)
            self._strike = None if self._strike.once else self._strike
        self._at_work.post(batch, *rows)
        self.holds_batch = True

    def post_slices(self, slices: Slices) -> None:
        """Ask for further slices of the batch in hand."""
        self._asked = deque(slices)
        self._at_work.post(Run(slices=slices))

    def verdict(self, limit_s: float) -> tuple[int, pl.DataFrame | None] | Failure:
        """Wait for the gate: (rows kept, rows rejected), or how the worker died over it.

        Raises:
            StepAtFault: if the schema cannot be applied at all.
        """
        try:
            reply, payload = self._next(limit_s)
            if isinstance(reply, AtFault):
                raise _at_fault(reply)
            if isinstance(reply, Raised):
                return self._raised(reply)
            if not isinstance(reply, Gated):
                raise _out_of_turn(reply)
            self._tally.gated(reply)
            return reply.kept, outputs.of_gated(reply, payload)
        except WorkerDied as died:
            return self._replace(died.failure)
        except Garbled as garbled:
            return self._garbled(garbled)

    def outcome(self, limit_s: float) -> Output | Failure:
        """Wait for the outcome of the next slice that was asked for.

        Raises:
            DependencyDown: if what the step calls is away.
            StepAtFault: if the step broke its contract, so that no row can be to blame.
        """
        if self._fresh and self._crew.sample is None:
            # Nothing has warmed this worker: its first run may have a model to load.
            limit_s = max(limit_s, self._full_limit_s)
        self._fresh = False
        try:
            reply, payload = self._next(limit_s)
            while isinstance(reply, Gated | Tracing):
                if isinstance(reply, Tracing):  # the step is through: the rest is our doing
                    limit_s = OWN_WORK_LIMITS * self._full_limit_s
                reply, payload = self._at_work.next(limit_s)
            match reply:
                case Passed():
                    self._tally.ran(reply)
                    if self._asked:
                        self._asked.popleft()
                    return outputs.of_passed(reply, payload, as_bytes=self._manner.compress)
                case Raised():
                    return self._raised(reply)
                case AtFault():
                    raise _at_fault(reply)
                case _:
                    raise _out_of_turn(reply)
        except WorkerDied as died:
            return self._replace(died.failure)
        except Garbled as garbled:
            return self._garbled(garbled)

    def proof(self) -> Proved | None:
        """Have the last slice run in parts; None if the worker died, which proves nothing."""
        self._at_work.post(Prove())
        try:
            reply, _ = self._at_work.next(OWN_WORK_LIMITS * self._full_limit_s)
        except WorkerDied as died:
            self._replace(died.failure)
            return None
        if isinstance(reply, Proved):
            return reply
        raise _out_of_turn(reply)

    def renew(self) -> None:
        """Go on with another worker, though this one lives."""
        self._crew.dismiss(self._at_work)
        self._worker = None
        self._worker = self._crew.take()
        self.holds_batch, self._fresh = False, True

    def _next(self, limit_s: float) -> tuple[Reply, io.BytesIO]:
        """Return the first reply to a batch. Loading models has as long as importing the step has.

        Raises:
            StepAtFault: if the worker dies of that, and not just once and by a signal from outside.
        """
        reply, payload = self._at_work.next(limit_s)
        if not isinstance(reply, Loading):
            return reply, payload
        try:
            return self._at_work.next(self._load_limit_s)
        except WorkerDied as died:
            self._load_deaths += 1
            if died.failure.external and self._load_deaths == 1:
                raise
            dead, self._worker = self._at_work, None
            self._crew.forget(dead, died.failure)
            names = " and ".join(reply.models)
            message = (
                f"a worker died while it loaded model {names} ({died.failure.message}): roll it "
                "back, or give the zone more memory= or load_timeout_s="
            )
            raise StepAtFault(
                message,
                code="model_unloadable",
                signature=f"loading {names}: {died.failure.signature}",
            ) from died

    @property
    def _at_work(self) -> WorkerProcess:
        """The worker in hand."""
        assert self._worker is not None
        return self._worker

    def _replace(self, failure: Failure) -> Failure:
        """Go on with another worker in place of a dead one."""
        dead, self._worker = self._at_work, None
        self._tally.peaked(dead.peak_bytes)
        self.holds_batch = False
        at = f"rows {self._asked[0][0]} to {self._asked[0][1]}" if self._asked else "the batch"
        self._asked.clear()
        try:
            # Before anything is run again: whoever dies of it next finds what was tried.
            self._manner.journal(str(failure.cause), at)
        except BaseException:
            self._crew.forget(dead, failure)
            raise
        self._worker = self._crew.replace(dead, failure)
        self._fresh = True
        return failure

    def _garbled(self, garbled: Garbled) -> Failure:
        """Replace a worker that sends what it should not: user code wrote over its memory."""
        self._at_work.end()
        what = f"the worker sent garbled data: {garbled}"
        return self._replace(Failure(cause=Cause.CRASH, signature="garbled data", message=what))

    def _raised(self, reply: Raised) -> Failure:
        """Make a failure of what the step raised.

        Raises:
            DependencyDown: if what it calls is away.
            StepAtFault: if it raises the same without any rows.
        """
        self._tally.called(reply.guards)
        if reply.code == "dependency":
            raise DependencyDown(reply.message, retry_after_s=reply.retry_after_s)
        if reply.always:
            raise StepAtFault(
                f"the step fails even on a frame without rows: {reply.message}",
                code="always_fails",
                signature=reply.signature,
                line=reply.line,
                columns=reply.columns,
                failed_rows=reply.stop - reply.start,
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
            # Python survived, but what it still holds on to cannot be known.
            self._at_work.end()
            self._replace(failure)
        return failure


def try_spawned(
    crew: Crew, rows: pl.DataFrame, *, gate: bool, limit_s: float, manner: Manner = PLAIN
) -> Sample | None:
    """Return rows as a sample if they come back from a worker that is started afresh, not forked.

    It is the counter-test to a forked worker that hangs or dies: where even a fresh interpreter
    does, forking is not to blame.
    """
    worker = crew.start("spawn", warm=False)
    sample = Sample(manner.batch(first=0, gate=gate, slices=()), ipc.encode(rows))
    try:
        reply, _ = worker.next(SPAWN_LOAD_S)
        if isinstance(reply, Unloadable):
            return None
        worker.post(sample.batch, *sample.payload)
        while not isinstance(reply, Passed | Raised | AtFault):
            reply, _ = worker.next(SPAWN_LOAD_S if isinstance(reply, Loading) else limit_s)
    except WorkerDied as died:
        crew.forget(worker, died.failure)
        return None
    finally:
        crew.dismiss(worker)
    return sample


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


def _out_of_turn(reply: Reply) -> WorkersUnavailable:
    """Make an error of a worker that does not follow the protocol: the versions differ."""
    message = (
        f"a worker answered out of turn with {type(reply).__name__}: is another version of "
        "firedoor first on its sys.path?"
    )
    return WorkersUnavailable(message)
