"""The dashboard for Grafana: the rows of `panels`, and one more row with every metric that they do not show."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from gateway.metrics.catalogue import CATALOGUE, Metric
from gateway.metrics.monitoring.panels import AT, ROWS, Panel, Query, Row

WIDTH = 24
COLUMNS = 3
HEIGHT = 7
LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_NAME = re.compile(r"\b(?:gateway|publisher|process)_[a-z0-9_]+")


def dashboard() -> str:
    """Return the JSON of the Grafana dashboard."""
    rows = (*ROWS, Row("All other metrics", tuple(_rest()), collapsed=True))
    content = {
        "uid": "realtime-gateway",
        "title": "Realtime gateway",
        "tags": ["gateway"],
        "description": "Made from gateway/metrics/monitoring by `make docs`.",
        "editable": True,
        "schemaVersion": 39,
        "version": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "panels": list(_panels(rows)),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _variables() -> list[dict[str, Any]]:
    instances = "label_values(gateway_info, instance)"
    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {
            "name": "instance",
            "type": "query",
            "label": "replica",
            "datasource": SOURCE,
            "query": {"query": instances, "refId": "instances"},
            "definition": instances,
            "includeAll": True,
            "multi": True,
            "current": {"text": "All", "value": "$__all"},
            "refresh": 2,
            "sort": 1,
        },
    ]


def _panels(rows: tuple[Row, ...]) -> Iterator[dict[str, Any]]:
    """Return the panels with their places; the panels of a collapsed row are inside it."""
    ident, top = 0, 0
    for row in rows:
        ident += 1
        heading: dict[str, Any] = {
            "id": ident,
            "type": "row",
            "title": row.title,
            "collapsed": row.collapsed,
            "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
            "panels": [],
        }
        inside = []
        for place, panel in enumerate(row.panels):
            ident += 1
            x, y = place % COLUMNS * (WIDTH // COLUMNS), top + 1 + place // COLUMNS * HEIGHT
            inside.append(_panel(ident, panel, {"x": x, "y": y, "w": WIDTH // COLUMNS, "h": HEIGHT}))
        if row.collapsed:
            yield heading | {"panels": inside}
            top += 1
        else:
            yield heading
            yield from inside
            top += 1 + -(-len(inside) // COLUMNS) * HEIGHT


def _panel(ident: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": ident,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.note or _note(panel),
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": query.expr, "legendFormat": query.legend}
            for i, query in enumerate(panel.queries)
        ],
    }


def _note(panel: Panel) -> str:
    """Return the help texts of the panel's metrics, as the panel's description."""
    shown = _shown([panel])
    return "; ".join(metric.help for metric in CATALOGUE if metric.name in shown)


def _shown(panels: list[Panel]) -> set[str]:
    names = {name for panel in panels for query in panel.queries for name in _NAME.findall(query.expr)}
    return names | {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


def _rest() -> Iterator[Panel]:
    """Return a plain panel for each metric that no other panel shows."""
    shown = _shown([panel for row in ROWS for panel in row.panels])
    return (_plain(metric) for metric in CATALOGUE if metric.name not in shown)


def _plain(metric: Metric) -> Panel:
    title = metric.name.removeprefix("gateway_").removesuffix("_total").replace("_", " ")
    by, legend = (f"instance, {metric.label}", f"{{{{{metric.label}}}}} ") if metric.label else ("instance", "")
    value = f"{metric.name}{AT}" if metric.kind == "gauge" else f"rate({metric.name}{AT}[$__rate_interval])"
    return Panel(title, "short", (Query(f"sum by ({by}) ({value})", legend + "{{instance}}"),), metric.help)
