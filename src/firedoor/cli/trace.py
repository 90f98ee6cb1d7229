"""``firedoor trace``: the way of a row, from its line to where it ended, or to a prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.cli.asking import JsonOption, NatsOption, ProjectOption, ask, one_line
from firedoor.cli.prediction_shown import prediction_lines
from firedoor.compose.prediction_story import PredictionStory, trace_prediction
from firedoor.compose.reaching import reach
from firedoor.control import provenance
from firedoor.control.board import align
from firedoor.control.causes import clock
from firedoor.control.predictions import is_prediction
from firedoor.control.provenance import Story, find_row
from firedoor.errors import NotKnown

WORDS_CHARACTERS = 300


def trace(
    row: Annotated[
        str | None,
        typer.Argument(help="flights-000123/4711, flights-000123, or the id of a prediction."),
    ] = None,
    *,
    file: Annotated[
        str | None, typer.Option(help="A file that a source reads: goes forward.")
    ] = None,
    line: Annotated[int | None, typer.Option(help="A line of it, from 1.", min=1)] = None,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Tell the way of a row, or all that is known of a prediction.

    File and line, each zone with version and time, and where it ended. Of a prediction: what was
    asked and looked up, which version said what, where that came from, and where the rows did.
    """

    async def work() -> Story | PredictionStory:
        if (row is None) == (file is None) or (file is None) != (line is None):
            message = (
                "one row is told at a time: give flights-000123/4711, or --file and --line, or the "
                "id of a prediction; "
                "`firedoor dlq` names rows that died"
            )
            raise NotKnown(message)
        name = row or ""
        async with reach(project, nats=nats, services=is_prediction(name)) as reached:
            if is_prediction(name):
                return await trace_prediction(reached, project, name)
            if file is not None and line is not None:
                name = await find_row(reached.streams, reached.plan, file, line)
            return await provenance.trace(reached.streams, reached.plan, name)

    story = ask(work())
    if as_json:
        print(msgspec.json.encode(story).decode())
        return
    for text in prediction_lines(story) if isinstance(story, PredictionStory) else tell(story):
        print(text)


def tell(story: Story) -> list[str]:
    """Return a story as lines."""
    name = story.batch if story.row is None else f"{story.batch}/{story.row}"
    came = f"cut by {story.source}"
    if story.file:
        at = f"line {story.line} of" if story.row is not None else f"from line {story.line} of"
        came = f"{at} {story.file}, read by {story.source}"
    lines = [f"{name}: {came} at {clock(story.cut_s)}"]
    if story.lookups:
        pinned = ", ".join(f"{key} {version}" for key, version in story.lookups.items())
        lines.append(f"lookups: {pinned}")
    lines.append("")
    rows = []
    for stop in story.stops:
        tried = ", ".join(f"{count} {cause}" for cause, count in stop.attempts.items())
        notes = [stop.words]
        if stop.line:
            notes.append(f"at {stop.line}")
        if stop.deliveries > 1:
            notes.append(f"delivered {stop.deliveries} times")
        if tried:
            notes.append(f"runs that came to nothing: {tried}")
        rows.append(
            (
                "  " * stop.depth + stop.zone,
                stop.fate,
                clock(stop.at_s) if stop.at_s else "",
                f"{stop.seconds:.3f} s" if stop.at_s else "",
                stop.version[:12],
                one_line("; ".join(notes), WORDS_CHARACTERS),
            )
        )
    lines += align(rows)
    lines.append("")
    lines += [f"ended in {end}" for end in story.ends] or ["it went nowhere from here"]
    return lines
