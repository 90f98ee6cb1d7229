"""The project folder: private, of one version, one supervisor's at a time, each file whole."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from control.world import make_plan
from firedoor.compose import project as module
from firedoor.compose.files import explain, write_atomically
from firedoor.compose.project import Endpoint, Project
from firedoor.errors import NotKnown, ProjectBusy, StoreRefused
from firedoor.spec.plan import encode_plan

HOLDER = """
import sys
from pathlib import Path
from firedoor.compose.project import Project
with Project.at(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""
SECRET = "s3cr3t"  # noqa: S105 - looked for where it must not be


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.at(tmp_path)
    made.create()
    return made


@pytest.fixture
def holder(project: Project) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the project."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(project.folder.parent)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---- private


def test_everything_in_it_is_for_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        project = Project.at(tmp_path)
        project.create()
        project.write_plan(make_plan())
        project.write_endpoint(Endpoint(url="nats://here:1", password=SECRET))
        project.write_endpoint(Endpoint(url="nats://here:1", password=SECRET), zone="clean")
        with project.locked():
            pass
    finally:
        os.umask(before)
    every = [project.folder, *project.folder.rglob("*")]
    assert {mode(path) for path in every if path.is_dir()} == {0o700}
    assert {mode(path) for path in every if path.is_file()} == {0o600}
    assert len(every) > 8


def test_a_folder_that_others_could_look_into_is_closed(tmp_path: Path) -> None:
    (tmp_path / ".firedoor").mkdir(mode=0o755)
    (tmp_path / ".firedoor").chmod(0o755)
    Project.at(tmp_path).create()
    assert mode(tmp_path / ".firedoor") == 0o700


def test_a_password_is_not_shown_with_its_endpoint() -> None:
    shown = repr(Endpoint(url="nats://here:1", user="ann", password=SECRET))
    assert SECRET not in shown
    assert "ann" in shown


# ---- versions


def test_making_it_twice_changes_nothing(project: Project) -> None:
    project.write_plan(make_plan())
    project.create()
    assert project.read_plan() == make_plan()
    assert (project.folder / "version").read_text() == "1\n"


@pytest.mark.parametrize("written", ["2\n", "0\n", "\xff", "", "1 1"])
def test_one_of_another_version_is_refused_and_left_as_it_is(
    project: Project, written: str
) -> None:
    version = project.folder / "version"
    version.write_text(written, encoding="latin-1")
    before = version.read_bytes()
    for act in (project.create, project.check, project.read_plan):
        with pytest.raises(StoreRefused, match=r"another version.*--project DIR"):
            act()
    assert version.read_bytes() == before


def test_a_plan_of_another_version_and_one_that_is_damaged_are_refused(project: Project) -> None:
    plan = encode_plan(make_plan())
    other = msgspec.json.encode({**msgspec.json.decode(plan), "version": 99})
    for written in (other, plan[: len(plan) // 2], b"", b"null"):
        project.plan_file.write_bytes(written)
        with pytest.raises(StoreRefused, match="run the pipeline anew"):
            project.read_plan()


def test_what_is_not_there_is_said_with_how_to_get_it(tmp_path: Path) -> None:
    nowhere = Project.at(tmp_path / "nowhere")
    with pytest.raises(NotKnown, match=r"nowhere/\.firedoor is no project folder.*firedoor run"):
        nowhere.read_plan()
    assert nowhere.supervisor_pid() is None
    assert not nowhere.folder.exists(), "looking makes nothing"
    project = Project.at(tmp_path)
    project.create()
    with pytest.raises(NotKnown, match=r"no pipeline has run in .* yet"):
        project.read_plan()
    with pytest.raises(NotKnown, match=r"where it finds its broker .*--nats URL"):
        project.endpoint()
    with pytest.raises(NotKnown, match="where zone 'clean' finds its broker"):
        project.endpoint("clean")
    project.endpoint_file.write_text("half an addr")
    with pytest.raises(StoreRefused, match="does not say where the broker is"):
        project.endpoint()


def test_a_file_where_the_folder_should_be_is_an_error_that_can_be_told(tmp_path: Path) -> None:
    (tmp_path / ".firedoor").write_text("mine")
    with pytest.raises(OSError, match="exists") as raised:
        Project.at(tmp_path).create()
    assert "move the file out of the way" in explain(raised.value)
    assert (tmp_path / ".firedoor").read_text() == "mine"


# ---- the lock


def test_it_is_one_process_at_a_time_and_the_second_is_told_whose(
    project: Project, holder: subprocess.Popen[str]
) -> None:
    assert project.supervisor_pid() == holder.pid
    says = rf"process {holder.pid}\).*`kill {holder.pid}`"
    with pytest.raises(ProjectBusy, match=says), project.locked():
        pass
    assert holder.poll() is None


def test_a_killed_holder_holds_it_no_longer(
    project: Project, holder: subprocess.Popen[str]
) -> None:
    holder.kill()
    holder.wait(timeout=30)
    assert project.supervisor_pid() is None
    with project.locked():
        assert project.supervisor_pid() == os.getpid()
    assert project.supervisor_pid() is None


def test_a_run_waits_for_services_to_hand_over_and_for_nobody_else(
    project: Project,
) -> None:
    wanted, entered = threading.Event(), threading.Event()

    def serve() -> None:
        with project.hosting():
            wanted.set()
            while project.run_pid() is None:
                threading.Event().wait(0.01)
            assert not entered.is_set()

    serving = threading.Thread(target=serve)
    serving.start()
    assert wanted.wait(30)
    assert project.run_pid() is None, "services are no run"
    with project.running():
        entered.set()
        serving.join(30)
        assert project.run_pid() == project.supervisor_pid() == os.getpid()
        with pytest.raises(ProjectBusy, match="another run is at work"), project.running():
            pass
        with pytest.raises(ProjectBusy, match="another run is at work"), project.hosting():
            pass
    assert project.run_pid() is None
    with project.locked(), pytest.raises(ProjectBusy, match="at work"), project.running():
        pass


def test_services_that_do_not_hand_over_are_named(project: Project) -> None:
    says = rf"process {os.getpid()}\) do not hand their broker over.*`kill {os.getpid()}`"
    with project.hosting():
        with pytest.raises(ProjectBusy, match=says), project.running(handover_s=0.5):
            pass
        assert project.run_pid() is None, "it is let go of"


def test_whoever_only_looks_keeps_nobody_out(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_TRIES", 1_000)  # a slow machine may look for long
    held, entered = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        with project.locked():
            entered.set()

    looking = os.open(project.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(looking, fcntl.LOCK_SH)
        holding = threading.Thread(target=hold)
        holding.start()
        assert held.wait(30)
        assert not entered.is_set()
    finally:
        os.close(looking)
    assert entered.wait(30)
    holding.join(30)


# ---- whole files


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    write_atomically(file, b"old", durable=True)
    with file.open("rb") as reading:
        write_atomically(file, b"new")
        assert reading.read() == b"old", "who reads the old one reads it to its end"
    assert file.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_where_a_file_cannot_be_written_the_old_one_stays_and_nothing_is_left_behind(
    tmp_path: Path,
) -> None:
    (tmp_path / "status.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "status.json", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "nowhere" / "plan.json", b"new")


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EACCES, "let this user write there"),
        (errno.EROFS, "let this user write there"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENOTDIR, "move the file out of the way"),
        (errno.EIO, "Input/output error (/p/plan.json)"),
    ],
)
def test_what_the_system_refuses_is_told_with_what_to_do(number: int, says: str) -> None:
    said = explain(OSError(number, os.strerror(number), "/p/plan.json"))
    assert says in said
    assert "/p/plan.json" in said
