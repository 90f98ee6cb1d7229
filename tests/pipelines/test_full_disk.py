"""A disk that is full stops the broker and nothing else; once there is room, all goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.stored import firedoor
from firedoor.adapters.nats.checks import check_store
from firedoor.compute.doctor import Finding
from pipelines.shops import GOOD, Shop, opened

DISK_MB = 100
RATE = 400


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    place = tmp_path_factory.mktemp("disk")
    size = ["-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(place)]
    if subprocess.run([mount, *size], check=False, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)  # noqa: S607


def fill(disk: Path) -> Path:
    """Take all the room that there is; return what takes it."""
    filler = disk / "filler"
    for size in (2**20, 2**12):
        with filler.open("ab", buffering=0) as file:
            while True:
                try:
                    if file.write(bytes(size)) < size:
                        break
                except OSError:
                    break
    assert shutil.disk_usage(disk).free == 0
    return filler


class Story:
    """Two runs whose broker has its store on a disk that is full twice; sinks write elsewhere.

    The first is killed while the disk is full for the second time.
    """

    def __init__(self, shop: Shop, disk: Path) -> None:
        shop.project = disk / ".firedoor"
        shop.write(GOOD, rate=RATE)
        words = ("run", "shop.py", "--project", str(disk))
        run = shop.start(*words)
        shop.until(run, lambda: shop.stored().height, "a batch is stored")
        filler = fill(disk)
        self.first = shop.await_line(run, "the broker cannot store")
        shop.until(run, lambda: self.look(disk), "status says so")
        self.doctor: tuple[Finding, ...] = asyncio.run(check_store(shop.project, None))
        filler.unlink()
        self.first += shop.await_line(run, "the broker can store again")
        before = shop.stored().height
        shop.until(run, lambda: shop.stored().height > before, "rows flow again")

        filler = fill(disk)
        self.first += shop.await_line(run, "the broker cannot store")
        self.orphans = shop.kill(run)
        self.refused = shop.call(*words)
        filler.unlink()
        shop.write(GOOD)
        self.second = shop.call(*words)
        self.shop = shop

    def look(self, disk: Path) -> bool:
        """Ask how it goes; return whether it is told that the broker is at fault."""
        self.status = firedoor(disk, "status")
        return self.status.output.startswith("the broker")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, disk: Path) -> Iterator[Story]:
    with opened(tmp_path_factory.mktemp("orders")) as shop:
        yield Story(shop, disk)


def test_nothing_is_lost_or_doubled_by_a_disk_that_was_full_and_a_kill_while_it_was(
    story: Story,
) -> None:
    assert story.orphans == []
    code, told = story.second
    assert code == 0, told
    assert "every row is accounted for" in told
    assert story.shop.every_row_once()


def test_it_is_told_once_each_time_with_why_and_what_to_do_and_mended_by_itself(
    story: Story,
) -> None:
    told = [line for line in story.first.splitlines() if line.startswith("the broker ")]
    nothing, again, nothing_again, *rest = told
    assert nothing == nothing_again
    assert rest == [], told
    for part in ("is full: ", "64 MiB needed: free some", "nothing is lost", "by itself"):
        assert part in nothing
    assert "started again (1 so far), nothing is lost" in again
    assert "restarts" not in story.first, "no zone has died of it"
    assert "Traceback" not in story.first


def test_status_says_so_first_and_shows_the_broker_as_a_failure_domain_of_its_own(
    story: Story,
) -> None:
    assert story.status.exit_code == 0, story.status.stderr
    lines = story.status.output.splitlines()
    assert lines[0].startswith("the broker cannot store (the disk of ")
    assert lines[0].endswith("zones wait, nothing is dropped")
    (row,) = [line for line in lines if line.startswith("(broker)")]
    assert "at fault" in row
    assert row.endswith("firedoor doctor --project .")
    states = [line.split()[1] for line in lines if line.startswith(("orders ", "priced "))]
    assert states
    assert not {"gone", "halted", "crash"} & set(states)


def test_doctor_says_that_no_broker_can_start_on_it_and_neither_does_a_run(story: Story) -> None:
    (found,) = [finding for finding in story.doctor if finding.topic == "store disk"]
    assert found.fatal
    assert "the broker cannot start" in found.found
    assert "free some" in found.remedy
    code, told = story.refused
    assert code == 2, told
    assert "free some" in told
    assert "Traceback" not in told
