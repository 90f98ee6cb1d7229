"""Copies of bundles that workers load: shared, made once, whole, gone when nobody needs them."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest

import firedoor as fd
from compose.scored import Project
from firedoor.compose.loaded import KEPT_S, TOUCH_S, LoadedBundles


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


class Shelf:
    """Copies of bundles, at a time that the test chooses."""

    def __init__(self, project: Project) -> None:
        self.folder = project.folder / "models" / "loaded"
        self.now_s = 1e9
        self.project = project
        self.digests = [project.models.find(project.add())[1].digest for _ in range(3)]

    def utc_s(self) -> float:
        return self.now_s

    def open(self) -> LoadedBundles:
        return LoadedBundles(self.folder, self.project.models._artifacts, self)  # type: ignore[arg-type]

    def there(self) -> set[str]:
        return {path.name.removesuffix(".json") for path in self.folder.iterdir()}


def test_several_processes_make_a_copy_at_once_and_all_have_it(project: Project) -> None:
    shelf = Shelf(project)
    digest, gate = shelf.digests[0], threading.Barrier(6)
    found: list[Path] = []

    def have() -> None:
        bundles = shelf.open()
        gate.wait()
        found.append(bundles.have(digest))

    threads = [threading.Thread(target=have) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [shelf.folder / digest] * 6
    assert (shelf.folder / digest / "bias").read_text() == "10"
    manifest = (shelf.folder / f"{digest}.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == digest
    assert shelf.there() == {digest}


def test_copies_that_nobody_has_used_for_an_hour_go_and_those_in_use_stay(
    project: Project,
) -> None:
    shelf = Shelf(project)
    first, second, third = shelf.digests
    mine, other = shelf.open(), shelf.open()
    mine.have(first)
    other.have(second)
    half_made = shelf.folder / f".{third}-killed"
    half_made.mkdir()
    os.utime(half_made, (shelf.now_s, shelf.now_s))
    for path in shelf.folder.glob("*.json"):
        os.utime(path, (shelf.now_s, shelf.now_s))
    for _ in range(int(KEPT_S // TOUCH_S) + 2):
        shelf.now_s += TOUCH_S
        other.have(second)
    mine.have(third)
    assert shelf.there() == {second, third}
    assert mine.have(first).is_dir(), "and it is made again where it is asked for"


def test_a_copy_is_made_from_what_is_whole_or_not_at_all(project: Project) -> None:
    shelf = Shelf(project)
    digest = shelf.digests[0]
    manifest = json.loads(
        (project.folder / "models" / "artifacts" / "bundles" / f"{digest}.json").read_text()
    )
    (project.folder / "models" / "artifacts" / "files" / manifest["files"][0]["sha256"]).unlink()
    with pytest.raises(fd.BundleDamaged, match="is missing"):
        shelf.open().have(digest)
    assert not (shelf.folder / digest).exists()
