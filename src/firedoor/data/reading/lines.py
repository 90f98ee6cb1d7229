"""Lines of a file, a bounded number of bounded size at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from firedoor.data.reading.cut import KEPT_BYTES, Unreadable
from firedoor.data.reading.files import identity_of

BLOCK_BYTES_MAX = 64 * 2**20
"""Bytes of lines after which a batch ends, however few rows they are."""
READ_BYTES = 2**20
_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = {b"\xff\xfe\x00\x00": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_ENDS = 2  # a line may end with two bytes, \r\n


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line over the bound; only its beginning is kept."""

    begin: bytes
    size: int


Line = bytes | TooLong


class Lines:
    """Reads a text file. Keeps no place: whoever reads says where."""

    def __init__(self, path: str, *, line_bytes_max: int) -> None:
        """Open a file.

        Raises:
            OSError: if that cannot be.
            Unreadable: if it is no file, or not UTF-8.
        """
        self.path = path
        self.identity = identity_of(path)
        self.line_bytes_max = line_bytes_max
        self._file = Path(path).open("rb", buffering=READ_BYTES)  # noqa: SIM115 - closed by close()
        begin = self._file.read(4)
        for mark, encoding in _OTHER_BOMS.items():
            if begin.startswith(mark):
                self.close()
                message = (
                    f"{path} is {encoding}, and UTF-8 is read: convert it, for example with "
                    f"`iconv -f {encoding} -t UTF-8`"
                )
                raise Unreadable(message, code="unreadable")
        self.begin = len(_BOM) if begin.startswith(_BOM) else 0
        """Where the first line begins."""

    def read(self, offset: int, count: int) -> tuple[list[Line], int]:
        """Return up to ``count`` lines from ``offset``, with their ends, and where they end."""
        file, longest = self._file, self.line_bytes_max
        at = max(offset, self.begin)
        if file.tell() != at:
            file.seek(at)
        readline, room = file.readline, longest + _ENDS
        lines: list[Line] = []
        end = at
        stop = at + BLOCK_BYTES_MAX
        while len(lines) < count and end < stop:
            line = readline(room)
            if not line:
                break
            end += len(line)
            if len(line) > longest and len(line.rstrip(b"\r\n")) > longest:
                size = len(line)
                if not line.endswith(b"\n"):
                    size += self._skip()
                end += size - len(line)
                lines.append(TooLong(line[:KEPT_BYTES], size))
            elif len(line) == room and not line.endswith(b"\n"):
                # \r and more at the bound: the rest of the line is still to come.
                size = len(line) + self._skip()
                end += size - len(line)
                lines.append(TooLong(line[:KEPT_BYTES], size))
            else:
                lines.append(line)
        return lines, end

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _skip(self) -> int:
        """Read to the end of a line that is over the bound; return how many bytes that were."""
        skipped = 0
        while piece := self._file.readline(READ_BYTES):
            skipped += len(piece)
            if piece.endswith(b"\n"):
                break
        return skipped
