"""The flights as they come: the five zones of the year, service and training, in one pipeline.

    python examples/flights/weather_service.py &      # answers for the weather
    python examples/flights/feed.py &                 # brings flights, 400 a second
    firedoor up examples/flights/live.py
    firedoor serve examples/flights/live.py           # before or after it: they share a broker
    firedoor drill run --matrix examples/flights/drills.yaml

The steps are those of `pipeline.py`, `serving.py` and `training.py`: here they promise something,
so that a drill can tell who kept what. Nobody trains by the clock: `firedoor job run train` does,
or a drill of it.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

import delays
import firedoor as fd
import pipeline as year
import serving
import training
from feed import FEED, FILE_ROWS, RATE
from steps import KEY
from year import ROOT

STORE = Path(os.environ.get("FLIGHTS_LIVE", ROOT / ".cache" / "live"))
MEMORY = "512MiB"

pipeline = fd.Pipeline("live", owner="flight-ops@example.com", runbook="README.md")

PROMISED = fd.SLO(availability=0.999, latency_p99_s=2.0)
"""Of each zone: of a thousand rows one may be lost, and of a hundred one may take longer."""

flights = pipeline.source(
    "flights",
    fd.jsonl(FEED / "flights-*.jsonl", follow=True),
    schema=year.AsRead,
    batch_rows=FILE_ROWS,
    rate=RATE,
    slo=PROMISED,
)

clean = pipeline.transform(
    reads=flights, schema=year.Scheduled, extra="drop", memory=MEMORY, timeout_s=2, slo=PROMISED
)(year.clean)

weather = pipeline.transform(
    reads=clean,
    depends=[fd.Dependency(year.observations, calls=1, idempotent=True)],
    network=[urlsplit(year.WEATHER).port or 80],
    env=["FLIGHTS_WEATHER"],
    memory=MEMORY,
    timeout_s=2,
    slo=PROMISED,
)(year.weather)

features = pipeline.transform(reads=weather, memory=MEMORY, timeout_s=2, slo=PROMISED)(
    year.features
)

store = pipeline.sink("store", fd.parquet(STORE), reads=features, slo=PROMISED)

predict = pipeline.service(
    model=fd.model("delays"),
    features=[serving.weather],
    key="route",
    fallback=fd.Fallback(constant={"chance": serving.LATE_SHARE}),
    memory="1GiB",
    timeout_s=1.0,
    slo=fd.SLO(availability=0.995, latency_p99_s=0.8),
)(serving.predict)

# --- What is learnt from the flights that are there: less than in training.py, in seconds --------

learnt_from = pipeline.dataset(
    "flights_so_far",
    reads=store,
    # By the hash of a flight: January comes again and again, and none of it may be in two parts.
    split=fd.ByKey(key=KEY, shares={"train": 0.6, "tune": 0.2, "test": 0.2}),
    sealed=["test"],
    label=delays.LABEL,
    leakage=fd.LeakPolicy(key=KEY),
)

train = pipeline.job(
    reads=learnt_from,
    memory="1GiB",
    timeout_s=120,
    hang_s=10,
    attempts=2,
    parameters={**training.PARAMETERS, "boosters": 1, "rounds": 60},
)(training.train)

pipeline.evaluation(
    reads=learnt_from,
    part="test",
    model="delays",
    trigger=fd.on(train),
    rules=[fd.rules.at_least("roc_auc", 0.6)],
    memory="1GiB",
    timeout_s=120,
)(training.evaluate)
