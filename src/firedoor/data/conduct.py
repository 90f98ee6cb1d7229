"""What a zone's process knows of itself: its state, the gate's window, and what it counted."""

from __future__ import annotations

import math
import os
from collections import Counter, deque
from collections.abc import Callable, Mapping

from firedoor.data.bell import Bell
from firedoor.data.happenings import Happenings
from firedoor.data.switches import Thrown
from firedoor.events.happened import Kind
from firedoor.flow import blame, verdict, zone
from firedoor.flow.probes import ZonePolicy
from firedoor.flow.verdict import VerdictPolicy, Window
from firedoor.flow.zone import Cleared, Event, Ordered, Pull, Throttled, Troubled, ZoneState
from firedoor.ports.clock import Clock
from firedoor.ports.faults import Faults, NoFaults
from firedoor.spec.plan import GatePolicy, ZonePlan
from firedoor.wire.records import BatchRecord, GuardNote, Order, Transition, ZoneStatus

TRANSITIONS_MAX = 20
SIGNATURES_SHOWN = 10
SIGNATURES_MAX = 1_000
"""Different signatures counted; the rarest are forgotten beyond that."""
RATE_S = 10
DEAD_RATE_S = 60
CAUSE_MAX = 2_000


class Conduct:
    """Decides by ``flow`` what the zone may do, and tells others what it does."""

    def __init__(
        self,
        plan: ZonePlan,
        clock: Clock,
        *,
        replica: str,
        policy: ZonePolicy | None = None,
        memory_bytes: Callable[[], int] = lambda: 0,
        faults: Faults | None = None,
    ) -> None:
        """Start: nothing is known yet."""
        self.plan = plan
        self.bell = Bell()
        """Rings when the state changes."""
        self.state = ZoneState()
        self.thrown = Thrown()
        """Kill switches."""
        self.happenings = Happenings(plan.name, clock)
        self.faults: Faults = NoFaults() if faults is None else faults
        """What a drill injects here."""
        self._drilled = ""
        """The fault that hit a batch last, until it is forgotten."""
        self._order = Order()
        self._clock = clock
        self._replica = replica
        self._policy = ZonePolicy() if policy is None else policy
        self._gate = _gate(plan.gate)
        self._memory_bytes = memory_bytes
        self._window = Window()
        self._since_s = clock.utc_s()
        self._shown = self._show()
        self._transitions: deque[Transition] = deque(maxlen=TRANSITIONS_MAX)
        self._rows = Rate(RATE_S)
        self._dead = Rate(DEAD_RATE_S)
        self._counts: Counter[str] = Counter()
        self._signatures: Counter[str] = Counter()
        self._last_batch = ""
        self._last_s = 0.0
        self._hindered = ("", -math.inf)
        """Whose fault it was that the zone stood still when its state changed last, and when."""

    # ---- deciding

    @property
    def leaving(self) -> bool:
        """Whether the zone drains: it finishes what it has and stops."""
        return self.state.want == "drain"

    def pull(self) -> Pull:
        """Return whether to take another batch."""
        return zone.pull(self.state, self._clock.now_s())

    def probe_in_s(self) -> float | None:
        """Return how long until a probe is due; None if none is."""
        return zone.wait_s(self.state, self._clock.now_s())

    def tell(self, event: Event) -> None:
        """Take an event; note a transition if it changes how the zone looks."""
        if isinstance(event, Troubled):
            self.happenings.trouble(event.trouble)
        before = self.state
        self.state = zone.step(before, event, self._policy, self._clock.now_s())
        if self.state == before:
            return
        for state in (before, self.state):
            standing = blame.standing(state)
            if standing.how == "bad":
                self._hindered = standing.cause, self._clock.now_s()
        shown = self._show()
        if shown[:2] != self._shown[:2]:
            now_s = self._clock.utc_s()
            if shown[0] != self._shown[0]:
                self._since_s = now_s
            self._transitions.append(Transition(at_s=now_s, state=shown[0], cause=shown[2]))
            self.happenings.state(self._shown[0], *shown, self.state, self._order.by)
        self._shown = shown
        self.bell.ring()

    def note(
        self, cause: str, *, kind: Kind = "zone.note", code: str = "", about: str = ""
    ) -> None:
        """Note what happened to the zone that is no change of its state."""
        now_s = self._clock.utc_s()
        self._transitions.append(Transition(at_s=now_s, state=self._shown[0], cause=cause))
        self.happenings.note(cause, kind=kind, code=code, about=about)

    def order(self, order: Order) -> None:
        """Take the order of a person; with a new generation the gate's window starts empty."""
        if 0 <= self.state.generation < order.generation:
            self._window = Window()
        self._order = order
        self._obey()

    def switch(self, thrown: Thrown) -> None:
        """Take which kill switches are thrown; what holds it ends when they are not any more."""
        if thrown == self.thrown:
            return
        before, self.thrown = self.thrown, thrown
        for sentence in thrown.noted:
            if sentence not in before.noted:
                self.note(sentence)
        for sentence in before.noted:
            if sentence not in thrown.noted:
                self.note(f"no more: {sentence}")
        if self.state.generation >= 0:
            self._obey()

    def _obey(self) -> None:
        """Do what a person wants, unless a kill switch holds the zone."""
        want, because = self._order.want, self._order.because
        if want == "run" and self.thrown.hold:
            want, because = "pause", self.thrown.hold
        self.tell(Ordered(want, self._order.generation, because))

    def judge(self, rows: int, dead: Mapping[str, int]) -> verdict.Halt | None:
        """Judge a batch with the latest ones; slow the pull where the gate says so."""
        self._window, found = verdict.judge(self._window, rows, dead, self._gate)
        if isinstance(found, verdict.Halt):
            return found
        wait_s = found.wait_s if isinstance(found, verdict.Throttle) else 0.0
        if wait_s != self.state.throttle_s:
            self.tell(Throttled(wait_s))
        return None

    def struck(self, batch: str) -> str:
        """Return the id of the drill fault that hit this attempt at a batch; empty: none did."""
        fault = self.faults.struck(batch)
        if fault:
            self._drilled = fault
            self.faults.forget(batch)
        return fault

    def clear(self) -> None:
        """End what a drill has made, once its fault is over: trouble, and rows of the window."""
        if not self._drilled or not self.faults.over(self._drilled):
            return
        self._window = Window()
        self.tell(Cleared())
        self.note(f"drill fault {self._drilled} is over: what it did here is forgotten")
        self._drilled = ""

    def hindered_since(self, since_s: float) -> str:
        """Return whose fault it is that the zone stood still since then; empty: its own, or none.

        Args:
            since_s: by ``now_s``.
        """
        standing = blame.standing(self.state)
        if standing.how == "bad":
            return standing.cause
        cause, at_s = self._hindered
        return cause if at_s >= since_s else ""

    # ---- telling

    @property
    def word(self) -> zone.Word:
        """The state in a word."""
        return self._shown[0]

    def count(self, record: BatchRecord) -> None:
        """Count a batch that is recorded."""
        now_s = self._clock.now_s()
        self._rows.add(record.rows_in, now_s)
        self._dead.add(record.dead, now_s)
        self._counts.update(
            rows_in=record.rows_in,
            rows_out=record.rows_out,
            dead=record.dead,
            dropped=sum(record.dropped.values()),
            batches=1,
        )
        self._signatures.update(record.signatures)
        if len(self._signatures) > SIGNATURES_MAX:
            self._signatures = Counter(dict(self._signatures.most_common(SIGNATURES_MAX // 2)))
        self._last_batch, self._last_s = record.batch, record.ended_s
        self.happenings.recorded(record)

    def status(
        self, *, wall: str = "", workers_lost: int = 0, guards: tuple[GuardNote, ...] = ()
    ) -> ZoneStatus:
        """Return what is known."""
        self.happenings.looked(workers_lost, guards)
        word, code, cause = self._shown
        now_s = self._clock.now_s()
        return ZoneStatus(
            zone=self.plan.name,
            replica=self._replica,
            pid=os.getpid(),
            version=self.plan.version,
            state=word,
            since_s=self._since_s,
            at_s=self._clock.utc_s(),
            cause=cause,
            code=code,
            next_command=self._next_command(code),
            rows_in=self._counts["rows_in"],
            rows_out=self._counts["rows_out"],
            dead=self._counts["dead"],
            dropped=self._counts["dropped"],
            batches=self._counts["batches"],
            rows_a_s=self._rows.a_second(now_s),
            dead_a_min=self._dead.a_second(now_s) * 60,
            last_batch=self._last_batch,
            last_s=self._last_s,
            workers_lost=workers_lost,
            memory_bytes=self._memory_bytes(),
            wall=wall,
            transitions=tuple(self._transitions),
            signatures=dict(self._signatures.most_common(SIGNATURES_SHOWN)),
            guards=guards,
            switches=self.thrown.told,
        )

    def _show(self) -> tuple[zone.Word, str, str]:
        """Return the state as others see it: word, code, cause."""
        code, cause = zone.cause(self.state)
        return zone.word(self.state), code, cause[:CAUSE_MAX]

    def _next_command(self, code: str) -> str:
        """Return what a person should run next."""
        name = self.plan.name
        match self._shown[0], code:
            case "paused", "ordered":
                killed = self.thrown.by_switch if self._order.want == "run" else ""
                lift = f"firedoor kill {name}.{killed} --off"
                return lift if killed else f"firedoor zone resume {name}"
            case "paused", "dead_letters_full":
                return "firedoor dlq"
            case (("halted" | "paused" | "throttled"), _):
                return f"firedoor why {name}"
            case "blocked", "broker_away":
                return "firedoor doctor"
            case "blocked", _:
                reader = min(self.state.full).partition(":")[2]
                return f"firedoor why {reader}"
            case _:
                return ""


class Rate:
    """How many a second, over the latest seconds."""

    def __init__(self, window_s: int) -> None:
        """Look at so many seconds."""
        self._window_s = window_s
        self._began_s: float | None = None
        self._seconds: deque[list[int]] = deque(maxlen=window_s + 1)
        """Pairs of a second and how many came in it."""

    def add(self, count: int, now_s: float) -> None:
        """Count some."""
        self._began_s = now_s if self._began_s is None else self._began_s
        second = int(now_s)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += count
        else:
            self._seconds.append([second, count])

    def a_second(self, now_s: float) -> float:
        """Return the mean of the window, or of the time since the first, but at least 1 s."""
        if self._began_s is None:
            return 0.0
        first = now_s - self._window_s
        some = sum(count for second, count in self._seconds if second >= first)
        return some / max(1.0, min(self._window_s, now_s - self._began_s))


def _gate(plan: GatePolicy) -> VerdictPolicy:
    """Return the declared numbers as the judge takes them."""
    return VerdictPolicy(
        throttle_share=plan.throttle_share,
        dead_max=plan.dead_max,
        window_rows=plan.window_rows,
        rows_min=plan.rows_min,
        throttle_max_s=plan.throttle_max_s,
    )
