"""The model: how likely a flight is to arrive late, by what is known before it leaves.

Several boosters of LightGBM, of one seed each, whose scores are averaged, and two numbers that turn
the average into a probability. Nothing here knows about firedoor.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

if TYPE_CHECKING:  # it takes half a second, which who only declares need not wait
    import lightgbm

# LightGBM imports scikit-learn where that is installed, and with it joblib, which warns if it may
# not make semaphores; nothing here uses it.
os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")

Floats = npt.NDArray[np.float64]
Names = Mapping[str, Sequence[str]]

LABEL = "late"

NUMBERS = (
    "temp",
    "wind_speed",
    "precip",
    "pressure",
    "visib",
    "distance",
    "hour_sin",
    "hour_cos",
    "weekday",
    "arrives_min",
)

NAMES = ("carrier", "origin", "route", "fleet")
"""Columns of text, which are given to LightGBM as categories."""

INPUTS = {
    **dict.fromkeys(NUMBERS, "Float64"),
    **dict.fromkeys(NAMES, "String"),
    **dict.fromkeys(("distance", "arrives_min"), "Int64"),
    "weekday": "Int8",
    "origin": "Enum",
}
"""What a model is asked with: dtype by column."""

OUTPUTS = {"chance": "Float64"}

WORSE_WEATHER = {"precip": 1, "wind_speed": 1, "visib": -1}
"""Which way a number moves when the weather gets worse: the probability never falls with it."""

PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 31,
    "min_data_in_leaf": 500,
    "cat_smooth": 200,
    "cat_l2": 100,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "monotone_constraints": [WORSE_WEATHER.get(name, 0) for name in (*NUMBERS, *NAMES)],
    # The same rows and seed give the same trees, on any machine with this version of LightGBM.
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
PATIENCE = 50
"""Rounds without gain on the tuning rows after which a booster is finished."""
STEPS_MAX = 50
"""Of Newton's method, which needs five or six."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Delays:
    """A model that was learnt."""

    boosters: tuple[lightgbm.Booster, ...]
    names: Names
    """The texts that each column of text had in training; any other counts as missing."""
    slope: float
    level: float
    """The logit of a probability is slope times score plus level."""

    def chance(self, flights: pl.DataFrame) -> pl.Series:
        """Return for each flight the probability that it arrives late."""
        raw = scores(self.boosters, flights, self.names)
        return pl.Series("chance", 1 / (1 + np.exp(-(self.slope * raw + self.level))))


def fit(
    train: pl.DataFrame,
    tune: pl.DataFrame,
    names: Names,
    *,
    seed: int,
    rounds: int,
    after_round: Callable[[int], None],
) -> lightgbm.Booster:
    """Learn one booster.

    Args:
        train: rows to learn from.
        tune: rows that say when to stop.
        names: see ``Delays``.
        seed: the same one gives the same booster.
        rounds: trees at most.
        after_round: told the number of each round that is done.
    """
    import lightgbm  # noqa: PLC0415 - see above

    rows = lightgbm.Dataset(
        matrix(train, names),
        train[LABEL].to_numpy(),
        feature_name=[*NUMBERS, *NAMES],
        categorical_feature=list(NAMES),
    )
    others = lightgbm.Dataset(matrix(tune, names), tune[LABEL].to_numpy(), reference=rows)
    return lightgbm.train(
        {**PARAMETERS, "seed": seed},
        rows,
        rounds,
        valid_sets=[others],
        callbacks=[
            lightgbm.early_stopping(PATIENCE, verbose=False),
            lambda now: after_round(now.iteration + 1),
        ],
    )


def calibrated(boosters: Sequence[lightgbm.Booster], names: Names, tune: pl.DataFrame) -> Delays:
    """Return the model that boosters make, its probabilities fitted to the tuning rows (Platt)."""
    raw, late = scores(boosters, tune, names), tune[LABEL].to_numpy().astype(np.float64)
    columns = np.column_stack([raw, np.ones_like(raw)])
    found = np.array([1.0, 0.0])
    for _ in range(STEPS_MAX):
        told = 1 / (1 + np.exp(-columns @ found))
        curvature = columns.T @ (columns * (told * (1 - told))[:, None])
        step = np.linalg.solve(curvature, columns.T @ (late - told))
        found += step
        if np.abs(step).max() < 1e-12:  # noqa: PLR2004 - it doubles its digits at each step
            break
    slope, level = found
    return Delays(boosters=tuple(boosters), names=names, slope=float(slope), level=float(level))


def scores(boosters: Sequence[lightgbm.Booster], flights: pl.DataFrame, names: Names) -> Floats:
    """Return the mean of the boosters' scores: log odds, shape (flights,)."""
    if flights.is_empty():
        return np.empty(0)
    features = matrix(flights, names)
    told = [booster.predict(features, raw_score=True, num_threads=1) for booster in boosters]
    mean: Floats = np.mean(told, axis=0)
    return mean


def matrix(flights: pl.DataFrame, names: Names) -> Floats:
    """Return features as numbers, shape (flights, features); NaN where something is missing."""
    codes = [
        pl.col(name)
        .cast(pl.String)
        .replace_strict(list(names[name]), range(len(names[name])), default=None)
        for name in NAMES
    ]
    return flights.select(
        pl.col(*NUMBERS).cast(pl.Float64), *(code.cast(pl.Float64) for code in codes)
    ).to_numpy()


def names_in(train: pl.DataFrame) -> Names:
    """Return the texts that columns of text have."""
    return {
        name: train[name].cast(pl.String).drop_nulls().unique().sort().to_list() for name in NAMES
    }


def with_labels_permuted(train: pl.DataFrame, share: float, seed: int) -> pl.DataFrame:
    """Return rows of which a random share have their labels permuted: what a worse model sees."""
    dice = np.random.default_rng(seed)
    labels = train[LABEL].to_numpy().copy()
    chosen = dice.choice(labels.size, int(share * labels.size), replace=False)
    labels[chosen] = labels[dice.permutation(chosen)]
    return train.with_columns(pl.Series(LABEL, labels))


def save(boosters: Sequence[lightgbm.Booster], folder: Path) -> None:
    """Write boosters, a file each."""
    for number, booster in enumerate(boosters):
        booster.save_model(folder / f"booster-{number}.txt")


def load_boosters(folder: Path) -> list[lightgbm.Booster]:
    """Return the boosters that were saved."""
    import lightgbm  # noqa: PLC0415 - see above

    files = sorted(folder.glob("booster-*.txt"))
    return [lightgbm.Booster(model_file=file) for file in files]


def save_model(model: Delays, folder: Path) -> None:
    """Write a model's files."""
    save(model.boosters, folder)
    rest = {"names": model.names, "slope": model.slope, "level": model.level}
    (folder / "model.json").write_text(json.dumps(rest, indent=1))


def load(folder: Path) -> Delays:
    """Return the model that was saved; a bundle names this function as its loader."""
    rest = json.loads((folder / "model.json").read_text())
    return Delays(boosters=tuple(load_boosters(folder)), **rest)
