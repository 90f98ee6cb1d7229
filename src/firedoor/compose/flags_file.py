"""The last table of flags that a machine knows: ``.firedoor/serving/flags.json``.

Everybody on the machine reads it: gateways, zones, providers. It is written by whoever hears of a
newer table, and by ``firedoor kill`` while the broker is away. All writers hold its lock, so that
none puts an older table in the place of a newer one; readers need none, the file is whole or old.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from firedoor.adapters.files.locking import Taken, locked
from firedoor.compose.files import FOLDER_MODE, write_atomically
from firedoor.errors import ProjectBusy, StoreRefused
from firedoor.wire.change import Change
from firedoor.wire.flags import Flags, decode_flags, encode_flags, newer

FILE = Path("serving") / "flags.json"
BYTES_MAX = 8 * 2**20
LOCK_S = 2.0
Stamp = tuple[int, int, int]


class FlagsFile:
    """The file in one project folder."""

    def __init__(self, folder: Path) -> None:
        """Name it; ``folder`` is ``.firedoor``. Nothing is made or read."""
        self.path = folder / FILE
        self._stamp: Stamp | None = None
        self._read: Flags | None = None

    def read(self) -> Flags | None:
        """Return the table; None if there is none, or the file is damaged."""
        stamp = self._stamp_now()
        if stamp is None or stamp != self._stamp:
            self._read = self._load()
            self._stamp = stamp
        return self._read

    def keep(self, told: Flags) -> Flags:
        """Note what the broker says; return the table that holds here.

        Raises:
            OSError: if it cannot be written; the table that holds is in the file or in ``told``.
            ProjectBusy: if another holds its lock all the while.
        """
        kept = self.read()
        if kept == told:
            return told
        if kept is not None and newer(kept, told) == kept:
            return kept
        return self._write(lambda kept: newer(kept, told))

    def change(self, edit: Callable[[Flags], tuple[Flags, Change]]) -> tuple[Flags, Change]:
        """Change the table here, since the broker is away; return it, and the change.

        Raises:
            OSError, ProjectBusy: as ``keep``.
            FiredoorError: what ``edit`` raises; nothing is changed then.
        """
        changes: list[Change] = []

        def work(kept: Flags | None) -> Flags:
            after, change = edit(Flags() if kept is None else kept)
            changes.append(change)
            return after

        return self._write(work), changes[0]

    def _write(self, work: Callable[[Flags | None], Flags]) -> Flags:
        """Put another table into the file, alone."""
        self.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        try:
            with locked(self.path.with_suffix(".lock"), wait_s=LOCK_S):
                before = self._load()
                after = work(before)
                data = encode_flags(after)
                if len(data) > BYTES_MAX:
                    message = f"{self.path} would have {len(data)} bytes, at most {BYTES_MAX} do"
                    raise StoreRefused(message)
                if after != before:
                    write_atomically(self.path, data, durable=True)
        except Taken:
            message = f"another process has been writing {self.path} for {LOCK_S:g} s: try again"
            raise ProjectBusy(message) from None
        return after

    def _load(self) -> Flags | None:
        """Return what is in the file."""
        try:
            with self.path.open("rb") as file:
                return decode_flags(file.read(BYTES_MAX))
        except OSError:
            return None

    def _stamp_now(self) -> Stamp | None:
        """Return what tells this file from one that takes its place; None if there is none."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 - a path's stat makes more of it
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
