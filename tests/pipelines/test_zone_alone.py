"""`firedoor zone run NAME --nats URL`: one zone as a process of its own, without a supervisor."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from cli.stored import firedoor
from firedoor.adapters.nats.server import LocalServer, start
from firedoor.adapters.nats.streams import NatsStreams, connect
from firedoor.compose.loading import load_plan
from firedoor.compose.project import Project
from firedoor.ports.streams import Depth
from firedoor.spec.plan import Plan
from pipelines.shops import BATCH, LIMIT_S, Process, Shop, opened

T = TypeVar("T")
PIPELINE = """
import time
from pathlib import Path
import firedoor as fd

pipeline = fd.Pipeline("shop", owner="shop@example.com")
orders = pipeline.source("orders", fd.jsonl("orders.jsonl"), batch_rows=500)
signs = Path(__file__).parent / "signs"


@pipeline.transform(reads=orders, timeout_s=60, may_read=[signs])
def priced(orders):
    while not (signs / "go").exists():
        time.sleep(0.01)
    return orders


pipeline.sink("store", fd.parquet("out"), reads=priced)
"""
"""The step has a batch in hand for as long as a test wants."""


BLAMED = (
    'firedoor_objective_units_total{zone="priced",indicator="freshness",outcome="inherited",'
    'cause="broker"}'
)

LIMIT = 'firedoor_inbox_limit_bytes{edge="orders:priced"}'


class Alone:
    """A broker, and zones that nobody supervises."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.signs = shop.folder / "signs"
        self.signs.mkdir()
        (shop.folder / "shop.py").write_text(PIPELINE)
        self.plan: Plan = load_plan(shop.folder / "shop.py")
        project = Project.at(shop.folder)
        project.create()
        project.write_plan(self.plan)
        self.folder = shop.folder / "broker"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.server: LocalServer | None = None
        self.zones: dict[str, Process] = {}
        self.health = ""

    # ---- the broker

    def start_broker(self) -> None:
        if self.server is None:
            self.server = start(self.folder, self.plan, port=self.port)
            self.ask(lambda streams: streams.declare(self.plan))
        else:
            self.server.restart()

    def kill_broker(self) -> None:
        assert self.server is not None
        os.kill(self.server.pid, signal.SIGKILL)

    def close(self) -> None:
        if self.server is not None:
            self.server.stop()

    def ask(self, what: Callable[[NatsStreams], Coroutine[object, object, T]]) -> T:
        """Ask the broker as whoever may do everything."""
        assert self.server is not None
        own = self.server.endpoint()

        async def main() -> T:
            streams = await connect(own.url, pipeline="shop", user=own.user, password=own.password)
            try:
                return await what(streams)
            finally:
                await streams.close()

        return asyncio.run(main())

    def depth(self, edge: str) -> Depth:
        return self.ask(lambda streams: streams.depth(edge))

    # ---- zones

    def run(self, zone: str, *more: str) -> Process:
        """Start a zone's process, as whatever schedules processes does."""
        file = self.shop.folder / f"{zone}.credentials"
        if not file.exists():  # the passwords of a store stay the same
            if self.server is None:
                with start(self.folder, self.plan) as server:
                    self._write(server, zone, file)
            else:
                self._write(self.server, zone, file)
        return self.shop.start(
            "zone", "run", zone, "--nats", f"nats://127.0.0.1:{self.port}",
            "--credentials", str(file), *more,
        )  # fmt: skip

    @staticmethod
    def _write(server: LocalServer, zone: str, file: Path) -> None:
        endpoint = server.endpoint(zone)
        file.write_text(json.dumps({"user": endpoint.user, "password": endpoint.password}))

    def get(self, path: str) -> tuple[int, dict[str, object]]:
        """Return status and answer of a probe; 0 if nobody answers."""
        try:
            with urllib.request.urlopen(self.health + path, timeout=LIMIT_S) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            return 0, {}

    def scrape(self) -> dict[str, float]:
        """Return the zone's metrics by name and labels, without the process that each names."""
        with urllib.request.urlopen(f"{self.health}/metrics", timeout=LIMIT_S) as answer:  # noqa: S310
            text = re.sub(r',?(process|pipeline)="[^"]+"', "", answer.read().decode())
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {series: float(value) for series, _, value in lines}

    def await_metric(self, series: str) -> None:
        """Wait until a series is there: seconds are counted as they end."""
        ends_s = time.monotonic() + LIMIT_S
        while series not in self.scrape():
            assert time.monotonic() < ends_s, f"no {series}"
            time.sleep(0.02)

    def await_probe(self, path: str, code: int, state: str, run: Process) -> dict[str, object]:
        """Wait until a probe is answered so."""
        ends_s = time.monotonic() + LIMIT_S
        while True:
            found, answer = self.get(path)
            if (found, answer.get("state")) == (code, state):
                return answer
            assert run.poll() is None, f"ended: {run.communicate()[0]}"
            assert time.monotonic() < ends_s, f"not {code} {state}, but {found} {answer}"
            time.sleep(0.02)


class Story:
    """The life of zone ``priced``: before its broker, with it, without it, and to its end."""

    def __init__(self, alone: Alone) -> None:
        self.alone = alone
        priced = alone.run("priced", "--health", "0")
        told = alone.shop.await_line(priced, "^health: ")
        alone.health = told.split("health: ")[1].split("/readyz")[0]
        self.seen: dict[str, list[tuple[int, dict[str, object]]]] = {}
        self.see("before its broker", "starting", 503, priced)
        alone.start_broker()
        self.see("with its order", "running", 200, priced)

        self.order("pause", "audit")
        self.see("paused", "paused", 503, priced)
        self.order("resume", "")
        self.see("resumed", "running", 200, priced)

        alone.kill_broker()
        self.see("without its broker", "blocked", 503, priced)
        alone.await_metric(BLAMED)
        alone.start_broker()
        self.see("with its broker again", "running", 200, priced)
        alone.await_metric(LIMIT)
        self.metrics = alone.scrape()

        orders = alone.run("orders")
        self.orders_told, _ = orders.communicate(timeout=LIMIT_S)
        self.orders_code = orders.returncode
        alone.shop.until(
            priced, lambda: alone.depth("orders:priced").unacknowledged, "a batch in hand"
        )
        priced.send_signal(signal.SIGTERM)
        self.see("draining", "draining", 503, priced)
        (alone.signs / "go").touch()
        self.priced_told, _ = priced.communicate(timeout=LIMIT_S)
        self.priced_code = priced.returncode
        self.depths = {edge.name: alone.depth(edge.name) for edge in alone.plan.edges}

    def see(self, when: str, state: str, code: int, run: Process) -> None:
        """Wait for a state; note what both probes say then."""
        ready = self.alone.await_probe("/readyz", code, state, run)
        self.seen[when] = [(code, ready), self.alone.get("/livez")]

    def order(self, verb: str, because: str) -> None:
        """Order as a person does who has the project's folder and the broker's address."""
        assert self.alone.server is not None
        own = self.alone.server.endpoint()
        Project.at(self.alone.shop.folder).write_endpoint(
            type(own)(url=own.url, user=own.user, password=own.password)  # type: ignore[arg-type]
        )
        result = firedoor(self.alone.shop.folder, "zone", verb, "priced", "--because", because,
                          "--nats", own.url)  # fmt: skip
        assert result.exit_code == 0, result.stderr


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with opened(tmp_path_factory.mktemp("alone"), rows=2 * BATCH) as shop:
        alone = Alone(shop)
        try:
            yield Story(alone)
        finally:
            alone.close()


@pytest.mark.parametrize(
    "when",
    [
        "before its broker", "with its order", "paused", "resumed", "without its broker",
        "with its broker again", "draining",
    ],
)  # fmt: skip
def test_it_is_alive_whatever_happens_and_ready_only_while_batches_go_through(
    story: Story, when: str
) -> None:
    (code, ready), (alive, answer) = story.seen[when]
    assert ready["zone"] == "priced"
    assert ready["ok"] is (code == 200)
    assert (alive, answer["ok"]) == (200, True)


def test_a_probe_says_why_it_is_not_ready(story: Story) -> None:
    assert "audit" in str(story.seen["paused"][0][1]["cause"])
    assert "does not answer" in str(story.seen["without its broker"][0][1]["cause"])


def test_its_metrics_say_whose_fault_it_was_that_it_stood_still(story: Story) -> None:
    metrics = story.metrics
    assert metrics['firedoor_zone_state{zone="priced",state="running"}'] == 1
    assert metrics[BLAMED] >= 1
    assert metrics[LIMIT] > 0


def test_sigterm_drains_it_and_leaves_nothing_unacknowledged(story: Story) -> None:
    assert story.priced_code == 0, story.priced_told
    assert [depth.unacknowledged for depth in story.depths.values()] == [0, 0]
    batches = [depth.messages for depth in story.depths.values()]
    assert sum(batches) == 2, "what was begun is done, and the rest waits"
    assert batches[1] >= 1


def test_a_source_by_itself_ends_when_it_has_no_more(story: Story) -> None:
    assert story.orders_code == 0, story.orders_told
    assert story.orders_told == ""


def test_what_cannot_begin_is_one_clear_error(story: Story, tmp_path: Path) -> None:
    shop = story.alone.shop
    port = str(story.alone.port)
    broker = ("--nats", f"nats://127.0.0.1:{port}")
    for words, says in [
        (("prised", *broker), "choose one of orders, priced, store"),
        (("priced", *broker, "--project", str(tmp_path)), "is no project folder"),
        (("priced", *broker, "--health", port), "cannot be listened to"),
        (("priced", "--nats", "here"), "is no address of a broker"),
        (("priced", *broker, "--credentials", "nowhere.json"), "cannot be read"),
    ]:
        assert says in shop.refused("zone", "run", *words)
