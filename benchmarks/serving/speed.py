"""Requests a second and processor time a request, each server beside the floor, in turns."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.measure import Paper
from benchmarks.serving.client import Measured, Order
from benchmarks.serving.servers import ROOT, WAYS, Server, Way, environment, rows_of, started

CELLS = ((1, 1), (16, 1), (64, 1), (16, 64), (64, 64))
"""Concurrency, and rows of a request."""
TOLD_CHARACTERS = 500


Cells = dict[tuple[str, int, int], "list[Taken]"]
"""Measurements, one a round, by server, concurrency and rows."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One measurement."""

    measured: Measured
    cpu_us: float
    """Of the server, a request."""
    parts_us: dict[str, tuple[float, float]]
    """The same by kind of process: user and system."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.measured.requests / self.measured.seconds


def measure(
    models: Path, folder: Path, paper: Paper, *, rounds: int, seconds: float, names: Sequence[str]
) -> None:
    """Measure, and print a table a cell."""
    ways = [way for way in WAYS if (not names or way.key in names) and is_here(way, paper)]
    bodies = {way.name: write_bodies(way, models, folder) for way in ways}
    taken: Cells = {}
    with contextlib.ExitStack() as stack, (folder / "servers.log").open("wb") as log:
        servers = []
        for way in ways:
            try:
                running = started(way, models, folder / f"project-{way.key}", log)
                servers.append(stack.enter_context(running))
            except TimeoutError as error:
                said = (folder / "servers.log").read_text(errors="replace")
                paper.say(f"not measured: {error}; it said last: {said[-TOLD_CHARACTERS:]}")
        for turn in range(rounds):
            for clients, rows in CELLS:
                for server in servers if turn % 2 == 0 else reversed(servers):
                    one = take(server, bodies[server.way.name][rows], clients, seconds)
                    taken.setdefault((server.way.name, clients, rows), []).append(one)
        memory = {server.way.name: server.memory_mib() for server in servers}
    for clients, rows in CELLS:
        show(taken, memory, clients, rows, paper)


def is_here(way: Way, paper: Paper) -> bool:
    """Return whether what a server needs is installed; say so where it is not."""
    if not way.needs or importlib.util.find_spec(way.needs) is not None:
        return True
    paper.say(f"not measured: {way.name}, which is in the larger group: PEERS=bench-ray")
    return False


def write_bodies(way: Way, models: Path, folder: Path) -> dict[int, Path]:
    """Write what is sent and what is to be answered, by rows of a request."""
    rows, told = rows_of(models)
    found = {}
    for size in sorted({rows for _, rows in CELLS}):
        pairs = [
            (json.dumps(way.body(rows[at : at + size])), told["stable"][at : at + size])
            for at in range(0, len(rows) - size + 1, size)
        ]
        found[size] = folder / f"{way.key}-{size}.json"
        found[size].write_text(json.dumps(pairs), encoding="utf-8")
    return found


def take(server: Server, bodies: Path, clients: int, seconds: float) -> Taken:
    """Measure one cell once."""
    order = Order(
        port=server.port, path=server.way.path, bodies=str(bodies), concurrency=clients,
        seconds=seconds,
    )  # fmt: skip
    before = server.cpu_of()
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving.client", msgspec.json.encode(order).decode()],
        cwd=ROOT, env=environment(), capture_output=True, check=True, timeout=seconds + 60,
    )  # fmt: skip
    measured = msgspec.json.decode(ended.stdout, type=Measured)
    each = 1e6 / max(1, measured.answered)
    parts_us = {}
    for kind, (user_s, system_s) in server.cpu_of().items():
        user_before_s, system_before_s = before.get(kind, (0.0, 0.0))
        parts_us[kind] = ((user_s - user_before_s) * each, (system_s - system_before_s) * each)
    return Taken(measured, sum(map(sum, parts_us.values())), parts_us)


def show(
    taken: Cells, memory: dict[str, float], clients: int, rows: int, paper: Paper
) -> None:  # fmt: skip
    """Print what one cell came to."""
    floor = taken.get(("floor", clients, rows), [])
    lines = []
    for name, mib in memory.items():
        ones = taken[name, clients, rows]
        told = [one.measured for one in ones]
        figures = {
            "rate": median(one.rate for one in ones),
            "of_floor": of_floor(ones, floor),
            "p50_ms": median(one.p50_ms for one in told),
            "p99_ms": median(one.p99_ms for one in told),
            "cpu_us": median(one.cpu_us for one in ones),
            "client_us": median(one.cpu_us for one in told),
            "bad": sum(one.bad for one in told),
            "wrong": sum(one.wrong for one in told),
            "mib": mib,
        }
        paper.keep(f"serving {name} {clients} {rows}", figures)
        shapes = (",.0f", ".2f", ".2f", ".2f", ".1f", ".1f", ".0f", ".0f", ".0f")
        shown = zip(figures.values(), shapes, strict=True)
        lines.append([name, *(format(value, shape) for value, shape in shown)])
    head = [
        "",
        "requests/s",
        "of floor",
        "p50 ms",
        "p99 ms",
        "CPU us",
        "client",
        "bad",
        "wrong",
        "MiB",
    ]
    title = f"{clients} clients, {rows} row{'s' * (rows > 1)} a request"
    paper.table(title, head, lines)
    for name in memory:
        for kind in sorted({kind for one in taken[name, clients, rows] for kind in one.parts_us}):
            both = [one.parts_us.get(kind, (0.0, 0.0)) for one in taken[name, clients, rows]]
            user_us, system_us = (median(part) for part in zip(*both, strict=True))
            paper.say(f"{name}, {kind}: {user_us:.1f} us user, {system_us:.1f} us system")


def of_floor(ones: Sequence[Taken], floor: Sequence[Taken]) -> float:
    """Return the median, over rounds, of the rate beside the floor's in the same round."""
    pairs = zip(ones, floor, strict=False)
    return median([one.rate / base.rate for one, base in pairs] or [float("nan")])
