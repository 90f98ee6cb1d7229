"""Who is better: a rule for columns that oppose each other.

Whoever calls a broken dependency without end spares it nothing and recovers at once; whoever never
calls again does the opposite. So the best figure of each column is no aim by itself. One stack is
**better** than another in a scenario if it is at least as good in all of useful work, load and
recovery, and better in one. Equal is what differs by no more than the margins.
"""

from collections.abc import Iterable
from itertools import product

SHARE = 0.05
"""What differs by less than this share is equal."""
LOAD = 0.05
"""So is load: a twentieth of what the dependency bears when it is well."""
RECOVERY_S = 1.0
"""So is recovery: it is counted in whole seconds."""
Figures = dict[str, float]
OURS = "firedoor"


def gains(one: Figures, other: Figures) -> tuple[float, float, float]:
    """Return by how much ``one`` is better: useful, load, recovery. Above 1: beyond the margin."""
    useful = one["useful"] - other["useful"]
    load = other["load"] - one["load"]
    recovery_s = other["recovery_s"] - one["recovery_s"]
    return (
        useful / (SHARE * max(one["useful"], other["useful"], 1.0)),
        load / max(LOAD, SHARE * max(one["load"], other["load"])),
        recovery_s / max(RECOVERY_S, SHARE * max(one["recovery_s"], other["recovery_s"])),
    )


def better(one: Figures, other: Figures) -> bool:
    """Return whether ``one`` is worse in nothing, and better in something."""
    found = gains(one, other)
    return min(found) >= -1 and max(found) > 1


def peers(figures: dict[str, Figures]) -> dict[str, Figures]:
    """Return what is not ours."""
    return {name: told for name, told in figures.items() if not name.startswith(OURS)}


def best(figures: Iterable[Figures]) -> Figures:
    """Return the best figure of each column, whoever has it."""
    told = list(figures)
    return {
        "useful": max(each["useful"] for each in told),
        "load": min(each["load"] for each in told),
        "recovery_s": min(each["recovery_s"] for each in told),
    }


def beside_best(ours: Figures, theirs: Figures) -> list[str]:
    """Return our figures beside the best of each column: two ratios, and seconds."""
    load = f"{ours['load'] / theirs['load']:.2f}" if theirs["load"] else "-"
    return [
        f"{ours['useful'] / max(theirs['useful'], 0.1):.2f}",
        load,
        f"{ours['recovery_s'] - theirs['recovery_s']:+.1f}",
    ]


def rows(figures: dict[str, Figures]) -> list[list[str]]:
    """Return a line for each of ours: beside the best, who is better, and how many are worse."""
    others = peers(figures)
    told = []
    for name, ours in figures.items():
        if name in others or not others:
            continue
        winners = [peer for peer, theirs in others.items() if better(theirs, ours)]
        beaten = sum(better(ours, theirs) for theirs in others.values())
        told.append(
            [
                name,
                *beside_best(ours, best(others.values())),
                ", ".join(winners) or "none",
                f"{beaten} of {len(others)}",
            ]
        )
    return told


def summary(all_figures: dict[str, dict[str, Figures]]) -> list[list[str]]:
    """Return for each stack how many others are better than it, and it than others, in all runs."""
    names = list(next(iter(all_figures.values())))
    counted = {name: [0, 0] for name in names}
    for figures in all_figures.values():
        for one, other in product(names, repeat=2):
            if one != other and better(figures[one], figures[other]):
                counted[one][0] += 1
                counted[other][1] += 1
    pairs = len(all_figures) * (len(names) - 1)
    return [
        [name, f"{wins} of {pairs}", f"{losses} of {pairs}"]
        for name, (wins, losses) in counted.items()
    ]
