"""Where the new code of a zone is run that is tried beside the live one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from firedoor.compose.deploys import read_deployed, with_deployed
from firedoor.compose.project import Project
from firedoor.data.beside import Begin, BesideProcess
from firedoor.spec.plan import Plan, ZonePlan, encode_plan
from firedoor.spec.wall import WallOptions
from firedoor.wire.shadow import Shadow

if TYPE_CHECKING:
    from firedoor.spec.wall import WallArguments

COMMAND = (sys.executable, "-P", "-m", "firedoor.compose.shadow_process")
SPARE_S = 30.0
"""For what is not the step: starting Python, comparing."""


def open_beside(project: Project, plan: Plan, shadow: Shadow, zone: str) -> BesideProcess:
    """Return what runs a zone's new code.

    Raises:
        NotKnown: if there is no such code here.
    """
    deployed = read_deployed(project, shadow.file)
    there = with_deployed(plan, replace(deployed, zone=alone(deployed.zone)))
    begin = Begin(plan=encode_plan(there), zone=zone, project=str(project.folder))
    options = WallOptions(**cast("WallArguments", deployed.zone.wall))
    return BesideProcess(
        COMMAND,
        begin,
        load_s=options.load_timeout_s + SPARE_S,
        batch_s=options.isolation_limit_s + options.load_timeout_s + SPARE_S,
    )


def alone(zone: ZonePlan) -> ZonePlan:
    """Return a zone that reaches nobody whom it does not declare: an effect would be made twice."""
    if zone.depends:
        return zone
    return replace(zone, wall={**zone.wall, "network": False})
