"""``firedoor serve`` and ``firedoor up`` in one project, in either order: one broker, no gap."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import psutil
import pytest

from serving.pressing import BIAS, asked_for, under_load
from serving.served import GONE_S, READY_S, Served, Shop, kind_of

ZONES = """
import firedoor as fd
from late import pipeline

orders = pipeline.source("orders", fd.jsonl("orders*.jsonl", follow=True), batch_rows=100)
pipeline.sink("store", fd.parquet("out"), reads=orders)
"""
BATCH = 100


class Both(Shop):
    """A project whose pipeline has zones and a service."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.file = folder / "both.py"
        self.file.write_text(ZONES)
        self.add(BIAS, live=True)
        self.rows = 0
        self.bring()

    def bring(self) -> None:
        """Bring a file of new orders, all at once."""
        numbers = range(self.rows, self.rows + BATCH)
        written = self.folder / "new"
        written.write_text("".join(json.dumps({"id": number}) + "\n" for number in numbers))
        written.rename(self.folder / f"orders_{self.rows:06}.jsonl")
        self.rows += BATCH

    def stored(self) -> bool:
        """Return whether each order was stored once."""
        found = [pl.read_parquet(file) for file in (self.folder / "out").glob("*.parquet")]
        ids = [number for frame in found for number in frame["id"].to_list()]
        return sorted(ids) == list(range(self.rows))

    @contextmanager
    def up(self) -> Iterator[subprocess.Popen[str]]:
        """Run ``firedoor up``, and end all that it started."""
        run = subprocess.Popen(
            [sys.executable, "-m", "firedoor.cli", "up", str(self.file),
             "--project", str(self.folder)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            yield run
        finally:
            if run.poll() is None:
                run.kill()
            run.communicate(timeout=GONE_S)


def brokers(*families: subprocess.Popen[str] | Served) -> list[int]:
    """Return how many brokers each of them has started that live."""
    counts = []
    for each in families:
        family = each.family() if isinstance(each, Served) else children_of(each.pid)
        counts.append(sum(kind_of(process) == "nats" for process in family))
    return counts


def children_of(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def hears(served: Served) -> bool:
    """Return whether the gateway is told what holds."""
    state = served.state()
    return state is not None and not state.broker


def logged(served: Served) -> float:
    """Return how many copies of answers are in the prediction log by now."""
    text = served.get("/metrics").body.decode()
    return sum(float(n) for n in re.findall(r"^\S*log_written_total\S* (\S+)$", text, re.MULTILINE))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(tmp_path_factory.mktemp("both"))


def test_a_run_that_comes_after_gets_the_broker_and_the_services_go_on(shop: Both) -> None:
    with Served(shop, "--port", "0") as served:
        served.ready()
        served.until(lambda: hears(served) and brokers(served) == [1])
        with under_load(served) as load:
            with shop.up() as run:
                served.until(shop.stored)
                served.until(lambda: hears(served))
                assert brokers(served, run) == [0, 1]
                asked_for(served, load, 20)
                run.send_signal(signal.SIGTERM)
                told, _ = run.communicate(timeout=READY_S)
                assert run.returncode == 0, told
                assert "every row is accounted for" in told
            served.until(lambda: hears(served) and brokers(served) == [1])
            shop.bring()
            with shop.up() as run:
                served.until(shop.stored)
                assert brokers(served, run) == [0, 1]
                run.kill()  # with its broker, whose guard notices
                served.until(lambda: brokers(served) == [1])
            asked_for(served, load, 20)
            served.until(lambda: hears(served))
        assert load.failed == []
        assert not load.degraded
        assert "predict: " in shop.run("rollout", "status", "predict")


def test_services_that_come_after_use_the_broker_of_the_run_and_predictions_lead_to_its_rows(
    shop: Both,
) -> None:
    shop.bring()
    with shop.up() as run:
        with Served(shop, "--port", "0") as served:
            served.ready()
            served.until(lambda: hears(served) and shop.stored())
            assert brokers(served, run) == [0, 1]
            reply = served.ask(4.0, X_Firedoor_Source="orders-000001/7")
            assert reply.value == 2 * 4.0 + BIAS
            served.until(lambda: logged(served) > 0)
            told = shop.run("trace", reply.headers["x-firedoor-prediction-id"])
            assert "said by    late@1 (champion)" in told
            assert "asked      x 4.0, who 'n4.0'" in told
            assert "rows       orders-000001/7: cut by orders" in told
            assert re.search(r"^ +store +written ", told, re.MULTILINE), told
            assert served.end() == 0
        assert run.poll() is None, "who ends with the services is not the run"
        shop.bring()
        ends_s = time.monotonic() + READY_S
        while not shop.stored():
            assert time.monotonic() < ends_s, "the run does not go on"
            threading.Event().wait(0.05)
