"""firedoor: fault isolation for machine-learning pipelines.

Names are loaded when they are first used, so that ``import firedoor`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firedoor.compose.models import Models
    from firedoor.compute.crew import Lost
    from firedoor.compute.dead import DeadLetters
    from firedoor.compute.jobbench import Run
    from firedoor.compute.report import WallReport
    from firedoor.compute.wall import Outcome, Wall
    from firedoor.errors import (
        ArtifactsFull,
        BundleDamaged,
        ChangedMeanwhile,
        DeadLettersFull,
        DeadlineExceeded,
        DeadlineSpent,
        DeclarationError,
        DependencyDown,
        FiredoorError,
        FrameRefused,
        Full,
        GuardOpen,
        GuardRefused,
        ModelRefused,
        ModelsUnavailable,
        ModelUnloadable,
        NestedWall,
        NotKnown,
        Overloaded,
        PipelineUnloadable,
        ProjectBusy,
        RateExceeded,
        Refused,
        SnapshotDamaged,
        StepAtFault,
        StepUnloadable,
        StoreRefused,
        StreamFull,
        StreamsUnavailable,
        WallClosed,
        WorkersUnavailable,
    )
    from firedoor.evaluation import rules
    from firedoor.evaluation.leakage import LeakPolicy
    from firedoor.evaluation.splits import ByKey, ByTime
    from firedoor.guarding.guard import Guard
    from firedoor.guarding.passage import (
        deadline,
        incoming,
        outgoing_headers,
        priority,
        remaining_s,
    )
    from firedoor.guards.breaker import BreakerPolicy
    from firedoor.guards.budget import BudgetPolicy
    from firedoor.guards.bulkhead import BulkheadPolicy
    from firedoor.guards.explain import Explanation
    from firedoor.guards.fallback import Answer, Constant, Function, Previous, Stale
    from firedoor.guards.limit import LimitPolicy
    from firedoor.guards.rate import RatePolicy
    from firedoor.guards.retry import RetryPolicy
    from firedoor.guards.shedding import SheddingPolicy
    from firedoor.isolation.dropping import drop
    from firedoor.isolation.narrow import Failure
    from firedoor.rollout.policy import RolloutPolicy
    from firedoor.spec.degrade import Older, Quality, Sample, Slower
    from firedoor.spec.dependency import Dependency
    from firedoor.spec.edge import Edge, Shed
    from firedoor.spec.exempt import Exempt
    from firedoor.spec.fallback import Fallback
    from firedoor.spec.features import Features
    from firedoor.spec.lookup import lookup
    from firedoor.spec.model_use import model
    from firedoor.spec.pipeline import Pipeline
    from firedoor.spec.slo import SLO
    from firedoor.spec.sources import csv, frames, jsonl, parquet
    from firedoor.spec.trigger import every, manual, on

__version__ = "0.1.0"

_HOME = {
    "Answer": "firedoor.guards.fallback",
    "ArtifactsFull": "firedoor.errors",
    "BreakerPolicy": "firedoor.guards.breaker",
    "BudgetPolicy": "firedoor.guards.budget",
    "BulkheadPolicy": "firedoor.guards.bulkhead",
    "BundleDamaged": "firedoor.errors",
    "ByKey": "firedoor.evaluation.splits",
    "ByTime": "firedoor.evaluation.splits",
    "ChangedMeanwhile": "firedoor.errors",
    "Constant": "firedoor.guards.fallback",
    "DeadLetters": "firedoor.compute.dead",
    "DeadLettersFull": "firedoor.errors",
    "DeadlineExceeded": "firedoor.errors",
    "DeadlineSpent": "firedoor.errors",
    "DeclarationError": "firedoor.errors",
    "Dependency": "firedoor.spec.dependency",
    "DependencyDown": "firedoor.errors",
    "Edge": "firedoor.spec.edge",
    "Exempt": "firedoor.spec.exempt",
    "Explanation": "firedoor.guards.explain",
    "Failure": "firedoor.isolation.narrow",
    "Fallback": "firedoor.spec.fallback",
    "Features": "firedoor.spec.features",
    "FiredoorError": "firedoor.errors",
    "FrameRefused": "firedoor.errors",
    "Full": "firedoor.errors",
    "Function": "firedoor.guards.fallback",
    "Guard": "firedoor.guarding.guard",
    "GuardOpen": "firedoor.errors",
    "GuardRefused": "firedoor.errors",
    "LeakPolicy": "firedoor.evaluation.leakage",
    "LimitPolicy": "firedoor.guards.limit",
    "Lost": "firedoor.compute.crew",
    "ModelRefused": "firedoor.errors",
    "ModelUnloadable": "firedoor.errors",
    "Models": "firedoor.compose.models",
    "ModelsUnavailable": "firedoor.errors",
    "NestedWall": "firedoor.errors",
    "NotKnown": "firedoor.errors",
    "Older": "firedoor.spec.degrade",
    "Outcome": "firedoor.compute.wall",
    "Overloaded": "firedoor.errors",
    "Pipeline": "firedoor.spec.pipeline",
    "PipelineUnloadable": "firedoor.errors",
    "Previous": "firedoor.guards.fallback",
    "ProjectBusy": "firedoor.errors",
    "Quality": "firedoor.spec.degrade",
    "RateExceeded": "firedoor.errors",
    "RatePolicy": "firedoor.guards.rate",
    "Refused": "firedoor.errors",
    "RetryPolicy": "firedoor.guards.retry",
    "RolloutPolicy": "firedoor.rollout.policy",
    "Run": "firedoor.compute.jobbench",
    "SLO": "firedoor.spec.slo",
    "Sample": "firedoor.spec.degrade",
    "Shed": "firedoor.spec.edge",
    "SheddingPolicy": "firedoor.guards.shedding",
    "Slower": "firedoor.spec.degrade",
    "SnapshotDamaged": "firedoor.errors",
    "Stale": "firedoor.guards.fallback",
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
    "deadline": "firedoor.guarding.passage",
    "drop": "firedoor.isolation.dropping",
    "every": "firedoor.spec.trigger",
    "frames": "firedoor.spec.sources",
    "incoming": "firedoor.guarding.passage",
    "jsonl": "firedoor.spec.sources",
    "lookup": "firedoor.spec.lookup",
    "manual": "firedoor.spec.trigger",
    "model": "firedoor.spec.model_use",
    "on": "firedoor.spec.trigger",
    "outgoing_headers": "firedoor.guarding.passage",
    "parquet": "firedoor.spec.sources",
    "priority": "firedoor.guarding.passage",
    "remaining_s": "firedoor.guarding.passage",
}

_MODULES = {"rules": "firedoor.evaluation.rules"}
"""Public names that are modules."""

__all__ = [
    "SLO",
    "Answer",
    "ArtifactsFull",
    "BreakerPolicy",
    "BudgetPolicy",
    "BulkheadPolicy",
    "BundleDamaged",
    "ByKey",
    "ByTime",
    "ChangedMeanwhile",
    "Constant",
    "DeadLetters",
    "DeadLettersFull",
    "DeadlineExceeded",
    "DeadlineSpent",
    "DeclarationError",
    "Dependency",
    "DependencyDown",
    "Edge",
    "Exempt",
    "Explanation",
    "Failure",
    "Fallback",
    "Features",
    "FiredoorError",
    "FrameRefused",
    "Full",
    "Function",
    "Guard",
    "GuardOpen",
    "GuardRefused",
    "LeakPolicy",
    "LimitPolicy",
    "Lost",
    "ModelRefused",
    "ModelUnloadable",
    "Models",
    "ModelsUnavailable",
    "NestedWall",
    "NotKnown",
    "Older",
    "Outcome",
    "Overloaded",
    "Pipeline",
    "PipelineUnloadable",
    "Previous",
    "ProjectBusy",
    "Quality",
    "RateExceeded",
    "RatePolicy",
    "Refused",
    "RetryPolicy",
    "RolloutPolicy",
    "Run",
    "Sample",
    "Shed",
    "SheddingPolicy",
    "Slower",
    "SnapshotDamaged",
    "Stale",
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
    "deadline",
    "drop",
    "every",
    "frames",
    "incoming",
    "jsonl",
    "lookup",
    "manual",
    "model",
    "on",
    "outgoing_headers",
    "parquet",
    "priority",
    "remaining_s",
    "rules",
]


def __getattr__(name: str) -> object:
    """Load a public name at its first use."""
    value: object
    if name in _MODULES:
        try:
            value = importlib.import_module(_MODULES[name])
        except ModuleNotFoundError as error:
            message = f"firedoor.{name} needs {error.name}: pip install 'firedoor[train]'"
            raise ModuleNotFoundError(message, name=error.name) from error
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    else:
        message = f"module 'firedoor' has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
