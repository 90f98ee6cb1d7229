"""A real tracking server of MLflow, started and ended by tests, and commands that mirror to it."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from typer.testing import CliRunner

from firedoor.cli.main import app

START_S = 90.0
BETWEEN_S = 0.05
COMMAND = [sys.executable, "-m", "firedoor.cli"]
KILLED = """
import os, signal, sys

left = int(sys.argv.pop(1))

def count(event, arguments):
    global left
    if event == "http.client.send":
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
from firedoor.cli.main import main
main()
"""
"""The command line, killed just before it sends for the n-th time."""


class TrackingServer:
    """A server on this machine, which keeps what it has when it is stopped and started again."""

    def __init__(self, folder: Path, *, like: TrackingServer | None = None) -> None:
        """Choose a port; ``like``: begin with its database, which saves seconds."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if like is not None:
            shutil.copy(like.empty, folder / "server.db")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def empty(self) -> Path:
        """Its database when it had been made and held nothing yet."""
        return self._folder / "empty.db"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert self._process is None
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
            "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self._folder / 'server.db'}",
            "--artifacts-destination", str(self._folder / "artifacts"),
        ]  # fmt: skip
        environment = {
            **os.environ,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        wait_for(self._answers, START_S, f"the server, see {self._folder / 'log'}")
        if not self.empty.exists():
            shutil.copy(self._folder / "server.db", self.empty)

    def stop(self) -> None:
        """End it, and all that it started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=30)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()[-3_000:]
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            asked.request("GET", "/health")
            return asked.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            asked.close()


def wait_for(condition: Callable[[], bool], bound_s: float, what: str) -> None:
    """Wait until a condition holds, asking again and again, with a bound."""
    until_s = time.monotonic() + bound_s
    while not condition():
        assert time.monotonic() < until_s, f"waited {bound_s:.0f} s for {what}"
        threading.Event().wait(BETWEEN_S)


def firedoor(project: Path, *words: str, code: int = 0, uri: str = "") -> str:
    """Return what a command prints that is run here: importing MLflow takes two seconds."""
    environment = {"MLFLOW_TRACKING_URI": uri or None}
    with contextlib.chdir(project):
        ended = CliRunner().invoke(app, words, env=environment)
    assert ended.exit_code == code, ended.output + repr(ended.exception)
    return ended.output


def killed(project: Path, *words: str, uri: str, at: int) -> None:
    """Run a command in a process of its own that is killed before it sends for the n-th time."""
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(at), *words], cwd=project, env=environment_of(uri),
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stdout + ended.stderr


def begin(project: Path, words: Sequence[str], uri: str) -> subprocess.Popen[str]:
    """Start a command that goes on."""
    return subprocess.Popen(
        [*COMMAND, *words], cwd=project, env=environment_of(uri), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def environment_of(uri: str) -> dict[str, str]:
    """Return the environment of a command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**kept, "MLFLOW_TRACKING_URI": uri}
