"""Keep what a drill found: ``.firedoor/drills/DRILL``, in every form that somebody may want."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from firedoor.compose.files import FOLDER_MODE, explain, write_atomically
from firedoor.drill.comparing import Comparison, compare
from firedoor.drill.junit import junit_of
from firedoor.drill.page import page_of
from firedoor.drill.report import SCHEMA, Report, decode_report, encode_report
from firedoor.drill.retrospective import retrospective
from firedoor.errors import NotKnown

FOLDER = "drills"
REPORT = "containment.json"
KEPT_MAX = 200
"""Drills that are kept; the oldest go."""
FORMS = (REPORT, "containment.xml", "containment.html", "retrospective.md")


def drills_folder(project: Path) -> Path:
    """Return where a project keeps its drills; ``project`` is ``.firedoor``."""
    return project / FOLDER


def keep(report: Report, project: Path, out: Path | None = None) -> Path:
    """Write a report in each form, and forget the oldest; return the folder.

    Args:
        report: what was found.
        project: ``.firedoor``.
        out: another folder to write it to as well.

    Raises:
        OSError: if that cannot be done.
    """
    folder = drills_folder(project)
    before = latest(folder)
    compared = None if before is None else compare(before, report)
    texts = forms_of(report, compared)
    for where in filter(None, (folder / report.drill, out)):
        where.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomically(where / name, text)
    for old in names(folder)[:-KEPT_MAX]:
        for name in FORMS:
            (folder / old / name).unlink(missing_ok=True)
        with suppress(OSError):  # a person's notes beside it stay
            (folder / old).rmdir()
    return folder / report.drill


def forms_of(report: Report, compared: Comparison | None) -> dict[str, bytes]:
    """Return a report in each form, by the name of its file."""
    made = (
        encode_report(report),
        junit_of(report).encode(),
        page_of(report, compared).encode(),
        retrospective(report).encode(),
    )
    return dict(zip(FORMS, made, strict=True))


def names(folder: Path) -> list[str]:
    """Return the drills that are kept, the oldest first: their names begin with their time."""
    try:
        return sorted(each.name for each in folder.iterdir() if (each / REPORT).is_file())
    except OSError:
        return []


def latest(folder: Path) -> Report | None:
    """Return the last drill that can be read; None: there is none."""
    for name in reversed(names(folder)):
        try:
            return read(folder / name / REPORT)
        except NotKnown:
            continue
    return None


def read(file: Path) -> Report:
    """Return the report in a file.

    Raises:
        NotKnown: if there is none that this version can read.
    """
    try:
        report = decode_report(file.read_bytes())
    except OSError as error:
        message = f"{file} cannot be read: {explain(error)}"
        raise NotKnown(message) from error
    except msgspec.MsgspecError as error:
        message = f"{file} is no report of a drill: {error}"
        raise NotKnown(message) from error
    if report.schema != SCHEMA:
        message = f"{file} has schema {report.schema}, and this firedoor reads {SCHEMA}: drill anew"
        raise NotKnown(message)
    return report


def named(folder: Path, name: str) -> Report:
    """Return a drill by its name, by its file, or the last one for ``last``.

    Raises:
        NotKnown: if it is not there.
    """
    if name.endswith(".json"):
        return read(Path(name))
    if name == "last":
        report = latest(folder)
        if report is None:
            message = f"no drill is kept in {folder}: firedoor drill run"
            raise NotKnown(message)
        return report
    if name not in names(folder):
        known = ", ".join(names(folder)[-10:]) or "none"
        message = f"there is no drill {name!r} in {folder}: the latest are {known}"
        raise NotKnown(message)
    return read(folder / name / REPORT)
