"""Requests of an evidence pack, asked again of a version that wants to take the failed one's place.

Off the path: no caller waits for it, and it is no evidence. The version is asked as in shadow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from firedoor.gateway.versions import Held
from firedoor.ports.clock import Clock
from firedoor.wire.pack import Pack, Replayable, Replayed
from firedoor.wire.serving import Ask, Form, Outcome

AT_ONCE = 4
BUSY_TRIES = 50
BUSY_WAIT_S = 0.1
LATE_TRIES = 3
"""A version that is late so often is; once may be the machine's fault."""


class _Counts:
    """What became of them so far."""

    def __init__(self) -> None:
        self.failing: dict[str, list[int]] = {}
        self.good = self.broken = self.untold = 0

    def saw(self, request: Replayable, outcome: Outcome) -> None:
        if outcome in (Outcome.BUSY, Outcome.EXPIRED):
            self.untold += 1
        elif request.kind == "good":
            self.good += 1
            self.broken += outcome is not Outcome.OK
        else:
            counts = self.failing.setdefault(request.signature, [0, 0])
            counts[0] += 1
            counts[1] += outcome is not Outcome.OK


async def replay(held: Held, pack: Pack, *, clock: Clock, attempt_s: float) -> Replayed:
    """Ask a version every request of a pack, features as they were used, and count."""
    counts, left = _Counts(), iter(pack.requests)

    async def work(requests: Iterator[Replayable]) -> None:
        for request in requests:
            counts.saw(request, await _ask(held, request, clock=clock, attempt_s=attempt_s))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work(left))
    missing = ""
    if counts.untold:
        missing = f"{held.name} had no room for {counts.untold} of {len(pack.requests)} requests"
    elif not pack.requests:
        missing = "the pack is empty"
    return Replayed(
        failing={name: (n, failed) for name, (n, failed) in counts.failing.items()},
        good=counts.good,
        broken=counts.broken,
        missing=missing,
    )


async def _ask(held: Held, request: Replayable, *, clock: Clock, attempt_s: float) -> Outcome:
    """Ask once; again while there is no room."""
    alone = request.outcome == Outcome.DIED
    outcome, late = Outcome.BUSY, 0
    for _ in range(BUSY_TRIES):
        ask = Ask(
            Form(request.form), request.body, request.json_bytes, clock.now_s() + attempt_s,
            request.extra, alone,
        )  # fmt: skip
        try:
            outcome = (await held.variant.ask(ask)).outcome
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - whatever breaks in a version stays there
            outcome = Outcome.RAISED
        late += outcome is Outcome.LATE
        again = outcome is Outcome.LATE and late < LATE_TRIES
        if outcome not in (Outcome.BUSY, Outcome.EXPIRED) and not again:
            break
        await clock.wait(BUSY_WAIT_S)
    return outcome
