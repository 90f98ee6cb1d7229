"""Lookups in a worker: immutable tables, read once and kept while batches ask for them."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from firedoor.compute import frames


class Lookups:
    """Tables by file, as the kind of frame that the step wants."""

    def __init__(self) -> None:
        """Hold none."""
        self._held: dict[str, object] = {}

    def frames(self, files: Mapping[str, str], kind: frames.Kind) -> dict[str, object]:
        """Return a table for each parameter; tables that are not asked for any more are let go.

        Args:
            files: parameter of the step -> Parquet file of one version, which never changes.
            kind: the kind of frame that the step wants.

        Raises:
            OSError, polars.exceptions.PolarsError: if a file cannot be read.
        """
        if not files:
            return {}
        held = {file: table for file, table in self._held.items() if file in files.values()}
        for file in files.values():
            if file not in held:
                table = pl.read_parquet(file)
                held[file] = table if kind == "polars" else frames.from_polars(table, kind)
        self._held = held
        return {parameter: _own(held[file]) for parameter, file in files.items()}


def _own(table: object) -> object:
    """Return a table that a step may add columns to in place without changing the one held."""
    if isinstance(table, pl.DataFrame):
        return table.clone()
    copy = getattr(table, "copy", None)  # pandas; a pyarrow table cannot be changed
    return copy(deep=False) if copy is not None else table
