"""Mirror a project to a tracking server: runs, figures, artifacts, versions and aliases.

Nothing waits for it: it reads what runs and models keep, sends what is new, and may be killed at
any moment. What was sent is found on the server by its tags; a note saves looking again.

| In ``.firedoor/mlflow`` | What |
|---|---|
| ``project`` | by what the project is known on every server |
| ``HASH.json`` | the note of a server |
| ``HASH.lock`` | held by who mirrors to it |
| ``HASH-*`` | what is just being sent |
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import msgspec

from firedoor.adapters.files.locking import Taken, locked
from firedoor.adapters.mlflow.naming import FIGURES_MAX, check_name, shown
from firedoor.compose import mirrored
from firedoor.compose.files import FOLDER_MODE, explain, write_atomically
from firedoor.compose.models import Models
from firedoor.compose.project import FOLDER
from firedoor.compose.runs import Runs
from firedoor.compose.vetting import counted
from firedoor.errors import (
    BundleDamaged,
    DeclarationError,
    Full,
    ModelsUnavailable,
    NotKnown,
    ProjectBusy,
    StoreRefused,
)
from firedoor.ports.tracking import Tracked, TrackedModel, TrackedVersion, Tracking
from firedoor.registry.model import Version
from firedoor.wire.bundle import encode_manifest
from firedoor.wire.mirror import NOTE_BYTES_MAX, Note, decode_note, encode_note
from firedoor.wire.run import RunRecord, encode_event, encode_run

HISTORY_MAX = 50
"""Changes of a model that are told, the latest."""
WAIT_S = 5.0


@dataclass(slots=True)
class Mirrored:
    """What one pass over a project did."""

    said: list[str] = field(default_factory=list)
    """A line for each thing that changed on the server."""
    refused: dict[str, str] = field(default_factory=dict)
    """What cannot be mirrored, run or version, and why."""


class Place:
    """Where a project keeps what it knows of one server."""

    def __init__(self, project: Path, uri: str) -> None:
        """Use a place; nothing is made yet."""
        self._folder = project.absolute() / FOLDER / "mlflow"
        digest = hashlib.sha256(shown(uri).encode()).hexdigest()[:16]
        self._note, self._lock = self._folder / f"{digest}.json", self._folder / f"{digest}.lock"
        self._sending = f"{digest}-"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody else mirror to this server while the block is at work.

        Raises:
            ProjectBusy: if somebody does.
            StoreRefused: if the project folder cannot be used.
        """
        with contextlib.ExitStack() as held:
            try:
                if not self._folder.parent.is_dir():
                    message = f"there is no {FOLDER} in {self._folder.parent.parent}: run a job"
                    raise NotKnown(f"{message} or add a model first, or name its folder")
                self._folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
                held.enter_context(locked(self._lock, wait_s=0))
                for left in self._folder.glob(f"{self._sending}*"):  # by a kill
                    shutil.rmtree(left, ignore_errors=True)
            except Taken:
                message = "another process mirrors this project to that server just now"
                raise ProjectBusy(message) from None
            except OSError as error:
                raise StoreRefused(explain(error)) from error
            yield

    def sending(self) -> tempfile.TemporaryDirectory[str]:
        """Return a folder for what is sent next, on the disk that the project is on."""
        return tempfile.TemporaryDirectory(prefix=self._sending, dir=self._folder)

    def known_as(self) -> str:
        """Return by what the project is known on every server; drawn once, and kept."""
        file = self._folder / "project"
        try:
            # Mirrors to two servers may both be the first.
            with locked(self._folder / "project.lock", wait_s=WAIT_S):
                with contextlib.suppress(FileNotFoundError):
                    return file.read_text(encoding="ascii").strip()
                drawn = secrets.token_hex(8)
                write_atomically(file, drawn.encode() + b"\n", durable=True)
        except Taken:
            raise ProjectBusy(f"somebody holds {file}.lock: try again") from None
        except (OSError, UnicodeDecodeError) as error:
            why = explain(error) if isinstance(error, OSError) else f"{file} is no text"
            raise StoreRefused(why) from error
        return drawn

    def read(self, name: str, *, again: bool) -> Note:
        """Return the note, under a name; by itself the one it has, or that of the folder.

        Args:
            name: under which the project is to be on the server; empty: as before.
            again: begin a new note.

        Raises:
            DeclarationError: if the project is there under another name, or this can be none.
            StoreRefused: if the note cannot be read.
        """
        named = check_name(name or self._folder.parent.parent.name) if name or again else ""
        try:
            with self._note.open("rb") as file:
                note = None if again else decode_note(file.read(NOTE_BYTES_MAX))
        except FileNotFoundError:
            note = None
        except OSError as error:
            raise StoreRefused(explain(error)) from error
        except StoreRefused as error:
            raise StoreRefused(f"{self._note}: {error}") from error
        if note is None:
            return Note(name=named or check_name(self._folder.parent.parent.name))
        if named and named != note.name:
            raise DeclarationError(
                "name", name, f"is another than before: the project is there as {note.name}",
                "leave it out, or give --again to have it there a second time",
            )  # fmt: skip
        return note

    def write(self, note: Note) -> None:
        """Keep the note."""
        try:
            write_atomically(self._note, encode_note(note))
        except OSError as error:
            raise StoreRefused(explain(error)) from error


class Mirror:
    """A project and one server. Whoever uses it holds the place."""

    def __init__(
        self, project: Path, tracking: Tracking, place: Place, note: Note, *, pipeline: str = ""
    ) -> None:
        """Begin.

        Args:
            project: the folder that ``.firedoor`` is in.
            tracking: the server.
            place: where the note is kept.
            note: what the server has.
            pipeline: mirror its runs and what they made; empty: everything.
        """
        self._runs, self._models = Runs(project), Models(project)
        self._tracking, self._place, self._note, self._pipeline = tracking, place, note, pipeline
        self._registry = project.absolute() / FOLDER / "models"
        self._seen: dict[str, Tracked] = {}
        """Runs that were looked up, by ours; forgotten when it is not known what was heard."""

    def once(self) -> Mirrored:
        """Send what is new, the oldest first; what is refused is told, and the rest goes on.

        Raises:
            DependencyDown: if the server is away; what was sent is kept.
            DeclarationError: if it is no tracking server, or does not let us in.
        """
        done = Mirrored()
        every = self._runs.every()
        self._drop({record.id for record in every})
        records = [one for one in reversed(every) if self._meant(one)]
        for record in records:
            if record.id not in self._note.runs:
                self._try(done, record.id, partial(self._mirror_run, done, record))
        made = {record.id for record in records}
        models: list[str] = []
        if self._registry.is_dir():  # without, no model was ever added, which is no fault
            self._try(done, "models", lambda: models.extend(self._models.names()))
        for model in models:
            self._try(done, model, partial(self._mirror_model, done, model, made))
        return done

    def _meant(self, record: RunRecord) -> bool:
        """Return whether a run is to be mirrored."""
        return self._pipeline in {"", record.pipeline}

    def _try(self, done: Mirrored, what: str, work: Callable[[], None]) -> None:
        """Do what concerns one run or model; what is refused of it stops no other."""
        try:
            work()
        except (StoreRefused, NotKnown, BundleDamaged, ModelsUnavailable, Full) as error:
            done.refused[what] = str(error)
        except OSError as error:  # a full disk, most likely
            done.refused[what] = explain(error)

    # ---- runs

    def _mirror_run(self, done: Mirrored, record: RunRecord) -> None:
        """Send what is new of a run."""
        is_over = record.outcome != "running" and not self._runs.is_alive(record.id)
        known = self._seen.pop(record.id, None) or self._find(record)
        if not known.ended:
            known = self._tell(record, known, is_over=is_over)
        if not is_over:
            self._seen[record.id] = known
            return
        self._write(runs={**self._note.runs, record.id: known.id})
        figures = counted(len(record.metrics), "figure")
        done.said.append(f"run {record.id}: {record.outcome}, {figures}")

    def _find(self, record: RunRecord) -> Tracked:
        """Return a run as the server has it; it is made if need be."""
        return self._tracking.run(
            f"{self._note.name}/{record.pipeline}",
            record.id,
            start_ms=mirrored.started_ms(record),
            tags=mirrored.begun_tags(record),
        )

    def _tell(self, record: RunRecord, known: Tracked, *, is_over: bool) -> Tracked:
        """Send events, and the end."""
        events = self._runs.events(record.id)
        for upto, figures in mirrored.parts(events, known.events, FIGURES_MAX):
            parameters = mirrored.parameters_of(record) if not known.events else {}
            self._tracking.tell(known.id, events=upto, figures=figures, parameters=parameters)
            known = replace(known, events=upto)
        if not is_over:
            return known
        if known.events <= len(events):  # one more than there are: the end is told as well
            self._tracking.tell(
                known.id, events=len(events) + 1, figures=mirrored.left_out(record, events),
                tags=mirrored.ended_tags(record),
            )  # fmt: skip
        with self._place.sending() as beside:
            folder = Path(beside) / "firedoor"
            folder.mkdir()
            (folder / "record.json").write_bytes(encode_run(record))
            (folder / "events.jsonl").write_bytes(b"".join(map(encode_event, events)))
            self._tracking.keep(known.id, Path(beside))
        status = mirrored.STATUS.get(record.outcome, "FAILED")
        self._tracking.end(known.id, status, ended_ms=mirrored.ended_ms(record))
        return known

    # ---- models

    def _mirror_model(self, done: Mirrored, model: str, made: set[str]) -> None:
        """Have a model on the server as it is here."""
        kept = self._models.read(model)
        of_pipeline = any(version.run in made for version in kept.state.versions)
        if self._note.models.get(model) == kept.generation or (self._pipeline and not of_pipeline):
            return
        theirs = f"{self._note.name}-{model}"
        found = self._tracking.model(theirs)
        # First what the aliases mean: a rollback does not wait until files were sent.
        found = self._align(done, theirs, found, mirrored.alias_changes(kept.state, found))
        whole = True
        for version in kept.state.versions:
            if version.number in found.versions:
                continue
            try:
                there = self._add(model, theirs, version)
            except (NotKnown, BundleDamaged) as error:
                done.refused[f"{model}@{version.number}"], whole = str(error), False
                continue
            found = replace(found, versions={**found.versions, version.number: there})
            done.said.append(f"{model}@{version.number}: {theirs} version {there.number}")
        for number, tags in mirrored.tag_changes(kept.state, found):
            self._tracking.tag_version(theirs, number, tags)
            if "firedoor.state" in tags:
                done.said.append(f"{theirs} version {number}: {tags['firedoor.state']}")
        self._align(done, theirs, found, mirrored.alias_changes(kept.state, found))
        self._tracking.describe(
            theirs, mirrored.history_text(self._models.history(model, HISTORY_MAX))
        )
        if whole:
            self._write(models={**self._note.models, model: kept.generation})

    def _align(
        self,
        done: Mirrored,
        theirs: str,
        found: TrackedModel,
        changes: list[tuple[str, str | None]],
    ) -> TrackedModel:
        """Have aliases mean what they are to mean."""
        aliases = dict(found.aliases)
        for alias, number in changes:
            self._tracking.alias(theirs, alias, number)
            aliases.pop(alias, None)
            if number is not None:
                aliases[alias] = number
            done.said.append(f"{theirs}: {alias} is {number or 'no version'}")
        return replace(found, aliases=aliases)

    def _add(self, model: str, theirs: str, version: Version) -> TrackedVersion:
        """Send the files of a version, verified, and then the version."""
        name = f"{model}-{version.number}"
        with self._place.sending() as beside:
            folder = Path(beside)
            (folder / "models").mkdir()
            manifest = self._models.get(f"{model}@{version.number}", folder / "models" / name)
            (folder / "firedoor").mkdir()
            (folder / "firedoor" / f"{name}.json").write_bytes(encode_manifest(manifest))
            run = self._run_of(model, version)
            self._tracking.keep(run, folder)
        return self._tracking.add_version(
            theirs, version.number, run=run, path=f"models/{name}",
            tags=mirrored.version_tags(version),
        )  # fmt: skip

    def _run_of(self, model: str, version: Version) -> str:
        """Return the server's run that keeps a version's files: its own, if no run of ours made it.

        MLflow keeps files with runs alone.
        """
        known = self._seen.get(version.run)
        made = self._note.runs.get(version.run) or (known.id if known else "")
        if made:
            return made
        at_ms = round(version.registered_s * 1_000)
        own = self._tracking.run(
            f"{self._note.name}/models", f"{model}@{version.number}", start_ms=at_ms, tags={}
        )
        self._tracking.end(own.id, "FINISHED", ended_ms=at_ms)
        return own.id

    def _drop(self, kept: set[str]) -> None:
        """Note no more of runs whose record was pruned here: no version was made by one."""
        runs = {ours: theirs for ours, theirs in self._note.runs.items() if ours in kept}
        if len(runs) < len(self._note.runs):
            self._write(runs=runs)

    def _write(self, **fields: object) -> None:
        """Note what the server has."""
        self._note = msgspec.structs.replace(self._note, **fields)
        self._place.write(self._note)
