"""Models of a project: what is added is whole and registered, what is barred stays away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firedoor as fd
from adapters.files.bundles import make_folder, run_killed
from firedoor.adapters.clock import SystemClock
from firedoor.compose.models import Models
from firedoor.registry.model import Version
from firedoor.registry.retention import Retention
from pipelines.disks import Limited, small_disk

NOW = Retention(keep_s=0, keep_newest=0)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path, by="ann")


def add(models: Models, tmp_path: Path, text: str, **more: Any) -> Version:
    folder = make_folder(tmp_path / "model", weights=text.encode())
    return models.add("flights", folder, **more)


def live(models: Models, tmp_path: Path, *texts: str) -> None:
    """Have versions with these texts go live, one after another."""
    for text in texts:
        version = add(models, tmp_path, text)
        models.qualify(f"flights@{version.number}", "promote", because="auc 0.72")
        models.promote("flights")


def files_of(tmp_path: Path) -> list[Path]:
    store = tmp_path / ".firedoor" / "models" / "artifacts" / "files"
    return sorted(store.iterdir())


def test_a_model_is_added_qualified_promoted_and_read(models: Models, tmp_path: Path) -> None:
    version = add(
        models, tmp_path, "one", inputs={"distance": "Int64"}, outputs={"late": "Float64"},
        example="weights", environment={"numpy": "2.4"}, run="run-1", metrics={"auc": 0.7},
    )  # fmt: skip
    assert (version.number, version.state, version.run) == (1, "candidate", "run-1")
    qualified = models.qualify("flights@1", "promote", because="auc", metrics={"ece": 0.01})
    assert qualified.metrics == {"auc": 0.7, "ece": 0.01}
    assert models.promote("flights@1").state == "live"
    manifest = models.get("flights", tmp_path / "out")
    assert manifest == models.manifest("flights@champion") == models.verify("flights@1")
    assert manifest.signature.inputs[0].dtype == "Int64"
    assert (tmp_path / "out" / "weights").read_bytes() == b"one"
    assert [(entry.what, entry.by) for entry in models.history("flights")] == [
        ("registered", "ann"), ("qualified", "ann"), ("promoted", "ann"),
    ]  # fmt: skip


def test_a_rollback_works_though_the_bundle_of_the_current_version_is_gone(
    models: Models, tmp_path: Path
) -> None:
    live(models, tmp_path, "one", "two")
    for path in files_of(tmp_path):
        if path.read_bytes() == b"two":
            path.unlink()
    with pytest.raises(fd.BundleDamaged, match="weights of bundle"):
        models.get("flights", tmp_path / "out")
    assert models.rollback("flights", because="it does not load").number == 1
    models.get("flights", tmp_path / "out")
    assert models.history("flights")[-1].because == "it does not load"


def test_a_damaged_bundle_is_not_promoted(models: Models, tmp_path: Path) -> None:
    add(models, tmp_path, "one")
    models.qualify("flights@1", "promote", because="auc")
    (content,) = files_of(tmp_path)
    content.chmod(0o600)
    content.write_bytes(b"two")
    with pytest.raises(fd.BundleDamaged):
        models.promote("flights@1")
    assert models.read("flights").state.champion is None


def test_files_that_were_quarantined_do_not_come_back_by_being_added_again(
    models: Models, tmp_path: Path
) -> None:
    live(models, tmp_path, "good", "bad")
    state = models.quarantine("flights@2", because="it scores everybody late")
    assert state.champion == 1
    with pytest.raises(fd.ModelRefused, match=r"is quarantined \(it scores everybody late\)"):
        add(models, tmp_path, "bad", run="another run", environment={"numpy": "3"})
    released = models.release("flights@2", because="the labels were wrong")
    assert released.versions[1].state == "candidate"
    assert add(models, tmp_path, "bad").number == 2


def test_a_quarantined_content_is_released_by_name_when_its_version_is_gone(
    models: Models, tmp_path: Path
) -> None:
    version = add(models, tmp_path, "bad")
    models.qualify("flights@1", "reject", because="auc 0.5")
    models.prune(NOW)
    assert not models.read("flights").state.versions
    models.release(f"flights@{version.content}", because="the rows were wrong")
    assert add(models, tmp_path, "bad").number == 2


def test_figures_of_numpy_are_kept_as_plain_ones(models: Models, tmp_path: Path) -> None:
    figures = {"auc": np.float64(0.75), "ece": np.float32(0.5), "rows": np.int64(7)}
    add(models, tmp_path, "one", metrics=figures)
    models.qualify("flights@1", "hold", because="few rows", metrics={"ece": np.float32(0.25)})
    (version,) = models.read("flights").state.versions
    assert version.metrics == {"auc": 0.75, "ece": 0.25, "rows": 7.0}


def test_what_is_made_for_models_is_their_owner_s_alone(models: Models, tmp_path: Path) -> None:
    add(models, tmp_path, "one")
    for path in (tmp_path / ".firedoor", *(tmp_path / ".firedoor").rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_adding_the_same_again_is_the_same_version(models: Models, tmp_path: Path) -> None:
    first = add(models, tmp_path, "one", run="run-1")
    assert add(models, tmp_path, "one", run="run-1, tried again") == first


def test_retired_versions_wait_and_rollback_of_another_than_the_champion_is_refused(
    models: Models, tmp_path: Path
) -> None:
    live(models, tmp_path, "one", "two")
    third = add(models, tmp_path, "three")
    assert models.retire(f"flights@{third.number}", because="a typo").state == "retired"
    assert models.rollback("flights@2").number == 1
    with pytest.raises(fd.ModelRefused, match="version 2 is not the champion"):
        models.rollback("flights@2")


# ---- pruning


def test_pruning_takes_what_is_old_and_leaves_what_aliases_need(tmp_path: Path) -> None:
    models = Models(tmp_path)
    live(models, tmp_path, "one", "two", "three")
    base = models.find("flights@1")[1]
    add(models, tmp_path, "four", lineage=(base.digest,))
    models.qualify("flights@4", "promote", because="auc")
    add(models, tmp_path, "five")
    assert models.prune(dry_run=True).versions == {}
    later = Models(tmp_path, clock=Later())
    assert later.prune(dry_run=True).versions == {}, "it is among the newest ten"
    assert later.prune(NOW, dry_run=True).versions == {"flights": (5,)}
    assert len(models.read("flights").state.versions) == 5
    report = later.prune(NOW)
    assert report.versions == {"flights": (5,)}
    assert len(report.bundles) == report.swept.files == 1
    assert {path.read_bytes() for path in files_of(tmp_path)} == {
        b"one", b"two", b"three", b"four",
    }  # fmt: skip
    assert later.history("flights")[-1].pruned == (5,)
    assert later.prune(NOW).versions == {}


class Later(SystemClock):
    """A clock of many years from now: the disk's times are real ones."""

    def utc_s(self) -> float:
        return 4e9


def test_a_bundle_that_no_version_refers_to_stays_for_a_day(models: Models, tmp_path: Path) -> None:
    live(models, tmp_path, "one")
    add(models, tmp_path, "two")
    models.qualify("flights@2", "reject", because="auc 0.5")
    with pytest.raises(fd.ModelRefused):
        add(models, tmp_path, "two", run="another")
    assert models.prune().bundles == ()
    assert len(Models(tmp_path, clock=Later()).prune(Retention(keep_newest=9)).bundles) == 1
    models.verify("flights@2")


# ---- bad input


@pytest.mark.parametrize(
    ("attempt", "says"),
    [
        (lambda m, f: m.add("Flights", f), "use a small letter"),
        (lambda m, f: m.add("flights", f, metrics={"auc": float("nan")}), "is no number"),
        (lambda m, f: m.add("flights", f, lineage=("abc",)), "is no digest"),
        (lambda m, f: m.add("flights", f, format="exe"), "write one of files"),
        (lambda m, f: m.add("flights", f, inputs={"a": "Int64["}), "is not a name, a dtype"),
        (lambda m, f: m.add("flights", f / "nothing"), "cannot be read: No such file"),
        (lambda m, f: m.add("flights", f, example="none"), "is no file of the bundle"),
        (lambda m, _: m.qualify("flights@1", "good", because="x"), "write one of promote"),
        (lambda m, _: m.qualify("flights@1", "promote", because=" "), "is empty"),
        (lambda m, _: m.quarantine("flights@1", because=""), "is empty"),
        (lambda m, _: m.quarantine("flights", because="x"), "write flights@3, for example"),
        (lambda m, _: m.promote("flights@1", because="two\nlines"), "is not a line of text"),
        (lambda m, f: m.add("flights", f, metrics={"auc": "0.7"}), "is no number"),
        (lambda m, f: m.add("flights", f, metrics={"auc": True}), "is no number"),
        (lambda m, _: m.history("flights", 0), "give 1 to 10000"),
        (lambda *_: Models(".", by="\0"), "is not a line of text"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    models: Models, tmp_path: Path, attempt: Callable[[Models, Path], object], says: str
) -> None:
    add(models, tmp_path, "one")
    models.qualify("flights@1", "promote", because="auc")
    before = models.read("flights")
    folder = make_folder(tmp_path / "other", weights=b"other")
    with pytest.raises(fd.DeclarationError) as refused:
        attempt(models, folder)
    assert says in str(refused.value)
    assert models.read("flights") == before
    assert len(files_of(tmp_path)) == 1


def test_a_model_that_is_not_there_is_told(models: Models, tmp_path: Path) -> None:
    with pytest.raises(fd.ModelsUnavailable, match="was never used, or its disk is not mounted"):
        models.names()
    assert list(tmp_path.iterdir()) == []
    add(models, tmp_path, "one")
    with pytest.raises(fd.NotKnown, match="there is no model 'delays': there are flights"):
        models.rollback("delays")
    with pytest.raises(fd.NotKnown, match="there is no champion"):
        models.get("flights", tmp_path / "out")
    with pytest.raises(fd.NotKnown, match="there is no challenger"):
        models.promote("flights")


def test_a_full_disk_while_a_model_is_added_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "2m") as disk:
        models = Models(tmp_path / "small")
        models.add("flights", make_folder(tmp_path / "m", weights=b"one"))
        large = make_folder(tmp_path / "large", weights=bytes(4 * 2**20))
        if isinstance(disk, Limited):
            with disk.full(os.getpid(), 2**20), pytest.raises(fd.ArtifactsFull):
                models.add("flights", large)
        else:
            with pytest.raises(fd.ArtifactsFull, match="run `firedoor models prune`"):
                models.add("flights", large)
        assert len(files_of(tmp_path / "small")) == 1
        assert len(models.read("flights").state.versions) == 1


# ---- kills, and others at work

SET_UP = "import firedoor as fd\nfrom firedoor.compose.models import Models\n"


def test_a_kill_at_any_point_of_adding_a_model_leaves_a_whole_version_or_none(
    models: Models, tmp_path: Path
) -> None:
    live(models, tmp_path, "one")
    folder = make_folder(tmp_path / "new", weights=b"two", notes=b"text")
    work = f"Models({str(tmp_path)!r}).add('flights', {str(folder)!r})"
    point, seen = 0, set()
    while run_killed(SET_UP, work, 3 * point + 1):
        point += 1
        versions = models.read("flights").state.versions
        seen.add(len(versions))
        for version in versions:
            models.verify(f"flights@{version.number}")
        assert models.find("flights")[1].number == 1
    assert seen == {1, 2}
    models.verify("flights@2")


def test_one_of_two_processes_that_promote_at_once_wins_and_the_other_is_told(
    models: Models, tmp_path: Path
) -> None:
    for text in ("one", "two"):
        version = add(models, tmp_path, text)
        models.qualify(f"flights@{version.number}", "promote", because="auc")
    code = (
        f"{SET_UP}import sys\nmodels = Models({str(tmp_path)!r}, by=sys.argv[1])\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try:\n    models.promote('flights@' + sys.argv[1]); print('won')\n"
        "except fd.Refused as error:\n    print(type(error).__name__, error)\n"
    )
    command = [sys.executable, "-c", code]
    both = [
        subprocess.Popen([*command, number], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for number in ("1", "2")
    ]
    for process in both:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
    for process in both:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].decode() for process in both]
    champion = models.read("flights").state.champion
    assert champion in {1, 2}
    assert said[champion - 1] == "won\n"
    loser = said[2 - champion]
    assert loser.startswith(("ChangedMeanwhile", "ModelRefused version")), loser
    assert "nothing was changed by this" in loser.casefold() or "was qualified against" in loser


def test_what_does_not_depend_on_others_is_done_though_they_are_at_work(
    models: Models, tmp_path: Path
) -> None:
    live(models, tmp_path, "one")
    code = (
        f"{SET_UP}import sys\nfrom pathlib import Path\nmodels = Models({str(tmp_path)!r})\n"
        "for number in range(8):\n"
        "    folder = Path(sys.argv[1]); folder.mkdir(exist_ok=True)\n"
        "    (folder / 'w').write_text(f'{sys.argv[1]} {number}')\n"
        "    models.add('flights', folder)\n"
    )
    adders = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / name)]) for name in "abc"
    ]
    assert [process.wait(timeout=60) for process in adders] == [0, 0, 0]
    state = models.read("flights").state
    assert [version.number for version in state.versions] == list(range(1, 26))
    assert state.champion == 1
