"""Read one lookup and keep it as a version, in a process of its own: functions are user code.

Run as ``python -m firedoor.compose.lookup_reader`` with a request as its argument; the answer goes
to what was standard output at the start. What user code prints goes to standard error.
"""

from __future__ import annotations

import difflib
import faulthandler
import hashlib
import os
import sys
import tempfile
from pathlib import Path

import msgspec
import polars as pl

from firedoor.compose import tether
from firedoor.compose.files import explain
from firedoor.compose.lookups import Read, Request
from firedoor.compute import blame, frames
from firedoor.errors import FiredoorError, FrameRefused
from firedoor.spec.plan import LookupPlan

VERSION_BYTES = 8
SHOWN_MAX = 3


def main(request: Request) -> list[Read]:
    """Read all that are asked for; one that fails costs none of the others."""
    found = []
    for lookup in request.lookups:
        try:
            version, rows = keep(read(lookup, request), lookup, Path(request.folder))
        except FiredoorError as error:
            found.append(Read(name=lookup.name, error=str(error)))
        except OSError as error:
            found.append(Read(name=lookup.name, error=f"lookup {lookup.name!r}: {explain(error)}"))
        else:
            found.append(Read(name=lookup.name, version=version, rows=rows))
    return found


def read(lookup: LookupPlan, request: Request) -> pl.DataFrame:
    """Return the table of a lookup, from its file or function.

    Raises:
        FrameRefused: if it cannot be read, or the function fails or returns no frame.
        PipelineUnloadable: if the file that declares the function fails.
    """
    if lookup.path:
        return _read_file(lookup)
    return _call(lookup, request)


def check(frame: pl.DataFrame, lookup: LookupPlan) -> None:
    """Refuse a table that no step could join to.

    Raises:
        FrameRefused: if it has no columns, lacks a key's column, or repeats a key.
    """
    said = f"lookup {lookup.name!r}"
    if not frame.width:
        raise FrameRefused(f"{said}: its table has no columns")
    for column in lookup.key:
        if column not in frame.columns:
            alike = difflib.get_close_matches(column, frame.columns, n=1)
            listed = f"did you mean {alike[0]!r}?" if alike else f"it has {_some(frame.columns)}"
            raise FrameRefused(f"{said}: its key has no column {column!r} in the table; {listed}")
    if not lookup.key:
        return
    keys = frame.select(lookup.key)
    repeated = keys.filter(keys.is_duplicated())
    if repeated.height:
        different = repeated.unique(maintain_order=True)
        shown = "; ".join(
            ", ".join(f"{name}={value}" for name, value in row.items())
            for row in different.head(SHOWN_MAX).to_dicts()
        )
        more = " ..." if different.height > SHOWN_MAX else ""
        kept = ", ".join(repr(column) for column in lookup.key)
        message = (
            f"{said}: {different.height:,} keys are there more than once ({shown}{more}), and a "
            "join would double the rows that meet them; make them unique in a function, "
            f"fd.lookup({lookup.name!r}, make_{lookup.name}, key=[{kept}]), that returns "
            f"frame.unique([{kept}], keep='first', maintain_order=True), or leave key= out"
        )
        raise FrameRefused(message)


def keep(frame: pl.DataFrame, lookup: LookupPlan, folder: Path) -> tuple[str, int]:
    """Write a table under the name of its content; return that version, and its rows.

    Raises:
        FrameRefused: as ``check``.
        OSError: if it cannot be written.
    """
    check(frame, lookup)
    own = folder / lookup.name
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".reading-", dir=own)
    written = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            frame.write_parquet(file)
            file.flush()
            os.fsync(file.fileno())
        with written.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=VERSION_BYTES))
        version = digest.hexdigest()
        # Also where it is there already: its time says when it was last the newest.
        written.replace(own / f"{version}.parquet")
    finally:
        written.unlink(missing_ok=True)
    return version, frame.height


def _read_file(lookup: LookupPlan) -> pl.DataFrame:
    """Return the table in a file."""
    path = Path(lookup.path)
    try:
        match path.suffix.lower():
            case ".parquet":
                return pl.read_parquet(path)
            case ".csv":
                return pl.read_csv(path, infer_schema_length=None)
            case _:
                return pl.read_ipc(path)
    except FileNotFoundError:
        why = "is not there: make it, or correct the path"
    except OSError as error:
        why = f"cannot be read: {error.strerror or error}"
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        why = f"cannot be read as {path.suffix}: {error}"
    raise FrameRefused(f"lookup {lookup.name!r}: {path} {why}")


def _call(lookup: LookupPlan, request: Request) -> pl.DataFrame:
    """Return the table that a user's function makes."""
    from firedoor.compose.pipeline_file import load_pipeline  # noqa: PLC0415 - runs user code

    sys.path[:] = [*sys.path, *(path for path in request.sys_path if path not in sys.path)]
    pipeline = load_pipeline(Path(request.file))
    declared = {other.name: other for other in pipeline.lookups}
    make = declared[lookup.name].make if lookup.name in declared else None
    if make is None:
        message = f"{request.file} no longer declares lookup {lookup.name!r} as a function"
        raise FrameRefused(message)
    try:
        return frames.to_polars(make())
    except Exception as error:
        # Whatever the user's function raises, or returns: it is told, and the last version stays.
        told = blame.of_exception(error, ()).message
        raise FrameRefused(f"lookup {lookup.name!r}: its function fails: {told}") from error


def _some(columns: list[str]) -> str:
    """Return some names."""
    return ", ".join(columns[:20]) + (" ..." if len(columns) > 20 else "")  # noqa: PLR2004


if __name__ == "__main__":
    request = msgspec.json.decode(sys.argv[1], type=Request)
    answer = os.dup(1)
    os.set_inheritable(answer, False)  # noqa: FBT003 - the signature of os
    os.dup2(2, 1)
    faulthandler.enable()
    faulthandler.dump_traceback_later(request.limit_s, exit=True)
    tether.tie()
    view = memoryview(msgspec.json.encode(main(request)))
    while view:
        view = view[os.write(answer, view) :]
    sys.stdout.flush()
    os._exit(0)  # user code has no say in how this ends
