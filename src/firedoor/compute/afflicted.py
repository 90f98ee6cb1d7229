"""A worker whose model does what a drill wants, to the rows or requests that a hash chooses.

The fault is put where the user's function is called, so that all that is around it (batches that
are run one by one, predictions that are judged, limits, deaths that are blamed on somebody) meets
it as it would meet such a model. Between two batches the bench is as it was.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import mmap
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from firedoor.compute.fault_page import MARK_AT, add_hits, ends_s, read_fault
from firedoor.compute.serving_batch import FrameMaker, Item, Row, Taker
from firedoor.drill.chance import hits
from firedoor.drill.fault import Fault
from firedoor.wire.columns import Values

OF_ROWS = frozenset({"model_nan", "model_constant", "model_worse", "model_raise"})
"""Faults that hit rows; the others hit requests."""
SEEN_MAX = 1_000
"""Predictions from which one is drawn that was another row's."""
LOOK_S = 0.02
HOLD_S = 1.0
"""Longest time in which a gateway looks at what a worker takes, and more."""
PIECE_BYTES = 8 * 2**20
BURN_BYTES = 2**20
"""Hashed at a time, without holding the interpreter: so every thread burns a processor."""


class Answers(Protocol):
    """What answers a batch."""

    def answers(self, names: tuple[str, ...], items: list[Item]) -> Iterator[list[bytes]]:
        """Yield frames to send."""
        ...


class Bench(Answers, Protocol):
    """What a worker answers with: ``compute.serving_worker.Bench``."""

    step: Callable[..., object]
    framer: FrameMaker
    taker: Taker


class Afflictions:
    """What a worker is to do to itself now; looked at once the mark in its page is not 0."""

    def __init__(self, bench: Bench, page: mmap.mmap, *, memory_bytes: int) -> None:
        """Begin with nothing."""
        self._bench, self._page, self._memory_bytes = bench, page, memory_bytes
        self._mark = 0
        self._now: Afflicted | None = None

    def bench(self) -> Answers:
        """Return what answers the next batch."""
        mark = self._page[MARK_AT]
        if mark != self._mark:
            self._mark, fault = mark, read_fault(self._page)
            self._now = None
            if fault is not None:
                self._now = Afflicted(
                    self._bench, fault, self._page, memory_bytes=self._memory_bytes
                )
        return self._bench if self._now is None or self._now.over else self._now


class Afflicted:
    """A bench with a fault."""

    def __init__(self, bench: Bench, fault: Fault, page: mmap.mmap, *, memory_bytes: int) -> None:
        """Take the place of a bench whenever it is asked for answers."""
        self._bench, self._fault, self._page = bench, fault, page
        self._memory_bytes = memory_bytes
        self._step, self._framer = bench.step, bench.framer
        self._mark = page[MARK_AT]
        self._rows: Sequence[Row] = ()
        self._hit: set[int] = set()
        """Rows of the batch that are hit, by the identity of each."""
        self._seen: dict[str, deque[object]] = {}
        self._first: dict[str, object] = {}
        self._dice = random.Random(fault.seed)  # noqa: S311 - repeated by its seed
        self._burns = False

    @property
    def over(self) -> bool:
        """Whether the fault is not to be done any more."""
        return self._page[MARK_AT] != self._mark or time.monotonic() >= ends_s(self._page)

    def answers(self, names: tuple[str, ...], items: list[Item]) -> Iterator[list[bytes]]:
        """Yield frames to send, as the bench does."""
        self._choose(items)
        self._bench.step, self._bench.framer = self.step, self
        try:
            yield from self._bench.answers(names, items)
        finally:
            self._bench.step, self._bench.framer = self._step, self._framer
            self._rows = ()
            self._hit.clear()

    def frame(self, names: tuple[str, ...], rows: Sequence[Row]) -> object:
        """Return rows as the function takes them, and note which they are."""
        self._rows = rows
        return self._framer.frame(names, rows)

    def step(self, *arguments: object) -> object:
        """Do as the user's function does, or as one with this fault would."""
        at = [number for number, row in enumerate(self._rows) if id(row) in self._hit]
        if not at or self.over:
            return self._step(*arguments)
        match self._fault.name:
            case "model_raise":
                message = f"a drill has the model raise ({self._fault.id})"
                raise ValueError(message)
            case "model_segfault":
                ctypes.string_at(0)
            case "model_hang":
                self._wait(math.inf)
            case "model_slow":
                self._wait(self._fault.intensity)
            case "model_memory":
                self._fill()
            case "model_cpu":
                self._burn()
            case _:
                return self._changed(self._step(*arguments), at)
        return self._step(*arguments)

    # ---- who is hit

    def _choose(self, items: list[Item]) -> None:
        """Choose the rows that are hit, and count them, or the requests that they are of."""
        count = 0
        for item in items:
            if self._fault.name in OF_ROWS:
                chosen = [row for row in item.rows if hits(self._fault, repr(row))]
                count += len(chosen)
            else:
                chosen = item.rows if hits(self._fault, repr(item.rows)) else []
                count += bool(chosen)
            self._hit.update(map(id, chosen))
        if count:
            add_hits(self._page, count)

    # ---- what is done

    def _wait(self, seconds: float) -> None:
        """Wait so long, or until the fault is over."""
        until_s = time.monotonic() + seconds
        never = threading.Event()
        while not self.over and (left_s := until_s - time.monotonic()) > 0:
            never.wait(min(left_s, LOOK_S))

    def _fill(self) -> None:
        """Take memory, and hold it until whoever watches has looked, or the fault is over.

        Raises:
            MemoryError: if there is no more.
        """
        held: list[bytearray] = []
        wanted = int(self._fault.intensity * self._memory_bytes)
        while len(held) * PIECE_BYTES < wanted and not self.over:
            held.append(bytearray(b"\1") * PIECE_BYTES)
        self._wait(HOLD_S)
        del held

    def _burn(self) -> None:
        """Burn processors from now on, until the fault is over."""
        if self._burns:
            return
        self._burns = True
        for _ in range(math.ceil(self._fault.intensity)):
            threading.Thread(target=self._burn_one, name="drill", daemon=True).start()

    def _burn_one(self) -> None:
        """Burn one."""
        block = bytes(BURN_BYTES)
        while not self.over:
            hashlib.sha256(block)

    # ---- predictions

    def _changed(self, returned: object, at: list[int]) -> object:
        """Return what the function returned, with other predictions for some rows."""
        columns = self._bench.taker.columns(returned, len(self._rows))
        for name, values in columns.items():
            if len(values) == len(self._rows):  # else it is misshaped by itself
                columns[name] = self._replaced(name, values, at)
        return columns

    def _replaced(self, name: str, values: Values, at: list[int]) -> Values:
        """Return predictions of one output, those of some rows replaced."""
        replaced = list(values)
        seen = self._seen.setdefault(name, deque(maxlen=SEEN_MAX))
        seen.extend(values)
        first = self._first.setdefault(name, values[0])
        for row in at:
            match self._fault.name:
                case "model_nan":
                    replaced[row] = like(values[row], math.nan)
                case "model_constant":
                    replaced[row] = constant(values[row], self._fault.intensity, first)
                case _:
                    replaced[row] = seen[self._dice.randrange(len(seen))]
        return replaced


def like(value: object, number: float) -> object:
    """Return a number in the shape of a value: lists of it, for lists.

    >>> like([[1.0, 2.0], [3.0]], 0.5)
    [[0.5, 0.5], [0.5]]
    """
    return [like(part, number) for part in value] if isinstance(value, list) else number


def constant(value: object, number: float, first: object) -> object:
    """Return the same whatever the value is: the number where it is one, else what came first.

    >>> constant(0.2, 0.5, 0.1), constant(7, 0.6, 3), constant("late", 0.5, "early")
    (0.5, 1, 'early')
    """
    if isinstance(value, bool) or not isinstance(value, int | float | list):
        return first
    return round(number) if isinstance(value, int) else like(value, number)
