"""What a drill does to the workers of one version, as a gateway tells them: those that come, too.

Requests know nothing of it: each worker is told by a page of its own, see ``compute.fault_page``,
and what then happens to requests happens as it would if the model were so.
"""

from __future__ import annotations

import os
import threading

import msgspec

from firedoor.compute.fault_page import (
    MARK_MAX,
    clear_fault,
    clear_hits,
    encode_fault,
    read_hits,
    write_fault,
    write_until,
)
from firedoor.drill.fault import Fault
from firedoor.wire.model_files import ModelFiles

WRONG_VERSION = "model_wrong_version"
"""Not done by workers, but to them: they are told of files that are not what is in the folder."""
NO_DIGEST = "0" * 64


class Affliction:
    """The fault of one version's workers, if it has one. Thread-safe: workers start in threads."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = threading.Lock()
        self._pages: set[int] = set()
        self._fault: Fault | None = None
        self._data = b""
        """The same, as workers are told it; empty: they are not told."""
        self._until_s = 0.0
        self._mark = 0
        self._hits = 0
        """Of workers that are gone, and of those that were told of other files."""
        self.ended = 0
        """Faults that have come to their end: what is held against requests ends with each."""

    @property
    def fault(self) -> Fault | None:
        """What is done to workers."""
        return self._fault

    @property
    def hits(self) -> int:
        """How many rows or requests the latest fault hit, by the word of the workers."""
        with self._lock:
            return self._hits + sum(map(read_hits, self._pages))

    def begin(self, fault: Fault, until_s: float) -> None:
        """Have workers do a fault to themselves until then, on ``CLOCK_MONOTONIC``.

        Raises:
            ValueError: if it cannot be told to workers.
        """
        data = b"" if fault.name == WRONG_VERSION else encode_fault(fault)
        with self._lock:
            self._end()
            self._fault, self._data = fault, data
            self._until_s, self._hits = until_s, 0
            self._mark = self._mark % MARK_MAX + 1
            for page in self._pages:
                clear_hits(page)
                self._tell(page)

    def renew(self, until_s: float) -> None:
        """Have the fault go on until then."""
        with self._lock:
            self._until_s = until_s
            for page in self._pages:
                write_until(page, until_s)

    def end(self) -> None:
        """Have workers do nothing to themselves any more."""
        with self._lock:
            self._end()

    # ---- workers that come and go

    def took(self, page: int) -> None:
        """Tell a worker that is being started, by the descriptor of its page."""
        with self._lock:
            self._pages.add(page)
            self._tell(page)

    def gave_up(self, page: int) -> None:
        """Close the page of a worker that is gone."""
        with self._lock:
            if page in self._pages:
                self._pages.discard(page)
                self._hits += read_hits(page)
                os.close(page)

    def files_for(self, files: ModelFiles | None) -> ModelFiles | None:
        """Return the files of which a new worker is told."""
        with self._lock:
            fault = self._fault
            if files is None or fault is None or fault.name != WRONG_VERSION:
                return files
            self._hits += 1
            return msgspec.structs.replace(files, digest=NO_DIGEST)

    def _tell(self, page: int) -> None:
        """Write into a worker's page what it is to do to itself."""
        if self._data:
            write_fault(page, self._data, self._until_s, self._mark)

    def _end(self) -> None:
        """Clear every page. The caller holds the lock."""
        self.ended += self._fault is not None
        self._fault, self._data = None, b""
        for page in self._pages:
            clear_fault(page)
