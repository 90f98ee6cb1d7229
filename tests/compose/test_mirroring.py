"""A mirror of a project: whole, once, in order, however often it is ended, and never in the way."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from compose.tracked import Box, Killed, Told, add_model, add_run, live, mirror_of, record_of
from firedoor.adapters.files.locking import locked
from firedoor.compose import mirrored
from firedoor.compose.mirroring import Place
from firedoor.compose.runs import EVENTS_MAX, Runs
from firedoor.errors import DeclarationError, DependencyDown, NotKnown, ProjectBusy, StoreRefused
from firedoor.registry.retention import Retention
from firedoor.wire.mirror import decode_note
from firedoor.wire.run import Event
from firedoor.wire.verdict import Judgement, VerdictNote


@pytest.fixture
def told(tmp_path: Path) -> Told:
    (tmp_path / ".firedoor").mkdir()
    return Told(tmp_path)


def story(project: Path) -> None:
    """Two runs, three versions of one model, one of which no run made, and a rollback."""
    add_run(project, "train-1")
    add_run(project, "train-2", (0.5, 0.6, 0.7), outcome="failed", started_s=200.0, ended_s=260.0)
    models = add_model(project, "one", "train-1")
    live(models, "late@1")
    live(add_model(project, "two", "train-2"), "late@2")
    add_model(project, "three")
    models.rollback("late", because="scores are off")


def test_a_run_is_there_with_all_that_is_known_of_it(told: Told) -> None:
    add_run(told.project, "train-1")
    assert told.mirror().said == ["run train-1: done, 1 figure"]
    (run,) = told.box.runs
    assert (run.experiment, run.key, run.start_ms, run.status) == (
        "p/late", "train-1", 100_000, "FINISHED",
    )  # fmt: skip
    assert run.parameters == {"rounds": "20", "loss": "log"}
    assert [(one.name, one.value, one.at_ms, one.step) for one in run.figures] == [
        ("auc", 0.5, 110_000, 0), ("auc", 0.72, 111_000, 1),
    ]  # fmt: skip
    assert run.files == {"firedoor/record.json", "firedoor/events.jsonl"}
    wanted = {
        "firedoor.code": "c0de", "firedoor.dataset": "da7a", "firedoor.seed": "7",
        "mlflow.source.git.commit": "abc", "firedoor.outcome": "done",
    }  # fmt: skip
    assert wanted.items() <= run.tags.items()


def test_a_second_mirror_asks_the_server_nothing(told: Told) -> None:
    story(told.project)
    told.mirror()
    told.box.calls.clear()
    assert told.mirror().said == []
    assert told.box.calls == []


def test_a_lost_note_doubles_nothing(told: Told) -> None:
    story(told.project)
    told.mirror()
    before = msgspec.json.encode(told.box.told())
    assert "run train-1: done, 1 figure" in told.mirror(again=True).said
    assert msgspec.json.encode(told.box.told()) == before


def test_runs_that_ended_while_the_server_was_away_come_in_order(told: Told) -> None:
    told.box.fails[1] = DependencyDown("refused")
    for number in (1, 2, 3):
        add_run(told.project, f"train-{number}", started_s=100.0 * number)
    with pytest.raises(DependencyDown):
        told.mirror()
    told.mirror()
    assert [run.key for run in told.box.runs] == ["train-1", "train-2", "train-3"]
    assert all(len(run.figures) == 2 for run in told.box.runs)


def test_a_mirror_that_is_killed_at_any_call_goes_on_and_doubles_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project = tmp_path_factory.mktemp("killed")
    story(project)
    whole = Told(project)
    whole.mirror()
    assert len(whole.box.versions["p-late"]) == 3
    for moment in range(1, whole.box.moments + 1):
        (project / ".firedoor" / "mlflow").rename(tmp_path_factory.mktemp("old") / "mlflow")
        told = Told(project, Box(fails={moment: Killed()}))
        with pytest.raises(Killed):
            told.mirror()
        told.mirror()
        assert told.box.told() == whole.box.told(), f"killed at moment {moment}"
        told.box.calls.clear()
        told.mirror()
        assert told.box.calls == []


def test_a_run_at_work_is_followed_and_told_once_it_is_over(told: Told) -> None:
    add_run(told.project, "train-1", (0.5,), outcome="running", ended_s=None)
    folder = Runs(told.project).folder / "train-1"
    with ExitStack() as held, mirror_of(told.project, told.box) as mirror:
        held.enter_context(locked(folder / "lock", wait_s=0))
        assert mirror.once().said == []
        (run,) = told.box.runs
        assert ([one.value for one in run.figures], run.status) == ([0.5], "RUNNING")
        add_run(told.project, "train-1", (0.5, 0.6, 0.7), outcome="running", ended_s=None)
        mirror.once()
        assert [one.value for one in run.figures] == [0.5, 0.6, 0.7]
        add_run(told.project, "train-1", (0.5, 0.6, 0.7), metrics={"auc": 0.7})
        mirror.once()
        assert run.status == "RUNNING", "its supervisor may still write"
        held.close()
        assert mirror.once().said == ["run train-1: done, 1 figure"]
        assert (len(run.figures), run.status) == (3, "FINISHED")
    assert told.box.calls.count("run train-1") == 1


def test_aliases_and_states_follow_the_registry(told: Told) -> None:
    models = add_model(told.project, "one")
    live(models, "late@1")
    add_model(told.project, "two")
    models.qualify("late@2", "promote", because="better")
    told.mirror()
    aliases, versions = told.box.aliases["p-late"], told.box.versions["p-late"]
    assert aliases == {"champion": "1", "challenger": "2"}
    models.promote("late@2")
    told.mirror()
    assert told.box.aliases["p-late"] == {"champion": "2", "previous": "1"}
    models.quarantine("late@2", because="leaks")
    told.box.calls.clear()
    told.mirror()
    assert told.box.aliases["p-late"] == {"champion": "1"}
    assert [one.tags["firedoor.state"] for one in versions] == ["live", "quarantined"]
    assert versions[1].tags["firedoor.because"] == "leaks"
    assert told.box.calls[1] == "alias p-late champion 1", "first of all, the champion moves"


def test_who_changed_what_and_why_is_told_beside_a_model_the_latest_first(told: Told) -> None:
    models = add_model(told.project, "one")
    live(models, "late@1")
    live(add_model(told.project, "two"), "late@2")
    models.rollback("late", because="scores are off")
    told.mirror()
    lines = told.box.texts["p-late"].splitlines()
    assert lines[0].endswith(" UTC, ann: rolled back version 2 (scores are off)")
    assert lines[-1].endswith(" UTC, ann: registered version 1")
    assert len(lines) == 7
    for number in range(6):
        models.retire("late@2", because="")
        models.qualify("late@2", "hold", because=f"{number}" * 990)
    told.mirror()
    text = told.box.texts["p-late"]
    assert "5" * 100 in text, "the latest is there"
    assert 3_000 < len(text) < 5_000


def test_a_rollback_does_not_wait_for_files_that_are_sent(told: Told) -> None:
    models = add_model(told.project, "one")
    live(models, "late@1")
    live(add_model(told.project, "two"), "late@2")
    told.mirror()
    add_model(told.project, "three")
    models.rollback("late")
    told.box.calls.clear()
    told.mirror()
    calls = told.box.calls
    assert calls.index("alias p-late champion 1") < calls.index("add p-late 3")


def test_a_version_whose_bundle_is_gone_is_told_and_the_servers_numbers_may_be_others(
    told: Told,
) -> None:
    models = add_model(told.project, "one")
    add_model(told.project, "two")
    digest = models.find("late@1")[1].digest
    store = told.project / ".firedoor" / "models" / "artifacts"
    (store / "bundles" / f"{digest}.json").unlink()
    refused = told.mirror().refused
    assert "there is no bundle" in refused["late@1"]
    live(models, "late@2")
    told.mirror()
    assert told.box.aliases["p-late"] == {"champion": "1"}
    (there,) = told.box.versions["p-late"]
    assert (there.number, there.tags["ours"], there.tags["firedoor.state"]) == ("1", "2", "live")


def test_an_evaluation_is_there_with_its_verdict_and_figures_that_no_event_tells(
    told: Told,
) -> None:
    verdict = VerdictNote(judged="late@1", judgement=Judgement(word="hold", rules=()))
    add_run(told.project, "judge-1", (), job="judge", judges="late@1", verdict=verdict)
    told.mirror()
    (run,) = told.box.runs
    assert (run.tags["firedoor.judges"], run.tags["firedoor.verdict"]) == ("late@1", "hold")
    assert [(one.name, one.value, one.step) for one in run.figures] == [("auc", 0.72, 0)]


def test_no_more_is_noted_of_runs_that_were_pruned_here(told: Told) -> None:
    for number in (1, 2):
        add_run(told.project, f"train-{number}", started_s=100.0 * number)
    told.mirror()
    shutil.rmtree(Runs(told.project).folder / "train-1")
    told.mirror()
    (file,) = (told.project / ".firedoor" / "mlflow").glob("*.json")
    assert list(decode_note(file.read_bytes()).runs) == ["train-2"]
    assert [run.key for run in told.box.runs] == ["train-1", "train-2"]


def test_a_version_that_was_pruned_stays_there_and_says_so(told: Told) -> None:
    models = add_model(told.project, "one")
    live(add_model(told.project, "two"), "late@2")
    told.mirror()
    models.prune(Retention(keep_s=0, keep_newest=0))
    assert told.mirror().said == ["p-late version 1: pruned"]
    assert len(told.box.versions["p-late"]) == 2


def test_what_the_server_refuses_of_one_run_stops_no_other(told: Told) -> None:
    add_run(told.project, "train-1")
    add_run(told.project, "train-2", started_s=200.0)
    told.box.fails[3] = StoreRefused("param rounds was 10")
    done = told.mirror()
    assert done.refused == {"train-1": "param rounds was 10"}
    assert done.said == ["run train-2: done, 1 figure"]
    assert told.mirror().said == ["run train-1: done, 1 figure"]


def test_what_a_killed_mirror_left_half_copied_goes_and_that_of_another_server_stays(
    told: Told,
) -> None:
    add_model(told.project, "one")
    told.mirror()
    folder = told.project / ".firedoor" / "mlflow"
    (note,) = folder.glob("*.json")
    (folder / f"{note.stem}-left").mkdir()
    (folder / "0123-others").mkdir()
    told.mirror()
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["0123-others"]


def test_a_full_disk_of_the_mirror_is_told_and_the_rest_goes_on(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run(told.project, "train-1")
    add_run(told.project, "train-2", started_s=200.0)
    real, full = Path.write_bytes, [True]

    def write(path: Path, data: bytes) -> int:
        if path.name == "record.json" and full and full.pop():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", write)
    done = told.mirror()
    assert "free some space" in done.refused["train-1"]
    assert done.said == ["run train-2: done, 1 figure"]
    told.mirror()
    assert [(run.status, len(run.figures)) for run in told.box.runs] == [("FINISHED", 2)] * 2


def test_only_what_one_pipeline_made_is_mirrored_if_that_is_asked(told: Told) -> None:
    add_run(told.project, "train-1")
    add_run(told.project, "train-2", pipeline="other")
    add_model(told.project, "one", "train-1")
    add_model(told.project, "two", "train-2", model="fares")
    told.mirror(pipeline="other")
    assert [run.key for run in told.box.runs] == ["train-2"]
    assert list(told.box.versions) == ["p-fares"]


def test_a_project_without_models_or_runs_is_mirrored_as_nothing(told: Told) -> None:
    assert told.mirror() == type(told.mirror())()
    assert told.box.calls == []


def test_two_mirrors_to_one_server_at_once_are_refused(told: Told) -> None:
    with mirror_of(told.project, told.box), pytest.raises(ProjectBusy, match="mirrors this"):
        told.mirror()


def test_a_folder_without_a_project_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(NotKnown, match=r"there is no \.firedoor"):
        Told(tmp_path).mirror()
    assert list(tmp_path.iterdir()) == []


def test_another_name_than_before_is_refused_unless_everything_is_sent_again(told: Told) -> None:
    add_run(told.project, "train-1")
    told.mirror()
    with pytest.raises(DeclarationError, match="the project is there as p"):
        mirror_of(told.project, told.box, name="q").__enter__()
    with mirror_of(told.project, told.box, name="q", again=True) as mirror:
        assert mirror.once().said


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda file: file.write_bytes(b"{"), "no note of a mirror.*--again"),
        (lambda file: file.write_bytes(b'{"name":"p","version":9}'), "version 9"),
    ],
)
def test_a_damaged_note_is_told_and_put_right_by_again(
    told: Told, spoil: Callable[[Path], object], says: str
) -> None:
    add_run(told.project, "train-1")
    told.mirror()
    (note,) = (told.project / ".firedoor" / "mlflow").glob("*.json")
    spoil(note)
    with pytest.raises(StoreRefused, match=says):
        told.mirror()
    told.mirror(again=True)
    assert len(told.box.runs) == 1
    assert len(told.box.runs[0].figures) == 2


def test_a_project_is_known_by_one_drawn_id_on_all_servers(told: Told) -> None:
    one, other = Place(told.project, "http://a:1"), Place(told.project, "http://b:1")
    with one.held(), other.held():
        assert one.known_as() == other.known_as()
        assert len(one.known_as()) == 16


def test_figures_that_no_event_keeps_are_told_at_the_end() -> None:
    events = [Event(at_s=1.0, what="metric", said="loss", value=float(n)) for n in range(5)]
    record = record_of("train-1", metrics={"loss": 9.0, "auc": 0.5})
    left = mirrored.left_out(record, events)
    assert [(one.name, one.value, one.step) for one in left] == [("loss", 9.0, 5), ("auc", 0.5, 0)]


def test_parts_have_every_figure_once_with_the_same_steps_wherever_they_begin() -> None:
    events = [
        Event(at_s=float(n), what="metric" if n % 3 else "note", said=f"m{n % 2}", value=float(n))
        for n in range(EVENTS_MAX // 50)
    ]
    ((_, whole),) = mirrored.parts(events, 0, EVENTS_MAX)
    for most in (1, 7, 1_000):
        for told in (0, 1, 50, len(events)):
            found = []
            for upto, figures in mirrored.parts(events, told, most):
                assert len(figures) <= most
                found += figures
                told_by_then = [f for f in whole if f.value < upto]
                assert found == told_by_then[len(told_by_then) - len(found) :]
            assert found == [one for one in whole if one.value >= told]


def test_models_in_a_folder_that_is_away_are_told_and_runs_go_on(told: Told) -> None:
    add_run(told.project, "train-1")
    (told.project / ".firedoor" / "models").mkdir()
    done = told.mirror()
    assert "holds no models" in done.refused["models"]
    assert done.said == ["run train-1: done, 1 figure"]
