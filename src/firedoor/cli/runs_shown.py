"""Runs of jobs as tables and lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from firedoor.cli.asking import one_line
from firedoor.cli.verdict_shown import verdict_lines
from firedoor.control.board import ago
from firedoor.flow.triggers import Due
from firedoor.spec.plan import JobPlan
from firedoor.units import format_bytes, format_seconds
from firedoor.wire.run import Difference, Event, RunRecord

if TYPE_CHECKING:
    from rich.table import Table

SHORT = 12
TEXT_CHARACTERS = 70
LINE_CHARACTERS = 200
METRICS_SHOWN = 3
EVENTS_SHOWN = 20
LINES_SHOWN = 5
DIFFERENCES_SHOWN = 20


def runs_table(records: list[RunRecord], *, now_s: float) -> Table:
    """Return a line a run."""
    from rich.table import Table  # noqa: PLC0415 - not needed where JSON is wanted
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="")
    for name in ("run", "outcome", "began", "took", "peak", "figures", "model", "why"):
        table.add_column(name)
    for record in records:
        figures = [f"{name} {value:.4g}" for name, value in record.metrics.items()]
        more = ["..."] if len(figures) > METRICS_SHOWN else []
        end_s = record.ended_s or now_s
        cells = (
            record.id,
            outcome_of(record),
            f"{ago(now_s - record.started_s)} ago",
            format_seconds(end_s - record.started_s),
            format_bytes(record.peak_bytes),
            one_line(", ".join(figures[:METRICS_SHOWN] + more), TEXT_CHARACTERS),
            record.model or _judged(record),
            one_line(record.message.partition("\n")[0], TEXT_CHARACTERS),
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table


def next_lines(found: Iterable[tuple[JobPlan, Due | None]], *, now_s: float) -> Iterator[str]:
    """Yield when each job with a trigger runs next."""
    for job, due in found:
        when = f"runs {job.trigger.words}"
        if due is not None:
            left_s = due.at_s - now_s
            soon = f"in {ago(left_s)}" if left_s > 0 else "now"
            when = f"is due {soon}: {one_line(due.because.said, TEXT_CHARACTERS)}"
        yield f"{job.name} {when}"


def run_lines(record: RunRecord, *, details: bool) -> Iterator[str]:
    """Yield what came of a run; with details, also where it came from."""
    took = "" if record.ended_s is None else f" in {format_seconds(_took_s(record))}"
    yield f"run        {record.id}: {outcome_of(record)}{took}"
    yield from _block("why", record.message.splitlines())
    if record.done is not None and record.verdict is None:
        of = "" if record.total is None else f" of {record.total:g}"
        step = f" at {one_line(record.step, TEXT_CHARACTERS)}" if record.step else ""
        yield f"progress   {record.done:g}{of}{step}"
    yield f"peak       {format_bytes(record.peak_bytes)}"
    if record.verdict is not None:
        yield from verdict_lines(record.verdict, repeated=bool(record.reproduces))
    elif record.judges:
        yield f"judges     {record.judges}"
    if record.metrics and record.verdict is None:
        figures = ", ".join(f"{name} {value:.6g}" for name, value in record.metrics.items())
        yield f"figures    {one_line(figures, LINE_CHARACTERS)}"
    if record.model:
        yield f"model      {record.model}"
    yield from _drilled(record)
    if record.checkpoints and record.outcome != "done":
        kept = ", ".join(record.checkpoints)
        yield f"kept       {kept}: run the same again to go on from there"
    yield from difference_lines(record)
    if len(record.attempts) > 1 and record.causes:
        told = ", ".join(f"{cause} {count}" for cause, count in record.causes.items())
        yield f"attempts   {len(record.attempts)} ({told})"
    if record.outcome != "done":
        yield from _block("said", record.last_lines.splitlines()[-LINES_SHOWN:])
    yield from _seal(record, details=details)
    if details:
        yield from _origin(record)


def _drilled(record: RunRecord) -> Iterator[str]:
    """Yield which fault of a drill was wanted of it, and what that changed."""
    if record.drilled:
        changed = f"{record.changed:,} rows of what it read were changed"
        yield f"drilled    {record.drilled}{f': {changed}' if record.changed else ''}"


def difference_lines(record: RunRecord) -> Iterator[str]:
    """Yield in what a run differs from the one that it repeats; what came of it first."""
    if not record.reproduces:
        return
    yield f"repeats    {record.reproduces}"
    yield f"result     {'identical' if record.identical else 'not the same'}"
    for counts, heading in ((True, "differs"), (False, "besides")):
        told = [_difference(one) for one in record.differences if one.counts is counts]
        more = [f"and {len(told) - DIFFERENCES_SHOWN} more"] if told[DIFFERENCES_SHOWN:] else []
        yield from _block(heading, told[:DIFFERENCES_SHOWN] + more)


def _difference(one: Difference) -> str:
    """Say one difference."""
    name = f" {one.name}" if one.name else ""
    short = SHORT if one.what == "file" else TEXT_CHARACTERS
    return f"{one.what}{name}: {one.before[:short]}, now {one.now[:short]}"


def _seal(record: RunRecord, *, details: bool) -> Iterator[str]:
    """Yield what of the seal was in force, where that is asked for or is not all of it."""
    if record.seal.level and (details or record.seal.level != "full"):
        missing = "".join(f"; {name}: {why}" for name, why in record.seal.missing.items())
        yield f"seal       {record.seal.level}{one_line(missing, LINE_CHARACTERS)}"


def _block(what: str, lines: list[str]) -> Iterator[str]:
    """Yield lines under a heading."""
    for number, line in enumerate(lines):
        yield f"{'' if number else what:<11}{one_line(line, LINE_CHARACTERS)}"


def event_lines(events: list[Event]) -> Iterator[str]:
    """Yield the latest events."""
    for event in events[-EVENTS_SHOWN:]:
        value = "" if event.value is None else f" {event.value:g}"
        said = one_line(event.said, TEXT_CHARACTERS)
        yield f"{_time(event.at_s)}  {event.what:<10}  {said}{value}"


def outcome_of(record: RunRecord) -> str:
    """Return the outcome, with the cause where it says more."""
    same = record.cause in {"", record.outcome}
    return record.outcome if same else f"{record.outcome} ({record.cause})"


def _judged(record: RunRecord) -> str:
    """Return the version that an evaluation judges, and how."""
    return record.judges if record.verdict is None else f"{record.judges}: {record.verdict.word}"


def _origin(record: RunRecord) -> Iterator[str]:
    """Yield where a run comes from."""
    code = record.code
    commit = f", commit {code.commit[:SHORT]}" if code.commit else ""
    changed = f" with changes {code.diff[:SHORT]}" if code.diff else ""
    yield f"began      {_time(record.started_s)} by {one_line(record.by, TEXT_CHARACTERS)}"
    yield f"code       {record.job} {code.version}{commit}{changed}"
    parameters = ", ".join(f"{name}={value}" for name, value in record.parameters.items())
    yield f"parameters {one_line(parameters or '-', LINE_CHARACTERS)}; seed {record.seed}"
    if record.input is not None:
        read = record.input
        parts = ", ".join(
            f"{name} {rows:,}{' (sealed)' if name in read.sealed else ''}"
            for name, rows in read.parts.items()
        )
        yield f"input      {read.snapshot}: {read.rows:,} rows, {format_bytes(read.bytes)}"
        yield f"parts      {one_line(parts, LINE_CHARACTERS)}"
    if record.because is not None:
        yield f"because    {one_line(record.because.said, LINE_CHARACTERS)}"
    if record.resumes:
        yield f"resumes    {record.resumes}"
    yield f"libraries  {', '.join(f'{name}={one}' for name, one in record.libraries.items())}"
    machine = record.machine
    memory = format_bytes(machine.memory_bytes)
    yield f"machine    {machine.host}, {machine.platform}, {machine.cpus} cores, {memory}"


def _took_s(record: RunRecord) -> float:
    """Return how long a run that has ended took."""
    return max(0.0, (record.ended_s or record.started_s) - record.started_s)


def _time(at_s: float) -> str:
    """Return a moment."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S}"
