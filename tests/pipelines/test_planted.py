"""A drill finds the wall that is down and names who is hurt; three are planted, by code of users.

Each has its twin that is mended, of which the same drill is green.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "planted"
UP_S = 60.0
DRILL_S = 240.0
pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]


@dataclass(frozen=True, kw_only=True)
class Breach:
    """What is planted, the fault that shows it, and who is hurt."""

    file: str
    row: dict[str, object]
    hurt: str
    bank: bool = False
    """Whether the pipeline needs one."""

    def matrix(self) -> dict[str, object]:
        """Return the one row: the fault, long enough to judge how fresh zones are."""
        return {
            "version": 1, "warm_up_s": 20, "for_s": 20, "recover_s": 60, "settle_s": 2,
            "rows": [self.row],
        }  # fmt: skip


BREACHES = [
    Breach(
        file="shared_process.py",
        row={"fault": "crash_loop", "zone": "rates", "intensity": 1.0},
        hurt="priced",
    ),
    Breach(
        file="unbounded_buffer.py",
        row={"fault": "volume", "zone": "orders", "intensity": 5},
        hurt="joined",
    ),
    Breach(
        file="unbudgeted_retry.py",
        row={"fault": "unit_change", "zone": "checked", "column": "cents"},
        hurt="paid",
        bank=True,
    ),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def at_work(folder: Path, breach: Breach, *, planted: bool) -> Iterator[dict[str, str]]:
    """Run a pipeline, with its bank; give the environment once rows come through."""
    shutil.copy(HERE / breach.file, folder / "shop.py")
    port = free_port()
    environ = {**os.environ, "PLANTED": str(int(planted)), "PLANTED_PORT": str(port)}
    commands = [[sys.executable, "-m", "firedoor.cli", "up", "shop.py"]]
    if breach.bank:
        commands.insert(0, [sys.executable, str(HERE / "bank.py"), str(port)])
    log = (folder / "log").open("wb")
    started = [
        subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
        for command in commands
    ]
    try:
        ends_s = time.monotonic() + UP_S
        while not any((folder / "store").glob("*.parquet")):
            told = (folder / "log").read_text()
            assert all(each.poll() is None for each in started), told
            assert time.monotonic() < ends_s, told
            threading.Event().wait(0.1)
        yield environ
    finally:
        for each in reversed(started):
            each.terminate()
            each.wait(timeout=UP_S)
        log.close()


def drilled(folder: Path, breach: Breach, *, planted: bool) -> tuple[int, dict[str, Any], str]:
    """Drill a pipeline; return the exit code, the report and what was printed."""
    (folder / "drills.json").write_text(json.dumps(breach.matrix()))
    with at_work(folder, breach, planted=planted) as environ:
        done = subprocess.run(
            [sys.executable, "-m", "firedoor.cli", "drill", "run", "--gate",
             "--matrix", "drills.json", "--out", "report"],
            cwd=folder, env=environ, capture_output=True, text=True, timeout=DRILL_S, check=False,
        )  # fmt: skip
    told = done.stdout + done.stderr
    found = folder / "report" / "containment.json"
    assert found.exists(), told
    return done.returncode, json.loads(found.read_text()), told


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: breach.file.removesuffix(".py"))
def test_a_wall_that_is_down_is_found_and_named(tmp_path: Path, breach: Breach) -> None:
    code, report, told = drilled(tmp_path, breach, planted=True)
    (row,) = report["rows"]
    verdicts = {cell["zone"]: cell["verdict"] for cell in row["cells"]}
    assert row["injected"] is not False, row
    assert verdicts[breach.hurt] == "breach", (verdicts, row)
    assert code in (1, 4), told
    assert breach.hurt in report["verdict"], told
    assert breach.hurt in told


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: breach.file.removesuffix(".py"))
def test_with_the_wall_up_again_the_same_drill_is_green(tmp_path: Path, breach: Breach) -> None:
    code, report, told = drilled(tmp_path, breach, planted=False)
    assert code == 0, (report["verdict"], told)
    assert report["score"]["breaches"] == 0
