"""The weather service of the example, and what its caller makes of a service that fails."""

from __future__ import annotations

import http.client
import importlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pytest

from firedoor.testing.guards import guards_off
from pipelines.weather import SERVICE, Weather

NAMES = ("steps", "data", "year", "weather_service", "pipeline")
HOURS = 24 * 31


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    """The example's modules, imported as its scripts import them, and forgotten afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SERVICE.parent)
        for name in NAMES:
            patch.delitem(sys.modules, name, raising=False)
        yield {name: importlib.import_module(name) for name in NAMES}
        for name in NAMES:
            del sys.modules[name]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weather]:
    """The service, with three months of weather in which nothing is measured but pressure."""
    file = tmp_path_factory.mktemp("weather") / "weather.parquet"
    day_of_month = pl.DataFrame({"month": [1, 2, 3]}).join(
        pl.DataFrame({"day": range(1, 32)}), how="cross"
    )
    hours = pl.DataFrame({"hour": range(24)}).join(
        pl.DataFrame({"origin": ["EWR", "JFK", "LGA"]}), how="cross"
    )
    nothing = {name: pl.lit(None, pl.Float64) for name in ("temp", "wind_speed", "precip", "visib")}
    weather = day_of_month.join(hours, how="cross").with_columns(**nothing, pressure=pl.lit(1011.1))
    weather.write_parquet(file)
    with Weather(file).start() as started:
        yield started


def asked(service: Weather, *targets: str) -> list[tuple[int, Any]]:
    """Return the answers to several GETs, made through one connection."""
    answers = []
    with closing(http.client.HTTPConnection(urlsplit(service.address).netloc)) as connection:
        for target in targets:
            connection.request("GET", target)
            answer = connection.getresponse()
            assert answer.getheader("Content-Type") == "application/json"
            answers.append((answer.status, json.load(answer)))
            assert connection.sock is not None, "the connection was not kept"
    return answers


def test_it_answers_for_the_hours_from_the_first_to_the_last_that_are_asked_for(
    service: Weather,
) -> None:
    ((status, told), (_, one)) = asked(
        service,
        "/observations?since=013122&until=020101",
        "/observations?since=020100&until=020100",
    )
    assert status == 200
    assert pl.DataFrame(told).select("month", "day", "hour").unique(maintain_order=True).rows() == [
        (1, 31, 22), (1, 31, 23), (2, 1, 0), (2, 1, 1),
    ]  # fmt: skip
    assert one == {
        "origin": ["EWR", "JFK", "LGA"], "month": [2, 2, 2], "day": [1, 1, 1], "hour": [0, 0, 0],
        "temp": [None] * 3, "wind_speed": [None] * 3, "precip": [None] * 3,
        "pressure": [1011.1] * 3, "visib": [None] * 3,
    }  # fmt: skip


def test_it_says_that_it_is_well_and_that_it_knows_no_other_path(service: Weather) -> None:
    answers = asked(service, "/health", "/", "/health")
    assert [status for status, _ in answers] == [200, 404, 200]
    assert answers[0][1] == {"observations": 3 * 3 * HOURS}
    assert answers[1][1] == {"error": "/ is not here; /observations and /health are"}


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", "since='' is no hour"),
        ("since=010100", "until='' is no hour"),
        ("since=1&until=010100", "since='1' is no hour"),
        ("since=010100&until=011324", "until='011324' is no hour"),
        ("since=010100&until=130100", "until='130100' is no hour"),
        ("since=010100&until=%D9%A1%D9%A10100", "is no hour"),
        ("since=010101&until=010100", "since=010101 is after until=010100"),
        ("since=010100&until=033123", "6,696 observations are more than 5,000"),
    ],
)
def test_what_it_does_not_understand_it_refuses_and_says_why(
    service: Weather, query: str, why: str
) -> None:
    ((status, told), (after, _)) = asked(service, f"/observations?{query}", "/health")
    assert (status, after) == (400, 200)
    assert why in told["error"]


def test_asked_to_end_it_ends_well_and_can_have_its_port_again(service: Weather) -> None:
    with Weather(service._file).start() as other:
        asked(other, "/health")
        assert other.terminate() == 0
        other.start()
        assert asked(other, "/health")[0][0] == 200


@pytest.mark.parametrize("lacks", ["weather", "port"])
def test_without_its_file_or_its_port_it_says_so_and_ends(
    service: Weather, lacks: str, tmp_path: Path
) -> None:
    taken = str(urlsplit(service.address).port)
    file = tmp_path / "nowhere.parquet" if lacks == "weather" else service._file
    ended = subprocess.run(
        [sys.executable, SERVICE, "--port", taken, "--file", file],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert (str(file) if lacks == "weather" else f"127.0.0.1:{taken}") in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_pipeline_asks_where_the_service_listens_if_nobody_says_otherwise(
    modules: dict[str, ModuleType],
) -> None:
    service, pipeline = modules["weather_service"], modules["pipeline"]
    assert f"http://{service.HOST}:{service.PORT}" == pipeline.WEATHER
    assert service.HOUR == pipeline.HOUR
    assert [*service.HOUR, *service.MEASURED] == list(pipeline.OBSERVATION)


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Give the address of something that answers the first request with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(timeout=10)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"220 mail.example.com ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 503 Later\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["nothing", "another protocol", "half an answer", "500", "503"],
)
def test_a_service_that_fails_is_an_error_of_the_connection_that_names_the_address(
    answer: bytes, modules: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = modules["pipeline"]
    with answering(answer) as address, guards_off():
        monkeypatch.setattr(pipeline, "WEATHER", address)
        with pytest.raises(
            ConnectionError, match=f"^{address} (does not answer: |answers 50[03]: )"
        ):
            pipeline.ask(10100, 10101)


def test_a_service_that_is_away_is_one_too(
    modules: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pipeline, nobody = modules["pipeline"], Weather(tmp_path)
    monkeypatch.setattr(pipeline, "WEATHER", nobody.address)
    refused = f"^{nobody.address} does not answer: .*refused"
    with pytest.raises(ConnectionError, match=refused), guards_off():
        pipeline.ask(10100, 10101)


def test_a_request_that_the_service_refuses_is_the_callers_fault(
    service: Weather, modules: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = modules["pipeline"]
    monkeypatch.setattr(pipeline, "WEATHER", service.address)
    refused = "answers 400: .*since=010101 is after until=010100"
    with pytest.raises(ValueError, match=refused):
        pipeline.ask(10101, 10100)
