"""``firedoor dlq`` on a real store whose run has ended: it starts the broker for itself."""

from __future__ import annotations

import asyncio
import fcntl
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl
import pytest

from cli import replay_steps
from cli.stored import KEY, firedoor, make_project, rows_died
from control.world import World, make_plan
from firedoor.compose.project import Project
from firedoor.compose.reaching import reach
from firedoor.compute.step import refer
from firedoor.control.accounts import Accounts, gather
from firedoor.spec.referred import StepNote


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is only read."""
    directory = tmp_path_factory.mktemp("kept")
    plan = make_plan(sensitive=("tailnum",))
    make_project(directory, rows_died, plan)
    return directory


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A project that may be changed."""
    make_project(tmp_path, rows_died)
    yield tmp_path
    assert Project.at(tmp_path).supervisor_pid() is None, "the lock is let go"


async def _books(directory: Path) -> Accounts:
    async with reach(directory) as reached:
        return await gather(reached.streams, reached.plan, at_s=0.0)


async def _finish(directory: Path) -> list[int]:
    """Do what waits, and return the ids that the store got by it."""
    async with reach(directory) as reached:
        world = World(reached.streams, reached.plan)
        await world.run_all()
        return sorted(world.written.get("store", []))


def test_the_list_is_grouped_and_says_what_to_run_next(kept: Path) -> None:
    result = firedoor(kept, "dlq")
    assert result.exit_code == 0, result.output
    assert "4 dead rows in 1 groups" in result.output
    assert f"4     clean  {KEY}  steps.py:12  flights-000001/3" in result.output
    assert "firedoor dlq show flights-000001/3" in result.output


def test_the_list_is_json_when_asked_for(kept: Path) -> None:
    told = json.loads(firedoor(kept, "dlq", "list", "--json", "--zone", "clean").output)
    assert told["rows"] == 4
    assert told["groups"][0]["line"] == "steps.py:12"


def test_options_of_the_list_hold_without_its_name(kept: Path) -> None:
    assert "no dead letters" in firedoor(kept, "dlq", "--zone", "store").output


def test_a_row_is_shown_with_reason_and_columns_the_sensitive_ones_masked(kept: Path) -> None:
    result = firedoor(kept, "dlq", "show", "flights-000001/3")
    assert result.exit_code == 0, result.output
    assert "flights-000001/3 died in clean (version clean-v1)" in result.output
    assert KEY in result.output
    assert "id = 103" in result.output
    assert "tailnum = '***'" in result.output
    assert "N103" not in result.output


def test_the_limit_of_show_holds(kept: Path) -> None:
    assert len(json.loads(firedoor(kept, "dlq", "show", "--json", "--limit", "2").output)) == 2


def test_an_export_is_parquet_with_masked_columns_for_its_owner_alone(
    kept: Path, tmp_path: Path
) -> None:
    file = tmp_path / "dead.parquet"
    result = firedoor(kept, "dlq", "export", str(file))
    assert result.exit_code == 0, result.output
    frame = pl.read_parquet(file)
    assert frame["id"].to_list() == [103, 106, 203, 206]
    assert frame["tailnum"].unique().to_list() == ["***"]
    assert frame["dead_signature"].unique().to_list() == [KEY]
    assert file.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["dead.parquet"]


def test_an_export_into_a_folder_that_is_not_there_says_so(kept: Path, tmp_path: Path) -> None:
    result = firedoor(kept, "dlq", "export", str(tmp_path / "no" / "dead.parquet"))
    assert result.exit_code == 1
    assert "is not there: make it" in result.stderr


def test_replayed_rows_go_into_their_inbox_and_arrive_once(own: Path) -> None:
    result = firedoor(own, "dlq", "replay", "--zone", "clean")
    assert result.exit_code == 0, result.output + result.stderr
    assert "4 rows replayed as flights-000001~r1, flights-000002~r1" in result.output
    assert "no dead letters" in firedoor(own, "dlq").output
    assert asyncio.run(_finish(own)) == [103, 106, 203, 206]
    assert asyncio.run(_books(own)).holds


def test_a_dry_run_says_which_rows_would_pass_now_and_changes_nothing(tmp_path: Path) -> None:
    reference = refer(replay_steps.clean, None, None, by_value=False)
    step = StepNote(
        name=reference.name,
        pickled=reference.pickled,
        main_path=reference.main_path,
        main_module=reference.main_module,
        where="",
    )
    plan = make_plan()
    zones = tuple(
        msgspec.structs.replace(zone, step=step) if zone.name == "clean" else zone
        for zone in plan.zones
    )
    plan = msgspec.structs.replace(plan, zones=zones, sys_path=tuple(sys.path))

    async def story(world: World) -> None:
        await rows_died(world)
        await world.cut(unread=(4,))

    make_project(tmp_path, story, plan)
    result = firedoor(tmp_path, "dlq", "replay", "--all", "--dry-run")
    assert result.exit_code == 0, result.output + result.stderr
    assert "clean: 3 of 4 rows would pass now, 1 would not, 0 would be dropped" in result.output
    assert "would die again: 1 rows of KeyError at tests/cli/replay_steps.py:15" in result.output
    assert "not tried: 1 rows: a source has no step to try them in" in result.output
    assert "5 dead rows" in firedoor(tmp_path, "dlq").output


def test_discarded_rows_are_gone_with_a_reason(own: Path) -> None:
    result = firedoor(own, "dlq", "discard", "--batch", "flights-000001/3", "--because", "a test")
    assert result.exit_code == 0, result.output + result.stderr
    assert "1 rows discarded from flights-000001" in result.output
    assert "3 dead rows" in firedoor(own, "dlq").output
    assert asyncio.run(_books(own)).holds


@pytest.mark.parametrize("command", [("replay",), ("discard", "--because", "x")])
def test_nothing_is_changed_unless_it_is_said_what(kept: Path, command: tuple[str, ...]) -> None:
    result = firedoor(kept, "dlq", *command)
    assert result.exit_code == 1
    assert "give --all" in result.stderr


def test_a_reason_is_required(kept: Path) -> None:
    result = firedoor(kept, "dlq", "discard", "--all", "--because", " ")
    assert result.exit_code == 1
    assert "say why" in result.stderr


def test_a_name_that_is_none_is_refused(kept: Path) -> None:
    result = firedoor(kept, "dlq", "show", "nonsense")
    assert result.exit_code == 1
    assert "flights-000123/4711" in result.stderr


def test_where_nothing_ever_ran_it_says_how_to_start(tmp_path: Path) -> None:
    result = firedoor(tmp_path, "dlq")
    assert result.exit_code == 1
    assert "firedoor run" in result.stderr
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"


def test_two_commands_do_not_change_dead_letters_at_once(own: Path) -> None:
    lock = Project.at(own).folder / "changing"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = firedoor(own, "dlq", "replay", "--all")
    assert result.exit_code == 1
    assert "another command is changing dead letters" in result.stderr


def test_a_run_whose_broker_is_away_is_told_with_what_still_works(own: Path) -> None:
    with Project.at(own).locked():
        result = firedoor(own, "dlq")
    assert result.exit_code == 1
    assert "does not answer" in result.stderr
    assert "firedoor status" in result.stderr
