"""The first message to a worker that answers requests, and the answer to that."""

from __future__ import annotations

from typing import Literal

import msgspec

from firedoor.wire.bundle import Signature
from firedoor.wire.model_files import ModelFiles


class ServingLoad(msgspec.Struct, frozen=True, kw_only=True, tag="serving"):
    """What to be."""

    wall: str
    """Name of the service."""
    pickled: bytes
    main_path: str | None
    main_module: str | None
    sys_path: tuple[str, ...]
    cwd: str
    environ: dict[str, str]
    scratch: str
    memory_bytes: int
    files_max: int
    processes_max: int
    tasks_max: int | None
    seal_reads: tuple[str, ...]
    seal_lists: tuple[str, ...]
    seal_writes: tuple[str, ...]
    network: bool | tuple[int, ...]
    model: ModelFiles | None = None
    """None: the function is called with rows alone."""
    signature: Signature = Signature()
    """Of rows, where there is no model whose bundle says it."""
    takes: Literal["polars", "pandas", "numpy"] = "polars"
    nan_is_missing: bool = False
    batch_rows: int = 256
    hang_s: float = 2.0
    """Longest that it may be at one batch."""


class ServingReady(msgspec.Struct, frozen=True, kw_only=True, tag="serving_ready"):
    """The worker is sealed, its model is verified and loaded, and its example rows came out."""

    seconds: float
    seal_level: str
    seal_missing: tuple[tuple[str, str], ...] = ()
    examples: int = 0
    """Rows that it was warmed with."""
    notes: tuple[str, ...] = ()
    """What a person should know."""
