"""A zone whose code is replaced while the others run: what is kept of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from firedoor.compose.code_copy import copy_code, digest_of, moved
from firedoor.compose.files import write_atomically
from firedoor.compose.project import Project
from firedoor.errors import NotKnown
from firedoor.events.happened import Happened
from firedoor.spec.plan import Plan, ZonePlan

DeployState = Literal["wanted", "live", "failed"]


PAST_MAX = 20
"""Versions that a zone can be rolled back to, the latest."""


class Past(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version that was live."""

    version: str
    code: str
    """The folder that it was loaded from."""
    file: str = ""
    """Where its plan is; empty: the pipeline's own."""
    gone: bool = False
    """Whether what took its place came from the same folder, and nobody has kept what was there."""


class Deploy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for, and what came of it: the value of ``deploy.<zone>``."""

    version: str
    before: str
    """The version that the pipeline's own file declared when this was asked for."""
    file: str
    """Where the zone's new plan is; empty: in the pipeline's own, to which it is rolled back."""
    code: str
    """The folder that it was loaded from."""
    state: DeployState = "wanted"
    because: str = ""
    by: str = ""
    at_s: float = 0.0
    past: tuple[Past, ...] = ()
    """What was live before, the latest last: where a rollback goes."""
    shadow_s: float = 0.0
    """``at_s`` of the shadow in which it was tried first; 0: in none."""

    def plan_file(self, project: Project) -> Path | None:
        """Return where the zone's plan is; None: in the pipeline's own."""
        return project.folder / self.file if self.file else None


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """One zone's new plan, with where its code is."""

    zone: ZonePlan
    file: str
    sys_path: tuple[str, ...]
    copy: str = ""
    """Where its code is kept as well, in the project folder; empty: nowhere."""
    digest: str = ""
    """Of that code."""

    @property
    def folder(self) -> Path:
        """Where it was loaded from."""
        return Path(self.file).parent


def read_deploy(value: bytes | str | None) -> Deploy | None:
    """Return what was asked for; None for nothing, or what another version wrote."""
    try:
        return msgspec.json.decode(value, type=Deploy) if value else None
    except msgspec.DecodeError:
        return None


def keep_deployed(project: Project, deployed: Deployed) -> str:
    """Keep a zone's new plan, and a copy of its code; return its file."""
    file = project.deployed_file(deployed.zone)
    copy = file.with_suffix("")
    if copy_code(deployed.folder, copy):
        kept = str(copy.relative_to(project.folder))
        deployed = msgspec.structs.replace(deployed, copy=kept, digest=digest_of(copy))
    write_atomically(file, msgspec.json.encode(deployed), durable=True)
    return str(file)


def read_deployed(project: Project, name: str) -> Deployed:
    """Return the zone's new plan in a file of the project, with its code as it was deployed.

    Raises:
        NotKnown: if there is none.
    """
    try:
        found = msgspec.json.decode((project.folder / name).read_bytes(), type=Deployed)
    except (OSError, msgspec.DecodeError) as error:
        message = f"{project.folder / name} is no zone's plan ({error}): deploy it again"
        raise NotKnown(message) from error
    if not found.copy or digest_of(found.folder) == found.digest:
        return found
    return _in_copy(found, project.folder / found.copy)


def _in_copy(deployed: Deployed, copy: Path) -> Deployed:
    """Return a zone's plan whose code is run from a copy: its folder has changed, or is gone."""
    folder, there = str(deployed.folder), str(copy)
    step = deployed.zone.step
    if step is not None and step.main_path is not None:
        step = msgspec.structs.replace(step, main_path=moved(step.main_path, folder, there))
    return msgspec.structs.replace(
        deployed,
        zone=msgspec.structs.replace(deployed.zone, step=step),
        file=moved(deployed.file, folder, there),
        sys_path=tuple(moved(path, folder, there) for path in deployed.sys_path),
    )


def with_deployed(plan: Plan, deployed: Deployed) -> Plan:
    """Return a pipeline in which one zone is replaced, for that zone's process."""
    zones = tuple(deployed.zone if zone.name == deployed.zone.name else zone for zone in plan.zones)
    return msgspec.structs.replace(
        plan, zones=zones, file=deployed.file, sys_path=deployed.sys_path
    )


def read_live(project: Project) -> dict[str, Deploy]:
    """Return the deployments that hold, by zone: they outlive the run in which they were made."""
    try:
        return msgspec.json.decode(_live_file(project).read_bytes(), type=dict[str, Deploy])
    except (OSError, msgspec.DecodeError):
        return {}


def write_live(project: Project, zone: str, deploy: Deploy) -> None:
    """Keep that a deployment holds."""
    live = read_live(project) | {zone: deploy}
    write_atomically(_live_file(project), msgspec.json.encode(live), durable=True)


def live_deploy(project: Project, zone: ZonePlan) -> Deploy | None:
    """Return the deployment that holds for a zone; None where the pipeline's own code is live.

    Args:
        project: the project folder.
        zone: as the pipeline's file declares it: with another file other deployments begin.
    """
    live = read_live(project).get(zone.name)
    return live if live is not None and live.before == zone.version else None


def past_with(project: Project, plan: Plan, zone: str, *, code: str) -> tuple[Past, ...]:
    """Return what was live in a zone, with what is live now as the latest.

    Args:
        project: the project folder.
        plan: the pipeline.
        zone: its name.
        code: the folder of the code that takes its place.
    """
    declared = plan.zone(zone)
    live = live_deploy(project, declared)
    if live is None:
        own = str(Path(plan.file).parent)
        return (Past(version=declared.version, code=own, gone=own == code),)
    now = Past(version=live.version, code=live.code, file=live.file)
    return (*live.past, now)[-PAST_MAX:]


def _live_file(project: Project) -> Path:
    """Return where deployments that hold are kept."""
    return project.folder / "deployed" / "live.json"


def settled(zone: str, deploy: Deploy, at_s: float) -> Happened:
    """Return the entry that says what came of a deployment."""
    live = deploy.state == "live"
    did = "took over" if live else f"is not deployed: {deploy.because}"
    return Happened(
        at_s=at_s, kind="deploy", zone=zone, code=deploy.state, by=deploy.by, about=zone,
        text=f"version {deploy.version} {did}", after=deploy.version if live else "",
    )  # fmt: skip
