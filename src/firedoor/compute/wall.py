"""``Wall``: one function, contained."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar, Unpack, cast

import polars as pl

from firedoor.compute import frames
from firedoor.compute.crew import Crew
from firedoor.compute.dead import DeadLetters
from firedoor.compute.held import Held
from firedoor.compute.passage import Passage
from firedoor.compute.report import WallReport, now_s
from firedoor.compute.step import Step, refer
from firedoor.compute.suspicion import Rules
from firedoor.compute.worker import INSIDE
from firedoor.errors import (
    DeclarationError,
    DependencyDown,
    NestedWall,
    StepAtFault,
    WallClosed,
)
from firedoor.quality import gate
from firedoor.spec.wall import WallOptions, check_known

if TYPE_CHECKING:
    import dataframely as dy
    import pandas as pd
    import pyarrow as pa

    from firedoor.spec.wall import WallArguments

Frame = TypeVar("Frame", bound="pl.DataFrame | pd.DataFrame | pa.Table")


class Outcome(tuple[Frame, DeadLetters], Generic[Frame]):  # noqa: SLOT001 - a tuple has no room
    """What became of one frame: a pair ``good, dead``, and what else is known about it.

    Attributes:
        rows: for every row of ``good`` its row number in the frame (u32), or None where the step
            hides it.
        dropped: rows dropped as declared, by reason.
    """

    rows: pl.Series | None
    dropped: dict[str, int]

    def __new__(
        cls, good: Frame, dead: DeadLetters, rows: pl.Series | None, dropped: dict[str, int]
    ) -> Self:
        """Keep the parts."""
        pair = super().__new__(cls, (good, dead))
        pair.rows = rows
        pair.dropped = dropped
        return pair

    @property
    def good(self) -> Frame:
        """What the step made of the good rows, in order, as the kind of frame handed in."""
        return self[0]

    @property
    def dead(self) -> DeadLetters:
        """The rows that could not be processed, with reasons."""
        return self[1]


class Wall:
    """Runs a function on frames in worker processes, so that one bad row costs one row.

    Args:
        step: a function of one frame, or ``"module:function"``. Its first parameter's annotation
            says what it gets: ``pl.DataFrame`` (the default), ``pd.DataFrame`` or ``pa.Table``.
        schema: dataframely schema of what comes in; rows that fail it are dead, and named.
        out_schema: the same for what the step returns.
        name: for logs and reports; default: the step's.
        options: see ``firedoor.spec.wall.WallOptions`` for every limit and its default.

    Raises:
        DeclarationError: for anything that cannot work, before anything is started.

    A wall starts its workers at the first call, is safe to call from many threads and event loops,
    and ends with the process that made it.
    """

    def __init__(
        self,
        step: Step | str,
        *,
        schema: type[dy.Schema] | None = None,
        out_schema: type[dy.Schema] | None = None,
        name: str | None = None,
        **options: Unpack[WallArguments],
    ) -> None:
        """Check everything that can be checked without starting a process."""
        if os.name != "posix":
            raise DeclarationError(
                "platform", os.name, "has no POSIX processes", "run firedoor on Linux, macOS or WSL"
            )
        check_known(options)
        self._options = WallOptions(**options)
        reference = refer(step, schema, out_schema, by_value=self._options.cloudpickle)
        self.name = _check_name(name or reference.name)
        self._passage = Passage(
            reference,
            self._options,
            name=self.name,
            schema=_rules(schema),
            out_schema=_rules(out_schema),
        )
        self._closed = False
        self._begin()
        _walls.add(self)

    def _begin(self) -> None:
        """Start from nothing: at first, and again in a forked copy of the process."""
        self._lock = threading.Lock()
        self._end = weakref.finalize(self, Crew.close, self._passage.crew)
        self._threads: ThreadPoolExecutor | None = None

    def __call__(self, frame: Frame) -> Outcome[Frame]:
        """Take a frame through the wall.

        Raises:
            StepAtFault: the step, not a row, is at fault; nothing is dead-lettered, ``.frame`` is
                the frame untouched.
            DependencyDown: what the step calls by a guard is away; likewise, and
                ``.retry_after_s`` may say when to try again.
            FrameRefused: the frame cannot be used.
            WallClosed, StepUnloadable, WorkersUnavailable: as they say.
        """
        self._check_usable()
        return self._take_through(frame, _own(frame))

    def _take_through(self, frame: Frame, own: Frame) -> Outcome[Frame]:
        """Take a frame through; ``own`` is the same, as an object that no other thread has."""
        kind = frames.kind_of(own)
        began = now_s()
        table = frames.to_polars(own)
        self._passage.tally.took("encode", now_s() - began)
        try:
            settled = self._passage.take(Held.of_frame(table))
        except (StepAtFault, DependencyDown) as fault:
            fault.frame = frame
            fault.undelivered = (frame,)
            raise
        reasons = settled.reasons
        dead = DeadLetters(table[reasons["row"]] if reasons.height else table.clear(), reasons)
        good = frames.from_polars(settled.good.frame, kind, index=_index(frame, kind, settled.rows))
        return Outcome(cast("Frame", good), dead, settled.rows, settled.dropped)

    async def acall(self, frame: Frame) -> Outcome[Frame]:
        """Take a frame through the wall without blocking the event loop.

        A call that is cancelled is abandoned: its batch ends by itself, within the wall's limits.
        """
        return await asyncio.wrap_future(self._submit(frame))

    def map(self, batches: Iterable[Frame]) -> Iterator[Outcome[Frame]]:
        """Take frames through the wall, in order, some at the same time.

        At most ``workers + 1`` frames are taken in advance. On StepAtFault and DependencyDown
        ``.undelivered`` holds every frame that was taken and not given back. What ``batches``
        raises comes out after the outcomes of all frames before it.
        """
        self._check_usable()
        ahead: deque[tuple[Frame, Future[Outcome[Frame]]]] = deque()
        source = iter(batches)
        broken: Exception | None = None
        try:
            while True:
                while broken is None and len(ahead) <= self._options.workers:
                    try:
                        frame = next(source)
                    except StopIteration:
                        break
                    except Exception as error:  # noqa: BLE001 - raised again, in its turn
                        broken = error
                        break
                    ahead.append((frame, self._submit(frame)))
                if not ahead and broken is not None:
                    raise broken
                if not ahead:
                    return
                outcome = ahead[0][1].result(timeout=threading.TIMEOUT_MAX)
                ahead.popleft()
                yield outcome
        except (StepAtFault, DependencyDown) as fault:
            fault.undelivered = tuple(frame for frame, _ in ahead)
            raise
        finally:
            for _, future in ahead:
                future.cancel()

    def report(self) -> WallReport:
        """Return what happened so far."""
        return self._passage.report()

    def processes(self) -> dict[str, list[int]]:
        """Return process ids: ``server``, ``workers`` (the spare included)."""
        return self._passage.crew.pids()

    def close(self) -> None:
        """End the workers. A closed wall refuses further frames."""
        self._closed = True
        self._end()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        """Use the wall in a with block, which closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the wall."""
        self.close()

    def _submit(self, frame: Frame) -> Future[Outcome[Frame]]:
        """Have a thread of the wall's own take a frame through."""
        self._check_usable()
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(
                    self._options.workers + 1, thread_name_prefix=f"firedoor-{self.name}"
                )
            return self._threads.submit(self._take_through, frame, _own(frame))

    def _check_usable(self) -> None:
        """Refuse to work where a wall cannot."""
        if INSIDE in os.environ:
            message = (
                f"wall {self.name!r} was called inside a worker of wall {os.environ[INSIDE]!r}: "
                "call it from the main program only; in a script put it under if __name__ == "
                '"__main__":'
            )
            raise NestedWall(message)
        if self._closed:
            message = f"wall {self.name!r} is closed: make a new one, or call it in its with block"
            raise WallClosed(message)


_walls: weakref.WeakSet[Wall] = weakref.WeakSet()


def _begin_again_in_child() -> None:
    """Give every wall in a forked copy of the process workers of its own, at its next call."""
    for wall in tuple(_walls):
        wall._end.detach()  # noqa: SLF001 - this module's own class
        wall._passage.crew.abandon()  # noqa: SLF001
        wall._passage.begin()  # noqa: SLF001
        wall._begin()  # noqa: SLF001


os.register_at_fork(after_in_child=_begin_again_in_child)


def _check_name(name: str) -> str:
    """Refuse a name that is no label."""
    if not isinstance(name, str) or not name.replace("-", "_").isidentifier() or len(name) > 100:  # noqa: PLR2004
        raise DeclarationError(
            "name", name, "is not a name", "use letters, digits, _ and -, at most 100"
        )
    return name


def _own(frame: Frame) -> Frame:
    """Return a frame as an object of its own, sharing the data.

    polars locks the object while it encodes, and without the interpreter lock: another thread that
    only asks such a frame for its height then stops the whole process for good.
    """
    return cast("Frame", frame.clone()) if isinstance(frame, pl.DataFrame) else frame


def _index(frame: object, kind: str, rows: pl.Series | None) -> pd.Index | None:
    """Return the caller's pandas index for the good rows."""
    if kind != "pandas" or rows is None:
        return None
    return cast("pd.DataFrame", frame).index.take(rows.to_numpy())


def _rules(schema: type[dy.Schema] | None) -> Rules | None:
    """Return what is to be known of a schema."""
    if schema is None:
        return None
    return Rules(schema.__name__, functools.partial(gate.columns_of_rule, schema))
