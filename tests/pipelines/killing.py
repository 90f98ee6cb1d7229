"""Kill processes of a running pipeline, of every kind, at moments drawn from a seed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psutil

KINDS = ("worker", "fork server", "reader", "runner", "nats", "supervisor")
GONE_S = 15.0
"""What a killed supervisor leaves behind ends by itself within this."""


class Killing:
    """One pipeline's run, with somebody who kills its processes."""

    def __init__(
        self, pipeline: Path, project: Path, *, seed: int, environment: Mapping[str, str]
    ) -> None:
        self._dice = random.Random(seed)
        self._environment = {**os.environ, **environment}
        command = ["-m", "firedoor.cli", "run", str(pipeline), "--project", str(project)]
        self._command = [sys.executable, *command]
        self._log = project / "supervisor.log"
        project.mkdir(parents=True, exist_ok=True)
        self.killed: Counter[str] = Counter()
        self._run = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs."""
        family = self._family()
        self._run.kill()
        self._run.wait(timeout=GONE_S)
        psutil.wait_procs(family, timeout=GONE_S)
        for process in family:
            if process.is_running():
                process.kill()

    def kill(self, kind: str, *, within_s: float) -> bool:
        """Kill one process of a kind after a while; False if the run ended before."""
        try:
            self._run.wait(timeout=self._dice.uniform(0.2, within_s))
        except subprocess.TimeoutExpired:
            pass
        else:
            return False
        if kind == "supervisor":
            self._kill_supervisor()
        else:
            victim = self._await(kind)
            if victim is None:
                return False
            victim.kill()
        self.killed[kind] += 1
        return True

    def finish(self, *, within_s: float) -> int:
        """Return the exit code of the run once it has ended."""
        return self._run.wait(timeout=within_s)

    def told(self) -> str:
        """Return what the supervisor printed."""
        return self._log.read_text(errors="replace")

    def _kill_supervisor(self) -> None:
        """Kill the supervisor, see that nothing survives it, and start another."""
        family = self._family()
        self._run.send_signal(signal.SIGKILL)
        self._run.wait(timeout=GONE_S)
        _, orphans = psutil.wait_procs(family, timeout=GONE_S)
        assert not orphans, f"left behind: {[(p.pid, p.name(), p.cmdline()) for p in orphans]}"
        self._run = self._start()

    def _await(self, kind: str) -> psutil.Process | None:
        """Return a process of a kind as soon as there is one; None if the run ends before."""
        deadline = time.monotonic() + GONE_S
        while time.monotonic() < deadline:
            found = [process for process in self._family() if kind_of(process) == kind]
            if found:
                return self._dice.choice(sorted(found, key=lambda process: process.pid))
            try:
                self._run.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            return None
        message = f"no {kind} within {GONE_S} s:\n{self.told()[-2000:]}"
        raise AssertionError(message)

    def _family(self) -> list[psutil.Process]:
        """Return every process that the supervisor started, and those that they started."""
        try:
            return psutil.Process(self._run.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def kind_of(process: psutil.Process) -> str:
    """Return what a process of a pipeline is; empty for one that has just gone."""
    try:
        words = process.cmdline()
        if process.name() == "nats-server":
            return "nats"
        if "zone" in words and "run" in words:
            return "runner"
        if any("reading" in word for word in words):
            return "reader"
        if any("forkserver" in word for word in words):
            parent = process.parent()
            forked = parent is not None and any("forkserver" in w for w in parent.cmdline())
            return "worker" if forked else "fork server"
    except psutil.Error:
        return ""
    return "other"
