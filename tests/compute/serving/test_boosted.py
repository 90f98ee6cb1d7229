"""A real model, added as users add it: forked from its library, right for each row."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from compute.serving.kit import QUICK, all_of, plan, value
from firedoor.adapters.files.artifacts import FileArtifacts
from firedoor.compose.models import Models
from firedoor.compute.opening import libraries_of, open_variant
from firedoor.compute.step import refer
from firedoor.wire.bundle import encode_manifest
from firedoor.wire.route import Arm
from firedoor.wire.serving import Ask, Form

INPUTS = {f"f{number}": "Float64" for number in range(6)}


def test_a_booster_forked_from_its_library_gives_each_row_its_own_prediction(
    tmp_path: Path,
) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    drawn = np.random.default_rng(7)
    rows = drawn.normal(size=(900, len(INPUTS)))
    booster = lightgbm.train(
        {"objective": "binary", "verbose": -1, "num_threads": 1},
        lightgbm.Dataset(rows, label=(rows.sum(axis=1) > 0).astype(int)),
        num_boost_round=20,
    )
    folder = tmp_path / "made"
    folder.mkdir()
    booster.save_model(folder / "model.txt")
    example = pl.DataFrame(rows[:20], schema=list(INPUTS))
    example.with_columns(prediction=pl.Series(booster.predict(rows[:20]))).write_parquet(
        folder / "example.parquet"
    )
    version = Models(tmp_path).add(
        "late", folder, format="lightgbm", inputs=INPUTS, example="example.parquet"
    )
    artifacts = FileArtifacts(tmp_path / ".firedoor" / "models" / "artifacts")
    manifest = artifacts.get(version.digest, tmp_path / "served")
    assert libraries_of(manifest, "polars") == ("lightgbm",)
    (tmp_path / "served.json").write_bytes(encode_manifest(manifest))
    reference = refer("compute.serving.boosted:predict", None, None, by_value=False)
    service = plan(limits=msgspec.structs.replace(QUICK, attempt_s=10.0, memory_bytes=2**30))
    step = msgspec.structs.replace(service.step, pickled=reference.pickled)
    service = msgspec.structs.replace(service, step=step)

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            arm = Arm(model="late", version=1, digest=version.digest)
            variant = open_variant(service, arm, folder=tmp_path / "served", tasks=tasks)
            try:
                assert await variant.ready(60), variant.facts
                assert variant.facts.because == ""  # it was proven, and forked
                asks = [
                    Ask(Form.ROWS, json.dumps(dict(zip(INPUTS, row, strict=True))).encode())
                    for row in rows.tolist()
                ]
                told = await all_of(variant, asks)
                assert [value(one) for one in told] == booster.predict(rows).tolist()
            finally:
                await variant.close()

    asyncio.run(main())
