"""Cages: version 1 on a kernel where a group is delegated, version 2 against its files' layout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from firedoor.compute import cgroup

ON_KERNEL = os.environ.get(cgroup.ENV, "")
delegated = pytest.mark.skipif(
    not ON_KERNEL, reason=f"no group is delegated: name one by {cgroup.ENV} to try it on the kernel"
)
FILES = ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cgroup.procs")


def group(folder: Path, *, enabled: str = "memory pids") -> Path:
    """Lay out the files of a group of version 2."""
    folder.mkdir(parents=True)
    (folder / "cgroup.controllers").write_text("cpu memory pids\n")
    (folder / "cgroup.subtree_control").write_text(enabled)
    (folder / "cgroup.procs").write_text("")
    return folder


def proc_of(tmp_path: Path, own: str) -> Path:
    """Lay out /proc of a process in a group."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(f"0::{own}\n")
    return tmp_path / "proc"


def cage_in(folder: Path, name: str = "w1") -> tuple[Path, cgroup.Cage | None]:
    """Make a cage, with the files that a kernel would put into it."""
    made = folder / f"firedoor-{os.getpid()}-{name}"
    made.mkdir()
    for file in FILES:
        (made / file).write_text("")
    delegation = cgroup.Delegation(version=2, folder=folder)
    return made, cgroup.Cage.create(delegation, name, memory_bytes=2**30, processes_max=4)


def test_where_nothing_is_delegated_there_is_none_and_a_reason(tmp_path: Path) -> None:
    found, why = cgroup.look(mount=tmp_path, proc=tmp_path, environ={})
    assert found is None
    assert cgroup.ENV in why
    assert cgroup.find(mount=tmp_path, proc=tmp_path, environ={}) is None


def test_a_group_that_is_named_is_used(tmp_path: Path) -> None:
    folder = group(tmp_path / "ml")
    found = cgroup.find(mount=tmp_path, proc=tmp_path, environ={cgroup.ENV: str(folder)})
    assert found == cgroup.Delegation(version=2, folder=folder)


def test_a_named_group_that_is_none_is_refused_with_its_name(tmp_path: Path) -> None:
    found, why = cgroup.look(mount=tmp_path, environ={cgroup.ENV: str(tmp_path)})
    assert found is None
    assert str(tmp_path) in why


def test_the_group_above_ours_is_used_where_it_is_delegated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group(tmp_path / "cg")
    service = group(tmp_path / "cg" / "user" / "job.service")
    group(service / "main", enabled="").chmod(0o500)
    monkeypatch.setattr(
        cgroup,
        "_is_delegated",
        lambda folder, *, is_namespace: folder == service and not is_namespace,
    )
    proc = proc_of(tmp_path, "/user/job.service/main")
    found = cgroup.find(mount=tmp_path / "cg", proc=proc, environ={})
    assert found == cgroup.Delegation(version=2, folder=service)


@pytest.mark.skipif(os.getuid() != 0, reason="what root may write is not thereby delegated")
def test_a_group_is_not_ours_only_because_root_can_write_to_it(tmp_path: Path) -> None:
    group(tmp_path / "cg")
    group(tmp_path / "cg" / "system" / "other.service")
    proc = proc_of(tmp_path, "/system/other.service")
    found, why = cgroup.look(mount=tmp_path / "cg", proc=proc, environ={})
    assert found is None
    assert "nobody has delegated" in why


def test_a_cage_has_the_limits_in_its_files(tmp_path: Path) -> None:
    made, cage = cage_in(tmp_path)
    assert cage is not None
    assert (made / "memory.max").read_text() == str(2**30 + 2**28)
    assert (made / "memory.swap.max").read_text() == "0"
    assert (made / "memory.oom.group").read_text() == "1"
    assert (made / "pids.max").read_text() == "128"
    assert cage.enter(4711)
    assert (made / "cgroup.procs").read_text() == "4711"


def test_kills_for_memory_are_read_from_events(tmp_path: Path) -> None:
    made, cage = cage_in(tmp_path)
    assert cage is not None
    assert cage.oom_kills() == 0
    (made / "memory.events").write_text(
        "low 0\nhigh 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 1\n"
    )
    assert cage.oom_kills() == 3


def test_a_cage_leaves_no_folder_behind(tmp_path: Path) -> None:
    made, cage = cage_in(tmp_path)
    assert cage is not None
    for file in FILES:
        (made / file).unlink()  # a kernel removes them with the group
    assert cage.remove()
    assert not made.exists()
    assert cage.remove()


def test_where_the_kernel_refuses_there_is_no_cage_and_no_folder(tmp_path: Path) -> None:
    delegation = cgroup.Delegation(version=2, folder=tmp_path)  # lays out no files
    assert cgroup.Cage.create(delegation, "w1", memory_bytes=2**30, processes_max=4) is None
    assert list(tmp_path.iterdir()) == []


def test_cages_of_the_dead_are_swept_and_those_of_the_living_stay(tmp_path: Path) -> None:
    folder = group(tmp_path / "ml")
    for name in ("firedoor-1-a", "firedoor-2-b", "other"):
        (folder / name).mkdir()
    proc = proc_of(tmp_path, "/")
    (proc / "1").mkdir()
    cgroup.find(mount=tmp_path, proc=proc, environ={cgroup.ENV: str(folder)})
    left = {path.name for path in folder.iterdir() if path.is_dir()}
    assert left == {"firedoor-1-a", "other"}


def test_the_cage_lies_above_the_limit_that_is_looked_at() -> None:
    assert cgroup.cage_bytes(2**20) == 2**20 + cgroup.HEADROOM_BYTES
    assert cgroup.cage_bytes(2**30) > 1.2 * 2**30


@delegated
def test_on_a_kernel_a_burst_is_killed_counted_and_cleaned_up() -> None:
    delegation = cgroup.find()
    assert delegation is not None
    cage = cgroup.Cage.create(delegation, "burst", memory_bytes=2**25, processes_max=4)
    assert cage is not None
    script = "input(); bytes(1) * 2**28"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        assert cage.enter(process.pid)
        process.communicate(b"\n")
        assert process.returncode == -9
    assert cage.oom_kills() == 1
    assert cage.remove()
    assert not list(delegation.folder.glob(f"firedoor-{os.getpid()}-*"))


@delegated
def test_on_a_kernel_what_is_left_in_a_cage_is_killed_with_it() -> None:
    delegation = cgroup.find()
    assert delegation is not None
    cage = cgroup.Cage.create(delegation, "left", memory_bytes=2**27, processes_max=4)
    assert cage is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert cage.enter(process.pid)
        assert cage.remove()
        assert process.wait() == -9
