"""Where a run comes from: its code, what it reads, the libraries and the machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

from firedoor.spec.plan import JobPlan
from firedoor.wire.dataset import SnapshotRecord
from firedoor.wire.run import Code, Input, Machine

GIT_S = 20.0
DIFF_BYTES_MAX = 256 * 2**20
LIBRARIES = (
    "firedoor", "polars", "dataframely", "numpy", "scipy", "pandas", "pyarrow", "scikit-learn",
    "lightgbm", "xgboost", "catboost", "torch", "onnx", "onnxruntime", "skops", "transformers",
)  # fmt: skip


def code_of(job: JobPlan, file: str) -> Code:
    """Return which code is about to run; of git what it says within a while."""
    folder = Path(file).parent
    commit = _git(folder, "rev-parse", "HEAD").decode(errors="replace").strip()
    diff = _git(folder, "diff", "--binary", "HEAD") if commit else b""
    digest = hashlib.sha256(diff).hexdigest() if diff else ""
    return Code(version=job.version, commit=commit[:64], diff=digest)


def input_of(snapshot: SnapshotRecord, folder: Path) -> Input:
    """Return what a job is about to read: the open part of a snapshot."""
    files = [file for part in snapshot.parts if not part.sealed for file in part.files]
    return Input(
        dataset=snapshot.name,
        digest=snapshot.digest,
        sink=snapshot.sink,
        folder=str(folder / "open"),
        files=len(files),
        bytes=sum(file.bytes for file in files),
        rows=snapshot.rows,
        parts={part.name: part.rows for part in snapshot.parts},
        sealed=snapshot.sealed,
    )


def libraries() -> dict[str, str]:
    """Return the version of Python and of each library that matters and is installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> Machine:
    """Return where this runs."""
    return Machine(
        host=platform.node(),
        platform=platform.platform(),
        cpus=os.cpu_count() or 0,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


def _git(folder: Path, *arguments: str) -> bytes:
    """Return what git says about a folder; nothing if it is none of git's, or takes too long."""
    git = shutil.which("git")
    if git is None:
        return b""
    try:
        ended = subprocess.run(  # noqa: S603 - a fixed program with fixed arguments
            [git, "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return ended.stdout[:DIFF_BYTES_MAX] if ended.returncode == 0 else b""
