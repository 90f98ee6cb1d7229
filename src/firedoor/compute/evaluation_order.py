"""What the two workers of an evaluation are told, as a file of the folder that each is given.

The one that predicts knows the model and no label; the one that judges knows labels, runs no code
of the model, and is not told whose predictions they are.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from firedoor.spec.evaluation_plan import EvaluationPlan
from firedoor.wire.bundle import Manifest

TASK_FILE = "task.json"
ROWS_FILE = "rows.parquet"
"""The rows without their labels."""
LABELS_FILE = "labels.parquet"
"""For the judge alone: labels, in the order of the rows."""
TOLD_FILE = "told.json"
TOLD_BYTES_MAX = 2**20
PREDICTIONS = "predictions"
"""Name of the folder that the predicting worker hands over, and of the file in it."""
JUDGEMENT = "judgement"
"""Likewise, of the judging worker."""
CHALLENGER = "challenger"
CHAMPION = "champion"

Fault = Literal["", "signature", "unloadable", "shape", "values"]


class PredictTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is predicted. The rows, and the model's files in ``model/``, are beside it."""

    manifest: Manifest
    allow: tuple[str, ...] = ()
    seed: int = 0
    once: bool = False
    """Whether it predicts once and does nothing else: the champion."""
    calls: int = 0
    """Calls of one row to time."""


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the predicting worker says beside its files. It ran the model's code: not believed."""

    fault: Fault = ""
    """What of the model or of the function is unfit; empty: nothing."""
    message: str = ""
    checks: dict[str, str] = {}
    """File of predictions before and after, by the name of the check."""
    unchecked: dict[str, str] = {}
    """Why there is none, likewise."""
    notes: tuple[str, ...] = ()


class JudgeTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is judged. Rows, labels and predictions (``challenger/``, ``champion/``) are beside."""

    label: str
    """The column."""
    champion: Literal["there", "none", "unknown"]
    """Whether the model that is live has predicted the rows too; ``none``: there is no such."""
    why: str = ""
    """Where it is not known what it predicts: why."""
    evaluation: EvaluationPlan


_predict = msgspec.json.Decoder(PredictTask)
_judge = msgspec.json.Decoder(JudgeTask)
_told = msgspec.json.Decoder(Told)


def encode_task(task: PredictTask | JudgeTask | Told) -> bytes:
    """Return a task, or what came of it, as JSON."""
    return msgspec.json.encode(task)


def decode_predict(data: bytes) -> PredictTask:
    """Return a task that the supervisor wrote."""
    return _predict.decode(data)


def decode_judge(data: bytes) -> JudgeTask:
    """Return a task that the supervisor wrote."""
    return _judge.decode(data)


def decode_told(data: bytes) -> Told:
    """Return what a worker says.

    Raises:
        msgspec.DecodeError: if it says nothing of the kind.
    """
    return _told.decode(data)
