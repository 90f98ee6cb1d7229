"""A zone whose step asks an HTTP service through a guard: what operators see, and may order."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.stored import firedoor
from pipelines.shops import Shop, opened

RATE = 1_000
GUARD = "priced->rates"
PIPELINE = """
import urllib.request

import polars as pl

import firedoor as fd

pipeline = fd.Pipeline("shop", owner="shop@example.com")
orders = pipeline.source("orders", fd.jsonl("orders*.jsonl"), batch_rows=500, rate={rate})
rates = fd.Guard("priced->rates", timeout_s=2, breaker=fd.BreakerPolicy(open_max_s=1))


@rates
def tax() -> int:
    with urllib.request.urlopen("http://127.0.0.1:{port}/tax", timeout=fd.remaining_s()) as answer:
        return int(answer.read())


@pipeline.transform(reads=orders, depends=[rates], network=[{port}])
def priced(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.with_columns(total=pl.col("price") * pl.col("count") * tax())


pipeline.sink("store", fd.parquet("out"), reads=priced)
"""


class Rates(http.server.BaseHTTPRequestHandler):
    """The service: it answers one number."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"3")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Service:
    """The service on one port, which it can leave and come back to."""

    def __init__(self) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rates)
        self.port = self._server.server_port
        self._serve()

    def _serve(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])
        self._thread.start()

    def leave(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def come_back(self) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Rates)
        self._serve()


def told(shop: Shop, *words: str) -> str:
    """Return what a command prints that has to succeed."""
    result = firedoor(shop.folder, *words)
    assert result.exit_code == 0, result.output + result.stderr
    return result.output


class Story:
    """One run: a guard is opened and reset by a person, and its service goes and returns."""

    def __init__(self, shop: Shop, service: Service) -> None:
        self.shop = shop
        (shop.folder / "shop.py").write_text(PIPELINE.format(rate=RATE, port=service.port))
        self.run = shop.start("run", "shop.py")
        self.await_state("running")
        shop.until(self.run, lambda: shop.zone(self.run, "store").get("batches"), "a batch stored")

        self.opened = told(shop, "zone", "open", "priced", GUARD, "--because", "a new machine")
        self.await_state("paused")
        self.held_back = self.priced()
        self.why_opened = told(shop, "why", "priced")
        self.reset = told(shop, "zone", "reset", "priced", GUARD)
        self.await_state("running")

        service.leave()
        self.await_state("paused")
        self.away = self.priced()
        self.why_away = told(shop, "why", "priced")
        self.status = json.loads(told(shop, "status", "--json"))
        self.unknown = firedoor(shop.folder, "zone", "open", "priced", "priced->nobody")
        self.none = firedoor(shop.folder, "zone", "open", "store", GUARD)
        service.come_back()
        self.await_state("running")
        self.printed, _ = self.run.communicate(timeout=60)
        self.why_after = told(shop, "why", "priced")

    def priced(self) -> dict[str, object]:
        return self.shop.zone(self.run, "priced")

    def await_state(self, state: str) -> None:
        self.shop.until(self.run, lambda: self.priced().get("state") == state, f"{state}")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    service = Service()
    try:
        with opened(tmp_path_factory.mktemp("guarded"), rows=12_000) as shop:
            yield Story(shop, service)
    finally:
        service.leave()


def test_every_row_is_stored_once_and_none_is_dead(story: Story) -> None:
    assert story.run.returncode == 0, story.printed
    assert story.shop.every_row_once()
    frame = story.shop.stored()
    assert (frame["total"] == frame["price"] * frame["count"] * 3).all()
    assert story.shop.dead() == 0


def test_a_guard_that_a_person_opens_pauses_its_zone_and_says_who_and_why(story: Story) -> None:
    assert f"priced: {GUARD} refuses every call" in story.opened
    assert story.held_back["code"] == "dependency_down"
    assert "opened it: a new machine" in str(story.held_back["cause"])
    assert f"{GUARD}: forced-open." in story.why_opened
    assert "a new machine" in story.why_opened
    assert "begins anew" in story.reset


def test_why_explains_the_guard_of_a_zone_whose_service_is_away(story: Story) -> None:
    assert story.away["code"] == "dependency_down"
    assert GUARD in str(story.away["cause"])
    section = story.why_away.partition("what its step calls, guard by guard:")[2]
    assert f"  {GUARD}: " in section
    assert "Connection refused" in section
    assert "heard" in section


def test_status_as_json_has_the_guards_in_numbers(story: Story) -> None:
    (zone,) = (zone for zone in story.status["zones"] if zone["zone"] == "priced")
    (note,) = zone["guards"]
    assert note["explained"]["guard"] == GUARD
    assert note["explained"]["totals"]["good"] > 0
    assert note["explained"]["totals"]["bad"] > 0


def test_orders_for_guards_are_recorded_with_who_and_when(story: Story) -> None:
    for words in (f"has guard {GUARD} refuse every call: a new machine", "begin anew"):
        assert words in story.why_after
    assert "@" in story.why_after.partition("has guard")[0].splitlines()[-1]


def test_a_guard_that_the_zone_does_not_have_is_refused_with_those_it_has(story: Story) -> None:
    assert story.unknown.exit_code == 1
    assert "has no guard 'priced->nobody': it depends on priced->rates" in story.unknown.stderr
    assert story.none.exit_code == 1
    assert "it names none in depends=" in story.none.stderr


def test_an_order_where_no_pipeline_ever_ran_is_refused_with_one_line(tmp_path: Path) -> None:
    with opened(tmp_path, rows=10) as shop:
        (shop.folder / "shop.py").write_text(PIPELINE.format(rate=RATE, port=1))
        code, printed = shop.call("zone", "open", "priced", GUARD)
        assert code == 1
        assert printed.count("firedoor: ") == 1
        assert "Traceback" not in printed
