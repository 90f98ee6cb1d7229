"""The record of a run while it is at work: each change is written, figures once a second."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec

from firedoor.compose.runs import RunFolder
from firedoor.ports.clock import Clock
from firedoor.wire.run import Event, RunRecord

WRITE_S = 1.0
"""Between two writings of the record while figures change."""

Watcher = Callable[[RunRecord], None]


class Recording:
    """A record, its events, and who looks at it."""

    def __init__(
        self, folder: RunFolder, record: RunRecord, *, clock: Clock, watcher: Watcher
    ) -> None:
        """Begin with a record that is written already."""
        self.folder = folder
        self.record = record
        self._clock, self._watcher = clock, watcher
        self._written_s = 0.0

    def tell(self, what: str, said: str = "", value: float | None = None) -> None:
        """Add an event."""
        self.folder.tell(Event(at_s=self._clock.utc_s(), what=what, said=said, value=value))

    def change(self, *, later: bool = False, **fields: object) -> None:
        """Change the record; with ``later`` it need not be written at once."""
        self.record = msgspec.structs.replace(self.record, **fields)
        self._watcher(self.record)
        now_s = self._clock.utc_s()
        if later and 0 <= now_s - self._written_s < WRITE_S:
            return
        self._written_s = now_s
        self.folder.write(self.record, durable=not later)

    def give_up(self, message: str) -> RunRecord:
        """Fail because nothing can be written; say so on disk if that is possible by now."""
        self.record = msgspec.structs.replace(
            self.record, outcome="failed", cause="record", message=message,
            ended_s=self._clock.utc_s(), publishing="",
        )  # fmt: skip
        with contextlib.suppress(OSError):
            self.folder.write(self.record, durable=True)
        return self.record
