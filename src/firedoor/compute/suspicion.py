"""When to stop suspecting rows: too many fail alike, or the search takes too long."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from firedoor.compute import ipc, outputs
from firedoor.compute.conversation import Conversation, Manner, try_spawned
from firedoor.compute.crew import Crew
from firedoor.compute.outputs import Output
from firedoor.compute.report import Tally
from firedoor.errors import StepAtFault
from firedoor.isolation import contrast, narrow
from firedoor.isolation.narrow import Cause, Failure, Search, Slice
from firedoor.spec.wall import WallOptions
from firedoor.units import format_seconds

SLICE_LIMIT_MIN_S = 0.2
PROBES = {"death": 16, "error": 64}
PROBE_AFTER = {"death": 2, "error": 8}
"""A search looks around after so many deaths, or rows that raise."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is known of a schema without looking at it: its name, and the columns of its rules."""

    name: str
    columns_of: Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every batch of a wall."""

    options: WallOptions
    schema: Rules | None
    out_schema: Rules | None
    contrast: contrast.ContrastPolicy
    narrow: narrow.NarrowPolicy = field(default_factory=narrow.NarrowPolicy)


class Suspicion:
    """Holds the search in one batch to its bounds, and tells rows from the step."""

    def __init__(
        self,
        talk: Conversation,
        *,
        crew: Crew,
        terms: Terms,
        tally: Tally,
        batch_rows: int,
        manner: Manner,
    ) -> None:
        """Prepare for a batch of so many rows."""
        self._manner = manner
        self._talk = talk
        self._crew = crew
        self._terms = terms
        self._options = terms.options
        self._tally = tally
        self._batch_rows = batch_rows
        self._deadline = 0.0
        self._probed: set[str] = set()
        self.deaths = 0
        """Workers that died over the batch before the search began."""

    def start_clock(self) -> None:
        """Begin to count the time that the search may take."""
        self._deadline = (
            time.monotonic() + self._options.timeout_s + self._options.isolation_limit_s
        )

    def limit_s(self, part: Slice, *, of: int) -> float:
        """Return how long a slice of so many rows may take: its share, but never an unfair one.

        A row that is tried alone again has the whole limit to itself, so that nobody is guilty of
        being slower than its share.
        """
        whole = self._options.timeout_s
        if part.rows >= of or part.alone:
            return whole
        share = whole * part.rows / max(1, of)
        return min(whole, max(SLICE_LIMIT_MIN_S, 3 * self._crew.fixed_s, share))

    def check_budget(self, search: Search) -> None:
        """Give up a search that takes too long: so many faults are no matter of rows."""
        if time.monotonic() < self._deadline:
            return
        counts = Counter(guilty.failure.signature for guilty in search.guilty)
        signature, count = counts.most_common(1)[0] if counts else ("none yet", 0)
        message = (
            f"the search for bad rows took over {format_seconds(self._options.isolation_limit_s)} "
            f"and had found {len(search.guilty):,} among {self._batch_rows:,} rows, {count:,} of "
            f"them by {signature}: correct the step, or raise isolation_s"
        )
        raise StepAtFault(message, code="isolation_budget", signature=signature, failed_rows=count)

    def judge(self, search: Search) -> None:
        """Refuse to blame rows as soon as too many of them fail in one way."""
        if not search.guilty:
            return
        latest = search.guilty[-1].failure
        count = sum(guilty.failure.family == latest.family for guilty in search.guilty)
        counts = Counter({latest.family: count})
        verdict = contrast.judge(counts, self._batch_rows, self._terms.contrast)
        if verdict is not None:
            raise contrast_fault(verdict, latest)

    def judge_rules(self, rejected: pl.DataFrame, schema: Rules | None) -> None:
        """Refuse to blame rows if too many of them fail one rule."""
        counts = outputs.rule_counts(rejected)
        verdict = contrast.judge(counts, self._batch_rows, self._terms.contrast)
        if verdict is None or schema is None:
            return
        rule = verdict.signature
        example = rejected.filter(pl.col("rules").list.contains(rule))["message"][0]
        raise StepAtFault(
            f"{verdict.why}: rule {rule!r} of {schema.name}, so it is the schema or its "
            f"source, not the rows; nothing was dead-lettered\nfor example: {example}",
            code="contrast",
            signature=f"rule {rule}",
            rule=rule,
            columns=schema.columns_of(rule),
            failed_rows=verdict.failed_rows,
        )

    def look_around(self, kept: pl.DataFrame, failure: Failure, search: Search) -> bool:
        """Try rows from all over the batch, once failures are more than one row's worth.

        One slice that fails says nothing about the rest. If single rows picked from everywhere
        fail alike, it is the step, and finding that out row by row would take for ever. Returns
        True if it was the way of starting workers instead: the search must begin again.
        """
        kind = "error" if failure.cause is Cause.EXCEPTION else "death"
        deaths = search.deaths + self.deaths
        seen = len(search.guilty) if kind == "error" else deaths
        few = kept.height < 2 * self._terms.contrast.rows_min
        if seen < PROBE_AFTER[kind] or few or kind in self._probed or self._options.contrast >= 1:
            return False
        self._probed.add(kind)
        picked = kept[list(narrow.spread(kept.height, PROBES[kind]))]
        outcomes, last = self._try_alone(picked, of=kept.height)
        verdict = contrast.judge_sample(outcomes, self._terms.contrast, rows=kept.height)
        if verdict is None or last is None:
            return False
        if last.cause is Cause.HANG and self.blame_fork(picked[:1], gate=False):
            return True
        raise contrast_fault(verdict, last)

    def _try_alone(
        self, picked: pl.DataFrame, *, of: int
    ) -> tuple[list[str | None], Failure | None]:
        """Run rows one by one until the verdict is certain; return how each ended, and why."""
        outcomes: list[str | None] = []
        last: Failure | None = None
        asked = False
        for row in range(picked.height):
            if not asked:
                rest = tuple((i, i + 1) for i in range(row, picked.height))
                self._talk.post(ipc.encode(picked[row:]), gate=False, slices=rest, first=row)
            answer = self._talk.outcome(self.limit_s(Slice(row, row + 1), of=of))
            asked = isinstance(answer, Output)
            if isinstance(answer, Failure):
                last = answer
            outcomes.append(answer.family if isinstance(answer, Failure) else None)
            if contrast.judge_sample(outcomes, self._terms.contrast, rows=of):
                break
        if asked and len(outcomes) < picked.height:
            self._talk.renew()  # answers to the rest are still on their way
        self._talk.holds_batch = False
        return outcomes, last

    def blame_fork(self, rows: pl.DataFrame, *, gate: bool) -> bool:
        """Return whether rows that do not return from a forked worker do so from a fresh one."""
        if self._manner.strike is not None:
            return False  # what a drill does is no fault of forking
        if self._crew.way != "fork" or self._options.start != "auto" or self._crew.acquitted:
            return False
        self._crew.acquitted = True
        limit_s = self._options.timeout_s
        spawned = try_spawned(self._crew, rows, gate=gate, limit_s=limit_s, manner=self._manner)
        if spawned is None:
            return False
        self._tally.note("forked workers do not answer and fresh ones do: workers are spawned now")
        self._crew.switch_to_spawn()
        self._talk.renew()
        return True


def contrast_fault(verdict: contrast.Verdict, failure: Failure) -> StepAtFault:
    """Make an error of a verdict and the latest failure of its kind."""
    return StepAtFault(
        f"{verdict.why}, so it is the step, not the rows; nothing was dead-lettered\n"
        f"{failure.message}",
        code="contrast",
        signature=failure.signature,
        line=failure.line,
        columns=failure.columns,
        failed_rows=verdict.failed_rows,
    )
