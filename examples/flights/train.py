"""From raw lines to scored flights: a model is learnt, judged, promoted and used.

    python examples/flights/train.py [--data ARCHIVE] [--json FILE] [--project FOLDER]

The exit code is 0 only if the honest models were promoted, the one with spoiled labels was not, and
every flight of September to December was scored once.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

import delays
import drift
import firedoor as fd
import pipeline
import scoring
import show_training as show
import stream
import training
from data import DataMissing
from firedoor.evaluation.calibration import Calibration
from firedoor.evaluation.metrics import Unknown
from year import ARCHIVE, ROOT, YEAR, write_year

TRAINING, SCORING = training.__file__, scoring.__file__
PERMUTED = 0.2
"""Share of the training rows whose labels are spoiled, of the model that must not pass."""
COMMAND_MAX_S = 900.0
MODEL = "delays"
VERDICTS = {0: "promote", 3: "hold", 4: "reject"}
"""Exit codes of an evaluation that came to a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A version that was learnt and judged."""

    version: str
    permuted: float
    verdict: str
    why: tuple[str, ...]
    """What stands in its way."""
    figures: dict[str, tuple[float, float, float]]
    """Of the sealed rows: each with the ends of its interval."""
    learnt_s: float
    peak_bytes: int
    live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """What came of the scores."""

    due: int
    """Flights that were to be scored."""
    scored: int
    doubled: int
    by_model: dict[str, int]
    """Flights by the version that scored them."""
    auc: float
    weeks: pl.DataFrame
    months: pl.DataFrame
    calibration: Calibration | Unknown

    @property
    def holds(self) -> bool:
        """Whether each flight was scored once."""
        return self.scored == self.due and self.doubled == 0


def main() -> int:
    """Tell the story, and return the exit code."""
    arguments = parse_arguments()
    began_s = time.monotonic()
    try:
        write_year(arguments.data, YEAR)
    except DataMissing as error:
        show.error(str(error))
        return 2
    project = Project(arguments.project)
    show.act("1. The year, from raw lines to the store")
    fill_store(project)
    show.act("2. A model, judged on two months that it could not see")
    learn = Learning(project=project, boosters=arguments.boosters)
    first = learn(seed=1)
    show.act(f"3. The same with the labels of {PERMUTED:.0%} of the training rows permuted")
    worse = learn(seed=2, permuted=PERMUTED)
    show.act("4. And an honest one again, with another seed")
    second = learn(seed=3)
    show.act("5. September to December, scored by the model that is live")
    project.command("run", SCORING)
    season = look_back(project)
    candidates = [first, worse, second]
    show.season(season)
    took_s = time.monotonic() - began_s
    peak_bytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    show.closing_lines(candidates, season, took_s=took_s, peak_bytes=peak_bytes)
    if arguments.json:
        figures = figures_of(candidates, season, took_s, peak_bytes)
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    as_meant = first.live and second.live and not worse.live
    return 0 if as_meant and season.holds else 1


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ARCHIVE, help="what `make data` fetched")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument(
        "--project",
        type=Path,
        default=ROOT,
        help="where .firedoor is begun anew (default: the repository)",
    )
    parser.add_argument("--boosters", type=int, default=5, help="of each model (default: 5)")
    arguments = parser.parse_args()
    if arguments.json and not arguments.json.absolute().parent.is_dir():
        parser.error(f"--json {arguments.json}: its folder does not exist; make it first")
    return arguments


class Project:
    """The project folder, by the commands that a person types."""

    def __init__(self, folder: Path) -> None:
        """Name it."""
        self.folder = folder

    def command(self, *arguments: str, may_end: tuple[int, ...] = (0,), **env: str) -> int:
        """Run a command of firedoor, show what it says, and return its exit code.

        Raises:
            SystemExit: if it ends with a code that it may not.
        """
        show.typed(arguments)
        ended = subprocess.run(  # noqa: S603 - our own program
            stream.firedoor(*arguments, "--project", self.folder),
            env={**os.environ, **env}, timeout=COMMAND_MAX_S, check=False,
        )  # fmt: skip
        if ended.returncode not in may_end:
            sys.exit(f"firedoor {arguments[0]} ended with {ended.returncode}")
        return ended.returncode

    def latest(self, job: str) -> dict[str, Any]:
        """Return the record of a job's latest run."""
        command = stream.firedoor("runs", "--job", job, "--limit", "1", "--json")
        told = subprocess.run(  # noqa: S603 - our own program
            [*command, "--project", str(self.folder)],
            capture_output=True, timeout=COMMAND_MAX_S, check=True,
        )  # fmt: skip
        record: dict[str, Any] = json.loads(told.stdout)[0]
        return record


def fill_store(project: Project) -> None:
    """Run the five zones over the year, as fast as they go."""
    stream.begin_anew(project.folder)
    stream.remove(scoring.SCORED)
    with stream.started_weather() as address:
        project.command("run", str(stream.PIPELINE), FLIGHTS_WEATHER=address, FLIGHTS_RATE="0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """Trains versions, has them judged, and promotes those of which the verdict says so."""

    project: Project
    boosters: int

    def __call__(self, *, seed: int, permuted: float = 0.0) -> Candidate:
        """Return what came of one."""
        job = ("job", "run", "train", "--pipeline", TRAINING, "--seed", str(seed))
        self.project.command(*job, *self._changed(permuted))
        run = self.project.latest("train")
        judged = ("job", "run", "evaluate", "--pipeline", TRAINING)
        self.project.command(*judged, may_end=tuple(VERDICTS))
        judgement = self.project.latest("evaluate")["verdict"]["judgement"]
        # One that was held is refused; it is asked for all the same, to show that.
        ended = self.project.command("models", "promote", run["model"], may_end=(0, 1))
        return candidate_of(run, judgement, live=ended == 0)

    def _changed(self, permuted: float) -> list[str]:
        """Return the parameters that are not as declared."""
        given = {"boosters": self.boosters, "permuted": permuted}
        changed = {
            name: value for name, value in given.items() if value != training.PARAMETERS[name]
        }
        return [word for name, value in changed.items() for word in ("--param", f"{name}={value}")]


def candidate_of(run: dict[str, Any], judgement: dict[str, Any], *, live: bool) -> Candidate:
    """Return what records say of a version."""
    figures = {
        name: (found["value"], found["low"], found["high"])
        for name, found in judgement["metrics"].items()
        if "value" in found
    }
    return Candidate(
        version=run["model"],
        permuted=run["parameters"]["permuted"],
        verdict=judgement["word"],
        why=tuple(rule["sentence"] for rule in judgement["rules"] if rule["outcome"] != "pass"),
        figures=figures,
        learnt_s=run["ended_s"] - run["started_s"],
        peak_bytes=run["peak_bytes"],
        live=live,
    )


def look_back(project: Project) -> Season:
    """Hold the scores against what became of the flights."""
    stored = stream.read_rows(pipeline.STORE)
    scored = stream.read_rows(scoring.SCORED)
    due, found, doubled = drift.scored_once(scored, stored, scoring.FIRST_DAY)
    model = fd.Models(project.folder).load(MODEL)
    assert isinstance(model, delays.Delays)
    before = stored.filter(pl.col("day") < scoring.FIRST_DAY, pl.col("late").is_not_null())
    earlier = before.select(*drift.COLUMNS).with_columns(model.chance(before))
    learnt_from = earlier.filter(pl.col("day") < training.LEARNT_UNTIL.date())
    rows = drift.joined(scored, stored)
    versions = scored.group_by("model", maintain_order=True).len().iter_rows()
    return Season(
        due=due,
        scored=found,
        doubled=doubled,
        by_model=dict(versions),
        auc=drift.auc(rows),
        weeks=drift.by_week(rows),
        months=drift.by_month(pl.concat([earlier, rows]), learnt_from),
        calibration=drift.calibration_of(rows),
    )


def figures_of(
    candidates: list[Candidate], season: Season, took_s: float, peak_bytes: int
) -> dict[str, object]:
    """Return the figures."""
    return {
        "candidates": [asdict(candidate) for candidate in candidates],
        "season": {
            **{name: getattr(season, name) for name in ("due", "scored", "doubled", "by_model")},
            "auc": season.auc,
            "weekly_auc": season.weeks["auc"].to_list(),
            "late_by_month": season.months["late"].to_list(),
            "psi_by_month": season.months["psi"].to_list(),
        },
        "seconds": round(took_s, 1),
        "peak_bytes": peak_bytes,
    }


if __name__ == "__main__":
    sys.exit(main())
