"""The way through one wall: its workers, its terms, and what was counted.

``Wall`` takes frames through it in a user's program; a zone takes batches through it as bytes.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

from firedoor.compute import limits, outputs
from firedoor.compute.conversation import PLAIN, Manner
from firedoor.compute.crew import Crew
from firedoor.compute.held import Held
from firedoor.compute.isolate import PIECE_SHARE, Isolation
from firedoor.compute.outputs import Settled
from firedoor.compute.report import Tally, WallReport, now_s
from firedoor.compute.step import StepReference
from firedoor.compute.suspicion import Rules, Terms
from firedoor.errors import DeclarationError, StepAtFault
from firedoor.isolation import contrast
from firedoor.spec.wall import WallOptions
from firedoor.units import format_bytes
from firedoor.wire.records import GuardNote

UNPACKED_MAX = 16
"""What a compressed batch grows by at most, before it is worth decoding it to know its size."""


class Passage:
    """Takes batches through. Thread-safe; starts its workers at the first batch."""

    def __init__(
        self,
        reference: StepReference,
        options: WallOptions,
        *,
        name: str,
        schema: Rules | None = None,
        out_schema: Rules | None = None,
    ) -> None:
        """Check what no worker could live with.

        Raises:
            DeclarationError: for a memory limit in which polars cannot live.
        """
        _check_memory(options)
        self.name = name
        self.options = options
        self._reference = reference
        self._terms = Terms(
            options=options,
            schema=schema,
            out_schema=out_schema,
            contrast=contrast.ContrastPolicy(share_max=options.contrast),
        )
        self._lenient = replace(
            self._terms,
            options=replace(options, contrast=1.0),
            contrast=contrast.ContrastPolicy(share_max=1.0),
        )
        self.begin()

    def begin(self) -> None:
        """Start from nothing: at first, and again in a forked copy of the process."""
        self._lock = threading.Lock()
        self.tally = Tally(self.name)
        self.crew = Crew(
            self._reference,
            self.options,
            name=self.name,
            lost=self.tally.died,
            note=self.tally.note,
        )
        self._streak = contrast.Streak()

    def take(self, held: Held, manner: Manner = PLAIN) -> Settled:
        """Take one batch through.

        Raises:
            DependencyDown: what the step calls is away; nothing is dead-lettered.
            StepAtFault: the step, not a row, is at fault; nothing is dead-lettered.
            StepUnloadable, WorkersUnavailable, WallClosed: as they say.
        """
        settled = self._settle(held, manner)
        if not manner.lenient:
            self._watch_streak(held.height, settled)
        codes = Counter(settled.reasons["code"].to_list() if settled.reasons.height else ())
        self.tally.finished(
            rows=held.height, good=settled.good.height, codes=codes, dropped=settled.dropped
        )
        return settled

    def guards(self) -> tuple[GuardNote, ...]:
        """Return what the workers said last of the guards that the step calls through."""
        return self.tally.guards(self.crew.pids()["workers"])

    def report(self) -> WallReport:
        """Return what happened so far."""
        return self.tally.report(
            way=self.crew.way,
            loaded=self.crew.loaded,
            replacements=list(self.crew.replacements),
            options=self.options,
            seal_notes=self.crew.notes,
            caged=self.crew.delegation is not None,
        )

    def _settle(self, held: Held, manner: Manner) -> Settled:
        """Take rows through, in pieces if they are large."""
        terms = self._lenient if manner.lenient else self._terms
        done: list[Settled] = []
        pieces = self._pieces(held)
        for start, piece in pieces:
            began = now_s()
            _ = piece.pieces  # encoded before a worker is taken: others can use it
            self.tally.took("encode", now_s() - began)
            with self.crew.slot():
                began = now_s()
                isolation = Isolation(
                    piece, crew=self.crew, terms=terms, tally=self.tally, manner=manner
                )
                done.append(outputs.shifted(isolation.run(), start))
                self.tally.took("wait", now_s() - began)
            if len(pieces) > 1 and self.tally.batchwise(self.options):
                return self._settle(held, manner)  # found out just now: it must not be cut
        return outputs.joined(done)

    def _pieces(self, held: Held) -> list[tuple[int, Held]]:
        """Cut what a worker has no room for, where it may be cut."""
        room = self.options.memory_bytes // PIECE_SHARE
        if held.height <= 1 or self.tally.batchwise(self.options):
            return [(0, held)]
        if not held.is_decoded and sum(map(len, held.pieces)) * UNPACKED_MAX <= room:
            return [(0, held)]
        size = held.frame.estimated_size()
        if size <= room:
            return [(0, held)]
        rows = max(1, held.height * room // int(size))
        count = -(-held.height // rows)
        self.tally.note(
            f"a frame of {format_bytes(size)} went in {count} pieces: rules over groups of rows "
            "see a piece at a time; give the wall more memory, or smaller frames"
        )
        starts = range(0, held.height, rows)
        return [(start, Held.of_frame(held.frame.slice(start, rows))) for start in starts]

    def _watch_streak(self, rows: int, settled: Settled) -> None:
        """Refuse to go on dead-lettering whole batches for one and the same reason."""
        counts = Counter(settled.reasons["signature"].to_list() if settled.reasons.height else ())
        with self._lock:
            self._streak, verdict = contrast.follow(
                self._streak, counts, rows, self._terms.contrast
            )
        if verdict is not None:
            first = settled.reasons.row(0, named=True)
            message = f"{verdict.why}, so it is the step, not the rows\n{first['message']}"
            raise StepAtFault(
                message,
                code="contrast",
                signature=verdict.signature,
                failed_rows=verdict.failed_rows,
            )


def _check_memory(options: WallOptions) -> None:
    """Refuse a limit in which polars cannot live."""
    if options.memory_bytes < limits.MEMORY_MIN_BYTES:
        raise DeclarationError(
            "memory",
            options.memory,
            "is less than a worker needs to live",
            f"give at least {format_bytes(limits.MEMORY_MIN_BYTES)}",
        )
