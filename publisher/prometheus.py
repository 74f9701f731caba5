"""A publisher's counters for Prometheus. Needs `prometheus-client`, which comes with the extra `prometheus`.

    from prometheus_client import REGISTRY
    from publisher.prometheus import PublisherCollector

    REGISTRY.register(PublisherCollector(backend=events))

A scrape reads `counters` and `unsent` at that moment; nothing is counted twice. After a fork each child counts for
itself. prometheus-client's multiprocess mode does not support collectors, so there each worker needs its own page,
or the program reads `counters` itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from publisher.counters import Counters

Family = CounterMetricFamily | GaugeMetricFamily
LABEL = "publisher"


class Metric(NamedTuple):
    """A counter of the publisher as Prometheus gets it: name, kind, help."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str


CATALOGUE = (
    Metric("publisher_sent_total", "counter", "events that Redis accepted"),
    Metric("publisher_duplicates_total", "counter", "events not published, as Redis knew their key or version"),
    Metric("publisher_queued_total", "counter", "calls that returned before Redis had their event"),
    Metric("publisher_dropped_total", "counter", "events lost because the buffer was full"),
    Metric("publisher_failed_total", "counter", "events refused by Redis, or ephemeral when the connection broke"),
    Metric("publisher_uncertain_total", "counter", "events given up although Redis may have them"),
    Metric("publisher_retries_total", "counter", "batches that had to be sent again"),
    Metric("publisher_unsent", "gauge", "events that wait in the publisher's buffer"),
)


class Counting(Protocol):
    """Anything with counters: an `AsyncPublisher` or a `Publisher`."""

    @property
    def counters(self) -> Counters:
        """Return the publisher's counters."""

    @property
    def unsent(self) -> int:
        """Return the number of events in the buffer."""


class PublisherCollector(Collector):
    """The counters of one or more publishers; each argument's name becomes its label `publisher`."""

    def __init__(self, **publishers: Counting) -> None:
        self._publishers = publishers

    def collect(self) -> Iterator[Family]:
        """Return every metric with its current values."""
        for metric in CATALOGUE:
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = kind(metric.name, metric.help, labels=[LABEL])
            field = metric.name.removeprefix("publisher_").removesuffix("_total")
            for name, publisher in self._publishers.items():
                source = publisher if metric.kind == "gauge" else publisher.counters
                family.add_metric([name], getattr(source, field))
            yield family

    def describe(self) -> Iterable[Family]:
        """Return the metrics, so that the registry refuses a second collector with the same names."""
        return self.collect()
