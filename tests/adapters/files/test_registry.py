"""A registry on a folder keeps every promise of the port, through kills, damage and full disks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.files.bundles import run_killed
from firedoor.adapters.files.locking import locked
from firedoor.adapters.files.registry import FileRegistry
from firedoor.errors import ArtifactsFull, FiredoorError, ModelsUnavailable
from firedoor.registry.change import Promoted, Qualified, Registered, step
from firedoor.testing.registry_conformance import CASES, Case
from firedoor.wire.models import Entry, Kept, decode_kept
from pipelines.disks import Limited, small_disk


class OnDisk:
    """A registry on a folder as the suite wants it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        FileRegistry(folder).create()

    def open(self) -> FileRegistry:
        return FileRegistry(self.folder, lock_wait_s=60.0)

    def stop(self) -> None:
        self.folder.rename(self.folder.with_name("away"))

    def start(self) -> None:
        self.folder.with_name("away").rename(self.folder)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_conforms(case: Case, tmp_path: Path) -> None:
    case.run(OnDisk(tmp_path / "registry"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A registry with a model of three qualified versions: generation 6."""
    FileRegistry(tmp_path / "registry").create()
    registry = FileRegistry(tmp_path / "registry")
    for number in (1, 2, 3):
        change(registry, Registered(digest=f"{number:064x}"))
        change(registry, Qualified(number=number, verdict="promote", because="auc"))
    return tmp_path / "registry"


def test_a_first_change_that_comes_while_a_reader_looks_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = FileRegistry(tmp_path)
    registry.create()
    looked: list[Path] = []

    def look(folder: Path) -> None:
        """Have another make the first change, once the reader has found no state."""
        looked.append(folder)
        if len(looked) == 1:
            change(FileRegistry(tmp_path), Registered(digest="1" * 64))

    monkeypatch.setattr("firedoor.adapters.files.registry.check_layout", look)
    assert registry.read("flights").generation == 1
    (tmp_path / "flights" / "state").unlink()
    with pytest.raises(ModelsUnavailable, match="not there any more"):
        registry.read("flights")


def change(registry: FileRegistry, event: Registered | Qualified | Promoted) -> None:
    found = registry.read("flights")
    generation = found.generation + 1
    entry = Entry(
        model="flights", generation=generation, what=type(event).__name__, at_s=0.0, by="ann"
    )
    state = step(found.state, event, 0.0)
    registry.swap("flights", Kept(generation=generation, state=state, latest=entry))


def generations(registry: FileRegistry) -> list[int]:
    return [entry.generation for entry in registry.history("flights", 100)]


SET_UP = """
from pathlib import Path
from firedoor.adapters.files.registry import FileRegistry
from firedoor.registry.change import Promoted, step
from firedoor.wire.models import Entry, Kept

registry = FileRegistry(Path({folder!r}))

def promote(number):
    found = registry.read("flights")
    entry = Entry(model="flights", generation=found.generation + 1, what="promoted", at_s=0.0,
                  by="process", number=number)
    state = step(found.state, Promoted(number=number, anyway=True), 0.0)
    return Kept(generation=found.generation + 1, state=state, latest=entry)
"""


def test_a_kill_at_any_point_of_a_promotion_makes_it_whole_or_not_at_all(folder: Path) -> None:
    registry = FileRegistry(folder)
    whole = points = 0
    generation, champion = 6, 0
    while run_killed(
        SET_UP.format(folder=str(folder)),
        f"registry.swap('flights', promote({champion % 3 + 1}))",
        points + 1,
    ):
        points += 1
        kept = registry.read("flights")
        assert generations(registry) == list(range(1, kept.generation + 1))
        if kept.generation > generation:
            whole, generation, champion = whole + 1, kept.generation, champion % 3 + 1
            qualified = Qualified(number=champion % 3 + 1, verdict="promote", because="auc")
            change(registry, qualified)
            generation += 1
        assert registry.read("flights").state.champion == (champion or None)
    assert 0 < whole < points
    assert points > 15
    assert not [path for path in (folder / "flights").iterdir() if path.name.startswith(".")]


def test_a_stamp_changes_with_every_change_and_with_nothing_else(folder: Path) -> None:
    registry = FileRegistry(folder)
    assert registry.stamp("nothing") is None
    stamps = [registry.stamp("flights")]
    registry.read("flights")
    assert registry.stamp("flights") == stamps[0]
    for number in (3, 2, 3, 2):
        change(registry, Qualified(number=number, verdict="promote", because="auc"))
        change(registry, Promoted(number=number, anyway=True))
        stamps.append(registry.stamp("flights"))
    assert len(set(stamps)) == 5
    assert None not in stamps


def test_of_two_processes_that_promote_at_once_one_wins_and_the_other_is_told(
    folder: Path,
) -> None:
    code = (
        f"{SET_UP.format(folder=str(folder))}\nimport sys\n"
        "kept = promote(int(sys.argv[1]))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try:\n    registry.swap('flights', kept); print('won')\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    promoters = [
        subprocess.Popen(
            [sys.executable, "-c", code, number],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in ("1", "2")
    ]  # fmt: skip
    for promoter in promoters:
        assert promoter.stdout
        assert promoter.stdout.readline() == "ready\n"
    for promoter in promoters:
        assert promoter.stdin
        promoter.stdin.write("\n")
        promoter.stdin.flush()
    said = [promoter.communicate(timeout=60)[0] for promoter in promoters]
    registry = FileRegistry(folder)
    winner = registry.read("flights").state.champion
    assert winner in {1, 2}
    assert said[winner - 1] == "won\n"
    loser = said[2 - winner]
    assert loser.startswith("ChangedMeanwhile flights was changed meanwhile: process promoted")
    assert f"promoted version {winner}" in loser
    assert registry.read("flights").generation == 7


def test_a_lock_dies_with_its_process_and_a_living_one_is_waited_for_and_told(
    folder: Path,
) -> None:
    hasty = FileRegistry(folder, lock_wait_s=0.05)
    with (
        locked(folder / "flights" / "lock", wait_s=0),
        pytest.raises(ModelsUnavailable, match="somebody has been changing flights"),
    ):
        change(hasty, Promoted(number=1, anyway=True))
    assert hasty.read("flights").generation == 6
    work = "import contextlib; from firedoor.adapters.files.locking import locked\n"
    work += f"held = locked(Path({str(folder / 'flights' / 'lock')!r}), wait_s=0)\n"
    work += "held.__enter__(); open('/dev/null'); open('/dev/null')\n"
    assert run_killed(SET_UP.format(folder=str(folder)), work, 3)
    change(hasty, Promoted(number=1, anyway=True))


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        _flip,
        lambda data: data[:-30],
        lambda _: b"",
        lambda data: data.replace(b'"version":1', b'"version":9'),
        None,
    ],
)
def test_a_damaged_state_is_told_and_the_last_good_generation_is_kept(
    folder: Path, damage: Callable[[bytes], bytes] | None
) -> None:
    state = folder / "flights" / "state"
    if damage is None:
        state.unlink()
    else:
        state.write_bytes(damage(state.read_bytes()))
    registry = FileRegistry(folder)
    for attempt in (
        lambda: registry.read("flights"),
        lambda: registry.history("flights", 1),
        lambda: registry.swap(
            "flights",
            Kept(generation=1, latest=Entry(model="f", generation=1, what="x", at_s=0, by="a")),
        ),
    ):
        with pytest.raises(ModelsUnavailable, match="generation 5 is kept") as told:
            attempt()
        assert str(state) in str(told.value)
    before = folder / "flights" / "before"
    assert decode_kept(before.read_bytes()).generation == 5
    state.write_bytes(before.read_bytes())
    assert registry.read("flights").generation == 5


def test_an_entry_that_was_cut_by_a_kill_is_written_again_and_a_damaged_one_is_named(
    folder: Path,
) -> None:
    registry = FileRegistry(folder)
    audit = folder / "flights" / "audit.jsonl"
    audit.write_bytes(audit.read_bytes()[:-7])
    assert generations(registry) == [1, 2, 3, 4, 5, 6]
    change(registry, Promoted(number=1, anyway=True))
    assert generations(registry) == [1, 2, 3, 4, 5, 6, 7]
    lines = audit.read_bytes().splitlines(keepends=True)
    assert len(lines) == 7
    audit.write_bytes(b"".join([lines[0], b"?\n", *lines[2:]]))
    with pytest.raises(ModelsUnavailable, match=r"line 2 of .*audit.jsonl is damaged"):
        generations(registry)
    assert registry.read("flights").generation == 7


def test_a_full_disk_is_told_and_changes_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "1m") as disk:
        registry = FileRegistry(tmp_path / "small" / "registry")
        registry.create()
        change(registry, Registered(digest="a" * 64))
        with disk.full(os.getpid()), pytest.raises(FiredoorError) as refused:
            change(registry, Qualified(number=1, verdict="promote", because="auc"))
        assert isinstance(refused.value, ArtifactsFull) or isinstance(disk, Limited)
        assert registry.read("flights").generation == 1
        change(registry, Qualified(number=1, verdict="promote", because="auc"))
        assert generations(registry) == [1, 2]


def test_the_registry_is_its_owner_s_alone(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
