"""One worker process as the wall sees it: post requests, wait for replies, find out how it died.

The thread that waits for a reply is also the one that watches the worker: it polls memory every
20 ms, reads what the step prints, and ends the worker when a limit is passed. So a wall needs no
threads of its own, and an idle one costs nothing.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import select
import shutil
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from firedoor.compute import limits
from firedoor.compute.cgroup import Cage
from firedoor.compute.dying import EXTERNAL, failure_of, signal_name
from firedoor.compute.logs import LogReader
from firedoor.compute.server import ForkServer, ServerGone, Started
from firedoor.compute.worker import BROKEN
from firedoor.errors import shorten
from firedoor.isolation.narrow import Cause, Failure
from firedoor.units import format_bytes, format_seconds
from firedoor.wire.framing import Bytes, Garbled, Inbox, encode
from firedoor.wire.messages import Reply, Request

PIECES_A_CALL = 16
POLL_S = 0.02
LOOK_S = 0.5
"""How often the memory of a worker that never takes long is looked at."""
TRACE_WAIT_S = 0.25
TRACE_QUIET_S = 0.01
TRACE_CHARACTERS_MAX = 65_536
DEATH_WAIT_S = 30.0
GONE_WAIT_S = 1.0

OUT_OF_CPU = "used up its CPU time"


class WorkerDied(Exception):
    """The worker is gone, and this is how."""

    def __init__(self, failure: Failure) -> None:
        """Carry the failure."""
        super().__init__(failure.signature)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a worker may use."""

    memory_bytes: int
    processes_max: int
    cpu_s: float | None = None
    """Of it and what it started, together; None: no such bound."""


class WorkerProcess:
    """A running worker and the four descriptors that lead to it."""

    def __init__(
        self,
        started: Started,
        server: ForkServer,
        *,
        way: str,
        wall: str,
        bounds: Bounds,
        cage: Cage | None,
        hide: Callable[[str], str] = lambda text: text,
    ) -> None:
        """Take over a worker that was just started, and its cage if it has one.

        ``hide`` takes secrets out of what it prints.
        """
        self._cage = cage
        self._oom_kills = 0
        self.pid = started.pid
        self.way = way
        self.alive = True
        self.settled = False
        self.sample: object = None
        """What it is being warmed with."""
        self.peak_bytes = 0
        self._looked = 0.0
        self._looked_cpu_s = 0.0
        self._lock = threading.Lock()
        """Held to signal and to bury: descriptors that are closed may be another worker's next."""
        self._server = server
        self._started = started
        self._bounds = bounds
        self._line = started.line
        self._line.settimeout(0)
        self._log = LogReader(started.log_fd, wall, hide)
        self._inbox = Inbox(payload_bytes_max=max(2**30, 8 * bounds.memory_bytes))
        self._outgoing: deque[memoryview] = deque()
        self._poller = select.poll()
        self._poller.register(self._line, select.POLLIN)
        self._poller.register(started.log_fd, select.POLLIN)
        if started.pidfd is not None:
            self._poller.register(started.pidfd, select.POLLIN)

    def post(self, message: Request, *payload: Bytes) -> None:
        """Queue a request and write as much of it as goes without waiting."""
        self._outgoing.extend(memoryview(part).cast("B") for part in encode(message, *payload))
        self._write()

    def next(self, limit_s: float) -> tuple[Reply, io.BytesIO]:
        """Return the next reply.

        Raises:
            WorkerDied: if the worker dies, or has to be ended because it passed a limit.
        """
        now = time.monotonic()
        deadline, look = now + limit_s, now + POLL_S
        try:
            while True:
                wait_ms = max(0.0, min(deadline, look) - now) * 1000
                reply = self._wait(wait_ms)
                if reply is not None:
                    self._log.drain()  # what was said before the reply comes out before it
                    return reply
                now = time.monotonic()
                if now >= deadline:
                    raise self._end(Cause.HANG, f"exceeded {format_seconds(limit_s)}")
                if now >= look:
                    look = now + POLL_S
                    self._check_usage()
        except (Garbled, BrokenPipeError, ConnectionResetError, EOFError) as error:
            raise self._died(error) from None

    def poll(self, wait_s: float) -> Reply | None:
        """Return what it says, if it says something within so long; its limits are looked at.

        Unlike ``next`` this has no limit of time: who calls it knows several.

        Raises:
            WorkerDied: if the worker dies, or has to be ended because it passed a limit.
        """
        try:
            came = self._wait(wait_s * 1000)
            now = time.monotonic()
            if now - self._looked >= POLL_S:
                self._looked = now
                self._check_usage()
        except (Garbled, BrokenPipeError, ConnectionResetError, EOFError) as error:
            raise self._died(error) from None
        return None if came is None else came[0]

    def condemn(self, cause: Cause, what: str) -> WorkerDied:
        """End the worker, asking it first where it is, and return how it died."""
        return self._end(cause, what)

    @property
    def line(self) -> socket.socket:
        """The socket to it, which does not block: for whoever speaks another protocol over it."""
        return self._line

    @property
    def log(self) -> LogReader:
        """What it prints."""
        return self._log

    @property
    def pidfd(self) -> int | None:
        """Readable once it has ended; None elsewhere than on Linux."""
        return self._started.pidfd

    @property
    def scratch(self) -> str:
        """The folder that it may write to; it is gone once it is buried."""
        return self._started.scratch

    def autopsy(self) -> WorkerDied:
        """Find out how it died, ending it if it only closed its line, and clean up after it."""
        return self._died(EOFError())

    @property
    def last_lines(self) -> str:
        """What it printed last, up to 4,096 characters."""
        return self._log.tail.strip()

    def is_alive(self) -> bool:
        """Return whether the process is still there, without waiting."""
        return self.alive and not self._gone(0)

    def look(self) -> int:
        """Return the most memory it was seen to use, in bytes, looking again if it is time."""
        now = time.monotonic()
        if self.alive and now - self._looked >= LOOK_S:
            self._looked = now
            usage = limits.usage(self.pid)
            self.peak_bytes = max(self.peak_bytes, usage.rss_bytes if usage else 0)
        return self.peak_bytes

    def stop(self) -> None:
        """Kill a worker that another thread is waiting for, and leave the rest to that thread."""
        self._kill(signal.SIGKILL)

    def end(self) -> None:
        """Kill the worker, whatever it does, and clean up after it."""
        if self.alive:
            self._kill(signal.SIGKILL)
            self._bury()

    def _wait(self, wait_ms: float) -> tuple[Reply, io.BytesIO] | None:
        """Wait for something to happen; return a reply if a whole one has come."""
        self._poller.modify(self._line, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
        dead = False
        for fd, event in self._poller.poll(wait_ms):
            if fd == self._started.log_fd:
                if not self._log.drain():
                    self._poller.unregister(fd)
            elif fd == self._started.pidfd:
                dead = True
            else:
                if event & select.POLLOUT:
                    self._write()
                if event & ~select.POLLOUT:
                    reply = self._read()
                    if reply is not None:
                        return reply
        if dead:
            reply = self._read()  # what it wrote before it died still counts
            if reply is None:
                raise EOFError
            return reply
        return None

    def _read(self) -> tuple[Reply, io.BytesIO] | None:
        """Read what is there; return a whole reply, or None when there is no more to read."""
        while True:
            try:
                count = self._line.recv_into(self._inbox.room())
            except BlockingIOError:
                return None
            if count == 0:
                raise EOFError
            reply = self._inbox.took(count)
            if reply is not None:
                return reply

    def _write(self) -> None:
        """Write as much as the socket takes now."""
        while self._outgoing:
            try:
                # One call for all pieces: the worker is woken once, when there is work.
                count = self._line.sendmsg(itertools.islice(self._outgoing, PIECES_A_CALL))
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                # The death is found, and explained, when somebody waits for the reply.
                self._outgoing.clear()
                return
            while count:
                piece = self._outgoing.popleft()
                if count < len(piece):
                    self._outgoing.appendleft(piece[count:])
                count -= min(count, len(piece))

    def _check_usage(self) -> None:
        """End the worker if it and what it started use more than they may."""
        usage = limits.usage(self.pid)
        if usage is None:
            return
        self.peak_bytes = max(self.peak_bytes, usage.rss_bytes)
        if usage.rss_bytes > self._bounds.memory_bytes:
            raise self._end(Cause.MEMORY, f"exceeded {format_bytes(self._bounds.memory_bytes)}")
        if usage.processes > self._bounds.processes_max:
            what = f"exceeded {self._bounds.processes_max} processes"
            raise self._end(Cause.CRASH, what)
        if self._bounds.cpu_s is not None and self._looked >= self._looked_cpu_s + LOOK_S:
            self._looked_cpu_s = self._looked
            own_s, others_s = limits.cpu_times(self.pid)
            # What it uses up by itself it is told by a signal, which names the place better.
            if others_s and own_s + others_s > self._bounds.cpu_s:
                raise self._end(Cause.CRASH, f"{OUT_OF_CPU} together with what it started")

    def _end(self, cause: Cause, what: str) -> WorkerDied:
        """End a worker that passed a limit, asking it first where it is."""
        self._kill(signal.SIGUSR1)
        dump = self._await_trace()
        self._kill(signal.SIGKILL)
        self._bury()
        return _died(cause, what, dump)

    def _died(self, why: Exception) -> WorkerDied:
        """Find out how a worker died by itself."""
        if isinstance(why, Garbled):
            self.end()
            return _died(Cause.CRASH, f"sent garbled data ({why})", "")
        if not self._gone(GONE_WAIT_S):
            self.end()
            return _died(Cause.CRASH, "closed its line to the wall", "")
        dump = self._trace()
        status = self._bury()
        if status == -signal.SIGABRT and limits.looks_like_memory(self._log.tail):
            what = f"ran into its limit of {format_bytes(self._bounds.memory_bytes)}"
            return _died(Cause.MEMORY, what, dump)
        if status == -signal.SIGKILL and self._oom_kills:
            what = f"was killed by the kernel over {format_bytes(self._bounds.memory_bytes)}"
            return _died(Cause.MEMORY, what, dump)
        if status < 0:
            return _died(Cause.CRASH, signal_name(-status), dump, external=-status in EXTERNAL)
        what = f"exited with code {status}"
        if status == BROKEN:  # of firedoor itself: its traceback is the last that was heard
            what += f" ({shorten(self._log.tail.rpartition(chr(10))[2])})"
        return _died(Cause.CRASH, what, dump)

    def _trace(self) -> str:
        """Return what faulthandler has written."""
        try:
            return os.read(self._started.trace_fd, 65_536).decode(errors="replace")
        except BlockingIOError:
            return ""

    def _gone(self, wait_s: float) -> bool:
        """Return whether the process has ended, waiting for it so long; unknown counts as ended."""
        if self._started.pidfd is None:
            return wait_s > 0
        poller = select.poll()
        poller.register(self._started.pidfd, select.POLLIN)
        return bool(poller.poll(wait_s * 1000))

    def _await_trace(self) -> str:
        """Return what faulthandler writes on request, which comes line by line."""
        poller = select.poll()  # select() cannot take descriptors over 1023
        poller.register(self._started.trace_fd, select.POLLIN)
        dump, wait_s = "", TRACE_WAIT_S
        while len(dump) < TRACE_CHARACTERS_MAX and poller.poll(wait_s * 1000):
            piece = self._trace()
            if not piece:
                break
            dump, wait_s = dump + piece, TRACE_QUIET_S
        return dump

    def _kill(self, number: signal.Signals) -> None:
        """Send a signal to the worker, never to another process that took its number."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if not self.alive:
                return
            if self._started.pidfd is not None:
                signal.pidfd_send_signal(self._started.pidfd, number)
            else:
                os.kill(self.pid, number)

    def _bury(self) -> int:
        """Reap the worker and close what led to it. Returns its exit status."""
        with self._lock:
            self.alive = False
        try:
            self._gone(DEATH_WAIT_S)
            status = self._server.reap(self.pid)
        except ServerGone:
            status = -signal.SIGKILL  # the server took its workers along
        if self._cage is not None:
            self._oom_kills = self._cage.oom_kills()
            self._cage.remove()
        self._line.close()
        self._log.close()
        os.close(self._started.trace_fd)
        if self._started.pidfd is not None:
            os.close(self._started.pidfd)
        shutil.rmtree(self._started.scratch, ignore_errors=True)
        return status

    def abandon(self) -> None:
        """Close this copy's descriptors in a forked child: the worker is not ours."""
        self.alive = False
        self._line.close()
        for fd in (self._started.log_fd, self._started.trace_fd, self._started.pidfd):
            if fd is not None:
                os.close(fd)


def _died(cause: Cause, what: str, dump: str, *, external: bool = False) -> WorkerDied:
    """Describe a death: what happened, and the last frames where they are known."""
    return WorkerDied(failure_of(cause, what, dump, external=external))
