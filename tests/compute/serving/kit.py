"""Bundles, plans and variants for tests."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import polars as pl

from firedoor.compute.opening import open_variant
from firedoor.compute.step import refer
from firedoor.compute.variant import WorkerVariant
from firedoor.spec.referred import ModelPlan, StepNote
from firedoor.spec.service_plan import ServiceLimits, ServicePlan
from firedoor.wire.bundle import (
    FileEntry,
    Manifest,
    Signature,
    digest_of,
    encode_manifest,
    parse_fields,
)
from firedoor.wire.route import Arm
from firedoor.wire.serving import Ask, Form, Outcome, Told

INPUTS = {"x": "Float64", "what": "String"}
MODULE = "compute.serving.deadly"
QUICK = ServiceLimits(attempt_s=2.0, hang_s=0.6, memory_bytes=2**28, processes_max=8, batch_rows=32)


def bundle(
    folder: Path,
    *,
    a: float = 2.0,
    b: float = 1.0,
    example: pl.DataFrame | None = None,
    outputs: dict[str, str] | None = None,
    **weights: object,
) -> Arm:
    """Make a bundle, with its manifest beside it, and return what names it."""
    folder.mkdir(parents=True)
    (folder / "weights.json").write_text(json.dumps({"a": a, "b": b, **weights}))
    if example is None:
        example = pl.DataFrame({"x": [0.5, 2.0, 3.0], "what": [None, "ok", None]}).with_columns(
            prediction=pl.col("x") * a + b
        )
    if example.width:
        example.write_parquet(folder / "example.parquet")
    files = tuple(
        FileEntry(
            path=path.name,
            bytes=path.stat().st_size,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(folder.iterdir())
    )
    encoded = encode_manifest(
        Manifest(
            format="files",
            loader=f"{MODULE}:load",
            files=files,
            signature=Signature(
                inputs=parse_fields("inputs", INPUTS),
                outputs=parse_fields("outputs", outputs or {}),
            ),
            example="example.parquet" if example.width else "",
        )
    )
    folder.with_name(f"{folder.name}.json").write_bytes(encoded)
    return Arm(model="deadly", version=1, digest=digest_of(encoded))


def note(function: str) -> StepNote:
    """Return a reference to a function of ``deadly``."""
    reference = refer(f"{MODULE}:{function}", None, None, by_value=False)
    return StepNote(
        name=function, pickled=reference.pickled, main_path=None, main_module=None, where=""
    )


def plan(function: str = "predict", limits: ServiceLimits = QUICK, **more: Any) -> ServicePlan:
    """Return a service."""
    return ServicePlan(
        name="deadly",
        owner="a@example.com",
        version="1",
        step=note(function),
        model=ModelPlan(name="deadly"),
        limits=limits,
        **more,
    )


@contextlib.asynccontextmanager
async def opened(
    folder: Path, arm: Arm, service: ServicePlan | None = None, *, wait: bool = True, **more: Any
) -> AsyncIterator[WorkerVariant]:
    """Open a version, and close it."""
    async with asyncio.TaskGroup() as tasks:
        variant = open_variant(
            plan() if service is None else service, arm, folder=folder, tasks=tasks, **more
        )
        try:
            if wait:
                assert await variant.ready(60), variant.facts
            yield variant
        finally:
            await variant.close(1.0)


def ask(x: float, what: str | None = None, **more: Any) -> Ask:
    """Return a request of one row."""
    return Ask(Form.ROWS, json.dumps({"x": x, "what": what}).encode(), **more)


def value(told: Told) -> float:
    """Return the prediction of an answer of one row."""
    assert told.outcome is Outcome.OK, told
    (row,) = json.loads(told.fragment)
    found: float = row["prediction"]
    return found


async def all_of(variant: WorkerVariant, asks: list[Ask], at_once: int = 64) -> list[Told]:
    """Return the answers to many requests, so many of which are under way at a time."""
    told: list[Told | None] = [None] * len(asks)
    numbers = iter(range(len(asks)))

    async def client() -> None:
        for number in numbers:
            told[number] = await variant.ask(asks[number])

    async with asyncio.TaskGroup() as clients:
        for _ in range(at_once):
            clients.create_task(client())
    return [one for one in told if one is not None]


async def until(happens: Any, limit_s: float = 30.0) -> None:
    """Return once something is so."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(limit_s):
        while not happens():
            turn = asyncio.Event()
            loop.call_later(0.01, turn.set)
            await turn.wait()
