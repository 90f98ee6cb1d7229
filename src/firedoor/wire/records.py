"""What is kept: a record a zone and batch, dead letters, and what zones say of themselves.

A record is written once, after everything else that a zone did with a batch, and decides: where
there is a record for (zone, batch), the batch is done there, whatever is delivered again. Counters
are folds of records, so that they are exact across restarts. Times are seconds since 1970, UTC.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from firedoor.guards.explain import Explanation
from firedoor.quality.grades import Grade


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Where rows of a batch come from: ``rows`` lines of a file, from line ``line`` (from 1)."""

    file: str
    line: int
    rows: int
    first_row: int = 0


class Position(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a source goes on after a batch: kept in its record, so that it is exact."""

    file: str = ""
    """The file that the batch ended in."""
    offset: int = 0
    """Bytes of it that are read (JSON lines, CSV), or its row groups or frames."""
    line: int = 0
    """Lines (rows) of it that are read."""
    identity: str = ""
    """Size and time of the file, to notice that it was changed since."""
    ended: bool = False
    """Nothing comes after this batch."""
    rows: int = 0
    """Lines that the next batch takes at most; 0: as declared. Kept, so that a batch that may have
    been published is cut again as it was, whatever ``batch_rows`` is declared since."""


class BatchRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a zone did with a batch. Rows: ``rows_in = passed + dead + dropped``, always."""

    zone: str
    batch: str
    zone_version: str
    edge: str = ""
    """``publisher:reader``, the edge by which it came; empty at a source."""
    rows_in: int
    rows_out: int
    """Rows that were made of the ones that passed: the same number, but where a step expands or
    aggregates."""
    passed: int
    dead: int = 0
    dropped: dict[str, int] = {}
    """Dropped as declared, by reason."""
    published: dict[str, int] = {}
    """Rows published, by edge."""
    shed: dict[str, int] = {}
    """Rows not published because the inbox was full, by edge (``when_full="shed"``)."""
    missed: tuple[str, ...] = ()
    """Edges that were cut (``when_full="detach"``): ``firedoor backfill`` runs the batch there."""
    signatures: dict[str, int] = {}
    """Dead rows by signature."""
    deliveries: int = 1
    attempts: dict[str, int] = {}
    """Runs that came to nothing, by cause."""
    began_s: float
    ended_s: float
    cut_s: float
    """When the source cut the batch."""
    numbered: bool = True
    """Whether its rows still have the numbers that they had at the source."""
    parent: str | None = None
    only: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    """At a source: where the rows come from."""
    position: Position | None = None
    """At a source: where to go on."""
    lookups: dict[str, str] = {}
    sink: str = ""
    """At a sink: what was written, a path or a word."""
    weight: float = 1.0
    """How many rows each row that passed stands for."""
    quality: dict[str, Grade] = {}
    """How good what they were made of was, by lookup or guard."""
    elsewhere: dict[str, int] = {}
    """Rows not published because their quality sent them to another reader, by edge."""
    models: dict[str, str] = {}
    """Which version of each model they were scored by up to here, as in the envelope."""
    fault: str = ""
    """Id of the fault that a drill injected into it; empty: none."""


class DeadGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Dead rows of one batch that died in the same way."""

    code: str
    signature: str
    rows: int
    first_row: int
    message: str
    """Of the first of them; sensitive values are masked."""
    line: str | None = None
    """``file:line`` of the user's code, where it is known."""


class DeadEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of the dead rows of one zone and batch without decoding them.

    The payload has two sections, both Arrow IPC streams: the rows as they came (``frame_bytes``),
    and their reasons (``row`` u32: the number in the batch, ``code``, ``signature``, ``message``,
    ``attempts``). Where a source could not parse a line, the rows are one column ``line``.
    """

    zone: str
    batch: str
    edge: str = ""
    """The inbox that the batch came from, and that a replay goes to; empty at a source."""
    zone_version: str
    rows: int
    frame_bytes: int
    crc32: int
    groups: tuple[DeadGroup, ...]
    at_s: float
    cut_s: float
    replays: int = 0
    """Replays of rows of this entry so far: the next one is number ``replays + 1``."""
    replayed_rows: int = 0
    discarded_rows: int = 0
    because: tuple[str, ...] = ()
    """Why rows of it were discarded, and by whom."""
    sensitive: tuple[str, ...] = ()
    lookups: dict[str, str] = {}
    weight: float = 1.0
    quality: dict[str, Grade] = {}
    """Of the batch as it came: a replay has them as well."""
    models: dict[str, str] = {}
    """Likewise."""


class Attempts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Runs of a batch in a zone that came to nothing, kept while it is under way."""

    counts: dict[str, int] = {}
    """By cause: ``crash``, ``hang``, ``memory``, ``runner`` (delivered, never finished)."""
    last: str = ""
    """The latest: slice and cause."""
    returned: int = 0
    """Number of the latest delivery that was given back on purpose: it counts for nobody."""
    shed: dict[str, str] = {}
    """Edges that get less of the batch, decided before it was published: ``share`` or ``all``."""
    keep: float = 1.0
    """Share of the keys that the zone takes, decided before it began: 1 is all."""
    quality: dict[str, Grade] | None = None
    """By which it was decided where the batch goes, before it was published."""
    models: dict[str, str] = {}
    """Versions of models by which it was scored here, before it was published."""


State = Literal[
    "starting", "running", "throttled", "blocked", "paused", "halted", "draining", "done", "stopped"
]
"""``blocked``: an inbox behind it is full. ``paused``: by a person, or by a dependency's failure.
``halted``: the step or its input is at fault; the input waits. ``done``: a source has no more."""


class Degraded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which steps of its ladder a zone is on, and how good what it joins to is."""

    rungs: tuple[str, ...] = ()
    """Those in force, in the order of the ladder: ``older``, ``sample``, ``slower``; () is none."""
    since_s: float = 0.0
    """When the latest of them was taken or left."""
    why: str = ""
    weight: float = 1.0
    """How many rows each row stands for that it takes now."""
    quality: dict[str, Grade] = {}
    """Of the lookups and guards that it used for the latest batch."""


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a zone's state."""

    at_s: float
    state: State
    cause: str


class ZoneStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a zone's process says of itself, each second."""

    zone: str
    replica: str
    """``host-pid``: which process it is."""
    pid: int
    version: str
    state: State
    since_s: float
    at_s: float
    cause: str = ""
    code: str = ""
    """Of what halted it: of ``StepAtFault.code``, or ``dead_max``, ``damaged`` and the like."""
    next_command: str = ""
    """What a person should run next; empty if nothing."""
    rows_in: int = 0
    rows_out: int = 0
    dead: int = 0
    dropped: int = 0
    batches: int = 0
    rows_a_s: float = 0.0
    dead_a_min: float = 0.0
    last_batch: str = ""
    last_s: float = 0.0
    workers_lost: int = 0
    memory_bytes: int = 0
    wall: str = ""
    """The wall's report, for ``firedoor why``."""
    transitions: tuple[Transition, ...] = ()
    """The latest twenty."""
    signatures: dict[str, int] = {}
    """The most frequent ten."""
    guards: tuple[GuardNote, ...] = ()
    """Of its step, a note a worker and guard."""
    degraded: Degraded | None = None
    """None: it joins to nothing, and takes every row at full pace."""
    switches: tuple[str, ...] = ()
    """Kill switches that are thrown for it: who, what, why."""


class GuardNote(msgspec.Struct, frozen=True, kw_only=True):
    """How a guard of a zone's step was when its worker was last heard."""

    worker: int
    """Process id: each worker has the guard for itself."""
    explained: Explanation
    heard_s: float = 0.0
    """How long ago that was, in seconds."""


class GuardOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person wants of one guard of a zone."""

    guard: str
    want: Literal["open", "close", "reset", "once"]
    """``open``: every call is refused. ``close``: every call is made, whatever the breaker thinks.
    ``reset``: neither, and the breaker begins anew. ``once``: of all guards, while a kill switch is
    thrown: no call is made twice."""
    number: int
    """Of the order; a later one of the same guard takes its place. 0, of ``once``: it holds for the
    batches that it comes with."""
    because: str = ""
    by: str = ""
    at_s: float = 0.0


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person wants of a zone; kept under ``order.<zone>`` until it is changed."""

    want: Literal["run", "pause", "drain"] = "run"
    generation: int = 0
    """Raised by ``resume`` and ``restart``: a zone halted under an older one tries again."""
    restarts: int = 0
    """Raised by ``restart``: processes that began under an older one make room for new ones."""
    because: str = ""
    by: str = ""
    at_s: float = 0.0
    guards: tuple[GuardOrder, ...] = ()
    """The latest order for each guard of its step."""
