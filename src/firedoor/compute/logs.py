"""What user code prints and logs, brought out of the worker under the wall's name.

Prints and log records share one pipe, a line each, so that their order is kept. A record is marked
with a control character that no text line begins with.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

MARK = "\x1e"
LINE_CHARACTERS_MAX = 8_192
PIPE_READ_BYTES = 65_536
LAST_READS = 16


class LineHandler(logging.Handler):
    """Writes each record of a worker as one marked line on its standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; a full pipe delays the step, it never loses a line."""
        text = self.format(record).replace("\n", "\\n")[:LINE_CHARACTERS_MAX]
        line = f"{MARK}{record.levelno}{MARK}{record.name}{MARK}{text}\n"
        os.write(2, line.encode(errors="backslashreplace"))


class LogReader:
    """Reads a worker's pipe without waiting and logs its lines under ``firedoor.wall.NAME``."""

    def __init__(self, fd: int, wall: str, hide: Callable[[str], str] = lambda text: text) -> None:
        """Read from ``fd``, which becomes non-blocking; ``hide`` takes secrets out of a line."""
        os.set_blocking(fd, False)
        self.fd = fd
        self.tail = ""
        """The last lines, kept to explain a death."""
        self._wall = wall
        self._hide = hide
        self._rest = b""

    def drain(self) -> bool:
        """Log what has arrived. Returns False once the other end is closed for good.

        One reading holds what fits into a pipe. There is no second one, since a worker may print
        faster than its lines can be logged, and whoever watches it must go on watching.
        """
        try:
            data = os.read(self.fd, PIPE_READ_BYTES)
        except BlockingIOError:
            return True
        if not data:
            self._log(self._rest)
            self._rest = b""
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._log(line)
        if len(self._rest) > LINE_CHARACTERS_MAX:
            self._log(self._rest)
            self._rest = b""
        return True

    def close(self) -> None:
        """Log what is left and close the pipe."""
        for _ in range(LAST_READS):
            if not self.drain():
                break
        os.close(self.fd)

    def _log(self, line: bytes) -> None:
        """Log one line, a record with its level and name, a print as info."""
        text = self._hide(line.decode(errors="replace"))[:LINE_CHARACTERS_MAX]
        if not text.strip():
            return
        level, name = logging.INFO, "output"
        if text.startswith(MARK) and text.count(MARK) >= 3:  # noqa: PLR2004 - three marks a record
            _, number, name, text = text.split(MARK, 3)
            level = int(number) if number.isdigit() else logging.INFO
        self.tail = (self.tail + "\n" + text)[-4096:]
        logging.getLogger(f"firedoor.wall.{self._wall}").log(
            level, "%s", text, extra={"worker_logger": name}
        )
