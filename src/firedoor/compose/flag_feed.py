"""Hear of flags in a thread of one's own: from the project's broker, or from its file."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from firedoor.adapters.clock import SystemClock
from firedoor.compose.connecting import connect_to
from firedoor.compose.credentials import endpoint_of
from firedoor.compose.flags_file import FlagsFile
from firedoor.compose.project import Endpoint, Project
from firedoor.control.flags import KEY
from firedoor.errors import FiredoorError
from firedoor.wire.flags import Flags, decode_flags, newer

if TYPE_CHECKING:
    from firedoor.ports.streams import Streams

PATIENCE_S = 1.0
POLL_S = 0.5
END_S = 10.0
Take = Callable[[Flags | None, float], None]


class FlagFeed:
    """Tables of one project. It needs the project's folder, and a broker only for what is new."""

    def __init__(self, directory: Path, *, nats: str | None = None, poll_s: float = POLL_S) -> None:
        """Take the project; nothing is read or connected yet.

        Args:
            directory: what ``.firedoor`` is in.
            nats: address of the broker, if it is not the project's own.
            poll_s: time between two looks.
        """
        self._project = Project.at(directory)
        self._nats = nats
        self._poll_s = poll_s
        self._clock = SystemClock()
        self._file = FlagsFile(self._project.folder)
        self._heard: Flags | None = None
        self._heard_s = 0.0
        self._streams: Streams | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None

    def start(self, take: Take) -> None:
        """Call ``take`` again and again from a thread, at once the first time."""
        if self._thread is not None:
            return
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(take, ready)), name="firedoor-flags", daemon=True
        )
        self._thread.start()
        ready.wait(END_S)

    def stop(self) -> None:
        """Call it no more."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._leave is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._leave.set)
        thread.join(END_S)

    async def _run(self, take: Take, ready: threading.Event) -> None:
        """Look until it is to leave."""
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        self._heard_s = self._clock.now_s()
        ready.set()
        take(self._file.read(), 0.0)  # before the broker answers
        try:
            while not self._leave.is_set():
                await self._look()
                take(self._holds(), self._clock.now_s() - self._heard_s)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self._leave.wait()
        finally:
            if self._streams is not None:
                await self._streams.close()

    async def _look(self) -> None:
        """Ask the broker once; a broker that is away is asked again, wherever it is by then."""
        try:
            if self._streams is None:
                self._streams = await self._connect()
            value = await self._streams.get(KEY)
        except FiredoorError:
            streams, self._streams = self._streams, None
            if streams is not None:
                await streams.close()
            return
        told = Flags() if not value else decode_flags(value)
        if told is None:
            return
        self._heard, self._heard_s = told, self._clock.now_s()
        with contextlib.suppress(OSError, FiredoorError):
            self._file.keep(told)

    def _holds(self) -> Flags | None:
        """Return the table that holds here; None if nobody says anything."""
        kept = self._file.read()
        return None if kept is None and self._heard is None else newer(kept, self._heard)

    async def _connect(self) -> Streams:
        """Reach the broker.

        Raises:
            FiredoorError: if it is away, or nothing ever ran in the project.
        """
        plan = self._project.read_plan()
        return await connect_to(
            self._endpoint(),
            pipeline=plan.pipeline,
            open_s=PATIENCE_S,
            read_s=PATIENCE_S,
            write_s=PATIENCE_S,
        )

    def _endpoint(self) -> Endpoint:
        """Return where the broker is."""
        if self._nats is None:
            return self._project.endpoint()
        return endpoint_of(self._nats, None, {})
