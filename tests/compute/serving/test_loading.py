"""A version is admitted once its files are verified and its example rows come out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import polars as pl
import pytest

from compute.serving.kit import ask, bundle, opened, plan, value
from firedoor.compute import recruiting
from firedoor.compute.opening import open_variant
from firedoor.errors import BundleDamaged, ModelsUnavailable
from firedoor.wire.route import Arm


def failing(folder: Path, arm: Arm, function: str = "predict") -> str:
    """Return why a version is not admitted."""

    async def main() -> str:
        async with opened(folder, arm, plan(function), wait=False) as variant:
            assert not await variant.ready(60)
            assert variant.facts.state == "failed"
            assert "tried 3 times" in variant.facts.because
            return variant.facts.because

    return asyncio.run(main())


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    arm = bundle(tmp_path / "b")
    file = tmp_path / "b" / "weights.json"
    file.write_bytes(file.read_bytes().replace(b"2.0", b"2.1"))
    assert "weights.json differs" in failing(tmp_path / "b", arm)


def test_a_manifest_that_differs_or_is_gone_is_told_at_once(tmp_path: Path) -> None:
    arm = bundle(tmp_path / "b")
    manifest = tmp_path / "b.json"

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            open_variant(plan(), arm, folder=tmp_path / "b", tasks=tasks)

    manifest.write_bytes(manifest.read_bytes() + b" ")
    with pytest.RaisesGroup(BundleDamaged):
        asyncio.run(main())
    manifest.unlink()
    with pytest.RaisesGroup(ModelsUnavailable):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (
            {"x": [1.0, 2.0], "what": ["ok", "ok"], "prediction": [3.0, 5.1]},
            "example row 1 has pre",
        ),
        ({"x": [1.0], "what": ["nan"]}, "example row 0 has no finite prediction"),
        ({"x": [1.0], "what": ["short"]}, "do not come out"),
        ({"x": [1.0], "what": ["raise"]}, "a row that nobody expected"),
        ({"x": [1.0]}, "lack 'what'"),
        ({"x": ["a"], "what": ["b"]}, "field 'x' is wanted as Float64, found text"),
    ],
)
def test_example_rows_that_do_not_come_out_refuse_the_version(
    tmp_path: Path, example: dict[str, list[object]], said: str
) -> None:
    assert said in failing(tmp_path / "b", bundle(tmp_path / "b", example=pl.DataFrame(example)))


def test_a_loader_that_raises_or_dies_refuses_the_version(tmp_path: Path) -> None:
    arm = bundle(tmp_path / "b", unloadable=True)
    assert "these weights are of another model" in failing(tmp_path / "b", arm)
    arm = bundle(tmp_path / "c", dies=True)
    assert "SIGSEGV" in failing(tmp_path / "c", arm)


def test_workers_are_spawned_where_forked_ones_do_not_get_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recruiting, "FORKED_LOAD_S", 0.5)

    async def main() -> None:
        arm = bundle(tmp_path / "b", hangs_forked=True)
        async with opened(tmp_path / "b", arm) as variant:
            assert value(await variant.ask(ask(4.0))) == 9.0
            assert "workers are spawned, not forked" in variant.facts.because

    asyncio.run(main())


def test_a_bundle_without_example_rows_serves_and_says_that_it_was_not_tried(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        arm = bundle(tmp_path / "b", example=pl.DataFrame())
        async with opened(tmp_path / "b", arm) as variant:
            assert "no example rows" in variant.facts.because
            assert value(await variant.ask(ask(4.0))) == 9.0

    asyncio.run(main())
