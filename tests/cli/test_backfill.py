"""``firedoor backfill`` with real files, the real reader and the real broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cli.stored import firedoor, make_project
from compose.test_recutting import cut_all, plan_of_files
from control.world import World
from firedoor.compose.reaching import reach
from firedoor.control.accounts import gather

AUDIT = "clean:audit"
IDS = [100 * batch + row for batch in (1, 2, 3) for row in range(10)]


async def audit_was_cut(world: World) -> None:
    """Everything arrives in the store; the edge to audit is cut."""
    await cut_all(world)
    await world.streams.put("detached.clean.audit", b'{"since_s": 1.0}')
    await world.run_all(detached=(AUDIT,))


async def finish(directory: Path) -> dict[str, list[int]]:
    """Do what waits, and return what each sink got by it."""
    async with reach(directory) as reached:
        world = World(reached.streams, reached.plan)
        await world.run_all()
        books = await gather(reached.streams, reached.plan, at_s=world.now_s)
        assert books.holds, books.problems
        assert books.notes == ()
        return world.written


def test_what_was_missed_reaches_the_reader_once_and_nobody_else(tmp_path: Path) -> None:
    make_project(tmp_path, audit_was_cut, plan_of_files(tmp_path))
    result = firedoor(tmp_path, "backfill", AUDIT)
    assert result.exit_code == 0, result.output + result.stderr
    assert "clean:audit: 30 rows go there again as flights-000001~f1, flights-000002~f1, fl" in (
        result.output
    )
    again = firedoor(tmp_path, "backfill", "audit")
    assert again.exit_code == 0
    assert "clean:audit has missed nothing that was not run since" in again.output
    written = asyncio.run(finish(tmp_path))
    assert {sink: sorted(rows) for sink, rows in written.items()} == {"audit": IDS}


def test_what_cannot_be_cut_again_is_left_and_told(tmp_path: Path) -> None:
    make_project(tmp_path, audit_was_cut, plan_of_files(tmp_path))
    (tmp_path / "02.jsonl").unlink()
    result = firedoor(tmp_path, "backfill", AUDIT)
    assert result.exit_code == 1
    assert "20 rows go there again" in result.output
    assert "left: flights-000003: flights" in result.output


def test_an_edge_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    make_project(tmp_path, audit_was_cut, plan_of_files(tmp_path))
    result = firedoor(tmp_path, "backfill", "clean:nobody")
    assert result.exit_code == 1
    assert "its edges are flights:clean, clean:store, clean:audit" in result.stderr
