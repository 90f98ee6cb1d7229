"""What a job is given of its run. Runs in the job's worker, whose process may die at any moment."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import SupportsFloat

from firedoor.compute import blame, limits
from firedoor.errors import DeclarationError, FiredoorError
from firedoor.names import check_name
from firedoor.spec.checking import check_text
from firedoor.wire.bundle import FORMATS
from firedoor.wire.jobs import JobEnded, JobLoad, JobRaised, Keep, Kept, Metric, Progress
from firedoor.wire.messages import Reply, Request
from firedoor.wire.striking import Strike

SAY_S = 0.1
"""Between two reports of progress: a loop may tell each round."""
METRICS_MAX = 1_000


class Run:
    """One run of a job, as its function sees it. Thread-safe.

    Whatever is called here counts as a sign of life; a job without one for ``hang_s`` is ended.

    Attributes:
        id: of the run: ``train-3``.
        attempt: 1, and one more after each that failed.
        seed: to seed whatever draws.
        parameters: what was declared, as changed by ``--param``.
        scratch: the only folder that it may write to; it goes when the attempt ends.
    """

    def __init__(
        self,
        load: JobLoad,
        send: Callable[[Reply], None],
        asked: Callable[[Reply], Request],
    ) -> None:
        """Made by firedoor.

        Args:
            load: what the job was told.
            send: says something to the supervisor.
            asked: says something, and waits for the answer.
        """
        self.id = load.run
        self.attempt = load.attempt
        self.seed = load.seed
        self.parameters: Mapping[str, bool | int | float | str | None] = load.parameters
        self.scratch = Path(load.scratch)
        self._checkpoints = Path(load.checkpoints)
        self._send = send
        self._asked = asked
        self._lock = threading.Lock()
        self._said_s = -math.inf
        self._step = ""
        self._named: set[str] = set()
        self._saved = False

    def progress(self, done: float, total: float | None = None, step: str = "") -> None:
        """Tell how far it is; cheap enough for every round of a loop.

        Args:
            done: how much is done.
            total: of how much, if that is known.
            step: what it is at; the record of the run names the last one.
        """
        for field, value in (("done", done), ("total", total)):
            if value is not None and not 0 <= _number(value) < math.inf:
                raise DeclarationError(field, value, "is no number", "give 0 or more")
        check_text("step", step)
        now_s = time.monotonic()
        if now_s - self._said_s < SAY_S and step == self._step and done != total:
            return
        self._step = step
        self._say(
            Progress(done=float(done), total=None if total is None else float(total), step=step)
        )

    def heartbeat(self) -> None:
        """Tell that it lives, where there is no progress to tell."""
        if time.monotonic() - self._said_s >= SAY_S:
            self._say(Progress())

    def log_metric(self, name: str, value: SupportsFloat) -> None:
        """Keep a figure; the record of the run has the last one of each name.

        Raises:
            DeclarationError: if it is not a finite number. Nothing is kept then.
        """
        check_text("name", name)
        number = _number(value)
        if not math.isfinite(number):
            why = f"of {name} is no finite number"
            raise DeclarationError("value", value, why, "leave out what could not be measured")
        if name not in self._named and len(self._named) >= METRICS_MAX:
            why = f"comes after {METRICS_MAX} others"
            raise DeclarationError("name", name, why, "keep details in a file of the model")
        self._named.add(name)
        self._say(Metric(name=name, value=number))

    def kept(self, name: str) -> Path | None:
        """Return the folder that was kept last under a name; None: nothing was, begin anew.

        It was kept by this attempt, by an earlier one, or by an earlier run of the same code,
        parameters, seed and input that did not end well. Do not change it.
        """
        folder = self._checkpoints / check_name("name", name)
        self.heartbeat()
        return folder if folder.is_dir() else None

    @contextlib.contextmanager
    def checkpoint(self, name: str) -> Iterator[Path]:
        """Give an empty folder; when the block ends, it is kept in one step under the name.

        A kill at any moment leaves what was kept before, or this, never a part. If the block
        raises, nothing is kept.

        Raises:
            FiredoorError: if it cannot be kept.
        """
        with self._keeping(Keep(kind="checkpoint", name=check_name("name", name))) as folder:
            yield folder

    def save(
        self,
        model: str,
        folder: str | Path,
        *,
        format: str = "files",  # noqa: A002 - the field's word
        loader: str = "",
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
        example: str = "",
    ) -> None:
        """Have a folder become a candidate version of a model, once the job has ended well.

        A copy of the folder is taken now. One model a run. See ``fd.Models.add``.

        Args:
            model: its name.
            folder: the files.
            format: ``files``, ``pickle``, ``skops``, ``onnx``, ``lightgbm``, ``torch``, ``mlflow``.
            loader: of format ``files``: ``module:function`` that is given the folder.
            inputs: dtype by name, ``{"distance": "Int64"}``.
            outputs: likewise.
            example: file of the folder with example rows.

        Raises:
            DeclarationError: if there is no such folder, or a model was saved already.
        """
        check_name("model", model)
        if format not in FORMATS:
            raise DeclarationError(
                "format", format, "is not known", f"choose one of {', '.join(FORMATS)}"
            )
        if not Path(folder).is_dir():
            raise DeclarationError("folder", str(folder), "is no folder", "write the files first")
        if self._saved:
            remedy = "give each model a job of its own"
            raise DeclarationError("model", model, "is the second model of this run", remedy)
        keep = Keep(
            kind="model", name=model, format=format, loader=loader, inputs=dict(inputs or {}),
            outputs=dict(outputs or {}), example=example,
        )  # fmt: skip
        with self._keeping(keep) as taken:
            shutil.copytree(folder, taken, symlinks=True, dirs_exist_ok=True)
        self._saved = True

    @contextlib.contextmanager
    def _keeping(self, keep: Keep) -> Iterator[Path]:
        """Give an empty folder, and have the supervisor take it over."""
        folder = self.scratch / "keep" / keep.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
        _sync(folder)
        with self._lock:
            answer = self._asked(keep)
            self._said_s = time.monotonic()
        if not isinstance(answer, Kept) or answer.error:
            why = answer.error if isinstance(answer, Kept) else "no answer"
            message = f"{keep.kind} {keep.name!r} could not be kept: {why}"
            raise FiredoorError(message)

    def _say(self, message: Reply) -> None:
        """Send a message whole, whichever thread it comes from."""
        with self._lock:
            self._send(message)
            self._said_s = time.monotonic()


def outcome_of(
    step: Callable[..., object], run: Run, folder: str | None, strike: Strike | None = None
) -> JobEnded | JobRaised:
    """Run a job's function, or what a drill has it do before, and return what came of it."""
    try:
        if strike is not None:
            _suffer(strike)
        step(run) if folder is None else step(run, Path(folder))
    except BaseException as error:  # noqa: BLE001 - user code may raise anything at all
        said = blame.of_exception(error, ())
        memory = isinstance(error, MemoryError) or limits.looks_like_memory(said.message)
        return JobRaised(
            memory=memory, signature=said.signature, message=said.message, line=said.line
        )
    return JobEnded()


def _suffer(strike: Strike) -> None:
    """Do to this process what a drill wants; returns only if that has not ended it.

    Raises:
        ValueError: as a function would that cannot go on.
        MemoryError: where memory is limited by the system.
    """
    if time.monotonic() >= strike.until_s:
        return
    how = strike.name.removeprefix("job_")
    if how == "raise":
        message = f"a drill has the job raise ({strike.fault})"
        raise ValueError(message)
    from firedoor.compute.striking import die  # noqa: PLC0415 - polars, for who is drilled

    die(how, strike)


def _sync(folder: Path) -> None:
    """Wait until the disk has all files: the rename that follows must not come before them."""
    for at, _, names in os.walk(folder):
        paths = [Path(at), *(Path(at) / name for name in names)]
        for path in paths:
            if path.is_dir() or (path.is_file() and not path.is_symlink()):
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)


def _number(value: object) -> float:
    """Return a figure as a plain number, also one of numpy; NaN for what is none."""
    if isinstance(value, bool | str) or not isinstance(value, SupportsFloat):
        return math.nan
    return float(value)
