"""Where rows come from, and where they go: files of three forms, and frames of a user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from firedoor.errors import DeclarationError
from firedoor.spec.checking import check_bytes, check_switch

LINE_BYTES_MIN = 2**10
LINE_BYTES_MAX = 2**22
"""What fits into one batch."""

Paths: TypeAlias = "str | Path | Sequence[str | Path]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Files of one form. Made by ``fd.jsonl``, ``fd.csv`` and ``fd.parquet``."""

    form: Literal["jsonl", "csv", "parquet"]
    paths: tuple[str, ...]
    """Paths and globs as given; relative to the file that declares the pipeline."""
    follow: bool = False
    line_bytes_max: int = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Frames of a user's own. Made by ``fd.frames``."""

    frames: Iterable[object] | Callable[[], Iterable[object]]


def jsonl(paths: Paths, *, follow: bool = False, line_bytes_max: int | str = 2**20) -> Files:
    """Read JSON lines: one object a line. A malformed line costs that line.

    Args:
        paths: a path, a glob, or a list of them; files are read in the order of their names.
        follow: go on looking for new files after the last one.
        line_bytes_max: longest line that is read, 1 KiB to 4 MiB; a longer one is a dead row.

    Raises:
        DeclarationError: for anything that cannot work.
    """
    check_switch("follow", follow)
    longest = check_bytes("line_bytes_max", line_bytes_max, LINE_BYTES_MIN, LINE_BYTES_MAX)
    return Files(form="jsonl", paths=_listed(paths), follow=follow, line_bytes_max=longest)


def csv(paths: Paths, *, follow: bool = False, line_bytes_max: int | str = 2**20) -> Files:
    """Read CSV files with a line of column names. A malformed line costs that line.

    See ``jsonl`` for the arguments.
    """
    check_switch("follow", follow)
    longest = check_bytes("line_bytes_max", line_bytes_max, LINE_BYTES_MIN, LINE_BYTES_MAX)
    return Files(form="csv", paths=_listed(paths), follow=follow, line_bytes_max=longest)


def parquet(paths: Paths, *, follow: bool = False) -> Files:
    """Read Parquet files, or as a sink write them: ``fd.parquet("out/")`` names the folder.

    See ``jsonl`` for the arguments.
    """
    check_switch("follow", follow)
    return Files(form="parquet", paths=_listed(paths), follow=follow)


def frames(frames: Iterable[object] | Callable[[], Iterable[object]]) -> Frames:
    """Read frames of polars, pandas or pyarrow from an iterable, or from a function's result.

    After a restart the iterable is made anew and what was read is skipped: it must give the same
    frames in the same order.

    Raises:
        DeclarationError: for one frame alone, text, or a function that needs arguments.
    """
    remedy = "pass an iterable of frames, or a function without arguments that returns one"
    if type(frames).__name__ in {"DataFrame", "LazyFrame", "Table", "RecordBatch"}:
        raise DeclarationError("frames", type(frames), "is one frame", "write fd.frames([frame])")
    if isinstance(frames, str | bytes | type) or not (
        callable(frames) or isinstance(frames, Iterable)
    ):
        raise DeclarationError("frames", frames, "gives no frames", remedy)
    if callable(frames):
        if inspect.iscoroutinefunction(frames) or inspect.isasyncgenfunction(frames):
            raise DeclarationError("frames", frames, "is asynchronous", remedy)
        try:
            inspect.signature(frames).bind()
        except TypeError as error:
            raise DeclarationError("frames", frames, f"needs arguments ({error})", remedy) from None
        except ValueError:
            pass  # built in, without a signature: it is called when it is needed
    return Frames(frames=frames)


def check_folder(form: object) -> str:
    """Return the folder that a sink writes to.

    Raises:
        DeclarationError: for anything but ``fd.parquet("folder/")``.
    """
    remedy = 'write fd.parquet("out/"), or decorate a function'
    if not isinstance(form, Files) or form.form != "parquet":
        raise DeclarationError("to", form, "is nothing a sink writes", remedy)
    path = form.paths[0]
    if len(form.paths) > 1 or form.follow or any(sign in path for sign in "*?["):
        raise DeclarationError("to", list(form.paths), "is not one folder", remedy)
    if Path(path).suffix == ".parquet":
        why = "is a file, and a sink writes one file a batch into a folder"
        raise DeclarationError("to", path, why, remedy)
    return path


def _listed(paths: object) -> tuple[str, ...]:
    """Return paths and globs as a tuple of text."""
    remedy = 'write a path or glob, "data/flights-*.jsonl", or a list of them'
    listed = [paths] if isinstance(paths, str | Path) else paths
    if not isinstance(listed, Sequence) or isinstance(listed, bytes):
        raise DeclarationError("paths", paths, "is no path", remedy)
    if not listed:
        raise DeclarationError("paths", paths, "names no file", remedy)
    for path in listed:
        if not isinstance(path, str | Path) or not str(path) or "\0" in str(path):
            raise DeclarationError("paths", path, "is no path", remedy)
    return tuple(str(path) for path in listed)
