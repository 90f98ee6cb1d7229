"""Answers how likely a flight is to arrive late, by the model that is live.

    python examples/flights/weather_service.py &      # answers for the weather
    firedoor serve examples/flights/serving.py
    firedoor rollout start predict                    # the challenger, beside the champion
    firedoor rollout status predict

Requests name a flight and its hour. The weather is looked up, and where it cannot be had the model
does without: it has learnt from flights whose weather nobody knows.
"""

import os
from urllib.parse import urlsplit

import polars as pl

import delays
import firedoor as fd
from pipeline import HOUR, OBSERVATION, WEATHER, ask
from weather_service import MEASURED

TIME_SCALE = float(os.environ.get("FLIGHTS_TIME_SCALE", "1"))
"""Divides the times of a rollout, so that it can be watched; the flights that it needs stay."""

LATE_SHARE = 0.23
"""What is answered when no model can: the share of flights that were late from January to May."""

pipeline = fd.Pipeline("serving", owner="flight-ops@example.com")


def observed(keys: pl.DataFrame) -> pl.DataFrame:
    """Return the weather at some hours; null where the airport reported none."""
    hours = keys["month"] * 10_000 + keys["day"] * 100 + keys["hour"]
    since, until = int(hours.min() or 0), int(hours.max() or 0)  # type: ignore[arg-type]
    known = ask(since, until).with_columns(pl.col("origin").cast(pl.String))
    return keys.join(known, on=HOUR, how="left", maintain_order="left")


weather = fd.Features(
    "weather",
    keys=HOUR,
    columns={name: str(OBSERVATION[name]) for name in MEASURED},
    fetch=observed,
    network=[urlsplit(WEATHER).port or 80],
    env=["FLIGHTS_WEATHER"],
    timeout_s=0.2,
    fresh_s=600,
    stale_max_s=7_200,
    default=dict.fromkeys(MEASURED),
)


@pipeline.service(
    model=fd.model("delays"),
    features=[weather],
    key="route",
    slices=["carrier"],
    loss="log_loss",
    fallback=fd.Fallback(constant={"chance": LATE_SHARE}),
    # Three steps, to be watched; a service of weight would begin with one request in a hundred.
    rollout=fd.RolloutPolicy(
        steps=(0.25, 0.5, 1.0),
        need_labels=True,
        loss_margin=0.02,
        bake_s=300,
        time_scale=TIME_SCALE,
    ),
    memory="1GiB",
    timeout_s=1.0,
)
def predict(model: delays.Delays, flights: pl.DataFrame) -> pl.Series:
    """Return the probability that each flight arrives late."""
    return model.chance(flights)
