"""What is killed, stopped, broken or full beside a service: every request is answered, rightly.

Each version adds its own number to twice what it is asked, no two requests are alike, and an answer
has to be that of the version that it names.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from firedoor.compose.serving_folder import ServingFolder
from pipelines.disks import small_disk
from serving.client import Load, press
from serving.pressing import BIAS, asked_for, said, under_load
from serving.served import Served, Shop

FAST = {"LATE_POLICY": json.dumps({"time_scale": 20, "bake_s": 600.0, "lease_s": 100.0})}
LEASE_S = 10.0
"""No scale makes it less."""
pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.add(BIAS, live=True)
    with Served(shop, "--port", "0", "--gateways", "2", environment=FAST) as serving:
        yield serving.ready(1).ready(2)


@pytest.fixture
def load(served: Served) -> Iterator[Load]:
    """Ask all the while; nothing may fail, and only the first version may answer."""
    with under_load(served) as asking:
        asked_for(served, asking, 20)
        yield asking
        asked_for(served, asking, 40)
    assert asking.failed == []
    tell(asking)


def tell(load: Load) -> None:
    """Print what a soak is looked at for."""
    print(
        f"asked {load.asked}, failed {len(load.failed)}, slowest {load.slowest_s:.2f} s, "
        f"closed {load.closed}, {dict(load.degraded)}"
    )


@contextmanager
def stopped(*processes: psutil.Process) -> Iterator[None]:
    """Have processes do nothing while the block is at work."""
    with ExitStack() as stack:
        for process in processes:
            process.suspend()
            stack.callback(process.resume)
        yield


def workers(served: Served) -> set[int]:
    return {each.pid for each in served.processes("worker")}


def broker_is_heard(served: Served, *numbers: int) -> None:
    """Wait until gateways are told what holds."""
    served.until(
        lambda: all(
            (state := served.state(each)) is not None and not state.broker for each in numbers
        )
    )


# ---- processes


def test_each_worker_serving_or_spare_dies_in_turn(served: Served, load: Load) -> None:
    count = len(workers(served))
    assert count == 4, "two gateways, each with one that serves and a spare"
    for pid in sorted(workers(served)):
        psutil.Process(pid).kill()
        served.until(lambda pid=pid: pid not in workers(served) and len(workers(served)) == count)  # type: ignore[misc]
        asked_for(served, load, 20)
    assert not load.degraded


def test_a_fork_server_dies_with_all_its_workers(served: Served, load: Load) -> None:
    before = workers(served)
    served.kill("fork server")
    served.until(lambda: len(workers(served)) == len(before) and workers(served) != before)
    asked_for(served, load, 40)
    # While no worker lives; cached is what an earlier test asked.
    assert set(load.degraded) <= {"cached", "constant"}


def test_the_broker_dies_and_again_as_soon_as_it_is_back(served: Served, load: Load) -> None:
    killed: set[int] = set()
    for _ in range(2):
        served.until(lambda: {each.pid for each in served.processes("nats")} - killed)
        killed.add(served.kill("nats"))
    served.until(lambda: {each.pid for each in served.processes("nats")} - killed)
    broker_is_heard(served, 1, 2)
    assert not load.degraded


def test_control_is_stopped_for_longer_than_a_lease(served: Served, load: Load) -> None:
    with stopped(*served.processes("control")):
        asked_for(served, load, int(load.rate * (LEASE_S + 3)))
    assert not load.degraded
    assert "predict: " in served.shop.run("rollout", "status", "predict")


def test_control_dies_again_and_again(served: Served, load: Load) -> None:
    for _ in range(4):
        killed = served.kill("control")
        served.until(lambda killed=killed: {e.pid for e in served.processes("control")} - {killed})  # type: ignore[misc]
    assert not load.degraded


# ---- gateways


def test_a_gateway_is_asked_to_end_while_another_goes_on(served: Served, load: Load) -> None:
    for number in (1, 2):
        old = served.state(number)
        assert old is not None
        psutil.Process(old.pid).terminate()
        served.until(
            lambda number=number, old=old: (  # type: ignore[misc]
                (state := served.state(number)) is not None and state.pid != old.pid and state.ready
            )
        )
        asked_for(served, load, 40)
    assert not load.degraded


def test_a_gateway_begins_anew_while_broker_and_control_do_nothing(served: Served) -> None:
    old, other = served.state(1), served.state(2)
    assert old is not None
    assert other is not None
    own = int(other.own.rpartition(":")[2])
    with (
        under_load(served, port=own) as beside,
        under_load(served) as shared,
        stopped(*served.processes("nats"), *served.processes("control")),
    ):
        psutil.Process(old.pid).kill()
        served.until(
            lambda: (state := served.state(1)) is not None and state.pid != old.pid and state.ready
        )
        asked_for(served, shared, 60)
    tell(shared)
    assert beside.failed == [], "the other gateway notices nothing"
    # What had been sent to the one that was killed, and not been answered, is lost.
    assert len(shared.failed) <= shared.rate / 2
    assert all("Incomplete" in each or "Reset" in each for each in shared.failed), shared.failed
    broker_is_heard(served, 1, 2)


# ---- files


def begin_anew(served: Served, number: int) -> None:
    """Kill a gateway, and wait until it answers by a model again."""
    old = served.state(number)
    assert old is not None
    psutil.Process(old.pid).kill()
    served.until(
        lambda: (state := served.state(number)) is not None and state.pid != old.pid and state.ready
    )


def test_a_route_that_is_damaged_is_told_of_and_the_champion_serves(served: Served) -> None:
    file = served.shop.project.folder / "serving" / "route-predict.json"
    served.until(file.exists)
    with stopped(*served.processes("nats"), *served.processes("control")):
        for damaged in (b"", b"\0" * 400, b'{"service": "predict", "champion":', b"\xff" * 9):
            file.write_bytes(damaged)
            begin_anew(served, 1)
            with under_load(served) as asking:
                asked_for(served, asking, 20)
            assert asking.failed == []
    assert "is damaged" in served.logs()
    broker_is_heard(served, 1, 2)


def test_a_registry_that_cannot_be_read_keeps_nobody_from_answering(
    served: Served, load: Load
) -> None:
    registry = served.shop.project.folder / "models" / "registry"
    files = [file for file in registry.rglob("*") if file.is_file()]
    kept = {file: file.read_bytes() for file in files}
    try:
        for file in files:
            file.write_bytes(b"{ damaged")
        asked_for(served, load, 120)
    finally:
        for file, data in kept.items():
            file.write_bytes(data)
    assert not load.degraded
    assert "goes on with what the registry said last" in served.logs()


def test_a_gateway_begins_anew_with_a_registry_that_cannot_be_read(served: Served) -> None:
    registry = served.shop.project.folder / "models" / "registry"
    away = registry.with_name("registry-away")
    registry.rename(away)
    registry.write_bytes(b"a file where a folder should be")
    try:
        begin_anew(served, 1)
        with under_load(served) as asking:
            asked_for(served, asking, 40)
    finally:
        registry.unlink()
        away.rename(registry)
    assert asking.failed == []
    assert not asking.degraded


def test_a_disk_that_is_full_fails_no_request_and_a_new_gateway_serves(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    with small_disk(folder, "512m") as disk:
        shop = Shop(folder)
        shop.add(BIAS, live=True)
        with Served(shop, "--port", "0", "--gateways", "2", environment=FAST) as serving:
            serving.ready(1).ready(2)
            pid = serving.processes("gateway")[0].pid
            with under_load(serving) as load, disk.full(pid):
                asked_for(serving, load, 60)
                serving.kill("worker")
                asked_for(serving, load, 120)
            assert load.failed == []
            assert not load.degraded
            begin_anew(serving, 1)
            kept = ServingFolder(shop.project, print)
            serving.until(lambda: kept.route("predict") is not None)


# ---- a rollout, and nobody who drives it


def test_in_canary_weights_stay_without_broker_and_control_until_the_lease_is_over(
    served: Served,
) -> None:
    shop = served.shop
    shop.add(20.0)
    assert not asyncio.run(press(served.port, 2_200, at_once=16, biases=(BIAS,))).failed
    with under_load(served, BIAS, 20.0, rate=100.0) as load:
        shop.run("rollout", "start", "predict")
        served.until(lambda: "rollout at 50 %" in said(served))
        shop.run("rollout", "pause", "predict", "--because", "it is stopped here")
        served.until(lambda: load.variants["late@2"] > 50)
        with stopped(*served.processes("nats"), *served.processes("control")):
            before = load.variants.copy()
            asked_for(served, load, int(load.rate * LEASE_S * 0.5))
            stays = load.variants - before
            assert stays["late@2"] > 0.3 * stays.total(), stays
            served.until(lambda: load.began_s["late@1"] - load.began_s["late@2"] > 2.0)
        before = load.variants.copy()
        served.until(lambda: (load.variants - before)["late@2"] > 50)
        shop.run("rollout", "abort", "predict", "--because", "it was seen")
    assert load.failed == []
    assert not load.degraded
