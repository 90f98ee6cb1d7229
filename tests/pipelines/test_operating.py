"""Pipelines as an operator meets them: faults that halt, runs that end and go on, new code."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from pipelines.shops import GOOD, HANGS, NEWER, RENAMED, ROWS, Shop, shop

__all__ = ["shop"]


@pytest.mark.parametrize("body", [RENAMED, HANGS], ids=["renamed column", "hung dependency"])
def test_what_is_no_fault_of_rows_halts_the_zone_and_the_next_run_goes_on(
    shop: Shop, body: str
) -> None:
    shop.write(body)
    code, told = shop.run()
    assert code == 1, told
    assert "priced" in told
    assert "halted" in told
    assert shop.dead() == 0

    shop.write(GOOD)
    code, told = shop.run()
    assert code == 0, told
    assert shop.stored()["id"].to_list() == list(range(ROWS))


def test_ctrl_c_drains_and_the_next_run_goes_on(shop: Shop) -> None:
    shop.write(GOOD, rate=400)
    run = shop.start("run", "shop.py")
    shop.await_line(run, r"store: running, [1-9]")
    run.send_signal(signal.SIGINT)
    told, _ = run.communicate(timeout=60)
    assert 0 < shop.stored().height < ROWS, told

    code, told = shop.run()
    assert code == 0, told
    assert shop.stored()["id"].to_list() == list(range(ROWS))


def test_a_zone_is_replaced_while_rows_flow(shop: Shop, tmp_path: Path) -> None:
    newer = tmp_path / "newer"
    newer.mkdir()
    shop.write(GOOD, rate=800)
    shop.write(NEWER, folder=newer, rate=800)
    run = shop.start("run", "shop.py")
    shop.await_line(run, "priced: running")

    code, told = shop.call("zone", "deploy", "priced", "--code", str(newer))
    assert code == 0, told
    told, _ = run.communicate(timeout=90)

    assert run.returncode == 0, told
    stored = shop.stored()
    assert stored["id"].to_list() == list(range(ROWS))
    assert 0 < stored["tax"].null_count() < ROWS, "both versions had batches"


def test_two_runs_in_one_folder_are_refused_and_the_first_goes_on(shop: Shop) -> None:
    shop.write(GOOD, rate=1_500)
    first = shop.start("run", "shop.py")
    shop.await_line(first, "priced: running")

    code, told = shop.run()
    assert code == 2, told
    assert f"{first.pid}" in told
    assert "Traceback" not in told

    told, _ = first.communicate(timeout=60)
    assert first.returncode == 0, told


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: (folder / "shop.py").write_text("def"), "shop.py:1: is not Python"),
        (lambda folder: (folder / "shop.py").write_text("import nonesuch"), "nonesuch"),
        (lambda folder: (folder / "shop.py").write_text("x = 1"), "pipeline"),
        (lambda folder: (folder / "orders.jsonl").unlink(), "orders.jsonl"),
    ],
    ids=["syntax", "import", "no pipeline", "no input"],
)
def test_bad_input_is_one_clear_error(shop: Shop, make: object, says: str) -> None:
    shop.write(GOOD)
    make(shop.folder)  # type: ignore[operator]
    code, told = shop.run()
    assert code in {1, 2}, told
    assert says in told
    assert "Traceback (most recent call last)" not in told or says == "nonesuch"


def test_a_store_of_another_version_is_refused(shop: Shop) -> None:
    shop.write(GOOD)
    assert shop.run()[0] == 0
    file = shop.folder / ".firedoor" / "nats" / "version.json"
    assert json.loads(file.read_text()) == {"store": "1"}
    file.write_text(json.dumps({"store": "99"}))
    code, told = shop.run()
    assert code == 2, told
    assert "version" in told


def test_no_worker_finds_a_password_in_its_environment(shop: Shop) -> None:
    shop.write("assert not [n for n in __import__('os').environ if 'NATS' in n]; " + GOOD)
    code, told = shop.run()
    assert code == 0, told
