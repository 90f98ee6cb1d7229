"""Whether new code of a step may take the place of the old: what both made of the same batches.

Pure. The old code is live; the new one ran beside it on copies of the same batches, and its output
was thrown away. No data is never a pass, and what differs needs a person's word, since a correction
is meant to differ: only code that makes the same takes over by itself.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, TypeVar

import msgspec

from firedoor.units import format_bytes

EXAMPLES_MAX = 20
"""Columns of which a differing row is kept."""
PAIRS_MAX = 200
"""Batches, the latest, of which it is kept how long both took."""
COUNTED_MAX = 100
"""Columns and signatures counted; further ones are counted as one."""
OTHERS = "(others)"
FAULTS_MAX = 5
ROWS = "rows"
DEAD = "dead"
DROPPED = "dropped"
ANY = "*"

T = TypeVar("T")
Word = Literal["same", "allowed", "differs", "worse", "not yet"]


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One row in which both differ."""

    batch: str
    row: int
    """Its number in the batch, where that is known; else its place in the output."""
    old: str
    new: str


class Compared(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What both made of one batch."""

    batch: str
    rows: int
    """That went in."""
    rows_old: int = 0
    rows_new: int = 0
    matched: int = 0
    """Output rows of both that came from one and the same row, as far as that is known."""
    lost: int = 0
    """Rows that came out of the old code alone; ``gained``: of the new one alone."""
    gained: int = 0
    columns: dict[str, int] = {}
    """Matched rows that differ, by column; of a column that only one has, or has in another type,
    all of them."""
    shapes: dict[str, str] = {}
    """What is another about a column as a whole: ``is missing``, ``is new (Int64)``."""
    drift: dict[str, float] = {}
    """Where rows cannot be told apart: greatest distance between the two distributions, 0 to 1."""
    examples: dict[str, Example] = {}
    dead_old: dict[str, int] = {}
    """Dead rows by signature, without the line, which any change moves."""
    dead_new: dict[str, int] = {}
    dropped_old: dict[str, int] = {}
    dropped_new: dict[str, int] = {}
    step_s_old: float = 0.0
    """In the step itself."""
    step_s_new: float = 0.0
    """0: not known, as of the first batch in a process, which pays for its start."""
    peak_bytes_old: int = 0
    """Most memory of one worker so far."""
    peak_bytes_new: int = 0
    lost_old: int = 0
    """Workers that died over it."""
    lost_new: int = 0


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was seen so far: a fold of batches, also across processes and restarts."""

    batches: int = 0
    rows: int = 0
    rows_old: int = 0
    rows_new: int = 0
    matched: int = 0
    lost: int = 0
    gained: int = 0
    columns: dict[str, int] = {}
    shapes: dict[str, str] = {}
    drift: dict[str, float] = {}
    examples: dict[str, Example] = {}
    dead_old: dict[str, int] = {}
    dead_new: dict[str, int] = {}
    dropped_old: dict[str, int] = {}
    dropped_new: dict[str, int] = {}
    pairs: tuple[tuple[float, float], ...] = ()
    """Seconds in the old and the new step, of the latest batches in which both are known."""
    peak_bytes_old: int = 0
    peak_bytes_new: int = 0
    workers_old: int = 0
    """Workers that died over batches that were compared."""
    workers_new: int = 0
    deaths: int = 0
    """Ends of the process in which the new code is kept, which nobody had asked for."""
    faults: tuple[str, ...] = ()
    """What the new code did that it must not, in words: it raised, hung, could not be loaded."""
    skipped: int = 0
    """Batches that came while another one waited: the live zone waits for nobody."""
    waited: int = 0
    """Batches that could not be tried, since what the step needs was away for it."""
    last: str = ""
    """Why, of the latest of these or of the latest death."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePolicy:
    """What has to be seen, and what is bad enough to be called worse."""

    batches_min: int = 20
    rows_min: int = 10_000
    """Both are needed."""
    allow: tuple[str, ...] = ()
    """Columns that may differ; and ``rows``, ``dead``, ``dropped``; ``*`` is every column."""
    slower_max: float = 1.5
    """Median of the ratio of seconds in the step."""
    timed_min: int = 5
    """Batches below which time is not judged: that each of five is slower has a chance of 1/32."""
    slack_s: float = 0.005
    """Median difference up to which a step is not called slower, whatever the ratio."""
    memory_max: float = 2.0
    """Ratio of the most memory of one worker."""
    slack_bytes: int = 64 * 2**20
    chance_max: float = 0.05
    """Probability of so many more dead rows, or more, if both were alike."""
    deaths_max: int = 1
    """Workers and processes of the new code that may end for nothing: one may be killed from
    outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeVerdict:
    """What the evidence says."""

    word: Word
    why: tuple[str, ...]
    """In words, the most important first; never empty."""
    complete: bool
    """Whether more batches could change nothing that matters: enough were seen, or it failed."""
    progress: str = field(default="")

    @property
    def passes(self) -> bool:
        """Whether the new code may take over without a person."""
        return self.complete and self.word in {"same", "allowed"}


def add(evidence: Evidence, compared: Compared) -> Evidence:
    """Return the evidence with one more batch."""
    pair = (compared.step_s_old, compared.step_s_new)
    pairs = (*evidence.pairs, pair) if min(pair) > 0 else evidence.pairs
    return msgspec.structs.replace(
        evidence,
        batches=evidence.batches + 1,
        rows=evidence.rows + compared.rows,
        rows_old=evidence.rows_old + compared.rows_old,
        rows_new=evidence.rows_new + compared.rows_new,
        matched=evidence.matched + compared.matched,
        lost=evidence.lost + compared.lost,
        gained=evidence.gained + compared.gained,
        columns=_summed(evidence.columns, compared.columns),
        shapes=_kept(evidence.shapes, compared.shapes),
        drift=_greatest(evidence.drift, compared.drift),
        examples=_kept(evidence.examples, compared.examples, most=EXAMPLES_MAX),
        dead_old=_summed(evidence.dead_old, compared.dead_old),
        dead_new=_summed(evidence.dead_new, compared.dead_new),
        dropped_old=_summed(evidence.dropped_old, compared.dropped_old),
        dropped_new=_summed(evidence.dropped_new, compared.dropped_new),
        pairs=pairs[-PAIRS_MAX:],
        peak_bytes_old=max(evidence.peak_bytes_old, compared.peak_bytes_old),
        peak_bytes_new=max(evidence.peak_bytes_new, compared.peak_bytes_new),
        workers_old=evidence.workers_old + compared.lost_old,
        workers_new=evidence.workers_new + compared.lost_new,
    )


def join(evidence: Evidence, more: Evidence) -> Evidence:
    """Return two pieces of evidence as one: what a process saw since it wrote last."""
    return Evidence(
        batches=evidence.batches + more.batches,
        rows=evidence.rows + more.rows,
        rows_old=evidence.rows_old + more.rows_old,
        rows_new=evidence.rows_new + more.rows_new,
        matched=evidence.matched + more.matched,
        lost=evidence.lost + more.lost,
        gained=evidence.gained + more.gained,
        columns=_summed(evidence.columns, more.columns),
        shapes=_kept(evidence.shapes, more.shapes),
        drift=_greatest(evidence.drift, more.drift),
        examples=_kept(evidence.examples, more.examples, most=EXAMPLES_MAX),
        dead_old=_summed(evidence.dead_old, more.dead_old),
        dead_new=_summed(evidence.dead_new, more.dead_new),
        dropped_old=_summed(evidence.dropped_old, more.dropped_old),
        dropped_new=_summed(evidence.dropped_new, more.dropped_new),
        pairs=(*evidence.pairs, *more.pairs)[-PAIRS_MAX:],
        peak_bytes_old=max(evidence.peak_bytes_old, more.peak_bytes_old),
        peak_bytes_new=max(evidence.peak_bytes_new, more.peak_bytes_new),
        workers_old=evidence.workers_old + more.workers_old,
        workers_new=evidence.workers_new + more.workers_new,
        deaths=evidence.deaths + more.deaths,
        faults=(*evidence.faults, *more.faults)[:FAULTS_MAX],
        skipped=evidence.skipped + more.skipped,
        waited=evidence.waited + more.waited,
        last=more.last or evidence.last,
    )


def judge(evidence: Evidence, policy: CodePolicy) -> CodeVerdict:
    """Say what the evidence says of the new code."""
    enough = evidence.batches >= policy.batches_min and evidence.rows >= policy.rows_min
    progress = (
        f"{evidence.batches:,} of {policy.batches_min:,} batches, "
        f"{evidence.rows:,} of {policy.rows_min:,} rows"
    )
    broken = _broken(evidence, policy)
    worse = [*broken, *_costlier(evidence, policy, enough=enough)]
    differs, allowed = _differences(evidence, policy)
    if worse:
        complete = bool(broken) or enough
        why = (*worse, *differs)
        return CodeVerdict(word="worse", why=why, complete=complete, progress=progress)
    if differs:
        return CodeVerdict(word="differs", why=tuple(differs), complete=enough, progress=progress)
    if not enough:
        return CodeVerdict(word="not yet", why=(progress,), complete=False, progress=progress)
    if allowed:
        return CodeVerdict(word="allowed", why=tuple(allowed), complete=True, progress=progress)
    same = f"the same rows and values in {evidence.batches:,} batches, {evidence.rows:,} rows"
    if len(evidence.pairs) < policy.timed_min:
        same += ", too few to compare how long it takes"
    return CodeVerdict(word="same", why=(same,), complete=True, progress=progress)


def slower(evidence: Evidence) -> float | None:
    """Return the median ratio of seconds in the step, new to old; None where nothing is known."""
    ratios = [new / old for old, new in evidence.pairs]
    return statistics.median(ratios) if ratios else None


def chance_of_more(old: int, new: int) -> float:
    """Return the probability that of ``old + new`` dead rows so many fall to the new, or more.

    The exact conditional test: where both are alike, each dead row is either's with one half.

    >>> chance_of_more(0, 5)
    0.03125
    """
    total = old + new
    more = sum(math.comb(total, count) for count in range(new, total + 1))
    return float(Fraction(more, 2**total))


def _broken(evidence: Evidence, policy: CodePolicy) -> list[str]:
    """Return what the new code did that it must not do once."""
    found = list(evidence.faults)
    ended = max(0, evidence.workers_new - evidence.workers_old)
    if ended > policy.deaths_max:
        found.append(f"{ended:,} of its workers died where none of the old code's did")
    if evidence.deaths > policy.deaths_max:
        found.append(f"the process that keeps it died {evidence.deaths:,} times: {evidence.last}")
    old, new = sum(evidence.dead_old.values()), sum(evidence.dead_new.values())
    if new > old and _chance(old, new) < policy.chance_max:
        more = {
            name: rows - evidence.dead_old.get(name, 0) for name, rows in evidence.dead_new.items()
        }
        name = max(more, key=lambda each: more[each])
        found.append(f"{new:,} rows die of it, {old:,} of the old code: most by {name}")
    return found


def _chance(old: int, new: int) -> float:
    """Return how likely so many more are; far beyond doubt the sum would only take long."""
    many = 10_000
    return chance_of_more(old, new) if old + new <= many else 0.0 if new > 1.05 * old else 1.0


def _costlier(evidence: Evidence, policy: CodePolicy, *, enough: bool) -> list[str]:
    """Return in what the new code costs more than it may."""
    found = []
    ratio = slower(evidence)
    timed = enough and len(evidence.pairs) >= policy.timed_min
    if timed and ratio is not None and ratio > policy.slower_max:
        more_s = statistics.median([new - old for old, new in evidence.pairs])
        if more_s > policy.slack_s:
            found.append(
                f"it takes {ratio:.1f} times as long in the median, and {policy.slower_max:g} "
                f"times are allowed ({more_s * 1e3:.0f} ms more a batch)"
            )
    old, new = evidence.peak_bytes_old, evidence.peak_bytes_new
    if old and new > policy.memory_max * old and new - old > policy.slack_bytes:
        found.append(
            f"a worker of it takes {format_bytes(new)} and one of the old code {format_bytes(old)}"
        )
    return found


def _differences(evidence: Evidence, policy: CodePolicy) -> tuple[list[str], list[str]]:
    """Return what differs, and what differs and may."""
    differs: list[str] = []
    allowed: list[str] = []
    for name, words in _told(evidence).items():
        plain = name in {ROWS, DEAD, DROPPED}
        may = name in policy.allow or (ANY in policy.allow and not plain)
        (allowed if may else differs).append(words)
    return differs, [f"{words} (allowed)" for words in allowed]


def _told(evidence: Evidence) -> dict[str, str]:
    """Return what differs in words, by column or as ``rows``, ``dead``, ``dropped``."""
    told = {}
    if evidence.lost or evidence.gained or evidence.rows_old != evidence.rows_new:
        told[ROWS] = (
            f"rows: {evidence.rows_new:,} come out, {evidence.rows_old:,} of the old code; "
            f"{evidence.lost:,} of its alone, {evidence.gained:,} of the new alone"
            + _example(evidence.examples.get(ROWS))
        )
    if evidence.dead_old != evidence.dead_new:
        told[DEAD] = f"dead rows: {_both(evidence.dead_old, evidence.dead_new)}"
    if evidence.dropped_old != evidence.dropped_new:
        told[DROPPED] = f"dropped rows: {_both(evidence.dropped_old, evidence.dropped_new)}"
    for name in dict.fromkeys((*evidence.shapes, *evidence.columns, *evidence.drift)):
        told[name] = f"column {name}: {_of_column(evidence, name)}"
    return told


def _of_column(evidence: Evidence, name: str) -> str:
    """Say how one column differs."""
    if name in evidence.shapes:
        return evidence.shapes[name]
    example = _example(evidence.examples.get(name))
    if name in evidence.columns:
        rows = evidence.columns[name]
        share = rows / max(1, evidence.matched)
        return f"{rows:,} of {evidence.matched:,} rows differ ({share:.2%}){example}"
    drift = evidence.drift[name]
    return f"its values are distributed otherwise (distance {drift:.3f} of 1){example}"


def _example(example: Example | None) -> str:
    """Say where one row differs."""
    if example is None:
        return ""
    return f", as row {example.row:,} of {example.batch}: {example.old} is now {example.new}"


def _both(old: Mapping[str, int], new: Mapping[str, int]) -> str:
    """Say how many each reason has, where they differ."""
    names = [name for name in {**old, **new} if old.get(name, 0) != new.get(name, 0)]
    said = [f"{new.get(name, 0):,} by {name}, {old.get(name, 0):,} before" for name in names]
    return "; ".join(said[:FAULTS_MAX])


def _summed(one: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """Return two counts as one; of too many kinds the further ones count as one."""
    total = dict(one)
    for name, count in more.items():
        kind = name if name in total or len(total) < COUNTED_MAX else OTHERS
        total[kind] = total.get(kind, 0) + count
    return total


def _kept(one: Mapping[str, T], more: Mapping[str, T], *, most: int = COUNTED_MAX) -> dict[str, T]:
    """Return what is known of each kind first, of so many kinds at most."""
    joined = {**more, **one}
    return {name: joined[name] for name in [*one, *(n for n in more if n not in one)][:most]}


def _greatest(one: Mapping[str, float], more: Mapping[str, float]) -> dict[str, float]:
    """Return the greatest value of each kind."""
    joined = {name: max(one.get(name, 0.0), more.get(name, 0.0)) for name in {**one, **more}}
    return dict(list(joined.items())[:COUNTED_MAX])
