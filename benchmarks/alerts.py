"""``python -m benchmarks.alerts``: whom alerts wake, in months that are drawn from seeds.

A world is 30 days of a service with a rhythm of day and night, that spends a fifth of its budget,
with 100 blips of 5 to 30 s in which 20 to 100 % are bad, and four faults of each kind. Ends with 1
if what is promised does not hold. About ten minutes of one core; ``--quick``: four.
"""

import statistics
from typing import Annotated

import typer

from benchmarks.alert_world import Seen, Service, run
from benchmarks.measure import Paper
from firedoor.slo.policy import Detector

GROUPS: dict[str, frozenset[Detector]] = {
    "fast burn": frozenset({"fast_burn"}),
    "burn rates": frozenset({"burn_rate"}),
    "page": frozenset({"fast_burn", "burn_rate", "low_traffic"}),
    "slow burn (ticket)": frozenset({"slow_burn"}),
    "flapping (ticket)": frozenset({"flapping"}),
    "any": frozenset({"fast_burn", "burn_rate", "low_traffic", "slow_burn"}),
}
MINUTE_S, HOUR_S = 60.0, 3_600.0
OUTAGES = ((1.0, 5 * MINUTE_S), (0.2, 10 * MINUTE_S), (0.05, 20 * MINUTE_S))
FIRST_SEED = 9_000
PRECISION = 0.97
WITHIN_S = 150.0
EDGE_S = 120.0
"""At exactly ten times the budget a slice in a hundred says too little: most are found in time, and
the others so much later at most."""
BAD_ENOUGH = 1.0
"""Bad units a second at ten times the budget from which on that can be seen in time."""
TENFOLD = 10.0


def main(
    *,
    worlds: Annotated[int, typer.Option(min=1, help="Months of each kind of service.")] = 5,
    quick: Annotated[bool, typer.Option(help="Two months each.")] = False,
    seed: Annotated[int, typer.Option(help="The first one.")] = FIRST_SEED,
) -> None:
    """Print recall, precision and times, and say whether what is promised holds."""
    paper, worlds = Paper(), 2 if quick else worlds
    failed: list[str] = []
    for target in (0.999, 0.99, 0.95):
        budget = 1 - target
        tenfold = min(TENFOLD * budget, 0.5)
        faults = (*OUTAGES, (0.02, HOUR_S)) if target > 0.99 else OUTAGES  # noqa: PLR2004
        kinds = tuple(dict.fromkeys((*faults, (tenfold, 20 * MINUTE_S), (3 * budget, 8 * HOUR_S))))
        for rps in (100.0, 10.0, 1.0, *((0.02,) if target > 0.99 else ())):  # noqa: PLR2004
            service = Service(rps=rps, target=target, faults=kinds)
            seen = together(service, worlds, seed)
            table(paper, service, seen, worlds)
            failed += broken(service, seen)
    healthy(paper, worlds, seed)
    print("\n".join(failed) if failed else "what is promised holds")
    if failed:
        raise typer.Exit(1)


def together(service: Service, worlds: int, seed: int) -> dict[str, Seen]:
    """Return what all worlds have told."""
    seen = {name: Seen() for name in GROUPS}
    for place in range(worlds):
        for name, told in run(service, seed + place, GROUPS).items():
            seen[name].add(told)
    return seen


def table(paper: Paper, service: Service, seen: dict[str, Seen], worlds: int) -> None:
    """Print one kind of service."""
    kinds = sorted(seen["any"].faults, key=lambda kind: -float(kind.split()[0]))
    rows = [
        [name, *(cell(told, kind) for kind in kinds), precision(told),
         f"{told.false / worlds:.1f}", f"{told.echoes / worlds:.1f}"]
        for name, told in seen.items()
    ]  # fmt: skip
    paper.table(
        f"{service.target * 100:g} % promised, {service.rps:g} a second, {worlds} months: found, "
        "median (longest) seconds",
        ["detector", *kinds, "precision", "false a month", "echoes a month"],
        rows,
    )


def cell(told: Seen, kind: str) -> str:
    """Return how many faults of a kind were found, and when."""
    found, there = told.found_s.get(kind, []), told.faults[kind]
    if not found:
        return f"0/{there}"
    return f"{len(found)}/{there} {statistics.median(found):.0f} ({max(found):.0f})"


def precision(told: Seen) -> str:
    """Return the share of alerts that were about a fault."""
    all_of_them = told.found + told.false
    return f"{told.found / all_of_them:.3f}" if all_of_them else ""


def broken(service: Service, seen: dict[str, Seen]) -> list[str]:
    """Return what is promised and does not hold, in sentences."""
    page, what = seen["page"], f"{service.target * 100:g} %, {service.rps:g} a second"
    failed = []
    if page.found and page.found / (page.found + page.false) < PRECISION:
        failed.append(f"{what}: precision {precision(page)} is below {PRECISION}")
    if page.after_blips:
        failed.append(f"{what}: {page.after_blips} pages for blips")
    if service.rps * TENFOLD * (1 - service.target) < BAD_ENOUGH * 0.999:
        return failed
    for kind, there in page.faults.items():
        share = float(kind.split()[0]) / 100 / (1 - service.target)
        times = page.found_s.get(kind, [])
        if share >= TENFOLD * 0.999 and not in_time(times, there, edge=share < 2 * TENFOLD):
            failed.append(f"{what}: {kind} was found {cell(page, kind)}")
    return failed


def in_time(times: list[float], there: int, *, edge: bool) -> bool:
    """Return whether all were found in time; at the edge of what is looked for, nine of ten."""
    if len(times) < there or max(times) > WITHIN_S + (EDGE_S if edge else 0):
        return False
    return sum(time > WITHIN_S for time in times) <= (there / 10 if edge else 0)


def healthy(paper: Paper, worlds: int, seed: int) -> None:
    """Print what is told of services that spend their budget exactly, without any fault."""
    rows = []
    for target in (0.999, 0.99, 0.95):
        for rps in (100.0, 1.0, 0.1):
            service = Service(rps=rps, target=target, base=1.0, blips=0)
            seen = together(service, max(2, worlds // 2), seed + 500)
            rows.append(
                [f"{target * 100:g} %", f"{rps:g}",
                 *(f"{told.false / max(2, worlds // 2):.2f}" for told in seen.values())]
            )  # fmt: skip
    paper.table(
        "A service that spends its budget exactly, no blips: alerts a month",
        ["promised", "a second", *GROUPS],
        rows,
    )


if __name__ == "__main__":
    typer.run(main)
