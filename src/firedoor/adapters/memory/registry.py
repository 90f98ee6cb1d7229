"""States of models in memory: the reference of ``ports.registry``."""

from __future__ import annotations

import threading

from firedoor.errors import ModelsUnavailable
from firedoor.names import check_name
from firedoor.wire.models import Entry, Kept, check_next


class MemoryRegistry:
    """A registry that is gone with its process. Threads may share it."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._lock = threading.Lock()
        self._kept: dict[str, Kept] = {}
        self._history: dict[str, list[Entry]] = {}
        self.away = False

    def models(self) -> list[str]:
        """Return the models that there are, by name."""
        self._check_there()
        with self._lock:
            return sorted(self._kept)

    def read(self, model: str) -> Kept:
        """Return a model as it is."""
        self._check_there()
        return self._kept.get(check_name("model", model), Kept())

    def swap(self, model: str, kept: Kept) -> None:
        """Keep the next generation of a model."""
        self._check_there()
        assert kept.latest is not None, "a change has an entry"
        with self._lock:
            found = self._kept.get(check_name("model", model), Kept())
            check_next(model, kept, found)
            self._kept[model] = kept
            self._history.setdefault(model, []).append(kept.latest)

    def history(self, model: str, limit: int) -> list[Entry]:
        """Return the latest changes, the latest last."""
        self._check_there()
        with self._lock:
            return self._history.get(check_name("model", model), [])[-limit:]

    def _check_there(self) -> None:
        """Refuse where it is to look as if it was away."""
        if self.away:
            message = "the registry is away"
            raise ModelsUnavailable(message)
