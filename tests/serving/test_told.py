"""What a gateway tells of its requests: to a collector, to Prometheus, and to the broker."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firedoor.testing.otlp import receiver
from serving.pressing import BIAS
from serving.served import Served, Shop

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    server = receiver(tmp_path / "told")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", tmp_path / "told"
    server.shutdown()
    thread.join()
    server.server_close()


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_request_is_seen_in_the_callers_trace_with_the_worker_that_ran_it(
    tmp_path: Path, collector: tuple[str, Path]
) -> None:
    endpoint, told = collector
    (tmp_path / "shop").mkdir()
    shop = Shop(tmp_path / "shop")
    shop.add(BIAS, live=True)
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_METRIC_EXPORT_INTERVAL": "300",
    }  # fmt: skip
    with Served(shop, "--port", "0", environment=environment) as served:
        served.ready()
        reply = served.ask(
            4.0, traceparent=f"00-{TRACE}-{SPAN}-01", X_Firedoor_Source="flights-000123/17"
        )
        assert (reply.status, reply.value) == (200, 2 * 4.0 + BIAS)

        def spans() -> dict[str, dict[str, Any]]:
            return {span["name"]: span for span in lines_of(told / "spans.jsonl")}

        served.until(lambda: {"predict predict", "run predict"} <= spans().keys())
        request, run = spans()["predict predict"], spans()["run predict"]
        assert (request["trace"], request["parent"]) == (TRACE, SPAN)
        assert (run["trace"], run["parent"]) == (TRACE, request["span"])
        prediction = reply.headers["x-firedoor-prediction-id"]
        assert request["attributes"]["firedoor.prediction"] == prediction
        assert "flights-000123/17" in json.dumps(request["attributes"])
        gateways = {process.pid for process in served.processes("gateway")}
        workers = {process.pid for process in served.processes("worker")}
        assert request["resource"]["process.pid"] in gateways
        assert run["attributes"]["process.pid"] in workers

        def names() -> set[str]:
            return {metric["name"] for metric in lines_of(told / "metrics.jsonl")}

        served.until(lambda: {"firedoor.requests", "firedoor.objective_units"} <= names())
        text = served.get("/metrics").body.decode()
        kept = 'firedoor_objective_units_total{zone="predict"'
        assert any(line.startswith(kept) for line in text.splitlines())
        assert served.end() == 0
