"""Code that was deployed is there as it was, whatever becomes of its folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from control.world import make_zone
from firedoor.compose import code_copy
from firedoor.compose.code_copy import copy_code, digest_of
from firedoor.compose.deploys import Deployed, keep_deployed, read_deployed
from firedoor.compose.project import Project
from firedoor.spec.referred import StepNote


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Project, Path, str]:
    """A zone that was deployed: project, folder, name of its plan."""
    project = Project.at(tmp_path)
    project.create()
    code = write(tmp_path / "code", shop="x = 1", more__prices="y = 2")
    step = StepNote(
        name="clean", pickled=b"", main_path=str(code / "shop.py"), main_module=None, where=""
    )
    zone = replace(make_zone("clean", "transform", version="v2"), step=step)
    path = (str(code), "/usr/lib/python")
    deployed = Deployed(zone=zone, file=str(code / "shop.py"), sys_path=path)
    file = keep_deployed(project, deployed)
    return project, code, str(Path(file).relative_to(project.folder))


def test_code_is_run_from_its_folder_as_long_as_that_is_as_it_was(
    kept: tuple[Project, Path, str],
) -> None:
    project, code, name = kept
    (code / "data.csv").write_text("not code")
    (code / ".hidden.py").write_text("z = 3")
    assert read_deployed(project, name).file == str(code / "shop.py")


@pytest.mark.parametrize("change", ["edited", "more", "gone"])
def test_code_whose_folder_has_changed_is_run_from_its_copy(
    kept: tuple[Project, Path, str], change: str
) -> None:
    project, code, name = kept
    if change == "gone":
        shutil.rmtree(code)
    else:
        write(code, **{"more__prices" if change == "edited" else "further": "y = 3"})
    found = read_deployed(project, name)
    copy = project.folder / found.copy
    assert found.file == str(copy / "shop.py")
    assert found.sys_path == (str(copy), "/usr/lib/python")
    assert found.zone.step is not None
    assert found.zone.step.main_path == found.file
    assert (copy / "more" / "prices.py").read_text() == "y = 2"


def test_hidden_and_installed_code_is_neither_copied_nor_counted(tmp_path: Path) -> None:
    code = write(tmp_path / "code", shop="x = 1")
    before = digest_of(code)
    lib = f"lib/python{sys.version_info.major}/site-packages"
    for folder in (code / ".venv" / lib, code / "venv" / lib, code / "__pycache__"):
        write(folder, polars="huge = 1")
    assert digest_of(code) == before
    assert copy_code(code, tmp_path / "copy")
    assert [file.name for file in (tmp_path / "copy").rglob("*.py")] == ["shop.py"]


def test_a_folder_too_large_to_keep_has_no_copy_and_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = write(tmp_path / "code", a="1", b="2", c="3")
    monkeypatch.setattr(code_copy, "FILES_MAX", 2)
    assert digest_of(code) == ""
    assert not copy_code(code, tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code"]


def test_a_folder_without_python_has_no_digest(tmp_path: Path) -> None:
    assert digest_of(tmp_path) == digest_of(tmp_path / "nowhere") == ""
