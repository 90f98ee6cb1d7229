"""Keyword arguments that declarations take beyond those that they spell out."""

from __future__ import annotations

from collections.abc import Mapping

from firedoor.spec.degrade import Degrading, Requiring
from firedoor.spec.referred import ModelPlan
from firedoor.spec.upkeep import ZONE_UPKEEP, StepUpkeep, ZoneUpkeep
from firedoor.spec.zone_wall import ZONE_WALL, ZoneWall


class StepOptions(ZoneWall, StepUpkeep, Requiring, total=False):
    """Further keyword arguments of a sink that is a function."""


class TransformOptions(StepOptions, Degrading, total=False):
    """Further keyword arguments of a transform."""

    models: Mapping[str, ModelPlan]
    """By parameter of the function, which models it uses: ``fd.model``."""


class FolderSinkOptions(ZoneUpkeep, Requiring, total=False):
    """Further keyword arguments of a sink that writes files."""


STEP_OPTIONS = (*ZONE_WALL, *StepUpkeep.__annotations__, *Requiring.__annotations__)
TRANSFORM_OPTIONS = (*STEP_OPTIONS, "degrade", "models")
FOLDER_SINK_OPTIONS = (*ZoneUpkeep.__annotations__, *Requiring.__annotations__)

TRANSFORM = (
    "reads", "name", "schema", "out_schema", "lookups", "expands", "when_full", "inbox",
    "throttle_share", "dead_max", "sensitive", "owner", "slo", *TRANSFORM_OPTIONS,
)  # fmt: skip
FUNCTION_SINK = (
    "reads", "name", "schema", "when_full", "inbox", "throttle_share", "dead_max", "sensitive",
    "owner", "slo", *STEP_OPTIONS,
)  # fmt: skip
SOURCE = ("peak", *ZONE_UPKEEP)
FOLDER_SINK = (
    "name", "to", "reads", "when_full", "inbox", "owner", "slo", *FOLDER_SINK_OPTIONS,
)  # fmt: skip
