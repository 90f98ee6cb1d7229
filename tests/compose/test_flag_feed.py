"""A provider of a real project hears of flags, and goes on and begins without the broker."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from firedoor.adapters.nats import server
from firedoor.adapters.nats.server import LocalServer
from firedoor.adapters.nats.streams import connect
from firedoor.compose.flag_feed import FlagFeed
from firedoor.compose.flag_table import FlagTable
from firedoor.compose.flags_file import FlagsFile
from firedoor.compose.project import Endpoint, Project
from firedoor.control.flags import Wanted, edit_offline
from firedoor.openfeature import FiredoorProvider
from firedoor.testing.conformance.store import make_plan
from firedoor.wire.flags import Flags

WAIT_S = 20.0


class Heard:
    """What a feed handed over."""

    def __init__(self) -> None:
        self.flags: Flags | None = None
        self.silent_s = 0.0
        self.times = 0
        self._changed = threading.Condition()

    def take(self, flags: Flags | None, silent_s: float) -> None:
        with self._changed:
            self.flags, self.silent_s = flags, silent_s
            self.times += 1
            self._changed.notify_all()

    def until(self, so: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(so, WAIT_S), (self.flags, self.silent_s)

    def value(self, name: str) -> object:
        flag = None if self.flags is None else self.flags.flags.get(name)
        return None if flag is None else flag.value


def set_flag(name: str, value: int) -> Wanted:
    return Wanted(verb="set", name=name, by="ann", because="x", at_s=float(value), value=value)


def change(local: LocalServer, folder: Path, wanted: Wanted) -> None:
    """Change a flag as a command does."""

    async def work() -> None:
        endpoint = local.endpoint()
        streams = await connect(
            endpoint.url,
            pipeline=make_plan().pipeline,
            user=endpoint.user,
            password=endpoint.password,
        )
        try:
            await FlagTable(streams, FlagsFile(folder)).change(wanted)
        finally:
            await streams.close()

    asyncio.run(work())


def made(folder: Path) -> Project:
    project = Project.at(folder)
    project.create()
    project.write_plan(make_plan())
    return project


def test_flags_are_heard_of_and_hold_while_the_broker_is_away(tmp_path: Path) -> None:
    project, heard = made(tmp_path), Heard()
    with server.start(project.folder, make_plan()) as local:
        own = local.endpoint()
        project.write_endpoint(Endpoint(url=own.url, user=own.user, password=own.password))
        asyncio.run(declare(local))
        change(local, tmp_path / "elsewhere", set_flag("new", 1))
        feed = FlagFeed(tmp_path, poll_s=0.05)
        feed.start(heard.take)
        try:
            heard.until(lambda: heard.value("new") == 1)
            change(local, tmp_path / "elsewhere", set_flag("new", 2))
            heard.until(lambda: heard.value("new") == 2)
            os.kill(local.pid, signal.SIGSTOP)
            heard.until(lambda: heard.silent_s > 1)
            assert heard.value("new") == 2
            FlagsFile(project.folder).change(lambda flags: edit_offline(flags, set_flag("new", 3)))
            heard.until(lambda: heard.value("new") == 3)
        finally:
            os.kill(local.pid, signal.SIGCONT)
            feed.stop()
    before = heard.times
    assert not [each for each in threading.enumerate() if each.name == "firedoor-flags"]
    assert heard.times == before


async def declare(local: LocalServer) -> None:
    endpoint = local.endpoint()
    streams = await connect(
        endpoint.url, pipeline="conformance", user=endpoint.user, password=endpoint.password
    )
    await streams.declare(make_plan())
    await streams.close()


def test_a_provider_begins_with_the_file_where_there_is_no_broker(tmp_path: Path) -> None:
    project = made(tmp_path)
    FlagsFile(project.folder).change(lambda flags: edit_offline(flags, set_flag("new", 7)))
    provider = FiredoorProvider(tmp_path, poll_s=0.05)
    provider.initialize(None)  # type: ignore[arg-type]
    try:
        found = provider.resolve_integer_details(flag_key="new", default_value=1)
        assert (found.value, found.reason) == (7, "STATIC")
    finally:
        provider.shutdown()


def test_where_nothing_ever_ran_the_feed_waits_and_hears_later(tmp_path: Path) -> None:
    heard = Heard()
    feed = FlagFeed(tmp_path, poll_s=0.02)
    feed.start(heard.take)
    try:
        heard.until(lambda: heard.times >= 2)
        assert heard.flags is None
        project = made(tmp_path)
        FlagsFile(project.folder).change(lambda flags: edit_offline(flags, set_flag("new", 7)))
        heard.until(lambda: heard.value("new") == 7)
    finally:
        feed.stop()
    feed.stop()


@pytest.mark.parametrize("times", [1, 2])
def test_a_feed_is_started_once(tmp_path: Path, times: int) -> None:
    heard = Heard()
    feed = FlagFeed(tmp_path, poll_s=0.02)
    for _ in range(times):
        feed.start(heard.take)
    threads = [each for each in threading.enumerate() if each.name == "firedoor-flags"]
    assert len(threads) == 1
    feed.stop()
