"""A tracking server in memory that keeps everything twice that it is told twice; and projects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from firedoor.compose.mirroring import Mirror, Mirrored, Place
from firedoor.compose.models import Models
from firedoor.compose.runs import RunFolder, Runs
from firedoor.ports.tracking import Figure, Status, Tracked, TrackedModel, TrackedVersion
from firedoor.wire.run import Code, Event, Input, RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firedoor.ports.tracking import Tracking

URI = "http://mlflow:5000"


class Killed(Exception):
    """The mirror was ended at this call."""


@dataclass(slots=True)
class There:
    """A run on the server."""

    experiment: str
    key: str
    start_ms: int
    tags: dict[str, str]
    events: int = 0
    figures: list[Figure] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    status: str = "RUNNING"


@dataclass(slots=True)
class Box:
    """A server. ``faults`` is asked before and after each call, and may raise."""

    runs: list[There] = field(default_factory=list)
    versions: dict[str, list[TrackedVersion]] = field(default_factory=dict)
    aliases: dict[str, dict[str, str]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    fails: dict[int, Exception] = field(default_factory=dict)
    """By moment: two each call, before it and after it."""
    moments: int = 0

    @contextmanager
    def _called(self, what: str) -> Iterator[None]:
        self.calls.append(what)
        self._moment()
        yield
        self._moment()

    def _moment(self) -> None:
        self.moments += 1
        if self.moments in self.fails:
            raise self.fails[self.moments]

    def run(self, experiment: str, key: str, *, start_ms: int, tags: Mapping[str, str]) -> Tracked:
        with self._called(f"run {key}"):
            keys = [one.key for one in self.runs]
            if key not in keys:
                self.runs.append(There(experiment, key, start_ms, dict(tags)))
                keys.append(key)
        number = keys.index(key)
        there = self.runs[number]
        return Tracked(id=str(number), events=there.events, ended=there.status != "RUNNING")

    def tell(
        self,
        run: str,
        *,
        events: int,
        figures: Sequence[Figure] = (),
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        there = self.runs[int(run)]
        with self._called(f"tell {there.key}"):
            there.events = events
            there.figures += figures
            there.parameters |= parameters or {}
            there.tags |= tags or {}

    def keep(self, run: str, folder: Path) -> None:
        there = self.runs[int(run)]
        files = [path for path in folder.rglob("*") if path.is_file()]
        with self._called(f"keep {there.key}"):
            there.files |= {str(path.relative_to(folder)) for path in files}

    def end(self, run: str, status: Status, *, ended_ms: int) -> None:
        there = self.runs[int(run)]
        assert ended_ms >= there.start_ms
        with self._called(f"end {there.key}"):
            there.status = status

    def model(self, name: str) -> TrackedModel:
        with self._called(f"model {name}"):
            found = self.versions.setdefault(name, [])
        versions = {int(one.tags["ours"]): one for one in found}
        return TrackedModel(versions=versions, aliases=dict(self.aliases.get(name, {})))

    def add_version(
        self, model: str, number: int, *, run: str, path: str, tags: Mapping[str, str]
    ) -> TrackedVersion:
        assert any(file.startswith(f"{path}/") for file in self.runs[int(run)].files)
        with self._called(f"add {model} {number}"):
            there = self.versions[model]
            numbers = {one.tags["ours"]: one for one in there}
            if str(number) not in numbers:
                added = TrackedVersion(
                    number=str(len(there) + 1), tags={**tags, "ours": str(number)}
                )
                there.append(added)
                numbers[str(number)] = added
        return numbers[str(number)]

    def tag_version(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        with self._called(f"tag {model} {version}"):
            there = self.versions[model]
            at = int(version) - 1
            there[at] = replace(there[at], tags={**there[at].tags, **tags})

    def alias(self, model: str, alias: str, version: str | None) -> None:
        with self._called(f"alias {model} {alias} {version}"):
            of = self.aliases.setdefault(model, {})
            of.pop(alias, None)
            if version is not None:
                of[alias] = version

    def describe(self, model: str, text: str) -> None:
        with self._called(f"describe {model}"):
            self.texts[model] = text

    def told(self) -> object:
        """Return all that is there, but for what calls it took."""
        return self.runs, self.versions, self.aliases, self.texts


@dataclass(slots=True)
class Told:
    """A project and a server, mirrored as by one process after another."""

    project: Path
    box: Box = field(default_factory=Box)

    def mirror(self, *, again: bool = False, pipeline: str = "") -> Mirrored:
        with mirror_of(self.project, self.box, again=again, pipeline=pipeline) as one:
            return one.once()


@contextmanager
def mirror_of(
    project: Path, tracking: Tracking, *, again: bool = False, pipeline: str = "", name: str = "p"
) -> Iterator[Mirror]:
    """Return a mirror of a project, as the command makes it."""
    place = Place(project, URI)
    with place.held():
        note = place.read(name, again=again)
        yield Mirror(project, tracking, place, note, pipeline=pipeline)


def record_of(name: str, **more: object) -> RunRecord:
    """Return the record of a run that has ended well."""
    record = RunRecord(
        id=name, job="train", pipeline="late", file="late.py", by="ann@laptop", key="k",
        code=Code(version="c0de", commit="abc"), parameters={"rounds": 20, "loss": "log"}, seed=7,
        started_s=100.0, ended_s=160.0, outcome="done", metrics={"auc": 0.72},
        input=Input(
            dataset="store", digest="da7a", sink="store", folder="/s", files=1, bytes=9, rows=3,
            parts={"all": 3},
        ),
    )  # fmt: skip
    return msgspec.structs.replace(record, **more)


def add_run(
    project: Path, name: str, figures: Sequence[float] = (0.5, 0.72), **more: object
) -> None:
    """Write a run as its supervisor would have."""
    path = Runs(project).folder / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "events.jsonl").unlink(missing_ok=True)
    run = RunFolder(path)
    run.tell(Event(at_s=100.0, what="started"))
    for number, value in enumerate(figures):
        run.tell(Event(at_s=110.0 + number, what="metric", said="auc", value=value))
    started_s = more.get("started_s", 100.0)
    assert isinstance(started_s, float)
    record = record_of(name, **{"ended_s": started_s + 60, **more})
    if record.outcome != "running":
        run.tell(Event(at_s=160.0, what="ended", said=record.outcome))
    run.write(record)


def add_model(project: Path, text: str, run: str = "", model: str = "late") -> Models:
    """Add a version of a model."""
    folder = project / f"made-{text}"
    folder.mkdir()
    (folder / "model.json").write_text(text)
    models = Models(project, by="ann")
    models.add(model, folder, run=run, metrics={"auc": 0.7})
    return models


def live(models: Models, name: str) -> None:
    """Have a version go live."""
    models.qualify(name, "promote", because="auc")
    models.promote(name)
