"""The flights of the year, streamed through zones: source, clean, weather, features, store.

    python examples/flights/year.py                   # writes the files, once
    firedoor run examples/flights/pipeline.py

Each zone runs in processes of its own, behind a wall. The steps are plain functions: call them.
"""

import os

import dataframely as dy
import polars as pl

import firedoor as fd
from steps import KEY, LATE_MIN, Flight, normal_tails
from year import BATCH_ROWS, YEAR

RATE = float(os.environ.get("FLIGHTS_RATE", "12000")) or None
"""Rows a second, so that it can be watched; 0 is as fast as it goes."""

STORE = YEAR.with_name("store")

HOUR = ("origin", "month", "day", "hour")
"""Names an observation of the weather: an airport, and an hour of its local time."""


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
    # Text here, for `clean` makes a time of it; dataframely casts no text to times.
    time_hour = dy.String(regex=r"^\d{4}-\d\d-\d\dT\d\d:00:00Z$")  # type: ignore[assignment]


def observations() -> pl.DataFrame:
    """Return the weather by airport and local hour: 26,112 of the 26,115 observations.

    Three hours are there twice, when clocks go back: the first observation of each stays. A
    lookup that repeated a key would double the flights of that hour.
    """
    weather = pl.read_parquet(YEAR / "weather.parquet")
    return weather.unique(HOUR, keep="first", maintain_order=True).select(
        pl.col("origin").cast(Flight.origin.dtype),
        *HOUR[1:],
        "temp",
        "wind_speed",
        "precip",
        "pressure",
        "visib",
    )


pipeline = fd.Pipeline("flights", owner="flight-ops@example.com")

flights = pipeline.source(
    "flights",
    fd.jsonl(YEAR / "flights-*.jsonl"),
    schema=AsRead,
    batch_rows=BATCH_ROWS,
    rate=RATE,
)

weather_by_hour = fd.lookup("weather_by_hour", observations, key=HOUR)


@pipeline.transform(reads=flights, schema=Scheduled, extra="drop", memory="512MiB", timeout_s=2)
def clean(flights: pl.DataFrame) -> pl.DataFrame:
    """Write times and tail numbers the usual way; all other types and rules are the schema's."""
    typos_mended = flights["tailnum"].replace({"D942DN": "N942DN"})
    return flights.with_columns(
        normal_tails(typos_mended), pl.col("time_hour").str.to_datetime(time_zone="UTC")
    )


@pipeline.transform(
    reads=clean, lookups={"observations": weather_by_hour}, memory="512MiB", timeout_s=2
)
def weather(flights: pl.DataFrame, observations: pl.DataFrame) -> pl.DataFrame:
    """Add the weather at the scheduled hour; null for the 0.5 % of flights that have none."""
    return flights.with_columns(scheduled_hour(flights["sched_dep_time"])).join(
        observations, on=HOUR, how="left", validate="m:1", maintain_order="left"
    )


@pipeline.transform(reads=weather, memory="512MiB", timeout_s=2)
def features(flights: pl.DataFrame) -> pl.DataFrame:
    """Return what is known before departure, and as the label whether the flight left late."""
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
        late=pl.col("dep_delay") > LATE_MIN,
    )


pipeline.sink("store", fd.parquet(STORE), reads=features)


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
