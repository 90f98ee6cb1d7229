"""Answers to the very same request, for when no version can answer it again.

Keyed by everything that an answer depends on: form, body and looked-up columns, themselves and no
hash of theirs, which would cost more than all else here. So an answer is only ever given to the
request that it was made for.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import NamedTuple

from firedoor.wire.serving import Form, Told

ENTRY_BYTES = 400
"""What an entry costs besides what it holds."""
JOINED_MAX = 1 << 16
"""Size of a body from which it is not copied to be hashed."""


Same = bytes | tuple[int, int, bytes, bytes]
"""A request, for the same one to be found by."""


class Cached(NamedTuple):
    """An answer that a champion gave."""

    told: Told
    model: str
    version: int
    digest: str
    at_s: float


def mark(form: Form, body: bytes, json_bytes: int, extra: bytes) -> bytes:
    """Return what stands for a request: 16 bytes that no other request has.

    Lengths are hashed before what they are of, so that no two requests run together.
    """
    head = b"%d %d %d " % (form, json_bytes, len(extra))
    if len(body) < JOINED_MAX:
        return blake2b(head + extra + body, digest_size=16).digest()
    hashed = blake2b(head + extra, digest_size=16)
    hashed.update(body)
    return hashed.digest()


def same(form: Form, body: bytes, json_bytes: int, extra: bytes) -> Same:
    """Return a request as it is looked up; of plain rows that is the body."""
    if form is Form.ROWS and not extra:
        return body
    return (int(form), json_bytes, extra, body)


class AnswerCache:
    """The latest answers, as many as fit into so many bytes."""

    __slots__ = ("_bytes_max", "_entries", "_max_s", "bytes", "hits")

    def __init__(self, *, bytes_max: int, max_s: float) -> None:
        """Begin empty. Answers older than ``max_s`` are not given."""
        self._entries: OrderedDict[Same, tuple[Cached, int]] = OrderedDict()
        self._bytes_max, self._max_s = bytes_max, max_s
        self.bytes = self.hits = 0

    def __len__(self) -> int:
        """Return how many answers there are."""
        return len(self._entries)

    def put(self, request: Same, cached: Cached) -> None:
        """Keep an answer; the ones not asked for longest make room."""
        entries, told = self._entries, cached.told
        before = entries.pop(request, None)
        if before is not None:
            self.bytes -= before[1]
        sent = len(request) if isinstance(request, bytes) else len(request[2]) + len(request[3])
        size = ENTRY_BYTES + sent + len(told.fragment) + len(told.tail) + len(told.scores)
        if size > self._bytes_max // 16:
            return  # one giant answer is not worth many small ones
        entries[request] = cached, size
        self.bytes += size
        while self.bytes > self._bytes_max:
            _, (_, size) = entries.popitem(last=False)
            self.bytes -= size

    def get(self, request: Same, now_s: float) -> Cached | None:
        """Return the answer to this request, if there is one that is young enough."""
        found, size = self._entries.get(request, (None, 0))
        if found is None:
            return None
        if now_s - found.at_s > self._max_s:
            del self._entries[request]
            self.bytes -= size
            return None
        self.hits += 1
        return found

    def forget_version(self, digest: str) -> None:
        """Forget what a version answered that was taken back."""
        gone = [key for key, (cached, _) in self._entries.items() if cached.digest == digest]
        for key in gone:
            self.bytes -= self._entries.pop(key)[1]
