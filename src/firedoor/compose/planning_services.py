"""Declared services as plain values. Runs where user code runs: functions are at hand here."""

from __future__ import annotations

from pathlib import Path

import msgspec

from firedoor.compose.noting import beside, hash_of, note, sources_of
from firedoor.spec.checking import check_bytes
from firedoor.spec.fallback import CACHED_BYTES, Fallback
from firedoor.spec.features import MEMORY_BYTES, Features
from firedoor.spec.service import Service, form_of
from firedoor.spec.service_plan import FallbackPlan, FeaturesPlan, ServicePlan


def plan_service(service: Service, *, file: Path, folder: Path, runbook: str) -> ServicePlan:
    """Return a service as a plain value, with the version of its code.

    Args:
        service: as declared.
        file: the pipeline's.
        folder: what paths are relative to.
        runbook: where its runbook is: a URL, or an absolute path.

    Raises:
        DeclarationError: if a worker could not find one of its functions.
    """
    whose, memory_bytes = f"service {service.name!r}", service.limits.memory_bytes
    step = note(whose, service.step, memory_bytes=memory_bytes, by_value=False, file=file)
    plan = ServicePlan(
        name=service.name,
        owner=service.owner,
        version="",
        step=step,
        model=service.model,
        takes=service.takes,
        key=service.key,
        slices=service.slices,
        features=tuple(_features(group, whose, file, folder) for group in service.features),
        fallback=_fallback(service.fallback, whose, memory_bytes, file),
        limits=service.limits,
        rollout=service.rollout,
        loss=service.loss,
        nan_is_missing=service.nan_is_missing,
        log=service.log,
        slo=dict(service.slo),
        doc=service.doc,
        where=service.where,
        runbook=runbook,
        drills=service.drills,
    )
    return msgspec.structs.replace(plan, version=_version(service, plan, file))


def _features(group: Features, whose: str, file: Path, folder: Path) -> FeaturesPlan:
    """Return a group of features that is looked up."""
    size = check_bytes("memory", group.memory, *MEMORY_BYTES)
    step = note(
        f"features {group.name!r} of {whose}", group.fetch, memory_bytes=size, by_value=False,
        file=file,
    )  # fmt: skip
    return group.plan(step, folder)


def _fallback(fallback: Fallback, whose: str, memory_bytes: int, file: Path) -> FallbackPlan:
    """Return the ladder below the version that was asked."""
    function = fallback.function and note(
        f"the fallback of {whose}", fallback.function, memory_bytes=memory_bytes, by_value=False,
        file=file,
    )  # fmt: skip
    return FallbackPlan(
        constant=None if fallback.constant is None else dict(fallback.constant),
        function=function,
        takes=None if fallback.function is None else form_of(fallback.function, 0),
        previous=fallback.previous,
        cached_max_s=fallback.cached_s,
        cached_bytes=check_bytes("cached", fallback.cached, *CACHED_BYTES),
    )


def _version(service: Service, plan: ServicePlan, file: Path) -> str:
    """Return a hash of the code that answers, and of what it is told: not of how it is rolled out.

    Code is the source of the modules that define its functions, and of what the pipeline's file
    has imported from its own folder.
    """
    features = tuple(
        (each.name, each.keys, each.columns, each.timeout_s, each.fresh_s, each.stale_max_s,
         each.default, each.tolerates)
        for each in plan.features
    )  # fmt: skip
    told = (
        msgspec.structs.replace(plan.limits, may_read=()), plan.model, plan.takes, features,
        msgspec.structs.replace(plan.fallback, function=None), plan.nan_is_missing,
    )  # fmt: skip
    made = [service.step, *(group.fetch for group in service.features)]
    if service.fallback.function is not None:
        made.append(service.fallback.function)
    sources = {module: text for one in made for module, text in sources_of(one).items()}
    sources.update(beside(file))
    return hash_of(msgspec.json.encode(told, order="sorted"), sources)
