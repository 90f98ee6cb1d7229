"""Take pictures of a pipeline that runs, keep them, and tell when the broker goes and comes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from firedoor.compose.files import write_atomically
from firedoor.compose.project import Project
from firedoor.control.status import (
    BEAT_LIVES_S,
    KEEPER_KEY,
    KeeperWord,
    Kept,
    Snapshot,
    encode_snapshot,
    remember,
    take,
)
from firedoor.errors import StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan

BEAT_S = 2.0
"""Longest time between two words to commands; one that is new is said at once."""
AWAY_S = 5.0
"""A broker that is away for less is not told of: one that is started again takes a second."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """The supervisor's eyes."""

    project: Project
    plan: Plan
    clock: Clock
    tell: Callable[[str], None]
    snapshot: Snapshot | None = None
    """The last picture."""
    _said: KeeperWord | None = None
    _said_s: float = 0.0
    _away_since_s: float | None = None
    _away_told: bool = False
    _back_s: float = 0.0
    """When it came back last, and ``_gap_s`` how long it had been away."""
    _gap_s: float = 0.0

    async def look(
        self,
        streams: Streams,
        *,
        kept: Mapping[str, Kept],
        broker_fault: str = "",
        broker_gone: str = "",
    ) -> Snapshot:
        """Return a picture of now; without the broker, the last one with what is known besides.

        Args:
            streams: the pipeline's.
            kept: what the supervisor knows of each zone's processes.
            broker_fault: why the broker stores nothing although it answers, if that is known.
            broker_gone: why it does not answer, if that is known.
        """
        word = KeeperWord(broker_fault=broker_fault, zones=dict(kept))
        before = self.snapshot
        try:
            taken = await take(
                streams, self.plan, at_s=self.clock.utc_s(), supervisor_pid=os.getpid()
            )
            await self._say(streams, word)
        except StreamsUnavailable as error:
            last = before or Snapshot(pipeline=self.plan.pipeline, at_s=0.0)
            why = broker_gone or broker_fault
            snapshot = replace(last, broker="down", broker_fault=why, supervisor_pid=os.getpid())
            self._miss(str(error), known=bool(why))
        else:
            self._find()
            remembered = remember(self.plan, taken, before, away_s=self._was_away_s())
            snapshot = replace(remembered, broker_fault=broker_fault)
        self.snapshot = replace(snapshot, kept=word.zones)
        self._keep(self.snapshot)
        return self.snapshot

    def _keep(self, snapshot: Snapshot) -> None:
        """Keep a picture for commands that find no broker."""
        # A full disk must not end what runs: zones wait for the broker, which says so itself.
        with contextlib.suppress(OSError):
            write_atomically(self.project.status_file, encode_snapshot(snapshot))

    async def _say(self, streams: Streams, word: KeeperWord) -> None:
        """Say to commands what only the supervisor knows."""
        now_s = self.clock.now_s()
        if word != self._said or now_s - self._said_s >= BEAT_S:
            await streams.beat(KEEPER_KEY, msgspec.json.encode(word))
            self._said, self._said_s = word, now_s

    def _miss(self, why: str, *, known: bool) -> None:
        """Note that the broker does not answer; tell it once it has not for a while."""
        now_s = self.clock.now_s()
        if self._away_since_s is None:
            self._away_since_s = now_s
        # What whoever keeps the broker knows the matter of, it tells itself.
        if now_s - self._away_since_s >= AWAY_S and not self._away_told and not known:
            self._away_told = True
            self.tell(f"{why}; zones wait, and go on when it answers")

    def _find(self) -> None:
        """Note that the broker answers; tell it if it was told that it did not."""
        if self._away_since_s is not None:
            self._back_s = self.clock.now_s()
            self._gap_s = self._back_s - self._away_since_s
            if self._away_told:
                self.tell(f"the broker answers again, after {self._gap_s:.0f} s; nothing is lost")
        self._away_since_s, self._away_told = None, False

    def _was_away_s(self) -> float:
        """Return for how long nobody could say anything, while zones find it again."""
        return self._gap_s if self.clock.now_s() - self._back_s < BEAT_LIVES_S else 0.0
