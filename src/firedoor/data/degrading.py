"""The ladder of one zone at work: look at the pressure, take steps, sample batches, tell.

Older features are entered by age, where lookups are joined (``compose.pinned``); here they are
told. A sample and a slower pull are steps under pressure (``flow.ladder``), taken in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from firedoor.data.conduct import Conduct
from firedoor.data.tries import Tries
from firedoor.errors import StepAtFault, StreamsUnavailable
from firedoor.flow import ladder
from firedoor.flow.ladder import LadderPolicy, LadderState
from firedoor.flow.zone import Slowed, word
from firedoor.ports.clock import Clock
from firedoor.ports.stage import Parcel
from firedoor.ports.streams import Streams
from firedoor.quality.grades import Grade
from firedoor.spec.plan import LadderPlan, Plan, ShedPlan, ZonePlan
from firedoor.wire.envelope import Envelope, checksum
from firedoor.wire.records import Degraded

LOOK_S = 1.0
SAMPLED = "sampled"
"""Why rows were dropped."""

Sampler = Callable[[bytes, Envelope, ShedPlan], Parcel]
"""Returns the part of a payload that is kept."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A batch as the zone's work gets it."""

    envelope: Envelope
    payload: bytes
    dropped: dict[str, int]


class Degrading:
    """The steps of one zone's ladder."""

    def __init__(
        self,
        zone: ZonePlan,
        plan: Plan,
        streams: Streams,
        clock: Clock,
        *,
        conduct: Conduct,
        sample: Sampler,
        policy: LadderPolicy | None = None,
    ) -> None:
        """Begin with no step taken."""
        self._ladder = LadderPlan() if zone.ladder is None else zone.ladder
        self._rungs = _rungs(self._ladder)
        self._promised_s = _promised_s(zone.slo)
        self._inboxes = plan.inboxes(zone.name)
        self._streams = streams
        self._clock = clock
        self._conduct = conduct
        self._sample = sample
        self._policy = LadderPolicy(rungs=len(self._rungs)) if policy is None else policy
        self._state = LadderState()
        self._since_s = clock.utc_s()
        self._why = ""
        self._grades: dict[str, Grade] = {}
        self._unable = ""

    # ---- looking

    async def watch(self) -> None:
        """Look at the pressure, for ever, if there is a step that it could call for."""
        while self._rungs:
            await self._clock.wait(LOOK_S)
            pressure = await self.pressure()
            before = self._state
            self._state = ladder.step(before, pressure, self._policy, self._clock.now_s())
            if self._state.rung != before.rung:
                assert pressure is not None, "nothing is decided without"
                self._stepped(before.rung, pressure)

    async def pressure(self) -> float | None:
        """Return the pressure; None while the zone does not work, or the broker is away."""
        if word(self._conduct.state) not in {"running", "throttled", "blocked"}:
            return None
        found = 0.0
        try:
            for edge in self._inboxes:
                depth = await self._streams.depth(edge.name)
                found = max(found, depth.bytes / max(1, depth.bytes_max or edge.bytes_max))
                if self._promised_s is not None and depth.oldest_s is not None:
                    found = max(found, (self._clock.utc_s() - depth.oldest_s) / self._promised_s)
        except StreamsUnavailable:
            return None
        return found

    def _stepped(self, before: int, pressure: float) -> None:
        """Tell a step, and have it take effect."""
        rung = self._state.rung
        up = rung > before
        name = self._rungs[max(rung, before) - 1]
        long_s = self._policy.climb_s if up else self._state.patience_s or self._policy.patience_s
        self._why = (
            f"{'takes' if up else 'ends'} the step {_told(name, self._ladder)}: the pressure "
            f"was {'high' if up else 'low'} for {long_s:g} s, and is {pressure:.2f}"
        )
        self._since_s = self._clock.utc_s()
        self._conduct.note(f"degrading: {self._why}", kind="degraded", code=name)
        slower = "slower" in self._in_force()
        self._conduct.tell(Slowed(self._ladder.slower_s or 0.0 if slower else 0.0))

    def _in_force(self) -> tuple[str, ...]:
        """Return the steps taken under pressure."""
        return self._rungs[: self._state.rung]

    # ---- doing

    async def take(self, envelope: Envelope, payload: bytes, tries: Tries, *, first: bool) -> Taken:
        """Return a batch as the zone's work gets it: whole, or a sample.

        What is decided is noted before the work begins, and holds when the batch comes again; one
        that came before and was not sampled then, may be published whole, and is not sampled now. A
        replay or a backfill is never sampled: a person asked for just these rows.

        Args:
            envelope: of the batch.
            payload: its rows.
            tries: what is noted of it.
            first: whether it comes for the first time.
        """
        whole = Taken(envelope, payload, {})
        sample = self._ladder.sample
        if sample is None or self._unable or envelope.parent is not None:
            return whole
        keep = tries.noted.keep
        if first and "sample" in self._in_force():
            keep = sample.keep
        if keep >= 1:
            return whole
        try:
            kept = self._sample(payload, envelope, msgspec.structs.replace(sample, keep=keep))
        except StepAtFault as fault:
            # A ladder that fails must not halt a zone that works: it goes without the step.
            self._unable = str(fault)
            self._conduct.note(f"degrading: it cannot sample: {fault}", kind="degraded")
            return whole
        await tries.keep(keep)
        return Taken(
            lesser(envelope, kept, weight=envelope.weight / keep),
            kept.payload,
            {SAMPLED: envelope.rows - kept.rows},
        )

    def used(self, grades: Mapping[str, Grade]) -> None:
        """Note how good the lookups and guards were that a batch was made of; tell a change."""
        for name in {**self._grades, **grades}:
            before, grade = self._grades.get(name, Grade()), grades.get(name, Grade())
            if grade.code != before.code:
                age = "" if grade.age_s is None else f", {grade.age_s:.0f} s old"
                self._why = f"{name} is {grade.code}{age}, and was {before.code}"
                self._since_s = self._clock.utc_s()
                self._conduct.note(
                    f"degrading: {self._why}", kind="degraded", code=grade.code, about=name
                )
        self._grades = dict(grades)

    # ---- telling

    def told(self) -> Degraded | None:
        """Return how the zone is degraded, and how good what it joins to is."""
        older = any(grade.code != "live" for grade in self._grades.values())
        rungs = (("older",) if older else ()) + self._in_force()
        if not rungs and not self._grades and not self._why:
            return None
        sampled = self._ladder.sample is not None and "sample" in rungs and not self._unable
        return Degraded(
            rungs=rungs,
            since_s=self._since_s,
            why=self._unable or self._why,
            weight=1 / self._ladder.sample.keep if sampled and self._ladder.sample else 1.0,
            quality=dict(self._grades),
        )


def lesser(envelope: Envelope, kept: Parcel, *, weight: float) -> Envelope:
    """Return the envelope of a part of a batch."""
    return msgspec.structs.replace(
        envelope,
        rows=kept.rows,
        frame_bytes=kept.frame_bytes,
        crc32=checksum(kept.payload),
        schema=kept.schema or envelope.schema,
        weight=weight,
    )


def _rungs(plan: LadderPlan) -> tuple[str, ...]:
    """Return the steps that pressure calls for, in order."""
    named = {"sample": plan.sample is not None, "slower": plan.slower_s is not None}
    return tuple(name for name, declared in named.items() if declared)


def _promised_s(slo: Mapping[str, float]) -> float | None:
    """Return how old the oldest batch that waits may be, as promised."""
    ages = [slo[name] for name in ("latency_p99_s", "freshness_s") if name in slo]
    return min(ages, default=None)


def _told(rung: str, plan: LadderPlan) -> str:
    """Return a step in words."""
    if rung == "sample":
        assert plan.sample is not None
        return f"sample (keeps {plan.sample.keep:g} of the keys of {', '.join(plan.sample.key)})"
    return f"slower ({plan.slower_s:g} s between batches)"
