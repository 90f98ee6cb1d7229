"""Dashboards for Grafana, one a kind of zone, as its provisioner loads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from firedoor.slo.block_yaml import to_yaml
from firedoor.slo.objective import Kind
from firedoor.slo.panels import PANELS, Panel

SCHEMA = 39
"""Of the format: Grafana 10 and later read it, and bring it up to date by themselves."""
COLUMNS = 24
HEIGHT = 8
UID_MAX = 40
"""Characters that Grafana takes."""
TITLES: dict[Kind, str] = {
    "source": "sources", "transform": "transforms", "sink": "sinks", "service": "services",
    "job": "jobs",
}  # fmt: skip
Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


def dashboards(zones: Mapping[Kind, Sequence[str]], *, pipeline: str) -> dict[str, str]:
    """Return dashboards by the name of their file.

    Args:
        zones: names of zones, services and jobs, by their kind; kinds without any are left out.
        pipeline: whose they are.
    """
    return {
        f"firedoor-{pipeline}-{kind}.json": json.dumps(
            _dashboard(kind, names, pipeline), indent=2
        ) + "\n"
        for kind, names in zones.items()
        if names
    }  # fmt: skip


def provider(folder: str, *, pipeline: str) -> str:
    """Return what Grafana reads under ``provisioning/dashboards``: where the dashboards are."""
    return to_yaml(
        {
            "apiVersion": 1,
            "providers": [
                {
                    "name": f"firedoor-{pipeline}",
                    "folder": f"firedoor {pipeline}",
                    "type": "file",
                    "disableDeletion": False,
                    "allowUiUpdates": False,
                    "options": {"path": folder},
                }
            ],
        }
    )


def _dashboard(kind: Kind, names: Sequence[str], pipeline: str) -> dict[str, Json]:
    """Return the dashboard of one kind."""
    panels: list[Json] = []
    left = top = 0
    for number, panel in enumerate(PANELS[kind], 1):
        if left + panel.width > COLUMNS:
            left, top = 0, top + HEIGHT
        place = {"h": HEIGHT, "w": panel.width, "x": left, "y": top}
        panels.append(_panel(number, panel, place))
        left += panel.width
    return {
        "uid": _uid(pipeline, kind),
        "title": f"{pipeline}: {TITLES[kind]}",
        "description": "Written by `firedoor export grafana`: do not edit, write it anew.",
        "tags": ["firedoor", pipeline],
        "schemaVersion": SCHEMA,
        "version": 1,
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "editable": False,
        "templating": {
            "list": [_source_variable(), _pipeline_variable(pipeline), _zone_variable(names)]
        },
        "annotations": {"list": []},
        "panels": panels,
    }


def _uid(pipeline: str, kind: Kind) -> str:
    """Return what a dashboard's address is made of; long names are told apart by a hash."""
    uid = f"firedoor-{pipeline}-{kind}"
    if len(uid) <= UID_MAX:
        return uid
    return f"firedoor-{hashlib.sha256(pipeline.encode()).hexdigest()[:12]}-{kind}"


def _source_variable() -> dict[str, Json]:
    """Return the choice of a Prometheus."""
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
    }


def _pipeline_variable(pipeline: str) -> dict[str, Json]:
    """Return whose metrics are shown, which nobody is asked for."""
    chosen: dict[str, Json] = {"text": pipeline, "value": pipeline, "selected": True}
    return {
        "name": "pipeline",
        "type": "constant",
        "query": pipeline,
        "current": chosen,
        "options": [chosen],
        "hide": 2,
    }


def _zone_variable(names: Sequence[str]) -> dict[str, Json]:
    """Return the choice of zones: those that are declared."""
    return {
        "name": "zone",
        "label": "zone",
        "type": "custom",
        "query": ",".join(names),
        "multi": True,
        "includeAll": True,
        "allValue": "|".join(names),
        "current": {"text": "All", "value": "$__all", "selected": True},
        "options": [],
        "hide": 0,
    }


def _panel(number: int, panel: Panel, place: Mapping[str, int]) -> dict[str, Json]:
    """Return one panel."""
    source: dict[str, Json] = {"type": "prometheus", "uid": "${datasource}"}
    custom: dict[str, Json] = {"fillOpacity": 10, "showPoints": "never"}
    if panel.stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    defaults: dict[str, Json] = {"unit": panel.unit, "min": panel.least, "custom": custom}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.told,
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + place), "expr": query.expr, "legendFormat": query.legend,
             "datasource": source}
            for place, query in enumerate(panel.queries)
        ],
    }  # fmt: skip
