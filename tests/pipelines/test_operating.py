"""Pipelines as an operator meets them: runs that end and go on, deaths, pauses, new code."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipelines.shops import BATCH, GOOD, NEWER, ROWS, Process, Shop, opened, shop

__all__ = ["shop"]

ONE_BATCH = 0.5
"""Rows a second of a source that gives one batch, and is then waited for."""


def test_ctrl_c_and_deaths_of_any_process_leave_a_state_from_which_the_next_run_goes_on(
    shop: Shop,
) -> None:
    # Asked to end in the middle of its rows.
    shop.write(GOOD, rate=ONE_BATCH)
    run = shop.start("run", "shop.py")
    shop.await_line(run, "priced: running")
    shop.until(run, lambda: shop.stored().height, "a batch stored")
    family = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGINT)
    told, _ = run.communicate(timeout=60)
    assert run.returncode == 130, told
    assert "was asked to end" in told
    assert "every row is accounted for" in told
    assert not [process for process in family if process.is_running()]
    assert shop.stored()["id"].to_list() == list(range(BATCH))

    # The next one outlives its broker, whose port is taken meanwhile, and a zone.
    shop.write(GOOD, follow=True)
    run = shop.start("run", "shop.py")
    shop.await_line(run, "priced: running")
    lose_broker_and_port(shop, run)
    pid = shop.zone(run, "priced")["pid"]
    os.kill(pid, signal.SIGKILL)
    shop.add(BATCH)
    shop.until(run, shop.every_row_once, "every row stored")
    shop.until(run, lambda: shop.zone(run, "priced")["pid"] != pid, "priced started again")

    # Nothing is left of one that is killed, and the last one has the rest.
    shop.add(BATCH)
    assert shop.kill(run) == []
    shop.write(GOOD)
    code, told = shop.run()
    assert code == 0, told
    assert shop.every_row_once()


def lose_broker_and_port(shop: Shop, run: Process) -> None:
    """Kill a broker, take its port, and give that back once a run says why it has none."""
    family = psutil.Process(run.pid).children(recursive=True)
    nats = next(process for process in family if process.name() == "nats-server")
    ports = [c.laddr.port for c in nats.net_connections(kind="inet") if c.status == "LISTEN"]
    run.send_signal(signal.SIGSTOP)  # it must not be quicker than the other program
    nats.kill()
    gone, _ = psutil.wait_procs([nats], timeout=30)
    assert gone
    with socket.create_server(("127.0.0.1", ports[0])):
        run.send_signal(signal.SIGCONT)
        told = shop.await_line(run, f"port {ports[0]} is taken by another program: end it")
        assert "it is tried again" in told.splitlines()[-1]
    shop.await_line(run, r"the broker .*has died; started again .*nothing is lost")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Process]]:
    """A pipeline that is kept running."""
    with opened(tmp_path_factory.mktemp("up")) as shop:
        shop.write(GOOD, rate=2 * ROWS, follow=True)
        run = shop.start("up", "shop.py")
        shop.await_line(run, "priced: running")
        yield shop, run


class TestAtWork:
    """One pipeline that is kept running: the tests are its story, in order."""

    def test_a_second_run_is_refused_and_the_first_goes_on(self, up: tuple[Shop, Process]) -> None:
        shop, run = up
        said = shop.refused("run", "shop.py")
        assert said.startswith(f"another run is at work in {shop.project} (process {run.pid}): ")
        assert f"end it with `kill {run.pid}`" in said
        shop.add(BATCH)
        shop.until(run, shop.every_row_once, "every row stored")

    def test_a_paused_zone_waits_and_goes_on_when_it_is_resumed(
        self, up: tuple[Shop, Process]
    ) -> None:
        shop, run = up
        assert shop.call("zone", "pause", "priced")[0] == 0
        shop.await_line(run, "priced: paused")
        before = shop.rows
        shop.add(BATCH)
        read = lambda: shop.zone(run, "orders")["rows_in"] == shop.rows  # noqa: E731
        shop.until(run, read, "new rows read")
        assert shop.stored().height == before
        assert shop.call("zone", "resume", "priced")[0] == 0
        shop.until(run, shop.every_row_once, "every row stored")

    def test_a_zone_is_replaced_while_rows_flow(
        self, up: tuple[Shop, Process], tmp_path: Path
    ) -> None:
        shop, run = up
        before = shop.rows
        shop.write(NEWER, rate=2 * ROWS, follow=True, folder=tmp_path)
        shop.add(4 * ROWS)  # for two seconds and more
        code, told = shop.call("zone", "deploy", "priced", "--code", str(tmp_path))
        assert code == 0, told
        shop.add(BATCH)
        shop.until(run, shop.every_row_once, "every row stored")
        taxed = shop.stored()["tax"]
        assert taxed.head(before).null_count() == before
        assert taxed.tail(BATCH).null_count() == 0

    def test_asked_to_end_it_ends_well_with_every_row_accounted_for(
        self, up: tuple[Shop, Process]
    ) -> None:
        shop, run = up
        run.send_signal(signal.SIGTERM)
        told, _ = run.communicate(timeout=60)
        assert run.returncode == 0, told
        assert "every row is accounted for" in told
        assert shop.every_row_once()
