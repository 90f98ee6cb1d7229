"""A request on its way through the workers of a version, and those that have proven deadly."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from firedoor.wire.serving import Ask, Outcome, Told

GUILTY_MAX = 10_000
GUILTY_S = 600.0
STALE_S = 30.0
"""How long it is worth finding out whether a request is guilty for which nobody waits."""


Tell = Callable[[Told], None]
"""Takes what is said to a request."""


class Call:
    """One request, until it is answered and no worker holds it any more.

    What most never learn is not set in each of them, but stands here.
    """

    external = 0
    """Workers that were killed from outside with it in their hands."""
    alone = 0
    """Workers that died while they held it alone."""
    alone_external = 0
    """Of these, killed from outside: as the kernel does where memory is short."""
    told: Told | None = None
    """What is said to it if its time ends before it was tried again."""
    _answered = False

    def __init__(
        self,
        ask: Ask,
        answer: Tell,
        ends_s: float,
        future: asyncio.Future[Told] | None = None,
    ) -> None:
        """Wait for an answer until ``ends_s``, of the loop's clock.

        Args:
            ask: the request.
            answer: is called with what is said to it, once.
            ends_s: when its time is over.
            future: of whom waits in a task, and may leave; None: nobody does.
        """
        self.ask = ask
        self._answer = answer
        self._future = future
        self.ends_s = ends_s

    @property
    def open(self) -> bool:
        """Whether somebody still waits for its answer."""
        if self._answered:
            return False
        return self._future is None or not self._future.done()

    def stale(self, now_s: float) -> bool:
        """Return whether nobody has waited for it for long."""
        return not self.open and now_s > self.ends_s + STALE_S

    def tell(self, told: Told) -> None:
        """Answer it, unless it was answered, or nobody waits any more."""
        future = self._future
        if self._answered or (future is not None and future.done()):
            return
        self._answered = True
        self._answer(told)

    def end(self) -> None:
        """Say that its time is over."""
        self.tell(self.told or LATE)


BUSY = Told(Outcome.BUSY, message="no worker of this version has room; try again")
NOT_READY = Told(Outcome.BUSY, message="this version is not ready")
EXPIRED = Told(Outcome.EXPIRED, message="its deadline passed before it was begun")
LATE = Told(
    Outcome.LATE,
    message="no answer within the time of one attempt (attempt_s)",
    signature="late",
)


class Guilty:
    """Requests that killed a worker twice while they were alone in it: bounded, and forgotten."""

    def __init__(self) -> None:
        """Remember none."""
        self.told: OrderedDict[bytes, tuple[float, Told]] = OrderedDict()
        """What is said to each, and until when; mostly empty, which each request asks."""

    def remember(self, ask: Ask, told: Told, now_s: float) -> None:
        """Keep what is said to a request, and to every further copy of it."""
        self.told[hash_of(ask)] = (now_s + GUILTY_S, told)
        while len(self.told) > GUILTY_MAX:
            self.told.popitem(last=False)

    def find(self, ask: Ask, now_s: float) -> Told | None:
        """Return what is said to a request that is guilty, None to one that is not."""
        found = self.told.get(hash_of(ask))
        if found is None:
            return None
        until_s, told = found
        if now_s < until_s:
            return told
        del self.told[hash_of(ask)]
        return None


def hash_of(ask: Ask) -> bytes:
    """Return what a request is known by."""
    digest = blake2b(bytes((ask.form,)), digest_size=16)
    digest.update(ask.json_bytes.to_bytes(8, "little"))
    digest.update(len(ask.extra).to_bytes(8, "little"))
    digest.update(ask.extra)
    digest.update(ask.body)
    return digest.digest()
