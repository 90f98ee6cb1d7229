"""The weather as a service: hourly observations at the three airports, as JSON over HTTP.

    python examples/flights/weather_service.py [--port PORT] [--file PARQUET]
    curl 'http://127.0.0.1:2013/observations?since=010105&until=010107'

An hour is written MMDDHH, in local time. The answer holds a list a column. This stands for any
service that a step calls: it knows nothing of firedoor, and is heard on this machine only. The
first line that it prints is its address.
"""

import argparse
import contextlib
import json
import signal
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import polars as pl

from year import YEAR

HOST = "127.0.0.1"
PORT = 2013
ROWS_MAX = 5_000
"""Observations in one answer; a month has 2,232."""
IDLE_S = 30
"""How long a connection may say nothing."""

HOUR = ("origin", "month", "day", "hour")
"""Names an observation: an airport, and an hour of its local time."""
MEASURED = ("temp", "wind_speed", "precip", "pressure", "visib")


class Unanswerable(ValueError):
    """A request that is not understood."""


def read_observations(file: Path) -> pl.DataFrame:
    """Return the weather by airport and local hour: 26,112 of the 26,115 observations.

    Three hours are there twice, when clocks go back: the first observation of each stays. Whoever
    joined to a key that is repeated would double the flights of that hour.
    """
    weather = pl.read_parquet(file)
    return weather.unique(HOUR, keep="first", maintain_order=True).select(*HOUR, *MEASURED)


class WeatherService(ThreadingHTTPServer):
    """Answers requests, each connection in a thread of its own."""

    def __init__(self, observations: pl.DataFrame, port: int) -> None:
        """Listen at a port; 0 is any that is free."""
        super().__init__((HOST, port), Request)
        at = pl.col("month") * 10_000 + pl.col("day") * 100 + pl.col("hour")
        self._observations = observations.with_columns(at=at).sort("at", maintain_order=True)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.server_port}"

    def answer(self, target: str) -> tuple[HTTPStatus, Mapping[str, object]]:
        """Return the answer to a GET of a path and a query."""
        asked = urlsplit(target)
        match asked.path:
            case "/health":
                return HTTPStatus.OK, {"observations": self._observations.height}
            case "/observations":
                try:
                    return HTTPStatus.OK, self._between(asked.query)
                except Unanswerable as error:
                    return HTTPStatus.BAD_REQUEST, {"error": str(error)}
            case path:
                there = "/observations and /health are"
                return HTTPStatus.NOT_FOUND, {"error": f"{path} is not here; {there}"}

    def _between(self, query: str) -> Mapping[str, object]:
        """Return the observations of the hours that a query names, both included."""
        since, until = read_hour(query, "since"), read_hour(query, "until")
        if since > until:
            message = f"since={since:06} is after until={until:06}"
            raise Unanswerable(message)
        found = self._observations.filter(pl.col("at").is_between(since, until)).drop("at")
        if found.height > ROWS_MAX:
            message = f"{found.height:,} observations are more than {ROWS_MAX:,}: ask for less"
            raise Unanswerable(message)
        return found.to_dict(as_series=False)


def read_hour(query: str, name: str) -> int:
    """Return the hour that a query gives for a name, as the number MMDDHH.

    Raises:
        Unanswerable: if it gives none.
    """
    (said,) = parse_qs(query).get(name, [""])[:1]
    hour = int(said) if said.isascii() and said.isdecimal() and len(said) == len("MMDDHH") else -1
    if 1 <= hour // 10_000 <= 12 and 1 <= hour // 100 % 100 <= 31 and 0 <= hour % 100 <= 23:  # noqa: PLR2004 - a calendar
        return hour
    message = f"{name}={said!r} is no hour: write it MMDDHH, as in {name}=010105"
    raise Unanswerable(message)


class Request(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    server: WeatherService

    def do_GET(self) -> None:
        """Answer."""
        status, told = self.server.answer(self.path)
        body = json.dumps(told, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        with contextlib.suppress(ConnectionError):  # who asked has gone: it had no more time
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep no log: the example prints what it has to say."""


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=PORT, help="0: any that is free")
    parser.add_argument("--file", type=Path, default=YEAR / "weather.parquet")
    arguments = parser.parse_args()
    for asked_to_end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked_to_end, lambda *_: sys.exit(0))
    try:
        service = WeatherService(read_observations(arguments.file), arguments.port)
    except FileNotFoundError:
        print(f"error: no weather at {arguments.file}: write it with year.py", file=sys.stderr)
        return 2
    except (OSError, OverflowError) as error:
        print(f"error: {HOST}:{arguments.port} cannot be had: {error}", file=sys.stderr)
        return 2
    with service:
        print(service.address, flush=True)
        service.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
