"""The table of flags as people change it: the broker's, or, while that is away, this machine's.

What is changed here while the broker is away holds on this machine at once: gateways and zones look
at the file. It is merged back by whoever reaches the broker first: the supervisor, the control
process, or the next command.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

from firedoor.compose.chores import repeat
from firedoor.compose.flags_file import FlagsFile
from firedoor.control.changes import bring_over
from firedoor.control.flags import Wanted, change_flags, edit_offline, merge_back, read_flags
from firedoor.errors import ProjectBusy, StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.wire.change import Change
from firedoor.wire.flags import Flags, newer

MERGE_S = 2.0
BRING_S = 60.0


@dataclass(frozen=True, slots=True)
class Changed:
    """A change that was made."""

    flags: Flags
    change: Change
    offline: bool = False
    """Whether the broker does not know of it yet."""


class FlagTable:
    """One pipeline's flags, seen from one machine."""

    def __init__(self, streams: Streams | None, file: FlagsFile) -> None:
        """Take the broker, None if it is away, and the file."""
        self._streams = streams
        self._file = file

    async def read(self) -> tuple[Flags, bool]:
        """Return the table that holds here, and whether the broker answered."""
        if self._streams is not None:
            try:
                told = await read_flags(self._streams)
            except StreamsUnavailable:
                return self._file.read() or Flags(), False
            return newer(self._file.read(), told), True
        return self._file.read() or Flags(), False

    async def change(self, wanted: Wanted) -> Changed:
        """Make a change.

        Raises:
            NotKnown, StoreRefused: as ``control.flags.edit``.
            OSError, ProjectBusy: if the broker is away and the file cannot be written.
        """
        if self._streams is not None:
            try:
                await self.merge_back()
                after, change = await change_flags(self._streams, wanted)
            except StreamsUnavailable:
                return self._change_here(wanted)
            return Changed(self._kept(after), change)
        return self._change_here(wanted)

    async def merge_back(self) -> tuple[Change, ...]:
        """Tell the broker what was changed while it was away; return what that is.

        Raises:
            StreamsUnavailable: if it is away.
        """
        kept = self._file.read()
        if self._streams is None or kept is None:
            return ()
        after, found = await merge_back(self._streams, kept)
        self._kept(after)
        return found

    def _change_here(self, wanted: Wanted) -> Changed:
        """Make a change in the file."""
        after, change = self._file.change(lambda table: edit_offline(table, wanted))
        return Changed(after, change, offline=True)

    def _kept(self, told: Flags) -> Flags:
        """Note the broker's table in the file, too; readers hear it from the broker anyway."""
        try:
            return self._file.keep(told)
        except (OSError, ProjectBusy):
            return told


def flag_chores(
    streams: Streams, folder: Path, *, clock: Clock, tell: Callable[[str], None]
) -> tuple[Coroutine[object, object, None], ...]:
    """Return what is done about flags beside a run, each for ever.

    Changes that were made while the broker was away are merged back, and those brought into the
    ledger that are older than it.
    """
    table = FlagTable(streams, FlagsFile(folder))

    async def merge() -> None:
        for change in await table.merge_back():
            tell(f"{change.about}: changed by {change.by} while the broker was away, merged back")

    async def bring() -> None:
        if count := await bring_over(streams):
            tell(f"{count} changes were brought into the ledger")

    return (
        repeat(merge, every_s=MERGE_S, clock=clock, tell=tell, undone="flags are not merged back"),
        repeat(bring, every_s=BRING_S, clock=clock, tell=tell, undone="old changes are not shown"),
    )
