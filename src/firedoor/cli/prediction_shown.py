"""A prediction's story as lines."""

from __future__ import annotations

from collections.abc import Iterator

from firedoor.cli.asking import one_line
from firedoor.compose.prediction_story import ModelStory, PredictionStory
from firedoor.control.board import align
from firedoor.control.causes import clock

SHORT = 12
ROWS_MAX = 5
WORDS_CHARACTERS = 300
VALUE_CHARACTERS = 60
LETTERS = {"l": "live", "c": "cached", "d": "default", "m": "missing"}


def prediction_lines(story: PredictionStory) -> Iterator[str]:
    """Yield what is known of a prediction."""
    by = story.model.name if story.model else story.arm
    worse = f", degraded: {story.degraded}" if story.degraded else ""
    yield f"{story.id}: {story.service} at {clock(story.at_s)} in {story.seconds * 1000:.1f} ms"
    yield f"said by    {by} ({story.arm}{worse}), gateway {story.gateway}"
    if story.because:
        yield f"because    {one_line(story.because, WORDS_CHARACTERS)}"
    if story.code:
        yield f"code       {story.code[:SHORT]}"
    if story.rollout:
        yield f"rollout    {story.rollout}"
    if story.key:
        yield f"key        {one_line(story.key, VALUE_CHARACTERS)}"
    yield from _scores(story)
    yield from _asked(story)
    yield from _features(story)
    if story.model is not None:
        yield from _model(story.model)
    yield from _source(story)


def _scores(story: PredictionStory) -> Iterator[str]:
    """Yield what was said, and what came true."""
    yield f"said       {_numbers(story.scores)}"
    if story.shadow_scores:
        yield f"other      {_numbers(story.shadow_scores)} (by the other version, beside it)"
    if story.label is not None:
        at = f", told at {clock(story.label_s)}" if story.label_s else ""
        yield f"label      {story.label:g}{at}"


def _asked(story: PredictionStory) -> Iterator[str]:
    """Yield the rows that were asked."""
    if story.rows_unknown:
        yield f"asked      not known: {one_line(story.rows_unknown, WORDS_CHARACTERS)}"
        return
    for number, row in enumerate(story.rows[:ROWS_MAX]):
        told = ", ".join(
            f"{name} {one_line(repr(value), VALUE_CHARACTERS)}" for name, value in row.items()
        )
        yield f"{'asked' if not number else '':<11}{one_line(told, 4 * WORDS_CHARACTERS)}"
    if len(story.rows) > ROWS_MAX:
        yield f"{'':<11}and {len(story.rows) - ROWS_MAX:,} more rows: --json tells all"


def _features(story: PredictionStory) -> Iterator[str]:
    """Yield how good looked-up features were."""
    for group in story.features:
        age = f", up to {group.age_s:.1f} s old" if group.age_s else ""
        worse = "; ".join(f"{name}: {_counted(codes)}" for name, codes in group.codes.items())
        told = f"{group.group} {group.code}{age}{f' ({worse})' if worse else ''}"
        yield f"features   {one_line(told, WORDS_CHARACTERS)}"


def _counted(codes: str) -> str:
    """Return how many rows have each code: ``3 live, 1 default``."""
    found = (f"{codes.count(letter)} {word}" for letter, word in LETTERS.items() if letter in codes)
    return ", ".join(found)


def _model(model: ModelStory) -> Iterator[str]:
    """Yield where a version came from."""
    state = f", {model.state}" if model.state else ""
    yield f"model      {model.name}, bundle {model.digest[:SHORT]}{state}"
    if model.run:
        commit = f", commit {model.commit[:SHORT]}" if model.commit else ""
        yield f"trained    by {model.run}{commit}"
    if model.dataset:
        yield f"on         {model.dataset_name} {model.dataset[:SHORT]}"
    if model.judged:
        yield f"judged     {model.verdict} by {model.judged}"
        for sentence in model.why:
            yield f"{'':<11}{one_line(sentence, WORDS_CHARACTERS)}"
    if model.gone:
        yield f"not known  {one_line(model.gone, WORDS_CHARACTERS)}"


def _source(story: PredictionStory) -> Iterator[str]:
    """Yield where the rows came from."""
    if story.origin is None:
        told = f"{story.source}: " if story.source else ""
        yield f"rows       {told}{one_line(story.origin_unknown, WORDS_CHARACTERS)}"
        return
    origin = story.origin
    at = f", line {origin.line} of {origin.file}" if origin.line else ""
    yield f"rows       {story.source}: cut by {origin.source} at {clock(origin.cut_s)}{at}"
    for line in align(
        [
            (f"{'':<11}{'  ' * stop.depth}{stop.zone}", stop.fate, one_line(stop.words, 120))
            for stop in origin.stops
        ]
    ):
        yield line.rstrip()


def _numbers(scores: tuple[float, ...]) -> str:
    """Return the first scores."""
    shown = ", ".join(f"{score:.6g}" for score in scores[:ROWS_MAX]) or "nothing that was kept"
    return shown + (f" and {len(scores) - ROWS_MAX:,} more" if len(scores) > ROWS_MAX else "")
