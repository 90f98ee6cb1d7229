"""What a drill has a worker do to a batch, or to itself over it: the message beside the rows."""

from __future__ import annotations

import msgspec


class Strike(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fault of the catalogue, made exact for one batch: it hits the same rows however often."""

    fault: str
    """Its id."""
    name: str
    seed: int
    """From which, and from the values of a row, it follows whether that row is hit."""
    until_s: float
    """After which nothing dies of it any more, on the machine's clock that never jumps. What it
    changes in rows it changes to the end of the batch: parts of it have to fit each other."""
    share: float = 1.0
    """Of rows."""
    keys: tuple[str, ...] = ()
    """Columns whose values say whether a row is hit."""
    column: str = ""
    amount: float = 0.0
    """A factor, a shift, seconds, or bytes."""
    pair: tuple[str, str] | None = None
    """Two texts that are turned into each other."""

    @property
    def once(self) -> bool:
        """Whether it happens to one worker only: the batch goes through in the next one."""
        return self.name.startswith("worker_")
