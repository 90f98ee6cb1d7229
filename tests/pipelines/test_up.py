"""`firedoor up` goes on: with new files, with an iterable that never ends, without its broker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from cli.stored import firedoor
from pipelines.shops import BATCH, GOOD, LIMIT_S, Process, Shop, opened

AT_ONCE_S = 6.0
"""Longest time for an answer that waits for nobody, on a machine that has much else to do."""
TICKS_FROM = 1_000_000
TICKS = f"""

def tick():
    number = {TICKS_FROM}
    while True:
        yield pl.DataFrame({{"id": range(number, number + 10), "price": 1, "count": 1}})
        number += 10
        time.sleep(0.2)


ticks = pipeline.source("ticks", fd.frames(tick))
pipeline.sink("clock", fd.parquet("ticks"), reads=ticks)
"""


def tick_files(shop: Shop) -> list[Path]:
    """Return the files of ticks that were stored."""
    return sorted(shop.folder.glob("ticks/*.parquet"))


def ticks(shop: Shop) -> list[int]:
    """Return the numbers of all ticks that were stored, in order."""
    every = [pl.read_parquet(file)["id"] for file in tick_files(shop)]
    return sorted(number for numbers in every for number in numbers)


def tick_on(shop: Shop, run: Process, why: str, *, files: int = 3) -> None:
    """Wait until more ticks are stored."""
    before = len(tick_files(shop))
    shop.until(run, lambda: len(tick_files(shop)) >= before + files, why)


def end(run: Process) -> str:
    """Ask a run to end, as a service manager does; return what it printed."""
    run.send_signal(signal.SIGTERM)
    told, _ = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 0, told
    assert "was asked to end" in told
    assert "every row is accounted for" in told
    return told


class Story:
    """A service that is up twice: it gets files, loses its broker, and is ended in between."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        shop.write(GOOD, follow=True, more=TICKS)
        run = shop.start("up", "shop.py")
        shop.until(run, shop.every_row_once, "the first file is stored")
        tick_on(shop, run, "ticks are stored")
        shop.add(BATCH + 1)
        shop.until(run, shop.every_row_once, "the second file is stored")
        self.lose_broker(run)
        self.first = end(run)
        self.stored_after_first = (shop.every_row_once(), ticks(shop))

        shop.add(BATCH)
        run = shop.start("up", "shop.py")
        shop.until(run, shop.every_row_once, "the third file is stored")
        tick_on(shop, run, "ticks go on")
        self.grow(run)
        self.second = end(run)

    def lose_broker(self, run: Process) -> None:
        """Have the broker hang, then killed; ask how it goes meanwhile."""
        shop = self.shop
        broker = int((shop.project / "nats" / "pid").read_text())
        os.kill(broker, signal.SIGSTOP)
        try:
            began_s = time.monotonic()
            self.hangs = firedoor(shop.folder, "status")
            self.took_s = time.monotonic() - began_s
            self.why_hangs = firedoor(shop.folder, "why", "priced")
        finally:
            os.kill(broker, signal.SIGKILL)
        tick_on(shop, run, "ticks go on after a kill")
        self.after = firedoor(shop.folder, "status")

    def grow(self, run: Process) -> None:
        """Let the last file that was read grow, and put it back."""
        shop = self.shop
        file = max(shop.folder.glob("orders_*.jsonl"))
        kept, times = file.read_bytes(), file.stat()
        with file.open("ab") as growing:
            growing.write(kept.splitlines(keepends=True)[0])
        shop.until(run, lambda: self.orders(run) == "halted", "a file that grew is refused")
        tick_on(shop, run, "nobody else is hurt")
        self.grown = firedoor(shop.folder, "status")
        file.write_bytes(kept)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert firedoor(shop.folder, "zone", "resume", "orders").exit_code == 0
        shop.until(run, lambda: self.orders(run) == "running", "the source goes on")
        shop.add(BATCH)
        shop.until(run, shop.every_row_once, "the file after it is stored")

    def orders(self, run: Process) -> object:
        """Return the state of the source of files."""
        return self.shop.zone(run, "orders").get("state")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with opened(tmp_path_factory.mktemp("up"), rows=2 * BATCH) as shop:
        yield Story(shop)


def test_new_files_are_read_as_they_come_and_each_row_is_stored_once(story: Story) -> None:
    assert story.stored_after_first[0]
    assert story.shop.every_row_once()


def test_an_iterable_that_never_ends_is_cut_and_after_sigterm_goes_on_where_it_was(
    story: Story,
) -> None:
    first, second = story.stored_after_first[1], ticks(story.shop)
    assert first == list(range(TICKS_FROM, TICKS_FROM + len(first)))
    assert second == list(range(TICKS_FROM, TICKS_FROM + len(second)))
    assert len(second) > len(first)


def test_a_broker_that_hangs_or_is_killed_costs_no_row_and_is_replaced(story: Story) -> None:
    assert "has died; started again (1 so far), nothing is lost" in story.first
    assert "restarts" not in story.first, "no zone has died of it"
    assert story.after.output.startswith("all zones well"), story.after.output


def test_status_answers_at_once_without_its_broker_from_the_last_snapshot(story: Story) -> None:
    assert story.hangs.exit_code == 0, story.hangs.stderr
    lines = story.hangs.output.splitlines()
    assert lines[0].startswith("the broker does not answer: zones wait, nothing is dropped; ")
    assert lines[0].endswith("before that: all zones well")
    assert "from the last snapshot" in lines[1]
    assert [line.split()[0] for line in lines[4:]] == [
        "(broker)", "orders", "priced", "store", "ticks", "clock",
    ]  # fmt: skip
    assert story.took_s < AT_ONCE_S
    assert story.why_hangs.exit_code == 0, story.why_hangs.stderr
    assert "the broker does not answer" in story.why_hangs.output


def test_a_file_that_grew_halts_its_source_with_what_to_do_and_hurts_nobody_else(
    story: Story,
) -> None:
    lines = story.grown.output.splitlines()
    assert lines[0].startswith("orders is halted (")
    assert "was changed since line" in lines[0]
    states = {line.split()[0]: line.split()[1] for line in lines[3:]}
    assert states["ticks"] == states["clock"] == "running"
