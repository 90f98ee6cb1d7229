"""The record of one run of a job: what was run, on what, and what came of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from firedoor.errors import StoreRefused, shorten
from firedoor.flow.triggers import Because
from firedoor.wire.verdict import VerdictNote

RUN_VERSION = 1

RunOutcome = Literal["running", "done", "failed", "cancelled", "lost"]
"""``lost``: the supervisor died and could not say more."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try: a worker, and how it ended."""

    number: int
    started_s: float
    ended_s: float
    worker: str = ""
    """Of an evaluation: ``challenger``, ``champion`` or ``judge``."""
    cause: str = ""
    """``raised``, ``memory``, ``cpu``, ``timeout``, ``hang``, ``processes``, ``crash``,
    ``killed``, ``disk``, ``unloadable``, ``not_started``, ``tampered`` (the snapshot that it read
    is not what was taken, or the bundle that it judged) or ``cancelled``; empty: it ended well. Of
    a run also ``refused``: its model, or its verdict; ``record``: it; ``supervisor``: who watched
    it died."""
    message: str = ""
    line: str = ""
    """``file:line`` of the user's code."""
    peak_bytes: int = 0
    last_lines: str = ""


class Code(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which code ran."""

    version: str
    """Hash of the job's options, and of its modules in the pipeline's folder."""
    commit: str = ""
    """Of git, where the file lies in a repository."""
    diff: str = ""
    """SHA-256 of what differs from that commit; empty: nothing, or no repository."""


class Input(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The snapshot that was read."""

    dataset: str
    """Its name; of a sink that is read as it is, the sink's."""
    digest: str
    """Over the content that was read, and how it was parted."""
    sink: str
    folder: str
    """What the job was handed."""
    files: int
    """In it."""
    bytes: int
    rows: int
    """In all parts."""
    parts: dict[str, int]
    """Rows by part."""
    sealed: tuple[str, ...] = ()
    """Parts that the job was not to see."""

    @property
    def snapshot(self) -> str:
        """The name of the snapshot."""
        return f"{self.dataset}-{self.digest[:16]}"


class Machine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where it ran."""

    host: str = ""
    platform: str = ""
    cpus: int = 0
    memory_bytes: int = 0


class SealNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of the seal was in force."""

    level: str = ""
    what: tuple[str, ...] = ()
    missing: dict[str, str] = {}
    """What was not, and why."""


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something in which a run is not as the one that it was to repeat."""

    what: str
    """``outcome``, ``model``, ``file``, ``figure`` or ``verdict``: of what came of it. ``code``,
    ``library``, ``machine``, ``parameter``, ``way``, ``seal`` or ``timing``: of how."""
    name: str
    before: str
    now: str

    @property
    def counts(self) -> bool:
        """Whether it is of what came of the run."""
        return self.what in {"outcome", "model", "file", "figure", "verdict"}


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run."""

    id: str
    """``train-3``."""
    job: str
    pipeline: str
    file: str
    by: str
    key: str
    """Hash of code, parameters, seed and input: runs with one key may take over checkpoints."""
    code: Code
    parameters: dict[str, bool | int | float | str | None]
    seed: int
    started_s: float
    input: Input | None = None
    libraries: dict[str, str] = {}
    machine: Machine = Machine()
    ended_s: float | None = None
    outcome: RunOutcome = "running"
    cause: str = ""
    message: str = ""
    step: str = ""
    """The last step that it named by ``run.progress``."""
    done: float | None = None
    total: float | None = None
    attempts: tuple[Attempt, ...] = ()
    peak_bytes: int = 0
    metrics: dict[str, float] = {}
    seal: SealNote = SealNote()
    resumes: str = ""
    """The run whose checkpoints it took over."""
    because: Because | None = None
    """What had it begin; None: a person."""
    drilled: str = ""
    """The fault of a drill that was wanted of the job when it began. It answers for nothing."""
    changed: int = 0
    """Rows that the drill changed in what it read: what it made is not what its input says."""
    seen: dict[str, str] = {}
    """Hash over the listing of each sink that its trigger watches, when it began."""
    reproduces: str = ""
    """The run that it was to repeat. It registers nothing then."""
    differences: tuple[Difference, ...] = ()
    """From that run."""
    checkpoints: tuple[str, ...] = ()
    publishing: str = ""
    """The model that it had begun to register."""
    model: str = ""
    """The version that it made: ``flights@3``."""
    judges: str = ""
    """Of an evaluation: the version that it judges."""
    verdict: VerdictNote | None = None
    """What it says of that; see ``given``."""
    version: int = RUN_VERSION

    @property
    def held(self) -> bool:
        """Whether parts were sealed, and all that keeps a job from them was in force."""
        return bool(self.input and self.input.sealed) and self.seal.level == "full"

    @property
    def begun(self) -> str:
        """By whom or what it was begun, in words."""
        return f"by {self.by}{f': {self.because.said}' if self.because else ''}"

    @property
    def identical(self) -> bool:
        """Whether what came of a run that repeats another is the same, bit for bit."""
        return bool(self.reproduces) and not any(one.counts for one in self.differences)

    @property
    def causes(self) -> dict[str, int]:
        """How many attempts ended badly, by cause."""
        found: dict[str, int] = {}
        for attempt in self.attempts:
            if attempt.cause:
                found[attempt.cause] = found.get(attempt.cause, 0) + 1
        return found

    @property
    def last_lines(self) -> str:
        """What it printed last."""
        return self.attempts[-1].last_lines if self.attempts else ""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened, as a line of ``events.jsonl``."""

    at_s: float
    what: str
    """``started``, ``attempt``, ``loaded``, ``metric``, ``checkpoint``, ``failed``, ``model``,
    ``resumed``, ``snapshot``, ``verdict``, ``note`` or ``ended``."""
    said: str = ""
    value: float | None = None


_records = msgspec.json.Decoder(RunRecord)
_events = msgspec.json.Decoder(Event)


def encode_run(record: RunRecord) -> bytes:
    """Return a record as JSON, for people to read as well."""
    return msgspec.json.format(msgspec.json.encode(record)) + b"\n"


def decode_run(data: bytes) -> RunRecord:
    """Return the record in JSON.

    Raises:
        StoreRefused: if it is none, or of another version.
    """
    try:
        record = _records.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"it is no record of a run: {shorten(str(error))}; remove its folder"
        raise StoreRefused(message) from error
    if record.version != RUN_VERSION:
        message = f"it is of version {record.version}, and this firedoor reads {RUN_VERSION}"
        raise StoreRefused(message)
    return record


def encode_event(event: Event) -> bytes:
    """Return an event as a line."""
    return msgspec.json.encode(event) + b"\n"


def decode_events(data: bytes) -> list[Event]:
    """Return the events in lines; a last line that was not written whole is left out."""
    found = []
    for line in data.splitlines():
        try:
            found.append(_events.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return found
