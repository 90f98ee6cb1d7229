"""Requests that are kept for a candidate's successor: what it failed at, and what went well.

Failures are stratified by signature, so that the commonest does not crowd out the others; good
ones by slice, so that each slice can be tried. Everything is bounded by number and by bytes.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator

from firedoor.gateway.tally import SLICE_VALUES_MAX
from firedoor.wire.pack import Replayable

FAILING_MAX = 1_000
GOOD_MAX = 300
"""Of each slice."""
SIGNATURES_MAX = 100
"""Beyond them failures are kept under one name."""
BODY_BYTES_MAX = 64 * 2**10
BYTES_MAX = 64 * 2**20
"""Of failing ones, and again of good ones."""
OTHERS = "others"
EVERYTHING = "*"
"""The slice of services that declare none."""


class Capture:
    """What is kept of one rollout."""

    __slots__ = ("_chance", "_failing", "_good", "_good_bytes", "_good_seen", "bytes", "seen")

    def __init__(self, chance: random.Random) -> None:
        """Begin empty; ``chance`` draws which good ones are kept."""
        self._chance = chance
        self._failing: dict[str, deque[Replayable]] = {}
        self.seen: dict[str, int] = {}
        """Failures by signature."""
        self._good: dict[str, list[Replayable]] = {}
        self._good_seen: dict[str, int] = {}
        self.bytes = self._good_bytes = 0

    @property
    def failing(self) -> int:
        """How many failing requests are kept."""
        return sum(map(len, self._failing.values()))

    def failed(self, request: Replayable) -> None:
        """Keep a request that the candidate failed at; the fullest stratum makes room."""
        name = request.signature
        if name not in self.seen and len(self.seen) >= SIGNATURES_MAX:
            name = OTHERS
        self.seen[name] = self.seen.get(name, 0) + 1
        size = _size(request)
        if len(request.body) > BODY_BYTES_MAX or size > BYTES_MAX:
            return
        self._failing.setdefault(name, deque()).append(request)
        self.bytes += size
        while self.failing > FAILING_MAX or self.bytes > BYTES_MAX:
            fullest = max(self._failing.values(), key=len)
            self.bytes -= _size(fullest.popleft())

    def wants(self, slices: Iterable[str]) -> tuple[str, ...]:
        """Return under which slices a good request is to be kept: each has a reservoir.

        Every request has the same chance to be kept, however many come.
        """
        wanted = []
        for name in slices:
            seen = self._good_seen.get(name, 0)
            if not seen and len(self._good_seen) >= SLICE_VALUES_MAX * 10:
                continue
            self._good_seen[name] = seen + 1
            if seen < GOOD_MAX or self._chance.random() * (seen + 1) < GOOD_MAX:
                wanted.append(name)
        return tuple(wanted)

    def went_well(self, request: Replayable, wanted: Iterable[str]) -> None:
        """Keep a request that the champion answered, under these slices."""
        size = _size(request)
        if len(request.body) > BODY_BYTES_MAX:
            return
        for name in wanted:
            kept = self._good.setdefault(name, [])
            if len(kept) == GOOD_MAX:
                at = self._chance.randrange(GOOD_MAX)
                self._good_bytes += size - _size(kept[at])
                kept[at] = request
            elif self._good_bytes + size <= BYTES_MAX:
                kept.append(request)
                self._good_bytes += size

    def requests(self) -> Iterator[Replayable]:
        """Yield what is kept, each request once: failing ones first."""
        for stratum in self._failing.values():
            yield from stratum
        told: set[int] = set()
        for kept in self._good.values():
            for request in kept:
                if id(request) not in told:
                    told.add(id(request))
                    yield request


def _size(request: Replayable) -> int:
    """Return the bytes that a request is taken to need."""
    return 500 + len(request.body) + len(request.extra) + len(request.scores)
