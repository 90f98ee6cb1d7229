"""A wall that is down: `priced` asks what lives in the process of `rates`, which is another zone.

While somebody ends the process of `rates`, orders cannot be priced. With PLANTED=0 each zone has
what it needs in a process of its own.
"""

import http.server
import os
import threading
import urllib.request
from collections.abc import Iterator

import polars as pl

import firedoor as fd

PLANTED = os.environ.get("PLANTED", "1") == "1"
PORT = int(os.environ.get("PLANTED_PORT", "0"))
ENV = ["PLANTED", "PLANTED_PORT"]
RATE = 3
PROMISED = fd.SLO(availability=0.999, latency_p99_s=2, freshness_s=5)

pipeline = fd.Pipeline("shared", owner="ann@example.com", runbook="https://example.com/")


def counted() -> Iterator[pl.DataFrame]:
    """Yield orders without end."""
    number = 0
    while True:
        yield pl.DataFrame({"id": range(number, number + 50), "cents": 100})
        number += 50


orders = pipeline.source("orders", fd.frames(counted), batch_rows=50, rate=200, slo=PROMISED)


class Rates(http.server.BaseHTTPRequestHandler):
    """Answers with the rate."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(RATE).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Here:
    """What `rates` answers others from its own process, once it is at work."""

    server: http.server.ThreadingHTTPServer | None = None

    @classmethod
    def answer(cls) -> None:
        """Begin to, unless another worker does."""
        if cls.server is not None:
            return
        try:
            cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Rates)
        except OSError:
            return
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()


@pipeline.transform(reads=orders, env=ENV, slo=PROMISED)
def rates(orders: pl.DataFrame) -> pl.DataFrame:
    """Note the rate that holds."""
    if PLANTED:
        Here.answer()
    return orders.with_columns(rate=pl.lit(RATE))


guard = fd.Guard("priced->rates", timeout_s=0.5, breaker=fd.BreakerPolicy(open_max_s=1))


@guard
def ask() -> int:
    """Ask the other zone."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=fd.remaining_s()) as answer:
        return int(answer.read())


@pipeline.transform(reads=orders, depends=[guard], env=ENV, slo=PROMISED)
def priced(orders: pl.DataFrame) -> pl.DataFrame:
    """Price orders."""
    return orders.with_columns(total=pl.col("cents") * (ask() if PLANTED else RATE))


pipeline.sink("noted", fd.parquet("noted"), reads=rates, slo=PROMISED)
pipeline.sink("store", fd.parquet("store"), reads=priced, slo=PROMISED)
