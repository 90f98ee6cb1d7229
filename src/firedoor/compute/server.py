"""The wall's side of the fork server: start it once a process, ask it for workers.

Walls of one process that need the same libraries share one server. It is a child with nothing in
its hands but one socket; should it die, its workers die with it, and the next request starts
another.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firedoor.compute import seal
from firedoor.compute.forkserver import DATAGRAM_BYTES_MAX, LINUX
from firedoor.errors import WorkersUnavailable

LINE_BYTES = 4 * 2**20
"""Asked for; the kernel gives at most net.core.wmem_max."""
REQUEST_TIMEOUT_S = 30.0
START_TIMEOUT_S = 120.0


_THREADS = (
    *("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("NUMEXPR_MAX_THREADS", "RAYON_NUM_THREADS"),
)


class ServerGone(Exception):
    """The fork server has ended."""


@dataclass(frozen=True, slots=True)
class Started:
    """A worker just started: descriptors are the caller's to close."""

    pid: int
    pidfd: int | None
    line: socket.socket
    log_fd: int
    trace_fd: int
    scratch: str


class ForkServer:
    """One fork server process."""

    def __init__(self, preload: Sequence[str], threads: int | None = None) -> None:
        """Start the server; it imports ``preload`` while the caller goes on.

        ``threads``: of the pools that libraries size when they are imported; None: as they will.
        """
        try:
            self._scratch = tempfile.mkdtemp(prefix="firedoor-")
        except OSError as error:
            message = f"no scratch folder can be made: {error}; {_remedy(error)}"
            raise WorkersUnavailable(message) from error
        kind = socket.SOCK_SEQPACKET if LINUX else socket.SOCK_STREAM
        self._control, theirs = socket.socketpair(socket.AF_UNIX, kind)
        self._lock = threading.Lock()
        self._ready = False
        self._count = 0
        self.failed_preloads: dict[str, str] = {}
        path = [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109 - a plain string
        code = (
            f"import sys; sys.path[:] = {path!r}; from firedoor.compute.forkserver import main; "
            f"main({theirs.fileno()}, {list(preload)!r}, {self._scratch!r})"
        )
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env=seal.scrub_environment(dict(os.environ), ()) | threads_environment(threads),
        )
        theirs.close()

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    def start_worker(self, way: str, sys_path: Sequence[str], scratch: str = "") -> Started:
        """Start a worker by ``fork`` or ``spawn``.

        Args:
            way: one of the two.
            sys_path: for one that is spawned.
            scratch: a folder of its own that is there; empty: one is made.

        Raises:
            ServerGone: if the server has died.
        """
        line, theirs = socket.socketpair()
        for end in (line, theirs):  # room for a batch: each time it is full costs a switch
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LINE_BYTES)
        log_read, log_write = os.pipe()
        trace_read, trace_write = os.pipe()
        handed = (theirs.fileno(), log_write, trace_write)
        try:
            request: dict[str, object] = {"op": way, "sys_path": list(sys_path)}
            with self._lock:
                self._count += 1
                if not scratch:
                    scratch = str(Path(self._scratch) / str(self._count))
                    Path(scratch).mkdir(mode=0o700)
                answer, fds = self._ask(request, handed)
        except BaseException as error:
            line.close()
            os.close(log_read)
            os.close(trace_read)
            if isinstance(error, OSError):
                message = f"no worker can be started: {error}; {_remedy(error)}"
                raise WorkersUnavailable(message) from error
            raise
        finally:
            theirs.close()
            os.close(log_write)
            os.close(trace_write)
        os.set_blocking(trace_read, False)
        pid = answer["pid"]
        return Started(pid, fds[0] if fds else None, line, log_read, trace_read, scratch)

    def reap(self, pid: int) -> int:
        """Return the exit status of a worker that has died or is dying, negative for a signal.

        Raises:
            ServerGone: if the server has died, and the worker with it.
        """
        with self._lock:
            answer, _ = self._ask({"op": "reap", "pid": pid}, ())
        return answer["status"]

    def close(self) -> None:
        """End the server and every worker; returns when they are gone."""
        with contextlib.suppress(OSError):
            # Another thread may be waiting for an answer: closing alone would not wake it.
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def abandon(self) -> None:
        """Let go of the server in a forked copy of its parent: it is not ours."""
        self._control.close()
        self._process.returncode = 0  # nor our child: nothing to wait for, or to warn about

    def _ask(
        self, request: dict[str, object], fds: Sequence[int]
    ) -> tuple[dict[str, int], list[int]]:
        """Send one request and return its answer. The caller holds the lock."""
        try:
            if not self._ready:
                self._control.settimeout(START_TIMEOUT_S)
                hello = json.loads(self._control.recv(DATAGRAM_BYTES_MAX) or b"null")
                if hello is None:
                    raise ServerGone
                self.failed_preloads = hello["failed"]
                self._control.settimeout(REQUEST_TIMEOUT_S)
                self._ready = True
            data = json.dumps(request).encode()
            if fds:
                socket.send_fds(self._control, [data], list(fds))
            else:
                self._control.send(data)
            answer, received, _, _ = socket.recv_fds(self._control, DATAGRAM_BYTES_MAX, 1)
        except (ConnectionError, TimeoutError) as error:
            raise ServerGone from error
        except OSError as error:
            if self._control.fileno() >= 0:
                raise
            raise ServerGone from error  # closed, by whoever noticed first that it had died
        if not answer:
            raise ServerGone
        return json.loads(answer), received


def threads_environment(threads: int | None) -> dict[str, str]:
    """Return the variables by which libraries size their pools of threads; none for None."""
    return {} if threads is None else dict.fromkeys(_THREADS, str(threads))


def _remedy(error: OSError) -> str:
    """Return what to do about an error while starting a process."""
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return "close files, or raise the limit of open files (ulimit -n)"
    if error.errno in {errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS}:
        return "the machine or this user is at its limit of processes or memory: free some"
    return "free space for temporary files, or point TMPDIR to a folder that can be written"


_Kind = tuple[tuple[str, ...], int | None]
"""Libraries, and threads."""


class _Shared:
    """The servers of this process, by the libraries they have imported, with their users."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.servers: dict[_Kind, tuple[ForkServer, int]] = {}


_shared = _Shared()


def borrow(preload: tuple[str, ...], threads: int | None = None) -> ForkServer:
    """Return the server with these libraries, starting it if nobody has."""
    with _shared.lock:
        server, users = _shared.servers.get((preload, threads)) or (ForkServer(preload, threads), 0)
        _shared.servers[preload, threads] = (server, users + 1)
        return server


def give_back(preload: tuple[str, ...], threads: int | None = None) -> None:
    """Say that one user is done; the last one ends the server, which may be one renewed since."""
    with _shared.lock:
        server, users = _shared.servers.pop((preload, threads), (None, 0))
        if server is not None and users > 1:
            _shared.servers[preload, threads] = (server, users - 1)
            return
    if server is not None:
        server.close()


def renew(preload: tuple[str, ...], dead: ForkServer, threads: int | None = None) -> ForkServer:
    """Return a living server in place of ``dead``; whoever notices first starts it."""
    with _shared.lock:
        current, users = _shared.servers.get((preload, threads), (dead, 1))
        if current is dead:
            dead.close()
            current = ForkServer(preload, threads)
            _shared.servers[preload, threads] = (current, users)
        return current


def _forget_in_child() -> None:
    """Drop the parent's servers in a forked copy, so that they still see the parent end."""
    for server, _ in _shared.servers.values():
        server.abandon()
    _shared.__init__()  # type: ignore[misc] # the lock may be held by a thread that is not here


os.register_at_fork(after_in_child=_forget_in_child)
