"""A project with models and a service, and ``firedoor serve`` at work on it."""

from __future__ import annotations

import asyncio
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import psutil

import firedoor as fd
from firedoor.compose.project import Project
from firedoor.compose.serving_folder import GatewayState, ServingFolder
from serving.client import Connections, Reply

HERE = Path(__file__).parent / "fixtures"
READY_S = 60.0
GONE_S = 20.0
LOOK_S = 0.05


class Shop:
    """A project folder: the pipeline's file, its model's code, and versions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "late.py"
        for name in ("late.py", "late_model.py"):
            shutil.copy(HERE / name, folder / name)
        self.models = fd.Models(folder)
        self.project = Project.at(folder)
        self.biases: dict[str, float] = {}
        """What versions add, by their names."""

    def add(self, bias: float, mode: str = "", *, live: bool = False) -> int:
        """Add a version that adds ``bias``, qualified; return its number."""
        made = self.folder / f"made-{bias}-{mode}"
        made.mkdir()
        (made / "bias").write_text(str(bias))
        if mode:
            (made / "mode").write_text(mode)
        version = self.models.add(
            "late", made, loader="late_model:read",
            inputs={"x": "Float64"}, outputs={"minutes": "Float64"},
        )  # fmt: skip
        self.models.qualify(f"late@{version.number}", "promote", because="it was measured")
        self.biases[f"late@{version.number}"] = bias
        if live:
            self.models.promote(f"late@{version.number}", anyway=True)
        return version.number

    def run(self, *command: str, code: int = 0, within_s: float = 30.0) -> str:
        """Run a command of firedoor to its end; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "firedoor.cli", *command, "--project", str(self.folder)],
            capture_output=True, text=True, timeout=within_s, check=False,
        )  # fmt: skip
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr


class Served:
    """``firedoor serve``, or another command that serves, from its start to its end."""

    def __init__(
        self, shop: Shop, *more: str, command: str = "serve",
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        words = [command, *([str(shop.file)] if command == "serve" else []), *more]
        self.shop = shop
        self._run = subprocess.Popen(
            [sys.executable, "-m", "firedoor.cli", *words, "--project", str(shop.folder)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **(environment or {})}, start_new_session=True,
        )  # fmt: skip
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(self.await_line(r"http://[0-9.]+:(\d+)")[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        """End it, and everything that it started."""
        family = self.family()
        self._run.kill()
        self._run.wait(timeout=GONE_S)
        left: list[psutil.Process]
        _, left = psutil.wait_procs(family, timeout=GONE_S)
        for process in left:
            process.kill()
        self._reader.join(timeout=GONE_S)
        assert self._run.stdout is not None
        self._run.stdout.close()
        assert not left, f"left behind: {left}"

    # ---- what it says

    def await_line(self, pattern: str, within_s: float = READY_S) -> re.Match[str]:
        """Return the first line from now on that fits."""
        ends_s = time.monotonic() + within_s
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, ends_s - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                message = f"nothing like {pattern!r}:\n{''.join(self.said)}\n{self.logs()}"
                raise AssertionError(message)
            found = re.search(pattern, line)
            if found:
                return found

    def state(self, number: int = 1) -> GatewayState | None:
        """Return how a gateway is by its own word."""
        return ServingFolder(self.shop.project, print).said(number)

    def ready(self, number: int = 1) -> Self:
        """Wait until a gateway answers by a model."""
        self.until(lambda: (state := self.state(number)) is not None and state.ready)
        return self

    def until(self, true: Callable[[], object], within_s: float = READY_S) -> None:
        """Wait until something is so; it fails when it is not in time."""
        ends_s = time.monotonic() + within_s
        while not true():
            ended = self._run.poll()
            assert ended is None, (ended, self.said, self.logs())
            assert time.monotonic() < ends_s, (self.said, self.logs(), self.state())
            threading.Event().wait(LOOK_S)

    def logs(self) -> str:
        """Return the ends of all logs."""
        files = sorted(self.shop.project.log_file("x").parent.glob("serve-*"))
        return "\n".join(
            f"---- {file.name}\n{file.read_text(errors='replace')[-4000:]}" for file in files
        )

    # ---- asking

    def ask(
        self, x: float, path: str = "/predict/predict", *, port: int = 0, **headers: str
    ) -> Reply:
        """Ask for one row."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.get(path, [{"x": x, "who": f"n{x}"}], named, port=port)

    def get(
        self,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        *,
        port: int = 0,
    ) -> Reply:
        """Ask for anything, by itself at the shared port."""

        async def once() -> Reply:
            connections = Connections(port or self.port)
            try:
                return await connections.ask(path, body, headers)
            finally:
                connections.close()

        return asyncio.run(once())

    # ---- its processes

    def family(self) -> list[psutil.Process]:
        """Return every process that it started, and those that they started."""
        try:
            return psutil.Process(self._run.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def processes(self, kind: str) -> list[psutil.Process]:
        """Return those of a kind: ``gateway``, ``control``, ``nats``, ``worker``."""
        return [process for process in self.family() if kind_of(process) == kind]

    def kill(self, kind: str, number: int = signal.SIGKILL) -> int:
        """Kill one of a kind; return its process id."""
        self.until(lambda: self.processes(kind))
        victim = self.processes(kind)[0]
        victim.send_signal(number)
        return victim.pid

    def end(self, within_s: float = GONE_S) -> int:
        """Ask it to end; return its exit code."""
        self._run.send_signal(signal.SIGTERM)
        return self._run.wait(timeout=within_s)

    def _read(self) -> None:
        assert self._run.stdout is not None
        for line in self._run.stdout:
            self.said.append(line)
            self._lines.put(line)
        self._lines.put(None)


def kind_of(process: psutil.Process) -> str:
    """Return what a process is; empty for one that has just gone."""
    try:
        words = process.cmdline()
        if process.name() == "nats-server":
            return "nats"
        for kind in ("gateway", "control"):
            if kind in words and "--supervised" in words:
                return kind
        if any("forkserver" in word for word in words):
            parent = process.parent()
            forked = parent is not None and any("forkserver" in word for word in parent.cmdline())
            return "worker" if forked else "fork server"
    except psutil.Error:
        return ""
    return "other"
