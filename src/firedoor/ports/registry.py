"""Where the states of models are kept, changed by compare-and-set, with a history.

``firedoor.testing.registry_conformance`` is what an implementation has to pass.
"""

from __future__ import annotations

from typing import Protocol

from firedoor.wire.models import Entry, Kept


class Registry(Protocol):
    """States of models. Reading waits for nobody.

    Any of it raises ``ModelsUnavailable`` if the registry cannot be reached or is damaged, and
    ``DeclarationError`` for what cannot name a model.
    """

    def models(self) -> list[str]:
        """Return the models that there are, by name."""
        ...

    def read(self, model: str) -> Kept:
        """Return a model as it is; generation 0 if there is none."""
        ...

    def swap(self, model: str, kept: Kept) -> None:
        """Keep the next generation of a model, with its entry, durably or not at all.

        Raises:
            ChangedMeanwhile: if it is not the one after what is there.
        """
        ...

    def history(self, model: str, limit: int) -> list[Entry]:
        """Return the latest changes, the latest last."""
        ...
