"""Which processes of ``up`` and ``serve`` a drill reaches, and that they die as by other hands."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import msgspec

from compose.test_job_objectives import JOB
from compose.test_runs import begin
from control.world import make_plan
from firedoor.adapters.clock import SystemClock
from firedoor.compose.broker import Broker
from firedoor.compose.children import Child
from firedoor.compose.companion import Companion
from firedoor.compose.project import Project
from firedoor.compose.runs import Runs
from firedoor.compose.supervised_zones import of_broker, of_serve, of_up

PLAN = make_plan()


class Server:
    """A broker's process, under a guard that knows whether it lives."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        self.pid = self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def fault(self) -> str | None:
        return None

    def no_room(self) -> str | None:
        return None

    def restart(self) -> None:
        raise AssertionError

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def broker(folder: Path, server: Server | None) -> Broker:
    return Broker(
        project=Project.at(folder), plan=PLAN, clock=SystemClock(), tell=print, local=server
    )


def test_a_broker_dies_of_sigkill_and_once(tmp_path: Path) -> None:
    server = Server()
    try:
        target = of_broker(PLAN, lambda: broker(tmp_path, server), foreign=False)
        process = target.process()
        assert process is not None
        assert (process.pid, process.alive) == (server.pid, True)
        process.crash()
        assert server.process.wait(timeout=10) == -signal.SIGKILL
        assert not process.alive
        process.crash()  # of one that is gone nobody is hit
    finally:
        server.stop()


def test_a_broker_that_has_not_begun_or_is_elsewhere_is_no_target(tmp_path: Path) -> None:
    assert of_broker(PLAN, lambda: broker(tmp_path, None), foreign=False).process() is None
    hosted = of_broker(PLAN, lambda: None, foreign=False)
    assert (hosted.here(), hosted.process()) == (False, None), "a run has it"
    foreign = of_broker(PLAN, lambda: None, foreign=True)
    assert foreign.here()
    assert "not one that firedoor has started: choose" in foreign.missing


def test_control_and_broker_can_be_kept_down_and_let_be(tmp_path: Path) -> None:
    control = Companion(name="c", command=[], what="control", stop_s=1.0)
    here = broker(tmp_path, None)
    targets = of_serve(PLAN, [], control, lambda: here, foreign=False)
    for name in ("control", "broker"):
        keep_down = targets[name].keep_down
        assert keep_down is not None
        keep_down("a drill wants it so")
    assert control.kept_down == here.kept_down == "a drill wants it so"


def test_of_a_job_it_is_the_process_that_runs_jobs_and_only_while_it_runs_this_one(
    tmp_path: Path,
) -> None:
    runs, plan = Runs(tmp_path), msgspec.structs.replace(PLAN, zones=(), jobs=(JOB,))
    child, hosted = cast("Child", object()), broker(tmp_path, None)
    jobs = Companion(name="job-watch", command=[], what="", stop_s=1.0, child=child)
    target = of_up(plan, {}, hosted, jobs=jobs, runs=runs)["train"]
    assert (target.kind, target.process()) == ("job", None)
    with ExitStack() as held:
        begin(runs, held)
        assert target.process() is child
    assert target.process() is None, "whoever ran it has gone"
    assert "train" not in of_up(plan, {}, hosted, jobs=None, runs=runs)
