"""Cages: control groups around workers, where somebody has delegated one to us.

The look at memory that the wall takes every few milliseconds names the cause of a death; a cage
bounds what a burst can do between two looks, and holds shared memory, unmapped files in memory and
fork bombs, which limits of a process do not. So its limit lies above the one that is looked at.

Only a delegated group is used, never one that belongs to somebody else's supervisor:

* the group that ``FIREDOOR_CGROUP`` names (version 1 or 2), for example ``/sys/fs/cgroup/ml``;
* version 2, our own group or the one above it: writable by a user that is not root, marked by
  systemd (``Delegate=yes``, with ``DelegateSubgroup=``), or the root of a container's namespace.

Version 2 forbids processes in a group that has sub-groups with limits, and firedoor does not move
its caller: hence ``DelegateSubgroup=``, or ``FIREDOOR_CGROUP`` naming an empty group.

Nothing here raises where nothing is delegated. Version 1 was exercised on a kernel (6.18); version
2 against the layout of its files only. Sources: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ENV = "FIREDOOR_CGROUP"
HEADROOM_BYTES = 64 * 2**20
HEADROOM_SHARE = 0.25
"""Room between the limit that is looked at and the cage's: a look must see it first."""

_MOUNT = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_NAME = re.compile(r"firedoor-(\d+)-")
_REMOVE_TRIES = 50
_REMOVE_WAIT_MS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """A group in which cages may be made."""

    version: int
    """1 or 2."""
    folder: Path
    """Of the memory controller in version 1."""
    pids_folder: Path | None = None
    """Of the pids controller in version 1, if that is writable too; always None in version 2."""


def find(
    *, mount: Path = _MOUNT, proc: Path = _PROC, environ: Mapping[str, str] | None = None
) -> Delegation | None:
    """Return the delegated group, or None; sweep cages in it whose owners have died.

    Args:
        mount: where control groups are mounted.
        proc: where processes are listed.
        environ: by default that of this process.
    """
    delegation, _ = look(mount=mount, proc=proc, environ=environ)
    if delegation is not None:
        _sweep(delegation, proc)
    return delegation


def look(
    *, mount: Path = _MOUNT, proc: Path = _PROC, environ: Mapping[str, str] | None = None
) -> tuple[Delegation | None, str]:
    """Return the delegated group, or None and why there is none. Removes nothing."""
    named = (os.environ if environ is None else environ).get(ENV)
    if named:
        return _named(Path(named), mount)
    unified = mount if (mount / "cgroup.controllers").exists() else mount / "unified"
    own = _own_group(proc)
    if own is None or "memory" not in _read(unified / "cgroup.controllers").split():
        return None, f"version 2 has no memory controller here, and {ENV} names no group"
    folder = unified / own.lstrip("/")
    is_namespace = own == "/" and (folder / "cgroup.type").exists()
    why = "nobody has delegated a group to this process"
    for candidate in (folder,) if own == "/" else (folder, folder.parent):
        if not _is_delegated(candidate, is_namespace=is_namespace):
            continue
        if _enable(candidate):
            return Delegation(version=2, folder=candidate), ""
        why = f"{candidate} is delegated, but has processes in it besides groups"
    return None, why


class Cage:
    """One group around one worker. Made by ``create``; ``remove`` it when the worker has ended."""

    def __init__(self, version: int, folders: tuple[Path, ...]) -> None:
        """Take charge of folders made by ``create``; the first is that of the memory."""
        self._version = version
        self._folders = folders

    @classmethod
    def create(
        cls, delegation: Delegation, name: str, *, memory_bytes: int, processes_max: int
    ) -> Self | None:
        """Make a cage, or return None where the kernel refuses: it is a further line of defence.

        Args:
            delegation: where.
            name: letters, digits, ``_`` and ``-``; one of its kind in this process.
            memory_bytes: the limit that the wall looks at; the cage's lies above it.
            processes_max: processes; threads count as well, so the cage allows 32 times as many.
        """
        label = f"firedoor-{os.getpid()}-{name}"
        parents = [delegation.folder]
        if delegation.pids_folder is not None:
            parents.append(delegation.pids_folder)
        cage = cls(delegation.version, tuple(parent / label for parent in parents))
        try:
            for folder in cage._folders:
                folder.mkdir(exist_ok=True)
            cage._limit(cage_bytes(memory_bytes), 32 * processes_max)
        except OSError:
            cage.remove()
            return None
        return cage

    def enter(self, pid: int) -> bool:
        """Put a process, and what it starts from now on, into the cage; return whether it is in."""
        try:
            for folder in self._folders:
                _write(folder / "cgroup.procs", str(pid))
        except OSError:
            return False
        return True

    def oom_kills(self) -> int:
        """Return how often the kernel has killed in this cage because its memory was used up."""
        source = "memory.oom_control" if self._version == 1 else "memory.events"
        match = re.search(r"^oom_kill (\d+)", _read(self._folders[0] / source), re.MULTILINE)
        return int(match[1]) if match else 0

    def kill(self) -> None:
        """Kill everything in the cage; in version 1, everything that is there now."""
        kill_all = self._folders[0] / "cgroup.kill"
        if kill_all.exists():
            with contextlib.suppress(OSError):
                _write(kill_all, "1")
            return
        for pid in _read(self._folders[0] / "cgroup.procs").split():
            with contextlib.suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)

    def remove(self) -> bool:
        """Kill what is left in the cage and remove it; return whether it is gone."""
        for _ in range(_REMOVE_TRIES):
            left = [folder for folder in self._folders if not _remove(folder)]
            if not left:
                return True
            self.kill()
            self._await_deaths()
        return False

    def _await_deaths(self) -> None:
        """Wait a moment for each process in the cage to end."""
        for pid in _read(self._folders[0] / "cgroup.procs").split():
            with contextlib.suppress(OSError):
                pidfd = os.pidfd_open(int(pid))
                poller = select.poll()
                poller.register(pidfd, select.POLLIN)
                poller.poll(_REMOVE_WAIT_MS)
                os.close(pidfd)

    def _limit(self, memory_bytes: int, tasks_max: int) -> None:
        """Set the limits. Swap is not extra room: it is allowed as far as it does not add to it."""
        memory = self._folders[0]
        if self._version == 1:
            _write(memory / "memory.limit_in_bytes", str(memory_bytes))
            with contextlib.suppress(OSError):  # a kernel without swap accounting
                _write(memory / "memory.memsw.limit_in_bytes", str(memory_bytes))
        else:
            _write(memory / "memory.max", str(memory_bytes))
            with contextlib.suppress(OSError):
                _write(memory / "memory.swap.max", "0")
            with contextlib.suppress(OSError):  # since Linux 4.19: all die together
                _write(memory / "memory.oom.group", "1")
        if self._version != 1 or len(self._folders) > 1:
            with contextlib.suppress(OSError):  # version 2 may lack the pids controller
                _write(self._folders[-1] / "pids.max", str(tasks_max))


def enclose(
    delegation: Delegation | None, pid: int, *, memory_bytes: int, processes_max: int
) -> Cage | None:
    """Put a worker that waits for its first message into a cage of its own, where one may."""
    if delegation is None:
        return None
    cage = Cage.create(delegation, f"{pid}", memory_bytes=memory_bytes, processes_max=processes_max)
    if cage is None or cage.enter(pid):
        return cage
    cage.remove()
    return None


def cage_bytes(memory_bytes: int) -> int:
    """Return the cage's limit for the limit that the wall looks at."""
    return memory_bytes + max(HEADROOM_BYTES, int(HEADROOM_SHARE * memory_bytes))


def _named(folder: Path, mount: Path) -> tuple[Delegation | None, str]:
    """Return the group that the user names, of either version."""
    if not os.access(folder, os.W_OK):
        return None, f"{ENV}={folder} is not a folder that can be written"
    if (folder / "cgroup.controllers").exists():
        if _enable(folder):
            return Delegation(version=2, folder=folder), ""
        return None, f"{ENV}={folder} has processes in it, or no memory controller"
    if not (folder / "memory.limit_in_bytes").exists():
        return None, f"{ENV}={folder} is not a group of the memory controller"
    pids = None
    with contextlib.suppress(ValueError):
        pids = mount / "pids" / folder.relative_to(mount / "memory")
    usable = pids is not None and os.access(pids, os.W_OK)
    return Delegation(version=1, folder=folder, pids_folder=pids if usable else None), ""


def _own_group(proc: Path) -> str | None:
    """Return the path of our own group in version 2."""
    for line in _read(proc / "self" / "cgroup").splitlines():
        if line.startswith("0::"):
            return line[3:]
    return None


def _is_delegated(folder: Path, *, is_namespace: bool) -> bool:
    """Return whether a group of version 2 is ours to divide."""
    files = (folder, folder / "cgroup.procs", folder / "cgroup.subtree_control")
    if not all(os.access(path, os.W_OK) for path in files):
        return False
    if os.geteuid() != 0 or is_namespace:
        return True
    # Root may write everywhere; that does not make it ours.
    try:
        return os.getxattr(folder, "user.delegate") == b"1"
    except OSError:
        return False


def _enable(folder: Path) -> bool:
    """Switch on limits for sub-groups of a group of version 2; return whether memory is limited."""
    control = folder / "cgroup.subtree_control"
    for controller in ("memory", "pids"):
        if controller not in _read(control).split():
            with contextlib.suppress(OSError):
                _write(control, f"+{controller}")
    return "memory" in _read(control).split()


def _sweep(delegation: Delegation, proc: Path) -> None:
    """Remove cages whose owner is dead. One that still holds a process stays."""
    for folder in _children(delegation):
        match = _NAME.match(folder.name)
        if match and not (proc / match[1]).exists():
            _remove(folder)


def _children(delegation: Delegation) -> Iterator[Path]:
    """Yield the groups within the delegated ones."""
    for parent in (delegation.folder, delegation.pids_folder):
        if parent is not None:
            with contextlib.suppress(OSError):
                yield from [path for path in parent.iterdir() if path.is_dir()]


def _remove(folder: Path) -> bool:
    """Remove one group; return whether it is gone."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _read(path: Path) -> str:
    """Return the text of a control file, empty if it cannot be read."""
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _write(path: Path, text: str) -> None:
    """Write to a control file in one call, as the kernel wants it."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode("ascii"))
    finally:
        os.close(fd)
