"""A wall across forks of its process, and interrupted in the middle of a call."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from subprocess import Popen

import pytest

from wall.watching import PATIENCE_S, run_script, script, watch

FORK = """
import os
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: these users do
import firedoor as fd
from wall import probing
from wall.watching import numbers

wall = fd.Wall(probing.double, timeout_s=30)

def check(first):
    outcome = wall(numbers(5, first=first))
    assert outcome.good["doubled"].to_list() == [2 * n for n in range(first, first + 5)]
    assert len(outcome.dead) == 0
    return wall.processes()
"""


def test_a_wall_used_on_both_sides_of_a_fork_has_workers_of_its_own_on_each() -> None:
    said = run_script(
        FORK
        + """
before = check(0)
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    inside = check(100)
    assert wall.report().batches == 1
    assert set(inside["server"]).isdisjoint(before["server"])
    assert set(inside["workers"]).isdisjoint(before["workers"])
    wall.close()
    print("child right", flush=True)
    os._exit(0)
check(200)
_, status = os.waitpid(pid, 0)
assert status == 0
after = check(300)
assert after == before, (after, before)
assert wall.report().workers_lost == 0
wall.close()
print("parent right")
"""
    )
    assert said == ["child right", "parent right"]


def test_a_wall_first_used_in_a_forked_child_works_there_and_in_the_parent() -> None:
    said = run_script(
        FORK
        + """
import multiprocessing
def work(first):
    check(first)
    print("child right", flush=True)
for first in (100, 200):
    child = multiprocessing.get_context("fork").Process(target=work, args=(first,))
    child.start()
    child.join()
    assert child.exitcode == 0
    check(first)
print("parent right")
"""
    )
    assert said == ["child right", "child right", "parent right"]


def test_a_child_forked_in_the_middle_of_a_call_does_not_disturb_it(tmp_path: Path) -> None:
    said = run_script(
        f"""
import os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: this user does
import firedoor as fd
from wall import probing
from wall.watching import listening, numbers
wall = fd.Wall(probing.double_when_let_go, timeout_s=60, reads=[{str(tmp_path)!r}])
gate = {str(tmp_path / "gate")!r}
running = threading.Event()
came = []
with listening(wall.name, lambda _: running.set()):
    thread = threading.Thread(target=lambda: came.append(wall(numbers(4, gate=gate))))
    thread.start()
    assert running.wait(30)
    pid = os.fork()
    if pid == 0:
        assert wall(numbers(2, gate="/")).good["doubled"].to_list() == [0, 2]
        wall.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    open(gate, "w").close()
    thread.join()
assert came[0].good["doubled"].to_list() == [0, 2, 4, 6]
assert wall.report().workers_lost == 0
print("right")
"""
    )
    assert said == ["right"]


def test_workers_end_with_the_parent_though_its_forked_child_lives_on() -> None:
    text = (
        FORK
        + """
family = check(0)
if os.fork() == 0:
    import sys
    sys.stdin.readline()
    os._exit(0)
import signal
print(*family["server"], *family["workers"], flush=True)
while True:
    signal.pause()
"""
    )
    with script(text) as process:
        family = first_line(process)
        with watch(family) as watched:
            process.kill()
            assert process.wait(PATIENCE_S) == -signal.SIGKILL
            assert watched.left() == []


def first_line(process: Popen[str]) -> list[int]:
    """Return the numbers in the first line that a program prints."""
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


@pytest.mark.parametrize("how", ["wall(frame)", "list(wall.map([frame, frame]))"])
def test_ctrl_c_in_the_middle_of_a_call_leaves_the_wall_usable(how: str, tmp_path: Path) -> None:
    text = f"""
    import os, sys, threading
    import firedoor as fd
    from wall import probing
    from wall.watching import listening, numbers
    wall = fd.Wall(probing.double_when_let_go, timeout_s=60, reads=[{str(tmp_path)!r}])
    wall(numbers(1, gate="/"))
    frame = numbers(3, gate={str(tmp_path / "gate")!r})
    before = wall.processes()
    with listening(wall.name, lambda text: print(os.getpid(), text.split()[-1], flush=True)):
        try:
            {how}
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    open({str(tmp_path / "gate")!r}, "w").close()
    for _ in range(10_000):
        # If a query of polars was running when the signal came, in whatever thread, every query
        # raises until that one has ended.
        try:
            good = wall(numbers(3, gate="/")).good
            break
        except KeyboardInterrupt:
            continue
    assert good["doubled"].to_list() == [0, 2, 4]
    after = wall.processes()
    assert after["server"] == before["server"]
    print(*before["workers"])
    print(*after["workers"])
    assert wall.report().dead == 0
    wall.close()
    """
    with script(text) as process:
        assert process.stdout is not None
        parent, *_ = (int(word) for word in process.stdout.readline().split())
        assert parent == process.pid
        # As a terminal does: to all processes of the group.
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert err == ""
    assert process.returncode == 0
    said = out.splitlines()
    assert said[0] == "interrupted"
    before, after = ({int(pid) for pid in line.split()} for line in said[-2:])
    assert len(before & after) >= 1  # the signal reached no worker
