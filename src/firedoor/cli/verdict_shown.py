"""A verdict as lines: the word, rule by rule, figures, worst slices, what to know beside it."""

from __future__ import annotations

from collections.abc import Iterator

from firedoor.cli.asking import one_line
from firedoor.control.board import align
from firedoor.wire.run import RunRecord
from firedoor.wire.verdict import Figure, Judgement, VerdictNote

LINE_CHARACTERS = 240
SHORT = 12
MARKS = {"pass": "kept", "hold": "open", "reject": "broken"}


def verdict_lines(verdict: VerdictNote, *, repeated: bool = False) -> Iterator[str]:
    """Yield what an evaluation says; one that repeats another gives its verdict to nobody."""
    given = "" if verdict.given or repeated else ", which the registry did not take"
    yield f"verdict    {verdict.word} {verdict.judged}{given}"
    for rule in verdict.judgement.rules:
        told = one_line(f"{rule.rule}: {rule.sentence}", LINE_CHARACTERS)
        yield f"{MARKS[rule.outcome]:<11}{told}"
    yield from ground_lines(verdict)
    yield from figure_lines(verdict.judgement)


def ground_lines(verdict: VerdictNote) -> Iterator[str]:
    """Yield on what ground a verdict stands."""
    against = verdict.champion or "no champion"
    yield f"on         {verdict.rows:,} rows, part {verdict.part} of {verdict.dataset}"
    yield f"against    {against}"
    for note in verdict.notes:
        yield f"note       {one_line(note, LINE_CHARACTERS)}"


def figure_lines(judgement: Judgement) -> Iterator[str]:
    """Yield figures with intervals, the worst slices, calibration."""
    rows = []
    for name, figure in judgement.metrics.items():
        old = judgement.champion.get(name)
        rows.append((f"  {name}", shown(figure), "" if old is None else f"champion {old:.4g}"))
    calibration = judgement.calibration
    if calibration is not None:
        chance = "" if calibration.chance is None else f"chance {calibration.chance:.2g}"
        rows.append(("  calibration (rmsce)", shown(calibration.rmsce), chance))
    for note, worst in judgement.worst():
        name = f"  worst {note.metric} by {note.column}"
        counted = f"of {len(note.slices)}, {note.small} too small"
        rows.append((name, f"{one_line(worst.value, 40)}: {shown(worst.figure)}", counted))
    if rows:
        yield "figures"
        yield from (line.rstrip() for line in align(rows))


def shown(figure: Figure) -> str:
    """Return a figure and its interval."""
    if figure.value is None:
        return f"not known: {one_line(figure.why, 120)}"
    return f"{figure.value:.4g} ({figure.low:.4g} to {figure.high:.4g})"


def training_line(record: RunRecord) -> str:
    """Return which run made a version, and of what."""
    read = "nothing" if record.input is None else record.input.snapshot
    commit = f", commit {record.code.commit[:SHORT]}" if record.code.commit else ""
    changed = " with changes" if record.code.diff else ""
    code = f"code {record.code.version}{commit}{changed}"
    return f"trained    {record.id} on {read}, seed {record.seed}, {code}"


def compared(verdict: VerdictNote) -> dict[str, str]:
    """Return what is compared of two verdicts: on what ground, intervals, worst slices."""
    judgement = verdict.judgement
    found = {
        "verdict": verdict.word,
        "against": verdict.champion or "no champion",
        "rows": f"{verdict.part} of {verdict.dataset}",
        **{name: shown(figure) for name, figure in judgement.metrics.items()},
    }
    if judgement.calibration is not None:
        found["rmsce"] = shown(judgement.calibration.rmsce)
    for note, worst in judgement.worst():
        found[f"worst {note.metric} by {note.column}"] = f"{worst.value}: {shown(worst.figure)}"
    return found
