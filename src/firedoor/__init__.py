"""firedoor: fault isolation for machine-learning pipelines.

Names are loaded when they are first used, so that ``import firedoor`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firedoor.compute.crew import Lost
    from firedoor.compute.dead import DeadLetters
    from firedoor.compute.report import WallReport
    from firedoor.compute.wall import Outcome, Wall
    from firedoor.errors import (
        DeadLettersFull,
        DeclarationError,
        DependencyDown,
        FiredoorError,
        FrameRefused,
        Full,
        NestedWall,
        NotKnown,
        PipelineUnloadable,
        ProjectBusy,
        Refused,
        StepAtFault,
        StepUnloadable,
        StoreRefused,
        StreamFull,
        StreamsUnavailable,
        WallClosed,
        WorkersUnavailable,
    )
    from firedoor.isolation.dropping import drop
    from firedoor.isolation.narrow import Failure
    from firedoor.spec.edge import Edge, Shed
    from firedoor.spec.lookup import lookup
    from firedoor.spec.pipeline import Pipeline
    from firedoor.spec.slo import SLO
    from firedoor.spec.sources import csv, frames, jsonl, parquet

__version__ = "0.1.0"

_HOME = {
    "DeadLetters": "firedoor.compute.dead",
    "DeadLettersFull": "firedoor.errors",
    "DeclarationError": "firedoor.errors",
    "DependencyDown": "firedoor.errors",
    "Edge": "firedoor.spec.edge",
    "Failure": "firedoor.isolation.narrow",
    "FiredoorError": "firedoor.errors",
    "FrameRefused": "firedoor.errors",
    "Full": "firedoor.errors",
    "Lost": "firedoor.compute.crew",
    "NestedWall": "firedoor.errors",
    "NotKnown": "firedoor.errors",
    "Outcome": "firedoor.compute.wall",
    "Pipeline": "firedoor.spec.pipeline",
    "PipelineUnloadable": "firedoor.errors",
    "ProjectBusy": "firedoor.errors",
    "Refused": "firedoor.errors",
    "SLO": "firedoor.spec.slo",
    "Shed": "firedoor.spec.edge",
    "StepAtFault": "firedoor.errors",
    "StepUnloadable": "firedoor.errors",
    "StoreRefused": "firedoor.errors",
    "StreamFull": "firedoor.errors",
    "StreamsUnavailable": "firedoor.errors",
    "Wall": "firedoor.compute.wall",
    "WallClosed": "firedoor.errors",
    "WallReport": "firedoor.compute.report",
    "WorkersUnavailable": "firedoor.errors",
    "csv": "firedoor.spec.sources",
    "drop": "firedoor.isolation.dropping",
    "frames": "firedoor.spec.sources",
    "jsonl": "firedoor.spec.sources",
    "lookup": "firedoor.spec.lookup",
    "parquet": "firedoor.spec.sources",
}

__all__ = [
    "SLO",
    "DeadLetters",
    "DeadLettersFull",
    "DeclarationError",
    "DependencyDown",
    "Edge",
    "Failure",
    "FiredoorError",
    "FrameRefused",
    "Full",
    "Lost",
    "NestedWall",
    "NotKnown",
    "Outcome",
    "Pipeline",
    "PipelineUnloadable",
    "ProjectBusy",
    "Refused",
    "Shed",
    "StepAtFault",
    "StepUnloadable",
    "StoreRefused",
    "StreamFull",
    "StreamsUnavailable",
    "Wall",
    "WallClosed",
    "WallReport",
    "WorkersUnavailable",
    "__version__",
    "csv",
    "drop",
    "frames",
    "jsonl",
    "lookup",
    "parquet",
]


def __getattr__(name: str) -> object:
    """Load a public name at its first use."""
    if name not in _HOME:
        message = f"module 'firedoor' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
