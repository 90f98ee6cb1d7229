"""States of models on a folder, also on one that several machines share. See ``ports.registry``.

| In it | What |
|---|---|
| ``MODEL/state`` | the state, replaced whole |
| ``MODEL/before`` | the generation before, for a person to go back to should the state be damaged |
| ``MODEL/audit.jsonl`` | an entry a change; nothing is ever taken out |
| ``MODEL/lock`` | held by who changes the model; it dies with its process |
| ``version`` | of this layout |

The state holds its own entry, so that one rename makes a change and its entry. Who is killed before
the entry is in the audit as well leaves it for the next change to be added first.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firedoor.adapters.files.locking import Taken, locked
from firedoor.adapters.files.telling import Busy, check_layout, make_layout, told
from firedoor.adapters.files.writing import FILE_MODE, FOLDER_MODE, sync_folder, write_atomically
from firedoor.errors import FiredoorError, ModelsUnavailable
from firedoor.names import check_name
from firedoor.wire.models import (
    KEPT_BYTES_MAX,
    Entry,
    Garbled,
    Kept,
    check_next,
    decode_entry,
    decode_kept,
    encode_entry,
    encode_kept,
)

LOCK_WAIT_S = 5.0
TAIL_BYTES = 64 * 2**10
"""Of the audit, read to find its last entry: entries are smaller."""


class FileRegistry:
    """A registry on a folder."""

    def __init__(self, folder: Path, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        """Use a registry; nothing is made or read yet."""
        self._folder = folder
        self._lock_wait_s = lock_wait_s

    def create(self) -> None:
        """Make what is missing."""
        make_layout(self._folder, ())

    # ---- reading

    def models(self) -> list[str]:
        """Return the models that there are, by name."""
        check_layout(self._folder)
        with told(self._folder):
            return sorted(path.parent.name for path in self._folder.glob("*/state"))

    def read(self, model: str) -> Kept:
        """Return a model as it is; generation 0 if there is none."""
        place = self._place(model)
        data = _state_in(place)
        if data is None:
            check_layout(self._folder)
            if not ((place / "before").exists() or (place / "audit.jsonl").exists()):
                return Kept()
            data = _state_in(place)  # the first may have been kept since; then it stays
            if data is None:
                raise self._damage(place, "it is not there any more")
        try:
            return decode_kept(data)
        except Garbled as error:
            raise self._damage(place, str(error)) from error

    def stamp(self, model: str) -> tuple[int, ...] | None:
        """Return what changes whenever the model does, for the price of a stat; None: no state."""
        place = self._place(model)
        try:
            with told(place, but=FileNotFoundError):
                seen = (place / "state").stat()
        except FileNotFoundError:
            return None
        return seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_size

    def history(self, model: str, limit: int) -> list[Entry]:
        """Return the latest changes, the latest last. Memory is bounded by ``limit``."""
        place = self._place(model)
        latest = self.read(model).latest
        entries: deque[Entry] = deque(maxlen=limit)
        with (
            contextlib.suppress(FileNotFoundError),
            told(place, but=FileNotFoundError),
            (place / "audit.jsonl").open("rb") as file,
        ):
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):  # the last one may be under way, or cut by a kill
                    entries.append(_read_entry(place, number, line))
        last = entries[-1].generation if entries else 0
        if latest is not None and latest.generation > last:
            entries.append(latest)
        return list(entries)

    # ---- changing

    def swap(self, model: str, kept: Kept) -> None:
        """Keep the next generation of a model, with its entry, durably or not at all."""
        assert kept.latest is not None, "a change has an entry"
        place = self._place(model)
        check_layout(self._folder)
        with told(place):
            place.mkdir(mode=FOLDER_MODE, exist_ok=True)
        with self._locked(place):
            found = self.read(model)
            check_next(model, kept, found)
            with told(place):
                _clear(place)
                if found.latest is not None:
                    _add(place / "audit.jsonl", found.latest)
                    write_atomically(place / "before", encode_kept(found), durable=True)
                else:
                    sync_folder(self._folder)
                write_atomically(place / "state", encode_kept(kept), durable=True)
            # The change is made. Without room for its entry here, the next one adds it, or is told.
            with contextlib.suppress(OSError):
                _add(place / "audit.jsonl", kept.latest)

    def _place(self, model: str) -> Path:
        """Return the folder of a model; a name cannot leave the registry."""
        return self._folder / check_name("model", model)

    @contextmanager
    def _locked(self, place: Path) -> Iterator[None]:
        """Hold a model's lock."""
        with contextlib.ExitStack() as held:
            try:
                with told(place):
                    held.enter_context(locked(place / "lock", wait_s=self._lock_wait_s))
            except Taken:
                message = (
                    f"somebody has been changing {place.name} for more than "
                    f"{self._lock_wait_s:.0f} s: nothing was changed by this, try again"
                )
                raise Busy(message) from None
            yield

    def _damage(self, place: Path, why: str) -> FiredoorError:
        """Return what to say of a state that cannot be read."""
        remedy = "nothing is known of an earlier generation"
        with contextlib.suppress(OSError, Garbled):
            before = decode_kept((place / "before").read_bytes())
            what = before.latest
            remedy = (
                f"generation {before.generation} is kept: look at {place / 'audit.jsonl'} for what "
                f"came after it, then copy {place / 'before'} over the state"
                + ("" if what is None else f" ({what.what} by {what.by})")
            )
        message = f"the state of model {place.name} is damaged ({place / 'state'}): {why}; {remedy}"
        return ModelsUnavailable(message)


def _state_in(place: Path) -> bytes | None:
    """Return what is kept of a model; None: nothing."""
    try:
        with told(place, but=FileNotFoundError), (place / "state").open("rb") as file:
            return file.read(KEPT_BYTES_MAX + 1)
    except FileNotFoundError:
        return None


def _read_entry(place: Path, number: int, line: bytes) -> Entry:
    """Return an entry of the audit."""
    try:
        return decode_entry(line)
    except Garbled as error:
        message = (
            f"line {number} of {place / 'audit.jsonl'} is damaged: {error}; the state itself is "
            "whole, so models can be used and changed; mend or remove that line"
        )
        raise ModelsUnavailable(message) from error


def _clear(place: Path) -> None:
    """Take away what somebody left half-written who was killed; its lock is ours."""
    for path in place.glob(".*-*"):
        path.unlink()


def _add(audit: Path, entry: Entry) -> None:
    """Have an entry at the end of the audit, once, durably."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    with os.fdopen(os.open(audit, flags, FILE_MODE), "a+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, size - TAIL_BYTES))
        tail = file.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        if len(whole) < len(tail):  # cut by a kill or a full disk
            file.truncate(start + len(whole))
        if _generation(whole) < entry.generation:
            file.write(encode_entry(entry))
            file.flush()
            os.fsync(file.fileno())


def _generation(lines: bytes) -> int:
    """Return the generation of the last of some whole lines; 0 if it cannot be read."""
    try:
        return decode_entry(lines.removesuffix(b"\n").rpartition(b"\n")[2]).generation
    except Garbled:
        return 0
