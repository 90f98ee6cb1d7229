"""From inside a sealed worker: steps that reach for what is not theirs, and what they get."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

import polars as pl
import psutil
import pytest

import firedoor as fd
from firedoor.compute import seal
from firedoor.spec.wall import Start, WallArguments
from wall import probing
from wall.watching import numbers

SECRET = "correct-horse-battery-staple"  # noqa: S105 - nobody's
ABI_SIGNALS = 6

sealed = pytest.mark.skipif(
    seal.supported() == 0, reason="this kernel has no Landlock: the seal is advisory"
)
sealed_from_signals = pytest.mark.skipif(
    seal.supported() < ABI_SIGNALS,
    reason=f"this kernel's Landlock does not cover signals (needs version {ABI_SIGNALS})",
)


@pytest.fixture(scope="module", autouse=True)
def keeper() -> Iterator[fd.Wall]:
    """Keep a wall open, so that the walls of all tests here share its fork server.

    The secret is set before that server starts: it must not get into its environment either.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_PASSWORD", SECRET)
        patch.setenv("HARMLESS_BUT_UNKNOWN", SECRET)
        with fd.Wall(probing.double, name="keeper") as wall:
            wall(numbers(1))
            yield wall


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a project folder with hidden folders and an ordinary file."""
    folder = tmp_path / "project"
    for name in (".firedoor/store", ".git/config", ".env", "data/table.csv"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SECRET)
    monkeypatch.chdir(folder)
    return folder


def attempt(*tries: tuple[str, object], **options: Unpack[WallArguments]) -> list[str]:
    """Return what came of each thing that a step tried inside a worker."""
    frame = pl.DataFrame(
        {"what": [what for what, _ in tries], "where": [str(where) for _, where in tries]}
    )
    options.setdefault("timeout_s", 30)
    with fd.Wall(probing.try_each, **options) as wall:
        came: list[str] = wall(frame).good["came"].to_list()
    return came


def denied(came: list[str]) -> bool:
    """Return whether nothing of it was possible."""
    return bool(came) and all(result == "denied: PermissionError" for result in came)


# -------------------------------------------------------------------------------- environment


def test_a_secret_in_the_parent_s_environment_is_not_in_the_worker_s() -> None:
    came = attempt(
        ("variable", "DATABASE_PASSWORD"),
        ("variable", "HARMLESS_BUT_UNKNOWN"),
        ("variable", "PATH"),
        ("read", "/proc/self/environ"),
    )
    assert came[:2] == ["done: (unset)"] * 2
    assert came[2] == f"done: {os.environ['PATH']}"
    assert SECRET not in came[3]
    assert came[3].startswith("done: ")


def test_a_variable_that_is_declared_is_passed_on() -> None:
    came = attempt(("variable", "DATABASE_PASSWORD"), env=["DATABASE_PASSWORD"])
    assert came == [f"done: {SECRET}"]


@sealed
def test_nobody_else_s_proc_can_be_read(keeper: fd.Wall) -> None:
    (server,) = keeper.processes()["server"]
    others = [os.getpid(), server, keeper.processes()["workers"][0], 1]
    names = ["environ", "maps", "mem", "cmdline", "status"]
    came = attempt(*(("read", f"/proc/{pid}/{name}") for pid in others for name in names))
    assert denied(came), came
    assert denied(attempt(*(("list", f"/proc/{pid}/fd") for pid in others)))
    assert denied(attempt(("list", "/proc")))


def test_the_fork_server_s_environment_holds_no_secret(keeper: fd.Wall) -> None:
    for pid in (*keeper.processes()["server"], *keeper.processes()["workers"]):
        assert SECRET not in Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")


# --------------------------------------------------------------------------------------- files


@sealed
def test_files_outside_cannot_be_read_listed_or_changed(tmp_path: Path, project: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text(SECRET)
    came = attempt(
        ("read", outside / "file"),
        ("read", "/etc/passwd"),
        ("read", "/etc/shadow"),
        ("list", outside),
        ("list", "/etc"),
        ("list", "/tmp"),  # noqa: S108 - it is only looked into
        ("write", outside / "new"),
        ("append", outside / "file"),
        ("remove", outside / "file"),
        ("write", project / "data/table.csv"),
        ("append", project / "data/table.csv"),
        ("write", Path(probing.__file__).parent / "written_by_a_step.py"),
    )
    assert denied(came), came
    assert (outside / "file").read_text() == SECRET
    assert (project / "data/table.csv").read_text() == SECRET
    assert not (outside / "new").exists()


@sealed
def test_the_project_is_readable_without_its_hidden_part(project: Path) -> None:
    came = attempt(
        ("read", project / "data/table.csv"),
        ("read", project / ".firedoor/store"),
        ("read", project / ".git/config"),
        ("read", project / ".env"),
        ("write", project / ".firedoor/store"),
        ("remove", project / ".git/config"),
    )
    assert came[0] == f"done: {SECRET}"
    assert denied(came[1:]), came


@sealed
@pytest.mark.usefixtures("project")
def test_what_is_declared_can_be_read_and_still_not_written(tmp_path: Path) -> None:
    file = tmp_path / "lookup.csv"
    file.write_text("a,b")
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "model.txt").write_text("tree")
    came = attempt(
        ("read", file),
        ("read", folder / "model.txt"),
        ("list", folder),
        ("write", file),
        ("write", folder / "new"),
        reads=[file, folder],
    )
    assert came[:3] == ["done: a,b", "done: tree", "done: model.txt"]
    assert denied(came[3:]), came


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_temporary_files_work_and_are_gone_afterwards(start: Start) -> None:
    (came,) = attempt(("scratch", "some text"), start=start)
    assert came.startswith("done: ")
    path = Path(came.removeprefix("done: "))
    assert path.name == "file.txt"
    assert not path.exists()
    assert not path.parent.parent.exists()


# --------------------------------------------------------------------------- processes, sockets


@sealed_from_signals
def test_the_parent_and_the_fork_server_cannot_be_signalled(keeper: fd.Wall) -> None:
    (server,) = keeper.processes()["server"]
    others = [os.getpid(), server, keeper.processes()["workers"][0], 1]
    came = attempt(*(("signal", pid) for pid in others))
    assert denied(came), came


@sealed
def test_the_memory_of_others_cannot_be_read_nor_they_be_traced(keeper: fd.Wall) -> None:
    (server,) = keeper.processes()["server"]
    others = [os.getpid(), server, keeper.processes()["workers"][0]]
    came = attempt(*((how, pid) for pid in others for how in ("read_memory", "trace")))
    assert denied(came), came


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_worker_has_the_five_descriptors_that_it_needs_and_no_other(
    start: Start,
) -> None:
    here, there = socket.socketpair()
    with here, there, open("/etc/passwd", "rb") as file:  # noqa: PTH123
        for held in (here, there, file):
            os.set_inheritable(held.fileno(), True)  # noqa: FBT003 - a careless parent
        (came,) = attempt(("descriptors", ""), start=start)
    found = came.removeprefix("done: ").split("; ")
    assert found[:5] == ["0 /dev/null", "1 pipe", "2 pipe", "3 socket", "4 pipe"]
    # polars opens these in the worker itself; they lead nowhere.
    assert {held.split()[1] for held in found[5:]} <= {"[eventpoll]", "[eventfd]"}, found


@pytest.fixture
def service() -> Iterator[int]:
    """Listen on a TCP port of this machine; connections wait to be accepted for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_services_can_be_called_unless_the_network_is_denied(service: int) -> None:
    address = f"127.0.0.1:{service}"
    assert attempt(("connect", address)) == [f"done: {address}"]


@sealed
def test_without_network_there_is_no_socket_of_any_kind(service: int) -> None:
    came = attempt(
        ("connect", f"127.0.0.1:{service}"),
        ("socket", "AF_INET"),
        ("socket", "AF_INET6"),
        ("socket", "AF_UNIX"),
        network=False,
    )
    assert denied(came), came


@sealed
def test_of_the_network_only_the_declared_ports_can_be_reached(service: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        allowed, forbidden = f"127.0.0.1:{service}", f"127.0.0.1:{other.getsockname()[1]}"
        came = attempt(("connect", allowed), ("connect", forbidden), network=[service])
    assert came == [f"done: {allowed}", "denied: PermissionError"]


@sealed_from_signals
def test_abstract_sockets_of_others_cannot_be_reached() -> None:
    name = f"firedoor-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("\0" + name)
        listening.listen()
        assert denied(attempt(("abstract", name)))


# -------------------------------------------------------------------------------------- limits


def test_a_worker_opens_no_more_files_than_it_may() -> None:
    (came,) = attempt(("open_many", 500), files_max=64)
    assert 32 <= int(came.removeprefix("done: ")) < 64
    assert attempt(("open_many", 500)) == ["done: 500"]


def test_a_row_that_starts_too_many_processes_is_dead_and_they_are_ended() -> None:
    frame = numbers(20).with_columns(forks=pl.Series([0] * 7 + [40] + [0] * 12))
    with fd.Wall(probing.fork_many, timeout_s=30, processes_max=8) as wall:
        outcome = wall(frame)
        (server,) = wall.processes()["server"]
        left = [
            child.pid
            for worker in psutil.Process(server).children()
            for child in worker.children(recursive=True)
        ]
    assert outcome.good["number"].to_list() == [n for n in range(20) if n != 7]
    assert outcome.dead.reasons["code"].to_list() == ["crash"]
    assert "exceeded 8 processes" in outcome.dead.reasons["message"][0]
    assert left == []


def test_a_few_processes_are_allowed() -> None:
    with fd.Wall(probing.start_others, processes_max=8) as wall:
        outcome = wall(numbers(1, how="pool"))
    assert outcome.good.height == 1


@sealed
def test_the_report_says_that_the_seal_is_in_force() -> None:
    with fd.Wall(probing.double) as wall:
        wall(numbers(1))
        report = wall.report()
    assert report.seal_level in {"full", "partial"}
    assert "files" in report.seal_what
    assert f"seal      {report.seal_level} (" in str(report)


def test_a_wall_inside_a_worker_is_refused() -> None:
    with fd.Wall(probing.use_a_wall) as wall:
        came = wall(numbers(1)).good["came"][0]
    assert came.startswith("NestedWall: wall 'double' was called inside a worker of wall 'use_a")
