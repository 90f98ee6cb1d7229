"""Limits of a worker: set by itself before user code runs, watched by the wall while it runs.

Memory is held twice. The wall looks every few milliseconds at what the worker and its descendants
use, and ends the worker when that is over the limit; this names the cause. Between two looks,
RLIMIT_DATA stops a sudden allocation. It counts what is reserved, not what is used, so it lies
higher. Shared memory escapes it and is seen by the look; where a cgroup is delegated
(``firedoor.compute.cgroup``) that bounds everything. Only the standard library is imported here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

LINUX = sys.platform == "linux"
NICE_MAX = 19
_CPUCLOCK_SCHED = 2
"""Of a process's clock, what all its threads have run: see clock_getcpuclockid(3)."""

MEMORY_MIN_BYTES = 96 * 2**20
"""Least memory for a worker.

Measured on Linux x86_64, 2 cores, polars 2.1 and dataframely 3.1: a worker uses 36 MiB after the
fork and 47 MiB at most while a schema, two group-bys, a join, a sort and an IPC round trip run on
10,000 rows; 96 MiB is twice that. A step that imports pandas and pyarrow starts at 69 MiB, one that
also imports scikit-learn at 131 MiB.
"""
DATA_SLACK_BYTES = 256 * 2**20
DATA_SLACK_BYTES_A_CORE = 16 * 2**20
DATA_SLACK_SHARE = 0.5
"""Reserved beyond what is used: allocators keep address space that they have given back.

Measured as the largest RLIMIT_DATA count minus the largest use of memory so far, over seven loads
(polars joins, sorts and group-bys on 1 to 3 million rows, numpy, Python objects, small and large
batches by turns) of 196 to 955 MiB: 150 to 440 MiB, of which 102 MiB before the load began.
"""

_libc = ctypes.CDLL(None)
_OOM_SCORE = 1000
_TICKS_A_S = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36
_TASKS_FREE = 1024
_CPU_GRACE_S = 5
_TASKS_A_PROCESS = 16
_COUNTED = (b"\nRssAnon:", b"\nRssShmem:", b"\nVmSwap:", b"\nHugetlbPages:")
_PROPORTIONAL = (b"\nPss_Anon:", b"\nPss_Shmem:", b"\nSwapPss:")
_ENDED = (b"State:\tZ", b"State:\tX")
_STATUS_BYTES_MAX = 16_384

_OUT_OF_MEMORY = re.compile(
    r"memory allocation of \d+ bytes failed"  # Rust, so polars: aborts
    r"|std::bad_alloc"  # C++, so pyarrow, LightGBM, XGBoost: raises or terminates
    r"|Cannot allocate memory|Can't allocate memory|could not allocate memory"  # ENOMEM and kin
    r"|[Oo]ut of memory|MemoryError|CapacityOverflow|failed to map segment"
    r"|failed to allocate memory|malloc(?:\(\))? failed"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a worker may use."""

    memory_bytes: int
    """Memory of the worker and everything it starts."""
    files_max: int
    """Open files a process may have."""
    processes_max: int
    """Processes, the worker included; watched by the wall, see ``tasks_max``."""
    file_bytes_max: int | None = None
    """Size of one file it writes; by default four times ``memory_bytes``."""
    tasks_max: int | None = None
    """RLIMIT_NPROC, a backstop against a fork bomb; from ``tasks_backstop``. None for none.

    It counts the threads of all processes of the user, not only the worker's, and does not bind
    root at all: a tight number would fail innocent steps when somebody else is busy.
    """
    cpu_s: int | None = None
    """CPU time of a process, all its threads together; at its end comes SIGXCPU. None for none."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a worker and its descendants use."""

    rss_bytes: int
    """Resident or swapped memory that cannot be dropped: anonymous, shared, huge pages.

    Pages of mapped files are not counted: the kernel takes them back when it needs them. Pages a
    worker still shares with the fork server are: about 40 MB.
    """
    processes: int
    """Living processes, the worker included."""


def apply(limits: Limits) -> None:
    """Take on limits, for good. Call it in the worker, before ``seal.apply``."""
    if LINUX:
        # When the machine runs short, the kernel shall take a worker, which can be replaced.
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb") as adjust:  # noqa: PTH123
            adjust.write(b"%d" % _OOM_SCORE)
        # What a step leaves behind stays a descendant of its worker, where it is counted.
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _lower(resource.RLIMIT_DATA, data_limit_bytes(limits.memory_bytes))
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, limits.files_max)
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes_max or 4 * limits.memory_bytes)
    if limits.tasks_max is not None:
        _lower(resource.RLIMIT_NPROC, limits.tasks_max)
    if limits.cpu_s is not None:
        # Softer than hard: a signal that has a name comes first, and one that cannot be caught.
        _lower(resource.RLIMIT_CPU, limits.cpu_s + _CPU_GRACE_S)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (min(limits.cpu_s, hard), hard))


def data_limit_bytes(memory_bytes: int) -> int:
    """Return RLIMIT_DATA for this process: what is reserved and unused now, and slack, on top."""
    cores = len(os.sched_getaffinity(0))
    slack = DATA_SLACK_BYTES + cores * DATA_SLACK_BYTES_A_CORE
    return memory_bytes + _reserved_bytes() + slack + int(DATA_SLACK_SHARE * memory_bytes)


def tasks_backstop(processes_max: int) -> int | None:
    """Return ``tasks_max`` for workers of this user: what runs now, and ample room.

    Looks at every process of the machine, which takes milliseconds: ask once a wall, in the parent.
    None for root, whom RLIMIT_NPROC does not bind, and elsewhere than on Linux.
    """
    user = os.getuid()
    if not LINUX or user == 0:
        return None
    tasks = 0
    for name in os.listdir("/proc"):  # noqa: PTH208 - thousands of entries: plain strings
        if name.isdigit():
            with contextlib.suppress(OSError):
                status = os.stat(f"/proc/{name}/task")  # noqa: PTH116
                tasks += status.st_nlink - 2 if status.st_uid == user else 0
    return tasks + _TASKS_FREE + _TASKS_A_PROCESS * processes_max


def usage(pid: int) -> Usage | None:
    """Return what a worker and all its descendants use, or None when it has ended.

    A lone worker costs one read of its status and one of each thread's children. A page shared
    between a worker and processes it forked is counted for the worker, and in proportion for them.
    """
    if not LINUX:
        return _usage_by_psutil(pid)
    status = _read(f"/proc/{pid}/status")
    if not status or any(state in status for state in _ENDED):
        return None
    total = _sum_kib(_COUNTED, status)
    processes = 1
    for child in descendants(pid):
        status = _read(f"/proc/{child}/status")
        if not status or any(state in status for state in _ENDED):
            continue
        processes += 1
        shares = _read(f"/proc/{child}/smaps_rollup")
        total += _sum_kib(_PROPORTIONAL, shares) if shares else _sum_kib(_COUNTED, status)
    return Usage(total * 1024, processes)


def descendants(pid: int) -> tuple[int, ...]:
    """Return all living and dead processes that a process, or one of those, has started."""
    if not LINUX:
        return tuple(child for child, _ in _children_by_psutil(pid))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        folder = f"/proc/{waiting.pop()}/task"
        try:
            threads = os.listdir(folder)  # noqa: PTH208
        except OSError:
            continue
        for thread in threads:
            children = [int(child) for child in _read(f"{folder}/{thread}/children").split()]
            found += children
            waiting += children
    return tuple(found)


def cpu_times(pid: int) -> tuple[float, float]:
    """Return the CPU seconds of a process, and of all that it has started, dead ones included.

    What ends is counted by the parent that waits for it; a child whose parent ignores its end
    is not. Elsewhere than on Linux nothing is known: 0 and 0.
    """
    if not LINUX:
        return 0.0, 0.0
    own, waited = _ticks(pid)
    others = waited + sum(sum(_ticks(child)) for child in descendants(pid))
    try:  # to the nanosecond; in ticks of 10 ms, what happens within 0.1 s cannot be told
        own_s = time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
    except OSError:
        own_s = own / _TICKS_A_S
    return own_s, others / _TICKS_A_S


def lower_priority(pid: int, nice: int) -> None:
    """Have every thread of a process, and of all that it has started, yield to others.

    ``nice`` is by how much, beside the process that calls this. What they start from then on yields
    as well. On Linux a thread that yields makes way at once for any other that wakes (SCHED_IDLE),
    and where the kernel shares out processors by session (autogroup), the sessions of these
    processes yield too: there the priority of a thread counts only within its session. Elsewhere a
    process has one priority, and it is that which is lowered.
    """
    own, nice = os.getsid(0), min(os.getpriority(os.PRIO_PROCESS, 0) + nice, NICE_MAX)
    for one in (pid, *descendants(pid)):
        with contextlib.suppress(OSError):
            tasks = os.listdir(f"/proc/{one}/task") if LINUX else [str(one)]  # noqa: PTH208
            for task in tasks:
                os.setpriority(os.PRIO_PROCESS, int(task), nice)
                if LINUX:
                    os.sched_setscheduler(int(task), os.SCHED_IDLE, os.sched_param(0))
        with contextlib.suppress(OSError):
            if LINUX and os.getsid(one) != own:
                with open(f"/proc/{one}/autogroup", "wb") as group:  # noqa: PTH123
                    group.write(b"%d" % nice)


def _ticks(pid: int) -> tuple[int, int]:
    """Return the CPU time of a process, and of those of its children that it has waited for."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    user, system, waited_user, waited_system = (int(field) for field in fields[11:15] or [b"0"] * 4)
    return user + system, waited_user + waited_system


def folder_bytes(folder: str) -> int:
    """Return the space that a scratch folder takes. RLIMIT_FSIZE bounds each file, not the sum."""
    total = 0
    waiting = [folder]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def looks_like_memory(stderr_tail: str) -> bool:
    """Return whether the last words of a process that died say that it ran out of memory.

    >>> looks_like_memory("memory allocation of 8589934592 bytes failed")
    True
    """
    return _OUT_OF_MEMORY.search(stderr_tail) is not None


def _lower(kind: int, wanted: int) -> None:
    """Lower a limit, soft and hard; a stricter one stays."""
    _, hard = resource.getrlimit(kind)
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):  # macOS refuses some
        resource.setrlimit(kind, (value, value))


def _reserved_bytes() -> int:
    """Return what RLIMIT_DATA counts for this process already, less what it uses."""
    status = _read("/proc/self/status")
    return max(0, _kib(status, b"\nVmData:") - _kib(status, b"\nRssAnon:")) * 1024


def _sum_kib(names: Sequence[bytes], text: bytes) -> int:
    """Return the sum of some sizes in a status, in KiB."""
    return sum(_kib(text, name) for name in names)


def _kib(text: bytes, name: bytes) -> int:
    """Return a size in a status, in KiB; 0 if it is not there. Cheaper than an expression."""
    start = text.find(name)
    if start < 0:
        return 0
    start += len(name)
    return int(text[start : text.index(b"kB", start)])


def _read(path: str) -> bytes:
    """Return a small file of /proc, empty if it is gone: a third of the cost of ``open``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, _STATUS_BYTES_MAX)
    except OSError:
        return b""  # it ended between the two calls
    finally:
        os.close(fd)


def _usage_by_psutil(pid: int) -> Usage | None:
    """Return what a worker and its descendants use, elsewhere than on Linux."""
    import psutil  # noqa: PLC0415 - never on Linux, where this runs before anything is imported

    try:
        own = psutil.Process(pid)
        if own.status() == psutil.STATUS_ZOMBIE:
            return None
        total = int(own.memory_info().rss)
    except psutil.Error:
        return None
    children = _children_by_psutil(pid)
    return Usage(total + sum(size for _, size in children), 1 + len(children))


def _children_by_psutil(pid: int) -> Sequence[tuple[int, int]]:
    """Return number and resident memory of each descendant."""
    import psutil  # noqa: PLC0415

    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found.append((child.pid, int(child.memory_info().rss)))
    return found
