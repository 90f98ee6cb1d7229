"""A pipeline drawn: as Mermaid, for pages that render it, and as SVG, for everything else. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from firedoor.spec.plan import EdgePlan, Plan, ZonePlan
from firedoor.units import format_bytes

_FILLS = {"source": "#dbeafe", "transform": "#f1f5f9", "sink": "#dcfce7"}
_STROKES = {"source": "#2563eb", "transform": "#475569", "sink": "#16a34a"}
_FILLS |= {"lookup": "#fef9c3", "model": "#f3e8ff", "service": "#ffedd5"}
_STROKES |= {"lookup": "#ca8a04", "model": "#9333ea", "service": "#ea580c"}
STATES = {
    "starting": "#a3a3a3",
    "running": "#16a34a",
    "throttled": "#d97706",
    "blocked": "#d97706",
    "paused": "#7c3aed",
    "halted": "#dc2626",
    "draining": "#0891b2",
    "done": "#525252",
    "stopped": "#a3a3a3",
}
"""Colour of each state, by the names of ``wire.records.State``."""

_WIDTH, _HEIGHT = 190, 58
_GAP_X, _GAP_Y, _MARGIN = 150, 34, 24
_AISLE = 18
_TEXT_MAX = 26
_FONT = 'font-family="system-ui, sans-serif" font-size="12" role="img"'
_TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0 8 4 0 8z" fill="#475569"/></marker></defs>'
)
_FIRST, _FURTHER = 'font-weight="bold" fill="#111111"', 'fill="#475569"'


@dataclass(frozen=True, slots=True)
class _Box:
    """Where something is drawn, in pixels, from its upper left corner."""

    x: float
    y: float


def mermaid(plan: Plan, *, states: Mapping[str, str] | None = None) -> str:
    """Return a Mermaid flowchart of a pipeline.

    Args:
        plan: the pipeline.
        states: state of each zone that is known, by name.
    """
    lines = ["flowchart LR"]
    for zone in plan.zones:
        state = (states or {}).get(zone.name, "")
        said = "<br/>".join(_lines_of(zone, state))
        left, right = {"source": ("([", "])"), "sink": ("[(", ")]")}.get(zone.kind, ("[", "]"))
        lines.append(f'  {_id(zone.name)}{left}"{said}"{right}:::{zone.kind}')
    lines += [f'  {kind}_{name}[/"{name}"/]:::{kind}' for kind, name in _beside(plan)]
    lines += [
        f'  {_id(edge.publisher)} -->|"{_label(edge)}"| {_id(edge.reader)}' for edge in plan.edges
    ]
    lines += [
        f"  {kind}_{name} -.-> {_id(zone.name)}"
        for zone in plan.zones
        for kind, name in _used(zone)
    ]
    lines += [
        f"  model_{service.model.name} -.-> service_{service.name}" for service in plan.services
    ]
    lines += [
        f"  classDef {kind} fill:{fill},stroke:{_STROKES[kind]},color:#111111"
        for kind, fill in _FILLS.items()
    ]
    lines += [
        f"  style {_id(name)} stroke:{STATES[state]},stroke-width:4px"
        for name, state in (states or {}).items()
        if state in STATES
    ]
    return "\n".join(lines) + "\n"


def svg(plan: Plan, *, states: Mapping[str, str] | None = None) -> str:
    """Return a drawing of a pipeline as one SVG document, from left to right.

    Args:
        plan: the pipeline.
        states: state of each zone that is known, by name; it colours the zone's frame.
    """
    boxes = _places(plan)
    width = max((box.x for box in boxes.values()), default=_MARGIN) + _WIDTH + _MARGIN
    height = max((box.y for box in boxes.values()), default=_MARGIN) + _HEIGHT + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" {_FONT}>',
        f"<title>{escape(plan.pipeline)}</title>",
        _TIP,
        f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>',
    ]
    depth = layers(plan)
    parts += [_edge(edge, boxes, _passes(edge, depth)) for edge in plan.edges]
    parts += [
        _dashed(boxes[_key(*used)], boxes[zone.name]) for zone in plan.zones for used in _used(zone)
    ]
    for zone in plan.zones:
        state = (states or {}).get(zone.name, "")
        parts.append(_rect(boxes[zone.name], zone.kind, _lines_of(zone, state), state))
    of = {service.name: f"service of {service.model.name}" for service in plan.services}
    parts += [
        _rect(boxes[_key(kind, name)], kind, [name, of[name] if kind == "service" else kind], "")
        for kind, name in _beside(plan)
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def layers(plan: Plan) -> dict[str, int]:
    """Return the column in which each zone is drawn: one right of the last that it reads."""
    depth: dict[str, int] = {}
    for zone in plan.zones:
        above = [depth[edge.publisher] for edge in plan.inboxes(zone.name)]
        depth[zone.name] = 1 + max(above, default=-1)
    return depth


def _places(plan: Plan) -> dict[str, _Box]:
    """Return where zones, lookups and models are drawn, by name; the latter in a row below.

    A zone stands as near as it can to the middle of what it reads, so that lines cross little.
    An edge across several columns has a place in each, so that it runs behind no zone.
    """
    depth = layers(plan)
    before: dict[str, list[str]] = {zone.name: [] for zone in plan.zones}
    for edge in plan.edges:
        chain = [edge.publisher, *_passes(edge, layers(plan)), edge.reader]
        for number, name in enumerate(chain[1:]):
            depth.setdefault(name, depth[edge.publisher] + number + 1)
            before.setdefault(name, []).append(chain[number])
    rows: dict[str, float] = {}
    for column in range(1 + max(depth.values(), default=-1)):
        names = [name for name, at in depth.items() if at == column]
        wanted = {name: _middle(before[name], rows) for name in names}
        free = -1.0
        for name in sorted(names, key=lambda name: wanted[name]):
            free = rows[name] = max(free + 1, wanted[name])
    step_x, step_y = _WIDTH + _GAP_X, _HEIGHT + _GAP_Y
    boxes = {
        name: _Box(_MARGIN + at * step_x, _MARGIN + rows[name] * step_y)
        for name, at in depth.items()
    }
    below = _MARGIN + (1 + max(rows.values(), default=-1)) * step_y
    taken: set[float] = set()
    for beside in _beside(plan):
        above = [boxes[zone.name].x for zone in plan.zones if beside in _used(zone)]
        x = min(above, default=float(_MARGIN))
        while x in taken:
            x += step_x
        taken.add(x)
        boxes[_key(*beside)] = _Box(x, below)
    return boxes


def _passes(edge: EdgePlan, depth: Mapping[str, int]) -> list[str]:
    """Return the keys of an edge's places in the columns that it crosses."""
    crossed = range(depth[edge.publisher] + 1, depth[edge.reader])
    return [f"pass:{edge.name}:{column}" for column in crossed]


def _middle(before: list[str], rows: Mapping[str, float]) -> float:
    """Return the row in the middle of some others; the first where there are none."""
    return sum(rows[name] for name in before) / len(before) if before else 0.0


def _rect(box: _Box, kind: str, lines: list[str], state: str) -> str:
    """Return a box with text; that of a lookup or model is dashed."""
    stroke, width = (STATES[state], 3) if state in STATES else (_STROKES[kind], 1.5)
    radius = {"source": 28, "sink": 2}.get(kind, 8)
    dash = ' stroke-dasharray="5 4"' if kind in {"lookup", "model"} else ""
    middle, first = box.x + _WIDTH / 2, box.y + _HEIGHT / 2 - 7.5 * (len(lines) - 1) + 4
    text = "".join(
        f'<text x="{middle:g}" y="{first + 15 * number:g}" text-anchor="middle"'
        f" {_FIRST if number == 0 else _FURTHER}>{escape(_cut(line))}</text>"
        for number, line in enumerate(lines)
    )
    return (
        f'<g><title>{escape(" - ".join(lines))}</title><rect x="{box.x:g}" y="{box.y:g}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" rx="{radius}" fill="{_FILLS[kind]}" '
        f'stroke="{stroke}" stroke-width="{width}"{dash}/>{text}</g>'
    )


def _edge(edge: EdgePlan, boxes: Mapping[str, _Box], passes: list[str]) -> str:
    """Return a line from publisher to reader, with what its inbox does when it is full."""
    start = boxes[edge.publisher]
    x, y, bend = start.x + _WIDTH, start.y + _HEIGHT / 2, _GAP_X / 2
    way = f"M{x:g} {y:g}"
    for name in [*passes, edge.reader]:
        to_x, to_y = boxes[name].x, boxes[name].y + _HEIGHT / 2
        way += f" C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"
        x, y = to_x, to_y
        if name != edge.reader:
            x += _WIDTH
            way += f" H{x:g}"
    # the label stands at the reader's end, where lines to several readers are apart
    return (
        f'<path d="{way}" fill="none" stroke="#475569" stroke-width="1.5" marker-end="url(#tip)"/>'
        f'<text x="{x - _AISLE - 4:g}" y="{y - 6:g}" text-anchor="end" font-size="10" '
        f'fill="#475569">{escape(_label(edge))}</text>'
    )


def _dashed(lookup: _Box, zone: _Box) -> str:
    """Return a dashed line from a lookup or model to a zone that uses it, between all boxes."""
    x, aisle_y = lookup.x + _WIDTH / 2, lookup.y - _GAP_Y / 2
    aisle_x, to_y = zone.x - _AISLE, zone.y + _HEIGHT * 0.8
    return (
        f'<path d="M{x:g} {lookup.y:g} V{aisle_y:g} H{aisle_x:g} V{to_y:g} H{zone.x:g}" '
        f'fill="none" stroke="{_STROKES["lookup"]}" stroke-width="1.5" stroke-dasharray="5 4" '
        'marker-end="url(#tip)"/>'
    )


def _lines_of(zone: ZonePlan, state: str) -> list[str]:
    """Return what is written on a zone: name, what it is, and its state if that is known."""
    what: str = zone.kind
    if zone.source is not None:
        what = f"source: {zone.source.form}"
    elif zone.sink is not None:
        what = f"sink: {zone.sink.form}"
    return [zone.name, what, *([state] if state else [])]


def _label(edge: EdgePlan) -> str:
    """Return what is written on an edge: ``block``, ``shed 10%``, ``detach``, room, what comes."""
    way = f"shed to {edge.shed.keep:.0%}" if edge.shed is not None else edge.when_full
    beside = f", what is not good enough for {' and '.join(edge.instead_of)}"
    return f"{way}, {format_bytes(edge.bytes_max)}" + (beside if edge.instead_of else "")


def _used(zone: ZonePlan) -> list[tuple[str, str]]:
    """Return the lookups and models that a zone uses, as kind and name."""
    lookups = (("lookup", name) for name in zone.lookups.values())
    models = (("model", model.name) for model in zone.models.values())
    return list(dict.fromkeys((*lookups, *models)))


def _beside(plan: Plan) -> list[tuple[str, str]]:
    """Return the lookups and models that something uses, and the services, as kind and name."""
    used = [used for zone in plan.zones for used in _used(zone)]
    models = [("model", service.model.name) for service in plan.services]
    services = [("service", service.name) for service in plan.services]
    return list(dict.fromkeys((*used, *models, *services)))


def _key(kind: str, name: str) -> str:
    """Return the key of a lookup or model among boxes, which no zone can have."""
    return f"{kind}:{name}"


def _id(name: str) -> str:
    """Return a zone's id in Mermaid, where ``end`` and the like are words of the language."""
    return f"zone_{name}"


def _cut(text: str) -> str:
    """Return text that fits into a box."""
    return text if len(text) <= _TEXT_MAX else f"{text[: _TEXT_MAX - 1]}…"
