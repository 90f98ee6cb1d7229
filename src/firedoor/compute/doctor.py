"""Examine this machine: what of the wall is in force here, what is weaker, and what to do.

What exists on POSIX systems only is imported where it is used, so that this much works on Windows.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import polars as pl

from firedoor.errors import FiredoorError
from firedoor.units import format_bytes, format_seconds

Verdict = Literal["ok", "weaker", "missing"]

PACKAGES = ("firedoor", "polars", "dataframely")
TRIAL_ROWS = 100
TRIAL_POISON = 41
TRIAL_MEMORY = "512MiB"
SCRATCH_MIN_BYTES = 1024**3
FILES_MIN = 1024
_LINUX = (
    "use Linux 6.12 or later with landlock among the kernel's lsm= modules; a container must let "
    "its system calls pass"
)
_MAC = "macOS has no Landlock: run what must be sealed on Linux"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    verdict: Verdict
    """``missing`` makes walls unusable only together with ``fatal``."""
    found: str
    remedy: str = ""
    """What to do about it; empty when there is nothing to do."""
    fatal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that was looked at."""

    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether walls work on this machine, however weak."""
        return not any(finding.fatal for finding in self.findings)


def diagnose() -> Diagnosis:
    """Look at everything; this starts a wall and lets a row kill its worker, within seconds."""
    findings = [*_software()]
    if os.name == "posix":
        findings += [*_seal(), *_machine(), *_trial()]
    return Diagnosis(findings=tuple(findings))


def version_of(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _software() -> Iterator[Finding]:
    """Look at Python, the platform and the libraries."""
    found = f"{platform.python_implementation()} {platform.python_version()}"
    yield Finding(topic="Python", verdict="ok", found=found)
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if sys.platform == "linux":
        yield Finding(topic="platform", verdict="ok", found=system)
    elif sys.platform == "darwin":
        remedy = "workers are spawned and watched, not sealed: use Linux in production"
        yield Finding(topic="platform", verdict="weaker", found=system, remedy=remedy)
    else:
        remedy = "walls need POSIX processes: run firedoor on Linux, macOS, or in WSL"
        yield Finding(topic="platform", verdict="missing", found=system, remedy=remedy, fatal=True)
    for name in PACKAGES:
        version = version_of(name)
        yield Finding(
            topic=name,
            verdict="ok" if version else "weaker",
            found=version or "not installed as a package",
            remedy="" if version else f"install it by: pip install {name}",
        )


def _seal() -> Iterator[Finding]:
    """Look at what the kernel offers for sealing workers."""
    from firedoor.compute import landlock, seal  # noqa: PLC0415

    abi = seal.supported()
    if abi == 0:
        remedy = _LINUX if landlock.LINUX else _MAC
        found = "not in this kernel: workers are not sealed (advisory)"
        yield Finding(topic="Landlock", verdict="missing", found=found, remedy=remedy)
        return
    gives = ["files"]
    since = (("truncation", landlock.ABI_TRUNCATE), ("TCP", landlock.ABI_NETWORK))
    both = (*since, ("signals and abstract sockets", landlock.ABI_SCOPES))
    gives += [name for name, version in both if abi >= version]
    lacks = [name for name, version in both if abi < version]
    yield Finding(
        topic="Landlock",
        verdict="weaker" if lacks else "ok",
        found=f"version {abi}: {', '.join(gives)}",
        remedy=f"for {', '.join(lacks)}, use Linux 6.12 or later" if lacks else "",
    )


def _machine() -> Iterator[Finding]:
    """Look at control groups, folders and limits."""
    import resource  # noqa: PLC0415

    from firedoor.compute import cgroup, limits  # noqa: PLC0415

    delegation, why = cgroup.look()
    if delegation is None:
        yield Finding(
            topic="cgroup",
            verdict="weaker",
            found=f"none delegated: {why}",
            remedy="memory is watched, and limited by process; to bound bursts as well, set "
            f"{cgroup.ENV} to an empty group, or use systemd with Delegate=yes, DelegateSubgroup=",
        )
    else:
        found = f"version {delegation.version}, {delegation.folder}"
        yield Finding(topic="cgroup", verdict="ok", found=found)
    yield _space("scratch", tempfile.gettempdir(), "point TMPDIR to a folder with room")
    if sys.platform == "linux":
        yield _space("/dev/shm", "/dev/shm", "mount it; containers: --shm-size")  # noqa: S108
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = files == resource.RLIM_INFINITY or files >= FILES_MIN
    yield Finding(
        topic="open files",
        verdict="ok" if enough else "weaker",
        found="unlimited" if files == resource.RLIM_INFINITY else f"{files:,} a process",
        remedy="" if enough else f"raise it: ulimit -n {FILES_MIN}",
    )
    least = format_bytes(limits.MEMORY_MIN_BYTES)
    yield Finding(topic="memory", verdict="ok", found=f"a worker needs at least {least}")


def _space(topic: str, folder: str, remedy: str) -> Finding:
    """Look at whether a folder can be written, and how much room there is."""
    try:
        free = shutil.disk_usage(folder).free
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        fatal = topic == "scratch"
        why = f"{folder} cannot be used: {error}"
        return Finding(topic=topic, verdict="missing", found=why, remedy=remedy, fatal=fatal)
    enough = free >= SCRATCH_MIN_BYTES or topic != "scratch"
    return Finding(
        topic=topic,
        verdict="ok" if enough else "weaker",
        found=f"{folder}, {format_bytes(free)} free",
        remedy="" if enough else remedy,
    )


def poison(frame: pl.DataFrame) -> pl.DataFrame:
    """End the process if a certain row is there: the step of the trial."""
    if (frame["row"] == TRIAL_POISON).any():
        os._exit(1)
    return frame


def _trial() -> Iterator[Finding]:
    """Put up a wall and let a row kill its worker."""
    from firedoor.compute.wall import Wall  # noqa: PLC0415 - what is above works without polars

    frame = pl.DataFrame({"row": range(TRIAL_ROWS)})
    try:
        with Wall(poison, memory=TRIAL_MEMORY, name="doctor") as wall:
            good, dead = wall(frame)
            report = wall.report()
    except FiredoorError as error:
        found = f"{type(error).__name__}: {error}"
        remedy = "no wall can be put up here: mend what the message says"
        yield Finding(topic="trial", verdict="missing", found=found, remedy=remedy, fatal=True)
        return
    held = len(good) == TRIAL_ROWS - 1 and len(dead) == 1
    counts = f"{len(good)} of {TRIAL_ROWS - 1} good rows, {len(dead)} dead"
    yield Finding(
        topic="trial",
        verdict="ok" if held else "missing",
        found=f"a row killed its worker: {counts}",
        remedy="" if held else "report this as a defect, with this text",
        fatal=not held,
    )
    replaced = report.replace_median_s
    took = f", a worker is replaced in {format_seconds(replaced)}" if replaced is not None else ""
    yield Finding(
        topic="workers",
        verdict="ok" if report.way == "fork" else "weaker",
        found=f"started by {report.way}{took}",
        remedy="" if report.way == "fork" else "a spawned worker takes a second, not milliseconds",
    )
    missing = "; ".join(f"{what}: {why}" for what, why in report.seal_missing)
    yield Finding(
        topic="seal",
        verdict="ok" if report.seal_level == "full" else "weaker",
        found=f"{report.seal_level}: {', '.join(report.seal_what) or 'nothing'}",
        remedy=f"not in force: {missing}" if missing else "",
    )
