"""All that is known of one prediction: what it was made of, by what, and where that came from."""

from __future__ import annotations

from pathlib import Path

import msgspec

from firedoor.compose.models import Models
from firedoor.compose.prediction_rows import rows_of
from firedoor.compose.reaching import Reached
from firedoor.compose.runs import Runs
from firedoor.control import provenance
from firedoor.control.masking import MASK
from firedoor.control.predictions import find_prediction
from firedoor.control.provenance import Story
from firedoor.errors import FiredoorError
from firedoor.registry.model import resolve
from firedoor.wire.prediction import Feature, PredictionRecord

ROWS_SHOWN_MAX = 1_000


class ModelStory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a version came from, as far as that is still known."""

    name: str
    """``delays@3``."""
    digest: str
    state: str = ""
    run: str = ""
    """Which trained it."""
    dataset: str = ""
    """Digest of the snapshot that it was trained on."""
    dataset_name: str = ""
    commit: str = ""
    judged: str = ""
    """Which run judged it."""
    verdict: str = ""
    why: tuple[str, ...] = ()
    """Of a verdict that is not to promote."""
    gone: str = ""
    """What is no longer known, and why."""


class FeatureStory(msgspec.Struct, frozen=True, kw_only=True):
    """Where a looked-up group of features came from; see ``wire.prediction.Feature``."""

    group: str
    code: str
    age_s: float
    codes: dict[str, str]
    ages_s: dict[str, tuple[float, ...]]


class PredictionStory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One prediction."""

    id: str
    at_s: float
    service: str
    code: str
    gateway: str
    arm: str
    degraded: str
    because: str = ""
    """Why the version that was to answer did not."""
    seconds: float
    key: str
    rollout: str
    rows: tuple[dict[str, object], ...]
    """What was asked and looked up; sensitive columns are masked."""
    rows_unknown: str = ""
    """Why there are none."""
    features: tuple[FeatureStory, ...] = ()
    scores: tuple[float, ...] = ()
    shadow_scores: tuple[float, ...] = ()
    label: float | None = None
    label_s: float | None = None
    """When that came."""
    model: ModelStory | None = None
    """None: no model said it."""
    source: str = ""
    origin: Story | None = None
    """The way of the rows that it was made of."""
    origin_unknown: str = ""


async def trace_prediction(reached: Reached, project: Path, prediction: str) -> PredictionStory:
    """Tell all that is known of a prediction.

    Args:
        reached: the pipeline's streams.
        project: what ``.firedoor`` is in.
        prediction: its id.

    Raises:
        NotKnown: if the log does not have it.
    """
    plan = reached.plan
    record, label = await find_prediction(reached.streams, plan, prediction)
    hidden = reached.sensitive
    rows = rows_of(record, hidden)
    origin, unknown = await _origin(reached, record)
    known = {service.name: service.version for service in plan.services}
    return PredictionStory(
        id=record.id,
        at_s=record.at_s,
        service=record.service,
        code=record.code or known.get(record.service, ""),
        gateway=record.gateway,
        arm=record.arm,
        degraded=record.degraded,
        because=_because(record, hidden),
        seconds=record.seconds,
        key="***" if _is_hidden_key(record, hidden, reached) else record.key,
        rollout=record.rollout,
        rows=() if isinstance(rows, str) else tuple(rows[:ROWS_SHOWN_MAX]),
        rows_unknown=rows if isinstance(rows, str) else "",
        features=tuple(_feature(group) for group in record.features),
        scores=record.scores,
        shadow_scores=record.shadow_scores,
        label=None if label is None else label.label,
        label_s=None if label is None else label.at_s,
        model=_model(record, project) if record.model else None,
        source=record.source,
        origin=origin,
        origin_unknown=unknown,
    )


def _because(record: PredictionRecord, hidden: frozenset[str]) -> str:
    """Return why the version did not answer; what it raised may name a value that is masked."""
    rows = rows_of(record) if hidden and record.because else ""
    if isinstance(rows, str):
        return record.because if not hidden else ""
    said = record.because
    for row in rows:
        for name in hidden & row.keys():
            said = said.replace(str(row[name]), MASK) if str(row[name]) else said
    return said


def _feature(group: Feature) -> FeatureStory:
    """Return a group with the names of what is told of it."""
    return FeatureStory(
        group=group.group, code=group.code, age_s=group.age_s, codes=group.codes,
        ages_s=group.ages_s,
    )  # fmt: skip


def _is_hidden_key(record: PredictionRecord, hidden: frozenset[str], reached: Reached) -> bool:
    """Return whether the key is a value of a sensitive column."""
    columns = {service.name: service.key for service in reached.plan.services}
    return columns.get(record.service, "") in hidden


async def _origin(reached: Reached, record: PredictionRecord) -> tuple[Story | None, str]:
    """Return the way of the rows that a caller says it asked for, or why that is not known."""
    if not record.source:
        return None, "the caller did not say (X-Firedoor-Source: flights-000123/17)"
    unknown = ""
    for one in filter(None, (reached, reached.beside)):
        try:
            return await provenance.trace(one.streams, one.plan, record.source), ""
        except FiredoorError as error:
            unknown = str(error)
    return None, unknown


def _model(record: PredictionRecord, project: Path) -> ModelStory:
    """Return where the version came from."""
    name = f"{record.model}@{record.version}"
    story = ModelStory(name=name, digest=record.digest)
    try:
        version = resolve(Models(project).read(record.model).state, str(record.version))
    except FiredoorError as error:
        return msgspec.structs.replace(story, gone=str(error))
    if record.digest and version.digest != record.digest:
        gone = f"{name} is another bundle in this registry, {version.digest}"
        return msgspec.structs.replace(story, gone=gone)
    story = msgspec.structs.replace(
        story, digest=version.digest, state=version.state, run=version.run, judged=version.judged,
        verdict=version.verdict,
    )  # fmt: skip
    return _of_runs(story, Runs(project))


def _of_runs(story: ModelStory, runs: Runs) -> ModelStory:
    """Return a story with what the runs that made and judged the version recorded."""
    gone: list[str] = []
    if story.run:
        try:
            made = runs.read(story.run)
        except FiredoorError as error:
            gone.append(str(error))
        else:
            read = made.input
            story = msgspec.structs.replace(
                story,
                commit=made.code.commit,
                dataset=read.digest if read else "",
                dataset_name=read.dataset if read else "",
            )
    if story.judged:
        try:
            judged = runs.read(story.judged)
        except FiredoorError as error:
            gone.append(str(error))
        else:
            if judged.verdict is not None:
                note = judged.verdict
                story = msgspec.structs.replace(story, verdict=note.word, why=note.judgement.why)
    return msgspec.structs.replace(story, gone="; ".join(gone))
