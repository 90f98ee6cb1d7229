"""What commands recorded in the project's folder, told to the ledger: models and runs.

Commands need no broker to register a model or to run a job, and may be killed. So the ledger is not
told by them, but by whoever is at work there and reads what they recorded. An entry is named after
the record that it tells of: nothing is told twice, whoever tells it, and however often.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from firedoor.compose.models import HISTORY_MAX, Models
from firedoor.compose.project import FOLDER, Project
from firedoor.compose.runs import Runs
from firedoor.errors import FiredoorError
from firedoor.events.happened import Happened
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan
from firedoor.wire.models import Entry, Standing
from firedoor.wire.run import RunRecord

LOOK_S = 2.0
DAY_S = 86_400.0
AT_ONCE = 1_000
"""Entries of one look; the rest comes with the next."""


@dataclass(slots=True, kw_only=True)
class Recorded:
    """Looks at one project, again and again."""

    project: Path
    """The folder that ``.firedoor`` is in."""
    clock: Clock
    retention_days: float
    """Runs that ended before that are not told of: the ledger has forgotten them."""
    _generations: dict[str, int] = field(default_factory=dict)
    """Of each model, up to which it was told."""
    _runs: dict[str, str] = field(default_factory=dict)
    """Of each run, the outcome that was told last."""

    async def tell(self, streams: Streams) -> int:
        """Tell what was recorded since the last look; return how many entries that is.

        Raises:
            StreamsUnavailable: if the broker is away. The next look goes on where this broke off.
            ModelsUnavailable: if the folder cannot be read.
        """
        count = 0
        for record in await asyncio.to_thread(self._news):
            for happened in of_run(record):
                count += await streams.enter(happened)
            self._runs[record.id] = record.outcome
        for model, generation in (await asyncio.to_thread(self._changed)).items():
            count += await self._tell_model(streams, model, generation)
        return count

    async def _tell_model(self, streams: Streams, model: str, generation: int) -> int:
        """Tell changes of one model that the ledger does not have."""
        key, count = f"ledger.model.{model}", 0
        if model not in self._generations:
            value = await streams.get(key)
            self._generations[model] = int(value) if value and value.isdigit() else 0
        told = self._generations[model]
        if told > generation:  # somebody has begun anew
            told = 0
        entries = await asyncio.to_thread(self._history, model, generation - told)
        for entry in entries[:AT_ONCE]:
            count += await streams.enter(of_model(entry))
            self._generations[model] = entry.generation
        if entries:
            await streams.put(key, str(self._generations[model]).encode())
        return count

    def _changed(self) -> dict[str, int]:
        """Return the generation of models of which something is to be told. Blocks."""
        if not (self.project / FOLDER / "models").exists():
            return {}  # none was ever made; a disk that is away leaves its folder
        models = Models(self.project)
        found = {name: models.read(name).generation for name in models.names()}
        return {name: at for name, at in found.items() if self._generations.get(name) != at}

    def _history(self, model: str, count: int) -> list[Entry]:
        """Return the latest changes of a model, the latest last. Blocks."""
        if count <= 0:
            return []
        return Models(self.project).history(model, min(count, HISTORY_MAX))

    def _news(self) -> list[RunRecord]:
        """Return records of runs of which something is to be told, at most ``AT_ONCE``. Blocks."""
        runs = Runs(self.project)
        names = runs.names()
        self._runs = {name: said for name, said in self._runs.items() if name in set(names)}
        since_s = self.clock.utc_s() - self.retention_days * DAY_S
        found: list[RunRecord] = []
        for name in names:
            if self._runs.get(name, "running") != "running":
                continue
            try:
                record = runs.read(name)
            except FiredoorError:
                continue  # being made, or written by another version
            if record.ended_s is not None and record.ended_s < since_s:
                self._runs[name] = record.outcome
            elif self._runs.get(name) != record.outcome:
                found.append(record)
        return found[:AT_ONCE]


async def tell_recorded(streams: Streams, project: Project, plan: Plan, *, clock: Clock) -> None:
    """Tell what is recorded in a project, for ever."""
    recorded = Recorded(
        project=project.folder.parent, clock=clock, retention_days=plan.retention_days
    )
    while True:
        # Where the folder or the broker is away the next look tells it.
        with contextlib.suppress(FiredoorError, OSError):
            await recorded.tell(streams)
        await clock.wait(LOOK_S)


def of_model(entry: Entry) -> Happened:
    """Return the entry of the ledger for a change of a model."""
    about = entry.model if entry.number is None else f"{entry.model}@{entry.number}"
    return Happened(
        at_s=entry.at_s, kind="model", text=f"{about} was {entry.what}",
        code=entry.what.replace(" ", "_"), by=entry.by, because=entry.because, about=about,
        before=_standing(entry.before), after=_standing(entry.after),
        process=f"registry-{entry.model}-{round(entry.at_s * 1_000)}", sequence=entry.generation,
    )  # fmt: skip


def of_run(record: RunRecord) -> Iterator[Happened]:
    """Go through the entries of the ledger for a run: that it began, and how it ended."""
    process, why = f"run-{record.id}-{round(record.started_s * 1_000)}", record.because
    yield Happened(
        at_s=record.started_s, kind="job", zone=record.job, text=f"run {record.id} began",
        code="began", about=record.id, by=record.by, because="" if why is None else why.said,
        process=process, sequence=1,
    )  # fmt: skip
    if record.ended_s is None:
        return
    made = f", and made {record.model}" if record.model else ""
    text = f"run {record.id} ended: {record.outcome}{made}"
    if record.message:
        text += f": {record.message}"
    yield Happened(
        at_s=record.ended_s, kind="job", zone=record.job, text=text, code=record.outcome,
        about=record.id, before="running", after=record.outcome,
        facts={"seconds": record.ended_s - record.started_s, "cause": record.cause},
        process=process, sequence=2,
    )  # fmt: skip


def _standing(standing: Standing) -> str:
    """Return how a model stood, in words."""
    champion = "" if standing.champion is None else f"champion {standing.champion}"
    return ", ".join(filter(None, (standing.state, champion)))
