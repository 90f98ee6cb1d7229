"""The weather service of the example, as a process that can be killed and can come back."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "examples" / "flights" / "weather_service.py"
END_S = 15.0
PORTS = range(20_000, 32_000)
"""Below those that the kernel gives to whoever asks for any: nobody gets it in the meantime."""


class Weather:
    """A service at one port of its own, which stays its own while the service is away."""

    def __init__(self, file: Path) -> None:
        """Choose a port; nothing listens there yet."""
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self._file = file
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Start it, and return once it listens."""
        process = subprocess.Popen(
            [sys.executable, SERVICE, "--port", str(self._port), "--file", self._file],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._process = process
        assert process.stdout is not None
        assert process.stdout.readline().strip() == self.address
        return self

    def kill(self) -> float:
        """Kill it; return when (UTC)."""
        assert self._process is not None
        self._process.kill()
        self._end()
        return time.time()

    def terminate(self) -> int:
        """Ask it to end; return its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._end()

    def __enter__(self) -> Self:
        """Use it for a block; it need not have been started."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self._process is not None:
            self.kill()

    def _end(self) -> int:
        """Return its exit code once it has gone."""
        process, self._process = self._process, None
        assert process is not None
        assert process.stdout is not None
        with process.stdout:
            return process.wait(timeout=END_S)


def free_port() -> int:
    """Return a port at which nobody listens."""
    first = os.getpid() * 100 % len(PORTS)  # not where other processes begin to look
    port: int
    for port in (*PORTS[first:], *PORTS[:first]):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    message = f"no port of {PORTS} is free"
    raise AssertionError(message)
