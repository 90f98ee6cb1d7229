"""The Parquet sink: each batch once, whole, and exactly as it came."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from firedoor.compose.sinks import ParquetSink, build_sink
from firedoor.compute import ipc
from firedoor.errors import DependencyDown, StepAtFault
from firedoor.ports.stage import Handled
from firedoor.spec.plan import Plan, SinkPlan, ZonePlan
from firedoor.wire.envelope import Envelope, checksum

FRAME = pl.DataFrame(
    {"a": [1, None, 3], "s": ["x", "é", None], "l": [[1], [], None], "n": [None, None, None]}
)
ROOM_BYTES = 128 * 2**10


def zone_of(folder: Path, name: str = "store") -> ZonePlan:
    sink = SinkPlan(form="parquet", path=str(folder))
    return ZonePlan(name=name, kind="sink", owner="me", version="1", sink=sink)


def batch_of(
    frame: pl.DataFrame = FRAME, name: str = "src-000001~r1@mid"
) -> tuple[Envelope, bytes]:
    head = b"".join(ipc.encode(frame, compress=True))
    numbers = pl.DataFrame({"row": range(frame.height)}, schema={"row": pl.UInt32})
    payload = head + b"".join(ipc.encode(numbers, compress=True))
    envelope = Envelope(
        batch=name, rows=frame.height, frame_bytes=len(head), crc32=checksum(payload), zone="mid",
        zone_version="1", cut_s=0.0,
    )  # fmt: skip
    return envelope, payload


async def journal(cause: str, where: str) -> None:
    raise AssertionError(cause, where)


def write(sink: ParquetSink, envelope: Envelope, payload: bytes) -> Handled:
    return asyncio.run(sink.handle(envelope, payload, journal))


def test_rows_are_written_exactly_as_they_came(tmp_path: Path) -> None:
    sink = ParquetSink(zone_of(tmp_path / "deep" / "out"))
    handled = write(sink, *batch_of())
    path = tmp_path / "deep" / "out" / "src-000001~r1@mid.parquet"
    assert handled.sink == str(path)
    assert (handled.parcel.rows, handled.dead, handled.dropped) == (3, None, {})
    assert pl.read_parquet(path).equals(FRAME)
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - hidden ones too
    sink.close()


def test_a_batch_that_comes_again_is_not_written_again(tmp_path: Path) -> None:
    first = ParquetSink(zone_of(tmp_path))
    path = Path(write(first, *batch_of()).sink)
    before = path.stat()
    again = ParquetSink(zone_of(tmp_path))
    assert write(again, *batch_of()).sink == str(path)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert "0 files written, 1 were there already" in again.report()


@pytest.mark.parametrize("other", ["rows", "zone", "garbage", "foreign"])
def test_a_file_of_another_run_is_never_taken_for_the_batch(tmp_path: Path, other: str) -> None:
    envelope, payload = batch_of()
    path = tmp_path / f"{envelope.batch}.parquet"
    match other:
        case "rows":
            write(ParquetSink(zone_of(tmp_path)), *batch_of(FRAME.reverse()))
        case "zone":
            write(ParquetSink(zone_of(tmp_path, "archive")), envelope, payload)
        case "garbage":
            path.write_bytes(b"PAR1")
        case _:
            FRAME.write_parquet(path)
    before = path.read_bytes()
    with pytest.raises(StepAtFault, match=r"is there already, and it .*another folder") as caught:
        write(ParquetSink(zone_of(tmp_path)), envelope, payload)
    assert caught.value.code == "sink_occupied"
    assert path.read_bytes() == before


def test_what_killed_runs_left_half_written_is_removed_at_start(tmp_path: Path) -> None:
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True, text=True, check=True, timeout=60)  # fmt: skip
    gone = int(child.stdout)
    left = tmp_path / f".firedoor-store-src-000001.{gone}.tmp"
    others = [
        tmp_path / f".firedoor-archive-src-000001.{gone}.tmp",
        tmp_path / f".firedoor-store-src-000001.{os.getppid()}.tmp",
        tmp_path / "mine.tmp",
    ]
    for file in (left, *others):
        file.write_bytes(b"half")
    ParquetSink(zone_of(tmp_path))
    assert not left.exists()
    assert all(file.exists() for file in others)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 KiB."""
    libc = ctypes.CDLL(None, use_errno=True)
    disk = tmp_path / "disk"
    disk.mkdir()
    options = f"size={ROOM_BYTES}".encode()
    if libc.mount(b"tmpfs", os.fsencode(disk), b"tmpfs", 0, options):
        pytest.skip(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")
    yield disk
    libc.umount2(os.fsencode(disk), 2)


def test_a_full_disk_pauses_and_loses_nothing(small_disk: Path) -> None:
    sink = ParquetSink(zone_of(small_disk / "out"))
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (ROOM_BYTES - 16 * 2**10))
    big = pl.DataFrame({"a": [os.urandom(40).hex() for _ in range(1_000)]})
    with pytest.raises(DependencyDown, match=r"there is no room for .*what is not written waits"):
        write(sink, *batch_of(big))
    assert os.listdir(small_disk / "out") == []  # noqa: PTH208 - hidden ones too
    filler.unlink()
    assert pl.read_parquet(write(sink, *batch_of(big)).sink).equals(big)


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(StepAtFault, match="is there already"):
        ParquetSink(zone_of(tmp_path / "out"))
    with pytest.raises(StepAtFault, match="is there already"):
        ParquetSink(zone_of(tmp_path / "out" / "deeper"))


def test_a_folder_that_goes_away_is_made_again(tmp_path: Path) -> None:
    sink = ParquetSink(zone_of(tmp_path / "out"))
    (tmp_path / "out").rmdir()
    assert Path(write(sink, *batch_of()).sink).exists()


AS_NOBODY = """
import os, sys
from pathlib import Path
os.setuid(65534)
from compose.test_sinks import zone_of, batch_of, write
from firedoor.compose.sinks import ParquetSink
from firedoor.errors import StepAtFault
try:
    write(ParquetSink(zone_of(Path(sys.argv[1]))), *batch_of())
except StepAtFault as fault:
    print(fault.code, fault)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    reachable = subprocess.run(
        [sys.executable, "-c", "import os; os.setuid(65534); import firedoor, polars"],
        cwd="/", capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    if reachable.returncode:
        pytest.skip("another user cannot reach this installation")
    folder = tmp_path / "out"
    folder.mkdir(mode=0o755)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(folder)], capture_output=True, text=True,
        check=False, timeout=60, cwd="/", env={**os.environ, "PYTHONPATH": str(tests)},
    )  # fmt: skip
    assert "no_permission" in done.stdout, done.stderr
    assert "may not be written" in done.stdout


def test_a_killed_writer_leaves_no_half_file_under_the_name(tmp_path: Path) -> None:
    """Killed between any two system calls of a write, by a file size that is not allowed."""
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from compose.test_sinks import zone_of, batch_of, write\n"
        "from firedoor.compose.sinks import ParquetSink\n"
        "sink = ParquetSink(zone_of(Path(sys.argv[1])))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "write(sink, *batch_of())\n"
    )
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(tests)},
    )  # fmt: skip
    assert done.returncode < 0, done.stderr
    assert [file.suffix for file in tmp_path.iterdir()] == [".tmp"]
    zone = zone_of(tmp_path)
    plan = Plan(pipeline="p", owner="me", file="", sys_path=(), zones=(zone,), edges=())
    sink = build_sink(zone, plan)
    assert list(tmp_path.iterdir()) == []
    assert isinstance(sink, ParquetSink)
    assert pl.read_parquet(write(sink, *batch_of()).sink).equals(FRAME)
