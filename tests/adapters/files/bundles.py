"""Folders with a model's files, stores to put them into, and processes that are killed at it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from firedoor.adapters.files.artifacts import FileArtifacts
from firedoor.wire.bundle import Manifest

MANIFEST = Manifest(format="files", files=(), run="run-1", created_s=1.7e9)
KILLED = """
import os, signal, sys

left = int(sys.argv[1])

def count(event, arguments):
    global left
    if event in WATCHED:
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

WATCHED = {"open", "os.mkdir", "os.rename", "os.remove", "os.chmod", "os.scandir", "os.link",
           "os.listdir", "os.truncate", "fcntl.flock"}
"""


def make_folder(folder: Path, **files: bytes) -> Path:
    """Write a folder with a model's files, or those given."""
    contents = files or {"model": b"weights" * 1000, "example": b"rows", "notes/readme": b"text"}
    for name, content in contents.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def make_store(folder: Path) -> FileArtifacts:
    """Return a store that is there."""
    store = FileArtifacts(folder)
    store.create()
    return store


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run_killed(set_up: str, work: str, at: int) -> bool:
    """Run code in a process that is killed at its ``at``-th look at the disk; False: it ended.

    The points are counted once ``set_up`` is done, and are the same in every run.
    """
    code = f"{KILLED}\n{set_up}\nsys.addaudithook(count)\n{work}\n"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(at)],
        env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if ended.returncode == -signal.SIGKILL:
        return True
    assert ended.returncode == 0, ended.stderr
    return False
