"""What docs/guide/scale.md says, done: a cluster with its settings, and zones as processes."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl

from adapters.nats.cluster import NODES, free_ports
from architecture import pages
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.nats.checks import check_store
from firedoor.adapters.nats.server import find_server
from firedoor.compose.project import Project

PAGE = pages.ROOT / "docs" / "guide" / "scale.md"
BLOCK = re.compile(r"(?:^    .*\n(?:\n(?=    ))?)+", re.MULTILINE)
ROWS = 5000
LIMIT_S = 60.0
CLOCK = SystemClock()


def blocks() -> list[str]:
    """Return the indented blocks of the page."""
    prose = pages.FENCE.sub("", PAGE.read_text(encoding="utf-8"))
    return [re.sub("^    ", "", block, flags=re.MULTILINE) for block in BLOCK.findall(prose)]


def commands(begin: str) -> list[str]:
    """Return the page's commands that begin so."""
    lines = [line for block in blocks() for line in block.splitlines()]
    return [line for line in lines if line.startswith(begin)]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run three servers with the page's settings; give their addresses, as the page names them."""
    (settings,) = [block for block in blocks() if block.startswith("server_name")]
    free = free_ports(2 * NODES)
    ports, routes = free[:NODES], free[NODES:]
    for name, route in zip("abc", routes, strict=True):
        settings = settings.replace(f"nats://{name}:6222", f"nats://127.0.0.1:{route}")
    servers = []
    try:
        for name, port, route in zip("abc", ports, routes, strict=True):
            own = settings.replace("server_name: a", f"server_name: {name}")
            own = own.replace("0.0.0.0:4222", f"127.0.0.1:{port}")
            own = own.replace("0.0.0.0:6222", f"127.0.0.1:{route}")
            own = own.replace("/data", str(folder / name)) + f"log_file: {folder / name}.log\n"
            config = folder / f"{name}.conf"
            config.write_text(own)
            servers.append(subprocess.Popen([str(find_server()), "-c", str(config)]))
        yield ",".join(f"127.0.0.1:{port}" for port in ports)
    finally:
        for server in servers:
            server.kill()
            server.wait(10)


class Place:
    """A folder with the page's files, and what was started there."""

    def __init__(self, folder: Path, addresses: str) -> None:
        self.folder = folder
        self._addresses = addresses

    def command(self, line: str, *more: str) -> list[str]:
        """Return a command of the page, with the addresses of here."""
        words = shlex.split(line.replace("a:4222,b:4222,c:4222", self._addresses))
        assert words[0] == "firedoor"
        return [sys.executable, "-m", "firedoor.cli", *words[1:], *more]

    def run(self, line: str) -> str:
        """Run a command of the page to its end; return what it printed."""
        ended = subprocess.run(
            self.command(line), cwd=self.folder, capture_output=True, text=True, timeout=LIMIT_S,
            check=False,
        )  # fmt: skip
        assert ended.returncode == 0, f"{line}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def start(self, line: str, name: str) -> subprocess.Popen[str]:
        """Start a zone as the page says, in a container of its own: a folder of its own."""
        more = ["--project", name, "--health", "0", "--health-host", "127.0.0.1"]
        log = (self.folder / f"{name}.log").open("w")
        with log:
            return subprocess.Popen(
                self.command(line, *more),
                cwd=self.folder, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip

    def stored(self) -> int:
        """Return how many rows are in the store."""
        files = list(self.folder.glob("store/**/*.parquet"))
        return sum(pl.read_parquet(file).height for file in files)


def ready(zone: subprocess.Popen[str]) -> int:
    """Return what a zone answers to Kubernetes."""
    assert zone.stdout is not None
    address = zone.stdout.readline().removeprefix("health: ").strip()
    with urllib.request.urlopen(address, timeout=LIMIT_S) as answer:  # noqa: S310 - on loopback
        return int(answer.status)


def test_zones_with_users_of_their_own_meet_at_a_cluster(tmp_path: Path) -> None:
    assert pages.run_python(PAGE, tmp_path) == []
    for fence in pages.fences(PAGE):
        if fence.language == "console":
            assert pages.run_console(fence, tmp_path) == []
    started: dict[str, subprocess.Popen[str]] = {}
    with ExitStack() as stack:
        place = Place(tmp_path, stack.enter_context(served(tmp_path)))
        (declare,) = commands("firedoor broker declare")
        assert "kept 3 times each" in place.run(declare)
        for line in commands("firedoor zone run "):
            name = line.split()[3]
            zone = started[name] = place.start(line, name)
            stack.callback(end, zone)
        assert started["orders"].wait(LIMIT_S) == 0
        ends_s = CLOCK.now_s() + LIMIT_S
        while place.stored() < ROWS:
            assert CLOCK.now_s() < ends_s, (tmp_path / "priced.log").read_text()
            asyncio.run(CLOCK.wait(0.1))
        for name in ("priced", "store"):
            assert ready(started[name]) == 200
            started[name].send_signal(signal.SIGTERM)
        assert [started[name].wait(LIMIT_S) for name in ("priced", "store")] == [0, 0]
        assert place.stored() == ROWS
        (status,) = commands("firedoor status")
        assert "priced" in place.run(status)
        project = Project.at(tmp_path)
        findings = asyncio.run(check_store(project.folder, project.read_plan()))
        assert {finding.verdict for finding in findings} == {"ok"}
        assert "kept at least 3 times" in str(findings)


def end(process: subprocess.Popen[str]) -> None:
    """End what is still there."""
    process.kill()
    process.wait(10)
    if process.stdout is not None:
        process.stdout.close()
