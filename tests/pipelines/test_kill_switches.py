"""A kill switch holds a zone of a run that goes on, with the broker and without it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from cli.stored import firedoor
from pipelines.shops import GOOD, Shop, opened

MORE = 1_000
"""Orders that come while a zone is killed."""


def told(shop: Shop, *words: str) -> str:
    """Return what a command prints that has to succeed."""
    result = firedoor(shop.folder, *words)
    assert result.exit_code == 0, result.output + result.stderr
    return result.output


class Story:
    """One run: the source is killed while the broker does not answer, then a transform."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        shop.write(GOOD, follow=True)  # it never has no more, however slow the machine is
        self.run = run = shop.start("up", "shop.py")
        shop.until(run, lambda: shop.zone(run, "store").get("batches"), "a batch stored")
        self.freeze(signal.SIGSTOP)
        try:
            self.offline = told(shop, "kill", "orders.ingest", "--because", "bad rows")
            self.kept = told(shop, "flag", "list")
        finally:
            self.freeze(signal.SIGCONT)
        self.await_state("orders", "paused")
        self.stopped = shop.zone(run, "orders")
        shop.add(MORE)
        shop.until(run, self.merged, "merged back")
        self.log = json.loads(told(shop, "flag", "log", "--json"))
        told(shop, "kill", "orders.ingest", "--off", "--because", "mended")
        shop.until(run, shop.every_row_once, "read on")
        self.killed = told(shop, "kill", "priced.ingest", "--because", "it is drowning")
        self.await_state("priced", "paused")
        shop.add(MORE)
        self.held = shop.zone(run, "priced")
        self.status = told(shop, "status")
        self.why = told(shop, "why", "priced")
        self.listed = told(shop, "flag", "list")
        self.lifted = told(shop, "kill", "priced.ingest", "--off", "--because", "it has room")
        self.await_state("priced", "running")
        shop.until(run, shop.every_row_once, "every row stored")

    def await_state(self, zone: str, state: str) -> None:
        shop, run = self.shop, self.run
        shop.until(run, lambda: shop.zone(run, zone).get("state") == state, f"{zone} {state}")

    def freeze(self, number: signal.Signals) -> None:
        """Have the broker answer nobody, or everybody again."""
        for child in psutil.Process(self.run.pid).children(recursive=True):
            if "nats-server" in child.name():
                os.kill(child.pid, number)

    def merged(self) -> bool:
        flags = json.loads(told(self.shop, "flag", "list", "--json"))
        return "kill.orders.ingest" in flags["flags"] and "offline" not in flags


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with opened(tmp_path_factory.mktemp("killed"), rows=MORE) as shop:
        yield Story(shop)


def test_a_killed_zone_takes_no_more_and_says_who_and_why(story: Story) -> None:
    assert "priced.ingest is killed, and stays so" in story.killed
    assert story.held["cause"].endswith("killed ingest: it is drowning")
    assert story.held["next_command"] == "firedoor kill priced.ingest --off"
    assert "killed ingest: it is drowning" in story.status.splitlines()[0]
    assert "firedoor kill priced.ingest --off" in story.status
    assert "kill switch: " in story.why
    assert "kill.priced.ingest  true" in story.listed
    assert "confirm by" in story.listed
    assert story.lifted.startswith("priced.ingest is lifted")


def test_a_switch_is_thrown_while_the_broker_does_not_answer(story: Story) -> None:
    assert "the broker does not answer" in story.offline
    assert "only on this machine" in story.kept
    assert story.stopped["cause"].endswith("killed ingest: bad rows")


def test_what_was_thrown_without_the_broker_is_merged_back_and_in_the_log(story: Story) -> None:
    (change,) = story.log
    assert change["what"] == "flag changed while the broker was away"
    assert (change["about"], change["because"]) == ("kill.orders.ingest", "bad rows")


def test_no_row_is_lost_or_stored_twice_by_it(story: Story) -> None:
    assert story.shop.every_row_once()


@pytest.mark.parametrize(
    ("target", "told_of"),
    [("nobody.ingest", "it has orders, priced, store"), ("priced.route", "it has priced.ingest")],
)
def test_a_switch_that_is_not_there_is_refused(story: Story, target: str, told_of: str) -> None:
    result = firedoor(story.shop.folder, "kill", target, "--because", "x")
    assert result.exit_code == 1
    assert told_of in result.stderr


def test_a_switch_without_a_reason_is_refused(story: Story) -> None:
    result = firedoor(story.shop.folder, "kill", "priced.ingest", "--because", " ")
    assert result.exit_code == 1
    assert "say why" in result.stderr
