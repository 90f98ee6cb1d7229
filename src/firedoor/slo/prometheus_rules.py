"""Prometheus rules for what is promised: the detectors of ``firedoor slo``, in PromQL.

The rules are the same for every zone. What differs, the budget and whom it concerns, is a series of
its own, ``zone_indicator:firedoor_budget:ratio``, one rule an objective, that they are joined to;
beside it is how many of its last ten units have to be bad, where there are few.
They need nothing of firedoor but three metrics, scraped every 15 s or more often. All of it is of
one pipeline: zones of another may have the same names, and its rules are in the same Prometheus.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent

from firedoor.events.metrics import OBJECTIVE_UNITS, OBJECTIVE_WAITING, ZONE_STATE
from firedoor.slo.block_yaml import Value, to_yaml
from firedoor.slo.cusum import RATE_MOST
from firedoor.slo.low_traffic import bad_needed
from firedoor.slo.objective import Objective
from firedoor.slo.policy import AlertPolicy, BurnRatePolicy, CusumPolicy, Severity

UNITS = OBJECTIVE_UNITS.name
BY = "pipeline, zone, indicator"
ZONE = "pipeline, zone"
BUDGET = "zone_indicator:firedoor_budget:ratio"
THE_BUDGET = f"max by ({BY}) ({BUDGET})"
"""Without the labels that say whom it concerns."""
NEEDED = "zone_indicator:firedoor_bad_units_needed:count"
UNITS_IN = "zone_indicator:firedoor_units:increase"
BAD_IN = "zone_indicator:firedoor_bad_units:increase"
BAD_RATIO = "zone_indicator:firedoor_bad:ratio"
"""Each with a window after it."""
FEW_WINDOW = "30m"
"""In which units are counted where there are few."""
FEW_MOST = 100
INDENT = "  "
INHERITED_WINDOW = "5m"
HEAD = (
    "# Written by `firedoor export prometheus-rules`: do not edit, write it anew.\n"
    "# Bad units are those by the zone's own fault; what it inherits pages whoever's fault it is.\n"
)
Rule = dict[str, Value]


def prometheus_rules(
    objectives: Sequence[Objective], policy: AlertPolicy | None = None, *, pipeline: str
) -> str:
    """Return a file of recording and alerting rules.

    Args:
        objectives: what is promised; those that nobody can be paged for are left out.
        policy: when somebody is told.
        pipeline: whose objectives they are: a part of the groups' names.
    """
    policy = policy or AlertPolicy()
    named = f"firedoor-{pipeline}"
    watched = [one for one in objectives if one.watched]
    groups: list[Value] = [
        {
            "name": f"{named}-objectives",
            "rules": [
                {**rule, "labels": {"pipeline": pipeline, **labels}}
                for one in watched
                for rule, labels in (_budget(one), _needed(one, policy))
            ],
        },
        {"name": f"{named}-burn-rates", "rules": _ratios(policy, pipeline)},
        _summing_up("fast_burn", policy.fast_burn, policy, pipeline),
        _summing_up("slow_burn", policy.slow_burn, policy, pipeline),
        {"name": f"{named}-alerts", "rules": _alerts(policy, pipeline)},
    ]
    return HEAD + to_yaml({"groups": groups})


# ---- recording


def _of(pipeline: str) -> str:
    """Return what chooses the series of a pipeline."""
    return f'pipeline="{pipeline}"'


def _budget(objective: Objective) -> tuple[Rule, dict[str, Value]]:
    """Return the rule that says what may be bad, and the labels that say whom it concerns."""
    labels: dict[str, Value] = {
        "zone": objective.zone,
        "indicator": objective.indicator,
        "kind": objective.kind,
    }
    if objective.owner:
        labels["owner"] = objective.owner
    if objective.runbook:
        labels["runbook"] = objective.runbook
    return {"record": BUDGET, "expr": f"vector({objective.budget:.9g})"}, labels


def _needed(objective: Objective, policy: AlertPolicy) -> tuple[Rule, dict[str, Value]]:
    """Return the rule that says how many of the last few units have to be bad, and its labels."""
    labels: dict[str, Value] = {"zone": objective.zone, "indicator": objective.indicator}
    needed = bad_needed(objective.budget, policy)
    return {"record": NEEDED, "expr": f"vector({needed})"}, labels


def _counts(window: str, pipeline: str) -> list[Value]:
    """Return rules for units in a window, those that were inherited left out, and bad ones."""
    increase = f"sum by ({BY}) (increase({UNITS}{{{_of(pipeline)}, outcome%s}}[{window}]))"
    units, own = increase % '!="inherited"', increase % '="own"'
    return [
        {"record": f"{UNITS_IN}{window}", "expr": units},
        {
            "record": f"{BAD_IN}{window}",
            "expr": f"{own}\nor 0 * {UNITS_IN}{window}{{{_of(pipeline)}}}",
        },
    ]


def _windows(policy: AlertPolicy) -> list[str]:
    """Return the windows that burn rates are told over, and that of few units."""
    seconds = {s for rate in policy.burn_rates for s in (rate.short_s, rate.long_s)}
    seconds |= {min(policy.over_s, rate.short_s) for rate in policy.burn_rates}
    return list(dict.fromkeys([*(duration(s) for s in sorted(seconds)), FEW_WINDOW]))


def _ratios(policy: AlertPolicy, pipeline: str) -> list[Value]:
    """Return rules for units, bad ones, and their share, in every window."""
    rules: list[Value] = []
    for window in _windows(policy):
        rules += _counts(window, pipeline)
        ratio = f"{BAD_IN}{window}{{{_of(pipeline)}}} / {UNITS_IN}{window}"
        rules.append({"record": f"{BAD_RATIO}{window}", "expr": ratio})
    return rules


def _evidence(name: str) -> str:
    """Return the series of an evidence."""
    return f"zone_indicator:firedoor_evidence:{name}"


def _summing_up(name: str, policy: CusumPolicy, all_of_it: AlertPolicy, pipeline: str) -> Rule:
    """Return the group that sums up evidence: its rule goes on from its own last value."""
    group, record = f"firedoor-{pipeline}-{name.replace('_', '-')}", _evidence(name)
    window, kept = duration(policy.slice_s), duration(3 * policy.slice_s)
    sought = f"clamp_max({policy.times:g} * {THE_BUDGET}, {RATE_MOST:g})"
    expr = (
        "clamp(\n"
        f"  (last_over_time({record}{{{_of(pipeline)}}}[{kept}])\n"
        f"    or 0 * {UNITS_IN}{window}{{{_of(pipeline)}}})\n"
        "  + clamp(\n"
        f"      {BAD_IN}{window} * ln({sought} / {THE_BUDGET})\n"
        f"      - {UNITS_IN}{window} * ({sought} - {THE_BUDGET}),\n"
        f"      {policy.gain_min:g}, {policy.gain_max:g}),\n"
        f"  0, {policy.most:g})"
    )
    counts = [] if window in _windows(all_of_it) else _counts(window, pipeline)
    rules = [*counts, {"record": record, "expr": expr}]
    return {"name": group, "interval": window, "rules": rules}


# ---- alerting


def _alerts(policy: AlertPolicy, pipeline: str) -> list[Value]:
    """Return the alerts, pages first."""
    fast, slow = policy.fast_burn, policy.slow_burn
    return [
        _silent(policy, pipeline),
        _alert(
            "FiredoorFastBurn", "page", _fires("FiredoorFastBurn", _evidence("fast_burn"), fast),
            "{{ $labels.zone }} burns its {{ $labels.indicator }} budget about "
            f"{fast.times:g} times too fast or more",
            pipeline=pipeline,
        ),
        *(_burn_rate(rate, policy, pipeline) for rate in policy.burn_rates),
        _low_traffic(policy, pipeline),
        _unexplained(policy, pipeline),
        _alert(
            "FiredoorSlowBurn", "ticket", _fires("FiredoorSlowBurn", _evidence("slow_burn"), slow),
            "{{ $labels.zone }} has been burning its {{ $labels.indicator }} budget about "
            f"{slow.times:g} times too fast for a while",
            pipeline=pipeline,
        ),
    ]  # fmt: skip


def _alert(
    name: str,
    severity: Severity,
    when: str,
    summary: str,
    *,
    pipeline: str,
    on: str = BY,
    wait: str = "",
) -> Rule:
    """Return an alert with the labels of the objective that it is about."""
    about = f"{BUDGET}{{{_of(pipeline)}}}"
    if on == ZONE:
        about = f'topk by ({on}) (1, {BUDGET}{{{_of(pipeline)}, kind!="job"}})'
    rule: Rule = {"alert": name, "expr": f"{about}\nand on ({on}) (\n{indent(when, INDENT)}\n)"}
    if wait:
        rule["for"] = wait
    rule["labels"] = {"severity": severity}
    rule["annotations"] = {
        "summary": summary,
        "description": "What is promised lets {{ $value | humanizePercentage }} of units be bad. "
        "See: firedoor slo; firedoor why {{ $labels.zone }}",
        "runbook_url": "{{ $labels.runbook }}",
    }
    return rule


def _fires(alert: str, evidence: str, policy: CusumPolicy) -> str:
    """Return when there is evidence enough; who fires goes on until there is little."""
    return (
        f"{evidence} >= {policy.fire:g}\n"
        f"or {evidence} > {policy.resolve:g}\n"
        f'  and on ({BY}) ALERTS{{alertname="{alert}", alertstate="firing"}}'
    )


def _silent(policy: AlertPolicy, pipeline: str) -> Rule:
    """Return the alert for zones without a sign of life, but those that ended as they should.

    A job has a process only while it runs: whoever supervises speaks for it, and is missed himself.
    """

    def there(window: str) -> str:
        waiting = f"{OBJECTIVE_WAITING.name}{{{_of(pipeline)}}}"
        return f"max by ({ZONE}) (last_over_time({waiting}[{window}]))"

    ended = f'{ZONE_STATE.name}{{{_of(pipeline)}, state=~"done|stopped|draining"}}'
    when = (
        f"{there('1h')}\n"
        f"unless on ({ZONE}) {there(duration(policy.silent_s))}\n"
        f"unless on ({ZONE}) max by ({ZONE}) (last_over_time({ended}[1h]) == 1)"
    )
    summary = "no process of {{ $labels.zone }} gives a sign of life"
    return _alert("FiredoorZoneSilent", "page", when, summary, pipeline=pipeline, on=ZONE)


def _burn_rate(rate: BurnRatePolicy, policy: AlertPolicy, pipeline: str) -> Rule:
    """Return the alert of a burn rate over two windows."""
    long, short = duration(rate.long_s), duration(rate.short_s)
    ratios = dict.fromkeys([long, short, duration(min(policy.over_s, rate.short_s))])
    burns = [f"{BAD_RATIO}{window} > {rate.times:g} * {THE_BUDGET}" for window in ratios]
    enough = [
        f"{BAD_IN}{long} >= {policy.bad_long_min}",
        f"{BAD_IN}{short} >= {policy.bad_short_min}",
        f"{_evidence('fast_burn')} >= {policy.burn_evidence_min:g}",
    ]
    when = "\nand ".join([*burns, *enough])
    summary = (
        "{{ $labels.zone }} burns its {{ $labels.indicator }} budget more than "
        f"{rate.times:g} times too fast, over {long} and over {short}"
    )
    return _alert(f"FiredoorBurnRate{long}", "page", when, summary, pipeline=pipeline)


def _low_traffic(policy: AlertPolicy, pipeline: str) -> Rule:
    """Return the alert for where there are too few units for rates."""
    when = (
        f"{BAD_IN}{FEW_WINDOW} >= {NEEDED}\n"
        f"and {UNITS_IN}{FEW_WINDOW} < {FEW_MOST}\n"
        f"and {BAD_RATIO}{FEW_WINDOW} >= {NEEDED} / {policy.last_units}"
    )
    summary = f"{{{{ $labels.zone }}}}: too many of its few units of {FEW_WINDOW} were bad"
    return _alert("FiredoorLowTraffic", "page", when, summary, pipeline=pipeline)


def _unexplained(policy: AlertPolicy, pipeline: str) -> Rule:
    """Return the alert for what is inherited from somebody who has none."""
    suffered = f'increase({UNITS}{{{_of(pipeline)}, outcome="inherited"}}[{INHERITED_WINDOW}])'
    counted = f"increase({UNITS}{{{_of(pipeline)}}}[{INHERITED_WINDOW}])"
    paged = f'ALERTS{{{_of(pipeline)}, alertstate="firing", severity="page"}}'
    when = (
        f"max by ({BY}) (\n"
        f"    sum by ({BY}, cause) ({suffered})\n"
        f"      / on ({BY}) group_left () sum by ({BY}) ({counted})\n"
        f"      > on ({BY}) group_left ()\n"
        f"        clamp_max({policy.fast_burn.times:g} * {THE_BUDGET}, {RATE_MOST:g})\n"
        f'    unless on (pipeline, cause) label_replace({paged}, "cause", "$1", "zone", "(.+)")\n'
        "  )"
    )
    summary = "{{ $labels.zone }} suffers from others' fault, and nobody was paged for that"
    wait = duration(policy.unexplained_s)
    return _alert("FiredoorUnexplained", "page", when, summary, pipeline=pipeline, wait=wait)


def duration(seconds: float) -> str:
    """Return a time as PromQL writes it.

    >>> duration(300), duration(21_600), duration(2.5)
    ('5m', '6h', '2500ms')
    """
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds * 1_000:.0f}ms"
