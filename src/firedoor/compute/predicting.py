"""Have a model predict the rows that it is judged by. Runs in a worker that is told no label.

What is unfit for a judgement (a signature that rows do not fit, no number for a row, ...) is
written down for the supervisor; what the user's function raises is raised.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import polars as pl

from firedoor.compute import blame
from firedoor.compute.evaluation_order import (
    PREDICTIONS,
    ROWS_FILE,
    TASK_FILE,
    TOLD_FILE,
    Fault,
    PredictTask,
    Told,
    decode_predict,
    encode_task,
)
from firedoor.compute.formats import load_model
from firedoor.compute.jobbench import Run
from firedoor.compute.signature import misfits, told
from firedoor.errors import ModelRefused, ModelUnloadable, shorten
from firedoor.evaluation.predicted import Unfit, taken

if TYPE_CHECKING:
    from firedoor.evaluation.metrics import Values

CHECK_ROWS_MAX = 20_000
"""Rows that a change of inputs is tried on; of more, so many are drawn."""
LATENCY_S = 60.0
"""Longest time that calls are timed."""
WARM_CALLS = 5
SAID_CHARACTERS = 500

Predict = Callable[[object, pl.DataFrame], object]
Change = Callable[[pl.DataFrame], object]


def predict(run: Run, folder: Path, *, evaluate: Predict, checks: Mapping[str, Change]) -> None:
    """Predict all that a task asks for, and hand it over.

    Args:
        run: of the evaluation.
        folder: the task, and the model's files.
        evaluate: the user's function: model and rows in, a prediction a row out.
        checks: the user's changes of inputs.
    """
    task = decode_predict((folder / TASK_FILE).read_bytes())
    try:
        bench = _Bench(run, folder, task, evaluate)
        frames, told = bench.all_of_it(checks)
    except _Unusable as unusable:
        frames, told = {}, Told(fault=unusable.fault, message=str(unusable))
    with run.checkpoint(PREDICTIONS) as out:
        for name, frame in frames.items():
            frame.write_parquet(out / f"{name}.parquet")
        (out / TOLD_FILE).write_bytes(encode_task(told))


class _Unusable(Exception):
    """The model, or the function around it, is not fit to be judged."""

    def __init__(self, fault: Fault, why: str) -> None:
        super().__init__(why)
        self.fault: Fault = fault


class _Bench:
    """A model, its rows, and the function that has it predict them."""

    def __init__(self, run: Run, folder: Path, task: PredictTask, evaluate: Predict) -> None:
        """Read the rows, and load the model."""
        self._run, self._task, self._evaluate = run, task, evaluate
        signature = task.manifest.signature
        scanned = pl.scan_parquet(folder / ROWS_FILE)
        bad = misfits(signature.inputs, scanned.collect_schema())
        if bad:
            raise _Unusable("signature", f"its signature does not fit the rows: {told(bad)}")
        # What a model does not name, it is not shown: it may be known only afterwards.
        names = [field.name for field in signature.inputs]
        self._rows = (scanned.select(names) if names else scanned).collect()
        try:
            self._model = load_model(folder / "model", task.manifest, allow=task.allow)
        except (ModelRefused, ModelUnloadable) as error:
            raise _Unusable("unloadable", str(error)) from error

    def all_of_it(self, checks: Mapping[str, Change]) -> tuple[dict[str, pl.DataFrame], Told]:
        """Return frames of predictions by the name of their file, and what to say of them."""
        steps = 1 if self._task.once else 2 + len(checks) + bool(self._task.calls)
        self._run.progress(0, steps, step="predict")
        once = self._of(self._rows, varied=True)
        if self._task.once:
            return {PREDICTIONS: pl.DataFrame({"prediction": once})}, Told()
        self._run.progress(1, steps, step="predict again")
        again = self._of(self._rows)
        frames = {PREDICTIONS: pl.DataFrame({"prediction": once, "again": again})}
        files: dict[str, str] = {}
        unchecked: dict[str, str] = {}
        for number, (name, change) in enumerate(checks.items()):
            self._run.progress(2 + number, steps, step=f"check {name}")
            found = self._changed(name, change)
            if isinstance(found, str):
                unchecked[name] = found
            else:
                files[name] = f"check-{number}"
                frames[files[name]] = found
        if self._task.calls:
            self._run.progress(steps - 1, steps, step="latency")
            frames["latency"] = pl.DataFrame({"row_s": self._timed()})
        notes = () if self._task.manifest.signature.inputs else (NO_SIGNATURE,)
        return frames, Told(checks=files, unchecked=unchecked, notes=notes)

    def _of(self, rows: pl.DataFrame, *, varied: bool = False) -> pl.Series:
        """Return predictions of rows.

        Raises:
            _Unusable: if what was returned is none.
        """
        found = taken(cast("Values", self._evaluate(self._model, rows)), rows.height, varied=varied)
        self._run.heartbeat()
        if isinstance(found, Unfit):
            raise _Unusable(found.kind, found.why)
        return found

    def _changed(self, name: str, change: Change) -> pl.DataFrame | str:
        """Return predictions before and after a change of inputs, or why there are none."""
        rows, places = self._rows, list(range(self._rows.height))
        if rows.height > CHECK_ROWS_MAX:
            drawn = random.Random(f"{self._task.seed} {name}")  # noqa: S311 - repeated by its seed
            places = sorted(drawn.sample(places, CHECK_ROWS_MAX))
            rows = rows[places]
        try:
            other = change(rows)
            if not isinstance(other, pl.DataFrame) or other.height != rows.height:
                shape = f"{other.height:,} rows" if isinstance(other, pl.DataFrame) else type(other)
                return f"it returned {shape}, and not a frame of the {rows.height:,} rows"
            before, after = self._of(rows), self._of(other)
        except MemoryError:
            raise
        except _Unusable as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a user's check, or the model on what it makes of rows
            return shorten(blame.of_exception(error, rows.columns).message, SAID_CHARACTERS)
        return pl.DataFrame({"row": places, "before": before, "after": after})

    def _timed(self) -> list[float]:
        """Return the seconds of calls of one row each, the first few left out."""
        height, found = self._rows.height, []
        began_s = time.perf_counter()
        for number in range(-WARM_CALLS, self._task.calls):
            row = self._rows.slice(number % height, 1)
            start_s = time.perf_counter()
            self._evaluate(self._model, row)
            end_s = time.perf_counter()
            if number >= 0:
                found.append(end_s - start_s)
            self._run.heartbeat()
            if end_s - began_s > LATENCY_S:
                break
        return found


NO_SIGNATURE = "its bundle names no inputs: whether rows fit it was not looked at"
