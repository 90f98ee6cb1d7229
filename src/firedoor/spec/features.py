"""Features that a service looks up for each row: declared beside it, fetched behind a wall."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from firedoor.errors import DeclarationError
from firedoor.names import check_name
from firedoor.spec.checking import check_bytes, check_choice, check_columns, check_number
from firedoor.spec.referred import StepNote
from firedoor.spec.service_plan import FeaturesPlan, Scalar, Tolerance
from firedoor.spec.zone_wall import check_wall

DTYPES = (
    *("Boolean", "String", "Float32", "Float64"),
    *("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"),
)
"""What can be looked up, as polars writes it: what JSON and a model's signature have in common."""
KEYS_MAX = 16
COLUMNS_MAX = 1_000
TIMEOUT_MAX_S = 10.0
AGE_MAX_S = 30 * 86_400
MEMORY_BYTES = (2**20, 2**50)
TOLERANCES = ("live", "cached", "default")
_KINDS: Mapping[str, type | tuple[type, ...]] = {"Boolean": bool, "String": str}


@dataclass(frozen=True, slots=True)
class Features:
    """A group of features that a store is asked for, by keys that a request has.

    Values take the first way that works: live from the store; as they were fetched before, if that
    is not too long ago; the declared default; missing. What a model takes of that is said a column.

    Raises:
        DeclarationError: for anything that cannot work.
    """

    name: str
    """Names it in flags, answers and metrics."""
    keys: Sequence[str]
    """Columns of the request by whose values it is looked up; 1 to 16."""
    columns: Mapping[str, object]
    """What is looked up, dtype by column: ``{"temp": "Float64"}``, or polars' own."""
    fetch: Callable[..., object]
    """``fetch(keys: pl.DataFrame) -> pl.DataFrame``: is given distinct keys, returns their rows in
    any order, keys included; keys that are not known may be left out."""
    timeout_s: float = field(default=0.1, kw_only=True)
    """Longest that a request waits for it. 0.001 to 10."""
    fresh_s: float = field(default=0.0, kw_only=True)
    """Age up to which a value that was fetched before is as good as live; 0: always fetch."""
    stale_max_s: float | None = field(default=None, kw_only=True)
    """Age up to which one is used while the store does not answer; None: not at all."""
    default: Mapping[str, Scalar] | None = field(default=None, kw_only=True)
    """By column, what stands for a value that cannot be had; None there is null."""
    tolerates: Mapping[str, Tolerance] = field(default_factory=dict, kw_only=True)
    """The worst that the model takes, by column: ``live``, ``cached``, or ``default``, as of others
    than those named."""
    memory: int | str = field(default="512MiB", kw_only=True)
    """Of the worker that looks up."""
    network: bool | Sequence[int] = field(default=False, kw_only=True)
    """Whether it may use TCP, or the ports that it may connect to."""
    may_read: Sequence[str | Path] = field(default=(), kw_only=True)
    """Files and folders it may read besides libraries and the project."""
    env: Sequence[str] = field(default=(), kw_only=True)
    """Environment variables that it is given besides harmless ones."""

    def __post_init__(self) -> None:
        """Refuse what cannot work. Paths are looked at by the service that they are for."""
        nowhere = StepNote(name="", pickled=b"", main_path=None, main_module=None, where="")
        replace(self, may_read=()) if self.may_read else self.plan(nowhere, Path())
        check_fetch(self.fetch)

    def plan(self, step: StepNote, folder: Path) -> FeaturesPlan:
        """Return it as a plain value.

        Args:
            step: how a worker finds ``fetch``.
            folder: what paths are relative to.

        Raises:
            DeclarationError: for anything that cannot work.
        """
        name = check_name("features", self.name)
        keys = check_columns("keys", self.keys)
        if not 1 <= len(keys) <= KEYS_MAX:
            why = f"names {len(keys)} columns"
            raise DeclarationError("keys", self.keys, why, f"name 1 to {KEYS_MAX}")
        columns = _check_dtypes(self.columns, keys)
        check_number("timeout_s", self.timeout_s, 0.001, TIMEOUT_MAX_S, "seconds")
        check_number("fresh_s", self.fresh_s, 0, AGE_MAX_S, "seconds")
        if self.stale_max_s is not None:
            low = self.fresh_s or 0.001
            check_number(
                "stale_max_s", self.stale_max_s, low, AGE_MAX_S, "seconds: fresh_s or more"
            )
        tolerates = _check_tolerates(self.tolerates, columns, cached=self.stale_max_s is not None)
        reach = {"network": self.network, "may_read": self.may_read, "env": self.env}
        options, given = check_wall({"memory": self.memory, **reach}, folder)
        network = options.network
        return FeaturesPlan(
            name=name,
            keys=keys,
            columns=columns,
            step=step,
            timeout_s=float(self.timeout_s),
            fresh_s=float(self.fresh_s),
            stale_max_s=None if self.stale_max_s is None else float(self.stale_max_s),
            default=_check_default(self.default, columns),
            tolerates=tolerates,
            memory_bytes=check_bytes("memory", self.memory, *MEMORY_BYTES),
            network=network if isinstance(network, bool) else tuple(network),
            may_read=tuple(cast("list[str]", given["reads"])),
            env=tuple(options.env),
        )


def check_features(value: object) -> tuple[Features, ...]:
    """Return the groups of a service.

    Raises:
        DeclarationError: for what is no list of groups, or two that look the same column up.
    """
    remedy = "write features=[weather], with weather = fd.Features(...)"
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        raise DeclarationError("features", value, "is no list", remedy)
    owners: dict[str, str] = {}
    names: set[str] = set()
    for group in value:
        if not isinstance(group, Features):
            raise DeclarationError("features", group, "is no fd.Features", remedy)
        if group.name in names:
            raise DeclarationError("features", group.name, "is named twice", "name each once")
        names.add(group.name)
        for column in group.columns:
            if column in owners:
                why = f"is looked up by {owners[column]!r} and by {group.name!r}"
                raise DeclarationError("features", column, why, "leave it to one of them")
            owners[column] = group.name
    return tuple(value)


def check_fetch(fetch: object) -> None:
    """Refuse what cannot be called with a frame of keys."""
    remedy = "write def fetch(keys: pl.DataFrame) -> pl.DataFrame"
    if not callable(fetch) or isinstance(fetch, type):
        raise DeclarationError("fetch", fetch, "is no function", remedy)
    if inspect.iscoroutinefunction(fetch) or inspect.isgeneratorfunction(fetch):
        raise DeclarationError("fetch", fetch, "is a coroutine or generator", remedy)
    try:
        inspect.signature(fetch).bind(None)
    except TypeError as error:
        raise DeclarationError("fetch", fetch, f"takes other arguments ({error})", remedy) from None
    except ValueError:
        return  # built in, without a signature


def _check_dtypes(columns: object, keys: Sequence[str]) -> dict[str, str]:
    """Return dtypes by column, as polars writes them."""
    remedy = 'write columns={"temp": "Float64"}'
    if not isinstance(columns, Mapping) or not 1 <= len(columns) <= COLUMNS_MAX:
        why = f"is no mapping of 1 to {COLUMNS_MAX:,} columns"
        raise DeclarationError("columns", columns, why, remedy)
    found: dict[str, str] = {}
    for column, dtype in columns.items():
        if not isinstance(column, str) or not column:
            raise DeclarationError("columns", column, "is no name of a column", remedy)
        if column in keys:
            raise DeclarationError(
                "columns", column, "is a key", "leave it out: the request has it"
            )
        named = str(getattr(dtype, "__name__", dtype)) if isinstance(dtype, type) else str(dtype)
        if named not in DTYPES:
            choices = ", ".join(DTYPES)
            why = f"is of a type that cannot be looked up ({column}: {named})"
            raise DeclarationError("columns", dtype, why, f"choose one of {choices}")
        found[column] = named
    return found


def _check_default(default: object, columns: Mapping[str, str]) -> dict[str, Scalar] | None:
    """Return defaults by column, of the columns' types."""
    if default is None:
        return None
    remedy = 'write default={"temp": 55.0}, or None for null'
    if not isinstance(default, Mapping):
        raise DeclarationError("default", default, "is no mapping", remedy)
    for column, value in default.items():
        if column not in columns:
            raise DeclarationError("default", column, "is not looked up", "name it in columns=")
        if value is not None and not _is_of(value, columns[column]):
            raise DeclarationError("default", value, f"is no {columns[column]} ({column})", remedy)
    return dict(default)


def _is_of(value: object, dtype: str) -> bool:
    """Return whether a value can stand in a column."""
    if dtype in _KINDS:
        return isinstance(value, _KINDS[dtype])
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return dtype.startswith("Float") or isinstance(value, int)


def _check_tolerates(
    tolerates: object, columns: Mapping[str, str], *, cached: bool
) -> dict[str, Tolerance]:
    """Return what the model takes, by column."""
    if not isinstance(tolerates, Mapping):
        remedy = 'write tolerates={"temp": "cached"}'
        raise DeclarationError("tolerates", tolerates, "is no mapping", remedy)
    for column, worst in tolerates.items():
        if column not in columns:
            raise DeclarationError("tolerates", column, "is not looked up", "name it in columns=")
        check_choice("tolerates", worst, TOLERANCES)
        if worst == "cached" and not cached:
            why = f"can never happen ({column}): nothing is kept"
            raise DeclarationError("tolerates", worst, why, "give stale_max_s= as well")
    return cast("dict[str, Tolerance]", dict(tolerates))
