"""One worker that is ready, as the event loop of a gateway sees it.

It is written to, read and watched without ever waiting. What takes time (to find out how it died)
happens in a thread.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from firedoor.compute import limits
from firedoor.compute.burning import END, YIELD, Burning
from firedoor.compute.calls import Call
from firedoor.compute.launch import Launched
from firedoor.compute.serving_line import read_progress
from firedoor.isolation.narrow import Cause, Failure
from firedoor.spec.service_plan import ServiceLimits
from firedoor.units import format_bytes, format_seconds
from firedoor.wire.serving import FRAME_BYTES_MAX, TELL, Outcome, Told, decode_tolds, encode_ask
from firedoor.wire.serving_frames import Frames

OUTGOING_BYTES_MAX = FRAME_BYTES_MAX
IDLE_LOOK_S = 0.5
"""How often one that has nothing to do is looked at: a look costs 0.1 ms."""
STEP_S = 0.2
"""Longest time between two looks that counts: a gateway that slept says nothing of its worker."""
READS_MAX = 10_000
"""Of what a dead worker has left in its socket."""


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker ended."""

    cause: str
    """``hang``, ``memory``, ``cpu``, ``processes``, ``garbage``, ``SIGSEGV``, ``exit 3`` ..."""
    failure: Failure
    last_lines: str = ""

    @property
    def external(self) -> bool:
        """Whether somebody outside ended it: it blames nobody."""
        return self.failure.external

    @property
    def told(self) -> str:
        """How it died, with what it said last."""
        last = self.last_lines.rpartition("\n")[2]
        return f"{self.failure.message}{f' (it said last: {last})' if last else ''}"


class Watcher(Protocol):
    """Who is told what becomes of a worker."""

    def answered(self, replica: Replica, count: int) -> None:
        """It has answered so many requests, so it has room."""

    def lost(self, replica: Replica, innocent: list[Call], suspects: list[Call]) -> None:
        """It is gone, or as good as; what it had not begun is innocent."""

    def buried(self, replica: Replica, death: Death) -> None:
        """It is known how it died."""


class Replica:
    """A worker, and the requests that it holds."""

    def __init__(
        self,
        launched: Launched,
        told: ServiceLimits,
        watcher: Watcher,
        *,
        loop: asyncio.AbstractEventLoop,
        threads: Executor,
        hide: Callable[[str], str],
        nice: int = 0,
    ) -> None:
        """Take over a worker that is ready.

        Args:
            launched: the worker.
            told: its limits.
            watcher: who is told what becomes of it.
            loop: that watches it.
            threads: where it is found out how it died.
            hide: takes secrets out of a text.
            nice: by how much it yields once it takes more than its processors. Not from the
                beginning: its time is compared with that of another version, and it would seem
                slower just when the machine is busy.
        """
        self.process = process = launched.process
        self.pid = process.pid
        self.alive = True
        self.alone = False
        """Whether it runs one suspected request, and nothing else."""
        self.memory_bytes = 0
        self.held: dict[int, Call] = {}
        self.answers = 0
        self.ready_s = loop.time()
        self.still_s = 0.0
        """For how long it has held requests and done nothing."""
        self._limits, self._watcher, self._nice = told, watcher, nice
        self._loop, self._threads, self._hide = loop, threads, hide
        self._line: socket.socket = process.line
        self._frames = Frames(TELL.size)
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = 0
        self._flushing = False
        self._sent = 0
        self._seen = (0, 0)
        self._looked_s = self.ready_s
        self._answers_seen = 0
        self._burning = Burning(told.cpus)
        self._progress = launched.progress_fd
        loop.add_reader(self._line.fileno(), self._readable)
        loop.add_reader(process.log.fd, self._heard)
        if process.pidfd is not None:
            loop.add_reader(process.pidfd, self._ended)

    # ---- requests

    def post(self, call: Call, *, alone: bool = False) -> bool:
        """Send a request; return whether there was room for it."""
        ask = call.ask._replace(suspect=True) if alone else call.ask
        pieces = encode_ask(self._sent, ask)
        size = len(pieces[0]) + len(pieces[1]) + len(pieces[2])
        if self._outgoing_bytes and self._outgoing_bytes + size > OUTGOING_BYTES_MAX:
            return False
        if not self.held:
            self.still_s = 0.0
        self.held[self._sent] = call
        self._sent += 1
        self._outgoing += pieces
        self._outgoing_bytes += size
        if not self._flushing:  # all requests of this turn of the loop go in one call
            self._flushing = True
            self._loop.call_soon(self._flush)
        return True

    def _flush(self) -> None:
        """Write what is waiting, as far as it goes."""
        if not self.alive:
            return
        data = b"".join(self._outgoing)
        try:
            count = self._line.send(data)
        except BlockingIOError:
            count = 0
        except OSError:
            return  # it is dying: its end will be told
        if count == len(data):
            self._outgoing, self._outgoing_bytes, self._flushing = [], 0, False
            return
        self._outgoing, self._outgoing_bytes = [data[count:]], len(data) - count
        self._loop.add_writer(self._line.fileno(), self._writable)

    def _writable(self) -> None:
        """Go on writing."""
        self._loop.remove_writer(self._line.fileno())
        self._flush()

    def _readable(self) -> None:
        """Take the answers that have come."""
        try:
            while True:
                room = self._frames.room()
                count = self._line.recv_into(room)
                if not count:
                    self._lose(None)
                    return
                self._take(count)
                if count < len(room):
                    break
        except BlockingIOError:
            return
        except OSError:
            self._lose(None)
        except ValueError as error:
            self.condemn("garbage", f"sent what is no answer ({error})")

    def _take(self, count: int) -> None:
        """Pass on the answers that are whole, now that so many bytes were read.

        Raises:
            ValueError: at what is no answer.
        """
        held, answers, ok = self.held, 0, Outcome.OK
        for number, told in decode_tolds(self._frames.took(count)):
            call = held.pop(number, None)
            if call is None:
                message = f"an answer to request {number}, which it does not hold"
                raise ValueError(message)
            answers += 1
            if told.outcome is not ok or call.ask.traced:
                told = self._finished(told, traced=call.ask.traced)  # noqa: PLW2901 - the same one
            call.tell(told)
        if answers:
            self.answers += answers
            self.still_s = 0.0
            self._watcher.answered(self, answers)

    def _finished(self, told: Told, *, traced: bool) -> Told:
        """Return an answer as it is passed on, where something has to be hidden or added."""
        return told._replace(
            message=self._hide(told.message), signature=self._hide(told.signature),
            pid=self.pid if traced else 0,
        )  # fmt: skip

    # ---- watching

    def look(self, now_s: float) -> None:
        """See whether it keeps to its limits."""
        idle = not self.held and self.answers == self._answers_seen
        if not self.alive or (idle and now_s - self._looked_s < IDLE_LOOK_S):
            return
        self._answers_seen = self.answers
        usage = limits.usage(self.pid)
        if usage is None:
            return  # its end will be told
        told, self.memory_bytes = self._limits, usage.rss_bytes
        if usage.rss_bytes > told.memory_bytes:
            self.condemn("memory", f"exceeded {format_bytes(told.memory_bytes)}")
        elif usage.processes > told.processes_max:
            self.condemn("processes", f"exceeded {told.processes_max} processes")
        elif burnt_s := self._burns():
            what = f"kept more than {told.cpus:g} processors busy for {burnt_s:g} s"
            self.condemn("cpu", what)
        elif self._hangs(now_s):
            self.condemn("hang", f"exceeded {format_seconds(told.hang_s)}")
        self._looked_s = now_s

    def _hangs(self, now_s: float) -> bool:
        """Return whether it has been at one batch for too long."""
        self._readable()
        if not self.alive or not self.held:
            return False
        seen = read_progress(self._progress, self._sent)
        if seen != self._seen:
            self._seen, self.still_s = seen, 0.0
            return False
        self.still_s += min(STEP_S, now_s - self._looked_s)
        return self.still_s > self._limits.hang_s

    def _burns(self) -> float:
        """Return for how long it has kept more processors busy than it may; 0: not long enough."""
        from_s = self._loop.time()
        used_s = sum(limits.cpu_times(self.pid))
        self._burning.look(from_s, self._loop.time(), used_s)
        if self._burning.beyond(YIELD):
            self.yield_processors()
        end = self._burning.beyond(END)
        return end.window_s if end else 0.0

    def yield_processors(self) -> None:
        """Have it yield to everybody from now on, if it is one that is to."""
        if self._nice and self.alive:
            limits.lower_priority(self.pid, self._nice)

    def _heard(self) -> None:
        """Log what it prints."""
        if not self.process.log.drain():
            self._loop.remove_reader(self.process.log.fd)

    def _ended(self) -> None:
        """See that it has ended."""
        self._lose(None)

    # ---- ending

    def condemn(self, cause: str, what: str) -> None:
        """End it, and find out where it was."""
        self._lose((cause, what))

    def _lose(self, why: tuple[str, str] | None) -> None:
        """Let it go; what it had not begun goes to others at once."""
        if not self.alive:
            return
        self._detach()
        if why is None:
            self._drain()
        begun, answered = read_progress(self._progress, self._sent)
        os.close(self._progress)
        held, self.held = self.held, {}
        if why is not None and why[0] == "garbage":
            answered = 0  # what it says of itself is believed no more
        suspects = [call for number, call in held.items() if answered <= number < begun]
        lost = [call for number, call in held.items() if not answered <= number < begun]
        self._watcher.lost(self, lost, suspects)
        burying = self._loop.run_in_executor(self._threads, self._bury, why)
        burying.add_done_callback(self._buried)

    def _buried(self, done: asyncio.Future[Death]) -> None:
        """Tell how it died."""
        if not done.cancelled():
            self._watcher.buried(self, done.result())

    def close(self) -> Callable[[], None]:
        """Let it go for good; return what ends it, which blocks."""
        if self.alive:
            self._detach()
            os.close(self._progress)
        return self.process.end

    def _detach(self) -> None:
        """Watch it no more."""
        self.alive = False
        self._loop.remove_reader(self._line.fileno())
        self._loop.remove_writer(self._line.fileno())
        self._loop.remove_reader(self.process.log.fd)
        if self.process.pidfd is not None:
            self._loop.remove_reader(self.process.pidfd)

    def _drain(self) -> None:
        """Take the answers that it gave before it died."""
        try:
            for _ in range(READS_MAX):
                count = self._line.recv_into(self._frames.room())
                if not count:
                    return
                self._take(count)
        except (OSError, ValueError):
            return  # no more, or nothing that could be believed

    def _bury(self, why: tuple[str, str] | None) -> Death:
        """Return how it died. Runs in a thread."""
        if why is None:
            died = self.process.autopsy()
            return Death(_cause_of(died.failure), died.failure, self.process.last_lines)
        cause, what = why
        kind = {"hang": Cause.HANG, "cpu": Cause.HANG, "memory": Cause.MEMORY}.get(cause)
        died = self.process.condemn(kind or Cause.CRASH, what)
        return Death(cause, died.failure, self.process.last_lines)


def _cause_of(failure: Failure) -> str:
    """Return of what a worker died by itself, in a word or two."""
    if failure.cause is Cause.MEMORY:
        return "memory"
    return failure.signature.partition(" at ")[0].replace("exited with code", "exit")
