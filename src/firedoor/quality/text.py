"""Text as the declared type, where polars casts none: times, dates, switches.

JSON has no times and CSV has nothing but text, so ISO 8601 is read where a schema declares a time.
A text with an offset is that instant. A text without one is UTC, for a zone that is UTC or where
none is declared; for any other zone it is refused, because it may mean two instants or none.
"""

from __future__ import annotations

import polars as pl

UTC = frozenset({"UTC", "Etc/UTC", "GMT", "Zulu"})
"""Names of the zone in which no time is missing or comes twice."""

_PLAIN = r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)"
_MINUTES = r"^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d)(Z|[+-]\d\d:?\d\d)?$"
_FORMAT = "%Y-%m-%dT%H:%M:%S%.f%#z"
_ZONED = r"(?:Z|[+-]\d\d:?\d\d)$"
_TRUE, _FALSE = ("true", "1"), ("false", "0")


def read_text(texts: pl.Series, dtype: pl.DataType) -> pl.Series | None:
    """Return texts as a type, null where they are none; None for types that polars casts."""
    if isinstance(dtype, pl.Datetime):
        return _times(texts, dtype)
    if dtype == pl.Date:
        return texts.str.to_date("%Y-%m-%d", strict=False)
    if dtype == pl.Time:
        return texts.str.to_time("%H:%M:%S%.f", strict=False)
    if dtype == pl.Boolean:
        small = texts.str.to_lowercase()
        true, false = small.is_in(_TRUE), small.is_in(_FALSE)
        said = pl.when(true).then(statement=True).when(false).then(statement=False)
        return pl.select(said.otherwise(None).alias(texts.name)).to_series()
    return None


def _times(texts: pl.Series, dtype: pl.Datetime) -> pl.Series:
    """Return ISO 8601 texts as times."""
    unit, zone = dtype.time_unit, dtype.time_zone
    utc = texts.str.to_datetime(_FORMAT, time_unit=unit, time_zone="UTC", strict=False)
    rest = utc.is_null() & texts.is_not_null()
    if rest.any() and (zone is None or zone in UTC):
        whole = (
            texts.str.replace(r" ?(?:UTC|GMT)$", "Z")
            .str.replace(_MINUTES, "${1}:00${2}")
            .str.replace(_PLAIN, "${1}T${2}")
        )
        zoned = whole.str.contains(_ZONED)
        named = pl.select(
            pl.when(zoned).then(whole).otherwise(pl.concat_str(whole, pl.lit("+00:00")))
        ).to_series()
        again = named.str.to_datetime(_FORMAT, time_unit=unit, time_zone="UTC", strict=False)
        utc = pl.select(pl.when(rest).then(again).otherwise(utc)).to_series()
    if zone is None:
        return utc.dt.replace_time_zone(None)
    return utc.dt.convert_time_zone(zone)
