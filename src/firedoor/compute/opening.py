"""Open a version of a service's model, or its fallback function, in workers."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from firedoor.compute.affliction import Affliction
from firedoor.compute.formats import LIBRARIES
from firedoor.compute.launch import ServingOrder
from firedoor.compute.variant import WorkerVariant
from firedoor.errors import BundleDamaged, DeclarationError, ModelsUnavailable
from firedoor.isolation.relapse import RelapsePolicy
from firedoor.spec.service_plan import ServicePlan
from firedoor.wire.bundle import Manifest, Signature, Unsound, decode_manifest
from firedoor.wire.model_files import ModelFiles
from firedoor.wire.route import Arm

PRELOADED = frozenset({"numpy", "pandas", "pyarrow", "scipy", "lightgbm", "xgboost"})
"""Libraries that may be imported before a fork, where a bundle says that it was made with them."""


def open_variant(
    plan: ServicePlan,
    arm: Arm,
    *,
    folder: Path,
    tasks: asyncio.TaskGroup,
    nice: int = 0,
    sys_path: tuple[str, ...] = (),
    in_project: bool = True,
    denies: tuple[str, ...] = (),
    relapses: RelapsePolicy | None = None,
    affliction: Affliction | None = None,
) -> WorkerVariant:
    """Return a version that is being loaded; ``ready`` waits for it.

    Args:
        plan: the service.
        arm: which version of its model.
        folder: the files of its bundle; the manifest is beside it, ``FOLDER.json``. Nothing in it
            is run here, and it has to stay as long as the version is open.
        tasks: a group that outlives it.
        nice: by how much a worker that takes more than its processors yields, until it is ended.
        sys_path: where workers import from; empty: as this process.
        in_project: whether the current folder is the project, and readable for workers.
        denies: what they must not read.
        relapses: when deaths are a crash loop.
        affliction: what a drill does to its workers; None: nothing ever.

    Raises:
        BundleDamaged: if its manifest is not what was stored.
        ModelsUnavailable: if that cannot be read.
    """
    manifest = read_manifest(folder, arm)
    order = ServingOrder(
        name=arm.name,
        step=plan.step,
        limits=plan.limits,
        takes=plan.takes,
        nan_is_missing=plan.nan_is_missing,
        files=ModelFiles(
            name=arm.name, digest=arm.digest, folder=str(folder), allow=plan.model.allow
        ),
        nice=nice,
        libraries=libraries_of(manifest, plan.takes),
        sys_path=sys_path,
        in_project=in_project,
        denies=denies,
        affliction=Affliction() if affliction is None else affliction,
    )
    return WorkerVariant(order, manifest, tasks=tasks, policy=relapses)


def open_fallback(
    plan: ServicePlan,
    signature: Signature,
    *,
    tasks: asyncio.TaskGroup,
    sys_path: tuple[str, ...] = (),
    in_project: bool = True,
    denies: tuple[str, ...] = (),
) -> WorkerVariant:
    """Return the function that answers where no version can, in workers that hold no model.

    Args:
        plan: the service.
        signature: of the model in whose stead it answers.
        tasks: a group that outlives it.
        sys_path: where workers import from; empty: as this process.
        in_project: whether the current folder is the project, and readable for workers.
        denies: what they must not read.

    Raises:
        DeclarationError: if the service declares none.
    """
    function = plan.fallback.function
    if function is None:
        raise DeclarationError(
            "fallback", None, "has no function", "declare fallback=fd.Fallback(function=...)"
        )
    order = ServingOrder(
        name=f"{plan.name}.fallback",
        step=function,
        limits=plan.limits,
        takes=plan.fallback.takes or plan.takes,
        nan_is_missing=plan.nan_is_missing,
        signature=signature,
        sys_path=sys_path,
        in_project=in_project,
        denies=denies,
    )
    return WorkerVariant(order, None, tasks=tasks)


def read_manifest(folder: Path, arm: Arm) -> Manifest:
    """Return the manifest of a bundle; its files are verified by the worker that loads them.

    Raises:
        BundleDamaged: if it is not what was stored.
        ModelsUnavailable: if it cannot be read.
    """
    path = folder.with_name(f"{folder.name}.json")
    try:
        encoded = path.read_bytes()
    except OSError as error:
        message = f"the manifest of {arm.name} cannot be read: {error}; deploy the version again"
        raise ModelsUnavailable(message) from error
    if hashlib.sha256(encoded).hexdigest() != arm.digest:
        message = f"the manifest of {arm.name} is not what was stored: deploy the version again"
        raise BundleDamaged(message, digest=arm.digest)
    try:
        return decode_manifest(encoded)
    except Unsound as error:
        raise BundleDamaged(f"the manifest of {arm.name}: {error}", digest=arm.digest) from error


def libraries_of(manifest: Manifest, takes: str) -> tuple[str, ...]:
    """Return what is imported before workers are forked: what the bundle says it needs."""
    named = PRELOADED.intersection(manifest.environment)
    if takes == "pandas":
        named |= {"pandas"}
    module, _ = LIBRARIES.get(manifest.format, ("", ""))
    if module in PRELOADED:
        named |= {module}
    return tuple(sorted(named))
