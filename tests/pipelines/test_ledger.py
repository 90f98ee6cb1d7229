"""What happens to a pipeline of real processes is in its ledger: who, what, whose fault."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from cli.stored import firedoor
from firedoor.adapters.clock import SystemClock
from firedoor.compose.journaling import leave_word
from firedoor.events.happened import Happened
from pipelines.shops import BATCH, Process, Shop, opened

POISON = 13
BODY = f"""if (orders["id"] == {POISON}).any():
        raise ValueError("thirteen")
    return orders.with_columns(total=pl.col("price") * pl.col("count"))"""


class Story:
    """A pipeline that is up; a person pauses a zone, the broker dies, and so does a zone."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        shop.write(BODY, follow=True)
        run = shop.start("up", "shop.py")
        shop.until(run, self.all_but_one, "the first file is stored")
        words = ("zone", "pause", "priced", "--because", "look at it")
        assert firedoor(shop.folder, *words).exit_code == 0
        shop.until(run, lambda: self.state(run) == "paused", "the zone pauses")
        self.meanwhile = self.events("--zone", "priced")
        assert firedoor(shop.folder, "zone", "resume", "priced").exit_code == 0
        shop.until(run, lambda: self.state(run) == "running", "the zone goes on")
        self.broker = int((shop.project / "nats" / "pid").read_text())
        os.kill(self.broker, signal.SIGKILL)
        shop.until(run, self.broker_is_new, "the broker is started again")
        self.zone = int(shop.zone(run, "priced")["pid"])
        os.kill(self.zone, signal.SIGKILL)
        shop.until(run, lambda: self.pid(run) not in {0, self.zone}, "the zone is started again")
        shop.add(BATCH)
        shop.until(run, self.all_but_one, "the second file is stored")
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=60)
        self.found = self.events()
        self.told = firedoor(shop.folder, "events").output

    def all_but_one(self) -> bool:
        """Return whether every row but the poison one is stored."""
        stored = self.shop.stored()["id"].to_list()
        return stored == [number for number in range(self.shop.rows) if number != POISON]

    def state(self, run: Process) -> object:
        """Return the state of the zone."""
        return self.shop.zone(run, "priced").get("state")

    def pid(self, run: Process) -> int:
        """Return the process of the zone; 0 while there is none."""
        return int(self.shop.zone(run, "priced").get("pid", 0))

    def broker_is_new(self) -> bool:
        """Return whether another broker answers."""
        try:
            return int((self.shop.project / "nats" / "pid").read_text()) != self.broker
        except (OSError, ValueError):
            return False

    def events(self, *words: str) -> list[dict[str, Any]]:
        """Return the ledger."""
        result = firedoor(self.shop.folder, "events", "--json", *words)
        assert result.exit_code == 0, result.stderr
        return [json.loads(line) for line in result.output.splitlines()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return entries of one kind."""
        return [one for one in self.found if one["kind"] == kind]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with opened(tmp_path_factory.mktemp("ledger"), rows=2 * BATCH) as shop:
        yield Story(shop)


def test_the_death_of_the_broker_and_of_a_zone_are_in_the_ledger_afterwards(story: Story) -> None:
    died = [one for one in story.of("broker") if one["code"] == "died"]
    assert len(died) == 1
    assert str(story.broker) in died[0]["text"]
    assert died[0]["cause"] == "broker"
    assert "started" in {one["code"] for one in story.of("broker")}
    (gone,) = [one for one in story.of("process.died") if one["zone"] == "priced"]
    assert gone["facts"]["pid"] == story.zone
    assert "SIGKILL" in gone["text"]
    assert len([one for one in story.of("process.began") if one.get("zone") == "priced"]) == 2


def test_dead_rows_are_counted_with_what_they_died_of(story: Story) -> None:
    dead = story.of("dead_letters")
    assert sum(one["facts"]["rows"] for one in dead) == 1
    assert dead[0]["zone"] == "priced"
    assert "ValueError" in dead[0]["code"]


def test_what_a_person_did_is_there_with_the_reason_and_what_the_zone_made_of_it(
    story: Story,
) -> None:
    (pause,) = [one for one in story.of("order") if one["code"] == "zone_pause"]
    assert (pause["zone"], pause["because"]) == ("priced", "look at it")
    paused = [one for one in story.of("zone.state") if one.get("after") == "paused"]
    assert [one["zone"] for one in paused] == ["priced"]
    assert paused[0]["by"] == pause["by"]


def test_it_is_read_while_it_is_written_and_by_zone(story: Story) -> None:
    assert {one["zone"] for one in story.meanwhile} == {"priced"}
    kinds = {one["kind"] for one in story.meanwhile}
    assert {"zone.state", "process.began", "order", "dead_letters"} <= kinds


def test_nothing_is_missing_and_nothing_doubled(story: Story) -> None:
    assert "are missing" not in story.told
    keys = [(one.get("zone"), one["process"], one["sequence"]) for one in story.found]
    assert len(keys) == len(set(keys))
    assert [one["at_s"] for one in story.found] == sorted(one["at_s"] for one in story.found)


def test_no_journal_is_left_of_what_was_forwarded(story: Story) -> None:
    assert list((story.shop.project / "journal").glob("*.jsonl")) == []


def test_without_the_broker_the_journals_of_this_machine_are_shown(story: Story) -> None:
    at_s = SystemClock().utc_s()
    happened = Happened(at_s=at_s, kind="broker", text="the broker has died", code="died")
    leave_word(story.shop.project, happened, name="up", clock=SystemClock())
    result = firedoor(story.shop.folder, "events", "--nats", "nats://127.0.0.1:1")
    assert result.exit_code == 1
    assert "the broker has died" in result.output
    assert "could not tell it yet" in result.stderr


def test_what_cannot_be_is_refused(story: Story) -> None:
    result = firedoor(story.shop.folder, "events", "--kind", "zo")
    assert result.exit_code == 1
    assert "there is no kind 'zo': there are zone.state," in result.stderr
    result = firedoor(story.shop.folder, "events", "--since", "yesterday")
    assert result.exit_code == 1
    assert "since='yesterday'" in result.stderr
