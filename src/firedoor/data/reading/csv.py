"""CSV: a line of column names, then a row a line, or several where a quoted value spans them.

Lines are counted as an editor counts them. Row numbers follow: a row is numbered by the line that
it begins on, and its further lines count as dropped, reason ``continued``. Every value is text;
with a schema it is cast at the gate, where a value that cannot be costs its row. An empty value is
null.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import polars as pl

from firedoor.data.reading.cut import BLANK, CONTINUED, Bad, Cut, Unreadable, escaped
from firedoor.data.reading.jsonl import too_long
from firedoor.data.reading.lines import Line, Lines, TooLong
from firedoor.wire.records import Position, Segment

CONTINUED_MAX = 1_000
"""Lines that one value may span; beyond that its quote counts as never closed."""
_ENDS = b"\r\n"


@dataclass(slots=True)
class _Records:
    """What lines were found to hold, so far."""

    starts: list[int] = field(default_factory=list)
    """The line that each record begins on."""
    texts: list[bytes] = field(default_factory=list)
    """Each record as it stands, its end included."""
    bad: list[Bad] = field(default_factory=list)
    blank: int = 0
    continued: int = 0


class CsvFile:
    """One file. See ``files.OpenFile``."""

    def __init__(self, path: str, *, line_bytes_max: int) -> None:
        """Open it and read the names of its columns."""
        self._lines = Lines(path, line_bytes_max=line_bytes_max)
        self.path = path
        self.identity = self._lines.identity
        csv.field_size_limit(max(csv.field_size_limit(), line_bytes_max))
        try:
            self._names, self._begin, self._begin_line = self._header()
        except Unreadable:
            self.close()
            raise

    def cut(self, offset: int, line: int, rows: int) -> Cut | None:
        """Return the batch at a place, None at the end. See ``files.OpenFile.cut``."""
        if not offset:
            offset, line = self._begin, self._begin_line
        lines, end = self._lines.read(offset, rows)
        if not lines:
            return None
        frame, numbers = self._whole(lines), None
        found = _Records()
        if frame is None:
            taken, end = self._find(lines, offset, end, found)
            lines = lines[:taken]
            frame = self._of_records(found)
            if len(found.starts) < len(lines):
                numbers = pl.Series("row", found.starts, dtype=pl.UInt32)
        dropped = {BLANK: found.blank, CONTINUED: found.continued}
        return Cut(
            frame=frame,
            numbers=numbers,
            bad=tuple(found.bad),
            dropped={reason: count for reason, count in dropped.items() if count},
            segment=Segment(file=self.path, line=line + 1, rows=len(lines)),
            position=Position(
                file=self.path, offset=end, line=line + len(lines), identity=self.identity
            ),
        )

    def close(self) -> None:
        """Let go of the file."""
        self._lines.close()

    def _header(self) -> tuple[list[str], int, int]:
        """Return the column names, and where the first row begins: its offset and lines before."""
        lines, end = self._lines.read(0, 1)
        while lines and _quotes(lines) % 2 and len(lines) <= CONTINUED_MAX:
            more, after = self._lines.read(end, 1)
            if not more:
                break
            lines, end = [*lines, *more], after
        if not lines:
            message = f"{self.path} is empty: a CSV file begins with a line of column names"
            raise Unreadable(message, code="damaged")
        why = "its first line holds no column names"
        names: list[str] = []
        if not any(isinstance(line, TooLong) for line in lines):
            try:
                names = _split(b"".join(cast("list[bytes]", lines)))
            except (csv.Error, UnicodeError, StopIteration) as error:
                why = f"its first line holds no column names ({error})"
        doubled = [name for name in names if names.count(name) > 1]
        if doubled:
            why = f"it names column {doubled[0]!r} twice"
        if "" in names:
            why = f"column {names.index('') + 1} has no name"
        if not names or doubled or "" in names:
            message = f"{self.path} cannot be read: {why}. Correct its first line"
            raise Unreadable(message, code="damaged")
        return names, end, len(lines)

    def _whole(self, lines: Sequence[Line]) -> pl.DataFrame | None:
        """Return the rows of lines without quotes each of which has a value for each column."""
        if any(isinstance(line, TooLong) for line in lines):
            return None
        block = b"".join(cast("Sequence[bytes]", lines))
        commas = len(self._names) - 1
        if b'"' in block or {line.count(b",") for line in cast("list[bytes]", lines)} != {commas}:
            return None
        if not commas and not all(line.strip() for line in cast("list[bytes]", lines)):
            return None
        return self._read(block, len(lines))

    def _read(self, block: bytes, rows: int) -> pl.DataFrame | None:
        """Return the rows of a block, None if polars does not see that many."""
        try:
            frame = pl.read_csv(
                block,
                has_header=False,
                schema=dict.fromkeys(self._names, pl.String()),
                raise_if_empty=False,
            )
        except Exception:  # noqa: BLE001 - polars raises many kinds; what is wrong is found line by line
            return None
        return frame if frame.height == rows else None

    def _of_records(self, found: _Records) -> pl.DataFrame:
        """Return good records as rows."""
        block = b"".join(text if text.endswith(b"\n") else text + b"\n" for text in found.texts)
        frame = self._read(block, len(found.texts))
        if frame is not None:
            return frame
        rows = [[value or None for value in _split(text)] for text in found.texts]
        schema = dict.fromkeys(self._names, pl.String())
        return pl.DataFrame(rows, schema=schema, orient="row")

    def _find(self, lines: list[Line], offset: int, end: int, found: _Records) -> tuple[int, int]:
        """Part lines into records. The last record may need lines beyond, which are added.

        Returns:
            How many lines belong to the batch, and where they end.
        """
        count, at, taken_end = len(lines), 0, offset
        while at < count:
            line = lines[at]
            step = 1
            if isinstance(line, TooLong):
                found.bad.append(too_long(at, line, self._lines.line_bytes_max))
            elif not line.strip():
                found.blank += 1
            else:
                stop, end = self._stop(lines, at, end)
                why = self._wrong(lines[at:stop]) if stop else ("unclosed quote", _UNCLOSED)
                if why is None:
                    found.starts.append(at)
                    found.texts.append(b"".join(cast("list[bytes]", lines[at:stop])))
                    step = stop - at
                    found.continued += step - 1
                else:
                    # One stray quote must not cost the lines after it.
                    signature, message = why
                    text = escaped(line)
                    found.bad.append(
                        Bad(number=at, text=text, signature=signature, message=message)
                    )
            taken_end += sum(map(_size, lines[at : at + step]))
            at += step
        return at, taken_end

    def _stop(self, lines: list[Line], at: int, end: int) -> tuple[int, int]:
        """Return after which line a record ends, 0 if it does not; and where ``lines`` end."""
        if not _quotes(lines[at : at + 1]) % 2:
            return at + 1, end
        size, stop = _size(lines[at]), at + 1
        while stop - at <= CONTINUED_MAX and size <= self._lines.line_bytes_max:
            if stop == len(lines):
                more, after = self._lines.read(end, 1)
                if not more:
                    break
                lines += more
                end = after
            if isinstance(lines[stop], TooLong):
                break
            size += _size(lines[stop])
            stop += 1
            if _quotes(lines[stop - 1 : stop]) % 2:
                return stop, end
        return 0, end

    def _wrong(self, lines: Sequence[Line]) -> tuple[str, str] | None:
        """Return what is wrong with a record as signature and message, None if nothing is."""
        text = b"".join(cast("Sequence[bytes]", lines))
        try:
            count = len(_split(text)) if b'"' in text else _decoded(text).count(",") + 1
        except UnicodeError as error:
            return "not UTF-8", f"the line is not UTF-8: {error}"
        except (csv.Error, StopIteration) as error:
            return "malformed CSV", f"the line is no CSV: {error}"
        if count != len(self._names):
            names = len(self._names)
            return "ragged line", f"the line has {count} values, the header names {names} columns"
        return None


_UNCLOSED = "a quote in the line is never closed, or the value is longer than line_bytes_max"


def _split(record: bytes) -> list[str]:
    """Return the values of one record."""
    return next(csv.reader([_decoded(record)], strict=True))


def _decoded(record: bytes) -> str:
    """Return a record as text without its end."""
    return record.rstrip(_ENDS).decode()


def _quotes(lines: Sequence[Line]) -> int:
    """Return how many quotes stand in lines."""
    return sum(line.count(b'"') for line in lines if isinstance(line, bytes))


def _size(line: Line) -> int:
    """Return how many bytes a line has in its file."""
    return line.size if isinstance(line, TooLong) else len(line)
