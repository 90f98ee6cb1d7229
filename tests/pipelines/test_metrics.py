"""A pipeline that runs answers Prometheus, at one address for all its zones."""

from __future__ import annotations

import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.shops import GOOD, LIMIT_S, Process, Shop, opened

ZONES = ("orders", "priced", "store")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(tmp_path) as made:
        yield made


def scrape(url: str) -> dict[str, float]:
    """Return samples by their name and labels."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own address
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = answer.read().decode()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def found(samples: dict[str, float], name: str, *labels: str) -> float:
    """Return the sum of the samples that have these labels."""
    return sum(
        value
        for series, value in samples.items()
        if series.startswith(f"{name}{{") and all(label in series for label in labels)
    )


def address(shop: Shop, run: Process) -> str:
    told = shop.await_line(run, r"metrics: http")
    match = re.search(r"metrics: (http\S+)", told)
    assert match
    return match[1]


def test_all_zones_of_a_pipeline_are_scraped_at_one_address(shop: Shop) -> None:
    shop.write(GOOD)
    run = shop.start("up", "shop.py", "--metrics", "0")
    url = address(shop, run)
    shop.until(run, shop.every_row_once, "every row stored")

    def told() -> bool:
        try:
            samples = scrape(url)
        except OSError:
            return False  # the broker is not there yet
        name, passed = "firedoor_zone_rows_total", 'outcome="passed"'
        zones = [found(samples, name, f'zone="{zone}"', passed) for zone in ZONES]
        limit = found(samples, "firedoor_inbox_limit_bytes", 'edge="orders:priced"')
        return limit > 0 and zones == [shop.rows] * len(ZONES)

    shop.until(run, told, "told")
    samples = scrape(url)
    units = found(
        samples, "firedoor_objective_units_total", 'zone="priced"', 'indicator="availability"',
        'outcome="good"',
    )  # fmt: skip
    assert units == shop.rows
    assert found(samples, "firedoor_objective_units_total", 'outcome="own"', "availability") == 0
    assert found(samples, "firedoor_zone_batch_seconds_count", 'zone="store"') > 0
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=LIMIT_S)


def test_a_port_that_is_not_to_be_had_is_refused(shop: Shop) -> None:
    shop.write(GOOD)
    run = shop.start("up", "shop.py", "--metrics", "9464", "--metrics-host", "192.0.2.1")
    told, _ = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 2
    assert "metrics" in told
    assert "Traceback" not in told
