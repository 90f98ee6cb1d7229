"""A buffer without a bound: `joined` keeps what came in the last seconds, however much that is.

Where more comes than usual it outgrows its memory, dies with what it had in hand, and is late. With
PLANTED=0 it keeps so many batches and no more.
"""

import os
import time
from collections import deque
from collections.abc import Iterator

import polars as pl

import firedoor as fd

PLANTED = os.environ.get("PLANTED", "1") == "1"
KEPT_S = 3.0
KEPT_MAX = 12
BATCH_BYTES = 24 * 2**20
"""What a batch comes to once it is unpacked."""
# Less than what a batch waits whose worker dies of its memory: the wall has another one at once.
PROMISED = fd.SLO(availability=0.999, latency_p99_s=0.2, freshness_s=5)

pipeline = fd.Pipeline("unbounded", owner="ann@example.com", runbook="https://example.com/")


def counted() -> Iterator[pl.DataFrame]:
    """Yield orders without end."""
    number = 0
    while True:
        yield pl.DataFrame({"id": range(number, number + 50), "cents": 100})
        number += 50


orders = pipeline.source("orders", fd.frames(counted), batch_rows=50, rate=200, slo=PROMISED)

held: deque[tuple[float, bytes]] = deque(maxlen=None if PLANTED else KEPT_MAX)


@pipeline.transform(reads=orders, memory="768MiB", env=["PLANTED"], slo=PROMISED)
def joined(orders: pl.DataFrame) -> pl.DataFrame:
    """Keep orders for whoever may want to join to them."""
    now_s = time.monotonic()
    held.append((now_s, b"x" * BATCH_BYTES))
    while held and held[0][0] < now_s - KEPT_S:
        held.popleft()
    return orders.with_columns(kept=pl.lit(value=True))


pipeline.sink("store", fd.parquet("store"), reads=joined, slo=PROMISED)
