"""JSON lines: one object a line, and a line that is none costs that line.

The fast way is polars' reader on the whole block. polars fails as a whole on one bad line, leaves
blank lines out, and drops keys that it was not told of, so what it gives is held to counts; where
they differ, lines are decoded one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
import polars as pl

from firedoor.data.reading.cut import BLANK, Bad, Cut, escaped
from firedoor.data.reading.hints import Types, alike, expected, fits
from firedoor.data.reading.lines import Line, Lines, TooLong
from firedoor.units import format_bytes
from firedoor.wire.records import Position, Segment

HEAD_LINES = 50
"""Lines from which the types of columns that are not declared are guessed at first."""
_BLANK = b" \t\r\n"
_SIMPLE = (pl.Int64, pl.Float64, pl.String, pl.Boolean, pl.Null)
_EXACT = 2**53
"""Integers from here on need not have a float of their own."""
_decode = msgspec.json.Decoder().decode


class JsonLines:
    """One file. See ``files.OpenFile``."""

    def __init__(self, path: str, *, declared: Types, line_bytes_max: int) -> None:
        """Open it. ``declared``: type of each declared column."""
        self._lines = Lines(path, line_bytes_max=line_bytes_max)
        self._declared = declared
        self.path = path
        self.identity = self._lines.identity

    def cut(self, offset: int, line: int, rows: int) -> Cut | None:
        """Return the batch at a place, None at the end. See ``files.OpenFile.cut``."""
        lines, end = self._lines.read(offset, rows)
        if not lines:
            return None
        parsed = parse(lines, self._declared, line_bytes_max=self._lines.line_bytes_max)
        return Cut(
            frame=parsed.frame,
            numbers=parsed.numbers,
            bad=parsed.bad,
            dropped={BLANK: parsed.blank} if parsed.blank else {},
            segment=Segment(file=self.path, line=line + 1, rows=len(lines)),
            position=Position(
                file=self.path, offset=end, line=line + len(lines), identity=self.identity
            ),
        )

    def close(self) -> None:
        """Let go of the file."""
        self._lines.close()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Parsed:
    """What lines hold."""

    frame: pl.DataFrame
    numbers: pl.Series | None
    bad: tuple[Bad, ...]
    blank: int


def parse(lines: Sequence[Line], declared: Types, *, line_bytes_max: int) -> Parsed:
    """Return the rows in lines, and which lines are bad.

    Args:
        lines: with their ends, the last one perhaps without.
        declared: type of each declared column.
        line_bytes_max: the bound that too long lines are over, for the message.
    """
    whole = [line for line in lines if isinstance(line, bytes)]
    if len(whole) == len(lines):
        frame = _read_whole(whole, declared)
        if frame is not None and frame.height == len(lines):
            return Parsed(frame=frame, numbers=None, bad=(), blank=0)
        filled = [at for at, line in enumerate(whole) if line.strip(_BLANK)]
        if frame is not None and frame.height == len(filled):
            blank = len(lines) - len(filled)
            return Parsed(frame=frame, numbers=_numbers(filled), bad=(), blank=blank)
    return _one_by_one(lines, declared, line_bytes_max)


def _read_whole(lines: Sequence[bytes], declared: Types) -> pl.DataFrame | None:
    """Return the rows of lines all of which are good, None if they may not be or do not agree."""
    block = b"".join(lines)
    if b"\\" in block and (b"\\ud" in block or b"\\uD" in block):
        return None  # polars makes half of a surrogate pair a zero byte, without a word
    return _read(block, lines[:HEAD_LINES], declared)


def _read(block: bytes, head: Sequence[bytes], declared: Types) -> pl.DataFrame | None:
    """Return the rows of a block, None if it cannot be read as a whole."""
    frame = _read_as_guessed(block, head, declared)
    if frame is None:
        frame = _attempt(block, None)
    if frame is None or not _is_exact(frame, declared):
        return None
    return frame


def _read_as_guessed(block: bytes, head: Sequence[bytes], declared: Types) -> pl.DataFrame | None:
    """Return the rows with the types that were declared or that the first lines have.

    Four times as fast as looking at every line for types. None if any line has a key that the
    first ones have not, or a value of another type.
    """
    guess = _attempt(b"".join(head), None)
    if guess is None:
        return None
    told = expected(declared)
    schema = {**guess.schema, **told}
    if not all(dtype in _SIMPLE for dtype in schema.values()):
        return None
    frame = _attempt(block, schema)
    if frame is None or not _holds_all(frame, block):
        return None
    unseen = [name for name in told if name not in guess.schema]
    return frame.drop(
        name
        for name in unseen
        if frame[name].null_count() == frame.height and _key(name) not in block
    )


def _holds_all(frame: pl.DataFrame, block: bytes) -> bool:
    """Return whether every value in a block is in the frame that was read of it.

    Every key ends with ``":``, which stands in no string, where the quote would be escaped. What
    is not null there must not be null here; keys written in a way that is not counted (space
    before the colon, several after it) make the counts differ, or are looked for.
    """
    spaced = b" " in block or b"\t" in block or b"\r" in block
    if spaced and any(blank + b":" in block for blank in (b" ", b"\t", b"\r")):
        return False
    nulls = block.count(b'":null') + (block.count(b'": null') if spaced else 0)
    cells = frame.height * frame.width - sum(frame.null_count().row(0)) if frame.width else 0
    return block.count(b'":') - nulls == cells


def _attempt(block: bytes, schema: Types | None) -> pl.DataFrame | None:
    """Return what polars reads, None if it cannot.

    Where no line has a key, it takes what is no object for an empty one: that is nothing read.
    """
    try:
        if schema is None:
            frame = pl.read_ndjson(block, infer_schema_length=None)
        else:
            frame = pl.read_ndjson(block, schema=dict(schema))
    except Exception:  # noqa: BLE001 - polars raises many kinds; what is wrong is found line by line
        return None
    return frame if frame.width else None


def _is_exact(frame: pl.DataFrame, declared: Types) -> bool:
    """Return whether no value was changed by being read with the others of its column."""
    for name, dtype in declared.items():
        read = frame.schema.get(name)
        if read is None:
            continue
        if not alike(read, dtype):
            return False
        if dtype.is_integer() and read.is_float():
            largest = cast("float | None", frame[name].abs().max())
            if largest is not None and largest >= _EXACT:
                return False
    return True


def _one_by_one(lines: Sequence[Line], declared: Types, line_bytes_max: int) -> Parsed:
    """Return the rows of lines of which some are bad, or do not agree in their types."""
    bad: list[Bad] = []
    values: list[dict[str, object]] = []
    kept: list[int] = []
    blank = 0
    for number, line in enumerate(lines):
        if isinstance(line, TooLong):
            bad.append(too_long(number, line, line_bytes_max))
            continue
        if not line.strip(_BLANK):
            blank += 1
            continue
        value = _decoded(number, line)
        if isinstance(value, Bad):
            bad.append(value)
        else:
            kept.append(number)
            values.append(value)
    frame = _of_values([cast("bytes", lines[at]) for at in kept], values, declared)
    if frame is None:
        kept, values, misfits = _without_misfits(lines, kept, values, declared)
        bad = sorted([*bad, *misfits], key=lambda one: one.number)
        frame = _of_values([cast("bytes", lines[at]) for at in kept], values, declared)
        if frame is None:
            frame = _columns(values)
    numbers = None if len(kept) == len(lines) else _numbers(kept)
    return Parsed(frame=frame, numbers=numbers, bad=tuple(bad), blank=blank)


def _of_values(
    lines: Sequence[bytes], values: Sequence[dict[str, object]], declared: Types
) -> pl.DataFrame | None:
    """Return the rows of good lines by polars' reader if it can, so that types come out alike."""
    if not lines:
        return pl.DataFrame()
    block = b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines)
    frame = _read(block, lines[:HEAD_LINES], declared)
    if frame is not None and frame.height == len(lines):
        return frame
    frame = _columns(values)
    return frame if _is_exact(frame, declared) else None


def _without_misfits(
    lines: Sequence[Line],
    kept: Sequence[int],
    values: Sequence[dict[str, object]],
    declared: Types,
) -> tuple[list[int], list[dict[str, object]], list[Bad]]:
    """Part lines of which a value has another shape than declared, a list or an object."""
    good: list[int] = []
    held: list[dict[str, object]] = []
    bad: list[Bad] = []
    for number, value in zip(kept, values, strict=True):
        wrong = [name for name, dtype in declared.items() if not fits(value.get(name), dtype)]
        if not wrong:
            good.append(number)
            held.append(value)
            continue
        rules = ", ".join(f"{name}|dtype" for name in wrong)
        bad.append(
            Bad(
                number=number,
                text=escaped(cast("bytes", lines[number])),
                code="schema",
                signature=f"rule {rules}",
                message=f"{rules}: its shape is not that of {declared[wrong[0]]}",
            )
        )
    if not good:
        return list(kept), list(values), []  # none fits: the gate says what is wrong with all
    return good, held, bad


def _decoded(number: int, line: bytes) -> dict[str, object] | Bad:
    """Return the object in a line, or why it holds none."""
    try:
        value = _decode(line)
    except UnicodeError as error:
        return _bad(number, line, "not UTF-8", f"the line is not UTF-8: {error}")
    except (msgspec.MsgspecError, RecursionError) as error:
        return _bad(number, line, "malformed JSON", str(error))
    if not isinstance(value, dict):
        kind = {list: "array", str: "string", type(None): "null"}.get(type(value), "value")
        return _bad(number, line, "not an object", f"the line holds a JSON {kind}, not an object")
    return value


def _bad(number: int, line: bytes, signature: str, message: str) -> Bad:
    """Return a line that could not be parsed."""
    return Bad(number=number, text=escaped(line), signature=signature, message=message)


def too_long(number: int, line: TooLong, line_bytes_max: int) -> Bad:
    """Return a line that is over the bound."""
    message = (
        f"the line has {format_bytes(line.size)}, more than the {format_bytes(line_bytes_max)} of "
        "line_bytes_max; its beginning is kept here"
    )
    return Bad(number=number, text=escaped(line.begin), signature="line too long", message=message)


def _columns(values: Sequence[dict[str, object]]) -> pl.DataFrame:
    """Return rows as columns; where the values of one do not agree, they are its JSON text.

    So a string among integers becomes a value that cannot be cast at the gate, which costs its
    row, and the integers are cast back from text.
    """
    names = dict.fromkeys(name for value in values for name in value)
    columns = [_column(name, [value.get(name) for value in values]) for name in names]
    return pl.DataFrame(columns) if columns else pl.DataFrame(height=len(values))


def _column(name: str, values: list[object]) -> pl.Series:
    """Return values as a column."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or (len(kinds) == 1 and kinds & {bool, str}):
        exact = len(kinds) == 1 or all(abs(cast("float", v)) < _EXACT for v in values if v)
        try:
            if exact:
                return pl.Series(name, values, strict=len(kinds) == 1)
        except (pl.exceptions.PolarsError, TypeError, OverflowError):
            pass  # an integer that no type holds: as text
    elif kinds in ({list}, {dict}):
        try:
            return pl.Series(name, values, strict=True)
        except (pl.exceptions.PolarsError, TypeError, OverflowError):
            pass  # they do not agree inside
    texts = [value if value is None or isinstance(value, str) else _text(value) for value in values]
    return pl.Series(name, texts, dtype=pl.String)


def _text(value: object) -> str:
    """Return a value as JSON."""
    return msgspec.json.encode(value).decode()


def _key(name: str) -> bytes:
    """Return how a key stands in JSON, without its end."""
    return msgspec.json.encode(name)


def _numbers(kept: Sequence[int]) -> pl.Series:
    """Return row numbers."""
    return pl.Series("row", kept, dtype=pl.UInt32)
