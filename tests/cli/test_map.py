"""``firedoor map``: what is drawn, and that nothing is drawn over anything else."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from firedoor.cli.main import app
from firedoor.control.map import STATES, layers, mermaid, svg
from firedoor.spec.plan import EdgePlan, Kind, Plan, ShedPlan, SinkPlan, SourcePlan, ZonePlan

FILE = """
import firedoor as fd

pipeline = fd.Pipeline("trips")
rows = pipeline.source("rows", fd.jsonl("x.jsonl"))
pipeline.sink("store", fd.parquet("out/"), reads=rows)
"""
NS = "{http://www.w3.org/2000/svg}"


def zone(name: str, kind: Kind, lookups: tuple[str, ...] = ()) -> ZonePlan:
    return ZonePlan(
        name=name, kind=kind, owner="", version="1",
        source=SourcePlan(form="jsonl") if kind == "source" else None,
        sink=SinkPlan(form="parquet") if kind == "sink" else None,
        lookups={name: name for name in lookups},
    )  # fmt: skip


def plan_of(zones: list[ZonePlan], edges: list[tuple[str, str]]) -> Plan:
    joined = tuple(EdgePlan(publisher=publisher, reader=reader) for publisher, reader in edges)
    return Plan(pipeline="p", owner="", file="", sys_path=(), zones=tuple(zones), edges=joined)


FLIGHTS = plan_of(
    [
        zone("flights", "source"),
        zone("clean", "transform"),
        zone("weather", "transform", ("observations",)),
        zone("store", "sink"),
        zone("raw", "sink"),
    ],
    [("flights", "clean"), ("clean", "weather"), ("weather", "store"), ("flights", "raw"),
     ("flights", "store")],
)  # fmt: skip


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw pipelines of up to ten zones, in order, with lookups."""
    zones: list[ZonePlan] = []
    edges: list[tuple[str, str]] = []
    for number in range(draw(st.integers(1, 10))):
        reads = draw(st.lists(st.sampled_from(zones), unique_by=id, max_size=3)) if zones else []
        lookups = tuple(draw(st.lists(st.sampled_from("abc"), unique=True, max_size=2)))
        kind: Kind = "transform" if reads else "source"
        zones.append(zone(f"z{number}", kind, lookups if reads else ()))
        edges += [(other.name, f"z{number}") for other in reads]
    return plan_of(zones, edges)


Box = tuple[float, float, float, float]


def boxes(drawing: str) -> dict[str, Box]:
    """Return left, top, right and bottom of each box, by the first word of its title."""
    found = {}
    for group in ET.fromstring(drawing).iter(f"{NS}g"):  # noqa: S314 - we have drawn it
        rect = group.find(f"{NS}rect")
        title = group.findtext(f"{NS}title", "")
        assert rect is not None
        x, y, width, height = (float(rect.get(name, "")) for name in ("x", "y", "width", "height"))
        found[title] = (x, y, x + width, y + height)
    return found


def points(path: str) -> list[tuple[float, float]]:
    """Return points along a path of M, C, H, V and L, close to each other."""
    here, found = (0.0, 0.0), []
    for sign, text in re.findall(r"([MCHV])([^MCHV]*)", path):
        numbers = [float(number) for number in text.split()]
        ways = {
            "H": lambda n=numbers, h=here: (n[0], h[1]),
            "V": lambda n=numbers, h=here: (h[0], n[0]),
        }
        ends = (numbers[-2], numbers[-1]) if sign in "MC" else ways[sign]()
        controls = [here, here, ends, ends]
        if sign == "C":
            controls[1], controls[2] = (numbers[0], numbers[1]), (numbers[2], numbers[3])
        for step in range(41):
            t = step / 40
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            if sign != "M":
                found.append(
                    (
                        sum(w * c[0] for w, c in zip(weights, controls, strict=True)),
                        sum(w * c[1] for w, c in zip(weights, controls, strict=True)),
                    )
                )
        here = ends
    return found


@settings(deadline=None)
@given(plans())
def test_no_box_covers_another_and_all_are_on_the_page(plan: Plan) -> None:
    drawing = svg(plan)
    root = ET.fromstring(drawing)  # noqa: S314 - we have drawn it
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    found = boxes(drawing)
    used = {name for one in plan.zones for name in one.lookups.values()}
    assert len(found) == len(plan.zones) + len(used)
    for left, top, right, bottom in found.values():
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
    for one, other in combinations(found.values(), 2):
        apart = one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]
        assert apart


@settings(deadline=None)
@given(plans())
def test_no_line_runs_behind_a_box(plan: Plan) -> None:
    drawing = svg(plan)
    paths = [
        path.get("d", "")
        for path in ET.fromstring(drawing).findall(f"{NS}path")  # noqa: S314
    ]
    lookups = sum(len(set(one.lookups.values())) for one in plan.zones)
    assert len(paths) == len(plan.edges) + lookups
    found = list(boxes(drawing).values())
    for path in paths:
        for x, y in points(path):
            for left, top, right, bottom in found:
                assert not (left + 1 < x < right - 1 and top + 1 < y < bottom - 1)


@settings(deadline=None)
@given(plans())
def test_every_edge_points_to_the_right(plan: Plan) -> None:
    depth = layers(plan)
    assert all(depth[edge.publisher] < depth[edge.reader] for edge in plan.edges)


def test_zones_are_coloured_by_kind_and_by_state() -> None:
    plain = svg(FLIGHTS)
    assert plain.count('fill="#dbeafe"') == 1
    assert plain.count('fill="#dcfce7"') == 2
    assert STATES["halted"] not in plain
    told = svg(FLIGHTS, states={"weather": "halted", "clean": "on fire"})
    assert told.count(f'stroke="{STATES["halted"]}"') == 1
    assert ">halted</text>" in told


def test_a_lookup_is_dashed_and_an_edge_says_what_it_does_when_it_is_full() -> None:
    shed = EdgePlan(
        publisher="flights", reader="raw", when_full="shed", bytes_max=2**23,
        shed=ShedPlan(keep=0.1, key=("tailnum",)),
    )  # fmt: skip
    plan = plan_of([zone("flights", "source"), zone("raw", "sink")], [])
    drawing = svg(Plan(
        pipeline="p", owner="", file="", sys_path=(), zones=plan.zones, edges=(shed,)
    ))  # fmt: skip
    assert ">shed to 10%, 8 MiB</text>" in drawing
    beside = EdgePlan(publisher="flights", reader="raw", instead_of=("best",))
    drawing = svg(Plan(
        pipeline="p", owner="", file="", sys_path=(), zones=plan.zones, edges=(beside,)
    ))  # fmt: skip
    assert ">block, 256 MiB, what is not good enough for best</text>" in drawing
    assert "dasharray" not in drawing
    assert svg(FLIGHTS).count("stroke-dasharray") == 2  # the lookup, and its line
    assert ">block, 256 MiB</text>" in svg(FLIGHTS)


def test_mermaid_has_a_node_a_zone_and_an_arrow_an_edge() -> None:
    lines = mermaid(FLIGHTS, states={"weather": "halted"}).splitlines()
    assert lines[0] == "flowchart LR"
    assert '  zone_flights(["flights<br/>source: jsonl"]):::source' in lines
    assert '  zone_weather["weather<br/>transform<br/>halted"]:::transform' in lines
    assert '  zone_store[("store<br/>sink: parquet")]:::sink' in lines
    assert sum("-->" in line for line in lines) == len(FLIGHTS.edges)
    assert "  lookup_observations -.-> zone_weather" in lines
    assert f"  style zone_weather stroke:{STATES['halted']},stroke-width:4px" in lines


def test_a_file_is_drawn_to_the_terminal_or_to_another_file(tmp_path: Path) -> None:
    path, out = tmp_path / "pipeline.py", tmp_path / "map.svg"
    path.write_text(FILE, encoding="utf-8")
    told = CliRunner().invoke(app, ["map", str(path)])
    assert told.exit_code == 0
    assert told.output.startswith("flowchart LR\n")
    told = CliRunner().invoke(app, ["map", str(path), "--format", "svg"])
    assert list(boxes(told.output)) == ["rows - source: jsonl", "store - sink: parquet"]
    told = CliRunner().invoke(app, ["map", str(path), "--out", str(out)])
    assert told.output == f"wrote {out}: zones: 2, edges: 1\n"
    assert len(boxes(out.read_text(encoding="utf-8"))) == 2


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["none.py"], "none.py: there is no such file"),
        (["pipeline.py", "--out", "no/such/folder/x.svg"], "cannot be written (No such file"),
    ],
)
def test_what_cannot_be_drawn_is_told_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.py").write_text(FILE, encoding="utf-8")
    told = CliRunner().invoke(app, ["map", *arguments])
    assert told.exit_code == 1
    assert why in told.output
    assert "Traceback" not in told.output
