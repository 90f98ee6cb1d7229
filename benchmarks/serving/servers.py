"""Programs that answer, started and ended, and the processor time that they take."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO

import psutil

import firedoor as fd
from benchmarks.serving.scoring import FEATURES, Row

ROOT = Path(__file__).parents[2]
MODEL = "bench"
SERVICE = ROOT / "benchmarks" / "serving" / "service.py"
START_S = 90.0
LOOK_S = 0.1
END_S = 15.0


def rows_of(folder: Path) -> tuple[list[Row], dict[str, list[float]]]:
    """Return rows, and what each model says of them."""
    told = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    return [dict(zip(FEATURES, row, strict=True)) for row in told.pop("rows")], told


def plain(rows: Sequence[Row]) -> object:
    """Return the body of a request as most take it."""
    return rows[0] if len(rows) == 1 else list(rows)


def tensor(rows: Sequence[Row]) -> object:
    """Return the body of a request of the Open Inference Protocol."""
    data = [list(row.values()) for row in rows]
    return {"inputs": [{"name": "x", "shape": [len(rows), 20], "datatype": "FP64", "data": data}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One kind of server."""

    name: str
    module: str
    """Below ``benchmarks.serving.peers``; empty: firedoor."""
    path: str = "/predict"
    body: Callable[[Sequence[Row]], object] = plain
    isolates: bool = False
    """Whether the model is in a process of its own."""
    needs: str = ""
    """Package without which it is left out."""

    @property
    def key(self) -> str:
        """Its name in a word: ``--only`` takes it, and files are named by it."""
        return self.name.split()[0].split("+")[0]


WAYS = (
    Way(name="floor", module="floor"),
    Way(name="firedoor", module="", isolates=True),
    Way(name="FastAPI+uvicorn", module="fastapi_app"),
    Way(name="LitServe", module="litserve_app", isolates=True),
    Way(
        name="MLServer", module="mlserver_app", path="/v2/models/predict/infer", body=tensor,
        isolates=True,
    ),
    Way(
        name="BentoML gate+1", module="bento_app", body=lambda rows: {"rows": list(rows)},
        isolates=True,
    ),
    Way(name="mosec", module="mosec_app", path="/inference", isolates=True),
    Way(name="Ray Serve gate+1", module="ray_app", isolates=True, needs="ray"),
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Server:
    """One that runs."""

    way: Way
    port: int
    process: subprocess.Popen[bytes]

    def cpu_s(self) -> float:
        """Return the processor time that it and all that it started have taken."""
        return sum(user_s + system_s for user_s, system_s in self.cpu_of().values())

    def cpu_of(self) -> dict[str, tuple[float, float]]:
        """Return user and system time by kind of process: ``gateway``, ``worker``, ``rest``."""
        found: dict[str, tuple[float, float]] = {}
        workers: set[int] = set()
        for process in (psutil.Process(self.process.pid), *self.family()):
            with contextlib.suppress(psutil.NoSuchProcess):
                kind = "worker" if process.pid in workers else "rest"
                if "gateway" in process.cmdline() and kind == "rest":
                    kind = "gateway"
                    workers |= {child.pid for child in process.children(recursive=True)}
                times = process.cpu_times()
                user_s, system_s = found.get(kind, (0.0, 0.0))
                found[kind] = (user_s + times.user, system_s + times.system)
        return found

    def family(self) -> list[psutil.Process]:
        """Return what it started, and what that started."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def memory_mib(self) -> float:
        """Return the memory of all of it, what is shared counted once (PSS)."""
        total = 0
        for process in (psutil.Process(self.process.pid), *self.family()):
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
        return total / 2**20


def prepare_project(folder: Path, models: Path, names: Sequence[str] = ("stable",)) -> fd.Models:
    """Register a version of each name, the last of them champion, and return the registry."""
    registry = fd.Models(folder, by="benchmark")
    for number, name in enumerate(names, 1):
        register(registry, folder / f"bundle-{number}", models / f"{name}.txt", number)
        promote(registry, number)
    return registry


def register(registry: fd.Models, made: Path, model: Path, number: int) -> None:
    """Add a version."""
    made.mkdir(parents=True)
    shutil.copy(model, made / "model.txt")
    (made / "number").write_text(str(number), encoding="utf-8")
    registry.add(
        MODEL, made, loader="benchmarks.serving.service:load",
        inputs=dict.fromkeys(FEATURES, "Float64"), outputs={"chance": "Float64"},
        environment={name: version(name) for name in ("lightgbm", "numpy")},
    )  # fmt: skip


def promote(registry: fd.Models, number: int) -> None:
    """Have a version be champion, whatever it was compared with."""
    name = f"{MODEL}@{number}"
    registry.qualify(name, verdict="promote", because="measured", against=None)
    registry.promote(name, because="measured", anyway=True)


@contextlib.contextmanager
def started(way: Way, models: Path, project: Path, log: IO[bytes], **env: str) -> Iterator[Server]:
    """Run a server until it is left, and wait until it answers.

    Raises:
        TimeoutError: if it does not.
    """
    port = free_port()
    python = [sys.executable, "-m"]
    if way.module:
        command = [*python, f"benchmarks.serving.peers.{way.module}", str(port), str(models)]
    else:
        if not (project / ".firedoor").exists():
            prepare_project(project, models)
        command = [
            *python, "firedoor.cli", "serve", str(SERVICE), "--port", str(port),
            "--project", str(project),
        ]  # fmt: skip
    environ = {**environment(), "OMP_NUM_THREADS": "1", **env}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=log, stderr=log, start_new_session=True
    )
    server = Server(way=way, port=port, process=process)
    try:
        wait_until_it_answers(server, models)
        yield server
    finally:
        for end in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, end)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
                break


def environment() -> dict[str, str]:
    """Return this program's variables, with which another one finds what this one does."""
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def wait_until_it_answers(server: Server, models: Path) -> None:
    """Wait for the first prediction.

    Raises:
        TimeoutError: if there is none.
    """
    body = json.dumps(server.way.body(rows_of(models)[0][:1]))
    request = post(server.way.path, body, close=True)
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        if server.process.poll() is not None:
            message = f"{server.way.name} ended with {server.process.returncode}"
            raise TimeoutError(message)
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", server.port), 5) as line,
        ):
            line.sendall(request)
            if line.recv(16).split(b" ")[1:2] == [b"200"]:
                return
        time.sleep(LOOK_S)
    message = f"{server.way.name} did not answer within {START_S:.0f} s"
    raise TimeoutError(message)


def post(path: str, body: str, *, close: bool = False, lines: str = "") -> bytes:
    """Return a request of HTTP."""
    data = body.encode()
    ends = "Connection: close\r\n" if close else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{ends}{lines}"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def free_port() -> int:
    """Return a port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def pause(seconds: float) -> None:
    """Let others work for so long."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, done.set)
    await done.wait()


async def until(true: Callable[[], bool], wait_s: float) -> bool:
    """Wait until something holds, or for so long; return whether it does."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while not true():
                await pause(LOOK_S)
    return true()
