"""What running a job again takes, for whoever runs jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from firedoor.wire.dataset import SnapshotRecord
from firedoor.wire.jobs import Keep
from firedoor.wire.run import Difference, RunRecord


class Repeat(Protocol):
    """A run that is to be repeated."""

    @property
    def run(self) -> str:
        """Its id."""
        ...

    @property
    def record(self) -> RunRecord:
        """All that is known of it."""
        ...

    @property
    def snapshot(self) -> SnapshotRecord | None:
        """What it read; None: nothing."""
        ...

    def take(self, keep: Keep, folder: Path) -> None:
        """Look at what was saved as a model, instead of registering it."""
        ...

    def differences(self, record: RunRecord) -> tuple[Difference, ...]:
        """Return in what the run that has just ended differs from it."""
        ...
