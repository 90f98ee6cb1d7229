"""What a user may say about a wall, checked where it is said."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from firedoor.errors import DeclarationError
from firedoor.units import parse_bytes

Extra = Literal["keep", "refuse", "drop"]
Start = Literal["auto", "fork", "spawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WallOptions:
    """The limits and manners of one wall, validated."""

    memory: int | str = "1GiB"
    """Memory of a worker and everything it starts, in bytes or with a unit."""
    timeout_s: float = 5.0
    """Longest time a batch may take. More than 0."""
    workers: int = 1
    """Batches that may run at the same time. 1 to 256."""
    extra: Extra = "keep"
    """What becomes of columns that the schema does not declare."""
    may_drop: float = 0.0
    """Share of a batch's rows that the step may drop by itself. 0 to 1."""
    batchwise: bool = False
    """The step looks at the batch as a whole: rows are never tried apart."""
    expands: bool = False
    """A row may become several rows or none (with ``batchwise``: rows are aggregated)."""
    contrast: float = 0.05
    """Share of rows failing in one way above which the step is at fault. 0 to 1; 1 disables."""
    reads: Sequence[str | Path] = ()
    """Files and folders that the step may read besides libraries and the project."""
    network: bool | Sequence[int] = True
    """Whether the step may use TCP, or the ports it may connect to."""
    env: Sequence[str] = ()
    """Environment variables that the step is given besides harmless ones."""
    start: Start = "auto"
    """How workers start: forked, spawned, or forked where a trial proves it sound."""
    preload: Sequence[str] = ()
    """Libraries that the fork server imports once for all workers. Never the step's own module."""
    cloudpickle: bool = False
    """Carry closures, lambdas and notebook functions by value."""
    processes_max: int = 64
    """Processes a worker may have, itself included. 1 to 4096."""
    files_max: int = 1024
    """Open files a worker may have. 64 to 1048576."""
    load_timeout_s: float = 60.0
    """Longest time a worker may take to import the step. More than 0."""
    isolation_s: float | None = None
    """Longest search for guilty rows in one batch. Default: 60 s or 30 limits, the larger."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        _in_range("timeout_s", self.timeout_s, 0.001, 86_400, "seconds")
        _in_range("load_timeout_s", self.load_timeout_s, 0.1, 86_400, "seconds")
        _in_range("workers", self.workers, 1, 256, "workers")
        _in_range("may_drop", self.may_drop, 0, 1, "a share of the rows")
        _in_range("contrast", self.contrast, 0, 1, "a share of the rows")
        _in_range("processes_max", self.processes_max, 1, 4096, "processes")
        _in_range("files_max", self.files_max, 64, 2**20, "open files")
        if self.isolation_s is not None:
            _in_range("isolation_s", self.isolation_s, 0.001, 86_400, "seconds")
        _one_of("extra", self.extra, ("keep", "refuse", "drop"))
        _one_of("start", self.start, ("auto", "fork", "spawn"))
        for name in ("batchwise", "cloudpickle", "expands"):
            _one_of(name, getattr(self, name), (True, False))
        _paths(self.reads)
        _ports(self.network)
        _names("env", self.env)
        _names("preload", self.preload)
        parse_bytes("memory", self.memory)

    @property
    def memory_bytes(self) -> int:
        """The memory limit in bytes."""
        return parse_bytes("memory", self.memory)

    @property
    def isolation_limit_s(self) -> float:
        """The longest search for guilty rows in one batch, in seconds."""
        return max(60.0, 30 * self.timeout_s) if self.isolation_s is None else self.isolation_s


class WallArguments(TypedDict, total=False):
    """The fields of ``WallOptions`` as keyword arguments of ``Wall``."""

    memory: int | str
    timeout_s: float
    workers: int
    extra: Extra
    may_drop: float
    batchwise: bool
    expands: bool
    contrast: float
    reads: Sequence[str | Path]
    network: bool | Sequence[int]
    env: Sequence[str]
    start: Start
    preload: Sequence[str]
    cloudpickle: bool
    processes_max: int
    files_max: int
    load_timeout_s: float
    isolation_s: float | None


def check_known(arguments: Mapping[str, object]) -> None:
    """Refuse arguments that no wall has, naming the one that was meant."""
    names = list(WallArguments.__annotations__)
    for field, value in arguments.items():
        if field not in names:
            alike = difflib.get_close_matches(field, names, n=1)
            remedy = (
                f"write {alike[0]}=" if alike else f"leave it out: there are {', '.join(names)}"
            )
            raise DeclarationError(field, value, "is no option of a wall", remedy)


def _in_range(field: str, value: object, low: float, high: float, unit: str) -> None:
    """Refuse a number that is none, not finite, or outside ``low`` to ``high``."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if field in {"workers", "processes_max", "files_max"}:
        number = isinstance(value, int) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # type: ignore[operator]
        remedy = f"give {low:,} to {high:,} {unit}"
        raise DeclarationError(field, value, "is out of range", remedy)


def _one_of(field: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse a value that is not one of a few."""
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise DeclarationError(field, value, "is not known", f"choose one of {choices}")


def _paths(reads: Sequence[str | Path]) -> None:
    """Refuse paths that are not there: Landlock would leave them out in silence."""
    if isinstance(reads, str | Path):
        raise DeclarationError("reads", reads, "is one path", f"write reads=[{str(reads)!r}]")
    if not isinstance(reads, Sequence) or not all(isinstance(path, str | Path) for path in reads):
        remedy = 'write reads=["path/to/folder"]'
        raise DeclarationError("reads", reads, "is not a sequence of paths", remedy)
    for path in reads:
        if not Path(path).exists():
            raise DeclarationError(
                "reads", path, "does not exist", "create it first, or correct it"
            )


def _ports(network: bool | Sequence[int]) -> None:  # noqa: FBT001 - one value of either kind
    """Refuse anything but a yes, a no, or TCP ports."""
    if isinstance(network, bool):
        return
    good = isinstance(network, Sequence) and all(
        isinstance(port, int) and not isinstance(port, bool) and 0 < port < 2**16
        for port in network
    )
    if not good:
        raise DeclarationError(
            "network", network, "is not a switch or ports", "give True, False, or [5432, 6379]"
        )


def _names(field: str, names: Sequence[str]) -> None:
    """Refuse anything but a sequence of names."""
    listed = isinstance(names, Sequence) and not isinstance(names, str)
    if not listed or not all(isinstance(name, str) and name for name in names):
        raise DeclarationError(
            field, names, "is not a sequence of names", f'write {field}=["NAME"]'
        )
