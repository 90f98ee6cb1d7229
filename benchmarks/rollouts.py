"""``python -m benchmarks.rollouts``: what rollouts decide, in simulations drawn from seeds.

Prints: single tests against the figures of the research, whole rollouts through the machine, how
late a fault may begin, slices, and paired losses. In brackets: 95 % intervals (Wilson). About 15
minutes of one core; ``--quick``: one or two.
"""

import math
import random
import statistics
from collections import Counter
from collections.abc import Iterator
from typing import Annotated

import typer

from benchmarks.measure import Paper
from benchmarks.rollout_world import BLIP_RATE, STALL_S, Outcome, Truth, poisson, simulate
from firedoor.eprocess import Logs, add_gains, bad_grid, log_e, log_mean, ratio_gains
from firedoor.rollout.betting import (
    STAKES,
    add,
    difference,
    log_wealth,
    log_wealth_good,
    loss_bound,
)
from firedoor.rollout.policy import RolloutPolicy

POLICY = RolloutPolicy()
LOOKS = 180
LOOK_S = 10.0
NEEDED = math.log(100)
LATENCY_SIGMA = 0.5
MARGIN = 0.005
LABELS_MAX = 20_000
LABELS_LOOK = 25
HOURS_2 = 7_200.0
HOURS_4 = 14_400.0
DECIDING = ("as good", "x2 errors")
"""What is run most often: the error of either kind."""
SURE = 1.96
"""Standard deviations of an interval of 95 %."""


def main(
    *,
    quick: Annotated[bool, typer.Option(help="A tenth of the runs.")] = False,
    parts: Annotated[str, typer.Option(help="Which of T, M, L, P to run.")] = "TMLP",
) -> None:
    """T: single tests. M: the whole machine. L: late faults and slices. P: paired losses."""
    paper = Paper()
    few = 10 if quick else 1
    if "T" in parts:
        single_tests(paper, 1_000 // few)
        latency(paper, 400 // few)
    if "M" in parts:
        machine(paper, 2_000 // few)
    if "L" in parts:
        late_faults(paper, 200 // few)
    if "P" in parts:
        paired(paper, 100 // few)


# ---- one test


def single_tests(paper: Paper, runs: int) -> None:
    """Print when rates that are so many times as high are found, by one test at 1 %."""
    rows = []
    for name, base, times in (
        ("1 %, 50 rps", 0.01, 1.0), ("5 %, 50 rps", 0.05, 1.0), ("1 %, 500 rps", 0.01, 10.0),
        ("1 %, 5 rps", 0.01, 0.1),
    ):  # fmt: skip
        row = [name]
        for ratio in (1.0, 1.2, 2.0, 5.0, 10.0):
            found = [_found_s(seed, base=base, ratio=ratio, rps=50 * times) for seed in range(runs)]
            row.append(_told([one for one in found if one is not None], runs))
        rows.append(row)
    paper.table(
        f"T. One test, alpha 0.01, r0 1.1, a tenth of the requests, 30 min: found, median s; "
        f"{runs:,} runs a cell",
        ["champion's rate", "x1", "x1.2", "x2", "x5", "x10"], rows,
    )  # fmt: skip


def latency(paper: Paper, runs: int) -> None:
    """Print when versions are found that are slower, by the 95th and 99th percentile together."""
    normal = statistics.NormalDist(0, LATENCY_SIGMA)
    cuts = [normal.inv_cdf(0.95), normal.inv_cdf(0.99)]
    row = []
    for factor, tail in ((1.0, 0.0), (1.05, 0.0), (1.2, 0.0), (1.5, 0.0), (1.0, 0.01), (1.0, 0.02)):
        ratios = [
            ((1 - tail) * (1 - normal.cdf(cut - math.log(factor))) + tail) / base
            for cut, base in zip(cuts, (0.05, 0.01), strict=True)
        ]
        found = []
        for seed in range(runs):
            ends = [
                _found_s(2 * seed + place, base=base, ratio=ratio, rps=50, needed=math.log(200))
                for place, (base, ratio) in enumerate(zip((0.05, 0.01), ratios, strict=True))
            ]
            found.append(min((end for end in ends if end is not None), default=None))
        row.append(_told([one for one in found if one is not None], runs))
    paper.table(
        f"T. The same for latency: above the champion's 95th and 99th percentile, half of alpha "
        f"each, log-normal, sigma {LATENCY_SIGMA}; {runs:,} runs a cell",
        ["same", "x1.05", "x1.2", "x1.5", "+500 ms on 1 %", "on 2 %"], [row],
    )  # fmt: skip


def _found_s(
    seed: int, *, base: float, ratio: float, rps: float, needed: float = NEEDED
) -> float | None:
    """Return when one test finds a version to be worse."""
    chance, grid = random.Random(seed), bad_grid(POLICY.ratio_good)
    logs: Logs = ()
    n = rps * LOOK_S
    n_c, n_b = max(1, round(n / 10)), round(n * 0.9)
    for look in range(1, LOOKS + 1):
        x_c, x_b = poisson(chance, n_c * base * ratio), poisson(chance, n_b * base)
        gains = ratio_gains(grid, POLICY.ratio_good, (n_c, min(x_c, n_c)), (n_b, x_b))
        logs = add_gains(logs, gains)
        if log_e(logs) >= needed:
            return look * LOOK_S
    return None


# ---- the machine


def machine(paper: Paper, runs: int) -> None:
    """Print what became of whole rollouts."""
    rows = []
    for rps, hours, share in ((50, HOURS_2, 1.0), (500, HOURS_2, 1.0), (5, HOURS_4, 0.2)):
        for shared in (True, False):
            world = "noise and blips" if shared else "quiet"
            for name, truth in _truths(rps, shared=shared):
                deciding = shared and name in DECIDING
                count = max(10, int(runs * share * (1.0 if deciding else 0.1)))
                found = [simulate(truth, POLICY, seed, most_s=hours) for seed in range(count)]
                rows.append([f"{rps} rps, {world}", name, f"{count:,}", *_ends(found)])
    paper.table(
        f"M. Whole rollouts by the defaults, 2 h (at 5 rps 4 h); two blips of 30 s at "
        f"{BLIP_RATE:.0%} errors and noise on both arms, or neither",
        ["requests", "candidate", "runs", "live", "rolled back", "neither yet",
         "median s to the end", "median requests it got"],
        rows,
    )  # fmt: skip


def _truths(rps: int, *, shared: bool) -> Iterator[tuple[str, Truth]]:
    """Yield what candidates are like."""
    yield "as good", Truth(rps=rps, shared=shared)
    for errors in (2.0, 5.0, 10.0):
        yield f"x{errors:g} errors", Truth(rps=rps, errors=errors, shared=shared)
    for slow in (2.0, 3.0):
        yield f"x{slow:g} slow", Truth(rps=rps, slow=slow, shared=shared)
    for stalls in (0.03, 0.1):
        name = f"as good, each stands still for {STALL_S:g} s in {stalls:.0%} of looks"
        yield name, Truth(rps=rps, stalls=stalls, shared=shared)
    yield "no errors in either", Truth(rps=rps, base=0.0, shared=shared)


def _ends(found: list[Outcome]) -> list[str]:
    """Return a row of how rollouts ended."""
    phases = Counter(one.phase for one in found)
    live, back = phases["live"], phases["quarantined"] + phases["rolled_back"]
    ended = [one for one in found if one.phase in {"live", "quarantined", "rolled_back"}]
    after_s = statistics.median(one.after_s for one in ended) if ended else math.nan
    requests = statistics.median(one.requests for one in ended) if ended else math.nan
    return [
        _share(live, len(found)), _share(back, len(found)),
        f"{1 - (live + back) / len(found):.1%}", f"{after_s:,.0f}", f"{requests:,.0f}",
    ]  # fmt: skip


def _share(count: int, runs: int) -> str:
    """Return ``0.1 % (0.0 to 0.4)``: a share, and where it lies."""
    share, z = count / runs, SURE * SURE / runs
    middle = (share + z / 2) / (1 + z)
    off = math.sqrt(z * (share * (1 - share) + z / 4)) / (1 + z)
    return f"{share:.1%} ({100 * max(0, middle - off):.1f} to {100 * min(1, middle + off):.1f})"


def late_faults(paper: Paper, runs: int) -> None:
    """Print how faults of one slice end, and those that begin late."""
    rows = []
    slices = {"c=A": (0.5, 1.0), "c=B": (0.3, 1.0), "c=C": (0.2, 5.0)}
    for name, truth in (
        ("x5 errors from the canary on", Truth(errors=5.0, fails_from="canary", shared=True)),
        ("x5 errors once it serves all", Truth(errors=5.0, fails_from="bake", shared=True)),
        ("x5 errors in a slice of 20 %", Truth(slices=slices, shared=True)),
    ):
        found = [simulate(truth, POLICY, seed, most_s=HOURS_2, columns=1) for seed in range(runs)]
        held = sum(one.held_slices == ("c=C",) for one in found) / runs
        rows.append([name, *_ends(found), f"{held:.1%}"])
    paper.table(
        f"L. Faults that are not everywhere, 50 rps, noise and blips; {runs} runs a row",
        ["candidate", "live", "rolled back", "neither yet", "median s to the end",
         "median requests it got", "that slice held"],
        rows,
    )  # fmt: skip


# ---- losses


def paired(paper: Paper, runs: int) -> None:
    """Print after how many labels a loss is found to be worse, or not."""
    rows = []
    for name, flipped in (
        ("as good", 0.0), ("3 % of predictions flipped", 0.03), ("10 % flipped", 0.1)
    ):  # fmt: skip
        ends = [_labels(seed, flipped) for seed in range(runs)]
        loss = statistics.mean(one[2] for one in ends)
        worse = [float(one[0]) for one in ends if one[0] is not None]
        fine = [float(one[1]) for one in ends if one[1] is not None]
        rows.append([f"{name} ({loss:+.3f} nats)", _told(worse, runs), _told(fine, runs)])
    paper.table(
        f"P. Loss on the same requests, margin {MARGIN} nats, up to {LABELS_MAX:,} labels; "
        f"{runs} runs a row: found, median labels",
        ["candidate", "worse (1 %)", "not worse (5 %)"], rows,
    )  # fmt: skip


def _labels(seed: int, flipped: float) -> tuple[int | None, int | None, float]:
    """Return after how many labels a loss is found worse, or fine, and the mean difference."""
    chance, bound = random.Random(seed), loss_bound("log_loss")
    worse = fine = (0.0,) * len(STAKES)
    found: list[int | None] = [None, None]
    total = 0.0
    for number in range(1, LABELS_MAX + 1):
        score = chance.gauss(-1, 1.2)
        label = float(chance.random() < _chance(score))
        theirs = _chance(score + chance.gauss(0, 0.3))
        mine = _chance(score + chance.gauss(0, 0.3))
        mine = 1 - mine if chance.random() < flipped else mine
        d = difference(mine, theirs, label, loss="log_loss", bound=bound)
        total += d
        worse = add((worse, log_wealth(d, margin=MARGIN)))
        fine = add((fine, log_wealth_good(d, margin=MARGIN)))
        if number % LABELS_LOOK == 0 and number >= POLICY.labels_min:
            if found[0] is None and log_mean(worse) >= math.log(100):
                found[0] = number
            if found[1] is None and log_mean(fine) >= math.log(20):
                found[1] = number
            if any(found):
                break
    return found[0], found[1], total / number


def _chance(score: float) -> float:
    """Return a chance by its log odds."""
    return 1 / (1 + math.exp(-score))


def _told(found: list[float], runs: int) -> str:
    """Return ``99.2 % (450)``: how many were found, and the median of when."""
    share = f"{len(found) / runs:.1%}"
    return f"{share} ({statistics.median(found):,.0f})" if found else share


if __name__ == "__main__":
    typer.run(main)
