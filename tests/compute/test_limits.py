"""Limits, in real processes: what a worker takes on, and what the wall sees of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firedoor.compute import limits

SOURCE = str(Path(limits.__file__).parents[2])
linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux counts and limits this")

LIMITED = """
import os, sys
sys.path.insert(0, {source!r})
from firedoor.compute import limits
limits.apply(limits.Limits(memory_bytes={memory}, files_max=64, processes_max=8))
{body}
"""


def run_limited(body: str, *, memory: int = 256 * 2**20) -> subprocess.CompletedProcess[str]:
    """Run some lines under limits."""
    script = LIMITED.format(source=SOURCE, memory=memory, body=body)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def running(script: str) -> Iterator[subprocess.Popen[str]]:
    """Start a script that prints a line when it is ready, and end it and its group."""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def used(process: subprocess.Popen[str]) -> limits.Usage:
    """Return what a process uses."""
    usage = limits.usage(process.pid)
    assert usage is not None
    return usage


@linux
def test_a_sudden_huge_allocation_is_refused_before_it_is_used() -> None:
    done = run_limited("bytearray(2**30)")
    assert "MemoryError" in done.stderr
    assert limits.looks_like_memory(done.stderr)


@linux
def test_polars_aborts_for_want_of_memory_and_this_is_recognised() -> None:
    done = run_limited("import polars as pl; pl.zeros(2**28, dtype=pl.Int64, eager=True)")
    assert done.returncode == -signal.SIGABRT
    assert limits.looks_like_memory(done.stderr)


@linux
def test_a_step_that_uses_nine_tenths_of_its_memory_is_not_stopped() -> None:
    body = """
import polars as pl
frame = pl.select(a=pl.int_range(0, 24 * 2**20, dtype=pl.Int64))
frame = frame.with_columns(a=pl.col("a").reverse())
assert frame["a"][0] == 24 * 2**20 - 1
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")))
"""
    done = run_limited(body, memory=480 * 2**20)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 > 0.85 * 480 * 2**20


@linux
def test_a_worker_can_live_in_the_least_memory() -> None:
    body = """
import dataframely as dy
import polars as pl
class Rows(dy.Schema):
    a = dy.Int64(min=0)
frame = pl.DataFrame({"a": range(10_000)})
assert len(Rows.filter(frame)[0]) == 10_000
assert frame.join(frame, on="a").sort("a").group_by(pl.col("a") % 7).len().height == 7
print(limits.usage(os.getpid()).rss_bytes)
"""
    done = run_limited(body, memory=limits.MEMORY_MIN_BYTES)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < limits.MEMORY_MIN_BYTES


def test_more_files_than_allowed_cannot_be_opened() -> None:
    done = run_limited("files = [open(os.devnull) for _ in range(64)]")
    assert "Too many open files" in done.stderr


def test_a_file_larger_than_four_times_the_memory_cannot_be_written(tmp_path: Path) -> None:
    body = f"os.truncate(os.open({str(tmp_path / 'f')!r}, os.O_CREAT | os.O_RDWR), 2**30 + 1)"
    assert "File too large" in run_limited(body, memory=2**28).stderr
    assert run_limited(body, memory=2**28 + 1).returncode == 0


def test_no_core_is_dumped() -> None:
    body = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))"
    assert run_limited(body).stdout.strip() == "(0, 0)"


@linux
def test_the_kernel_takes_a_worker_first() -> None:
    body = "print(open('/proc/self/oom_score_adj').read())"
    assert run_limited(body).stdout.strip() == "1000"


def test_a_stricter_limit_stays() -> None:
    script = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))\n"
    script += LIMITED.format(
        source=SOURCE, memory=2**28, body="print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().strip() == "(32, 32)"


def test_memory_in_use_is_seen() -> None:
    with running("print('ready', flush=True); input()") as small:
        least = used(small).rss_bytes
    with running("b = bytes(1) * 2**26; print('ready', flush=True); input()") as process:
        # Two fresh interpreters differ by some pages.
        assert least + 2**26 - 2**20 <= used(process).rss_bytes < least + 2**26 + 2**24


@linux
def test_shared_memory_is_counted_and_a_mapped_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 2**26)
    opened = f"os.open({str(tmp_path / 'file')!r}, os.O_RDONLY)"
    mapped = f"m = mmap.mmap({opened}, 0, prot=mmap.PROT_READ); sum(m[::4096])"
    shared = "m = mmap.mmap(-1, 2**26); m.write(bytes(2**26))"
    ready = "print('ready', flush=True); input()"
    with running(f"import mmap, os; {shared}; {ready}") as process:
        assert used(process).rss_bytes > 2**26
    with running(f"import mmap, os; {mapped}; {ready}") as process:
        assert used(process).rss_bytes < 2**25


def test_what_a_child_uses_is_counted() -> None:
    child = "b = bytes(1) * 2**26; print('ready', flush=True); input()"
    script = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdin=subprocess.PIPE)
input()
"""
    with running(script) as process:
        usage = used(process)
    assert usage.processes == 2
    assert usage.rss_bytes > 2**26


@linux
def test_pages_shared_with_forked_children_are_not_counted_for_each() -> None:
    script = """
import os
held = bytes(1) * 2**26
for _ in range(4):
    if os.fork() == 0:
        os.read(0, 1)
        os._exit(0)
print("ready", flush=True)
os.read(0, 1)
"""
    with running(script) as process:
        usage = used(process)
    assert usage.processes == 5
    assert usage.rss_bytes < 3 * 2**26


@linux
def test_what_a_child_leaves_behind_is_still_counted() -> None:
    script = f"""
import os, sys
sys.path.insert(0, {SOURCE!r})
from firedoor.compute import limits
limits.apply(limits.Limits(memory_bytes=2**28, files_max=64, processes_max=8))
child = os.fork()
if child == 0:
    if os.fork() == 0:
        os.setsid()
        os.read(0, 1)
    os._exit(0)
os.waitpid(child, 0)
print("ready", flush=True)
os.read(0, 1)
"""
    with running(script) as process:
        assert used(process).processes == 2
        (orphan,) = limits.descendants(process.pid)
        os.kill(orphan, signal.SIGKILL)


@linux
def test_a_child_that_has_ended_is_not_counted() -> None:
    script = """
import os
child = os.fork()
if child == 0:
    os._exit(0)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print("ready", flush=True)
os.read(0, 1)
"""
    with running(script) as process:
        assert len(limits.descendants(process.pid)) == 1
        assert used(process).processes == 1


def test_a_process_that_has_gone_uses_nothing() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        if sys.platform == "linux":
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert limits.usage(process.pid) is None
        process.wait()
        assert limits.usage(process.pid) is None


def test_psutil_and_proc_agree_on_a_process_with_a_child() -> None:
    child = "print('ready', flush=True); input()"
    script = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=False)"
    )
    with running(script) as process:
        by_psutil = limits._usage_by_psutil(process.pid)
        assert by_psutil is not None
        assert used(process).processes == by_psutil.processes == 2
        assert used(process).rss_bytes <= by_psutil.rss_bytes


@linux
def test_the_backstop_leaves_room_above_what_the_user_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Path("/proc/self/task").stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    nobody = limits.tasks_backstop(4)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert nobody is not None
    assert nobody >= 1024 + 4 * 16
    assert limits.tasks_backstop(4) is None


def test_the_space_of_a_scratch_folder_is_the_sum_of_its_files(tmp_path: Path) -> None:
    empty = limits.folder_bytes(str(tmp_path))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 2**20)
    (tmp_path / "two").write_bytes(b"x" * 2**20)
    (tmp_path / "up").symlink_to(tmp_path.parent)
    assert empty == 0
    assert 2**21 <= limits.folder_bytes(str(tmp_path)) < 2**21 + 2**15
    assert limits.folder_bytes(str(tmp_path / "none")) == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("memory allocation of 8589934592 bytes failed", True),
        ("terminate called after throwing an instance of 'std::bad_alloc'", True),
        ("OSError: [Errno 12] Cannot allocate memory", True),
        ("thread 'polars-3' panicked at index out of bounds", False),
        ("Fatal Python error: Segmentation fault", False),
        ("", False),
    ],
)
def test_last_words_about_memory_are_told_from_others(words: str, expected: bool) -> None:  # noqa: FBT001
    assert limits.looks_like_memory(words) is expected
