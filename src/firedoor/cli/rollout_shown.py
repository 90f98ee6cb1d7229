"""How a service's rollouts are, in lines."""

from __future__ import annotations

from firedoor.cli.asking import one_line
from firedoor.compose.rollout_desk import Picture

WIDTH = 500


def picture_lines(found: Picture, *, now_s: float) -> list[str]:
    """Return how a service's rollouts are: where, why it waits, who speaks, what happened last."""
    lines = [f"{found.service}: {_where(found)}", f"  {one_line(found.why, WIDTH)}"]
    if not found.controlled:
        lines.append("  no control process speaks: nothing goes on but requests")
    lines.append(f"  {_gateways(found)}")
    lines += [
        f"  waits: {one.verb}, ordered by {one.by}" + (f": {one.because}" if one.because else "")
        for one in found.orders
    ]
    if found.state is not None and found.state.said:
        last = found.state.said[-1]
        by = f", by {last.by}" if last.by else ""
        ago = _ago(now_s - last.at_s)
        told = one_line(f"last: {last.what}{by}, {ago} ago: {last.because}", WIDTH)
        lines.append(f"  {told}")
    return lines


def _where(found: Picture) -> str:
    """Say who answers how many requests."""
    route = found.route
    if route is None:
        return "the champion of the registry answers; no route was written yet"
    champion = route.champion.name
    if route.candidate is None or route.mode == "steady":
        return f"{champion} answers everything"
    if route.mode == "shadow":
        return f"shadow: {champion} answers, {route.candidate.name} is given copies"
    held = f", but for {', '.join(route.held_slices)}" if route.held_slices else ""
    share = f"{100 * route.weight:g} %"
    return f"canary: {route.candidate.name} answers {share}{held}; {champion} is the champion"


def _gateways(found: Picture) -> str:
    """Say who speaks, and which versions are ready where."""
    if not found.gateways:
        return "no gateway speaks"
    ready: dict[str, int] = {}
    for evidence in found.gateways.values():
        for name, state in evidence.variants.items():
            ready[name] = ready.get(name, 0) + (state == "ready")
    count = len(found.gateways)
    told = ", ".join(f"{name} ready in {n}" for name, n in sorted(ready.items()))
    return f"{count} gateway{'s' if count > 1 else ''} speak{'' if count > 1 else 's'}: {told}"


def _ago(seconds: float) -> str:
    """Say for how long something is over: ``40 s``, ``3 min``, ``2 h``."""
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{max(0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.0f} h"  # noqa: PLR2004
