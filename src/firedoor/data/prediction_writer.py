"""The copies of predictions on their way to the log: taken at once, written behind.

Nobody waits for it. While the broker is away it keeps what fits and drops what comes then: dropping
costs nothing at the door, what was taken is written for certain, and the gap is one, from the
moment at which it was full to the broker's return.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Protocol

from firedoor.errors import FiredoorError
from firedoor.ports.clock import Clock
from firedoor.wire.prediction import (
    CHUNK_BYTES_MAX,
    Chunk,
    PredictionRecord,
    encode_chunk,
    size_of,
    slim,
)

RECORDS_MAX = 20_000
BYTES_MAX = 64 * 2**20
FLUSH_S = 1.0
FLUSH_RECORDS = 500
"""Records that are written at once; as many are not waited ``FLUSH_S`` for."""
AGAIN_S = 1.0
"""Between two tries to write the same chunk."""
CLOSE_S = 2.0


class Log(Protocol):
    """Where chunks go: ``ports.streams.Streams``."""

    async def log_predictions(self, chunk: Chunk) -> bool:
        """Keep a chunk, durably."""
        ...


class PredictionWriter:
    """See ``ports.prediction_log.PredictionLog``. Used from one event loop."""

    def __init__(
        self,
        log: Log | None = None,
        *,
        clock: Clock,
        records_max: int = RECORDS_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        """Begin empty; nothing is written before ``run``.

        Args:
            log: where to; None: nowhere yet.
            clock: what it waits by.
            records_max: records that wait at most.
            bytes_max: about what they may take.
        """
        self.log = log
        """Whoever reaches the broker later, or anew, sets it."""
        self.dropped = 0
        self.written = 0
        self.because = ""
        """Why the last chunk was not written; empty: it was."""
        self._clock = clock
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._waiting: deque[tuple[PredictionRecord, int]] = deque()
        self._bytes = 0
        self._closing = False
        self._given_up = False
        self._due = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Records that were taken and are not written yet."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """About what they take."""
        return self._bytes

    def put(self, record: PredictionRecord) -> None:
        """Take a copy, or drop it and count that: it neither waits nor raises."""
        record = slim(record)
        size = size_of(record)
        full = len(self._waiting) >= self._records_max or self._bytes + size > self._bytes_max
        if full or self._closing:
            self.dropped += 1
            return
        self._waiting.append((record, size))
        self._bytes += size
        if len(self._waiting) == FLUSH_RECORDS:
            self._due.set()

    async def run(self) -> None:
        """Write what was taken, until ``close``. One at a time; after a fault, anew."""
        self._ended.clear()
        try:
            while not self._closing:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_S):
                        await self._due.wait()
                self._due.clear()
                await self._flush()
            await self._flush()
        finally:
            self._ended.set()

    async def close(self, within_s: float = CLOSE_S) -> None:
        """Take no more; write what waits within a bound, and count the rest as dropped."""
        self._closing = True
        self._due.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._ended.wait()
        self._given_up = True
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._bytes = 0

    async def _flush(self) -> None:
        """Write all that waits, a chunk after the other."""
        while self._waiting:
            records, size = self._cut()
            taken = len(records)
            # msgpack and zlib take milliseconds for a chunk: requests are answered meanwhile.
            chunk, lost = await asyncio.to_thread(_encode, records)
            while chunk is not None and not await self._write(chunk):
                if self._given_up:
                    return
                await self._clock.wait(AGAIN_S)
            self.written += taken - lost
            if self._given_up:  # these were counted as dropped, but came through
                self.dropped -= taken - lost
                return
            self.dropped += lost
            for _ in range(taken):
                self._waiting.popleft()
            self._bytes -= size

    def _cut(self) -> tuple[list[PredictionRecord], int]:
        """Return the oldest records that go into one chunk, and about what they take."""
        records: list[PredictionRecord] = []
        total = 0
        for record, size in self._waiting:
            other = bool(records) and record.service != records[0].service
            if other or len(records) == FLUSH_RECORDS or total + size > CHUNK_BYTES_MAX:
                break
            records.append(record)
            total += size
        return records, total

    async def _write(self, chunk: Chunk) -> bool:
        """Write a chunk; False: it could not be, for now."""
        if self.log is None:
            self.because = "the broker has not been reached yet"
            return False
        try:
            await self.log.log_predictions(chunk)
        except FiredoorError as error:
            self.because = str(error)
            return False
        self.because = ""
        return True


def _encode(records: list[PredictionRecord]) -> tuple[Chunk | None, int]:
    """Return a chunk, and how many records cannot be written: one must not stop the others."""
    try:
        return encode_chunk(records), 0
    except (ValueError, TypeError, OverflowError):
        pass
    good: list[PredictionRecord] = []
    for record in records:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            encode_chunk([record])
            good.append(record)
    return (encode_chunk(good) if good else None), len(records) - len(good)
