"""Labels: what turned out to be true, joined to what both versions had predicted.

A prediction's id names the gateway that made it, and only that one knows what was predicted: labels
of another one's are forwarded to it where somebody forwards. What cannot be joined is kept in the
prediction log all the same, beside the prediction that it is about.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

from firedoor.errors import shorten
from firedoor.gateway.identity import gateway_of
from firedoor.gateway.pairing import PREDICTIONS_MAX
from firedoor.gateway.parts import Parts
from firedoor.gateway.services import Label, Labelled
from firedoor.wire.prediction import LABEL, PredictionRecord

Forward = Callable[[str, Sequence[Label]], Awaitable[list[Labelled] | None]]
"""Takes the tag of a gateway and labels of its predictions; returns what it says, None: it is not
to be reached."""


async def take_labels(
    parts: Parts, labels: Sequence[Label], forward: Forward | None
) -> list[Labelled]:
    """Take labels, and say of each what became of it, in their order."""
    told: dict[int, Labelled] = {}
    elsewhere: dict[str, list[int]] = {}
    for at, label in enumerate(labels):
        tag = gateway_of(label.prediction)
        misfit = _misfit(parts, label)
        if misfit is not None:
            told[at] = misfit
        elif tag == parts.ids.tag or forward is None:
            told[at] = _take(parts, label)
        else:
            elsewhere.setdefault(tag, []).append(at)
    for tag, places in elsewhere.items():
        theirs = [labels[at] for at in places]
        answers = None if forward is None else await forward(tag, theirs)
        for number, at in enumerate(places):
            told[at] = _take(parts, labels[at]) if answers is None else answers[number]
    return [told[at] for at in range(len(labels))]


def _misfit(parts: Parts, label: Label) -> Labelled | None:
    """Return why this is no label of any prediction; None: it may be one."""
    if not gateway_of(label.prediction):
        named = shorten(label.prediction, 80)
        said = f"{named!r} is no id of a prediction: answers say theirs in X-Firedoor-Prediction-Id"
        return Labelled("unknown", said)
    if not math.isfinite(label.value):
        return Labelled("refused", f"the label is {label.value}: send a finite number")
    if parts.plan.loss == "log_loss" and label.value not in (0, 1):
        return Labelled("refused", f"the label is {label.value:g}, and log_loss takes 0 or 1")
    return None


def _take(parts: Parts, label: Label) -> Labelled:
    """Join a label to what both versions said, if they did, and keep it in the log."""
    for trial in (parts.trial, parts.ended):
        joined = trial.pairing.label(label)
        if joined is not None:
            if joined.outcome == "joined":
                _record(parts, label)
            return joined
    if _record(parts, label):
        return Labelled("kept")
    said = (
        "it is not among the latest predictions that two versions made here "
        f"(at most {PREDICTIONS_MAX:,}, of this rollout and the one before)"
    )
    return Labelled("unknown", said)


def _record(parts: Parts, label: Label) -> bool:
    """Keep the label of a prediction's first row, for which the log has room."""
    if parts.log is None or label.row != 0 or parts.killed("log"):
        return False
    record = PredictionRecord(
        id=label.prediction, at_s=parts.clock.utc_s(), service=parts.plan.name,
        gateway=parts.gateway, arm=LABEL, label=label.value,
    )  # fmt: skip
    parts.log.put(record)
    return True
