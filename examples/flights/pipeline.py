"""The flights of the year, streamed through zones: source, clean, weather, features, store.

    python examples/flights/year.py                   # writes the files, once
    python examples/flights/weather_service.py &      # answers for the weather
    firedoor run examples/flights/pipeline.py

Each zone runs in processes of its own, behind a wall. The steps are plain functions: call them.
"""

import http.client
import json
import os
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from urllib.parse import urlsplit

import dataframely as dy
import polars as pl

import firedoor as fd
from steps import AIRPORTS, KEY, LATE_MIN, Flight, normal_tails
from year import BATCH_ROWS, YEAR

RATE = float(os.environ.get("FLIGHTS_RATE", "12000")) or None
"""Rows a second, so that it can be watched; 0 is as fast as it goes."""

STORE = YEAR.with_name("store")

WEATHER = os.environ.get("FLIGHTS_WEATHER", "http://127.0.0.1:2013")
"""Address of the weather service: `weather_service.py`."""

HOUR = ("origin", "month", "day", "hour")
"""Names an observation of the weather: an airport, and an hour of its local time."""

OBSERVATION = pl.Schema(
    {
        "origin": pl.Enum(AIRPORTS),
        "month": pl.Int64(),
        "day": pl.Int64(),
        "hour": pl.Int64(),
        "temp": pl.Float64(),
        "wind_speed": pl.Float64(),
        "precip": pl.Float64(),
        "pressure": pl.Float64(),
        "visib": pl.Float64(),
    }
)


class AsRead(dy.Schema):
    """A flight as a line of the files says it: text, or null."""

    year = dy.String()
    month = dy.String()
    day = dy.String()
    dep_time = dy.String(nullable=True)
    sched_dep_time = dy.String()
    dep_delay = dy.String(nullable=True)
    arr_time = dy.String(nullable=True)
    sched_arr_time = dy.String()
    arr_delay = dy.String(nullable=True)
    carrier = dy.String()
    flight = dy.String()
    tailnum = dy.String(nullable=True)
    origin = dy.String()
    dest = dy.String()
    air_time = dy.String(nullable=True)
    distance = dy.String()
    hour = dy.String()
    minute = dy.String()
    time_hour = dy.String()


class Scheduled(Flight):
    """A flight as it has to be before any step may see it. Casts included, 336,776 rows pass."""

    month = dy.Int64(min=1, max=12)
    day = dy.Int64(min=1, max=31)
    sched_dep_time = dy.Int64(min=0, max=2_400)
    sched_arr_time = dy.Int64(min=0)
    arr_delay = dy.Int64(nullable=True, min=-200, max=2_000)
    # Text here, for `clean` makes a time of it; dataframely casts no text to times.
    time_hour = dy.String(regex=r"^\d{4}-\d\d-\d\dT\d\d:00:00Z$")  # type: ignore[assignment]


pipeline = fd.Pipeline("flights", owner="flight-ops@example.com")

flights = pipeline.source(
    "flights",
    fd.jsonl(YEAR / "flights-*.jsonl"),
    schema=AsRead,
    batch_rows=BATCH_ROWS,
    rate=RATE,
)

observations = fd.Guard(
    "weather->observations",
    timeout_s=0.8,
    retry=2,
    # There is one call a batch, so that a few are many. While the breaker is open the zone waits,
    # and it is to be at work again within 5 s of the service's return.
    breaker=fd.BreakerPolicy(window_s=60, calls_min=6, consecutive=6, open_max_s=3),
)


@pipeline.transform(reads=flights, schema=Scheduled, extra="drop", memory="512MiB", timeout_s=2)
def clean(flights: pl.DataFrame) -> pl.DataFrame:
    """Write times and tail numbers the usual way; all other types and rules are the schema's."""
    typos_mended = flights["tailnum"].replace({"D942DN": "N942DN"})
    return flights.with_columns(
        normal_tails(typos_mended), pl.col("time_hour").str.to_datetime(time_zone="UTC")
    )


@pipeline.transform(
    reads=clean,
    depends=[fd.Dependency(observations, calls=1, idempotent=True)],
    network=[urlsplit(WEATHER).port or http.client.HTTP_PORT],
    env=["FLIGHTS_WEATHER"],
    memory="512MiB",
    timeout_s=2,
)
def weather(flights: pl.DataFrame) -> pl.DataFrame:
    """Add the weather at the scheduled hour, for which the service is asked once a batch."""
    return with_weather(flights, ask)


@pipeline.transform(reads=weather, memory="512MiB", timeout_s=2)
def features(flights: pl.DataFrame) -> pl.DataFrame:
    """Return what is known before departure, and as the label whether the flight arrived late.

    The label of a flight that was cancelled or diverted is null: it did not arrive.
    """
    angle = (pl.col("hour") + pl.col("minute") / 60) * (2 * 3.141592653589793 / 24)
    local_time = pl.col("time_hour").dt.convert_time_zone("America/New_York")
    return flights.select(
        *KEY,
        "temp",
        "wind_speed",
        "precip",
        "pressure",
        "visib",
        "distance",
        hour_sin=angle.sin(),
        hour_cos=angle.cos(),
        weekday=local_time.dt.weekday(),
        arrives_min=minutes_of_day(flights["sched_arr_time"]),
        route=pl.concat_str("origin", "dest", separator="-"),
        fleet=pl.col("tailnum").str.extract(r"([A-Z]*)$"),
        day=local_time.dt.date(),
        late=pl.col("arr_delay") > LATE_MIN,
    )


store = pipeline.sink("store", fd.parquet(STORE), reads=features)


# --- The weather: one request, through the guard --------------------------------------------------


@observations
def ask(since: int, until: int) -> pl.DataFrame:
    """Return what the service knows of the hours from `since` to `until`, written MMDDHH.

    Raises:
        ConnectionError: if it does not answer, or says that it cannot.
        ValueError: if it says that it was asked wrongly.
    """
    place = urlsplit(WEATHER).netloc
    with closing(http.client.HTTPConnection(place, timeout=fd.remaining_s())) as connection:
        try:
            connection.request("GET", f"/observations?since={since:06}&until={until:06}")
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            message = f"{WEATHER} does not answer: {error}"
            raise ConnectionError(message) from error
    if answer.status != HTTPStatus.OK:
        message = f"{WEATHER} answers {answer.status}: {body[:200].decode(errors='replace')}"
        raise (ConnectionError if answer.status >= SERVER_FAULT else ValueError)(message)
    return pl.DataFrame(json.loads(body), schema=OBSERVATION)


def with_weather(flights: pl.DataFrame, ask: Callable[[int, int], pl.DataFrame]) -> pl.DataFrame:
    """Add the weather that somebody knows; null for the 0.5 % of flights that have none."""
    flights = flights.with_columns(scheduled_hour(flights["sched_dep_time"]))
    hours = flights["month"] * 10_000 + flights["day"] * 100 + flights["hour"]
    since, until = hours.min(), hours.max()
    if isinstance(since, int) and isinstance(until, int):
        known = ask(since, until)
    else:
        known = pl.DataFrame(schema=OBSERVATION)  # no flights, so there is nothing to ask
    return flights.join(known, on=HOUR, how="left", validate="m:1", maintain_order="left")


SERVER_FAULT = HTTPStatus.INTERNAL_SERVER_ERROR


# --- Times of day: two bugs, each met by one value. Tail numbers have theirs in steps.py. ---------


def scheduled_hour(times: pl.Series) -> pl.Series:
    """Return the hour of times such as 1830, as `hour`."""
    odd = times.filter(times % 100 >= MINUTES).unique()
    return (times.replace({time: roll_over(time) for time in odd}) // 100).alias("hour")


def roll_over(time: int) -> int:
    """Turn 1260 into 1300. HANGS, for it moves the hour and forgets the minutes."""
    while time % 100 >= MINUTES:
        time += 100
    return time


def minutes_of_day(times: pl.Series) -> pl.Series:
    """Return minutes since midnight of times such as 1830, looked up in a table.

    EATS MEMORY on a time that is none: the table goes up to the latest.
    """
    latest = max(times.to_list(), default=0)
    table = [0] * (latest + 1)
    for time in range(min(latest, 2_400) + 1):
        table[time] = time // 100 * MINUTES + time % 100
    return pl.Series(table)[times]


MINUTES = 60
