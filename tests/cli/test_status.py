"""``firedoor status`` and ``firedoor why``: beside a run, after it, and without its broker."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import msgspec
import pytest

from cli.stored import KEY, firedoor, make_project, rows_died
from control.world import make_plan
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.nats import server
from firedoor.adapters.nats.streams import connect
from firedoor.compose.project import Project
from firedoor.compose.serving_folder import GatewayState, ServingFolder
from firedoor.control.status import Snapshot, encode_snapshot
from firedoor.spec.plan import Plan
from firedoor.wire.records import ZoneStatus


def beat(zone: str, state: str, cause: str = "") -> ZoneStatus:
    now_s = SystemClock().utc_s()
    values = {
        "zone": zone, "replica": "here-1", "pid": 1, "version": "v1", "state": state,
        "since_s": now_s - 90, "at_s": now_s, "cause": cause,
    }  # fmt: skip
    return msgspec.convert(values, ZoneStatus)


def keep_snapshot(project: Project, plan: Plan, state: str, *, age_s: float) -> None:
    zones = tuple(beat(zone.name, state) for zone in plan.zones)
    at_s = SystemClock().utc_s() - age_s
    snapshot = Snapshot(pipeline=plan.pipeline, at_s=at_s, supervisor_pid=7, zones=zones)
    project.status_file.write_bytes(encode_snapshot(snapshot))


async def say(url: str, user: str | None, password: str | None, beats: list[ZoneStatus]) -> None:
    """Have zones say how they are."""
    streams = await connect(url, pipeline="year", user=user, password=password)
    try:
        for told in beats:
            await streams.beat(f"zone.{told.zone}.here-1", msgspec.json.encode(told))
    finally:
        await streams.close()


def test_beside_a_run_it_tells_what_zones_say_now(tmp_path: Path) -> None:
    plan = make_plan()
    project = make_project(tmp_path, rows_died, plan)
    beats = [beat("flights", "done"), beat("store", "running"), beat("audit", "running"),
             beat("clean", "halted", 'renamed column "distance"')]  # fmt: skip
    with project.locked(), server.start(project.folder, plan) as local:
        endpoint = local.endpoint()
        asyncio.run(say(endpoint.url, endpoint.user, endpoint.password, beats))
        result = firedoor(tmp_path, "status")
        why = firedoor(tmp_path, "why", "clean")
        told = json.loads(firedoor(tmp_path, "status", "--json").output)
    assert result.exit_code == 0, result.output + result.stderr
    assert result.output.startswith('clean is halted (renamed column "distance"); others are hurt')
    assert "store and audit starve" in result.output
    assert told["running"] is True
    assert why.output.startswith('clean is halted since 1 min: renamed column "distance"')
    assert "version clean-v1, from flights-000001 on" in why.output
    assert f"4 rows: {KEY}, first flights-000001/3" in why.output


def test_a_broker_can_be_named_by_its_address(tmp_path: Path) -> None:
    plan = make_plan()
    project = make_project(tmp_path, rows_died, plan)
    with server.start(project.folder, plan) as local:
        assert "4 dead rows" in firedoor(tmp_path, "dlq", "--nats", local.url).output
        told = json.loads(firedoor(tmp_path, "status", "--json", "--nats", local.url).output)
    assert told["running"] is True
    assert told["depths"]["clean:store"]["messages"] == 0


def test_without_the_broker_it_tells_the_last_snapshot_and_its_age(tmp_path: Path) -> None:
    plan = make_plan()
    project = make_project(tmp_path, rows_died, plan)
    keep_snapshot(project, plan, "running", age_s=130)
    with project.locked():
        result = firedoor(tmp_path, "status")
        why = firedoor(tmp_path, "why", "clean")
    assert result.exit_code == 0, result.output + result.stderr
    lines = result.output.splitlines()
    assert lines[0] == (
        "the broker does not answer: zones wait, nothing is dropped; before that: all zones well"
    )
    assert lines[1] == "as of 2 min ago, from the last snapshot"
    assert "the broker does not answer: this is from the last snapshot alone" in why.output


def test_after_a_run_it_tells_how_that_was_left_and_why_still_knows(tmp_path: Path) -> None:
    plan = make_plan()
    project = make_project(tmp_path, rows_died, plan)
    keep_snapshot(project, plan, "done", age_s=3_700)
    result = firedoor(tmp_path, "status")
    assert result.output.startswith("nothing runs here; 1 h 1 min ago: all zones are done")
    assert json.loads(firedoor(tmp_path, "status", "--json").output)["running"] is False
    assert f"4 rows: {KEY}" in firedoor(tmp_path, "why", "clean").output


@pytest.mark.parametrize("command", [("status",), ("why", "clean")])
def test_where_nothing_ever_ran_it_says_how_to_start(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    result = firedoor(tmp_path, *command)
    assert result.exit_code == 1
    assert "firedoor run" in result.stderr


def test_a_zone_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    project.create()
    project.write_plan(make_plan())
    result = firedoor(tmp_path, "why", "claen")
    assert result.exit_code == 1
    assert "its zones are flights, clean, store, audit" in result.stderr


def test_a_run_that_left_no_snapshot_is_told(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    project.create()
    project.write_plan(make_plan())
    result = firedoor(tmp_path, "status")
    assert result.exit_code == 1
    assert "how its last run was left is not kept" in result.stderr


def test_services_are_told_of_by_each_gateway_that_runs_and_by_none_that_is_gone(
    tmp_path: Path,
) -> None:
    project = Project.at(tmp_path)
    project.create()
    plan = make_plan()
    project.write_plan(plan)
    keep_snapshot(project, plan, "running", age_s=3)
    folder = ServingFolder(project, print)
    folder.create()
    said = {"late": "late@3 answers; late@3 fails at requests: raised, ValueError at steps.py:3"}
    folder.say(1, GatewayState(pid=os.getpid(), services=said))
    folder.say(2, GatewayState(pid=2**22 - 1, services={"late": "late@3 answers"}))
    result = firedoor(tmp_path, "status")
    told = json.loads(firedoor(tmp_path, "status", "--json").output)
    assert result.output.splitlines()[-2:] == [
        "service  gateway  how",
        f"late     1        {said['late']}",
    ]
    assert told["services"] == {"1": said}
    project.status_file.write_bytes(encode_snapshot(Snapshot(pipeline=plan.pipeline, at_s=0.0)))
    alone = firedoor(tmp_path, "status").output.splitlines()
    assert alone[0].startswith("services are answered, and no zone runs")
    assert "gone" not in "".join(alone)
