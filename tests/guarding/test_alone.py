"""Guards by themselves: what they import, and how tests of other code switch them off."""

from __future__ import annotations

import subprocess
import sys

import pytest

import firedoor as fd
from firedoor.testing.guards import guards_instant, guards_off
from firedoor.testing.loop import run
from guarding.world import World, trip

HEAVY = {"polars", "msgspec", "nats", "numpy", "dataframely", "rich", "typer", "asyncio", "psutil"}


def modules_after(code: str) -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return set(shown.stdout.split())


def test_a_guard_imports_neither_frames_nor_broker_nor_event_loop() -> None:
    used = "from firedoor import Guard\nGuard('a->b', retry=2, limit=3).call(len, 'ab')"
    assert not HEAVY & modules_after(used)


def test_an_async_function_brings_the_event_loop_and_nothing_else() -> None:
    used = "from firedoor import Guard\n@Guard('a->b')\nasync def f(): ..."
    assert HEAVY & modules_after(used) == {"asyncio"}


def test_guards_that_are_off_let_everything_through() -> None:
    world = World()
    guard, whole = (
        world.guard(),
        world.guard(timeout_s=1, retry=3, limit=1, fallback=fd.Constant(0)),
    )
    trip(world, guard)
    calls = world.calls
    with guards_off():
        born = world.guard(retry=3)
        for one in (guard, whole, born):
            assert one.call(world.work) == "fresh"
            assert run(one.acall(world.awork)) == "fresh"
            world.fail()
            with pytest.raises(ConnectionError):
                one.call(world.work)
            with one:
                pass
    assert world.calls == calls + 9
    assert guard.state == "open"
    with pytest.raises(fd.GuardOpen):
        guard.call(world.work)
    assert whole.explain().totals.bad == 0
    world.fail()
    assert born.call(world.work) == "fresh"


def test_guards_that_are_instant_do_all_but_wait() -> None:
    world = World()
    guard = world.guard(retry=3)
    with guards_instant():
        world.fail(2)
        assert guard.call(world.work) == "fresh"
    assert world.slept == []
    world.fail(2)
    guard.call(world.work)
    assert len(world.slept) == 2
