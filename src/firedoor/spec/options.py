"""Keyword arguments that declarations take beyond those that they spell out."""

from __future__ import annotations

from firedoor.spec.degrade import Degrading, Requiring
from firedoor.spec.upkeep import StepUpkeep, ZoneUpkeep
from firedoor.spec.zone_wall import ZONE_WALL, ZoneWall


class StepOptions(ZoneWall, StepUpkeep, Requiring, total=False):
    """Further keyword arguments of a sink that is a function."""


class TransformOptions(StepOptions, Degrading, total=False):
    """Further keyword arguments of a transform."""


class FolderSinkOptions(ZoneUpkeep, Requiring, total=False):
    """Further keyword arguments of a sink that writes files."""


STEP_OPTIONS = (*ZONE_WALL, *StepUpkeep.__annotations__, *Requiring.__annotations__)
TRANSFORM_OPTIONS = (*STEP_OPTIONS, "degrade")
FOLDER_SINK_OPTIONS = (*ZoneUpkeep.__annotations__, *Requiring.__annotations__)
