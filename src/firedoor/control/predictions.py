"""Predictions found in their log, with what came true of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from firedoor.errors import NotKnown
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan
from firedoor.wire.prediction import LABEL, Chunk, PredictionRecord, decode_chunk, made_s

SLACK_S = 60.0
"""By which clocks of gateways and brokers may differ, and a request may take."""


def is_prediction(text: str) -> bool:
    """Return whether something looks like the id of a prediction, and not like a row's name.

    >>> is_prediction("019ac5d0b400-host7-1f2e3d4c5b6a"), is_prediction("flights-000123/17")
    (True, False)
    """
    return text[:1].isdigit() and "/" not in text and made_s(text) is not None


async def find_prediction(
    streams: Streams, plan: Plan, prediction: str
) -> tuple[PredictionRecord, PredictionRecord | None]:
    """Return the record of a prediction and, if one came, of its label.

    The log is read from the time on that the id begins with.

    Raises:
        NotKnown: if there is none: it was dropped, is on its way, or has gone.
    """
    at_s = made_s(prediction)
    if at_s is None:
        message = (
            f"{prediction!r} is no id of a prediction: they look like "
            "019ac5d0b400-host7-1f2e3d4c5b6a, and answers carry them as X-Firedoor-Prediction-Id"
        )
        raise NotKnown(message)
    found: PredictionRecord | None = None
    label: PredictionRecord | None = None
    async for chunk in streams.predictions(max(at_s - SLACK_S, 0.0)):
        if not chunk.labels and (found is not None or not _may_hold(chunk, at_s)):
            continue
        for record in decode_chunk(chunk):
            if record.id == prediction and record.arm == LABEL:
                label = record
            elif record.id == prediction:
                found = record
    if found is None:
        raise NotKnown(await _unknown(streams, plan, prediction))
    return found, label


async def predictions_between(
    streams: Streams, since_s: float, until_s: float, service: str | None = None
) -> AsyncIterator[PredictionRecord]:
    """Go through the records of a time, each once, labels among them, in the order of writing.

    Labels of these predictions that came later are among them, and so are labels of others.
    """
    seen: set[tuple[str, bool]] = set()
    async for chunk in streams.predictions(since_s, service):
        if not chunk.labels and (chunk.last_s < since_s or chunk.first_s >= until_s):
            continue
        for record in decode_chunk(chunk):
            named = (record.id, record.arm == LABEL)
            due = named[1] or since_s <= record.at_s < until_s
            if due and named not in seen:  # a chunk that was sent twice may be there twice
                seen.add(named)
                yield record


def _may_hold(chunk: Chunk, at_s: float) -> bool:
    """Return whether a prediction of that time can be in a chunk."""
    return chunk.first_s - SLACK_S <= at_s <= chunk.last_s + SLACK_S


async def _unknown(streams: Streams, plan: Plan, prediction: str) -> str:
    """Say that there is no such prediction, how far the log goes back, and what to do."""
    oldest = None
    async for chunk in streams.predictions(0.0):
        oldest = chunk.first_s
        break
    made = made_s(prediction) or 0.0
    if oldest is None:
        return f"there is no prediction {prediction}: the log of {plan.pipeline} is empty"
    if made < oldest:
        return (
            f"prediction {prediction} has gone: the log begins {oldest - made:,.0f} s after it; it "
            f"keeps {plan.retention_days:g} days, and as many bytes as it has"
        )
    return (
        f"there is no prediction {prediction}: copies are written a second after the answer, and "
        "dropped where the broker was away for long (firedoor_prediction_log_dropped_total); see "
        "that the whole id is given, and that it is of this pipeline"
    )
