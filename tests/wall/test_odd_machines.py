"""Machines that lack something: one clear error, or the documented weaker mode, said aloud.

What a machine lacks is taken away from a program of its own: by a mount namespace, or by a filter
of system calls, both of which its workers inherit.
"""

from __future__ import annotations

import errno
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

import firedoor as fd
from wall import probing
from wall.watching import numbers, run_script

UNSHARE = ("unshare", "--mount", "--propagation", "private", "--")


def can_mount() -> bool:
    """Return whether this user may mount in a namespace of its own."""
    if shutil.which("unshare") is None:
        return False
    probe = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


mounting = pytest.mark.skipif(not can_mount(), reason="this user may not mount in a namespace")


def mounted(folder: Path | str, options: str) -> tuple[str, ...]:
    """Return a command that mounts an odd file system on a folder before it runs another."""
    line = f'mount -t tmpfs -o {options} none {folder} && exec "$0" "$@"'
    return (*UNSHARE, "sh", "-c", line)


ORDINARY = """
import firedoor as fd
from wall import probing
from wall.watching import numbers
with fd.Wall(probing.double, timeout_s=30) as wall:
    outcome = wall(numbers(100))
    report = wall.report()
assert outcome.good["doubled"].to_list() == list(range(0, 200, 2))
assert len(outcome.dead) == 0
"""


# ------------------------------------------------------------------------------ scratch folders


def test_without_a_folder_for_scratch_nothing_starts_and_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with (
        fd.Wall(probing.double, preload=["colorsys"]) as wall,  # with a fork server of its own
        pytest.raises(fd.WorkersUnavailable, match="no scratch folder can be made") as caught,
    ):
        wall(numbers(1))
    assert str(tmp_path / "absent") in str(caught.value)
    assert "TMPDIR" in str(caught.value)
    assert wall.processes() == {"server": [], "workers": []}


def test_a_wall_recovers_when_the_folder_for_scratch_is_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    with fd.Wall(probing.double, preload=["colorsys"]) as wall:
        with pytest.raises(fd.WorkersUnavailable):
            wall(numbers(1))
        (tmp_path / "scratch").mkdir()
        assert wall(numbers(1)).good.height == 1


def test_a_tmpdir_that_is_absent_is_passed_over_as_python_does(tmp_path: Path) -> None:
    assert run_script(ORDINARY, env={"TMPDIR": str(tmp_path / "absent")}) == []


@mounting
def test_a_tmpdir_that_cannot_be_written_is_passed_over_as_python_does(tmp_path: Path) -> None:
    assert run_script(ORDINARY, *mounted(tmp_path, "ro"), env={"TMPDIR": str(tmp_path)}) == []


def test_a_machine_on_which_nothing_can_be_written_gets_one_clear_error() -> None:
    (said,) = run_script(
        """
        import resource
        import firedoor as fd
        from wall import probing
        from wall.watching import numbers
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # so that no folder is good enough
        with fd.Wall(probing.double) as wall:
            try:
                wall(numbers(1))
            except fd.WorkersUnavailable as error:
                print(error)
        """
    )
    assert "no scratch folder can be made" in said
    assert "TMPDIR" in said


@mounting
def test_a_full_scratch_disk_is_one_clear_error_and_the_wall_recovers(tmp_path: Path) -> None:
    *said, came = run_script(
        """
        import os, subprocess
        import firedoor as fd
        from wall import probing
        from wall.watching import numbers
        # Room for the fork server's folder, and not for a worker's in it.
        with fd.Wall(probing.double) as wall:
            for _ in range(2):
                try:
                    wall(numbers(1))
                except fd.WorkersUnavailable as error:
                    print(error)
            folder = os.environ["TMPDIR"]
            subprocess.run(["mount", "-o", "remount,nr_inodes=100", folder], check=True)
            print(wall(numbers(1, first=21)).good["doubled"].to_list())
        """,
        *mounted(tmp_path, "size=1m,nr_inodes=2"),
        env={"TMPDIR": str(tmp_path)},
    )
    assert came == "[42]"
    assert len(said) == 2
    for text in said:
        assert text.startswith("no worker can be started: [Errno 28] No space left on device")
        assert "TMPDIR" in text


@mounting
def test_a_step_that_fills_the_scratch_disk_harms_nobody_else(tmp_path: Path) -> None:
    said = run_script(
        """
        import polars as pl
        import firedoor as fd
        from wall import probing
        frame = pl.DataFrame({"what": "scratch", "where": ["a", "b" * 2**21]})
        with fd.Wall(probing.try_each, timeout_s=30) as wall:
            print(wall(frame).good["came"][1])
            frame = pl.DataFrame({"what": ["variable"], "where": ["PATH"]})
            print(wall(frame).good["came"][0][:4])
            print(wall.report().dead)
        """,
        *mounted(tmp_path, "size=1m"),
        env={"TMPDIR": str(tmp_path)},
    )
    assert said == ["denied: OSError", "done", "0"]


# --------------------------------------------------------------------- what the kernel may lack

DENY_LANDLOCK = """
import ctypes, struct
class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))
# Make landlock_create_ruleset (444 on every architecture) answer as a kernel without it does.
code = b"".join(struct.pack("HBBI", *line) for line in (
    (0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x0005_0000 | 38), (0x06, 0, 0, 0x7FFF_0000)
))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(4, code)), 0, 0) == 0
"""


@pytest.mark.skipif(platform.system() != "Linux", reason="the filter is Linux's")
def test_without_landlock_the_wall_works_and_says_that_the_seal_is_advisory() -> None:
    said = run_script(
        DENY_LANDLOCK
        + ORDINARY
        + """
from firedoor.compute import seal
assert seal.supported() == 0
print(report.seal_level)
print(dict(report.seal_missing)["files"])
print(str(report))
"""
    )
    assert said[0] == "advisory"
    assert "no Landlock in this kernel" in said[1]
    assert any("seal      advisory (" in line and "not files" in line for line in said[2:])


@pytest.mark.skipif(platform.system() != "Linux", reason="the filter is Linux's")
def test_without_landlock_rows_are_isolated_all_the_same() -> None:
    said = run_script(
        DENY_LANDLOCK
        + """
import firedoor as fd
from wall import steps
kinds = [0] * 50 + [steps.SEGFAULTS] + [0] * 50
with fd.Wall(steps.double, timeout_s=30) as wall:
    good, dead = wall(steps.rows(kinds))
print(good.height, dead.reasons["row"].to_list(), dead.reasons["code"].to_list())
"""
    )
    assert said == ["100 [50] ['crash']"]


@mounting
def test_a_wall_needs_no_shared_memory_folder() -> None:
    said = run_script(
        ORDINARY
        + """
try:
    open("/dev/shm/firedoor-test", "w")
except OSError as error:
    print(type(error).__name__, error.errno)
""",
        *mounted("/dev/shm", "ro"),  # noqa: S108 - it is mounted over
    )
    assert said == [f"OSError {errno.EROFS}"]  # the folder was really out of reach
