"""Write a few months of flights, poison included, and what the bare steps make of the rest.

    FLIGHTS_YEAR=FOLDER python tests/pipelines/write_months.py 6,7

A script, because the example's modules have names that others have as well.
"""

import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "flights"))

import polars as pl

import pipeline
import steps
import weather_service
import year

folder: Path = year.YEAR
months = sys.argv[1].split(",")
whole = folder.with_name("whole")
places = year.write_year(year.ARCHIVE, whole)
names = {year.file_of(int(month)) for month in months}
folder.mkdir()
for name in (*names, "weather.parquet"):
    shutil.copy(whole / name, folder / name)
flights, _ = year.read_year(year.ARCHIVE)
here = year.without_planted(flights, places).filter(pl.col("month").is_in(months))
read = pipeline.Scheduled.validate(here, cast=True)
known = weather_service.read_observations(folder / "weather.parquet").cast(pipeline.OBSERVATION)
expected = pipeline.features(pipeline.with_weather(pipeline.clean(read), lambda *_: known))
expected.write_parquet(folder.with_name("expected.parquet"))
dead = sum(place.file in names for place in places)
told = {"dead": dead, "key": steps.KEY, "lines": here.height + dead}
folder.with_name("truth.json").write_text(json.dumps(told))
