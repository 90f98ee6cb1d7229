"""What the plan of a zone, a job or a service refers to: a function, a version of a model."""

from __future__ import annotations

import msgspec


class StepNote(msgspec.Struct, frozen=True, kw_only=True):
    """A function and its schemas, as ``compute.step.refer`` describes them to a worker."""

    name: str
    pickled: bytes
    main_path: str | None
    main_module: str | None
    where: str
    """``file:line`` of the function."""


class ModelPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model that a step uses."""

    name: str
    alias: str = "champion"
    allow: tuple[str, ...] = ()
    """``pickle``, where that may be loaded."""
    column: str = ""
    """Of what sinks behind it write: which version it was; empty: none."""

    @property
    def key(self) -> str:
        """What it is called in envelopes and records."""
        return self.name if self.alias == "champion" else f"{self.name}@{self.alias}"
