"""Brings the flights of January again and again, in small files, at a steady pace, without end.

    python examples/flights/feed.py [--rate 400] [--folder FOLDER]

A file has 100 flights and is a batch: flight `r` of file `n` is the row `flights-00000n/r`. Some
files are there from the beginning, so that a source which reads faster for a while has what to
read; those that were read long ago are removed. Begun again, it goes on with the next number.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import threading
import time
from pathlib import Path

from year import ROOT, YEAR, file_of

FEED = Path(os.environ.get("FLIGHTS_FEED", ROOT / ".cache" / "feed"))
"""Where the files are brought to."""
FILE_ROWS = 100
RATE = 400.0
"""Flights a second."""
AHEAD = 300
"""Files that are there from the beginning."""
KEPT = 2_000
"""Files that are there at most: of more than a minute, also at ten times the pace."""
MONTH = 1
"""January: nothing is planted in it."""


def main() -> int:
    """Bring files until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=RATE, help="flights a second (default: 400)")
    parser.add_argument("--folder", type=Path, default=FEED)
    arguments = parser.parse_args()
    over = threading.Event()
    for asked_to_end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked_to_end, lambda *_: over.set())
    try:
        lines = (YEAR / file_of(MONTH)).read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        print(f"error: no flights at {YEAR}: write them with year.py", file=sys.stderr)
        return 2
    bring(lines, arguments.folder, rate=arguments.rate, over=over)
    return 0


def bring(
    lines: list[bytes], folder: Path, *, rate: float, over: threading.Event, ahead: int = AHEAD
) -> None:
    """Write a file whenever one is due, until it is over.

    Args:
        lines: a flight each; after the last one they begin again.
        folder: where, as `flights-NUMBER.jsonl`.
        rate: flights a second, of all after the first files.
        over: set by somebody to end it.
        ahead: files that are written at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = next_number(folder)
    if first:
        ahead = 0  # they are there
    began_s = time.monotonic()
    for number in itertools.count(first):
        due_s = began_s + max(0, number - first - ahead) * FILE_ROWS / rate
        if over.wait(max(0.0, due_s - time.monotonic())):
            return
        write(lines, folder, number)
        (folder / name_of(number - KEPT)).unlink(missing_ok=True)


def next_number(folder: Path) -> int:
    """Return the number of the file that comes after those that are there."""
    names = sorted(folder.glob("flights-*.jsonl"))
    return int(names[-1].stem.rpartition("-")[2]) + 1 if names else 0


def write(lines: list[bytes], folder: Path, number: int) -> None:
    """Write one file, whole or not at all."""
    first = number * FILE_ROWS
    unfinished = folder / "unfinished"
    unfinished.write_bytes(
        b"".join(lines[row % len(lines)] for row in range(first, first + FILE_ROWS))
    )
    unfinished.rename(folder / name_of(number))


def name_of(number: int) -> str:
    """Return the name of a file: names are in the order of their numbers."""
    return f"flights-{number:09}.jsonl"


if __name__ == "__main__":
    sys.exit(main())
