"""The messages between the supervisor of a job and the worker that runs it."""

from __future__ import annotations

from typing import Literal

import msgspec

from firedoor.wire.striking import Strike


class JobLoad(msgspec.Struct, frozen=True, kw_only=True, tag="job"):
    """The only task of a worker: a function to run once."""

    wall: str
    """Name of the job."""
    pickled: bytes
    main_path: str | None
    main_module: str | None
    sys_path: tuple[str, ...]
    cwd: str
    environ: dict[str, str]
    scratch: str
    memory_bytes: int
    cpu_s: int | None
    files_max: int
    processes_max: int
    tasks_max: int | None
    seal_reads: tuple[str, ...]
    seal_lists: tuple[str, ...]
    seal_writes: tuple[str, ...]
    network: bool | tuple[int, ...]
    run: str
    attempt: int
    seed: int
    parameters: dict[str, bool | int | float | str | None]
    folder: str | None
    """What it reads; None: nothing."""
    checkpoints: str
    """The folder with what it kept, by name."""
    strike: Strike | None = None
    """What a drill has it do to itself before the function begins."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, tag="kept"):
    """A folder was taken over, or why not."""

    error: str = ""


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """How far it is. Without figures: that it lives."""

    done: float | None = None
    total: float | None = None
    step: str = ""


class Metric(msgspec.Struct, frozen=True, kw_only=True, tag="metric"):
    """A figure."""

    name: str
    value: float


class Keep(msgspec.Struct, frozen=True, kw_only=True, tag="keep"):
    """A folder of the scratch folder to take over: ``keep/NAME``."""

    kind: Literal["checkpoint", "model"]
    name: str
    """Of the checkpoint, or of the model."""
    format: str = ""
    loader: str = ""
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    example: str = ""


class JobEnded(msgspec.Struct, frozen=True, kw_only=True, tag="job_ended"):
    """The function has returned."""


class JobRaised(msgspec.Struct, frozen=True, kw_only=True, tag="job_raised"):
    """The function has raised."""

    memory: bool
    """Whether it ran out of memory."""
    signature: str
    message: str
    line: str | None
