"""Steps and inputs that cannot work: one clear error, and nothing is lost or dead-lettered."""

from __future__ import annotations

import pytest

from pipelines.shops import GOOD, ROWS, Shop, shop

__all__ = ["shop"]

AT_FAULT = {
    "no frame": ("return 7", "int"),
    "too many rows": ("return pl.concat([orders, orders])", "expands=True"),
    "reordered rows": ('return orders.sort("price", "id", descending=True)', "reordered"),
    "vanishing rows": ('return orders.filter(pl.col("price") > 2)', "vanish"),
    "unknown column": ('return orders.select("nonesuch")', "nonesuch"),
}


@pytest.mark.parametrize(("body", "says"), AT_FAULT.values(), ids=AT_FAULT)
def test_a_step_that_breaks_its_contract_halts_and_loses_nothing(
    shop: Shop, body: str, says: str
) -> None:
    shop.write(body)
    code, told = shop.run()
    assert code == 1, told
    assert says in told
    assert shop.dead() == 0

    shop.write(GOOD)
    code, told = shop.run()
    assert code == 0, told
    assert shop.stored()["id"].to_list() == list(range(ROWS))


def test_an_empty_file_gives_no_rows_and_is_no_error(shop: Shop) -> None:
    shop.write(GOOD)
    (shop.folder / "orders.jsonl").write_text("")
    code, told = shop.run()
    assert code == 0, told
    assert not list(shop.folder.glob("out/*.parquet"))


def test_malformed_lines_cost_these_lines(shop: Shop) -> None:
    shop.write(GOOD)
    lines = (shop.folder / "orders.jsonl").read_bytes().splitlines()
    lines[3], lines[700] = b'{"id": 3, "price"', b'{"id": 700, "price": "\xff"}'
    (shop.folder / "orders.jsonl").write_bytes(b"\n".join(lines))
    code, told = shop.run()
    assert code == 0, told
    assert shop.dead() == 2
    assert shop.stored()["id"].to_list() == [i for i in range(ROWS) if i not in {3, 700}]


def test_a_paused_zone_waits_and_goes_on_when_it_is_resumed(shop: Shop) -> None:
    shop.write(GOOD, rate=800)
    run = shop.start("run", "shop.py")
    shop.await_line(run, "priced: running")
    assert shop.call("zone", "pause", "priced")[0] == 0
    shop.await_line(run, "priced: paused")
    assert shop.call("zone", "resume", "priced")[0] == 0
    told, _ = run.communicate(timeout=60)
    assert run.returncode == 0, told
    assert shop.stored()["id"].to_list() == list(range(ROWS))


def test_a_function_as_sink_is_called_with_each_batch_and_its_key(shop: Shop) -> None:
    shop.write(GOOD)
    file = shop.folder / "shop.py"
    declared = file.read_text().partition("pipeline.sink(")[0]
    file.write_text(
        f"{declared}@pipeline.sink(reads=priced)\n"
        "def post(frame: pl.DataFrame, key: str) -> None:\n"
        '    print("posted", key, frame.height)\n'
    )
    code, told = shop.run()
    assert code == 0, told
    logged = (shop.folder / ".firedoor" / "logs" / "post.log").read_text()
    assert "posted post/orders-000007 500" in logged
