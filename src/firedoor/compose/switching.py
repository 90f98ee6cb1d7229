"""Kill switches as a zone's process hears of them: from the broker, or from this machine's file."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from firedoor.compose.flags_file import FlagsFile
from firedoor.data.switches import Thrown, thrown
from firedoor.errors import ProjectBusy, StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.spec.plan import ZonePlan
from firedoor.wire.flags import Flags, decode_flags, newer

if TYPE_CHECKING:
    from firedoor.data.conduct import Conduct
    from firedoor.ports.streams import Streams

KEY = "flags"
LOOK_S = 0.5


class Switches:
    """What is killed of one zone."""

    def __init__(self, zone: ZonePlan, folder: Path, clock: Clock) -> None:
        """Take the zone, the project's folder, and the time."""
        self._zone = zone
        self._clock = clock
        self._file = FlagsFile(folder)
        self._heard: Flags | None = None

    async def look(self, streams: Streams) -> Thrown:
        """Return what is killed now, as far as is known here; never raises for a broker."""
        with contextlib.suppress(StreamsUnavailable):
            value = await streams.get(KEY)
            # A table that cannot be read is none: what was heard before holds.
            told = Flags() if not value else decode_flags(value)
            if told is not None:
                self._heard = told
                with contextlib.suppress(OSError, ProjectBusy):
                    self._file.keep(told)
        flags = newer(self._file.read(), self._heard)
        return thrown(flags, self._zone, now_s=self._clock.utc_s())

    async def follow(self, streams: Streams, conduct: Conduct) -> None:
        """Have a zone do as its switches say, for ever."""
        while True:
            await self._clock.wait(LOOK_S)
            conduct.switch(await self.look(streams))
