"""The service that is measured: the model of the floor, behind walls.

Whoever writes ``{"version": 2, "fault": "hang"}`` into the file that ``BENCH_FAULT``
names has the function do that, for one version alone.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import cast

import lightgbm
import numpy as np

import firedoor as fd

FAULT = Path(os.environ.get("BENCH_FAULT", "/nowhere/fault"))
FAULTS = "BENCH_FAULT" in os.environ
SLOW_TIMES = 20
WORK_S = 0.002
LEAK_BYTES = 32 * 2**20
"""At each call."""

pipeline = fd.Pipeline("bench", owner="bench@example.com")


class Model:
    """A booster, and which version it is."""

    def __init__(self, folder: Path) -> None:
        """Load it."""
        self.booster = lightgbm.Booster(model_file=folder / "model.txt")
        self.number = int((folder / "number").read_text(encoding="utf-8"))
        self.held: list[bytearray] = []


@pipeline.service(
    model=fd.model("bench"),
    fallback=fd.Fallback(cached_s=60),
    # Held at a tenth, for as long as a fault lasts: who takes it away has to be the evidence.
    rollout=fd.RolloutPolicy(
        steps=(0.1, 1.0), requests_min=10**6, shadow_requests=50, look_s=10, time_scale=20,
        step_timeout_s=604_800,
    ),
    timeout_s=1.0,
    attempt_s=0.3,
    hang_s=0.5,
    memory="1GiB",
    may_read=[FAULT.parent] if FAULTS else [],
    env=["BENCH_FAULT"],
    log=bool(os.environ.get("BENCH_LOG")),
)  # fmt: skip
def predict(model: Model, rows: np.ndarray) -> np.ndarray:
    """Return how likely each flight is to leave late."""
    told = cast("np.ndarray", model.booster.predict(rows, num_threads=1))
    return misbehaved(model, told) if FAULTS else told


def wanted(model: Model) -> str:
    """Return what this version is to do wrong; empty: nothing."""
    try:
        said = json.loads(FAULT.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(said["fault"]) if said["version"] == model.number else ""


def misbehaved(model: Model, told: np.ndarray) -> np.ndarray:
    """Return predictions, after what is asked for was done."""
    threading.Event().wait(WORK_S)
    match wanted(model):
        case "raise":
            message = "the model does not know"
            raise ValueError(message)
        case "hang":
            threading.Event().wait()
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "nan":
            told = np.full_like(told, np.nan)
        case "slow":
            threading.Event().wait(SLOW_TIMES * WORK_S)
        case "burn":
            for _ in range(4):
                threading.Thread(target=burn, args=(time.monotonic() + 5,), daemon=True).start()
        case "leak":
            model.held.append(bytearray(os.urandom(2**20)) * (LEAK_BYTES // 2**20))
        case _:
            pass
    return told


def burn(until_s: float) -> None:
    """Keep a processor busy."""
    while time.monotonic() < until_s:
        sum(range(1_000))


def load(folder: Path) -> Model:
    """Return a version; bundles name this function as their loader."""
    return Model(folder)
