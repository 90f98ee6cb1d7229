"""A collector that is slow, or away, or ends, costs whoever works nothing but what is dropped."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence

from firedoor.adapters.otel.sending import Queue, Sender

WAIT_S = 10.0


class Collector:
    """Takes what is sent, when it may, and as it is told to."""

    def __init__(self) -> None:
        self.taken: list[object] = []
        self.takes = threading.Event()
        self.takes.set()
        self.well = True
        self.aborted = threading.Event()
        self.changed = threading.Condition()

    def send(self, items: Sequence[object]) -> bool:
        while not self.takes.is_set() and not self.aborted.is_set():
            self.takes.wait(0.01)
        with self.changed:
            if self.well:
                self.taken += items
            self.changed.notify_all()
        return self.well

    def abort(self) -> None:
        self.aborted.set()

    def until(self, what: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(what, WAIT_S)


def sender(queue: Queue[object], told: list[str]) -> Sender:
    return Sender([queue], now_s=time.monotonic, tell=told.append)


def queue(collector: Collector, *, items_max: int = 2_048, batch_max: int = 512) -> Queue[object]:
    return Queue(
        what="spans", exporter=collector, every_s=0.01, items_max=items_max, batch_max=batch_max
    )


def gone(waits: Queue[object], number: int) -> bool:
    """Whether so many were dropped, and one more."""
    return waits.dropped > number


def test_what_is_put_is_sent_in_order_and_the_rest_when_it_ends() -> None:
    collector, told = Collector(), list[str]()
    waits = queue(collector, batch_max=3)
    sends = sender(waits, told)
    for number in range(10):
        waits.put(number)
    sends.close(WAIT_S)
    assert collector.taken == list(range(10))
    assert (told, waits.dropped) == ([], 0)


def test_a_collector_that_takes_nothing_slows_nobody_and_what_has_no_room_is_counted() -> None:
    collector, told = Collector(), list[str]()
    collector.takes.clear()
    waits = queue(collector, items_max=100)
    sends = sender(waits, told)
    began_s = time.monotonic()
    for number in range(100_000):
        waits.put(number)
    assert time.monotonic() - began_s < WAIT_S / 2
    assert len(waits.waiting) <= 100
    assert waits.dropped >= 100_000 - 100 - waits.batch_max
    sends.close(0.05)
    assert collector.aborted.is_set()


def test_a_collector_that_is_away_is_told_of_once_and_once_that_it_is_back() -> None:
    collector, told = Collector(), list[str]()
    collector.well = False
    waits = queue(collector)
    sends = sender(waits, told)
    for number in range(3):
        waits.put(number)
        collector.until(functools.partial(gone, waits, number))
    collector.well = True
    waits.put("after")
    collector.until(lambda: "after" in collector.taken)
    sends.close(WAIT_S)
    assert [line.partition(" cannot")[0].partition(" are")[0] for line in told] == [
        "telemetry: spans", "telemetry: spans"
    ]  # fmt: skip
    assert "cannot be sent" in told[0]
    assert "taken again" in told[1]


def test_a_process_that_ends_does_not_wait_for_a_collector_that_is_away() -> None:
    collector, told = Collector(), list[str]()
    collector.well = False
    waits = queue(collector)
    sends = sender(waits, told)
    waits.put(1)
    collector.until(lambda: waits.failed > 0 or waits.dropped > 0)
    collector.takes.clear()
    waits.put(2)
    began_s = time.monotonic()
    sends.close(WAIT_S)
    assert time.monotonic() - began_s < WAIT_S / 2
    assert collector.aborted.is_set()


def test_what_makes_its_own_items_is_asked_when_it_is_due() -> None:
    collector, told = Collector(), list[str]()
    asked = iter(range(1_000_000))
    waits: Queue[object] = Queue(
        what="metrics", exporter=collector, every_s=0.01, fill=lambda: [next(asked)]
    )
    sends = sender(waits, told)
    collector.until(lambda: len(collector.taken) >= 3)
    sends.close(WAIT_S)
    assert collector.taken == list(range(len(collector.taken)))
