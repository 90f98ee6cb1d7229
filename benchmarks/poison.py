"""B: one poison row in 10,000, in every batch: what comes out, and what finding the row costs."""

import time
from dataclasses import dataclass

import polars as pl
from polars.testing import assert_frame_equal

from benchmarks.cost import past_the_proofs
from benchmarks.measure import Paper, spread
from benchmarks.work import CODES, WEATHER, add_features, poisoned
from firedoor import Wall

ROWS = 10_000
LIMIT_S = 2.0
MEMORY = "1GiB"

HEAD = ["poison", "batches", "good rows", "named", "others dead"]
HEAD += ["s to isolate (least..most)", "workers lost", "rows/s"]

BATCHES = {"none": 30, "exception": 30, "segfault": 20, "hang": 6, "memory": 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one kind of poison."""

    kind: str
    batches: int
    good_share: float
    """Of the good rows, how many were delivered and equal what the function makes of them."""
    named_share: float
    """Of the poison rows, how many are a dead letter with the right row number and code."""
    extra_dead: int
    batch_s: list[float]
    """Time of each batch."""
    workers_lost: int

    @property
    def rows_a_second(self) -> float:
        """Rows a second, one batch after another."""
        return self.batches * ROWS / sum(self.batch_s)


def measure(flights: pl.DataFrame, paper: Paper, *, quick: bool) -> None:
    """Print the table of this part."""
    results = {}
    for kind, batches in BATCHES.items():
        results[kind] = _run(flights, kind, max(2, batches // 5) if quick else batches)
    clean_s = sorted(results["none"].batch_s)[len(results["none"].batch_s) // 2]
    paper.table(
        f"B. One poison row in every batch of {ROWS:,}; limits {LIMIT_S:g} s, {MEMORY}; 1 worker",
        HEAD,
        [
            [
                kind,
                str(result.batches),
                f"{result.good_share:.3%}",
                f"{result.named_share:.0%}" if kind != "none" else "",
                str(result.extra_dead),
                spread([batch_s - clean_s for batch_s in result.batch_s]) if kind != "none" else "",
                str(result.workers_lost),
                f"{result.rows_a_second:,.0f}",
            ]
            for kind, result in results.items()
        ],
    )
    paper.keep(
        "poison",
        {
            kind: {
                "batches": result.batches,
                "good_share": result.good_share,
                "named_share": result.named_share,
                "extra_dead": result.extra_dead,
                "isolate_s": [batch_s - clean_s for batch_s in result.batch_s],
                "workers_lost": result.workers_lost,
                "rows_a_second": result.rows_a_second,
            }
            for kind, result in results.items()
        },
    )


def _run(flights: pl.DataFrame, kind: str, count: int) -> Result:
    """Take poisoned batches through a wall that is warm, and check everything that comes out."""
    batches, where = poisoned(flights, kind, batches=count)
    good = named = extra = 0
    batch_s = []
    with Wall(add_features, timeout_s=LIMIT_S, memory=MEMORY, reads=[WEATHER]) as wall:
        past_the_proofs(wall, flights.tail(2))
        wall(flights.tail(ROWS))
        for number, batch in enumerate(batches):
            began = time.perf_counter()
            outcome = wall(batch)
            batch_s.append(time.perf_counter() - began)
            bad = where[number : number + 1]
            expected = add_features(batch.filter(~pl.int_range(pl.len()).is_in(bad)))
            good += _equal_rows(outcome.good, expected)
            reasons = list(outcome.dead.reasons.select("row", "code").iter_rows())
            hits = sum((row, CODES[kind]) in reasons for row in bad)
            named += hits
            extra += len(reasons) - hits
        lost = wall.report().workers_lost
    return Result(
        kind=kind,
        batches=count,
        good_share=good / (count * ROWS - len(where)),
        named_share=named / len(where) if where else 1.0,
        extra_dead=extra,
        batch_s=batch_s,
        workers_lost=lost,
    )


def _equal_rows(good: pl.DataFrame, expected: pl.DataFrame) -> int:
    """Return the number of rows if they are all there, once, in order and equal; else 0."""
    try:
        assert_frame_equal(good, expected)
    except AssertionError:
        return 0
    return good.height
