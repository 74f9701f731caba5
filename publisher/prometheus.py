"""A publisher's counters for Prometheus. Needs `prometheus-client`, which comes with the extra `prometheus`.

    from prometheus_client import REGISTRY
    from publisher.prometheus import PublisherCollector

    REGISTRY.register(PublisherCollector(backend=events))

Nothing is counted twice: a scrape reads what `counters` and `unsent` say at that moment. After a fork each child
counts for itself; prometheus-client's multiprocess mode knows no collectors, so there each worker needs a page of
its own, or the program looks at `counters` itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from publisher.buffer import Counters

Family = CounterMetricFamily | GaugeMetricFamily
LABEL = "publisher"


class Metric(NamedTuple):
    """One line of the catalogue."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str


CATALOGUE = (
    Metric("publisher_sent_total", "counter", "events that Redis took"),
    Metric("publisher_duplicates_total", "counter", "events that Redis knew already, by their key or version"),
    Metric("publisher_queued_total", "counter", "calls that were answered before Redis had the event"),
    Metric("publisher_dropped_total", "counter", "events lost because the buffer was full"),
    Metric("publisher_failed_total", "counter", "events given up: refused for good, or ephemeral and cut off"),
    Metric("publisher_uncertain_total", "counter", "events given up though Redis may have them"),
    Metric("publisher_retries_total", "counter", "batches that had to be sent again"),
    Metric("publisher_unsent", "gauge", "events that wait in the buffer"),
)


class Counting(Protocol):
    """Either publisher."""

    @property
    def counters(self) -> Counters:
        """Return the counters so far."""

    @property
    def unsent(self) -> int:
        """Return the number of events that wait."""


class PublisherCollector(Collector):
    """The counters of one publisher or more, each under the name that it is given here."""

    def __init__(self, **publishers: Counting) -> None:
        self._publishers = publishers

    def collect(self) -> Iterator[Family]:
        """Read the counters."""
        for metric in CATALOGUE:
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = kind(metric.name, metric.help, labels=[LABEL])
            field = metric.name.removeprefix("publisher_").removesuffix("_total")
            for name, publisher in self._publishers.items():
                source = publisher if metric.kind == "gauge" else publisher.counters
                family.add_metric([name], getattr(source, field))
            yield family

    def describe(self) -> Iterable[Family]:
        """Name the metrics, so that a second collector in the same registry is refused."""
        return self.collect()
