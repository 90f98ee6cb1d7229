"""Every exception firedoor raises, in one tree.

FiredoorError
├── Refused                 nothing has happened; safe to correct and call again
│   ├── DeclarationError    a wrong argument, found when it was declared
│   ├── FrameRefused        the frame handed in cannot be used
│   ├── WallClosed          the wall was used after close()
│   ├── NestedWall          a wall was used inside a worker
│   ├── PipelineUnloadable  the file does not declare a pipeline, or fails when it is imported
│   ├── ProjectBusy         another run is at work in this project folder
│   ├── StoreRefused        what the store holds does not fit what is declared
│   ├── NotKnown            a zone, batch, row or file that was asked for is not there
│   ├── ModelRefused        a version may not become what was asked: not qualified, quarantined ...
│   ├── ChangedMeanwhile    somebody else changed the model first
│   ├── DrillRefused        nothing may be injected here, or not now
│   └── GuardRefused        a guard said no before the call was made
│       ├── GuardOpen       its breaker is open
│       ├── Overloaded      there is no room for a call of this class
│       ├── RateExceeded    there were too many calls lately
│       └── DeadlineSpent   the caller has not enough time left
├── DeadlineExceeded        a call was cut at its timeout; whether it took effect is not known
├── StepAtFault             the step (or its schema, or what it depends on) fails, not a row
├── StepUnloadable          the step cannot be imported in a worker
├── WorkersUnavailable      no worker process can be started or kept alive
├── DependencyDown          what a zone needs (a sink's database, a lookup) is away for now
├── StreamsUnavailable      the broker is away, and did not come back in time
├── ModelsUnavailable       the models' folder is away, unreadable or damaged
├── BundleDamaged           a bundle is not what was stored under its digest
├── SnapshotDamaged         a snapshot is not what was taken
├── ModelUnloadable         a bundle is whole, and its model cannot be loaded here
└── Full                    there is no room; nothing was stored, nothing is lost
    ├── StreamFull          an inbox
    ├── DeadLettersFull     the store of dead letters
    ├── ArtifactsFull       the store of artifacts
    └── LedgerFull          the book of what people do

Leaves are raised, branches are for catching.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

CHAIN_MAX = 20
"""Exceptions that are looked at of which one came of another."""


class FiredoorError(Exception):
    """Base of everything firedoor raises."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle whole: schedulers and process pools carry exceptions between processes."""
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


class Refused(FiredoorError):
    """Nothing has happened: correct the cause and call again."""


class DeclarationError(Refused):
    """A declaration is wrong. Raised where it is declared, before anything runs.

    Attributes:
        field: name of the argument at fault.
        value: ``repr`` of what was given, shortened.
        remedy: what to write instead.
    """

    def __init__(self, field: str, value: object, why: str, remedy: str) -> None:
        """Say which field is wrong, what it was, why, and what to write instead."""
        self.field = field
        self.value = shorten(repr(value))
        self.remedy = remedy
        super().__init__(f"{field}={self.value}: {why}; {remedy}")


class FrameRefused(Refused):
    """The frame handed to a wall cannot be used, for example for an object column."""


class WallClosed(Refused):
    """The wall was closed: make a new one, or call it inside its ``with`` block."""


class NestedWall(Refused):
    """A wall was called inside a worker. Workers do not start workers."""


class PipelineUnloadable(Refused):
    """A file does not declare a pipeline, or its import fails."""


class ProjectBusy(Refused):
    """Another run is at work in this project folder."""


class StoreRefused(Refused):
    """What the store holds does not fit the pipeline, or was written by another version."""


class NotKnown(Refused):
    """What was asked for (a zone, a batch, a row, a line of a file) is not there, or not yet."""


class ModelRefused(Refused):
    """A version of a model may not become what was asked for. Nothing was changed.

    Attributes:
        code: ``quarantined``, ``not_qualified``, ``outdated``, ``no_previous``, ``in_use``,
            ``full`` or ``pickle``.
    """

    def __init__(self, message: str, *, code: str) -> None:
        """Say what was refused, why, and what to do."""
        self.code = code
        super().__init__(message)


class ChangedMeanwhile(Refused):
    """Somebody else changed the model between its reading and this change; look, and decide anew.

    Attributes:
        expected: the generation that this change was made for.
        found: the generation that is there.
    """

    def __init__(self, message: str, *, expected: int, found: int) -> None:
        """Say what came before."""
        self.expected = expected
        self.found = found
        super().__init__(message)


class DrillRefused(Refused):
    """A drill may not begin: in production without leave, or where somebody has stopped drills."""


class GuardRefused(Refused):
    """A guard refused a call before anything happened; safe to make again later.

    Attributes:
        guard: name of the guard.
        retry_after_s: seconds after which another call may go through; None: not known.
    """

    # A refusal happens a thousand times a second where something is wrong. Its fields are its
    # arguments, and its message is made when somebody reads it: so it costs a third as much.
    @property
    def guard(self) -> str:
        """Name of the guard."""
        return str(self.args[0]) if self.args else ""

    @property
    def retry_after_s(self) -> float | None:
        """Seconds after which another call may go through; None: not known."""
        after_s = self.args[1] if len(self.args) > 1 else None
        return None if after_s == math.inf else after_s

    def __str__(self) -> str:
        """Say who refused, why, and what to do."""
        after_s = self.retry_after_s
        when = "later" if after_s is None else f"in {after_s:.2f} s"
        return f"guard {self.guard!r} refused the call: {self._why()}; try again {when}"

    def _why(self) -> str:
        """Say why."""
        return str(self.args[2]) if len(self.args) > 2 else "it is closed"  # noqa: PLR2004


class GuardOpen(GuardRefused):
    """The breaker is open, because the dependency failed lately or a person opened it.

    ``guard.explain()`` says which.
    """

    def _why(self) -> str:
        """Say why."""
        return "its breaker is open (guard.explain() says why)"


class Overloaded(GuardRefused):
    """There is no room for a call of this class, and it waited as long as it may."""


class RateExceeded(GuardRefused):
    """There were more calls lately than the declared rate."""


class DeadlineSpent(GuardRefused):
    """The caller's deadline is over, or so near that the call cannot end before it."""


class DeadlineExceeded(FiredoorError, TimeoutError):
    """A call was cut at its timeout or its caller's deadline. Whether it took effect is not known.

    It is a ``TimeoutError`` too, so that code which catches those goes on working.

    Attributes:
        guard: name of the guard.
        after_s: seconds after which the call was cut.
    """

    def __init__(self, guard: str, after_s: float) -> None:
        """Say whose call was cut, and when."""
        self.guard = guard
        self.after_s = after_s
        super().__init__(f"guard {guard!r} cut a call after {after_s:.2f} s")


class DependencyDown(FiredoorError):
    """What a zone needs is away for now: it pauses, tries again, and counts no attempt.

    ``fd.Wall`` raises it where a step's guard refuses: the frame is as it was, and no row is to
    blame.

    Attributes:
        retry_after_s: seconds after which to try again; None: not known.
        dependency: its name: of a guard, lookup or model; empty: not known.
        frame: the caller's frame, untouched, where a wall raised it.
        undelivered: frames that ``map`` had taken and not yet given back, this one first.
    """

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, dependency: str = ""
    ) -> None:
        """Say what is away."""
        self.retry_after_s = retry_after_s
        self.dependency = dependency
        self.frame: object = None
        self.undelivered: tuple[object, ...] = ()
        super().__init__(message)


class StreamsUnavailable(FiredoorError):
    """The broker is away, and did not come back in time."""


class ModelsUnavailable(FiredoorError):
    """The folder of models is away, may not be read or written, or holds what is damaged."""


class BundleDamaged(FiredoorError):
    """A bundle is not what was stored under its digest: it is not loaded.

    Attributes:
        digest: of the bundle.
        file: the file of it that is at fault; empty: its manifest.
    """

    def __init__(self, message: str, *, digest: str, file: str = "") -> None:
        """Say which file of which bundle is at fault."""
        self.digest = digest
        self.file = file
        super().__init__(message)


class SnapshotDamaged(FiredoorError):
    """A file of a snapshot is not what it was when the snapshot was taken, or is gone."""


class ModelUnloadable(FiredoorError):
    """A bundle is whole, and its model cannot be loaded: a library is missing, a loader fails."""


class Full(FiredoorError):
    """There is no room. Nothing was stored, and nothing that was there has gone."""


class StreamFull(Full):
    """An inbox has no room for a batch."""


class DeadLettersFull(Full):
    """The store of dead letters has no room: replay or discard some, or raise its bound."""


class ArtifactsFull(Full):
    """The store of artifacts has no room for a bundle: free some, or prune models."""


class LedgerFull(Full):
    """The ledger has no room for what people do, of which nothing ever goes: raise its bound."""


class StepUnloadable(FiredoorError):
    """The step or its module cannot be loaded in a worker process.

    Attributes:
        detail: the last lines of the traceback in the worker.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        """Keep the worker's traceback beside the message."""
        self.detail = detail
        super().__init__(f"{message}\n{detail}" if detail else message)


class WorkersUnavailable(FiredoorError):
    """No worker can be started, or workers die before they have done anything."""


class StepAtFault(FiredoorError):
    """The step is at fault, not a row: nothing was dead-lettered.

    Attributes:
        code: ``contrast``, ``always_fails``, ``not_a_frame``, ``rows_added``,
            ``rows_vanished``, ``rows_reordered``, ``wrong_schema``, ``rule_fails``,
            ``over_memory``, ``isolation_budget``, ``model_unloadable`` or ``model_misfit``.
        signature: what the failures have in common, e.g. ``KeyError at steps.py:12``.
        rule: the rule of the schema that failed, or None.
        line: ``file:line`` of the user's code, or None.
        columns: columns that the rule or the error names.
        failed_rows: how many rows are known to fail in this way.
        of_input: whether what came in does not keep its schema: then its publisher is at fault.
        frame: the caller's frame, untouched.
        undelivered: frames that ``map`` had taken and not yet given back, this one first.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        signature: str,
        rule: str | None = None,
        line: str | None = None,
        columns: tuple[str, ...] = (),
        failed_rows: int = 0,
        of_input: bool = False,
    ) -> None:
        """Describe the fault; the wall adds the frame before it raises."""
        super().__init__(message)
        self.code = code
        self.signature = signature
        self.rule = rule
        self.line = line
        self.columns = columns
        self.failed_rows = failed_rows
        self.of_input = of_input
        self.frame: object = None
        self.undelivered: tuple[object, ...] = ()


def causes(error: BaseException) -> Iterator[BaseException]:
    """Go through an exception and those that it came of, at most ``CHAIN_MAX``, the latest first.

    ``raise ... from None`` says that what came before does not matter.
    """
    seen: BaseException | None = error
    for _ in range(CHAIN_MAX):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def shorten(text: str, length: int = 200) -> str:
    """Return ``text`` cut in its middle to at most ``length`` characters."""
    if len(text) <= length:
        return text
    half = (length - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def _rebuild(
    kind: type[FiredoorError], args: tuple[object, ...], fields: dict[str, object]
) -> FiredoorError:
    """Return an exception as it was, without calling its constructor."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(fields)
    return error
