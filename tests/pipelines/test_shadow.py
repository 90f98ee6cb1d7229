"""New code beside the live code of a pipeline that runs: one story, in order, on one run.

Whatever the new code does, each row of the live output is right, and there once.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import polars as pl
import psutil
import pytest

from firedoor.flow.code import CodeVerdict
from firedoor.wire.shadow import Shadow
from pipelines.shops import GOOD, LIMIT_S, Process, Shop, opened

BATCH = 10_000
ODD = 777
"""Row of each batch of which the changed step makes something else."""
REFACTORED = 'return orders.with_columns((pl.col("count") * pl.col("price")).alias("total"))'
CHANGED = f"""odd = pl.col("id") % {BATCH} == {ODD}
    return orders.with_columns(total=pl.col("price") * pl.col("count") + odd.cast(pl.Int64))"""
CRASHES = "import ctypes; ctypes.string_at(0)"
HANGS = 'import threading; threading.Event().wait(); return orders.with_columns(total="id")'
LEAKS = """kept = vars(pl).setdefault("kept", [])
    kept.append(b"x" * (200 * 2**20))
    return orders.with_columns(total=pl.col("price") * pl.col("count"))"""
FEED_S = 0.3
NONE = Shadow(version="", beside="", declared="", file="", code="", at_s=0.0)
FEW = ("--batches", "3")


def write(shop: Shop, body: str, folder: Path) -> None:
    """Write the pipeline, of larger batches that have less time, into a folder."""
    shop.write(body, follow=True, folder=folder)
    file = folder / "shop.py"
    text = file.read_text().replace("batch_rows=500", f"batch_rows={BATCH}")
    file.write_text(text.replace("timeout_s=2", "timeout_s=1"))


class Trial:
    """A shop that runs, and the code that is tried in it."""

    def __init__(self, shop: Shop, run: Process, folder: Path) -> None:
        self.shop, self.run, self.folder = shop, run, folder
        self.tries = 0

    def begin(self, body: str, *options: str) -> Shadow:
        """Have a step tried that does this; return what is wanted."""
        self.tries += 1
        folder = self.folder / f"new{self.tries}"
        folder.mkdir()
        write(self.shop, body, folder)
        self.deploy("--code", str(folder), "--shadow", *options)
        begun = lambda: self.shadow().code == str(folder)  # noqa: E731
        self.shop.until(self.run, begun, "a shadow begun")
        return self.shadow()

    def deploy(self, *words: str) -> str:
        """Run ``zone deploy``."""
        code, told = self.shop.call("zone", "deploy", "priced", *words)
        assert code == 0, told
        return told

    def shadow(self) -> Shadow:
        """Return what is known of the new code."""
        found = self.shop.status(self.run).get("shadows", {}).get("priced")
        return msgspec.convert(found, Shadow) if found else NONE

    def feed(self, what: Callable[[], object], why: str) -> None:
        """Bring orders until something is so."""
        ends_s = time.monotonic() + LIMIT_S
        while not what():
            assert time.monotonic() < ends_s, f"not {why}: {self.shadow()}"
            self.shop.add(BATCH)
            time.sleep(FEED_S)

    def judged(self) -> CodeVerdict:
        """Bring orders until the verdict is complete; return it."""
        self.feed(lambda: self.shadow().verdict.complete, "judged")
        return self.shadow().verdict

    def live(self) -> str:
        """Return the version that runs."""
        return str(self.shop.zone(self.run, "priced").get("version"))

    def lost(self) -> int:
        """Return how many workers of the live zone died."""
        return int(self.shop.zone(self.run, "priced").get("workers_lost", 0))

    def all_is_right(self) -> None:
        """Check every row that came out of the live zone."""
        self.shop.until(self.run, self.shop.every_row_once, "every row stored once")
        stored = self.shop.stored()
        odd = stored.filter(pl.col("total") != pl.col("price") * pl.col("count"))
        assert odd["id"].to_list() == []


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """A pipeline that is kept running."""
    folder = tmp_path_factory.mktemp("shadow")
    with opened(folder / "shop", rows=BATCH) as shop:
        write(shop, GOOD, shop.folder)
        run = shop.start("up", "shop.py")
        shop.await_line(run, "priced: running")
        yield Trial(shop, run, folder)


class TestAtWork:
    """One pipeline that is kept running: the tests are its story, in order."""

    def test_code_that_makes_the_same_takes_over_by_itself_also_after_a_kill(
        self, trial: Trial
    ) -> None:
        shop, run = trial.shop, trial.run
        wanted = trial.begin(REFACTORED, "--because", "shorter", *FEW)
        trial.feed(lambda: trial.shadow().evidence.batches >= 2, "two batches compared")
        pid = shop.zone(run, "priced")["pid"]
        family = psutil.Process(pid).children(recursive=True)
        os.kill(pid, signal.SIGKILL)
        assert trial.shadow().evidence.batches >= 2, "what was seen is kept"
        trial.feed(lambda: trial.live() == wanted.version, "taken over")
        assert not psutil.wait_procs(family, timeout=5)[1], "it ends with the zone's process"
        shop.until(run, lambda: trial.shadow().state == "live", "known to be live")
        assert trial.shadow().verdict.word == "same"
        trial.all_is_right()

    def test_one_row_of_ten_thousand_is_named_and_needs_a_persons_word(self, trial: Trial) -> None:
        shop, run = trial.shop, trial.run
        before = trial.live()
        wanted = trial.begin(CHANGED, "--batches", "1")
        verdict = trial.judged()
        assert verdict.word == "differs"
        assert f"1 of 10,000 rows differ (0.01%), as row {ODD} of orders-" in verdict.why[0]
        assert trial.live() == before == wanted.beside
        told = trial.deploy("--status")
        assert "next: firedoor zone deploy priced --confirm if that is meant" in told
        trial.all_is_right()

        trial.deploy("--confirm", "--because", "the odd one is meant")
        shop.until(run, lambda: trial.live() == wanted.version, "switched by a person")
        shutil.rmtree(
            trial.folder / f"new{trial.tries - 1}"
        )  # a way back needs no folder of anyone
        shutil.rmtree(trial.folder / f"new{trial.tries}")
        code, told = shop.call("zone", "rollback", "priced", "--because", "it was not meant")
        assert code == 0, told
        assert f"version {before} from" in told
        shop.until(run, lambda: trial.live() == before, "rolled back")
        shop.add(BATCH)
        trial.all_is_right()

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            pytest.param(CRASHES, "SIGSEGV", id="crashes"),
            pytest.param(HANGS, "exceeded", id="hangs", marks=pytest.mark.soak),
            pytest.param(LEAKS, "a worker of it takes 1 GiB", id="leaks", marks=pytest.mark.soak),
        ],
    )
    def test_code_that_breaks_harms_nothing_and_is_called_worse(
        self, trial: Trial, body: str, says: str
    ) -> None:
        before = trial.live()
        trial.begin(body, *FEW)
        verdict = trial.judged()
        assert verdict.word == "worse"
        assert says in "; ".join(verdict.why)
        assert (trial.live(), trial.lost()) == (before, 0)
        trial.all_is_right()

    def test_what_was_tried_is_told_after_its_end(self, trial: Trial) -> None:
        assert "is tried no more" in trial.deploy("--abort", "--because", "seen enough")
        ended = lambda: trial.shadow().state == "aborted"  # noqa: E731
        trial.shop.until(trial.run, ended, "aborted")
        code, told = trial.shop.call("why", "priced")
        assert code == 0, told
        assert "it is aborted: by " in told
        assert ": seen enough" in told

    def test_each_version_took_over_once_and_every_row_is_accounted_for(self, trial: Trial) -> None:
        trial.run.send_signal(signal.SIGTERM)
        told, _ = trial.run.communicate(timeout=LIMIT_S)
        assert trial.run.returncode == 0, told
        assert told.count("took over from") == 3, "by itself, by a person, and back"
        assert "every row is accounted for" in told
