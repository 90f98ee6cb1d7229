"""Five minutes without a broker and without control: every request is answered, and rightly."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import psutil
import pytest

from serving.client import Load
from serving.served import Served, Shop

DOWN_S = float(os.environ.get("FIREDOOR_BROKER_DOWN_S", "300"))
RATE = 50.0


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_five_minutes_without_a_broker_fail_no_request(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.add(10.0, live=True)
    with Served(shop, "--port", "0", "--gateways", "2") as serving:
        serving.ready(1).ready(2)
        load, done = Load(serving.port, RATE, (10.0,)), threading.Event()

        async def ask() -> None:
            until = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(load.run(until))
                await asyncio.to_thread(done.wait)
                until.set()

        thread = threading.Thread(target=lambda: asyncio.run(ask()))
        thread.start()
        try:
            (broker,) = serving.processes("nats")
            broker.suspend()
            more, killed = load.asked + int(DOWN_S * RATE), 0
            while load.asked < more:
                assert not done.wait(10.0)
                for kind in ("control", "worker"):
                    serving.kill(kind, signal.SIGKILL)
                    killed += 1
            broker.resume()
            serving.until(lambda: (state := serving.state(1)) is not None and not state.broker)
        finally:
            done.set()
            thread.join(60)
        grown = sum(each.memory_info().rss for each in serving.processes("gateway"))
        print(f"asked {load.asked}, killed {killed}, {grown >> 20} MiB, {load.variants}")
        assert load.failed == []
        assert all(isinstance(each, psutil.Process) for each in serving.family())
