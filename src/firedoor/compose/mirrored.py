"""What of a run and of a model a tracking server is told. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from firedoor.errors import shorten
from firedoor.ports.tracking import Figure, Status, TrackedModel
from firedoor.registry.model import ALIASES, ModelState, Version
from firedoor.wire.models import Entry, told
from firedoor.wire.run import Event, RunRecord

TEXT_MAX = 1_000
HISTORY_CHARACTERS = 4_900
"""Databases of MLflow have room for 5,000."""
STATUS: dict[str, Status] = {"done": "FINISHED", "cancelled": "KILLED"}
"""By outcome; any other is a failure."""


def begun_tags(record: RunRecord) -> dict[str, str]:
    """Return what is known of a run when it begins, but for its parameters."""
    code, read = record.code, record.input
    tags = {
        "firedoor.job": record.job,
        "firedoor.pipeline": record.pipeline,
        "firedoor.by": record.by,
        "firedoor.code": code.version,
        "firedoor.diff": code.diff,
        "firedoor.dataset": read.digest if read else "",
        "firedoor.snapshot": read.snapshot if read else "",
        "firedoor.sealed": ", ".join(read.sealed) if read else "",
        "firedoor.seed": str(record.seed),
        "firedoor.resumes": record.resumes,
        "firedoor.reproduces": record.reproduces,
        "firedoor.judges": record.judges,
        "firedoor.host": record.machine.host,
        "mlflow.source.name": record.file,
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": code.commit,
        "mlflow.user": record.by,
    }
    return _told(tags)


def ended_tags(record: RunRecord) -> dict[str, str]:
    """Return what is known of a run once it has ended."""
    tags = {
        "firedoor.outcome": record.outcome,
        "firedoor.cause": record.cause,
        "firedoor.message": record.message,
        "firedoor.step": record.step,
        "firedoor.model": record.model,
        "firedoor.verdict": record.verdict.word if record.verdict else "",
        "firedoor.attempts": str(len(record.attempts)),
        "firedoor.peak_bytes": str(record.peak_bytes),
        "firedoor.seal": record.seal.level,
    }
    return _told(tags)


def parameters_of(record: RunRecord) -> dict[str, str]:
    """Return the parameters of a run as text."""
    return {name: str(value) for name, value in record.parameters.items()}


def parts(events: Sequence[Event], told: int, most: int) -> Iterator[tuple[int, list[Figure]]]:
    """Go through the figures in events that were not told yet, ``most`` at a time.

    Yields:
        How many events are told with that part, and its figures. The step of a figure is how often
        it was told before, also in earlier attempts, so that it is the same whoever counts.
    """
    steps: dict[str, int] = {}
    figures: list[Figure] = []
    for number, event in enumerate(events, 1):
        if event.what != "metric" or event.value is None:
            continue
        step = steps.get(event.said, 0)
        steps[event.said] = step + 1
        if number <= told:
            continue
        if len(figures) == most:
            yield number - 1, figures
            figures = []
        figures.append(Figure(event.said, event.value, _ms(event.at_s), step))
    if len(events) > told:
        yield len(events), figures


def left_out(record: RunRecord, events: Sequence[Event]) -> list[Figure]:
    """Return the last figures of a run that no event tells: there are more than are kept."""
    last: dict[str, float] = {}
    steps: dict[str, int] = {}
    for event in events:
        if event.what == "metric" and event.value is not None:
            last[event.said] = event.value
            steps[event.said] = steps.get(event.said, 0) + 1
    at_ms = ended_ms(record)
    return [
        Figure(name, value, at_ms, steps.get(name, 0))
        for name, value in record.metrics.items()
        if last.get(name) != value
    ]


def started_ms(record: RunRecord) -> int:
    """Return when a run began."""
    return _ms(record.started_s)


def ended_ms(record: RunRecord) -> int:
    """Return when a run ended."""
    return _ms(record.started_s if record.ended_s is None else record.ended_s)


def version_tags(version: Version) -> dict[str, str]:
    """Return what is known of a version. All of it is told each time: an empty text clears one."""
    metrics = json.dumps(version.metrics, sort_keys=True) if version.metrics else ""
    return {
        "firedoor.state": version.state,
        "firedoor.because": shorten(version.because, TEXT_MAX),
        "firedoor.digest": version.digest,
        "firedoor.content": version.content,
        "firedoor.run": version.run,
        "firedoor.metrics": metrics if len(metrics) <= TEXT_MAX else "",
    }


def alias_changes(state: ModelState, found: TrackedModel) -> list[tuple[str, str | None]]:
    """Return which aliases have to mean something else, the champion first.

    One of a version that is not there yet is left as it is.
    """
    changes: list[tuple[str, str | None]] = []
    for alias in ALIASES:
        number: int | None = getattr(state, alias)
        if number is not None and number not in found.versions:
            continue
        wanted = None if number is None else found.versions[number].number
        if found.aliases.get(alias) != wanted:
            changes.append((alias, wanted))
    return changes


def tag_changes(state: ModelState, found: TrackedModel) -> list[tuple[str, dict[str, str]]]:
    """Return the tags of versions that are others there, by the server's number."""
    ours = {version.number: version_tags(version) for version in state.versions}
    changes = []
    for number, there in found.versions.items():
        tags = ours.get(number, {"firedoor.state": "pruned"})
        differ = {name: text for name, text in tags.items() if there.tags.get(name, "") != text}
        if differ:
            changes.append((there.number, differ))
    return changes


def history_text(entries: Sequence[Entry]) -> str:
    """Return who changed what of a model, when and why, as a list, the latest first, in bounds."""
    text = ""
    for entry in reversed(entries):
        at = datetime.fromtimestamp(entry.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
        line = f"* {at} UTC, {entry.by}: {shorten(told(entry), TEXT_MAX)}"
        if len(text) + len(line) > HISTORY_CHARACTERS:
            break
        text += line + "\n"
    return text


def _told(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags that say something, none too long."""
    return {name: shorten(text, TEXT_MAX) for name, text in tags.items() if text}


def _ms(at_s: float) -> int:
    """Return an instant as the server counts."""
    return round(at_s * 1_000)
