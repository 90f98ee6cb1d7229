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
        DeclarationError,
        FiredoorError,
        FrameRefused,
        NestedWall,
        Refused,
        StepAtFault,
        StepUnloadable,
        WallClosed,
        WorkersUnavailable,
    )
    from firedoor.isolation.dropping import drop
    from firedoor.isolation.narrow import Failure

__version__ = "0.1.0"

_HOME = {
    "DeadLetters": "firedoor.compute.dead",
    "DeclarationError": "firedoor.errors",
    "Failure": "firedoor.isolation.narrow",
    "FiredoorError": "firedoor.errors",
    "FrameRefused": "firedoor.errors",
    "Lost": "firedoor.compute.crew",
    "NestedWall": "firedoor.errors",
    "Outcome": "firedoor.compute.wall",
    "Refused": "firedoor.errors",
    "StepAtFault": "firedoor.errors",
    "StepUnloadable": "firedoor.errors",
    "Wall": "firedoor.compute.wall",
    "WallClosed": "firedoor.errors",
    "WallReport": "firedoor.compute.report",
    "WorkersUnavailable": "firedoor.errors",
    "drop": "firedoor.isolation.dropping",
}

__all__ = [
    "DeadLetters",
    "DeclarationError",
    "Failure",
    "FiredoorError",
    "FrameRefused",
    "Lost",
    "NestedWall",
    "Outcome",
    "Refused",
    "StepAtFault",
    "StepUnloadable",
    "Wall",
    "WallClosed",
    "WallReport",
    "WorkersUnavailable",
    "__version__",
    "drop",
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
