"""What is watched of a candidate, all of it together, and what it comes to.

Each guardrail has wealth that grows only if the candidate is worse: half of it bet since requests
began, half begun anew at each step and every so many looks. Their mean, weighted, is a wealth too,
so it is compared with ``1/alpha`` once for all of them: never worse than Bonferroni, which waits
until one of them alone has reached its share.

Good news have no such sum: a candidate is good only if *every* guardrail says so, and then no
correction is due.

Requests are independent of each other only on paper. A process that stands still for 50 ms makes
as many of them slow as came meanwhile, so no look counts for more than ``_most`` says: cutting a
bet's gain from above keeps it valid. And the champion's own standing still has to weigh as much as
the candidate's: looks at which the sentinel is sick are dropped from what speaks *for* a candidate,
never from what speaks against it, which compares both at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from firedoor.eprocess import (
    Fresh,
    Logs,
    add_gains,
    bad_grid,
    good_grid,
    log_e,
    log_mean,
    ratio_gains,
)
from firedoor.rollout import slices
from firedoor.rollout.absolute import LOG_NONE, above_gains, clean_gain, detected
from firedoor.rollout.betting import e_value
from firedoor.rollout.counts import METRICS, Look, Metric, Paired
from firedoor.rollout.sentinel import Reference, is_sick, noted
from firedoor.rollout.slowness import SLOW_MOST, SLOW_RATES, frozen_slow

Guardrail = Literal["error", "non_finite", "slow95", "slow99", "fallback", "loss"]
WEIGHTS: dict[Guardrail, float] = {
    "error": 4, "non_finite": 1, "slow95": 1, "slow99": 2, "fallback": 1, "loss": 3,
}  # fmt: skip
"""Shares of ``alpha``, before they are made to add up to 1 over those in force."""
FRESH_LOOKS = 30
"""Looks after which the fresh bet begins anew within a step."""
SENTINEL_MIN = 50
"""Requests of the sentinel third below which a look is joined with the next: of fewer nobody can
tell whether the champion is sick."""
JOINED_MAX = 6
"""Looks that are joined at most."""
ONCE = 0.75
"""Of the evidence that is needed, what a look adds to that of other faults at most: what happened
once proves nothing."""
RATE_MAX = 0.9
"""Up to which a rate can be allowed."""
NEARLY = 0.7
LATELY = 20
"""Looks over which the share is taken at which the champion was sick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The numbers by which a stage of a rollout is judged, with all halvings and scales applied."""

    alpha: float
    beta: float
    ratio_good: float
    ratio_bad: float
    allowance: float
    labels_min: int
    window_s: float
    """Over which the sentinel's usual rates are taken."""
    share_next: float = 1.0
    """Of the subjects, that it would be given next."""
    alone: bool = False
    """Whether it serves everybody, so that there is nothing to compare with."""
    alone_factor: float = 1.0
    """On the rate from which it is suspected then: more where a suspicion is a verdict."""
    looks_alone: int = 180
    """For how many it serves everybody until it is live."""
    slow: bool = True
    """Whether it is judged how slow it is: cut-offs are known, and callers wait for it."""
    labels: bool = False
    """Whether the loss is judged."""
    need_labels: bool = False
    columns: int = 0
    """Declared columns of slices."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Return the counts that are judged."""
        return METRICS if self.slow else ("error", "non_finite", "fallback")

    @property
    def weights(self) -> dict[Guardrail, float]:
        """Return each guardrail's share of ``alpha``."""
        rails: tuple[Guardrail, ...] = (*self.metrics, "loss") if self.labels else self.metrics
        total = sum(WEIGHTS[rail] for rail in rails)
        return {rail: WEIGHTS[rail] / total for rail in rails}


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """What was seen of one guardrail."""

    whole: Logs = ()
    """Evidence that it is worse, since requests began."""
    fresh: Fresh = field(default_factory=Fresh)
    """The same, of late."""
    alone: Logs = ()
    """Evidence that its rate rose above what is usual while it served everybody."""
    good: Logs = ()
    """Evidence that it is not worse by ``ratio_bad``."""
    clean: float = 0.0
    """Evidence that its rate is below the allowance."""
    candidate: tuple[int, int] = (0, 0)
    """Requests, and how many of them were bad, at looks that count."""
    baseline: tuple[int, int] = (0, 0)

    @property
    def log_bad(self) -> float:
        """Return the log of the evidence that it is worse."""
        return log_mean((log_e(self.whole), self.fresh.log_e))

    @property
    def log_good(self) -> float:
        """Return the log of the evidence that it is good."""
        return max(log_e(self.good), self.clean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """All evidence about a candidate."""

    meters: dict[Metric, Meter] = field(default_factory=dict)
    paired: Paired = field(default_factory=Paired)
    parts: dict[str, slices.Slice] = field(default_factory=dict)
    reference: Reference = field(default_factory=Reference)
    joined: Look = field(default_factory=Look)
    """What was seen since the last look that was judged."""
    joined_looks: int = 0
    requests: int = 0
    """Of the candidate at this step, at looks that count."""
    looks: int = 0
    """At this step that count."""
    masked: int = 0
    """At this step at which the champion was sick."""
    lately: tuple[bool, ...] = ()
    """Whether it was, at the last 20 looks."""
    fresh_looks: int = 0

    @property
    def masked_share(self) -> float:
        """Return the share of the last looks at which the champion was sick; of few looks 0."""
        return sum(self.lately) / len(self.lately) if len(self.lately) >= LATELY / 4 else 0.0


def observe(trial: Trial, look: Look, rules: Rules, now_s: float) -> Trial:
    """Return the evidence after a look."""
    joined, count = trial.joined.plus(look), trial.joined_looks + 1
    thin = not rules.alone and joined.sentinel.n < SENTINEL_MIN
    if not joined.candidate.n or (thin and count < JOINED_MAX):
        return replace(trial, joined=joined, joined_looks=count)
    sick = not rules.alone and is_sick(trial.reference, joined.sentinel)
    lately = (*trial.lately, sick)[-LATELY:]
    trial = replace(
        trial, joined=Look(), joined_looks=0, lately=lately, paired=trial.paired.plus(joined.paired)
    )  # a pair compares two answers to one request: whatever ails the champion, ails both
    counts = not sick and (rules.alone or trial.reference.known)
    meters = {
        metric: _metered(trial, metric, joined, rules, counts=counts) for metric in rules.metrics
    }
    parts, most = trial.parts, slices.most(rules.alpha)
    trial = replace(
        trial,
        meters={**trial.meters, **meters},
        parts=slices.observe(parts, joined.parts, rules.ratio_good, most=most),
        reference=trial.reference if sick else _noted(trial, joined, rules, now_s),
        requests=trial.requests + counts * joined.candidate.n,
        looks=trial.looks + counts,
        masked=trial.masked + sick,
        fresh_looks=trial.fresh_looks + 1,
    )
    return _anew(trial) if trial.fresh_looks >= FRESH_LOOKS else trial


def _noted(trial: Trial, look: Look, rules: Rules, now_s: float) -> Reference:
    return noted(trial.reference, look.sentinel, now_s=now_s, window_s=rules.window_s)


def at_next_step(trial: Trial, *, afresh: bool) -> Trial:
    """Return the evidence as a step begins.

    Args:
        trial: what there is.
        afresh: forget all counts, and keep what was found by labels and of the champion's habits.
    """
    trial = replace(
        _anew(trial), requests=0, looks=0, masked=0, lately=(), joined=Look(), joined_looks=0
    )
    return replace(trial, meters={}, parts=slices.without_counts(trial.parts)) if afresh else trial


def in_doubt(trial: Trial) -> Trial:
    """Return the evidence when it has to be shown once more that the candidate is good."""
    trial = at_next_step(trial, afresh=False)
    meters = {
        name: replace(one, good=(), clean=0.0, alone=(), candidate=(0, 0), baseline=(0, 0))
        for name, one in trial.meters.items()
    }
    return replace(trial, meters=meters)


def without_slice(trial: Trial, name: str) -> Trial:
    """Return the evidence about the rest, when a slice stays with the champion from now on.

    Its pairs are taken out of the sums; counts are begun anew, since what was mixed stays mixed.
    """
    gone = trial.parts.get(name, slices.Slice())
    rest = replace(
        trial,
        paired=trial.paired.less(gone.paired),
        parts={other: one for other, one in trial.parts.items() if other != name},
    )
    return at_next_step(rest, afresh=True)


def _anew(trial: Trial) -> Trial:
    meters = {name: replace(one, fresh=one.fresh.anew()) for name, one in trial.meters.items()}
    return replace(trial, meters=meters, fresh_looks=0)


def _metered(trial: Trial, metric: Metric, look: Look, rules: Rules, *, counts: bool) -> Meter:
    """Return one guardrail's evidence after a look; ``counts``: for the candidate as well."""
    meter = trial.meters.get(metric, Meter())
    allowance = _allowed(trial.reference, metric, rules)
    n_c, n_b = look.candidate.n, look.baseline.n
    x_c, x_b = min(n_c, look.candidate.of(metric)), min(n_b, look.baseline.of(metric))
    counted = replace(
        meter,
        candidate=(meter.candidate[0] + n_c, meter.candidate[1] + x_c),
        baseline=(meter.baseline[0] + n_b, meter.baseline[1] + x_b),
        clean=meter.clean + counts * clean_gain(n_c, x_c, allowance=allowance),
    )
    if rules.alone:
        share = rules.weights[metric]
        needed = math.log(rules.looks_alone / (share * rules.alpha))
        bound = bound_alone(trial.reference, metric, rules)
        gains = above_gains(n_c, x_c, bound=bound, log_needed=needed)
        return replace(counted, alone=detected(meter.alone, gains, looks=rules.looks_alone))
    slow_b = max(x_b, min(n_b, frozen_slow(metric, meter.baseline, n_b, x_b)))
    found = ratio_gains(bad_grid(rules.ratio_good), rules.ratio_good, (n_c, x_c), (n_b, slow_b))
    most = _most(metric, rules)
    bad = tuple([min(gain, most) for gain in found])
    good = ratio_gains(good_grid(rules.ratio_bad), rules.ratio_bad, (n_c, x_c), (n_b, x_b))
    return replace(
        counted,
        whole=add_gains(meter.whole, bad),
        fresh=meter.fresh.after(bad),
        good=add_gains(meter.good, good) if counts else meter.good,
    )


def _most(metric: Metric, rules: Rules) -> float:
    """Return what a look adds to the evidence at most, as a log."""
    if metric in SLOW_RATES:
        return SLOW_MOST
    return ONCE * math.log(2 / (rules.weights[metric] * rules.alpha))


def _allowed(reference: Reference, metric: Metric, rules: Rules) -> float:
    """Return the rate from which a candidate counts as bad, whatever the champion's is now.

    Of slow answers by what they were measured at: a champion that has become faster since, so that
    hardly any request is slow in either arm, must not have every successor wait in vain.
    """
    usual = SLOW_RATES.get(metric)
    if usual is None:
        return min(rules.allowance, RATE_MAX)
    if rules.alone:
        usual = max(usual, _usual(reference, metric))
    return min(rules.ratio_bad * usual, RATE_MAX)


def _usual(reference: Reference, metric: Metric) -> float:
    """Return the champion's usual rate; 0 where it is not known."""
    usual = reference.total
    return usual.of(metric) / usual.n if usual.n else 0.0


def bound_alone(reference: Reference, metric: Metric, rules: Rules) -> float:
    """Return the rate up to which a version that serves everybody is left in peace."""
    factor = rules.ratio_bad * rules.alone_factor
    rate = max(_usual(reference, metric), SLOW_RATES.get(metric, 0.0))
    return max(factor * rate, rules.allowance)


# ---- verdicts


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """The candidate is worse."""

    guardrail: Guardrail
    e: float
    """Evidence, all guardrails together; ``1/alpha`` is needed."""


def log_bads(trial: Trial, rules: Rules) -> Iterator[tuple[Guardrail, float]]:
    """Yield the log of the evidence of each guardrail that the candidate is worse."""
    for metric in rules.metrics:
        yield metric, trial.meters.get(metric, Meter()).log_bad
    if rules.labels:
        enough = trial.paired.n >= rules.labels_min
        yield "loss", log_mean(trial.paired.worse) if enough else 0.0


def log_bad(trial: Trial, rules: Rules) -> float:
    """Return the log of all evidence that it is worse: at ``ln(1/alpha)`` it goes."""
    weights = rules.weights
    parts = [(math.log(weights[rail]) + log) for rail, log in log_bads(trial, rules)]
    return log_mean(parts) + math.log(len(parts))


def find_bad(trial: Trial, rules: Rules) -> Bad | None:
    """Return what speaks against the candidate, if it is enough."""
    log = log_bad(trial, rules)
    if log < -math.log(rules.alpha):
        return None
    logs = list(log_bads(trial, rules))
    most = max(one[1] for one in logs)
    # Errors come first, and count as slow besides: they are named if they say nearly as much.
    named = next(rail for rail, one in logs if one >= NEARLY * most)
    return Bad(guardrail=named, e=math.exp(min(log, 700.0)))


def find_alarm(trial: Trial, rules: Rules) -> Bad | None:
    """Return what looks wrong of a candidate that serves everybody.

    Usual rates move by themselves, so this is a reason to compare again, and none to go back
    where comparing is possible.
    """
    logs = []
    for metric in rules.metrics:
        found = trial.meters.get(metric, Meter()).alone
        log = log_mean(found) if found else LOG_NONE
        logs.append((metric, math.log(rules.weights[metric]) + log))
    log = log_mean([one[1] for one in logs]) + math.log(len(logs))
    if not rules.alone or log < -math.log(rules.alpha):
        return None
    return Bad(guardrail=max(logs, key=lambda one: one[1])[0], e=math.exp(min(log, 700.0)))


def log_needed_good(rules: Rules) -> float:
    """Return the log of the evidence by which it is given its next share of the subjects.

    ``share / beta``: so the share of subjects that a version which is bad is expected to get is
    at most ``beta``, at each step; for all of them it takes ``1 / beta``. And never less than 1:
    what is more likely bad than good goes nowhere.
    """
    return max(0.0, math.log(rules.share_next / rules.beta))


def find_lacking(trial: Trial, rules: Rules) -> tuple[Guardrail, float] | None:
    """Return the guardrail that lacks most evidence, with the log of what it has; None: all good.

    Exposure is not looked at here.
    """
    needed = log_needed_good(rules)
    found: list[tuple[Guardrail, float]] = [
        (metric, trial.meters.get(metric, Meter()).log_good) for metric in rules.metrics
    ]
    if rules.need_labels:
        enough = trial.paired.n >= rules.labels_min
        found.append(("loss", log_mean(trial.paired.fine) if enough else 0.0))
        if not enough:
            return found[-1]
    lacking = [one for one in found if one[1] < needed]
    return min(lacking, key=lambda one: one[1]) if lacking else None


def loss_ratio(paired: Paired) -> tuple[float, float]:
    """Return the mean difference of losses, as a share of the largest, and the evidence."""
    return (paired.loss_sum / paired.n if paired.n else 0.0), e_value(paired.worse)
