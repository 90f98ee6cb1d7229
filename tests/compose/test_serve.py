"""What ``firedoor serve`` refuses before it begins, and whose broker it uses."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

import firedoor as fd
from firedoor.adapters.clock import SystemClock
from firedoor.compose.broker import Broker
from firedoor.compose.connecting import connect_to
from firedoor.compose.planning import plan_of
from firedoor.compose.project import Project
from firedoor.compose.serve import ServeOptions, Serving, reserved
from firedoor.compose.serving_broker import ServingBroker
from firedoor.compose.serving_folder import ServingFolder
from firedoor.gateway.http_server import bind
from firedoor.spec.plan import Plan
from firedoor.testing.conformance.store import make_plan
from firedoor.wire.route import Arm, Route
from serving.served import Shop


def predict(model: object, rows: object) -> object:
    return model, rows


predict.__annotations__.clear()


def train(run: fd.Run) -> None:
    """Learn."""


def planned(*, jobs: bool = True, services: bool = True) -> Plan:
    pipeline = fd.Pipeline("late")
    if services:
        pipeline.service(model=fd.model("late"))(predict)
    if jobs:
        pipeline.job()(train)
    return plan_of(pipeline, file=pipeline.folder / "late.py", sys_path=())


def refusal(
    folder: Path,
    plan: Plan,
    options: ServeOptions = ServeOptions(port=0),  # noqa: B008 - frozen
) -> fd.FiredoorError:
    """Return with what it refuses to begin."""
    project = Project.at(folder)
    project.create()
    serving = Serving(project=project, plan=plan, clock=SystemClock(), tell=print, options=options)
    serving.end()
    with pytest.raises(fd.FiredoorError) as caught:
        asyncio.run(serving.run())
    return caught.value


def test_without_a_service_there_is_nothing_to_serve(tmp_path: Path) -> None:
    error = refusal(tmp_path, planned(services=False))
    assert isinstance(error, fd.PipelineUnloadable)
    assert "@pipeline.service(model=...)" in str(error)


def test_without_a_version_it_says_how_to_train_one(tmp_path: Path) -> None:
    assert "firedoor job run train" in str(refusal(tmp_path, planned()))
    assert "add one, and promote it" in str(refusal(tmp_path, planned(jobs=False)))


def test_without_a_champion_it_says_which_version_could_be_promoted(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.add(1.0)
    shop.add(2.0)
    error = refusal(tmp_path, planned())
    assert isinstance(error, fd.ModelRefused)
    assert "service predict has nothing to answer by" in str(error)
    assert "firedoor models promote late@2" in str(error)


def test_a_port_that_somebody_listens_to_is_refused_also_one_that_can_be_shared(
    tmp_path: Path,
) -> None:
    for shared in (False, True):
        with bind("127.0.0.1", 0, shared=shared) as taken:
            taken.listen()
            port = taken.getsockname()[1]
            for options, named in (
                (ServeOptions(port=port), "--port"),
                (ServeOptions(port=0, control_port=port), "--control-port"),
            ):
                error = refusal(tmp_path, planned(), options)
                assert isinstance(error, fd.DeclarationError)
                assert error.field == "port"
                assert f"127.0.0.1:{port}" in str(error)
                assert f"another with {named}" in str(error)


def test_a_host_of_another_machine_is_refused() -> None:
    with (
        pytest.raises(fd.DeclarationError, match="cannot be listened to"),
        reserved("192.0.2.1", 0),
    ):
        pass


def test_what_is_held_takes_no_connection_from_who_listens() -> None:
    with reserved("127.0.0.1", 0) as port, bind("127.0.0.1", port) as listening:
        listening.listen()
        listening.settimeout(5)
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                listening.accept()[0].close()


def test_a_second_one_in_the_same_project_is_refused(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    project.create()
    serving = Serving(
        project=project, plan=planned(), clock=SystemClock(), tell=print, options=ServeOptions()
    )
    serving._folder = ServingFolder(project, print)
    serving._folder.create()
    with serving._alone():
        error = refusal(tmp_path, planned())
    assert isinstance(error, fd.ProjectBusy)
    assert "are served already (process " in str(error)


def test_what_was_said_last_is_enough_to_begin_with(tmp_path: Path) -> None:
    """A registry that is away keeps nobody from serving what is known."""
    folder = ServingFolder(Project.at(tmp_path), print)
    folder.create()
    arm = Arm(model="late", version=3, digest="3" * 64)
    folder.keep_routes([Route(service="predict", generation=1, champion=arm)])
    told: list[str] = []
    from firedoor.compose.serve import check_champions  # noqa: PLC0415

    check_champions(planned(), Project.at(tmp_path), folder, told.append)


# ---- whose broker


async def until(true: object) -> None:
    async with asyncio.timeout(20):
        while not true():  # type: ignore[operator]
            await SystemClock().wait(0.05)


def test_it_uses_the_broker_of_a_run_and_starts_one_when_that_has_ended(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    project.create()
    told: list[str] = []
    broker = ServingBroker(project=project, plan=make_plan(), clock=SystemClock(), tell=told.append)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            with project.running():
                keeping = group.create_task(broker.keep())
                await until(lambda: told)
            await until(lambda: len(told) > 1)
            keeping.cancel()

    asyncio.run(main())
    assert "that of the run at work here" in told[0]
    assert "a broker was started" in told[1]
    assert project.read_plan() == make_plan(), "commands find what runs"
    with project.running():
        pass  # it has let go


def test_it_hands_its_broker_over_to_a_run_and_takes_it_back_at_the_same_address(
    tmp_path: Path,
) -> None:
    project = Project.at(tmp_path)
    project.create()
    told: list[str] = []
    serving = ServingBroker(
        project=project, plan=make_plan(), clock=SystemClock(), tell=told.append
    )
    urls: list[str] = []

    def run() -> None:
        """A run of the same pipeline, as `firedoor up` begins it."""
        with project.running():
            broker = Broker(
                project=project, plan=make_plan(), clock=SystemClock(), tell=told.append
            )
            urls.append(asyncio.run(broker.start()).url)
            asyncio.run(until(lambda: "that of the run" in told[-1]))
            asyncio.run(broker.stop())

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(serving.keep())
            await until(lambda: told)
            urls.append(project.endpoint().url)
            await asyncio.to_thread(run)
            await until(lambda: len(told) > 2)
            urls.append(project.endpoint().url)
            keeping.cancel()

    asyncio.run(main())
    assert ["was started" in line for line in told] == [True, False, True]
    assert len(urls) == 3
    assert len(set(urls)) == 1, "clients find it without looking"


def test_at_the_broker_of_a_run_of_another_pipeline_it_declares_what_services_need(
    tmp_path: Path,
) -> None:
    project = Project.at(tmp_path)
    project.create()
    told: list[str] = []
    serving = ServingBroker(project=project, plan=planned(), clock=SystemClock(), tell=told.append)

    async def main() -> None:
        broker = Broker(project=project, plan=make_plan(), clock=SystemClock(), tell=told.append)
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(serving.keep())
            project.write_plan(make_plan())
            streams = await connect_to(await broker.start(), pipeline="late")
            await until(lambda: serving._met)
            await streams.put("flags", b"these")
            assert await streams.get("flags") == b"these"
            await streams.close()
            keeping.cancel()
        await broker.stop()

    with project.running():
        asyncio.run(main())
    assert told == [f"the broker is that of the run at work here (process {os.getpid()})"]


def test_without_a_broker_it_says_so_once_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIREDOOR_NATS_SERVER", str(tmp_path / "absent"))
    monkeypatch.setattr("firedoor.compose.serving_broker.AGAIN_S", 0.01)
    project = Project.at(tmp_path)
    project.create()
    told: list[str] = []
    tries: list[str] = []
    broker = ServingBroker(project=project, plan=make_plan(), clock=SystemClock(), tell=told.append)
    tell = broker._tell_without

    def count(_: ServingBroker, why: str) -> None:
        tries.append(why)
        tell(why)

    monkeypatch.setattr(ServingBroker, "_tell_without", count)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(broker.keep())
            await until(lambda: len(tries) > 3)
            keeping.cancel()

    asyncio.run(main())
    assert len(told) == 1
    assert "services answer as they did last" in told[0]
