"""A zone that scores, real broker and processes: whatever happens, each row is scored once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import firedoor as fd
from firedoor.compose.reaching import reach
from firedoor.wire.records import BatchRecord
from pipelines.shops import Process, Shop, opened

ROWS = 4_000
BATCH = 20
PIPELINE = """
import polars as pl
import firedoor as fd

pipeline = fd.Pipeline("shop", owner="shop@example.com")
orders = pipeline.source("orders", fd.jsonl("orders*.jsonl"), batch_rows=20, rate={rate})


@pipeline.transform(
    reads=orders, models={{"model": fd.model("late", column="model_version")}}, name="score"
)
def score(orders: pl.DataFrame, model: int) -> pl.DataFrame:
    return orders.with_columns(score=pl.lit(model))


@pipeline.transform(reads=score)
def tidied(scored: pl.DataFrame) -> pl.DataFrame:
    return scored.with_columns(seen=pl.lit(value=True))


pipeline.sink("store", fd.parquet("out"), reads=tidied)
"""
LOADING = """
from pathlib import Path


def number(folder: Path) -> int:
    return int((folder / "number").read_text())
"""


class Scoring:
    """A shop whose orders are scored by the number of the version that is live."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.models = fd.Models(shop.folder)
        (shop.folder / "loading.py").write_text(LOADING)
        self.went_back_s: list[tuple[float, float]] = []
        """When each command that went back was given, and when it returned."""

    def write(self, *, rate: int) -> None:
        (self.shop.folder / "shop.py").write_text(PIPELINE.format(rate=rate))

    def add(self, count: int) -> None:
        """Have so many versions go live, one after another."""
        for _ in range(count):
            folder = self.shop.folder / "trained"
            folder.mkdir(exist_ok=True)
            number = len(self.models.read("late").state.versions) + 1 if self.known() else 1
            (folder / "number").write_text(str(number))
            self.models.add("late", folder, loader="loading:number")
            self.models.qualify(f"late@{number}", "promote", because="it was measured")
            self.models.promote(f"late@{number}", anyway=True)

    def known(self) -> bool:
        return (self.shop.project / "models" / "registry").is_dir()

    def command(self, *words: str) -> None:
        """Change the model from the command line, as a person does."""
        began_s = time.time()
        code, told = self.shop.call("models", *words, "--because", "scores are off")
        assert code == 0, told
        self.went_back_s.append((began_s, time.time()))

    def until_stored(self, run: Process, share: float) -> None:
        """Wait until the sink has so much."""
        shop = self.shop
        due = int(shop.rows * share)
        shop.until(run, lambda: shop.stored().height >= due, f"{due} rows stored")

    def finish(self, run: Process) -> None:
        told, _ = run.communicate(timeout=90)
        assert run.returncode == 0, told

    def records(self, zone: str) -> list[BatchRecord]:
        async def read() -> list[BatchRecord]:
            async with reach(self.shop.folder) as reached:
                return [record async for record in reached.streams.records(zone)]

        return sorted(asyncio.run(read()), key=lambda record: record.began_s)

    def check(self) -> dict[str, str]:
        """Hold all that came of it to what has to be true; return the version of each batch."""
        assert self.shop.every_row_once()
        stored = self.shop.stored()
        assert stored["model_version"].to_list() == [f"late@{n}" for n in stored["score"].to_list()]
        files = {
            file.stem: pl.read_parquet(file)["model_version"].unique().to_list()
            for file in self.shop.folder.glob("out/*.parquet")
        }
        assert all(len(versions) == 1 for versions in files.values()), files
        by_batch = {batch: versions[0] for batch, versions in files.items()}
        for zone in ("score", "tidied", "store"):
            told = {record.batch: record.models["late"] for record in self.records(zone)}
            assert told == by_batch, zone
        return by_batch


@pytest.fixture
def scoring(tmp_path: Path) -> Iterator[Scoring]:
    with opened(tmp_path, rows=ROWS) as shop:
        yield Scoring(shop)


def test_a_rollback_while_scoring_leaves_no_row_unscored_or_scored_twice(scoring: Scoring) -> None:
    scoring.add(2)
    scoring.write(rate=800)
    run = scoring.shop.start("run", "shop.py")
    scoring.until_stored(run, 0.3)
    scoring.command("rollback", "late")
    scoring.finish(run)
    by_batch = scoring.check()
    assert set(by_batch.values()) == {"late@1", "late@2"}
    ((given_s, returned_s),) = scoring.went_back_s
    records = scoring.records("score")
    before = {r.models["late"] for r in records if r.ended_s < given_s}
    after = {r.models["late"] for r in records if r.began_s > returned_s}
    assert (before, after) == ({"late@2"}, {"late@1"})


@pytest.mark.timeout(240)
def test_a_zone_that_is_killed_around_a_rollback_scores_each_row_once_by_one_version(
    scoring: Scoring,
) -> None:
    scoring.add(3)
    scoring.write(rate=200)
    shop = scoring.shop
    run = shop.start("run", "shop.py")
    killed = set[int]()

    def kill() -> None:
        shop.until(run, lambda: alive(shop, run, killed), "at work again")
        pid = shop.zone(run, "score")["pid"]
        killed.add(pid)
        os.kill(pid, signal.SIGKILL)

    for share in (0.1, 0.45):
        scoring.until_stored(run, share)
        kill()
        scoring.command("rollback", "late")
        kill()
    scoring.finish(run)
    by_batch = scoring.check()
    assert set(by_batch.values()) == {"late@1", "late@2", "late@3"}
    records = scoring.records("score")
    assert len(killed) == 4
    for (_, returned_s), newer in zip(scoring.went_back_s, ("late@3", "late@2"), strict=True):
        late = [r for r in records if r.began_s > returned_s and r.models["late"] == newer]
        assert all(record.deliveries > 1 for record in late), "first handled later, by the newer"


def alive(shop: Shop, run: Process, killed: set[int]) -> bool:
    """Return whether a process of the zone is at work that was not killed."""
    beat = shop.zone(run, "score")
    return beat.get("pid") not in {None, *killed} and beat.get("state") == "running"


def test_a_quarantine_while_scoring_goes_back_and_without_an_older_version_rows_wait(
    scoring: Scoring,
) -> None:
    scoring.add(2)
    scoring.write(rate=800)
    shop = scoring.shop
    run = shop.start("run", "shop.py")
    scoring.until_stored(run, 0.2)
    scoring.command("quarantine", "late@2")
    scoring.until_stored(run, 0.5)
    scoring.command("quarantine", "late@1")
    shop.until(run, lambda: shop.zone(run, "score").get("state") == "paused", "waiting")
    beat = shop.zone(run, "score")
    assert beat["code"] == "dependency_down"
    assert "model 'late' has no champion: promote a version" in beat["cause"]
    scoring.add(1)
    scoring.finish(run)
    by_batch = scoring.check()
    assert set(by_batch.values()) == {"late@1", "late@2", "late@3"}
    records = scoring.records("score")
    (_, first_s), (_, second_s) = scoring.went_back_s
    assert {r.models["late"] for r in records if r.began_s > second_s} == {"late@3"}
    assert "late@2" not in {r.models["late"] for r in records if r.began_s > first_s}


def test_a_model_that_does_not_load_halts_its_zone_and_a_rollback_brings_it_back(
    scoring: Scoring,
) -> None:
    scoring.add(1)
    scoring.write(rate=800)
    folder = scoring.shop.folder / "trained"
    (folder / "number").write_text("seven")
    scoring.models.add("late", folder, loader="loading:number")
    scoring.models.qualify("late@2", "promote", because="it was measured")
    shop = scoring.shop
    run = shop.start("run", "shop.py")
    scoring.until_stored(run, 0.1)
    scoring.models.promote("late@2")
    shop.until(run, lambda: shop.zone(run, "score").get("state") == "halted", "halted")
    beat = shop.zone(run, "score")
    assert beat["code"] == "model_unloadable"
    assert "model late@2 cannot be loaded" in beat["cause"]
    assert "invalid literal for int() with base 10: 'seven'" in beat["cause"]
    scoring.command("rollback", "late")
    code, told = shop.call("zone", "restart", "score")
    assert code == 0, told
    scoring.finish(run)
    assert set(scoring.check().values()) == {"late@1"}
