"""Stop a process, and have it go on when its time is over, or when whoever wanted that is gone.

Run as ``python -I -S freeze_guard.py PROCESS SECONDS`` by ``freezing``, in a session of its own;
``PROCESS`` is ``fd:N``, a descriptor of the process, or ``pid:N`` where there are none. It is what
stops the process, so that none is ever stopped for which nobody is there to have it go on; says so
on standard output; and waits. Each line on standard input is a new time from then on, in seconds.
The end of standard input, which comes however the supervisor ends, is the end of the stop. Imports
nothing of firedoor: it starts in 20 ms.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from typing import NoReturn

SAID = b"stopped\n"
LINE_BYTES = 1024
GONE = 3
"""Exit code where there was no such process."""


def main(arguments: list[str]) -> int:
    """Stop the process, and let it go on in time."""
    kind, _, number = arguments[0].partition(":")
    process, until_s = int(number), time.monotonic() + float(arguments[1])
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ending, _end)
    try:
        if not _send(kind, process, signal.SIGSTOP):
            return GONE
        os.write(1, SAID)
        while (left_s := until_s - time.monotonic()) > 0:
            ready, _, _ = select.select([0], [], [], left_s)
            said = os.read(0, LINE_BYTES) if ready else b""
            if not said:
                break  # its time is over, or nobody holds the other end any more
            until_s = time.monotonic() + float(said.split()[-1])
    finally:
        _send(kind, process, signal.SIGCONT)
    return 0


def _end(_number: int, _frame: object) -> NoReturn:
    """End, but not without letting the process go on."""
    raise SystemExit(0)


def _send(kind: str, process: int, number: int) -> bool:
    """Send a signal; return whether there is such a process."""
    try:
        if kind == "fd" and sys.platform == "linux":
            signal.pidfd_send_signal(process, number)
        else:
            os.kill(process, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
