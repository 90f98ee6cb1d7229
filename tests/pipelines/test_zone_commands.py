"""What an operator wants of one zone, what is shown of it, and that no row is lost by it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.stored import firedoor
from pipelines.shops import GOOD, LIMIT_S, Shop, opened

RATE = 1_000


def told(shop: Shop, *words: str) -> str:
    """Return what a command prints that has to succeed."""
    result = firedoor(shop.folder, *words)
    assert result.exit_code == 0, result.output + result.stderr
    return result.output


class Story:
    """One run in which zone ``priced`` is paused, let go on, drained, started, and replaced."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        shop.write(GOOD, rate=RATE)
        self.run = run = shop.start("up", "shop.py")
        shop.until(run, lambda: shop.zone(run, "store").get("batches"), "a batch stored")
        self.told: dict[str, str] = {}
        """What was printed, by what was asked, in the order in which it was asked."""
        self.pids = [self.priced()["pid"]]

    def priced(self) -> dict[str, object]:
        return self.shop.zone(self.run, "priced")

    def ask(self, name: str, *words: str) -> None:
        self.told[name] = told(self.shop, *words)

    def await_state(self, state: str) -> None:
        self.shop.until(self.run, lambda: self.priced().get("state") == state, f"{state}")

    def await_another(self) -> None:
        """Wait until another process of the zone is at work."""

        def other() -> bool:
            now = self.priced()
            return now.get("pid") not in {None, *self.pids} and now["state"] == "running"

        self.shop.until(self.run, other, "another process of priced at work")
        self.pids.append(self.priced()["pid"])

    def play(self) -> None:
        self.ask("pause", "zone", "pause", "priced", "--because", "night shift")
        self.await_state("paused")
        self.ask("status paused", "status")
        self.ask("why paused", "why", "priced")
        self.ask("resume", "zone", "resume", "priced")
        self.await_state("running")
        self.ask("drain", "zone", "drain", "priced", "--because", "upgrade")
        self.await_state("stopped")
        self.ask("status drained", "status")
        self.ask("why drained", "why", "priced")
        self.ask("resume drained", "zone", "resume", "priced")
        self.await_another()
        self.ask("restart", "zone", "restart", "priced", "--because", "leak")
        self.await_another()
        self.ask("why restarted", "why", "priced")
        self.shop.until(
            self.run, lambda: self.shop.stored().height >= self.shop.rows, "every row is stored"
        )
        self.run.send_signal(signal.SIGTERM)
        self.printed, _ = self.run.communicate(timeout=LIMIT_S)
        self.every_row_once = self.shop.every_row_once()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with opened(tmp_path_factory.mktemp("orders")) as shop:
        played = Story(shop)
        played.play()
        yield played


def test_rows_are_neither_lost_nor_doubled_whatever_is_wanted_of_a_zone(story: Story) -> None:
    assert story.run.returncode == 0, story.printed
    assert story.every_row_once
    assert "every row is accounted for" in story.printed
    assert "restarts" not in story.printed, story.printed


def test_where_nothing_more_can_come_up_says_so_once_and_goes_on(story: Story) -> None:
    assert story.printed.count("sources have no more, and all has come through") == 1
    assert "follow=True" in story.printed


def test_each_command_says_what_it_does_and_how_it_is_undone(story: Story) -> None:
    assert story.told["pause"] == (
        "priced: takes no more; `firedoor zone resume priced` lets it go on\n"
    )
    assert story.told["resume"].startswith("priced: goes on, if no kill switch holds it")
    assert story.told["drain"] == (
        "priced: finishes what it has begun and ends; `firedoor zone resume priced` starts it "
        "again\n"
    )
    assert story.told["restart"] == "priced: makes room for a fresh process\n"


@pytest.mark.parametrize(
    ("which", "state", "because"),
    [("paused", "paused", "night shift"), ("drained", "drained", "upgrade")],
)
def test_status_and_why_tell_what_is_wanted_by_whom_and_because_of_what(
    story: Story, which: str, state: str, because: str
) -> None:
    status = story.told[f"status {which}"].splitlines()
    assert status[0].startswith(f"priced is {state} (by ")
    assert because in status[0]
    (row,) = [line for line in status[2:] if line.startswith("priced ")]
    assert row.split()[1] == state
    assert because in row
    assert row.endswith("firedoor zone resume priced")
    (source,) = [line for line in status[2:] if line.startswith("orders ")]
    assert source.split()[1] in {"running", "done"}, "the others go on"
    why = story.told[f"why {which}"]
    assert why.startswith(f"priced is {state}")
    assert "next: firedoor zone resume priced" in why
    want = "pause" if which == "paused" else "drain"
    assert f"ordered to {want} by " in why
    assert f": {because}" in why


def test_a_drained_zone_and_one_that_is_restarted_get_a_fresh_process(story: Story) -> None:
    assert len(set(story.pids)) == 3
    assert "ordered to run by " in story.told["why restarted"]
    assert ": leak" in story.told["why restarted"]


@pytest.mark.parametrize("verb", ["pause", "resume", "drain", "restart"])
def test_a_zone_that_is_not_there_is_refused_with_those_that_are(story: Story, verb: str) -> None:
    result = firedoor(story.shop.folder, "zone", verb, "prised")
    assert result.exit_code == 1
    assert "no zone 'prised': it has orders, priced, store" in result.stderr


def test_where_nothing_ever_ran_it_says_how_to_start(tmp_path: Path) -> None:
    result = firedoor(tmp_path, "zone", "pause", "priced")
    assert result.exit_code == 1
    assert "firedoor run" in result.stderr


def test_where_nothing_runs_an_order_holds_for_the_next_run_which_says_so(story: Story) -> None:
    shop = story.shop
    shop.write(GOOD)
    shop.add(500)
    assert told(shop, "zone", "pause", "priced", "--because", "audit") == (
        "priced: nothing runs here; the next run begins with it paused, until `firedoor zone "
        "resume priced`\n"
    )
    code, said = shop.run()
    assert code == 1, said
    assert "priced is in a state of 'paused': audit" in said
    assert "next: firedoor zone resume priced" in said
    assert "every row is accounted for" in said

    assert "the next run begins with it at work" in told(shop, "zone", "resume", "priced")
