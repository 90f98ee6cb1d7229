"""What Prometheus reads."""

from __future__ import annotations

import re

import pytest

from firedoor.events.exposition import expose
from firedoor.events.metrics import REQUEST_BOUNDS_S
from firedoor.gateway.exchange import Answer
from firedoor.gateway.exposition import ProcessFacts, samples_of
from firedoor.gateway.face_counts import SERIES_MAX, ServiceCounts
from gateway.scripted import Scripted, served
from gateway.wired import ask, row

LINE = re.compile(
    r'[a-z_]+\{[a-z]+="(?:[^"\\\n]|\\.)*"(?:,[a-z]+="(?:[^"\\\n]|\\.)*")*\} \S+'
)  # fmt: skip
PROCESS = ProcessFacts(
    cpu_s=0.5, memory_bytes=4_096, started_s=1e9, connections=2, refusals={408: 3}
)


def exposed(counts: ServiceCounts) -> list[str]:
    text = expose(samples_of("g1", PROCESS, {"delays": (counts, Scripted().facts())}))
    return text.decode().splitlines()


def test_every_line_is_a_sample_or_is_about_the_family_that_follows() -> None:
    counts = ServiceCounts()
    counts.answered(Answer(200, "a", arm="champion"), 0.2)
    counts.answered(Answer(503, "a", degraded='odd\\"\n'), 20.0)
    family = ""
    seen = set()
    for line in exposed(counts):
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in seen, "a family is there twice"
            seen.add(family)
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == family
        else:
            assert LINE.fullmatch(line), line
            assert line.split("{")[0].startswith(family)
            float(line.rsplit(" ", 1)[1])


def test_a_histogram_adds_up() -> None:
    counts = ServiceCounts()
    for seconds in (0.0005, 0.001, 0.0011, 0.3, 99.0):
        counts.answered(Answer(200, "a", rows=2, arm="champion"), seconds)
    lines = exposed(counts)
    found = {
        match[1]: int(line.rsplit(" ", 1)[1])
        for line in lines
        if (match := re.search(r'request_seconds_bucket\{.*le="([^"]+)"', line))
    }
    assert list(found) == [*(f"{bound:g}" for bound in REQUEST_BOUNDS_S), "+Inf"]
    assert (found["0.001"], found["0.0025"], found["0.5"], found["10"]) == (2, 3, 4, 4)
    assert found["+Inf"] == 5
    assert 'firedoor_rows_total{gateway="g1",service="delays"} 10' in lines


def test_what_is_counted_has_a_bounded_number_of_series() -> None:
    counts = ServiceCounts()
    for number in range(10_000):
        counts.answered(Answer(200, "a", arm="champion", degraded=f"odd-{number}"), 0.1)
    assert len(counts.requests) == SERIES_MAX + 1
    assert sum(counts.requests.values()) == 10_000


@pytest.mark.parametrize(
    ("value", "text"),
    [(float("nan"), "NaN"), (float("inf"), "+Inf"), (float("-inf"), "-Inf"), (2.5, "2.5")],
)
def test_numbers_that_are_none_are_written_as_prometheus_has_them(value: float, text: str) -> None:
    counts = ServiceCounts()
    counts.seconds = value
    assert f'firedoor_request_seconds_sum{{gateway="g1",service="delays"}} {text}' in exposed(
        counts
    )


def test_a_gateway_tells_what_it_answered_refused_and_holds() -> None:
    with served() as server:
        for n in range(3):
            ask(server.port, "POST", "/predict", row(n, n))
        ask(server.port, "POST", "/predict", b"{}")
        ask(server.port, "POST", "/predict", b"", {"Content-Length": "9" * 9})
        said = ask(server.port, "GET", "/metrics")
        assert said.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        lines = said.body.decode().splitlines()
        service = 'gateway="g1",service="delays"'
        late = f'{service},variant="late@3",arm="champion"'
        for sample in (
            f'firedoor_requests_total{{{service},arm="champion",status="200",degraded=""}} 3',
            f'firedoor_requests_total{{{service},arm="champion",status="400",degraded=""}} 1',
            'firedoor_http_refused_total{gateway="g1",status="413"} 1',
            f"firedoor_requests_in_flight{{{service}}} 0",
            f"firedoor_requests_shed_total{{{service}}} 4",
            f"firedoor_route_generation{{{service}}} 5",
            f"firedoor_route_weight{{{service}}} 0.25",
            'firedoor_prediction_log_dropped_total{gateway="g1"} 1',
            f'firedoor_worker_deaths_total{{{late},cause="SIGSEGV"}} 2',
        ):
            assert sample in lines


def test_health_and_metrics_are_asked_of_a_server_that_is_full() -> None:
    with served(concurrency=1) as server:
        server.call(lambda: setattr(server.server, "under_way", 1))
        assert ask(server.port, "POST", "/predict", row(1, 1)).status == 503
        assert ask(server.port, "GET", "/metrics").status == 200
        assert ask(server.port, "GET", "/readyz").status == 200
