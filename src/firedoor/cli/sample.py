"""The files of a new project: parcels that are weighed and priced."""

from __future__ import annotations

import json
import random

ROWS = 200
SEED = 7
_CITIES = ("Bergen", "Gdansk", "Porto", "Turku", "Utrecht")

PIPELINE = '''"""Parcels are cleaned, priced and stored; what cannot be priced is a dead letter.

    firedoor run pipeline.py        stream data/ to out/
    firedoor dlq                    see what died, and of what
    firedoor check pipeline.py      find what types cannot
    firedoor map pipeline.py        draw it
"""

from __future__ import annotations

import dataframely as dy
import polars as pl

import firedoor as fd


class Parcel(dy.Schema):
    """What comes in. A row that breaks a rule costs that row."""

    parcel = dy.String()
    city = dy.String()
    weight_kg = dy.Float64(min_exclusive=0, max=1_000)
    sent = dy.String()


class Sent(dy.Schema):
    """A parcel, cleaned."""

    parcel = dy.String()
    city = dy.String()
    weight_kg = dy.Float64(min_exclusive=0)
    day = dy.Date()


pipeline = fd.Pipeline("NAME", owner="you@example.com")

parcels = pipeline.source("parcels", fd.jsonl("data/*.jsonl"), batch_rows=50)


@pipeline.transform(reads=parcels, schema=Parcel, out_schema=Sent)
def clean(parcels: pl.DataFrame) -> pl.DataFrame:
    """Write cities in one way, and make dates of text."""
    return parcels.select(
        "parcel",
        pl.col("city").str.strip_chars().str.to_titlecase(),
        "weight_kg",
        day=pl.col("sent").str.to_date("%Y-%m-%d"),
    )


@pipeline.transform(reads=clean, schema=Sent)
def price(parcels: pl.DataFrame) -> pl.DataFrame:
    """Add what a parcel costs: a base, and a price a kilogram."""
    return parcels.with_columns(price_eur=(4.5 + 1.2 * pl.col("weight_kg")).round(2))


pipeline.sink("store", fd.parquet("out/"), reads=price)
'''

TEST = '''"""Steps are plain functions: call them."""

from __future__ import annotations

from datetime import date

import polars as pl

from pipeline import clean, price


def test_cities_are_written_in_one_way_and_dates_are_dates() -> None:
    raw = pl.DataFrame(
        {"parcel": ["p1"], "city": [" porto "], "weight_kg": [2.0], "sent": ["2026-03-01"]}
    )
    assert clean(raw).row(0) == ("p1", "Porto", 2.0, date(2026, 3, 1))


def test_a_parcel_costs_a_base_and_a_price_a_kilogram() -> None:
    assert price(pl.DataFrame({"weight_kg": [10.0]}))["price_eur"].to_list() == [16.5]
'''

PAGE = """# NAME

A firedoor pipeline: `data/` -> parcels -> clean -> price -> store -> `out/`.

    pip install 'firedoor[run]' pytest
    firedoor check pipeline.py
    firedoor run pipeline.py
    firedoor dlq
    pytest

Of the 200 parcels in `data/`, three are bad on purpose: one has no weight, one a weight below
zero, and one a day that no calendar has. Each costs its own row: 197 come out. See which with
`firedoor dlq`, and where any row went with `firedoor trace parcels-000001/12`.
"""


def files_of(name: str) -> dict[str, str]:
    """Return the files of a project of that name: path -> text."""
    return {
        "pipeline.py": PIPELINE.replace("NAME", name),
        "data/parcels-2026-03.jsonl": sample_lines(),
        "tests/test_steps.py": TEST,
        "conftest.py": '"""Here so that tests find pipeline.py."""\n',
        "README.md": PAGE.replace("NAME", name),
        ".gitignore": ".firedoor/\nout/\n__pycache__/\n",
    }


def sample_lines() -> str:
    """Return 200 parcels as JSON lines, three of them bad; the same ones each time."""
    dice = random.Random(SEED)  # noqa: S311 - for sample data, not for secrets
    rows: list[dict[str, object]] = [
        {
            "parcel": f"p{number:04}",
            "city": dice.choice(_CITIES),
            "weight_kg": round(dice.uniform(0.1, 30), 2),
            "sent": f"2026-03-{1 + number * 31 // ROWS:02}",
        }
        for number in range(ROWS)
    ]
    rows[41]["weight_kg"] = None
    rows[97]["weight_kg"] = -3.0
    rows[158]["sent"] = "2026-03-32"
    return "".join(f"{json.dumps(row)}\n" for row in rows)
