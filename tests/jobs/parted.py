"""A pipeline with a dataset of which a part is sealed, and jobs that try to see it.

Tests copy it to where they run it.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

import firedoor as fd

pipeline = fd.Pipeline("late", owner="ann@example.com")
rows = pipeline.source("rows", fd.jsonl("data/*.jsonl"))
store = pipeline.sink("store", fd.parquet("out/"), reads=rows)
copy = pipeline.sink("copy", fd.parquet("copy/"), reads=rows)

delays = pipeline.dataset(
    "delays",
    reads=store,
    split=fd.ByTime(
        column="at",
        until={"train": datetime(2013, 6, 1, tzinfo=UTC), "test": None},
    ),
    sealed=["test"],
    label="late",
    leakage=fd.LeakPolicy(key=("flight",)),
)
tails = pipeline.dataset(
    "tails", reads=store, split=fd.ByKey(key=("flight",), shares={"one": 0.5, "two": 0.5})
)
PEEK: dict[str, str | int] = {"how": "path", "at": "", "pid": 0, "port": 0}


@pipeline.job(reads=delays)
def counts(run: fd.Run, folder: Path) -> None:
    """Say what it was handed."""
    for part in sorted(folder.iterdir()):
        frame = pl.read_parquet(part / "*.parquet")
        run.log_metric(part.name, frame.height)
        run.log_metric(f"{part.name}_late", frame["late"].sum())
    path = run.scratch / "model"
    path.mkdir()
    (path / "m").write_text("m")
    run.save("late", path)


@pipeline.job(reads=tails)
def halves(run: fd.Run, folder: Path) -> None:
    """Say what it was handed, where nothing is sealed."""
    for part in sorted(folder.iterdir()):
        run.log_metric(part.name, pl.read_parquet(part / "*.parquet").height)


@pipeline.job(reads=store)
def plain(run: fd.Run, folder: Path) -> None:
    """Say what it was handed, of a sink as it is."""
    run.log_metric("rows", pl.read_parquet(folder / "*.parquet").height)
    run.log_metric("files", len(list(folder.iterdir())))


def by_symlink(run: fd.Run, at: Path) -> None:
    """Through a link of its own."""
    link = run.scratch / "link"
    link.symlink_to(at)
    link.read_bytes()


def by_ptrace(pid: int) -> None:
    """By the memory of another process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, pid, None, None) < 0:  # attach
        raise OSError(ctypes.get_errno(), "ptrace")


def by_descriptor(at: Path) -> None:
    """By what it may have been born with."""
    held = [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    if not any(str(at.parent) in one for one in held):
        raise PermissionError


def by_stream(port: int) -> None:
    """By asking the broker, which has the rows as well."""
    asked = socket.create_connection(("127.0.0.1", port), timeout=10)
    asked.recv(4096)
    asked.sendall(b'CONNECT {"verbose":true}\r\nPING\r\n')
    answer = asked.recv(4096)
    if b"Authorization Violation" in answer:
        raise PermissionError(answer.decode())


def peeked(run: fd.Run, folder: Path) -> None:
    """Try to read a file in one of many ways."""
    at, how = Path(str(run.parameters["at"])), run.parameters["how"]
    pid, port = run.parameters["pid"], run.parameters["port"]
    assert isinstance(pid, int)
    assert isinstance(port, int)
    run.log_metric("open", pl.read_parquet(folder / "*" / "*.parquet").height)
    ways: dict[str, Callable[[], object]] = {
        "path": at.read_bytes,
        "symlink": lambda: by_symlink(run, at),
        "hardlink": lambda: os.link(at, run.scratch / "hard"),
        "rename": lambda: at.rename(run.scratch / "moved"),
        "above": Path(f"{folder}/../{os.path.relpath(at, folder.parent)}").read_bytes,
        "own_root": Path(f"/proc/self/root{at}").read_bytes,
        "root": Path(f"/proc/{pid}/root{at}").read_bytes,
        "cwd": lambda: list(Path(f"/proc/{pid}/cwd").iterdir()),
        "fd": lambda: list(Path(f"/proc/{pid}/fd").iterdir()),
        "mem": Path(f"/proc/{pid}/mem").read_bytes,
        "ptrace": lambda: by_ptrace(pid),
        "inherited": lambda: by_descriptor(at),
        "stream": lambda: by_stream(port),
    }
    ways[str(how)]()


@pipeline.job(reads=delays, parameters=PEEK)
def peeks(run: fd.Run, folder: Path) -> None:
    """Try, without any network."""
    peeked(run, folder)


@pipeline.job(reads=tails, parameters=PEEK)
def sees(run: fd.Run, folder: Path) -> None:
    """Try, where nothing is sealed."""
    peeked(run, folder)


@pipeline.job(reads=delays, attempts=2, parameters={"file": ""}, timeout_s=60)
def waits(run: fd.Run, folder: Path) -> None:
    """Say that it has begun, and live until a file is there."""
    run.log_metric("parts", len(list(folder.iterdir())))
    with run.checkpoint("begun") as kept:
        (kept / "n").write_text("n")
    while not Path("go").exists():
        run.heartbeat()
    path = run.scratch / "model"
    path.mkdir()
    (path / "m").write_text("m")
    run.save("void", path)
