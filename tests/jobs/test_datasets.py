"""Snapshots: taken once, parted once, the same for the same content, refused where they leak."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import polars as pl
import pytest

from firedoor.adapters.clock import SystemClock
from firedoor.compose.datasets import IDLE_S, KEPT_SNAPSHOTS, Datasets
from firedoor.compose.runs import Runs
from firedoor.errors import NotKnown, ProjectBusy, SnapshotDamaged, StoreRefused
from firedoor.spec.dataset_plan import LeakPlan
from firedoor.spec.plan import Plan
from firedoor.wire.dataset import SnapshotRecord
from firedoor.wire.run import RunRecord
from jobs.kept_rows import SPRING, SUMMER, frame_of, run_one, settle, write

CLOCK = SystemClock()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plan(place: Path) -> Plan:
    return settle(place)


def take(plan: Plan, place: Path, name: str = "delays") -> SnapshotRecord:
    return Datasets(place).take(plan, plan.dataset(name), clock=CLOCK)


def left(place: Path) -> list[str]:
    """Return what is in the folder of snapshots."""
    return sorted(path.name for path in (place / ".firedoor" / "datasets").iterdir())


def test_a_snapshot_says_what_it_holds_and_where_it_came_from(plan: Plan, place: Path) -> None:
    record = take(plan, place)
    assert (record.rows, [(part.name, part.rows) for part in record.parts]) == (
        60,
        [("train", 40), ("test", 20)],
    )
    assert record.sealed == ("test",)
    assert [file.name for file in record.files] == ["rows-000001.parquet", "rows-000002.parquet"]
    told = record.provenance
    assert (told.batches, told.first, told.last) == (2, "rows-000001", "rows-000002")
    assert told.unknown == 0
    assert record.span is not None
    assert (record.span.column, record.span.first) == ("at", "2013-03-01T00:00:00+00:00")
    assert record.columns["late"] == "Boolean"
    assert record.split.startswith("by time at until: train 2013-06-01T00:00:00+00:00, test from")
    assert record.compared == "keys flight"
    assert Datasets(place).every() == [record]
    assert Datasets(place).verify(record.id) == record


def test_sealed_parts_hold_inputs_and_labels_apart_in_one_order(plan: Plan, place: Path) -> None:
    record = take(plan, place)
    folder = Datasets(place).folder(record.id)
    assert [path.name for path in (folder / "open").iterdir()] == ["train"]
    inputs = pl.read_parquet(folder / "sealed" / "test" / "inputs" / "rows.parquet")
    labels = pl.read_parquet(folder / "sealed" / "test" / "labels" / "rows.parquet")
    expected = frame_of(100, 20, SUMMER)
    assert inputs.equals(expected.drop("late"))
    assert labels.equals(expected.select("late"))


def test_rows_without_a_label_are_in_no_part_and_counted(plan: Plan, place: Path) -> None:
    late = pl.when(pl.int_range(pl.len()) >= 4).then("late")
    write(place, 3, frame_of(200, 5, SUMMER).with_columns(late.alias("late")))
    record = take(plan, place)
    assert (record.rows, record.apart) == (65, 4)
    assert [(part.name, part.rows) for part in record.parts] == [("train", 40), ("test", 21)]
    labels = Datasets(place).folder(record.id) / "sealed" / "test" / "labels" / "rows.parquet"
    assert pl.read_parquet(labels)["late"].null_count() == 0


def test_the_same_content_is_the_same_snapshot_and_other_content_another(
    plan: Plan, place: Path
) -> None:
    one = take(plan, place)
    assert take(plan, place) == one
    path = write(place, 3, frame_of(200, 5, SUMMER))
    two = take(plan, place)
    assert (two.digest != one.digest, two.rows) == (True, 65)
    path.unlink()
    assert take(plan, place) == one
    assert len(left(place)) == 3  # and a lock
    moved = msgspec.structs.replace(plan.dataset("delays"), sealed=())
    other = Datasets(place).take(plan, moved, clock=CLOCK)
    assert other.digest != one.digest


def test_files_of_a_snapshot_are_read_only_and_all_of_it_is_its_owner_s_alone(
    plan: Plan, place: Path
) -> None:
    record = take(plan, place)
    folder = Datasets(place).folder(record.id)
    for path in (folder, *folder.rglob("*")):
        expected = 0o700 if path.is_dir() else 0o400
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert stat.S_IMODE((place / ".firedoor" / "datasets").stat().st_mode) == 0o700


def test_a_job_is_handed_the_open_parts_and_the_record_names_them(plan: Plan, place: Path) -> None:
    record = run_one(plan, place, "counts")
    assert (record.outcome, record.metrics) == ("done", {"train": 40, "train_late": 14})
    read = record.input
    assert read is not None
    assert (read.dataset, read.rows, read.parts) == ("delays", 60, {"train": 40, "test": 20})
    assert read.sealed == ("test",)
    assert read.snapshot == Datasets(place).every()[0].id
    assert "snapshot" in [event.what for event in Runs(place).events(record.id)]
    two = run_one(plan, place, "halves")
    assert sum(two.metrics.values()) == 60
    assert set(two.metrics) == {"one", "two"}


def test_a_sink_read_as_it_is_is_a_snapshot_of_its_files(plan: Plan, place: Path) -> None:
    record = run_one(plan, place, "plain")
    assert record.metrics == {"rows": 60, "files": 2}
    assert record.input is not None
    assert record.input.parts == {"all": 60}
    folder = Datasets(place).folder(record.input.snapshot)
    inside = folder / "open" / "rows-000001.parquet"
    sinks = place / "out" / "rows-000001.parquet"
    assert inside.stat().st_ino == sinks.stat().st_ino
    sinks.unlink()
    assert pl.read_parquet(inside).height == 40
    assert Datasets(place).verify(record.input.snapshot).rows == 60


def test_a_snapshot_of_another_disk_is_a_copy(
    plan: Plan, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", elsewhere)
    record = run_one(plan, place, "plain")
    assert record.input is not None
    inside = Datasets(place).folder(record.input.snapshot) / "open" / "rows-000001.parquet"
    sinks = place / "out" / "rows-000001.parquet"
    assert inside.read_bytes() == sinks.read_bytes()
    assert inside.stat().st_ino != sinks.stat().st_ino
    assert stat.S_IMODE(inside.stat().st_mode) == 0o400


def test_parts_that_share_keys_are_refused_by_row_and_file_and_nothing_is_left(
    plan: Plan, place: Path
) -> None:
    write(place, 3, frame_of(3, 2, SUMMER))
    with pytest.raises(StoreRefused) as refused:
        take(plan, place)
    said = str(refused.value)
    assert "2 rows of 'test' (9.09%) have the flight of rows of 'train'" in said
    assert "row 0 of rows-000003.parquet as row 3 of rows-000001.parquet" in said
    assert left(place) == ["lock"]


def test_what_may_be_shared_is_let_pass_and_told(plan: Plan, place: Path) -> None:
    policy = LeakPlan(features=("late",), near_share_max=1.0, examples=1)
    lenient = msgspec.structs.replace(plan.dataset("delays"), leakage=policy)
    record = Datasets(place).take(plan, lenient, clock=CLOCK)
    assert "20 rows of 'test' (100.00%) have near-duplicates of rows of 'train'" in record.leaks[0]
    unasked = msgspec.structs.replace(plan.dataset("delays"), leakage=None)
    assert Datasets(place).take(plan, unasked, clock=CLOCK).compared == ""


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("empty", "no row is in part test, of train 40: correct `split`"),
        ("garbage", "rows-000003.parquet is no Parquet file"),
        ("columns", "rows-000003.parquet and rows-000001.parquet have other columns"),
        ("timeless", "1 of 61 rows have no at and are in no part"),
        ("link", "rows-000003.parquet is no file of its own"),
        ("label", "there is no column 'late', the label"),
    ],
)
def test_what_cannot_be_parted_is_refused_and_nothing_is_left(
    plan: Plan, place: Path, bad: str, said: str
) -> None:
    out = place / "out"
    third = out / "rows-000003.parquet"
    match bad:
        case "empty":
            (out / "rows-000002.parquet").unlink()
        case "garbage":
            third.write_bytes(b"PAR1 no more")
        case "columns":
            write(place, 3, frame_of(300, 1, SUMMER).with_columns(gate=pl.lit("A")))
        case "timeless":
            blank = pl.lit(None, pl.Datetime("us", "UTC"))
            write(place, 3, frame_of(300, 1, SUMMER).with_columns(at=blank))
        case "link":
            third.symlink_to(out / "rows-000001.parquet")
        case _:
            for path in out.iterdir():
                pl.read_parquet(path).drop("late").write_parquet(path)
    with pytest.raises(StoreRefused) as refused:
        take(plan, place)
    assert said in str(refused.value)
    assert left(place) == ["lock"]
    assert Runs(place).every() == []


def test_nothing_written_yet_is_said(plan: Plan, place: Path) -> None:
    for path in (place / "out").iterdir():
        path.rename(path.with_name(f".{path.name}"))
    with pytest.raises(NotKnown, match=r"has written nothing into .* yet: run the pipeline first"):
        run_one(plan, place, "counts")


def test_a_snapshot_that_needs_more_memory_than_declared_says_so(plan: Plan, place: Path) -> None:
    for number in range(3, 9):
        frame = frame_of(1000 * number, 1, SUMMER)
        wide = frame.with_columns(text=pl.lit("x" * 200_000_000))
        write(place, number, wide)
    small = msgspec.structs.replace(plan.dataset("tails"), memory_bytes=256 * 2**20)
    with pytest.raises(StoreRefused, match="memory=256 MiB"):
        Datasets(place).take(plan, small, clock=CLOCK)
    assert left(place) == ["lock"]


def test_a_changed_missing_or_added_file_is_named(plan: Plan, place: Path) -> None:
    record = take(plan, place)
    kept = Datasets(place)
    folder = kept.folder(record.id)
    labels = folder / "sealed" / "test" / "labels" / "rows.parquet"
    before = labels.read_bytes()
    labels.chmod(0o600)
    labels.write_bytes(before[:-8] + b"\0" + before[-7:])
    with pytest.raises(SnapshotDamaged, match=r"sealed/test/labels/rows.parquet is not what was"):
        kept.verify(record.id)
    assert kept.verify(record.id, parts=["train"]) == record
    labels.write_bytes(before)
    assert kept.verify(record.id) == record
    (folder / "open" / "train" / "more.parquet").write_bytes(before)
    with pytest.raises(SnapshotDamaged, match=r"open/train/more.parquet does not belong to it"):
        kept.verify(record.id)
    (folder / "open" / "train" / "more.parquet").rename(folder / "open" / "train" / "rows.parquet")
    with pytest.raises(SnapshotDamaged, match=r"open/train/rows.parquet is not what was taken"):
        take(plan, place)
    kept.forget(record.id)
    assert take(plan, place).parts == record.parts
    with pytest.raises(NotKnown, match="there are train, test"):
        kept.verify(record.id, parts=["later"])


def test_a_snapshot_in_use_is_not_forgotten_and_an_unknown_one_is_named(
    plan: Plan, place: Path
) -> None:
    seen: list[str] = []

    def watch(record: RunRecord) -> None:
        if record.outcome == "running" and not seen:
            name = Datasets(place).every("tails")[0].id
            with pytest.raises(ProjectBusy, match="run halves-1 reads snapshot tails-"):
                Datasets(place).forget(name)
            seen.append(name)

    run_one(plan, place, "halves", watcher=watch)
    Datasets(place).forget(seen[0])
    assert left(place) == ["lock"]
    for name in (seen[0], "tails", "../runs"):
        with pytest.raises(NotKnown, match="see `firedoor datasets`"):
            Datasets(place).forget(name)


class Later(SystemClock):
    """A clock that is ahead."""

    ahead_s = 0.0

    def utc_s(self) -> float:
        return super().utc_s() + self.ahead_s


def test_old_snapshots_go_that_no_run_refers_to(plan: Plan, place: Path) -> None:
    clock = Later()
    first = run_one(plan, place, "halves")
    assert first.input is not None
    taken = [first.input.snapshot]
    tails = plan.dataset("tails")
    for number in range(3, 4 + KEPT_SNAPSHOTS):
        write(place, number, frame_of(1000 * number, 1, SPRING))
        clock.ahead_s += IDLE_S + 1
        taken.append(Datasets(place).take(plan, tails, clock=clock).id)
    kept = {record.id for record in Datasets(place).every()}
    assert kept == {taken[0], *taken[-KEPT_SNAPSHOTS:]}
    assert taken[1] not in kept


def test_files_that_no_sink_wrote_are_counted(plan: Plan, place: Path) -> None:
    frame_of(500, 2, SUMMER).write_parquet(place / "out" / "mine.parquet")
    (place / "out" / ".firedoor-store-rows-000003.1.tmp").write_bytes(b"half")
    (place / "out" / ".half.parquet").write_bytes(b"half")
    told = take(plan, place)
    assert (told.rows, told.provenance.batches, told.provenance.unknown) == (62, 2, 1)


def test_two_that_take_one_snapshot_at_once_have_the_same(plan: Plan, place: Path) -> None:
    with ThreadPoolExecutor(2) as both:
        one, two = both.map(lambda _: take(plan, place), range(2))
    assert one == two
    assert left(place) == [one.id, "lock"]


def test_a_full_disk_is_told_and_nothing_is_left(
    plan: Plan, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "rows.parquet")

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StoreRefused, match=r"No space left on device .*: free some space"):
        run_one(plan, place, "plain")
    assert left(place) == ["lock"]
    assert Runs(place).every() == []


@pytest.mark.parametrize("after", [0, 3])
def test_a_snapshot_that_is_given_up_leaves_nothing(plan: Plan, place: Path, after: int) -> None:
    asked = iter([False] * after)
    with pytest.raises(StoreRefused, match=r"no snapshot of delays: .*was cancelled"):
        Datasets(place).take(
            plan, plan.dataset("delays"), clock=CLOCK, cancelled=lambda: next(asked, True)
        )
    assert left(place) == ["lock"]


def test_what_a_killed_command_left_is_cleared_by_the_next(plan: Plan, place: Path) -> None:
    half = place / ".firedoor" / "datasets" / ".new-half" / "made" / "open"
    half.mkdir(parents=True)
    record = take(plan, place)
    assert left(place) == [record.id, "lock"]
