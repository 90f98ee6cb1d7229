"""Records of runs: whole or not there, settled where nobody can say more, and resumed from."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from firedoor.compose.models import Models
from firedoor.compose.runs import EVENTS_MAX, KEPT_RUNS, RunFolder, Runs
from firedoor.errors import (
    DeclarationError,
    ModelsUnavailable,
    NotKnown,
    ProjectBusy,
    StoreRefused,
)
from firedoor.flow.triggers import Because, Mark
from firedoor.wire.run import (
    Attempt,
    Code,
    Event,
    RunRecord,
    decode_events,
    decode_run,
    encode_event,
    encode_run,
)


def record_of(name: str, resumes: str = "", **more: object) -> RunRecord:
    record = RunRecord(
        id=name, job="train", pipeline="p", file="p.py", by="ann", key="k",
        code=Code(version="v"), parameters={"a": 1}, seed=0, started_s=1.0, resumes=resumes,
    )  # fmt: skip
    return msgspec.structs.replace(record, **more)


def begin(runs: Runs, held: ExitStack, *, key: str = "k", fresh: bool = False) -> RunFolder:
    """Begin a run, and hold it until the stack is closed."""

    def make(name: str, resumes: str) -> RunRecord:
        number = float(name.rpartition("-")[2])
        return record_of(name, resumes, key=key, started_s=number)

    return held.enter_context(runs.begin("train", key, make, fresh=fresh))[0]


def keep(run: RunFolder, name: str, text: str) -> None:
    folder = run.path / "made"
    folder.mkdir()
    (folder / "n").write_text(text)
    run.keep_checkpoint(name, folder)


def test_runs_are_numbered_and_listed_the_latest_first(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    assert runs.every() == []
    for _ in range(3):
        with ExitStack() as held:
            run = begin(runs, held)
            assert runs.is_alive(run.path.name)
            assert runs.read(run.path.name).outcome == "running"
    assert [record.id for record in runs.every()] == ["train-3", "train-2", "train-1"]
    assert runs.every("other") == []


def test_a_run_that_nobody_holds_is_settled_as_lost_once(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    with ExitStack() as held:
        run = begin(runs, held)
        run.tell(Event(at_s=7.0, what="attempt", said="1"))
        run.write(record_of("train-1", step="fit", done=3.0, total=9.0))
        run.scratch.mkdir()
        run.model.mkdir()
        keep(run, "state", "3")
    lost = runs.read("train-1")
    assert (lost.outcome, lost.cause, lost.ended_s) == ("lost", "supervisor", 7.0)
    assert "ended from outside at 'fit', 3 of 9 done" in lost.message
    assert [event.what for event in runs.events("train-1")] == ["attempt", "ended"]
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checkpoints", "events.jsonl", "lock", "record.json",
    ]  # fmt: skip
    assert runs.read("train-1") == lost
    assert len(runs.events("train-1")) == 2


@pytest.mark.parametrize("registered", [True, False])
def test_a_run_that_was_killed_while_its_model_was_registered_says_whether_it_was(
    tmp_path: Path, *, registered: bool
) -> None:
    runs = Runs(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "w").write_text("w")
    with ExitStack() as held:
        run = begin(runs, held)
        keep(run, "state", "3")
        run.write(record_of("train-1", publishing="late"))
        Models(tmp_path).add("late", tmp_path / "m", run="train-1" if registered else "train-0")
    found = runs.read("train-1")
    assert (found.outcome, found.model, found.publishing) == (
        ("done", "late@1", "") if registered else ("lost", "", "")
    )
    assert run.checkpoints.exists() != registered


def test_checkpoints_go_over_to_the_next_run_of_the_same_key_alone(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    with ExitStack() as held:
        keep(begin(runs, held), "state", "3")
    with ExitStack() as held:
        assert begin(runs, held, key="other").names() == ()
    with ExitStack() as held:
        assert begin(runs, held, fresh=True).names() == ()
    with ExitStack() as held:
        run = begin(runs, held)
        assert runs.read("train-4").resumes == "train-1"
        assert (run.checkpoints / "state" / "n").read_text() == "3"
    with ExitStack() as held:  # the one before did not end either, and still has them
        assert begin(runs, held).names() == ("state",)
        assert runs.read("train-5").resumes == "train-4"


def test_a_run_that_ended_well_is_not_gone_back_behind(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    with ExitStack() as held:
        keep(begin(runs, held), "state", "3")
    with ExitStack() as held:
        run = begin(runs, held, fresh=True)
        keep(run, "state", "4")  # and was killed before it could remove this
        run.write(record_of("train-2", started_s=2.0, outcome="done", ended_s=3.0))
    with ExitStack() as held:
        assert begin(runs, held).names() == ()
    assert not run.checkpoints.exists()


def test_the_latest_runs_of_a_job_keep_their_checkpoints_and_older_ones_do_not(
    tmp_path: Path,
) -> None:
    runs = Runs(tmp_path)
    for number in range(1, KEPT_RUNS + 3):
        with ExitStack() as held:
            run = begin(runs, held, key=f"k{number}")
            keep(run, "state", f"{number}")
            told = record_of(
                run.path.name, key=f"k{number}", started_s=float(number), outcome="failed",
                checkpoints=("state",),
            )  # fmt: skip
            run.write(told)
    with ExitStack() as held:
        begin(runs, held, key="k9")
    found = {record.id: record.checkpoints for record in runs.every()}
    kept = [name for name in found if RunFolder(runs.folder / name).names()]
    assert kept == ["train-5", "train-4", "train-3"]
    assert [name for name, names in found.items() if names] == kept


def ended(runs: Runs, count: int, *, key: str = "k", **more: Any) -> None:
    """Run so often, to a good end."""
    for _ in range(count):
        with ExitStack() as held:
            run = begin(runs, held, key=key, fresh=True)
            number = float(run.path.name.rpartition("-")[2])
            told: dict[str, Any] = {"started_s": number, "outcome": "done", "ended_s": number}
            run.write(record_of(run.path.name, key=key, **{**told, **more}))


def test_old_runs_go_but_what_a_version_refers_to_what_is_at_work_and_the_latest(
    tmp_path: Path,
) -> None:
    runs = Runs(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "w").write_text("w")
    with ExitStack() as held:
        begin(runs, held, key="other")  # train-1 is at work
        ended(runs, 5)
        Models(tmp_path).add("late", tmp_path / "m", run="train-3")
        assert runs.prune(2, dry_run=True) == ["train-4", "train-2"]
        assert len(runs.every()) == 6
        assert runs.prune(2, job="other") == []
        assert runs.prune(2) == ["train-4", "train-2"]
        assert {record.id for record in runs.every()} == {
            "train-1",
            "train-3",
            "train-5",
            "train-6",
        }
    with ExitStack() as held:
        assert begin(runs, held, fresh=True).path.name == "train-7", "no number comes twice"
    with pytest.raises(DeclarationError, match="give 1 to 1,000,000 runs"):
        runs.prune(0)


def test_the_run_that_says_how_far_a_trigger_has_come_stays(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    because = Because(trigger="on", said="", marks={"fit": Mark(upto=3)})
    ended(runs, 2, because=because)
    ended(runs, 1, because=because, outcome="cancelled")
    ended(runs, 3)
    assert runs.prune(1) == ["train-5", "train-4", "train-1"]


def test_records_are_bounded_as_runs_begin_and_stay_where_models_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firedoor.compose.runs.RUNS_KEPT", 3)
    runs = Runs(tmp_path)
    ended(runs, 5)
    assert sorted(record.id for record in runs.every()) == ["train-3", "train-4", "train-5"]
    (tmp_path / ".firedoor" / "models" / "registry").mkdir(parents=True)
    ended(runs, 2)
    assert len(runs.every()) == 5
    with pytest.raises(ModelsUnavailable):
        runs.prune(1)


def test_the_same_run_begins_once_at_a_time(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    with ExitStack() as held:
        begin(runs, held)
        with pytest.raises(ProjectBusy, match=r"run train-1 of the same code.*--param or --seed"):
            begin(runs, held)
        begin(runs, held, key="other")


def test_a_checkpoint_is_replaced_and_a_kill_between_leaves_the_one_before(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    with ExitStack() as held:
        run = begin(runs, held)
        keep(run, "state", "1")
        keep(run, "state", "2")
        assert (run.checkpoints / "state" / "n").read_text() == "2"
        assert [path.name for path in run.checkpoints.iterdir()] == ["state"]
        (run.checkpoints / "state").rename(run.checkpoints / ".old-state")  # killed here
    with ExitStack() as held:
        run = begin(runs, held)
        assert run.names() == ("state",)
        assert (run.checkpoints / "state" / "n").read_text() == "2"


def test_what_a_kill_left_half_made_is_swept_by_the_next_run(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    (tmp_path / ".firedoor" / "runs" / ".new-abc").mkdir(parents=True)
    with ExitStack() as held:
        begin(runs, held)
    assert not list((tmp_path / ".firedoor" / "runs").glob(".new-*"))


def test_events_are_bounded_and_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, told=EVENTS_MAX - 1)
    for number in range(3):
        run.tell(Event(at_s=float(number), what="metric", said="auc", value=0.5))
    data = (tmp_path / "events.jsonl").read_bytes()
    assert decode_events(data) == [Event(at_s=0.0, what="metric", said="auc", value=0.5)]
    torn = data + encode_event(Event(at_s=9.0, what="ended"))[:7]
    assert len(decode_events(torn)) == 1


def test_a_record_goes_to_disk_and_back_and_another_is_refused() -> None:
    attempts = tuple(
        Attempt(number=n, started_s=1.0, ended_s=2.0, cause=cause, last_lines=f"{n}")
        for n, cause in enumerate(("hang", "hang", "memory"), 1)
    )
    record = record_of("train-1", attempts=attempts, outcome="failed")
    assert decode_run(encode_run(record)) == record
    assert (record.causes, record.last_lines) == ({"hang": 2, "memory": 1}, "3")
    with pytest.raises(StoreRefused, match="is of version 2"):
        decode_run(encode_run(msgspec.structs.replace(record, version=2)))
    with pytest.raises(StoreRefused, match="is no record of a run"):
        decode_run(b"{")


def test_a_run_that_is_not_there_or_not_readable_is_told(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    with ExitStack() as held:
        run = begin(runs, held)
    for name in ("train-9", "../train-1", "train"):
        with pytest.raises(NotKnown, match="see `firedoor runs`"):
            runs.read(name)
    (run.path / "record.json").write_text("{}")
    with pytest.raises(StoreRefused, match="is no record of a run"):
        runs.read("train-1")
    assert runs.every() == []


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / ".firedoor").write_text("")
    with pytest.raises(StoreRefused, match="no run can begin"), ExitStack() as held:
        begin(Runs(tmp_path), held)
