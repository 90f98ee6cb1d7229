"""The fork server: a small warm process from which workers are forked in milliseconds.

It imports libraries only, never the user's module: forking after a thread pool has run deadlocks
the child. It has one thread of its own, so the death signal that its workers ask for follows *it*
and not some thread of the caller's. It is the reaper of everything its workers leave behind, and it
ends, with all of them, when the socket to its parent closes: there is no way to orphan it.

Protocol, one datagram each way, descriptors beside it:

    {"op": "fork" | "spawn"} + [socket, log, trace]  ->  {"pid": 123} + [pidfd]
    {"op": "reap", "pid": 123}                       ->  {"status": -11}
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
DATAGRAM_BYTES_MAX = 65_536
LINUX = sys.platform == "linux"


def main(control_fd: int, preload: Sequence[str], scratch: str) -> None:
    """Serve until the parent goes away, then end every worker and remove their scratch folder."""
    control = socket.socket(fileno=control_fd)
    os.setsid()
    if LINUX:
        prctl(PR_SET_CHILD_SUBREAPER, 1)
    failed = _import(preload)
    gc.collect()
    gc.freeze()  # what is imported stays shared with the workers
    control.send(json.dumps({"ready": True, "failed": failed}).encode())
    server = _Server(control)
    try:
        server.serve()
    finally:
        server.end_all()
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(0)


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process; a refusal is a programming error."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _import(preload: Sequence[str]) -> dict[str, str]:
    """Import what can be imported; return what cannot, and why."""
    failed = {}
    for name in preload:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - a library may raise anything while importing
            failed[name] = f"{type(error).__name__}: {error}"[:500]
    return failed


class _Server:
    """The children, the exit status of those that ended, and the loop."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._workers: set[int] = set()
        self._ended: dict[int, int] = {}

    def serve(self) -> None:
        """Answer requests until the other end closes."""
        while True:
            # Orphans that outlive their worker become our children: look for them now and then.
            readable, _, _ = select.select([self._control], [], [], 1.0)
            self._collect()
            if not readable:
                continue
            data, fds, _, _ = socket.recv_fds(self._control, DATAGRAM_BYTES_MAX, 3)
            if not data:
                return
            request = json.loads(data)
            if request["op"] == "reap":
                self._reap(request["pid"])
            else:
                self._start(fds, spawned=request["op"] == "spawn", path=request["sys_path"])

    def end_all(self) -> None:
        """Kill every worker and whatever they started."""
        for pid in tuple(self._workers):
            _kill(pid)
        for pid in tuple(self._workers):
            self._wait(pid)
        self._sweep()

    def _start(self, fds: list[int], *, spawned: bool, path: list[str]) -> None:
        """Fork a worker, tell its number, and hand over a descriptor for it."""
        with warnings.catch_warnings():
            # Libraries have threads that sleep; that this is sound is what the trial proves.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            _become_worker(fds, spawned=spawned, path=path)
        self._workers.add(pid)
        for fd in fds:
            os.close(fd)
        message = json.dumps({"pid": pid}).encode()
        if not LINUX:
            self._control.send(message)
            return
        pidfd = os.pidfd_open(pid)
        socket.send_fds(self._control, [message], [pidfd])
        os.close(pidfd)

    def _reap(self, pid: int) -> None:
        """Wait for a worker that is dead or dying, clean up after it, tell how it ended."""
        self._wait(pid)
        status = self._ended.pop(pid, 0)
        self._sweep()
        self._control.send(json.dumps({"pid": pid, "status": status}).encode())

    def _wait(self, pid: int) -> None:
        """Wait for one worker."""
        if pid not in self._workers:
            return
        _, status = os.waitpid(pid, 0)
        self._workers.discard(pid)
        self._ended[pid] = os.waitstatus_to_exitcode(status)

    def _collect(self) -> None:
        """Reap whatever has ended by itself."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._workers:
                self._workers.discard(pid)
                self._ended[pid] = os.waitstatus_to_exitcode(status)
                self._sweep()

    def _sweep(self) -> None:
        """Kill the orphans that dead workers left to us, and theirs, which come in turn."""
        for _ in range(100):
            orphans = [pid for pid in children() if pid not in self._workers]
            if not orphans:
                return
            for pid in orphans:
                _kill(pid)
            for pid in orphans:
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    continue


def children() -> list[int]:
    """Return the process ids of this process's children (Linux; elsewhere none are adopted)."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    try:
        return [int(pid) for pid in path.read_text().split()]
    except OSError:
        return []


def _kill(pid: int) -> None:
    """Kill a process that may have gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _become_worker(fds: list[int], *, spawned: bool, path: list[str]) -> None:
    """Turn this fresh child into a worker. Never returns."""
    try:
        server = os.getppid()
        os.setsid()
        if LINUX:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != server:
                os._exit(1)  # the server died before the request was in force
        _keep_only(fds)
        if spawned:
            code = "from firedoor.compute.worker import main; main(forked=False)"
            where = f"import sys; sys.path[:] = {path!r}; "
            os.execv(sys.executable, [sys.executable, "-c", where + code])  # noqa: S606 - no shell
        from firedoor.compute.worker import main as work  # noqa: PLC0415 - imported already

        work(forked=True)
    finally:
        os._exit(1)


def _keep_only(fds: list[int]) -> None:
    """Make log the output, put the socket on 3 and the trace on 4, and close everything else."""
    line, log, trace = (_high(fd) for fd in fds)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2), (line, 3), (trace, 4)):
        os.dup2(source, target, inheritable=True)
    os.closerange(5, 2**16)


def _high(fd: int) -> int:
    """Return a duplicate above the numbers that are about to be taken."""
    import fcntl  # noqa: PLC0415 - POSIX only, as this function is

    return fcntl.fcntl(fd, fcntl.F_DUPFD, 64)
