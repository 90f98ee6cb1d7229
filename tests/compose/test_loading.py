"""A pipeline's file in a process of its own: what it declares, and each way in which it cannot."""

from __future__ import annotations

import asyncio
import io
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from firedoor.compose.inputs import missing_inputs
from firedoor.compose.loading import load_plan
from firedoor.compose.stage import build_stage
from firedoor.compute import ipc
from firedoor.errors import PipelineUnloadable
from firedoor.spec.plan import Plan, decode_plan, encode_plan
from firedoor.wire.envelope import Envelope

GOOD = '''
from __future__ import annotations

import dataframely as dy
import polars as pl

import firedoor as fd
from carriers import relabel

print("imported as", __name__)


class Trip(dy.Schema):
    distance = dy.Int64(min=1)
    tailnum = dy.String(nullable=True)


pipeline = fd.Pipeline("trips", owner="ops@example.com", dead_bytes="2GiB", retention_days=7,
    predictions_bytes="3GiB")
trips = pipeline.source(
    "trips", fd.jsonl(["data/*.jsonl", "/abs/x.jsonl"]), schema=Trip, batch_rows=500, rate=100,
    sensitive=["tailnum"],
)
fares = fd.lookup("fares", "fares.parquet", key=["distance"], refresh_s=60)


@pipeline.transform(
    reads=trips, schema=Trip, lookups={"fares": fares}, memory="512MiB", timeout_s=2,
    network=[5432], slo=fd.SLO(availability=0.99), dead_max=0.2, expands=True,
)
def price(trips: pl.DataFrame, fares: pl.DataFrame) -> pl.DataFrame:
    """Add the fare."""
    return trips.join(fares, on="distance", how="left")


pipeline.transform(reads=price, name="label")(relabel)
pipeline.sink("store", fd.parquet("out/"), reads="label")


@pipeline.sink(reads=[price, "label"])
def post(frame: pl.DataFrame, key: str) -> None:
    """Send it."""


if __name__ == "__main__":
    raise SystemExit("this is not run")
'''
MODULE = """
import polars as pl

def relabel(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(label=pl.lit("x"))
"""
PIPELINE = 'import firedoor as fd\npipeline = fd.Pipeline("trips")\n'
WHOLE = PIPELINE + (
    'rows = pipeline.source("rows", fd.jsonl("x.jsonl"))\n'
    'pipeline.sink("store", fd.parquet("out/"), reads=rows)\n'
)


def write(folder: Path, text: str, name: str = "pipeline.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan of a good file, loaded once."""
    folder = tmp_path_factory.mktemp("good")
    write(folder, MODULE, "carriers.py")
    return load_plan(write(folder, GOOD))


def unloadable(path: Path, *, timeout_s: float = 60) -> str:
    """Return why a file cannot be loaded; the message begins with the file."""
    with pytest.raises(PipelineUnloadable) as caught:
        load_plan(path, timeout_s=timeout_s)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_a_plan_says_what_the_file_declares(good: Plan) -> None:
    folder = Path(good.file).parent
    assert (good.pipeline, good.owner) == ("trips", "ops@example.com")
    assert (good.dead_bytes_max, good.retention_days) == (2 * 2**30, 7)
    assert good.predictions_bytes_max == 3 * 2**30
    assert [zone.name for zone in good.zones] == ["trips", "price", "label", "store", "post"]
    source = good.zone("trips").source
    assert source is not None
    assert source.patterns == (str(folder / "data/*.jsonl"), "/abs/x.jsonl")
    assert (source.form, source.batch_rows, source.rate) == ("jsonl", 500, 100)
    price = good.zone("price")
    assert price.doc == "Add the fare."
    assert price.wall == {
        "memory": "512MiB", "timeout_s": 2, "network": [5432], "expands": True
    }  # fmt: skip
    assert price.lookups == {"fares": "fares"}
    assert price.gate.dead_max == pytest.approx(0.2)
    assert price.slo == {"availability": 0.99}
    assert price.schema is not None
    assert price.schema.nullable == ("tailnum",)
    sink = good.zone("store").sink
    assert sink is not None
    assert (sink.form, sink.path) == ("parquet", str(folder / "out"))
    (fares,) = good.lookups
    assert (fares.path, fares.refresh_s) == (str(folder / "fares.parquet"), 60)
    assert all(zone.sensitive == ("tailnum",) for zone in good.zones)
    assert good.sys_path[0] == str(folder)


def test_batches_that_can_come_by_two_ways_say_which(good: Plan) -> None:
    assert {edge.name: (edge.by_way, edge.when_full) for edge in good.edges} == {
        "trips:price": (False, "block"),
        "price:label": (False, "detach"),
        "label:store": (False, "detach"),
        "price:post": (True, "detach"),
        "label:post": (True, "detach"),
    }


def test_a_plan_survives_as_json(good: Plan) -> None:
    assert decode_plan(encode_plan(good)) == good


def test_a_step_is_found_by_its_line(good: Plan) -> None:
    step = good.zone("price").step
    assert step is not None
    path, _, line = step.where.rpartition(":")
    assert path == good.file
    assert (
        Path(path).read_text(encoding="utf-8").splitlines()[int(line) - 1].startswith("def price")
    )


FOLLOW = """
import json, sys
from firedoor.compute.step import follow
sys.path[:0] = json.loads(sys.argv[1])
pickled, path = bytes.fromhex(sys.argv[2]), sys.argv[3] or None
step, schema, out = follow(pickled, main_path=path, main_module=None)
print(step.__module__, step.__name__, schema and schema.__name__)
"""


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("price", "__mp_main__ price Trip"),
        ("label", "carriers relabel None"),
        ("post", "__mp_main__ post None"),
    ],
)
def test_a_step_can_be_followed_by_a_fresh_process(good: Plan, zone: str, said: str) -> None:
    step = good.zone(zone).step
    assert step is not None
    command = [sys.executable, "-c", FOLLOW, json.dumps(good.sys_path[:1]), step.pickled.hex()]
    ended = subprocess.run(
        [*command, step.main_path or ""], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.splitlines()[-1] == said


def test_a_step_of_the_file_runs_behind_a_real_wall(good: Plan, tmp_path: Path) -> None:
    fares = tmp_path / "lookups" / "fares"
    fares.mkdir(parents=True)
    pl.DataFrame({"distance": [3], "fare": [9.5]}).write_parquet(fares / "v1.parquet")
    stage = build_stage(good.zone("price"), good, project=tmp_path)
    distances = [3, 4, -1, *range(5, 102)]
    frame = pl.DataFrame({"distance": distances, "tailnum": ["N1"] * 100})
    payload = b"".join(ipc.encode(frame, compress=True))
    envelope = Envelope(
        batch="trips-000001", rows=100, frame_bytes=len(payload), crc32=0, zone="trips",
        zone_version="1", cut_s=0.0, lookups={"fares": "v1"},
    )  # fmt: skip

    async def journal(cause: str, where: str) -> None:
        raise AssertionError((cause, where))

    try:
        handled = asyncio.run(stage.handle(envelope, payload, journal))
    finally:
        stage.close()

    out = ipc.decode(io.BytesIO(handled.parcel.payload[: handled.parcel.frame_bytes]))
    assert out["distance"].to_list() == [distance for distance in distances if distance > 0]
    assert out["fare"].to_list() == [9.5] + [None] * 98
    assert handled.dead is not None
    assert handled.dead.rows == 1


def test_a_version_changes_with_the_code_and_with_the_options_and_with_nothing_else(
    good: Plan, tmp_path: Path
) -> None:
    def versions(text: str, module: str, folder: str) -> dict[str, str]:
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, module, "carriers.py")
        plan = load_plan(write(tmp_path / folder, text))
        return {zone.name: zone.version for zone in plan.zones}

    before = {zone.name: zone.version for zone in good.zones}
    assert len(set(before.values())) == len(before)
    assert versions(GOOD, MODULE, "elsewhere") == before
    after = versions(GOOD, MODULE.replace('"x"', '"y"'), "module")
    assert {name for name in before if before[name] != after[name]} == {"label"}
    after = versions(GOOD.replace("dead_max=0.2", "dead_max=0.3"), MODULE, "options")
    assert before["price"] != after["price"]
    assert before["label"] == after["label"]


JOB = """
import firedoor as fd
import learning

pipeline = fd.Pipeline("late")


@pipeline.job()
def train(run: fd.Run) -> None:
    run.log_metric("found", learning.fit())
"""


def test_a_job_is_another_when_a_module_that_its_file_imports_has_changed(tmp_path: Path) -> None:
    def version(folder: str, module: str, unused: str = "") -> str:
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, module, "learning.py")
        write(tmp_path / folder, unused, "unused.py")
        return load_plan(write(tmp_path / folder, JOB)).jobs[0].version

    module = "def fit() -> float:\n    return 1.0\n"
    first = version("first", module)
    assert version("elsewhere", module, unused="x = 1") == first
    assert version("changed", module.replace("1.0", "2.0")) != first


BAD: list[tuple[str, str, str]] = [
    ("empty", "", "declares no pipeline at its top level; write pipeline = fd.Pipeline("),
    ("in a function", PIPELINE.replace("pipeline =", "def make() -> fd.Pipeline: return"),
     "write pipeline = make()"),
    ("two", WHOLE.replace("pipeline", "a") + WHOLE.replace("pipeline", "b"),
     "declares 2 pipelines (a, b); call the one to run `pipeline`"),
    ("no zones", PIPELINE, "has no zones; declare a source, and what reads it"),
    ("read by nobody", WHOLE.rsplit("pipeline.sink", 1)[0], "is read by no zone"),
    ("a wrong option", PIPELINE + "pipeline.source('rows', fd.jsonl('x'), batch_rows=0)\n",
     "pipeline.py:3: batch_rows=0: is out of range; give 1 to 1,000,000 rows"),
    ("a typo", PIPELINE + "pipeline.transform(reads='x', memroy=1)\n", "write memory="),
    ("syntax", "import firedoor\n\ndef step(frame:\n", "pipeline.py:3: is not Python: '(' was "),
    ("null bytes", "x = '\0'\n", "is not Python"),
    ("text", "# Flights\n\nThis page tells of flights.\n", "pipeline.py:3: is not Python"),
    ("a missing module", "import no_such_module\n",
     "its import fails: ModuleNotFoundError: No module named 'no_such_module'\n  "),
    ("raises", "def load():\n    raise ValueError('no table')\n\nload()\n",
     "its import fails: ValueError: no table"),
    ("recursion", "def f():\n    f()\n\nf()\n", "RecursionError"),
    ("cannot be told", "class E(Exception):\n    def __str__(self): raise KeyError\nraise E\n",
     "its import fails: E: (it cannot be printed: KeyError)"),
    ("half characters", "raise ValueError('\\ud800')\n", "ValueError: \\ud800"),
    ("exits", "import sys\nsys.exit(3)\n", "calls sys.exit(3)"),
    ("exits at once", "import os\nprint('bye', flush=True)\nos._exit(4)\n",
     "ended the process with exit code 4; take out os._exit and the like\n  | bye"),
    ("exits well", "import os\nos._exit(0)\n", "ended the process with exit code 0"),
    ("a step in a function", WHOLE + "def make():\n    def step(frame): return frame\n"
     "    return step\npipeline.transform(reads=rows, name='t')(make())\n"
     "pipeline.sink('more', fd.parquet('b/'), reads='t')\n",
     "of zone 't' is defined inside a function, which no other process can import"),
    ("too little memory", WHOLE + "@pipeline.sink(reads=rows, memory='1MiB')\n"
     "def post(frame, key): ...\n", "of zone 'post' is less than a worker needs to live"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "why"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_file_that_declares_no_pipeline_says_why_and_what_to_do(
    tmp_path: Path, text: str, why: str
) -> None:
    assert why in unloadable(write(tmp_path, text))


def test_a_failing_import_shows_the_users_frames_and_no_others(tmp_path: Path) -> None:
    write(tmp_path, "def open_table():\n    raise OSError('no table')\n", "tables.py")
    path = write(tmp_path, "import tables\n\n\ntables.open_table()\n")
    assert unloadable(path).splitlines()[1:] == [
        f"  {path}:4, in <module>: tables.open_table()",
        f"  {tmp_path / 'tables.py'}:2, in open_table: raise OSError('no table')",
    ]


def test_an_import_that_hangs_is_ended_and_its_line_told(tmp_path: Path) -> None:
    text = "import time\n\ndef load():\n    time.sleep(100)\n\nload()\n"
    said = unloadable(write(tmp_path, text), timeout_s=1.5)
    assert "did not end within 1.5 s (at line 4, in load); a pipeline's file declares" in said


def test_an_import_that_crashes_is_told_by_its_signal_and_line(tmp_path: Path) -> None:
    said = unloadable(write(tmp_path, "import ctypes\n\nctypes.string_at(1)\n"))
    assert f"by {signal.Signals.SIGSEGV.name} (at line 3, in <module>)" in said


def test_what_the_file_starts_does_not_outlive_its_loading(tmp_path: Path) -> None:
    text = (
        "import subprocess, sys\nfrom pathlib import Path\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "(Path(__file__).parent / 'pid').write_text(str(child.pid))\n"
    )
    assert load_plan(write(tmp_path, text + WHOLE)).pipeline == "trips"
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return  # gone already
    with open(process, closefd=True) as ending:  # noqa: PTH123 - a descriptor
        assert select.select([ending], [], [], 10)[0], "it still runs"


def test_what_the_file_prints_spoils_nothing(tmp_path: Path) -> None:
    noise = "import os, sys\nprint('{}' * 100_000)\nos.write(1, b'{}' * 1000)\nos.close(2)\n"
    assert load_plan(write(tmp_path, noise + WHOLE)).pipeline == "trips"


def test_no_file_a_folder_and_a_file_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    assert "there is no such file" in unloadable(tmp_path / "none.py")
    path = write(tmp_path, WHOLE)
    assert "is a folder; name a file in it: pipeline.py" in unloadable(tmp_path)
    locked = write(tmp_path, WHOLE, "locked.py")
    locked.chmod(0)
    if os.access(locked, os.R_OK):
        locked.chmod(0o600)  # root reads everything: nothing to be told
        assert load_plan(locked).file == str(locked)
    else:
        assert "cannot be read (Permission denied)" in unloadable(locked)
    (tmp_path / "loop.py").symlink_to("loop.py")
    assert "cannot be read (Too many levels" in unloadable(tmp_path / "loop.py")
    path.write_bytes(b"\xff\xfe\x00binary")
    assert "is not Python" in unloadable(path)


def test_an_interpreter_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    with pytest.raises(PipelineUnloadable, match="no process can be started"):
        load_plan(write(tmp_path, WHOLE), python="/no/such/python")


def test_a_relative_path_and_a_folder_with_the_signs_of_a_glob_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a[1]"
    folder.mkdir()
    write(folder, WHOLE.replace('"x.jsonl"', '"*.jsonl"'))
    write(folder, "{}", "x.jsonl")
    monkeypatch.chdir(folder)
    plan = load_plan(Path("pipeline.py"))
    assert plan.file == str(folder / "pipeline.py")
    assert missing_inputs(plan) == ()


def test_inputs_that_are_not_there_are_named(good: Plan) -> None:
    told = missing_inputs(good)
    assert [line.partition(" matches no file; ")[0] for line in told[:2]] == [
        f"source trips: {Path(good.file).parent}/data/*.jsonl",
        "source trips: /abs/x.jsonl",
    ]
    assert told[2].startswith("lookup fares: there is no file ")
