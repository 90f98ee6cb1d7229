"""The messages between a wall and its worker: small frozen values, msgpack on the wire.

A frame never rides inside a message: it follows as raw Arrow IPC bytes, in as many sections as the
message's ``sections`` says, so that it is copied by the kernel and by nobody else.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from firedoor.quality.grades import Grade
from firedoor.wire.fetching import Fetch, Fetched, FetchNote
from firedoor.wire.jobs import JobEnded, JobLoad, JobRaised, Keep, Kept, Metric, Progress
from firedoor.wire.model_files import ModelFiles
from firedoor.wire.records import GuardNote, GuardOrder
from firedoor.wire.serving_load import ServingLoad, ServingReady
from firedoor.wire.striking import Strike


class Load(msgspec.Struct, frozen=True, kw_only=True, tag="load"):
    """First message to a worker: what to be."""

    wall: str
    pickled: bytes
    """(step, schema, out_schema); the step may be a ``"module:function"`` string."""
    main_path: str | None
    main_module: str | None
    sys_path: tuple[str, ...]
    cwd: str
    environ: dict[str, str]
    scratch: str
    extra: Literal["keep", "refuse", "drop"]
    batchwise: bool
    expands: bool = False
    memory_bytes: int
    files_max: int
    processes_max: int
    tasks_max: int | None
    seal_reads: tuple[str, ...]
    seal_lists: tuple[str, ...]
    seal_writes: tuple[str, ...]
    network: bool | tuple[int, ...]
    fetches: FetchNote | None = None
    """What is looked up, where that is what it is for; the step is the function that does it."""


class Loaded(msgspec.Struct, frozen=True, kw_only=True, tag="loaded"):
    """The worker is sealed and its step is imported."""

    seconds: float
    rss_bytes: int
    seal_level: str
    seal_what: tuple[str, ...]
    seal_missing: tuple[tuple[str, str], ...]


class Unloadable(msgspec.Struct, frozen=True, kw_only=True, tag="unloadable"):
    """The step cannot be imported or is not what it should be."""

    message: str
    detail: str


class Batch(msgspec.Struct, frozen=True, kw_only=True, tag="batch"):
    """Rows to work on (one section) and the slices of them to run at once.

    ``first`` is the number of the section's first row within the gated batch: slices are numbered
    in the whole batch, so that a fresh worker can be given only what is left of it.
    """

    first: int
    gate: bool
    slices: tuple[tuple[int, int], ...]
    compress: bool = False
    """Whether what comes out is to be compressed: it will travel on as it is."""
    lookups: dict[str, str] = {}
    """Further arguments of the step: parameter -> Parquet file, immutable."""
    models: dict[str, ModelFiles] = {}
    """Further arguments of the step, by parameter."""
    key: str | None = None
    """Of a sink, which is called with it, once and with all rows: it has effects elsewhere."""
    attempt: int = 1
    """From 2 on the batch was tried before: guards inside make no call twice then."""
    left_s: float | None = None
    """Seconds that calls out of the step may take; None: as long as their guards allow."""
    orders: tuple[GuardOrder, ...] = ()
    """What a person wants of guards."""
    strike: Strike | None = None
    """What a drill does to it."""


class Run(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """Run further slices of the batch that the worker holds."""

    slices: tuple[tuple[int, int], ...]


class Prove(msgspec.Struct, frozen=True, kw_only=True, tag="prove"):
    """Run the last slice again in halves and say whether the step is row-wise."""


class Loading(msgspec.Struct, frozen=True, kw_only=True, tag="loading"):
    """Models are being loaded, on a clock of their own; whoever dies of it is no row's fault."""

    models: tuple[str, ...]


class Gated(msgspec.Struct, frozen=True, kw_only=True, tag="gated"):
    """The schema gate has judged. Section: rejected rows, if any."""

    kept: int
    rejected: int
    decode_s: float
    gate_s: float
    sections: tuple[int, ...] = ()


class Tracing(msgspec.Struct, frozen=True, kw_only=True, tag="tracing"):
    """The step is through, and something is being found out, on a clock of its own.

    Which rows came out, where they are fewer; or, where a call failed, whether others are answered.
    """

    seconds: float
    """What the step took."""


class Passed(msgspec.Struct, frozen=True, kw_only=True, tag="passed"):
    """A slice ran well. Sections: output; numbers, if ``traced``; rejected rows, if any."""

    start: int
    stop: int
    rows_out: int
    identity: str
    """``position``, ``traced``, ``unknown`` or ``expanded``."""
    drops: dict[str, int]
    rejected: int
    step_s: float
    encode_s: float
    schema: str = ""
    """Fingerprint of the output's columns and types."""
    sections: tuple[int, ...] = ()
    guards: tuple[GuardNote, ...] = ()
    quality: dict[str, Grade] = {}
    """Of the answers that the step got by guards, for the batch so far."""


class Raised(msgspec.Struct, frozen=True, kw_only=True, tag="raised"):
    """A slice raised; slices after it were not run."""

    start: int
    stop: int
    code: str
    """``exception``, ``memory``, ``out_schema``, or ``dependency``: a guard says that what the step
    calls is away, so that no row is to blame."""
    signature: str
    message: str
    line: str | None
    columns: tuple[str, ...]
    always: bool
    """The step raises the same on zero rows: no row can be to blame."""
    retry_after_s: float | None = None
    """Of a dependency: when it may be tried again; None: not known."""
    guards: tuple[GuardNote, ...] = ()


class AtFault(msgspec.Struct, frozen=True, kw_only=True, tag="at_fault"):
    """The step or its schema broke the contract: no row can be to blame."""

    code: str
    message: str
    rule: str | None = None
    line: str | None = None
    columns: tuple[str, ...] = ()


class Proved(msgspec.Struct, frozen=True, kw_only=True, tag="proved"):
    """Whether the step gave the same in halves."""

    rowwise: bool
    why: str
    problem: Literal["reordered", "doubled"] | None = None
    """What the step does to its rows, where that is why."""


Request = Load | Batch | Run | Prove | Fetch | JobLoad | Kept | ServingLoad
Reply = (
    Loaded
    | Unloadable
    | Loading
    | Gated
    | Tracing
    | Passed
    | Raised
    | AtFault
    | Proved
    | Fetched
    | Progress
    | Metric
    | Keep
    | JobEnded
    | JobRaised
    | ServingReady
)
