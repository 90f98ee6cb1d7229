"""A table that steps join to: versioned, immutable, pinned to each batch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from firedoor.errors import DeclarationError
from firedoor.names import check_name
from firedoor.spec.checking import check_columns, check_number

SUFFIXES = (".parquet", ".csv", ".arrow", ".ipc", ".feather")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A lookup as declared. Made by ``fd.lookup``."""

    name: str
    path: str
    """As given; relative to the file that declares the pipeline. Empty for a function."""
    make: Callable[[], object] | None
    """Returns the table, as a polars, pandas or pyarrow frame."""
    key: tuple[str, ...]
    refresh_s: float | None
    fresh_s: float | None = None

    @property
    def live_s(self) -> float | None:
        """Age up to which it counts as live: two refreshes, if nothing is said; None: any."""
        if self.fresh_s is not None or self.refresh_s is None:
            return self.fresh_s
        return 2 * self.refresh_s


def lookup(
    name: str,
    table: str | Path | Callable[[], object],
    *,
    key: Sequence[str] = (),
    refresh_s: float | None = None,
    fresh_s: float | None = None,
) -> Lookup:
    """Declare a table that steps join to.

    Args:
        name: names it in envelopes and in the project folder.
        table: a Parquet, CSV or Arrow file, or a function without arguments that returns a frame.
        key: columns that identify a row; a table with two rows of one key is refused when read.
        refresh_s: how often a new version is looked for, 1 s to 30 days; None: at start only.
        fresh_s: the age up to which it counts as live, from ``refresh_s`` to 60 days; above it rows
            are told to be made of an older version. Default: two refreshes.

    Raises:
        DeclarationError: for anything that cannot work. That the file exists is checked at start.
    """
    check_name("lookup", name)
    if refresh_s is not None:
        check_number("refresh_s", refresh_s, 1, 30 * 86_400, "seconds")
    if fresh_s is not None:
        if refresh_s is None:
            why = "is of no use for a table that is read at start only"
            raise DeclarationError("fresh_s", fresh_s, why, "give refresh_s= as well")
        check_number("fresh_s", fresh_s, refresh_s, 60 * 86_400, "seconds")
    columns = check_columns("key", key)
    if isinstance(table, str | Path):
        path, make = _check_file(table), None
    else:
        _check_function(table)
        path, make = "", table
    return Lookup(
        name=name, path=path, make=make, key=columns, refresh_s=refresh_s, fresh_s=fresh_s
    )


def check_lookups(lookups: object, known: Mapping[str, Lookup]) -> dict[str, Lookup]:
    """Return what a step joins to, by parameter.

    Args:
        lookups: as the user wrote it; None for none.
        known: lookups of other zones, by name: one name means one table.

    Raises:
        DeclarationError: for what is no mapping of parameters to lookups.
    """
    remedy = 'write lookups={"parameter": fd.lookup("name", "table.parquet")}'
    if lookups is None:
        return {}
    if not isinstance(lookups, Mapping):
        raise DeclarationError("lookups", lookups, "is no mapping", remedy)
    named = dict(known)
    for parameter, joined in lookups.items():
        if not isinstance(parameter, str) or not parameter.isidentifier():
            raise DeclarationError("lookups", parameter, "is no parameter", remedy)
        if not isinstance(joined, Lookup):
            raise DeclarationError("lookups", joined, "is no lookup", remedy)
        if named.setdefault(joined.name, joined) != joined:
            why = "is declared already, with another table"
            raise DeclarationError("lookups", joined.name, why, "give it a name of its own")
    return dict(lookups)


def _check_file(table: str | Path) -> str:
    """Return the path of a table of a kind that can be read."""
    if Path(table).suffix.lower() not in SUFFIXES:
        remedy = f"name a file that ends in one of {', '.join(SUFFIXES)}, or pass a function"
        raise DeclarationError("table", str(table), "is no kind of table known here", remedy)
    return str(table)


def _check_function(table: object) -> None:
    """Refuse what cannot be called without arguments."""
    remedy = "pass a path, or a function without arguments that returns a frame"
    if not callable(table) or isinstance(table, type):
        raise DeclarationError("table", table, "is neither a file nor a function", remedy)
    if inspect.iscoroutinefunction(table) or inspect.isgeneratorfunction(table):
        raise DeclarationError("table", table, "is a coroutine or generator", remedy)
    try:
        inspect.signature(table).bind()
    except TypeError as error:
        raise DeclarationError("table", table, f"needs arguments ({error})", remedy) from None
    except ValueError:
        return  # built in, without a signature: it is called when it is needed
