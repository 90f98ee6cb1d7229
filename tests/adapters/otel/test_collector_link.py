"""A collector that a drill has be away or slow: nothing waits for it but the thread that sends."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import msgspec

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.otel.collector_link import CollectorLink
from firedoor.adapters.otel.sending import Queue, Sender
from firedoor.compose.injection import Injection
from firedoor.drill.choosing import make_fault

WAIT_S = 10.0


class Collector:
    """An exporter that remembers what it sent."""

    def __init__(self) -> None:
        self.sent: list[object] = []
        self.aborted = False

    def send(self, items: Sequence[object]) -> bool:
        self.sent += items
        return True

    def abort(self) -> None:
        self.aborted = True


def drilled(name: str, intensity: float | None = None) -> Injection:
    """Return what is injected in a process of which a drill wants this."""
    injection = Injection("enrich", "transform", SystemClock(), process="p", places=("exporter",))
    injection.environment = "development"
    fault = make_fault(name, zone="enrich", zone_kind="transform", drill="d", intensity=intensity)
    injection.hear(msgspec.json.encode(fault))
    assert not injection.lease.refused
    return injection


def linked(collector: Collector, injection: Injection) -> CollectorLink[object]:
    link = CollectorLink[object](collector)
    link.faults = injection
    return link


def over(injection: Injection) -> None:
    """Have the drill take its fault back."""
    assert injection.lease.fault is not None
    taken = msgspec.structs.replace(injection.lease.fault, lease_s=0.0, renewal=1)
    injection.hear(msgspec.json.encode(taken))


def test_without_a_drill_all_goes_through() -> None:
    collector = Collector()
    assert CollectorLink[object](collector).send([1, 2])
    assert collector.sent == [1, 2]


def test_a_collector_that_is_away_gets_nothing_and_whoever_sends_tells_and_counts_it() -> None:
    collector, injection, told = Collector(), drilled("collector_down"), list[str]()
    queue = Queue[object](what="spans", exporter=linked(collector, injection), every_s=0.01)
    sender = Sender([queue], now_s=time.monotonic, tell=told.append)
    until = time.monotonic() + WAIT_S
    queue.put("lost")
    while not queue.failed:
        assert time.monotonic() < until
        sender.ring()
    assert (collector.sent, queue.dropped) == ([], 1)
    over(injection)
    queue.put("sent")
    while not collector.sent:
        assert time.monotonic() < until
        sender.ring()
    sender.close()
    assert len(told) == 2
    assert "cannot be sent" in told[0]
    assert "are taken again" in told[1]


def test_a_slow_collector_holds_up_its_own_thread_until_the_drill_is_over() -> None:
    collector, injection = Collector(), drilled("collector_slow", 60.0)
    link = linked(collector, injection)
    sending = threading.Thread(target=link.send, args=(["late"],))
    sending.start()
    sending.join(0.2)
    assert sending.is_alive()
    over(injection)
    sending.join(WAIT_S)
    assert collector.sent == ["late"]


def test_a_process_that_ends_does_not_wait_for_it() -> None:
    collector = Collector()
    link = linked(collector, drilled("collector_slow", 60.0))
    sending = threading.Thread(target=link.send, args=(["last words"],))
    sending.start()
    link.abort()
    sending.join(WAIT_S)
    assert not sending.is_alive()
    assert collector.aborted
