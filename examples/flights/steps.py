"""What the pipeline does with a batch of flights: one schema and one function on a data frame.

Nothing here knows about firedoor. The plain loop and the wall call the same `add_features`.
"""

import ctypes
from functools import cache
from pathlib import Path

import dataframely as dy
import polars as pl

WEATHER = Path(__file__).parents[2] / ".cache" / "weather.parquet"
"""Hourly observations at the three airports; `data.save_weather` writes the file."""

AIRPORTS = ["EWR", "JFK", "LGA"]

KEY = ("carrier", "flight", "origin", "time_hour")
"""Names one flight: no two rows of a month agree in all four."""

LATE_MIN = 15
"""A flight is late that leaves, or arrives, more minutes than this behind its schedule."""


class Flight(dy.Schema):
    """A scheduled flight, as it has to be before `add_features` may see it."""

    carrier = dy.String(regex=r"^[0-9A-Z]{2}$")
    flight = dy.Int64(min=1, max=9_999)
    tailnum = dy.String(nullable=True)
    origin = dy.Enum(AIRPORTS)
    dest = dy.String(regex=r"^[A-Z]{3}$")
    distance = dy.Int64(min=1, max=6_000)
    time_hour = dy.Datetime(time_zone="UTC")
    hour = dy.Int64(min=0, max=23)
    minute = dy.Int64(min=0, max=59)
    dep_delay = dy.Int64(nullable=True, min=-60, max=2_000)

    @dy.rule()
    def goes_somewhere_else(cls) -> pl.Expr:
        """Refuse a flight that lands where it started."""
        return pl.col("origin").cast(pl.String) != pl.col("dest")


def add_features(flights: pl.DataFrame) -> pl.DataFrame:
    """Return, for each flight, what is known before departure, and whether it left late.

    Args:
        flights: rows of `Flight`. Their order and number stay as they are.

    Returns:
        The columns of `KEY`, the weather at the scheduled hour (null where the airport reported
        none), the features, and the label `late` (null for a cancelled flight).
    """
    hour = pl.col("hour") + pl.col("minute") / 60
    angle = hour * (2 * 3.141592653589793 / 24)
    local_time = pl.col("time_hour").dt.convert_time_zone("America/New_York")
    return (
        flights.with_columns(normal_tails(flights["tailnum"]))
        # The UTC hour is unique in the weather; the local hour is not, when clocks go back.
        .join(weather(), on=["origin", "time_hour"], how="left", validate="m:1")
        .select(
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
            route=pl.concat_str("origin", "dest", separator="-"),
            fleet=pl.col("tailnum").str.extract(r"([A-Z]*)$"),
            late=pl.col("dep_delay") > LATE_MIN,
        )
    )


@cache
def weather() -> pl.DataFrame:
    """Return the hourly observations, read once in each process that asks for them."""
    return pl.read_parquet(WEATHER)


# --- Tail numbers: the code with the bugs ---------------------------------------------------------

FAA_TAIL = r"^N\d[0-9A-Z]{1,4}$"
"""A tail number as the Federal Aviation Administration writes it, such as N14228 or N619AA."""

REPLACED_BY = {"EX-100": "N14228", "EX-200": "EX-300", "EX-300": "EX-200"}
"""Registrations that were given up, and for which. BUG: the last two replace each other."""


def normal_tails(tails: pl.Series) -> pl.Series:
    """Write tail numbers the FAA's way: nothing to do for most, the others one by one."""
    unusual = tails.filter(~tails.str.contains(FAA_TAIL)).unique()
    return tails.replace({tail: decode_tail(tail) for tail in unusual})


def decode_tail(tail: str) -> str:
    """Return the FAA's form of an unusual tail number.

    Each branch is right for most values, and each does a different kind of harm on one.

    Raises:
        ValueError: if nothing is known of such a tail number.
    """
    if tail.startswith("@"):
        return resolve_alias(tail)
    if tail in REPLACED_BY:
        return follow_registrations(tail)
    if ":" in tail:
        return read_field(tail)
    message = f"tail number {tail!r} is in no register"
    raise ValueError(message)


def resolve_alias(tail: str) -> str:
    """Return what an alias stands for, by way of C. SEGFAULTS on "@null"."""
    pointer = None if tail == "@null" else ctypes.create_string_buffer(tail.encode())
    length = ctypes.CDLL(None).strlen(pointer)  # C does not look whether it was given a pointer.
    return tail[1:length]


def follow_registrations(tail: str) -> str:
    """Return the newest registration of an aircraft. HANGS on "EX-200": they form a ring."""
    while tail in REPLACED_BY:
        tail = REPLACED_BY[tail]
    return tail


def read_field(tail: str) -> str:
    """Read a field that begins with its width, as "6:N14228". EATS MEMORY on a false width."""
    width, text = tail.split(":")
    return text.ljust(int(width)).rstrip()
