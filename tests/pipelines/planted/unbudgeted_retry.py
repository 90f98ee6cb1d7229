"""A retry without a budget: `checked` asks a bank again and again, and so `paid` cannot ask it.

The bank (`bank.py`) answers one question at a time. It refuses what is too large, and whoever asks
that again at once, from many threads, is all that it ever hears. With PLANTED=0 `checked` asks
through a guard, which gives up, and goes on without.
"""

import os
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import polars as pl

import firedoor as fd

PLANTED = os.environ.get("PLANTED", "1") == "1"
PORT = int(os.environ.get("PLANTED_PORT", "0"))
ENV = ["PLANTED", "PLANTED_PORT"]
THREADS = 16
UNTIL_S = 3.0
PROMISED = fd.SLO(availability=0.999, latency_p99_s=2, freshness_s=5)

pipeline = fd.Pipeline("unbudgeted", owner="ann@example.com", runbook="https://example.com/")


def counted() -> Iterator[pl.DataFrame]:
    """Yield orders without end."""
    number = 0
    while True:
        yield pl.DataFrame({"id": range(number, number + 50), "cents": 100})
        number += 50


orders = pipeline.source("orders", fd.frames(counted), batch_rows=50, rate=200, slo=PROMISED)


def ask_bank(cents: int, timeout_s: float) -> bool:
    """Ask whether so much can be paid."""
    address = f"http://127.0.0.1:{PORT}/{cents}"
    with urllib.request.urlopen(address, timeout=timeout_s) as answer:
        return bool(answer.read() == b"yes")


def ask_until_it_says_yes(cents: int) -> bool:
    """Ask again at once, whatever is said, for as long as there is time."""
    ends_s = time.monotonic() + UNTIL_S
    while time.monotonic() < ends_s:
        try:
            return ask_bank(cents, UNTIL_S)
        except (OSError, HTTPException):
            continue
    return False


checking = fd.Guard(
    "checked->bank", timeout_s=0.25, retry=2, fallback=fd.Constant(value=False),
    breaker=fd.BreakerPolicy(consecutive=3, open_max_s=1),
)  # fmt: skip


@checking
def ask_kindly(cents: int) -> bool:
    """Ask, and leave it at that if nobody answers."""
    return ask_bank(cents, fd.remaining_s() or UNTIL_S)


@pipeline.transform(reads=orders, env=ENV, timeout_s=20, slo=PROMISED)
def checked(orders: pl.DataFrame) -> pl.DataFrame:
    """Say whether orders can be paid; those of which nobody knows cannot."""
    largest = int(orders["cents"].max() or 0)  # type: ignore[arg-type]
    if not PLANTED:
        return orders.with_columns(good=pl.lit(ask_kindly(largest)))
    if ask_once(largest):
        return orders.with_columns(good=pl.lit(value=True))
    with ThreadPoolExecutor(THREADS) as pool:
        said = list(pool.map(ask_until_it_says_yes, [largest] * THREADS))
    return orders.with_columns(good=pl.lit(any(said)))


def ask_once(cents: int) -> bool:
    """Ask once."""
    try:
        return ask_bank(cents, UNTIL_S)
    except (OSError, HTTPException):
        return False


paying = fd.Guard("paid->bank", timeout_s=0.25, breaker=fd.BreakerPolicy(open_max_s=1))


@paying
def pay(cents: int) -> bool:
    """Have the bank pay."""
    return ask_bank(cents, fd.remaining_s() or UNTIL_S)


@pipeline.transform(reads=orders, depends=[paying], env=ENV, slo=PROMISED)
def paid(orders: pl.DataFrame) -> pl.DataFrame:
    """Pay orders."""
    return orders.with_columns(paid=pl.lit(pay(100)))


pipeline.sink("ledger", fd.parquet("ledger"), reads=checked, slo=PROMISED)
pipeline.sink("store", fd.parquet("store"), reads=paid, slo=PROMISED)
