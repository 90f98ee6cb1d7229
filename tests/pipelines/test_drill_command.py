"""``firedoor drill`` on a pipeline of real processes: what it proves, and what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from firedoor.compose.drill_copy import sweep
from firedoor.compose.reaching import reach
from firedoor.drill.fault import Injected
from firedoor.drill.report import Report, decode_report
from pipelines.shops import LIMIT_S, Process, Shop

pytestmark = [pytest.mark.soak, pytest.mark.timeout(180)]

PIPELINE = """
import polars as pl
import firedoor as fd

pipeline = fd.Pipeline("shop", owner="shop@example.com", runbook="https://example.com/book")
promised = fd.SLO(availability=0.99, latency_p99_s=5, freshness_s=20)
files = fd.jsonl("orders*.jsonl", follow=True)
orders = pipeline.source("orders", files, batch_rows=50, rate=250, slo=promised)


@pipeline.transform(reads=orders, timeout_s=2, slo=promised)
def priced(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.with_columns(total=pl.col("price") * pl.col("count"))


pipeline.sink("store", fd.parquet("out"), reads=priced, slo=promised)
pipeline.sink("copy", fd.parquet("copy"), reads=orders, slo=promised, drills=("latency",))
"""
MATRIX = """
version: 1
warm_up_s: 6
for_s: 3
settle_s: 1
recover_s: 30
rows:
  - {fault: poison_raise, zone: priced, share: 0.02}
  - {fault: latency, zone: copy, intensity: 0.1}
"""
LOOK_S = 0.2
ROWS = 150_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("drilled"), rows=ROWS)
    (shop.folder / "shop.py").write_text(PIPELINE)
    (shop.folder / "drills.yaml").write_text(MATRIX)
    run = shop.start("up", "shop.py")
    try:
        shop.until(run, lambda: shop.stored().height >= 500, "at work")
        yield shop
    finally:
        shop.close()


def last_report(shop: Shop) -> Report:
    """Return what the last drill found."""
    kept = sorted((shop.project / "drills").glob("*/containment.json"))
    return decode_report(kept[-1].read_bytes())


def said(shop: Shop, what: Callable[[list[Injected]], bool], within_s: float = LIMIT_S) -> float:
    """Wait until processes say that of what they inject; return for how long that took."""
    began_s = time.monotonic()

    async def work() -> None:
        async with asyncio.timeout(within_s), reach(shop.folder) as reached:
            while True:
                beats = await reached.streams.beats("injected.")
                told = [msgspec.json.decode(value, type=Injected) for value in beats.values()]
                if what([one for one in told if not one.over]):
                    return
                await asyncio.sleep(LOOK_S)

    asyncio.run(work())
    return time.monotonic() - began_s


def begun(shop: Shop, *words: str) -> Process:
    """Start a long drill, and return once it injects its fault."""
    run = shop.start(
        "drill", "run", "--fault", "latency", "--zone", "priced", "--for", "120", *words
    )
    said(shop, bool)
    return run


def test_production_is_refused_without_leave(shop: Shop) -> None:
    env = {"FIREDOOR_ENVIRONMENT": "production"}
    words = ("drill", "run", "--fault", "latency", "--zone", "priced")
    code, told = shop.call(*words, env=env)
    assert (code, "--allow-production" in told) == (2, True), told
    code, told = shop.call(*words, "--allow-production", env=env)
    assert (code, "firedoor drill allow" in told) == (2, True), told


def test_production_is_drilled_with_leave_where_zones_allow_it_and_budgets_are_whole(
    shop: Shop,
) -> None:
    env = {"FIREDOOR_ENVIRONMENT": "production"}
    code, told = shop.call("drill", "allow", "--because", "practice")
    assert code == 0, told
    words = ("drill", "run", "--fault", "latency", "--allow-production", "--share", "0.1")
    code, told = shop.call(*words, "--zone", "priced", env=env)
    assert (code, "declare drills=" in told) == (2, True), told
    code, told = shop.call(*words, "--zone", "copy", "--for", "3", env=env, within_s=120)
    assert code == 0, told
    report = last_report(shop)
    assert (report.environment, report.stopped) == ("production", "")
    assert [row.name for row in report.rows] == ["latency in copy (0.1 of the messages)"]


def test_a_contained_pipeline_passes_the_gate_and_everything_is_kept(shop: Shop) -> None:
    out = shop.folder / "found"
    code, told = shop.call("drill", "run", "--gate", "--out", str(out), within_s=150)
    report = last_report(shop)
    assert code == 0, told
    assert "contained: " in told
    assert [row.name for row in report.rows] == [
        "poison_raise in priced (0.02 of the rows)", "latency in copy (0.1 seconds)",
    ]  # fmt: skip
    assert all(row.hits and row.cleaned and row.recovered_s is not None for row in report.rows)
    assert all(each.holds for row in report.rows for each in row.conservation)
    poisoned = report.rows[0].conservation[0].rows
    assert 0 < poisoned.dead <= report.rows[0].hits
    assert any(moment.what == "dead_letters" for moment in report.rows[0].timeline)
    assert json.loads((out / "containment.json").read_text())["exit_code"] == 0
    assert (out / "retrospective.md").read_text().startswith("# Drill ")
    _, told = shop.call("events", "--kind", "drill", "--json")
    assert [json.loads(line)["code"] for line in told.splitlines()][-2:] == ["began", "ended"]


def test_a_drill_that_is_killed_leaves_nothing_and_the_next_may_begin_at_once(shop: Shop) -> None:
    run = begun(shop)
    assert "is at work in this pipeline" in shop.refused("drill", "run", "--fault", "kill")
    run.send_signal(signal.SIGKILL)
    run.wait(LIMIT_S)
    assert said(shop, lambda injected: not injected, 20) < 17
    again = begun(shop)
    again.send_signal(signal.SIGKILL)
    again.wait(LIMIT_S)
    code, told = shop.call("drill", "stop")
    assert code == 0, told
    assert said(shop, lambda injected: not injected) < 2


def test_ctrl_c_takes_the_fault_back_and_ends_with_four(shop: Shop) -> None:
    run = begun(shop, "--quiet")
    run.send_signal(signal.SIGINT)
    assert said(shop, lambda injected: not injected) < 5
    told, _ = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 4, told
    assert "asked to end by a signal" in told


def test_a_file_stops_all_drills(shop: Shop) -> None:
    file = shop.folder / "CHAOS_STOP"
    file.touch()
    try:
        code, told = shop.call("drill", "run", "--fault", "kill")
    finally:
        file.unlink()
    assert code == 4
    assert "CHAOS_STOP" in told


def test_a_copy_is_drilled_on_what_was_recorded_and_the_real_one_is_not_touched(
    shop: Shop, tmp_path: Path
) -> None:
    code, told = shop.call("drill", "record", str(tmp_path / "recording"), "--last", "10s")
    assert code == 0, told
    assert "recorded" in told
    code, told = shop.call("drill", "record", str(tmp_path / "recording"))
    assert (code, "is not empty" in told) == (1, True), told
    code, told = shop.call(
        "drill", "run", "--gate", "--replay", str(tmp_path / "recording"), within_s=170
    )
    assert code == 0, told
    assert last_report(shop).rows[0].hits
    assert not list((shop.project / "drills").glob("copy-*"))
    assert said(shop, lambda injected: not injected) < 2


def test_a_copy_ends_with_a_drill_that_is_killed_and_its_folder_goes_with_the_next(
    shop: Shop, tmp_path: Path
) -> None:
    code, told = shop.call("drill", "record", str(tmp_path / "recording"), "--last", "10s")
    assert code == 0, told
    run = shop.start(
        "drill", "run", "--fault", "latency", "--zone", "priced",
        "--replay", str(tmp_path / "recording"),
    )  # fmt: skip
    folder = shop.project / "drills" / f"copy-{run.pid}"
    shop.until(run, lambda: any((folder / "out").rglob("*.parquet")), "the copy is at work")
    copy = psutil.Process(run.pid).children(recursive=True)
    assert len(copy) > 3, "a supervisor, a broker and zones"
    run.send_signal(signal.SIGKILL)
    run.wait(LIMIT_S)
    _, left = psutil.wait_procs(copy, timeout=LIMIT_S)
    assert not left
    assert folder.exists()
    sweep(shop.project / "drills")
    assert not folder.exists()
