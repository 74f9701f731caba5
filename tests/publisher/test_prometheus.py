"""A publisher's counters, as Prometheus reads them."""

from __future__ import annotations

from dataclasses import fields

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, Counters, Publisher, conversation
from publisher.prometheus import CATALOGUE, PublisherCollector
from tests.metrics.page import Page
from tests.support.tokens import new_id
from tests.support.waiting import PATIENCE_S

ORG = new_id()


def page(collector: PublisherCollector) -> Page:
    registry = CollectorRegistry()
    registry.register(collector)
    return Page(generate_latest(registry).decode())


def test_every_counter_is_shown() -> None:
    shown = {metric.name for metric in CATALOGUE if metric.kind == "counter"}
    assert shown == {f"publisher_{field.name}_total" for field in fields(Counters)}


async def test_both_publishers_are_shown_each_under_its_name(redis_server: EmbeddedRedis) -> None:
    room = conversation(new_id())
    with Publisher.from_url(redis_server.url, timeout_s=PATIENCE_S) as jobs:
        async with AsyncPublisher.from_url(redis_server.url, timeout_s=PATIENCE_S) as backend:
            collector = PublisherCollector(backend=backend, jobs=jobs)
            await backend.emit(ORG, "e", 1, to=room, key="k")
            await backend.emit(ORG, "e", 1, to=room, key="k")
            jobs.emit(ORG, "e", 2, to=room)
            found = page(collector)
    assert found("publisher_sent_total", publisher="backend") == 1
    assert found("publisher_duplicates_total", publisher="backend") == 1
    assert found("publisher_sent_total", publisher="jobs") == 1
    assert found("publisher_unsent") == 0


def test_what_waits_while_redis_is_away_is_shown(redis_server: EmbeddedRedis) -> None:
    redis_server.stop()
    with Publisher.from_url(redis_server.url, timeout_s=0.01) as events:
        collector = PublisherCollector(backend=events)
        events.emit(ORG, "e", 1, to=conversation(new_id()))
        found = page(collector)
        assert found("publisher_unsent", publisher="backend") == 1
        assert found("publisher_queued_total", publisher="backend") == 1
        redis_server.start()


def test_a_second_collector_in_one_registry_is_refused(redis_server: EmbeddedRedis) -> None:
    registry = CollectorRegistry(auto_describe=True)
    with Publisher.from_url(redis_server.url) as events:
        registry.register(PublisherCollector(a=events))
        with pytest.raises(ValueError, match="Duplicated"):
            registry.register(PublisherCollector(b=events))
