"""Where copies of predictions go. Never awaited by a request."""

from __future__ import annotations

from typing import Protocol

from firedoor.wire.prediction import PredictionRecord


class PredictionLog(Protocol):
    """Takes copies, bounded."""

    def put(self, record: PredictionRecord) -> None:
        """Take a copy, or drop it and count that: it neither waits nor raises."""
        ...

    @property
    def dropped(self) -> int:
        """How many were dropped so far."""
        ...

    @property
    def written(self) -> int:
        """How many are in the stream, durably."""
        ...
