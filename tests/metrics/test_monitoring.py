"""The dashboard and the alerts ask for nothing that a running gateway, or a publisher, does not show."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import AggregateExpr, Expr, MatrixSelector, VectorSelector

from gateway.dev import docs
from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.metrics.catalogue import CATALOGUE
from gateway.metrics.monitoring.alerts import ALERTS
from gateway.metrics.monitoring.dashboard import dashboard
from publisher import Publisher
from publisher.prometheus import CATALOGUE as PUBLISHERS
from publisher.prometheus import LABEL, PublisherCollector
from tests.support.replica import Replicas

GRAFANA = {"$__rate_interval": "5m", "$instance": ".*"}
# Prometheus' own, and the one that samples have where there are workers.
ALWAYS = {"instance", "job", "worker"}
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def panels(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in content["panels"]:
        yield panel
        yield from panel.get("panels", ())


def dashboard_queries() -> list[str]:
    targets = [target for panel in panels(json.loads(dashboard())) for target in panel.get("targets", ())]
    queries = [target["expr"] for target in targets]
    for name, value in GRAFANA.items():
        queries = [query.replace(name, value) for query in queries]
    return queries


QUERIES = [*dashboard_queries(), *(alert.expr for alert in ALERTS)]


def nodes(expr: Expr) -> list[Expr]:
    """Return an expression and all that it consists of, at any depth."""
    found: list[Expr] = []

    def visit(node: Expr) -> None:
        # The parser's walk does not enter the argument of a range.
        found.append(node.vector_selector if isinstance(node, MatrixSelector) else node)

    promql_parser.walk(expr, visit)
    return list({id(node): node for node in found}.values())


def selectors(expr: Expr) -> list[VectorSelector]:
    """Return what an expression selects."""
    return [node for node in nodes(expr) if isinstance(node, VectorSelector)]


def aggregations(expr: Expr) -> list[AggregateExpr]:
    return [node for node in nodes(expr) if isinstance(node, AggregateExpr)]


@pytest.fixture(scope="module")
def shown(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> dict[str, set[str]]:
    """Return each sample that can be asked for with its labels, as running ones have them."""
    page: str = shared_replicas(shared_redis_server.url).get("/metrics")[1]
    registry = CollectorRegistry()
    with Publisher.from_url(shared_redis_server.url) as events:
        registry.register(PublisherCollector(backend=events))
        page += generate_latest(registry).decode()
    found: dict[str, set[str]] = {}
    # What has not happened yet has a heading on the page, and its label in the catalogue.
    labels = {metric.name: {metric.label} - {""} for metric in CATALOGUE}
    labels |= {metric.name: {LABEL} for metric in PUBLISHERS}
    for family in text_string_to_metric_families(page):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        for suffix in SUFFIXES[family.type]:
            found[name + suffix] = labels[name] | ALWAYS | ({"le"} if suffix == "_bucket" else set())
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_no_query_asks_for_a_metric_or_a_label_that_is_not_there(shown: dict[str, set[str]], query: str) -> None:
    expr = promql_parser.parse(query)
    asked = selectors(expr)
    assert asked
    for selector in asked:
        assert selector.name in shown
        assert {matcher.name for matcher in selector.matchers.matchers} <= shown[selector.name]
    for aggregation in aggregations(expr):
        kept = set(aggregation.modifier.labels) if aggregation.modifier else set()
        for selector in selectors(aggregation.expr):
            assert kept <= shown[str(selector.name)]


def test_the_check_sees_a_metric_that_is_not_there() -> None:
    expr = promql_parser.parse("sum by (nobody) (rate(gateway_nothing_total[5m])) > 1 and gateway_no{a='b'} == 0")
    assert {selector.name for selector in selectors(expr)} == {"gateway_nothing_total", "gateway_no"}
    assert [str(aggregation.modifier) for aggregation in aggregations(expr)] == ["by (nobody)"]


def test_every_metric_is_on_the_dashboard() -> None:
    text = " ".join(dashboard_queries())
    names = {metric.name for metric in (*CATALOGUE, *PUBLISHERS)}
    assert not [name for name in names if not re.search(rf"\b{name}(_bucket)?\b", text)]


def test_the_dashboards_file_loads_and_its_panels_have_places_of_their_own() -> None:
    content = json.loads((docs.ROOT / docs.DASHBOARD).read_text())
    found = list(panels(content))
    assert len({panel["id"] for panel in found}) == len(found)
    taken: set[tuple[int, int]] = set()
    for panel in content["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    for panel in found:
        if panel["type"] != "row":
            assert panel["description"]
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_the_file_of_rules_has_all_alerts_with_their_annotations() -> None:
    (group,) = yaml.safe_load((docs.ROOT / docs.RULES).read_text())["groups"]
    assert [rule["alert"] for rule in group["rules"]] == [alert.name for alert in ALERTS]
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    for rule, alert in zip(group["rules"], ALERTS, strict=True):
        assert rule["expr"] == alert.expr
        assert re.fullmatch(r"\d+m", rule["for"])
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_the_runbook_says_what_to_do_about_each_alert(alert: Any) -> None:
    path, _, anchor = alert.runbook.partition("#")
    headings = re.findall(r"^#+ (.+)$", (docs.ROOT / path).read_text(), re.M)
    # GitHub's rule for anchors, as far as these names need it.
    assert [heading.lower() for heading in headings].count(anchor) == 1
    assert all((alert.summary, alert.means, alert.do, alert.why_wait))
