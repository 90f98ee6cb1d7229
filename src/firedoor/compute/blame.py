"""Where in the user's code something went wrong, in the words of a dead letter."""

from __future__ import annotations

import linecache
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firedoor.errors import shorten

FRAMES_MAX = 4
SEALED = (
    "  the worker is sealed: it may read libraries, the project without hidden files, and what "
    "reads=[...] (may_read=[...] of a service) names, and write to its scratch folder (tempfile) "
    "only; the network is what network= names, and none for a service"
)
ENVIRONMENT = frozenset({"<frozen os>", os.__file__})
"""Where ``os.environ`` looks a variable up."""
MESSAGE_CHARACTERS_MAX = 2_000
_QUOTED = re.compile(r"""["'`]([^"'`\n]{1,200})["'`]""")
_DUMPED = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<function>\S+)')
_OURS = str(Path(__file__).parent.parent)


@dataclass(frozen=True, slots=True)
class Blame:
    """An error, its place, and the columns that it or its line names."""

    signature: str
    message: str
    line: str | None
    columns: tuple[str, ...]


def of_exception(error: BaseException, columns: Sequence[str]) -> Blame:
    """Describe an exception that user code raised on a frame with these columns."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_OURS)]
    own = [frame for frame in theirs if not _is_library(frame.filename)]
    last = (own or theirs)[-1] if theirs else None
    kind = type(error).__name__
    text = shorten(said_by(error), MESSAGE_CHARACTERS_MAX)
    place = f"{short_path(last.filename)}:{last.lineno}" if last else None
    lines = [frame for frame in theirs if not frame.filename.startswith("<frozen")]
    shown = [
        f"  {short_path(f.filename)}:{f.lineno} in {f.name}: {f.line}" for f in lines[-FRAMES_MAX:]
    ]
    hints = _hint(error, text, frames)
    message = "\n".join([f"{kind}: {text}" if text else kind, *shown, *hints])
    message = encodable(message)  # a line of the source may hold anything as well
    source = linecache.getline(last.filename, last.lineno or 0) if last else ""
    signature = f"{kind} at {place}" if place else kind
    return Blame(signature, message, place, named_columns(f"{text}\n{source}", columns))


def said_by(error: BaseException) -> str:
    """Return what an error says, in characters that can be sent; it may fail at saying it."""
    try:
        return encodable(str(error))
    except Exception as second:  # noqa: BLE001 - user code: the error's own __str__
        return f"(it cannot be printed: {type(second).__name__})"


def encodable(text: str) -> str:
    """Return text with half characters, as names of files may hold, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def of_trace(
    what: str, dump: str, columns: Sequence[str] = (), *, by_function: bool = False
) -> Blame:
    """Describe a death from what faulthandler wrote, which begins with the innermost frame."""
    frames = [
        (match["file"], int(match["line"]), match["function"])
        for match in _DUMPED.finditer(dump)
        if not match["file"].startswith(("<", _OURS))
    ]
    own = [frame for frame in frames if not _is_library(frame[0])]
    if not (own or frames):
        return Blame(what, what, None, ())
    file, line, function = (own or frames)[0]
    path = short_path(file)
    shown = [f"  {short_path(f)}:{n} in {name}" for f, n, name in frames[:FRAMES_MAX]]
    message = "\n".join([what, *reversed(shown)])
    # In which line a loop is caught is chance; two deaths in one function are one signature.
    where = f"in {path}:{function}" if by_function else f"at {path}:{line}"
    names = named_columns(linecache.getline(file, line), columns)
    return Blame(f"{what} {where}", message, f"{path}:{line}", names)


def named_columns(text: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the quoted names in ``text`` that are columns, or that polars says are missing.

    >>> named_columns('unable to find column "speed"; valid columns: ["a"]', ["a", "b"])
    ('speed', 'a')
    """
    quoted = list(dict.fromkeys(_QUOTED.findall(text)))
    missing = re.search(r'(?:find column|column) ["\'`]([^"\'`]+)["\'`]', text)
    known = set(columns)
    return tuple(q for q in quoted if q in known or (missing is not None and q == missing[1]))[:16]


def short_path(path: str) -> str:
    """Return a path relative to the working folder where it lies inside it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path


def _hint(error: BaseException, text: str, frames: Sequence[traceback.FrameSummary]) -> list[str]:
    """Say what to do about a refusal that is most likely the seal's, or a secret that is kept."""
    if isinstance(error, PermissionError) or "Permission denied" in text:
        return [SEALED]
    asked = frames[-1] if isinstance(error, KeyError) and frames else None
    if asked is not None and asked.filename in ENVIRONMENT and asked.name == "__getitem__":
        return [f"  a worker sees few variables of the environment: name this one in env=[{text}]"]
    return []


def _is_library(path: str) -> bool:
    """Return whether a file is the interpreter's or an installed library's."""
    return path.startswith(("<", *_LIBRARIES))


_LIBRARIES = tuple(
    {
        str(Path(sysconfig.get_path(name)))
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
        if sysconfig.get_path(name)
    }
    | {str(Path(sys.base_prefix) / "lib")}
)
