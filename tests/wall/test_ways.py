"""Workers are forked where that is sound, and started afresh where it is not."""

from __future__ import annotations

import time

import pytest

import firedoor as fd
from firedoor.spec.wall import Start
from wall import dies_when_forked, hangs_when_forked, probing, uses_libraries_at_import
from wall.watching import numbers, run_script

DOUBLED = list(range(0, 80, 2))


def parent_of(pid: int) -> int:
    """Return the parent of a process."""
    with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
        return int(stat.read().rpartition(")")[2].split()[1])


def program_of(pid: int) -> str:
    """Return the command line of a process."""
    with open(f"/proc/{pid}/cmdline") as line:  # noqa: PTH123
        return line.read()


def wait_for_program(pid: int, text: str) -> None:
    """Wait until a process runs a program: a spare that is being spawned begins as a copy."""
    until_s = time.monotonic() + 20
    while text not in program_of(pid):
        assert time.monotonic() < until_s, program_of(pid)
        time.sleep(0.01)


@pytest.mark.parametrize(("start", "way"), [("auto", "fork"), ("fork", "fork"), ("spawn", "spawn")])
def test_workers_start_in_the_way_asked_for_and_the_report_says_which(
    start: Start, way: str
) -> None:
    with fd.Wall(probing.double, start=start) as wall:
        assert wall.report().way == ""
        assert wall(numbers(40)).good["doubled"].to_list() == DOUBLED
        report = wall.report()
        family = wall.processes()
        for pid in family["workers"]:
            assert [parent_of(pid)] == family["server"]
            if way == "spawn":
                wait_for_program(pid, "main(forked=False)")
            else:
                assert "main(forked=False)" not in program_of(pid)
    assert report.way == way
    assert {"fork": "forked", "spawn": "spawned"}[way] in str(report)
    assert report.notes == {}


@pytest.mark.parametrize("library", [hangs_when_forked, dies_when_forked])
def test_a_library_that_does_not_survive_a_fork_has_workers_started_afresh(library: object) -> None:
    name = library.__name__  # type: ignore[attr-defined]
    with fd.Wall(f"{name}:double", preload=[name], timeout_s=1) as wall:
        outcome = wall(numbers(40))
        report = wall.report()
        again = wall(numbers(40))
        lost = wall.report().workers_lost
    assert outcome.good["doubled"].to_list() == again.good["doubled"].to_list() == DOUBLED
    assert len(outcome.dead) == 0
    assert report.way == "spawn"
    assert any("spawned now" in note for note in report.notes), report.notes
    assert "spawned now" in str(report)
    assert lost == report.workers_lost  # once is enough


@pytest.mark.parametrize("how", ["hangs", "dies"])
def test_a_library_that_keeps_a_forked_worker_from_loading_has_workers_started_afresh(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USED_AT_IMPORT", how)
    with fd.Wall(
        "wall.uses_libraries_at_import:double",
        preload=[f"wall.{how}_when_forked"],
        env=["USED_AT_IMPORT"],
        load_timeout_s=3,
        timeout_s=30,
    ) as wall:
        outcome = wall(numbers(40))
        report = wall.report()
    assert outcome.good["doubled"].to_list() == DOUBLED
    assert len(outcome.dead) == 0
    assert report.way == "spawn"
    assert any("spawned now" in note for note in report.notes), report.notes


def test_a_way_that_is_asked_for_is_kept_though_it_fails() -> None:
    with (
        fd.Wall(
            "wall.dies_when_forked:double", preload=["wall.dies_when_forked"], start="fork"
        ) as wall,
        pytest.raises(fd.StepAtFault, match="SIGABRT") as caught,
    ):
        wall(numbers(40))
    assert caught.value.code == "contrast"
    assert wall.report().way == "fork"


def test_a_step_that_dies_in_fresh_workers_too_is_not_the_way_s_fault() -> None:
    frame = numbers(40, where="descriptor", text="last words")
    with (
        fd.Wall(probing.speak_and_crash) as wall,
        pytest.raises(fd.StepAtFault, match="SIGABRT"),
    ):
        wall(frame)
    assert wall.report().way == "fork"
    assert not any("spawned" in note for note in wall.report().notes)


def test_a_module_that_works_with_frames_at_import_can_be_forked_for() -> None:
    assert uses_libraries_at_import.TABLE.height == 100_000  # the pool of this process runs
    with fd.Wall(uses_libraries_at_import.double, timeout_s=30) as wall:
        for _ in range(3):
            assert wall(numbers(40)).good["doubled"].to_list() == DOUBLED
        report = wall.report()
    assert (report.way, report.dead, report.workers_lost) == ("fork", 0, 0)


def test_a_library_that_cannot_be_preloaded_is_named_and_does_no_harm() -> None:
    with fd.Wall(probing.double, preload=["no_such_library"]) as wall:
        assert wall(numbers(40)).good["doubled"].to_list() == DOUBLED
        (note,) = wall.report().notes
    assert "no_such_library cannot be preloaded" in note
    assert "ModuleNotFoundError" in note


def test_what_is_preloaded_is_imported_by_the_fork_server_and_not_by_the_caller() -> None:
    found = run_script(
        """
        import os, sys
        import firedoor as fd
        from wall import probing
        from wall.watching import numbers
        with fd.Wall(probing.whoami, preload=["wall.hangs_when_forked"]) as wall:
            wall(numbers(1))
            server, = wall.processes()["server"]
            print(len(os.listdir(f"/proc/{server}/task")), "wall.hangs_when_forked" in sys.modules)
        with fd.Wall(probing.whoami) as wall:
            wall(numbers(1))
            server, = wall.processes()["server"]
            print(len(os.listdir(f"/proc/{server}/task")))
        """
    )
    with_it, here = found[0].split()
    assert int(with_it) == int(found[1]) + 1  # the library's thread runs in the fork server
    assert here == "False"
