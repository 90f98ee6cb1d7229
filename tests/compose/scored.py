"""A project with models, and stages of zones that use them, to take batches through."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path
from typing import Any

import polars as pl

import firedoor as fd
from adapters.files.bundles import make_folder
from compose import model_steps
from compose.test_stage import zone_of
from firedoor.compose.stage import WallStage, build_stage
from firedoor.compute import ipc
from firedoor.ports.stage import Handled
from firedoor.spec.plan import Plan
from firedoor.spec.referred import ModelPlan
from firedoor.wire.envelope import Envelope

READ = "compute.loaders:read"
FRAME = pl.DataFrame({"distance": [1, 2, 3]})


class Project:
    """A project folder with models, and stages of zones that use them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".firedoor"
        self.models = fd.Models(folder)
        self.stages: list[WallStage] = []
        self._made = 0

    def add(
        self, name: str = "late", *, live: bool = True, bias: object = None, **more: Any
    ) -> str:
        """Add a version, by itself one that adds 10, 20, 30 ... to each distance."""
        self._made += 1
        files = more.pop("files", {"bias": str(bias or 10 * self._made).encode()})
        made = make_folder(self.folder.parent / f"made-{self._made}", **files)
        more = {"loader": READ, **more} if more.get("format", "files") == "files" else more
        version = self.models.add(name, made, **more)
        called = f"{name}@{version.number}"
        self.models.qualify(called, "promote", because="it was measured")
        if live:
            self.models.promote(called, anyway=True)
        return called

    def stage(self, step: Any = model_steps.biased, **wall: Any) -> WallStage:
        models = wall.pop("models", {"model": ModelPlan(name="late")})
        zone = zone_of(step, models=models, wall=wall)
        plan = Plan(
            pipeline="p", owner="o", file="", sys_path=tuple(sys.path), zones=(zone,), edges=()
        )
        self.stages.append(build_stage(zone, plan, project=self.folder))
        return self.stages[-1]


def take(
    stage: WallStage, frame: pl.DataFrame = FRAME, *, noted: dict[str, str] | None = None,
    deaths_max: int = 0,
) -> Handled:  # fmt: skip
    """Take a batch through, in which so many workers may die of what may come from outside."""
    payload = b"".join(ipc.encode(frame, compress=True))
    envelope = Envelope(
        batch="trips-000001", rows=frame.height, frame_bytes=len(payload), crc32=0, zone="trips",
        zone_version="1", cut_s=0.0, models=noted or {},
    )  # fmt: skip
    died: list[str] = []

    async def journal(cause: str, where: str) -> None:
        died.append(f"run again after {cause} at {where}")
        assert len(died) <= deaths_max, died

    return asyncio.run(stage.handle(envelope, payload, journal))


def rows_of(handled: Handled) -> pl.DataFrame:
    return ipc.decode(io.BytesIO(handled.parcel.payload[: handled.parcel.frame_bytes]))


def scores(handled: Handled) -> list[float]:
    return rows_of(handled)["score"].to_list()
