"""A: what a wall costs on clean batches, and where the time goes."""

import io
import socket
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import polars as pl

from benchmarks.measure import Paper, Timing, as_dict, interleaved
from benchmarks.work import WEATHER, Flight, add_features
from firedoor import Wall

SIZES = (1, 100, 1_000, 10_000, 50_000)
TARGET_ROWS = 10_000
"""The size for which a wall promises something, and which is taken apart."""
FRAMES = 6
PROOFS_DENSE = 130

P = ParamSpec("P")
T = TypeVar("T")


def encode(frame: pl.DataFrame) -> memoryview:
    """Write a frame as a wall does."""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="uncompressed")
    return buffer.getbuffer()


def decode(data: memoryview | bytes) -> pl.DataFrame:
    """Read a frame as a wall does."""
    return pl.read_ipc_stream(io.BytesIO(data))


def with_codec(frame: pl.DataFrame) -> pl.DataFrame:
    """Take the frame through the codec on the way in and on the way out, in this process."""
    return decode(encode(add_features(decode(encode(frame)))))


def measure(flights: pl.DataFrame, paper: Paper, *, quick: bool) -> None:
    """Print the tables of this part."""
    rounds = 5 if quick else 25
    lines: list[list[str]] = []
    figures = {}
    for rows in SIZES:
        timings = _by_size(flights, rows, rounds)
        figures[rows] = as_dict(timings)
        lines += [
            _line(rows, way, timing, timings["function + codec"]) for way, timing in timings.items()
        ]
    head = ["rows", "way", "ms", "least..most", "CPU ms", "rows/s", "speed", "by CPU time"]
    paper.table("A. One batch; speed: as a share of function + codec", head, lines)
    paper.keep("cost", figures)
    _items(flights, paper, calls=10 * rounds)


def _by_size(flights: pl.DataFrame, rows: int, rounds: int) -> dict[str, Timing]:
    """Time one batch of so many rows, in every way."""
    frames = [flights.slice(rows * number, rows).rechunk() for number in range(FRAMES)]
    turn = _in_turn(frames)
    # A stream of some length, so that filling and draining a pipeline do not count for much.
    stream = frames * (10 if rows < TARGET_ROWS else 2)
    with ExitStack() as stack:
        walls = {
            workers: stack.enter_context(Wall(add_features, reads=[WEATHER], workers=workers))
            for workers in (1, 2)
        }
        for wall in walls.values():
            past_the_proofs(wall, frames[0])
        cases: dict[str, Callable[[], object]] = {
            "function": lambda: add_features(next(turn)),
            "function + codec": lambda: with_codec(next(turn)),
            "wall(frame)": lambda: walls[1](next(turn)),
            "wall.map, 1 worker": lambda: _drain(walls[1], stream),
            "wall.map, 2 workers": lambda: _drain(walls[2], stream),
        }
        calls_in = dict.fromkeys(("wall.map, 1 worker", "wall.map, 2 workers"), len(stream))
        return interleaved(cases, rounds=rounds, calls_in=calls_in)


def past_the_proofs(wall: Wall, frame: pl.DataFrame) -> None:
    """Take small frames through a wall.

    It runs the first, second, fourth ... 64th batch in parts as well, and of the later ones every
    128th: figures are to be those of a wall that has been at work for a while.
    """
    for _ in range(PROOFS_DENSE):
        wall(frame.head(2))


def _in_turn(frames: list[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Give one frame after another, for ever."""
    while True:
        yield from frames


def _drain(wall: Wall, frames: list[pl.DataFrame]) -> None:
    """Take a stream of frames through a wall."""
    for good, dead in wall.map(frames):
        assert good.height
        assert not len(dead)


def _line(rows: int, way: str, timing: Timing, floor: Timing) -> list[str]:
    """Return one line of the table."""
    return [
        f"{rows:,}",
        way,
        f"{1000 * timing.median_s:.2f}",
        f"{1000 * min(timing.wall_s):.2f}..{1000 * max(timing.wall_s):.2f}",
        f"{1000 * timing.cpu_s:.2f}",
        f"{rows / timing.median_s:,.0f}",
        f"{timing.speed_of(floor):.2f}",
        f"{floor.cpu_s / timing.cpu_s:.2f}",
    ]


# --- where the time goes --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """Time of one part of a call."""

    name: str
    where: str
    seconds: float
    note: str = ""


def _items(flights: pl.DataFrame, paper: Paper, *, calls: int) -> None:
    """Take one call of 10,000 rows apart."""
    rows = TARGET_ROWS
    frames = [flights.slice(rows * number, rows).rechunk() for number in range(FRAMES)]
    for schema in (None, Flight):
        with Wall(add_features, schema=schema, reads=[WEATHER]) as wall:
            items = _take_apart(wall, frames, calls)
        total = sum(item.seconds for item in items)
        gate = "without a schema" if schema is None else "with its schema"
        paper.table(
            f"A. Where the time of wall(frame) goes, {rows:,} rows, {gate}: {total * 1000:.2f} ms",
            ["item", "where", "ms", "share", "note"],
            [
                [
                    item.name,
                    item.where,
                    f"{1000 * item.seconds:.2f}",
                    f"{item.seconds / total:.0%}",
                    item.note,
                ]
                for item in items
            ],
        )
        paper.keep(f"items, {gate}", {item.name: item.seconds for item in items})


def _take_apart(wall: Wall, frames: list[pl.DataFrame], calls: int) -> list[Item]:
    """Call a wall often, and return what each part of a call took, in the median."""
    past_the_proofs(wall, frames[0])
    outputs = [wall(frame).good for frame in frames]
    spent: dict[str, list[float]] = defaultdict(list)
    with mirror() as reflect:
        for number in range(calls):
            frame, output = frames[number % FRAMES], outputs[number % FRAMES]
            before = wall.report().seconds
            _timed(spent["total"], wall, frame)
            after = wall.report().seconds
            for item in after:
                spent[item].append(after[item] - before[item])
            sent = _timed(spent["encode apart"], encode, frame)
            received = encode(output)
            _timed(spent["socket"], reflect, sent, received.nbytes)
            _timed(spent["decode apart"], decode, received)
    of = {item: statistics.median(times) for item, times in spent.items()}
    parts = [
        Item("encode the batch", "caller", of["encode apart"], "measured apart"),
        Item("decode the batch", "worker", of["worker decode"]),
        Item("schema", "worker", of["worker gate"]),
        Item("step", "worker", of["worker step"]),
        Item("encode the answer", "worker", of["worker encode"]),
        Item("decode the answer", "caller", of["decode apart"], "measured apart"),
        Item("socket, both ways", "kernel", of["socket"], "measured apart"),
    ]
    rest = of["total"] - sum(part.seconds for part in parts)
    return [*parts, Item("everything else", "both", rest, "what is left of the call")]


def _timed(times: list[float], call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call, and note how long it took."""
    began = time.perf_counter()
    value = call(*args, **kwargs)
    times.append(time.perf_counter() - began)
    return value


MIRROR = """
import socket, sys
line, buffer = socket.socket(fileno=int(sys.argv[1])), bytearray(1 << 26)
while head := line.recv(16, socket.MSG_WAITALL):
    coming, wanted = int.from_bytes(head[:8], "big"), int.from_bytes(head[8:], "big")
    while coming:
        coming -= line.recv_into(buffer, coming)
    line.sendall(memoryview(buffer)[:wanted])
"""


@contextmanager
def mirror() -> Iterator[Callable[[memoryview, int], None]]:
    """Start a process that takes bytes and gives back as many as wanted: a worker without work."""
    line, theirs = socket.socketpair()
    child = subprocess.Popen(
        [sys.executable, "-c", MIRROR, str(theirs.fileno())], pass_fds=(theirs.fileno(),)
    )
    theirs.close()
    buffer = bytearray(1 << 26)

    def reflect(data: memoryview, wanted: int) -> None:
        line.sendall(data.nbytes.to_bytes(8, "big") + wanted.to_bytes(8, "big"))
        line.sendall(data)
        while wanted:
            wanted -= line.recv_into(buffer, wanted)

    try:
        yield reflect
    finally:
        line.close()
        child.wait()
