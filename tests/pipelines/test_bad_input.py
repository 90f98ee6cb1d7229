"""Bad input, as who runs a pipeline meets it: one clear error, and nothing is lost.

What is wrong with files and steps is tried in one run (``wrong_shop``), in which each zone halts
for a reason of its own; the next one, with all of it corrected, has every row.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
from typer.testing import CliRunner

from data.reading_aids import cut_all, parquet
from firedoor.cli.main import app
from firedoor.data.reading.cut import Unreadable
from pipelines import wrong_shop
from pipelines.disks import Limited, small_disk
from pipelines.shops import BATCH, GOOD, Shop, opened, shop

__all__ = ["shop"]


@dataclass(frozen=True)
class Ended:
    """How a run of the wrong shop ended."""

    folder: Path
    code: int
    told: str
    figures: dict[str, Any]

    @property
    def stuck(self) -> dict[str, tuple[str, str]]:
        """By zone, why it waits for a person, on one line, and what to do next."""
        return {
            zone["zone"]: (" ".join(zone["why"].split()), zone["next_command"])
            for zone in self.figures["stuck"]
        }

    def ids(self, *, zone: str = "", source: str = "") -> list[int]:
        """Return the ids that came through a zone, or from a source, to the store."""
        files = self.folder.glob(f"out/{source}*{f'@{zone}' if zone else ''}.parquet")
        return sorted(number for file in files for number in pl.read_parquet(file)["id"])


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop with something wrong about each zone."""
    with opened(tmp_path_factory.mktemp("wrong"), rows=0) as shop:
        wrong_shop.make_wrong(shop.folder)
        yield shop


@pytest.fixture(scope="module")
def halted(wrong: Shop) -> Ended:
    """The first run."""
    return end(wrong, env={wrong_shop.VARIABLE: "secret"})


@pytest.fixture(scope="module")
def corrected(wrong: Shop, halted: Ended) -> Ended:
    """The next run, after all of it was corrected."""
    assert halted.code, "the first one comes first"
    wrong_shop.correct(wrong.folder)
    return end(wrong, env={})


def end(shop: Shop, *, env: dict[str, str]) -> Ended:
    """Run to the end, as somebody whom the modes of files keep out."""
    words = ("run", "shop.py", "--json", "figures.json")
    code, told = shop.call(*words, env=env, modes_hold=True, within_s=100)
    figures = json.loads((shop.folder / "figures.json").read_text())
    return Ended(shop.folder, code, told, figures)


HALTS = {
    "tables": ("tables-3.parquet is truncated, or no Parquet file", "bring it whole",
               "firedoor zone restart tables"),
    "sheets": ("sheets-3.csv, lines 2 to 61: column 'price' is declared in Order and not in",
               "Was 'price' renamed to 'prise'?", "correct the file or the schema, then run"),
    "words": ("words.jsonl, lines 1 to 60: 60 of 60 rows fail in the same way", "id|dtype",
              "'no. 0' is not Int64; correct the file or the schema"),
    "no_frame": ("orders-000000: the step returned a dict: make a frame of it",),
    "more_rows": ("the step returned", "a row may become one row or none", "expands=True"),
    "reordered": ("the step returned rows reordered: keep their order, and each once",),
    "renamed": ('unable to find column "prise"', 'Did you mean "price"?', "steps.py:19 in renamed"),
    "hangs": ("rows sampled from 60 fail in the same way, alone, so it is the step, not the rows",
              "exceeded 400 ms", "in hangs"),
    "enrich": ("the step cannot be loaded: KeyError: 'SHOP_TOKEN' (tokened.py:4)",
               "name this one in env=['SHOP_TOKEN']"),
    "archive": (".parquet may not be written (Permission denied): allow it to the user who runs",
                "then `firedoor zone restart archive`"),
}  # fmt: skip


class TestWhatAZoneMeets:
    @pytest.mark.parametrize(("zone", "says"), HALTS.items(), ids=HALTS)
    def test_it_halts_and_says_what_and_why_and_what_to_do(
        self, halted: Ended, zone: str, says: tuple[str, ...]
    ) -> None:
        why, next_command = halted.stuck[zone]
        for text in says:
            assert text in why
        assert next_command == f"firedoor why {zone}"
        assert f"{zone} is in a state of 'halted': " in halted.told

    def test_the_run_ends_with_the_zones_that_wait_and_no_traceback(self, halted: Ended) -> None:
        assert halted.code == 1, halted.told
        assert set(halted.stuck) == set(HALTS)
        assert f"{len(HALTS)} zones wait for a person" in halted.told
        assert "Traceback" not in halted.told
        assert "secret" not in halted.told

    def test_nothing_is_dead_lettered_and_every_row_is_accounted_for(self, halted: Ended) -> None:
        assert halted.figures["dead"] == 0
        assert halted.figures["conservation"] is True
        waiting = wrong_shop.ROWS * (len(wrong_shop.STEPS) + 1)
        assert halted.figures["in_flight"] == waiting
        for step in wrong_shop.STEPS:
            assert halted.ids(zone=step) == []

    def test_files_without_rows_are_no_error_and_what_is_whole_goes_on(self, halted: Ended) -> None:
        assert "orders: done" in halted.told
        assert "dropped             3 rows in orders: blank" in halted.told
        assert halted.figures["sinks"] == {"store": 120, "archive": 0}

    def test_corrected_the_next_run_ends_with_every_row_once(self, corrected: Ended) -> None:
        assert corrected.code == 0, corrected.told
        every = list(range(wrong_shop.ROWS))
        for step in wrong_shop.STEPS:
            assert corrected.ids(zone=step) == every, step
        for source in ("tables", "sheets", "words"):
            assert corrected.ids(source=source) == every, source
        archive = pl.read_parquet(corrected.folder / "archive" / "*.parquet")
        assert sorted(archive["id"]) == every
        assert corrected.figures["dead"] == 0


def test_a_damaged_file_is_read_up_to_there_and_on_from_there_once_it_is_whole(
    tmp_path: Path,
) -> None:
    file = tmp_path / "table.parquet"
    table = pl.DataFrame({"a": [os.urandom(8).hex() for _ in range(4_000)]})
    table.write_parquet(file, row_group_size=2_000, compression="snappy")
    whole, times = file.read_bytes(), (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    middle = len(whole) * 3 // 4
    file.write_bytes(whole[:middle] + b"\xff" * 400 + whole[middle + 400 :])
    os.utime(file, ns=times)

    supply = parquet(file)
    first = supply.cut(None, 100)
    assert first is not None
    with pytest.raises(Unreadable) as caught:
        cut_all(supply, 100, first.position)
    assert f"{file} is damaged (" in str(caught.value)
    assert "bring it whole, under the time that it has (`touch -d`)" in str(caught.value)

    file.write_bytes(whole)
    os.utime(file, ns=times)
    rest = cut_all(parquet(file), 100, first.position)
    assert pl.concat([first.frame, *(cut.frame for cut in rest)]).equals(table)


# ---- what cannot begin

DECLARED = """
import dataframely as dy
import polars as pl
import firedoor as fd

class Order(dy.Schema):
    id = dy.Int64()
    email = dy.String()

class Other(dy.Schema):
    id = dy.{other}()

class Bare(dy.Schema):
    pass

pipeline = fd.Pipeline("shop")
orders = pipeline.source("orders", fd.jsonl("orders.jsonl"), {source})

@pipeline.transform(reads=orders, {step})
def priced(orders: pl.DataFrame) -> pl.DataFrame:
    return orders

pipeline.sink("store", fd.parquet("out"), reads=priced)
{more}
"""
ORDERS = {"source": "schema=Order", "step": "", "more": "", "other": "Int64"}
CANNOT_BE = {
    "a schema without columns": (
        {"source": "schema=Bare"},
        "shop.py:17: schema='Bare': declares no columns; declare at least one, or leave",
    ),
    "an unknown column to mask": (
        {"source": "schema=Order, sensitive=['emial']"},
        "sensitive='emial': is no column of Order; did you mean 'email'? Otherwise declare it",
    ),
    "an unknown column on an edge": (
        {"source": "schema=Other", "step": "schema=Order"},
        "column 'email' is declared in Order and not in Other; make schema= of orders and",
    ),
    "another type on an edge": (
        {"step": "schema=Other", "other": "String"},
        "column 'id' is Int64 in Order and String in Other; only a wider type passes; make",
    ),
    "a wrong argument": (
        {"source": "schema=Order, batch_rows='many'"},
        "shop.py:17: batch_rows='many': is out of range; give 1 to 1,000,000 rows",
    ),
    "no Python": ({"more": "def priced(:"}, "shop.py:24: is not Python: "),
    "a module that is not there": (
        {"more": "import nonesuch"},
        "its import fails: ModuleNotFoundError: No module named 'nonesuch'",
    ),
    "a module that raises": (
        {"more": "{}['price']"}, "its import fails: KeyError: 'price'",
    ),
    "a module that exits": (
        {"more": "import sys\nsys.exit('bye')"},
        "its import calls sys.exit('bye')",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "says"), CANNOT_BE.values(), ids=CANNOT_BE)
def test_what_cannot_be_is_refused_before_anything_is_begun(
    tmp_path: Path, given: dict[str, str], says: str
) -> None:
    file = tmp_path / "shop.py"
    file.write_text(DECLARED.format_map({**ORDERS, **given}))
    (tmp_path / "orders.jsonl").write_text('{"id": 1, "email": "a@example.com"}\n')
    done = CliRunner().invoke(app, ["run", str(file), "--project", str(tmp_path)])
    said = " ".join(done.stderr.split())
    assert done.exit_code == 2, done.output
    assert said.startswith(f"firedoor: {file}")
    assert says in said
    assert "Traceback" not in said
    assert not done.stdout
    assert list((tmp_path / ".firedoor" / "logs").iterdir()) == [], "no zone was started"


def test_inputs_that_cannot_be_read_are_all_named_before_anything_is_begun(shop: Shop) -> None:
    shop.write(GOOD)
    (shop.folder / "closed.jsonl").touch(mode=0)
    (shop.folder / "folder.csv").mkdir()
    with (shop.folder / "shop.py").open("a") as file:
        file.write(
            "odd = pipeline.source('odd', fd.jsonl(['gone.jsonl', 'no-*.jsonl', 'closed.jsonl', "
            "'folder.csv']))\n"
            "tables = {'a': fd.lookup('gone', 'gone.csv'), 'b': fd.lookup('folder', 'folder.csv')}"
            "\n@pipeline.transform(reads=odd, lookups=tables)\n"
            "def join(frame, a, b): return frame\n"
            "pipeline.sink('joined', fd.parquet('joined'), reads=join)\n"
        )
    said = shop.refused("run", "shop.py", modes_hold=True)
    for text in (
        "/gone.jsonl matches no file; correct the path, which is relative to the pipeline's file",
        "/no-*.jsonl matches no file",
        "/closed.jsonl may not be read; allow it to the user who runs firedoor",
        f"source odd: {shop.folder}/folder.csv is a folder; name a file in it",
        f"lookup gone: there is no file {shop.folder}/gone.csv; make it, or correct the path",
        f"lookup folder: {shop.folder}/folder.csv is a folder",
    ):
        assert text in said
    assert list((shop.project / "logs").iterdir()) == [], "no zone was started"


def test_a_lookup_without_its_key_is_refused_by_check_and_by_run(shop: Shop) -> None:
    (shop.folder / "rates.csv").write_text("cuont,rate\n1,2\n")
    table = "fd.lookup('rates', 'rates.csv', key=['count'])"
    shop.write(
        GOOD,
        more=f"\n@pipeline.transform(reads=orders, lookups={{'rates': {table}}})\n"
        "def rated(orders: pl.DataFrame, rates: pl.DataFrame) -> pl.DataFrame:\n"
        "    return orders.join(rates, on='count', how='left')\n\n"
        "pipeline.sink('rated_store', fd.parquet('rated'), reads=rated)\n",
    )
    says = "lookup 'rates': its key has no column 'count' in the table; did you mean 'cuont'?"
    code, told = shop.call("check", "shop.py")
    assert (code, says in told) == (1, True), told
    assert shop.run() == (2, f"firedoor: {says}\n")
    assert not list(shop.folder.glob("out/*"))


def test_a_project_folder_that_may_not_be_written_is_named(shop: Shop) -> None:
    shop.write(GOOD)
    closed = shop.folder / "closed"
    closed.mkdir(mode=0o555)
    said = shop.refused("run", "shop.py", "--project", "closed", modes_hold=True)
    assert said == (
        f"Permission denied ({closed / '.firedoor'}): let this user write there, or name another "
        "folder with --project"
    )


# ---- full disks


def test_a_full_disk_of_a_sink_is_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    """And so is a broker's that cannot write: see ``test_full_disk`` for one without any room."""
    with ExitStack() as disks, opened(tmp_path / "shop", rows=0) as shop:
        shop.write(GOOD, follow=True)
        disk = disks.enter_context(small_disk(shop.folder / "out", "2m"))
        run = shop.start("up", "shop.py")
        shop.await_line(run, "store: running")
        shop.until(run, lambda: shop.zone(run, "store"), "store told of")
        with disk.full(shop.zone(run, "store")["pid"]):
            shop.add(2 * BATCH)
            paused = shop.await_line(run, "store: paused").splitlines()[-1]
        assert disk.says in paused
        shop.until(run, shop.every_row_once, "every row stored")

        family = psutil.Process(run.pid).children(recursive=True)
        nats = next(process for process in family if process.name() == "nats-server")
        log = shop.project / "nats" / "server.log"  # to which it can still write
        with Limited().full(nats.pid, log.stat().st_size + 2**13):
            shop.add(20 * BATCH)
            waits = shop.await_line(run, "the broker cannot store: ").splitlines()[-1]
        assert f"it could not write to {shop.project}/nats: " in waits
        assert "nothing is lost; it is started again by itself as soon as there is room" in waits
        shop.await_line(run, "the broker .* started again .*, nothing is lost")
        shop.until(run, shop.every_row_once, "every row stored")

        run.send_signal(signal.SIGTERM)
        told, _ = run.communicate(timeout=60)
        assert run.returncode == 0, told
        assert "every row is accounted for" in told
