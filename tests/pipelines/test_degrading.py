"""Degrading with the real broker, processes and files: told in the rows, exact, and reversible."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from firedoor.data.shedding import _drawn
from pipelines import test_zone_alone
from pipelines.shops import LIMIT_S, Process, Shop, opened

ROWS = 4_000
OLDER = """
import polars as pl
import firedoor as fd

pipeline = fd.Pipeline("shop", owner="shop@example.com")
orders = pipeline.source("orders", fd.jsonl("orders*.jsonl"), batch_rows=50, rate=200)
rates = fd.lookup("rates", "rates.csv", key=["count"], refresh_s=1)


@pipeline.transform(reads=orders, lookups={"rates": rates}, degrade=[fd.Older(max_age_s=6)])
def priced(orders: pl.DataFrame, rates: pl.DataFrame) -> pl.DataFrame:
    return orders.join(rates, on="count", how="left", maintain_order="left")


others = pipeline.sink("others", fd.parquet("others"), reads=priced)
pipeline.sink("store", fd.parquet("out"), reads=priced)
pipeline.sink(
    "best", fd.parquet("best"), reads=priced, requires_quality=fd.Quality(below=others),
)
pipeline.sink("strict", fd.parquet("strict"), reads=priced, requires_quality=fd.Quality())


@pipeline.sink(reads=priced, requires_quality=fd.Quality(of=["rates"], below="drop"))
def fussy(frame: pl.DataFrame, key: str) -> None:
    assert frame["fd_rates_quality"].unique().to_list() == ["live"], key
"""
PRESSED = """
import time
import polars as pl
import firedoor as fd

pipeline = fd.Pipeline("shop", owner="shop@example.com")
orders = pipeline.source("orders", fd.jsonl("orders*.jsonl"), batch_rows=500)


@pipeline.transform(
    reads=orders, slo=fd.SLO(freshness_s=2), runbook="https://example.com/priced",
    degrade=[fd.Sample(keep=0.1, key=["id"]), fd.Slower(wait_s=0.2)],
)
def priced(orders: pl.DataFrame) -> pl.DataFrame:
    time.sleep(0.5)
    return orders


pipeline.sink("store", fd.parquet("out"), reads=priced)
"""


def read(shop: Shop, folder: str) -> pl.DataFrame:
    """Return what a sink has written, in order."""
    files = sorted(shop.folder.glob(f"{folder}/*.parquet"))
    return pl.concat(pl.read_parquet(file) for file in files).sort("id")


def rungs(shop: Shop, run: Process) -> list[str]:
    """Return the steps that zone priced is on."""
    degraded = shop.zone(run, "priced").get("degraded") or {}
    found: list[str] = degraded.get("rungs", [])
    return found


def ids(frame: pl.DataFrame) -> list[int]:
    """Return the numbers of the orders."""
    return frame["id"].to_list()


class Story:
    """A lookup that cannot be read for a while, and readers that require a quality."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        (shop.folder / "shop.py").write_text(OLDER)
        self.rate(1)
        run = shop.start("run", "shop.py")
        shop.until(run, lambda: shop.stored().height >= 100, "rows are stored")
        (shop.folder / "rates.csv").unlink()
        shop.until(run, lambda: rungs(shop, run) == ["older"], "it is on the step older")
        self.status = shop.call("status")[1]
        self.why = shop.call("why", "priced")[1]
        shop.until(run, lambda: self.priced(run).get("state") == "paused", "it waits")
        self.waiting = self.priced(run)
        self.rate(2)
        shop.until(run, lambda: self.priced(run).get("state") == "running", "it goes on")
        shop.until(run, lambda: not rungs(shop, run), "it is on no step")
        self.told, _ = run.communicate(timeout=LIMIT_S)
        self.code = run.returncode
        self.stored = read(shop, "out")
        self.strict = read(shop, "strict")
        self.dead = json.loads(shop.call("dlq", "list", "--json")[1])["groups"]

    def rate(self, rate: int) -> None:
        """Have the lookup be there, with one rate for all."""
        new = self.shop.folder / "rates.new"
        pl.DataFrame({"count": [0, 1, 2], "rate": [rate] * 3}).write_csv(new)
        new.rename(self.shop.folder / "rates.csv")

    def priced(self, run: Process) -> dict[str, object]:
        """Return what the zone says of itself."""
        return self.shop.zone(run, "priced")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with opened(tmp_path_factory.mktemp("older"), rows=ROWS) as shop:
        yield Story(shop)


def test_rows_say_that_their_features_were_older_and_how_old(story: Story) -> None:
    assert ids(story.stored) == list(range(ROWS))
    assert set(story.stored["fd_rates_quality"]) == {"live", "older"}
    older = story.stored.filter(pl.col("fd_rates_quality") == "older")
    assert older["fd_rates_age_s"].is_between(2, 6).all()
    assert set(older["rate"]) == {1}, "the last good version"
    live = story.stored.filter(pl.col("fd_rates_quality") == "live")
    assert live["fd_rates_age_s"].is_between(0, 2).all()
    assert set(story.stored["fd_weight"]) == {1.0}


def test_past_the_bound_the_zone_waits_and_goes_on_with_the_version_that_comes(
    story: Story,
) -> None:
    assert story.waiting["code"] == "dependency_down"
    assert "and 6 s are allowed: it waits until the lookup can be read again" in str(
        story.waiting["cause"]
    )
    last = story.stored.filter(pl.col("id") > ROWS - 500)
    assert set(last["rate"]) == {2}
    assert set(last["fd_rates_quality"]) == {"live"}
    assert story.code == 0, story.told
    assert "every row is accounted for" in story.told


def test_status_and_why_tell_it(story: Story) -> None:
    assert "priced is degraded: older" in story.status.splitlines()[0]
    assert "degraded: older" in story.why
    assert "rates: older, " in story.why
    assert "rates is older, " in story.why


def test_what_is_below_goes_to_the_zone_beside_and_nothing_else_does(story: Story) -> None:
    code = pl.col("fd_rates_quality")
    assert ids(read(story.shop, "best")) == ids(story.stored.filter(code == "live"))
    assert ids(read(story.shop, "others")) == ids(story.stored.filter(code == "older"))


def test_what_is_below_is_dead_where_that_is_declared_and_a_replay_is_taken(story: Story) -> None:
    older = story.stored.filter(pl.col("fd_rates_quality") == "older")
    assert ids(story.strict) == ids(story.stored.filter(pl.col("fd_rates_quality") == "live"))
    (group,) = story.dead
    assert (group["zone"], group["code"], group["rows"]) == ("strict", "quality", older.height)

    shop = story.shop
    code, told = shop.call("dlq", "replay", "--zone", "strict")
    assert code == 0, told
    code, told = shop.run()
    assert code == 0, told
    after = read(shop, "strict")
    assert ids(after) == list(range(ROWS))
    assert set(after.filter(pl.col("id").is_in(ids(older)))["fd_rates_quality"]) == {"older"}


def test_under_pressure_a_run_samples_exactly_and_a_kill_of_the_zone_changes_no_row(
    tmp_path: Path,
) -> None:
    with opened(tmp_path, rows=20_000) as shop:
        (shop.folder / "shop.py").write_text(PRESSED)
        run = shop.start("run", "shop.py")
        shop.until(run, lambda: "sample" in rungs(shop, run), "it samples")
        before = len(list(shop.folder.glob("out/*.parquet")))
        shop.until(
            run, lambda: len(list(shop.folder.glob("out/*.parquet"))) > before, "a sample is stored"
        )
        os.kill(shop.zone(run, "priced")["pid"], signal.SIGKILL)
        told, _ = run.communicate(timeout=LIMIT_S)
        assert run.returncode == 0, told
        assert "every row is accounted for" in told

        stored = shop.stored()
        assert stored["id"].is_unique().all()
        weights = dict(stored.group_by("fd_weight").len().iter_rows())
        assert set(weights) == {1.0, 10.0}
        whole, kept = weights[1.0], weights[10.0]
        assert whole % 500 == 0, "a batch is taken whole, or sampled"
        dropped = 20_000 - whole - kept
        assert f"{dropped:,}" in told, "the books say how many were left out"
        batches = {number // 500 for number in stored.filter(pl.col("fd_weight") == 1.0)["id"]}
        sampled = [n for n in range(20_000) if n // 500 not in batches]
        places = _drawn([str(n) for n in sampled], 0.1, "priced")
        assert ids(stored.filter(pl.col("fd_weight") == 10.0)) == [sampled[n] for n in places]
        assert stored["fd_weight"].sum() == pytest.approx(20_000, rel=0.1)


FOLLOWING = """
import polars as pl
import firedoor as fd

pipeline = fd.Pipeline("shop", owner="shop@example.com")
orders = pipeline.source("orders", fd.jsonl("orders.jsonl", follow=True), batch_rows=500)
rates = fd.lookup("rates", "rates.csv", key=["count"], refresh_s=1)


@pipeline.transform(reads=orders, lookups={"rates": rates})
def priced(orders: pl.DataFrame, rates: pl.DataFrame) -> pl.DataFrame:
    return orders.join(rates, on="count", how="left", maintain_order="left")


pipeline.sink("store", fd.parquet("out"), reads=priced)
"""


def test_a_source_that_nobody_supervises_reads_lookups_again_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_zone_alone, "PIPELINE", FOLLOWING)
    with opened(tmp_path, rows=100) as shop:
        rates = shop.folder / "rates.csv"
        rates.write_text("count,rate\n0,1\n1,1\n2,1\n")
        alone = test_zone_alone.Alone(shop)
        try:
            alone.start_broker()
            assert alone.server is not None
            own = alone.server.endpoint()  # of who may declare, as --pipeline does
            (shop.folder / "orders.credentials").write_text(
                json.dumps({"user": own.user, "password": own.password})
            )
            run = alone.run("orders", "--pipeline", "shop.py")
            current = shop.project / "lookups" / "current.json"
            shop.until(run, current.exists, "the lookup is read")
            before = current.read_text()
            rates.write_text("count,rate\n0,2\n1,2\n2,2\n")
            shop.until(run, lambda: current.read_text() != before, "it is read again")
            run.send_signal(signal.SIGTERM)
            told, _ = run.communicate(timeout=LIMIT_S)
            assert run.returncode == 0, told
        finally:
            alone.close()
