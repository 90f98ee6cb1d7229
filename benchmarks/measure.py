"""Time, fairly: interleaved rounds, medians with their range, CPU time beside wall time."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import psutil
from rich.console import Console
from rich.table import Table

SAMPLE_S = 0.1
"""A sample repeats its work for about so long. Short, so that what is compared is close in time."""
CALLS_MAX = 400


@dataclass(frozen=True, slots=True)
class Timing:
    """Samples of one case, one a round: seconds of one call."""

    wall_s: list[float]
    cpu_s: float
    """Mean CPU time of one call over all rounds, of this process and all its descendants."""

    @property
    def median_s(self) -> float:
        """Median wall time of one call."""
        return statistics.median(self.wall_s)

    def speed_of(self, floor: "Timing") -> float:
        """Return the speed as a share of the speed of ``floor``: the median of all rounds' ratios.

        Both halves of a ratio were measured within a second of each other.
        """
        pairs = zip(floor.wall_s, self.wall_s, strict=True)
        return statistics.median(theirs / mine for theirs, mine in pairs)


def cpu_s() -> float:
    """Return the CPU time of this process and its descendants, the dead ones included."""
    total = 0.0
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def interleaved(
    cases: dict[str, Callable[[], object]], *, rounds: int, calls_in: dict[str, int] | None = None
) -> dict[str, Timing]:
    """Time every case once a round, in turn, so that a busy minute of the machine hits them all.

    Args:
        cases: what to call.
        rounds: samples of each case.
        calls_in: how many calls of the function one case makes, where it is not one.
    """
    repeats = {name: _repeats(case) for name, case in cases.items()}
    wall: dict[str, list[float]] = {name: [] for name in cases}
    cpu = dict.fromkeys(cases, 0.0)
    for _ in range(rounds):
        for name, case in cases.items():
            calls = repeats[name] * (calls_in or {}).get(name, 1)
            cpu_before, before = cpu_s(), time.perf_counter()
            for _ in range(repeats[name]):
                case()
            wall[name].append((time.perf_counter() - before) / calls)
            cpu[name] += (cpu_s() - cpu_before) / calls / rounds
    return {name: Timing(wall[name], cpu[name]) for name in cases}


def _repeats(case: Callable[[], object]) -> int:
    """Run a case warm, and return how often it fits into a sample."""
    case()
    before = time.perf_counter()
    case()
    return max(1, min(CALLS_MAX, round(SAMPLE_S / (time.perf_counter() - before))))


def spread(values: list[float], *, scale: float = 1.0, unit: str = "") -> str:
    """Return the median of values and their range, for people."""
    low, mid, high = min(values) * scale, statistics.median(values) * scale, max(values) * scale
    return f"{mid:,.3g} ({low:,.3g}..{high:,.3g}){unit}"


def machine() -> dict[str, str]:
    """Describe where this was measured, without naming it."""
    memory_gib = round(psutil.virtual_memory().total / 2**30)
    return {
        "machine": f"{os.cpu_count()} {platform.machine()} cores, {memory_gib} GiB",
        "kernel": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("polars", "dataframely", "msgspec")},
        "load average": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


class Paper:
    """What is printed, and kept for ``--json``."""

    def __init__(self) -> None:
        """Start with an empty page."""
        self.kept: dict[str, object] = {"machine": machine()}
        self._console = Console(width=140, soft_wrap=False)

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, markup=False)

    def table(self, title: str, head: list[str], rows: list[list[str]]) -> None:
        """Print a table, with the load average under which it was made."""
        table = Table(title=f"{title}   [load {os.getloadavg()[0]:.1f}]", title_justify="left")
        for number, column in enumerate(head):
            table.add_column(column, justify="left" if number == 0 else "right")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)

    def keep(self, name: str, value: object) -> None:
        """Keep figures for the JSON file."""
        self.kept[name] = value


def as_dict(timings: dict[str, Timing]) -> dict[str, dict[str, object]]:
    """Return timings as plain figures."""
    return {
        name: {"wall_s": timing.wall_s, "cpu_s": timing.cpu_s} for name, timing in timings.items()
    }
