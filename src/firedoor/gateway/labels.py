"""Labels: what turned out to be true, joined to what both versions had predicted.

A prediction's id names the gateway that made it, and only that one knows what was predicted: labels
of another one's are forwarded where somebody forwards, else refused by name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from firedoor.errors import shorten
from firedoor.gateway.identity import gateway_of
from firedoor.gateway.pairing import PREDICTIONS_MAX
from firedoor.gateway.parts import Parts
from firedoor.gateway.services import Label, Labelled

Forward = Callable[[str, Sequence[Label]], Awaitable[list[Labelled] | None]]
"""Takes the tag of a gateway and labels of its predictions; returns what it says, None: it is not
to be reached."""


async def take_labels(
    parts: Parts, labels: Sequence[Label], forward: Forward | None
) -> list[Labelled]:
    """Take labels, and say of each what became of it, in their order."""
    if not parts.plan.loss:
        said = f"{parts.plan.name} declares no loss: write loss='log_loss', or another, there"
        return [Labelled("refused", said)] * len(labels)
    told: list[Labelled | None] = []
    elsewhere: dict[str, list[int]] = {}
    for at, label in enumerate(labels):
        tag = gateway_of(label.prediction)
        told.append(_take(parts, label, tag))
        if tag and tag != parts.ids.tag:
            elsewhere.setdefault(tag, []).append(at)
    for tag, places in elsewhere.items():
        theirs = [labels[at] for at in places]
        answers = None if forward is None else await forward(tag, theirs)
        for at, answer in zip(places, answers or (), strict=False):
            told[at] = answer
    return [one or _not_here(label) for one, label in zip(told, labels, strict=True)]


def _take(parts: Parts, label: Label, tag: str) -> Labelled | None:
    """Take a label of our own prediction; None: it is another gateway's."""
    if not tag:
        named = shorten(label.prediction, 80)
        said = f"{named!r} is no id of a prediction: answers say theirs in X-Firedoor-Prediction-Id"
        return Labelled("unknown", said)
    if tag != parts.ids.tag:
        return None
    for trial in (parts.trial, parts.ended):
        joined = trial.pairing.label(label)
        if joined is not None:
            return joined
    said = (
        "it is not among the latest predictions that two versions made here "
        f"(at most {PREDICTIONS_MAX:,}, of this rollout and the one before)"
    )
    return Labelled("unknown", said)


def _not_here(label: Label) -> Labelled:
    """Say of a label that its gateway could not be told."""
    tag = gateway_of(label.prediction)
    return Labelled(
        "unknown", f"gateway {tag} made this prediction, and cannot be reached from here"
    )
