"""One group of features: its calls to the store, one at a time, and what they brought.

Keys that are asked for while a call is out wait for the next one, together; a key that is out or
waits is never asked for twice. A call that is late is the store's failure from then on: nobody
waits for it, and nothing is asked until it has ended, but what it brings is still kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from firedoor.gateway.feature_cache import FeatureCache, Kept
from firedoor.gateway.feature_suspects import Suspects
from firedoor.guards import breaker as breakers
from firedoor.guards.breaker import Admitted, Breaker, BreakerPolicy
from firedoor.guards.window import Window
from firedoor.ports.clock import Clock
from firedoor.ports.fetching import Fetcher
from firedoor.spec.service_plan import FeaturesPlan
from firedoor.wire.fetching import Fetch, Fetched, Scalar

KEYS_MAX = 1_000
"""Keys of one call."""
WAITING_MAX = 10_000
"""Keys that wait for a call; others are not asked for."""
ENTRIES_MAX = 100_000
BYTES_MAX = 64 * 2**20
POLICY = BreakerPolicy(calls_min=10, consecutive=5)
"""A call is a batch of keys, so that fewer of them tell as much. Slow is what is late."""

Values = tuple[Scalar, ...]
"""Of one key, a value a key column."""


def key_of(values: Values) -> bytes:
    """Return a key as bytes: 1, 1.0, True and ``"1"`` are four keys."""
    return msgspec.msgpack.encode(values)


@dataclass(slots=True)
class Batch:
    """Keys that are looked up together; the same types in each."""

    keys: dict[bytes, Values]
    done: asyncio.Future[None]
    """Over: what came is in ``found``, which is empty if nothing did."""
    keys_max: int
    begun_s: float = 0.0
    found: dict[bytes, Kept] = field(default_factory=dict)


class FeatureGroup:
    """Looks one group up. Used from one event loop."""

    def __init__(
        self,
        plan: FeaturesPlan,
        fetcher: Fetcher,
        *,
        clock: Clock,
        killed: Callable[[], bool],
        dice: random.Random,
        entries_max: int = ENTRIES_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        """Begin with nothing known. ``killed``: whether the store is not to be asked."""
        self.plan = plan
        self.cache = FeatureCache(entries_max=entries_max, bytes_max=bytes_max)
        self.down_because = ""
        """Why the last call brought nothing; empty: it did."""
        self.calls = self.failed = self.late = self.wrong = 0
        self._fetcher = fetcher
        self._clock = clock
        self._killed = killed
        self._dice = dice
        self._breaker = Breaker()
        self._window = Window(POLICY.window_s, clock.now_s())
        self._good = self._answered = 0
        self._suspects = Suspects()
        self._waiting: list[Batch] = []
        self._out: Batch | None = None
        self._is_late = False
        self._unknown = Kept((None,) * len(plan.columns), (None,) * len(plan.columns))

    @property
    def breaker(self) -> breakers.Word:
        """``closed``, ``open`` or ``half-open``."""
        return breakers.word(self._breaker)

    def ask(self, keys: Mapping[bytes, Values]) -> list[Batch]:
        """Return the batches in which keys are looked up; none where the store is not asked.

        Args:
            keys: distinct ones.
        """
        if self._killed():
            self.down_because = "it is switched off"
            return []
        if self._is_late or not self._may_be_tried():
            return []
        batches: dict[int, Batch] = {}
        for key, values in keys.items():
            batch = self._batch_of(key, values)
            if batch is not None:
                batches[id(batch)] = batch
        if self._out is None and self._waiting:
            self._send()
        return list(batches.values())

    def _may_be_tried(self) -> bool:
        """Return whether a call may go out, or is out to find that out."""
        mode = self._breaker.mode
        if isinstance(mode, breakers.Open):
            return self._clock.now_s() >= mode.until_s
        return True

    def _batch_of(self, key: bytes, values: Values) -> Batch | None:
        """Return the batch that a key is in, or joins; None: there is no room."""
        if self._out is not None and key in self._out.keys:
            return self._out
        suspect = self._suspects.keys_max(key, self._clock.now_s())
        keys_max = KEYS_MAX if suspect is None else suspect
        if not keys_max:
            return None
        kinds = tuple(map(type, values))
        for batch in self._waiting:
            if key in batch.keys:
                return batch
        for batch in self._waiting:
            alike = batch.keys_max == keys_max and kinds == _kinds(batch)
            if alike and len(batch.keys) < keys_max:
                batch.keys[key] = values
                return batch
        if sum(len(batch.keys) for batch in self._waiting) >= WAITING_MAX:
            return None
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        batch = Batch({key: values}, done, keys_max)
        self._waiting.append(batch)
        return batch

    def _send(self) -> None:
        """Ask for the batch that waited longest, if the store may be asked."""
        now_s = self._clock.now_s()
        self._breaker, answer, _ = breakers.ask(
            self._breaker, POLICY, now_s, lease_s=self.plan.timeout_s, chance=self._dice.random()
        )
        if not isinstance(answer, Admitted):
            self._give_up()
            return
        batch = self._out = self._waiting.pop(0)
        batch.begun_s = now_s
        self.calls += 1
        names = self.plan.keys
        columns: dict[str, list[Scalar]] = {
            name: [values[at] for values in batch.keys.values()] for at, name in enumerate(names)
        }
        expiry = asyncio.get_running_loop().call_later(
            self.plan.timeout_s, self._expire, batch, answer.generation
        )
        self._fetcher.fetch(
            Fetch(keys=columns), lambda told: self._end(batch, told, answer.generation, expiry)
        )

    def _expire(self, batch: Batch, generation: int) -> None:
        """Take a call for failed that is not back in time."""
        self._is_late = True
        self.late += 1
        self._fail(batch, generation, f"no answer within {self.plan.timeout_s:g} s")
        _settle(batch)
        self._give_up()

    def _end(
        self, batch: Batch, told: Fetched, generation: int, expiry: asyncio.TimerHandle
    ) -> None:
        """Take what a call brought, and ask for the next batch."""
        expiry.cancel()
        late, self._is_late, self._out = self._is_late, False, None
        if told.error:
            self.failed += 1
            if not late:
                self._fail(batch, generation, told.error)
        else:
            self.down_because = told.said
            self._keep(batch, told)
            self._answered += 1
            self._suspects.acquit(batch.keys)
            if not late:
                self._good += 1
                self._window.advance(self._clock.now_s(), self._good)
                self._step(breakers.Good(generation))
        _settle(batch)
        if self._waiting:
            self._send()

    def _keep(self, batch: Batch, told: Fetched) -> None:
        """Keep what was found; what cannot be used leaves what was there."""
        wrong = {column: frozenset(rows) for column, rows in told.wrong.items()}
        self.wrong += sum(map(len, wrong.values()))
        none: frozenset[int] = frozenset()
        for row, key in enumerate(batch.keys):
            before = self.cache.get(key) or self._unknown
            values, times = list(before.values), list(before.at_s)
            for at, column in enumerate(self.plan.columns):
                if row not in wrong.get(column, none):
                    values[at], times[at] = told.values[column][row], batch.begun_s
            kept = batch.found[key] = Kept(tuple(values), tuple(times))
            self.cache.put(key, kept)

    def _fail(self, batch: Batch, generation: int, cause: str) -> None:
        """Judge a call that failed: the store, unless it is the keys' own doing."""
        self.down_because = cause
        now_s = self._clock.now_s()
        if self._suspects.accuse(batch.keys, now_s, self._answered):
            self._step(breakers.Neutral(generation))
            return
        counts = self._window.add_bad(now_s, self._good)
        chance = self._dice.random()
        self._step(breakers.Bad(generation, counts=counts, cause=cause, chance=chance))

    def _step(self, event: breakers.Event) -> None:
        """Move the breaker; a new opening or closing begins to count anew."""
        now_s = self._clock.now_s()
        before = self._breaker.generation
        self._breaker, _ = breakers.step(self._breaker, event, POLICY, now_s)
        if self._breaker.generation != before:
            self._window = Window(POLICY.window_s, now_s)
            self._good = 0
            self._suspects.clear()  # it was the store, or is well again

    def _give_up(self) -> None:
        """Let nobody wait for a store that is not asked."""
        waiting, self._waiting = self._waiting, []
        for batch in waiting:
            _settle(batch)

    def absolve(self) -> None:
        """Suspect no key any more."""
        self._suspects.clear()

    async def close(self) -> None:
        """End the worker; nobody waits any more."""
        self._give_up()
        await self._fetcher.close()


def _kinds(batch: Batch) -> tuple[type, ...]:
    """Return the types of a batch's keys."""
    return tuple(map(type, next(iter(batch.keys.values()))))


def _settle(batch: Batch) -> None:
    """Wake whoever waits for a batch."""
    if not batch.done.done():
        batch.done.set_result(None)


async def wait_for(batches: Iterable[Batch], left_s: float) -> None:
    """Wait until batches are over, so long at most."""
    waited = [batch for batch in batches if not batch.done.done()]
    if not waited or left_s <= 0:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(left_s):
            for batch in waited:
                await asyncio.shield(batch.done)  # others wait for it as well
