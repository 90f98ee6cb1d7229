"""A shop in which everything is wrong that a run can come upon; and the same shop, corrected."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl

PIPELINE = """
import dataframely as dy
import firedoor as fd
import steps, tokened


class Order(dy.Schema):
    id = dy.Int64()
    price = dy.Int64()


pipeline = fd.Pipeline("shop", owner="shop@example.com")
orders = pipeline.source("orders", fd.jsonl("orders-*.jsonl"), batch_rows=60)
tables = pipeline.source("tables", fd.parquet("tables-*.parquet"), batch_rows=60)
sheets = pipeline.source("sheets", fd.csv("sheets-*.csv"), schema=Order, batch_rows=60)
words = pipeline.source("words", fd.jsonl("words.jsonl"), schema=Order, batch_rows=60)

pipeline.transform(reads=orders)(steps.no_frame)
pipeline.transform(reads=orders)(steps.more_rows)
pipeline.transform(reads=orders)(steps.reordered)
pipeline.transform(reads=orders)(steps.renamed)
pipeline.transform(reads=orders, timeout_s=0.4)(steps.hangs)
pipeline.transform(reads=orders)(tokened.enrich)
STEPS = ["no_frame", "more_rows", "reordered", "renamed", "hangs", "enrich"]
pipeline.sink("store", fd.parquet("out"), reads=[tables, sheets, words, *STEPS])
pipeline.sink("archive", fd.parquet("archive"), reads=orders)
"""
WRONG = """
import time
import polars as pl


def no_frame(orders):
    return {"id": 1}


def more_rows(orders):
    return pl.concat([orders, orders])


def reordered(orders):
    return orders.sort("price", "id", descending=True)


def renamed(orders):
    return orders.with_columns(total=pl.col("prise") * 2)


def hangs(orders):
    time.sleep(60)
    return orders
"""
NAMES = ("no_frame", "more_rows", "reordered", "renamed", "hangs")
RIGHT = "import polars as pl\n" + "".join(
    f"""

def {name}(orders):
    return orders.with_columns(total=pl.col("price") * 2)
"""
    for name in NAMES
)
VARIABLE = "SHOP_TOKEN"
"""Of the environment, that the shop's file sees and a worker does not."""
TOKENED = """
import os
import polars as pl
{token}

def enrich(orders):
    return orders.with_columns(total=pl.col("price") * 2)
"""
ROWS = 120
STEPS = (*NAMES, "enrich")
"""Zones that read orders and pass them on."""


def orders(first: int = 0, rows: int = ROWS) -> pl.DataFrame:
    """Return some orders."""
    numbers = range(first, first + rows)
    return pl.DataFrame({"id": numbers, "price": [n % 7 for n in numbers]})


def make_wrong(folder: Path) -> None:
    """Write the pipeline, its steps and its files, with something wrong about each zone."""
    (folder / "shop.py").write_text(PIPELINE)
    (folder / "steps.py").write_text(WRONG)
    (folder / "tokened.py").write_text(TOKENED.format(token=f"TOKEN = os.environ[{VARIABLE!r}]"))
    # Three files of which two have no rows: that is no error.
    orders().write_ndjson(folder / "orders-1.jsonl")
    (folder / "orders-2.jsonl").write_bytes(b"")
    (folder / "orders-3.jsonl").write_bytes(b"\n  \n\n")
    orders(rows=0).write_parquet(folder / "tables-1.parquet")
    orders(rows=60).write_parquet(folder / "tables-2.parquet")
    orders(60, 60).write_parquet(folder / "tables-3.parquet")
    os.truncate(folder / "tables-3.parquet", 300)
    (folder / "sheets-1.csv").write_text("id,price\n")
    orders(rows=60).write_csv(folder / "sheets-2.csv")
    orders(60, 60).rename({"price": "prise"}).write_csv(folder / "sheets-3.csv")
    wrong = ({"id": f"no. {n}", "price": 1} for n in range(ROWS))
    (folder / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in wrong))
    (folder / "archive").mkdir(mode=0o555)


def correct(folder: Path) -> None:
    """Correct all of it."""
    (folder / "steps.py").write_text(RIGHT)
    (folder / "tokened.py").write_text(TOKENED.format(token=""))
    orders(60, 60).write_parquet(folder / "tables-3.parquet")
    orders(60, 60).write_csv(folder / "sheets-3.csv")
    orders().write_ndjson(folder / "words.jsonl")
    (folder / "archive").chmod(0o755)
