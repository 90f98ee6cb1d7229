"""A declared dataset as plain values: a part of the plan."""

from __future__ import annotations

import msgspec


class SplitPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How rows are parted: by the hash of a key, or by time."""

    parts: tuple[tuple[str, float | str | None], ...]
    """Name with share of the keys, or with its end as ISO 8601; None: open."""
    key: tuple[str, ...] = ()
    column: str = ""
    salt: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The parts."""
        return tuple(name for name, _ in self.parts)


class LeakPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What parts must not share; see ``evaluation.leakage``."""

    key: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    near: float = 0.01
    near_share_max: float = 0.001
    examples: int = 5


class DatasetPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What snapshots are taken of."""

    name: str
    sink: str
    folder: str
    """Absolute path of the sink's folder."""
    split: SplitPlan | None = None
    """None: the sink's files are read as they are."""
    sealed: tuple[str, ...] = ()
    label: str = ""
    leakage: LeakPlan | None = None
    memory_bytes: int = 2**30
    """Of the worker that takes a snapshot."""
    where: str = ""
    """``file:line`` of its declaration."""
