"""The page `GET /metrics`: the catalogue's metrics with their current values, made by prometheus-client.

The page needs no authentication, as it names no tenant, user or room. It is still not for the public: the proxies'
configurations in `deploy` pass on only `/socket.io/`.

Workers share a port, so a scrape reaches any one of them. This worker asks the others over their Unix sockets, and
returns the metrics of all with the label `worker`. A worker that does not answer in time is missing from the page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from gateway.core.histogram import Histogram
from gateway.metrics.catalogue import CATALOGUE, Metric, Values
from gateway.peers import Worker

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

# Prometheus gives up after 10 s by default, and then gets no metrics at all.
SIBLING_TIMEOUT_S = 2.0
OWN = "own"


class Page:
    """The page; `read` returns the value of every metric of the catalogue, by name."""

    def __init__(self, read: Callable[[], Mapping[str, Values]], worker: Worker | None = None) -> None:
        self._worker = worker
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(read, {} if worker is None else {"worker": str(worker.number)}))

    def attach(self, app: web.Application) -> None:
        """Add the route `/metrics`."""
        app.router.add_get("/metrics", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        page = exposition.generate_latest(self._registry)
        if self._worker is not None and OWN not in request.query:
            page = merged([page, *await _siblings(self._worker)])
        return web.Response(body=page, headers={"Content-Type": exposition.CONTENT_TYPE_LATEST})


class _Collector(Collector):
    def __init__(self, read: Callable[[], Mapping[str, Values]], labels: Mapping[str, str]) -> None:
        self._read = read
        self._names = tuple(labels)
        self._labels = tuple(labels.values())

    def collect(self) -> Iterator[Family]:
        values = self._read()
        for metric in CATALOGUE:
            yield self._family(metric, values[metric.name])

    def describe(self) -> Iterable[Family]:
        """Return no metrics at registration, when there are no values to read yet."""
        return ()

    def _family(self, metric: Metric, value: Values) -> Family:
        names = [*self._names, metric.label] if metric.label else self._names
        if isinstance(value, Histogram):
            histogram = HistogramMetricFamily(metric.name, metric.help, labels=names)
            buckets = [("+Inf" if bound == float("inf") else str(bound), n) for bound, n in value.cumulated()]
            histogram.add_metric(self._labels, buckets, value.total)
            return histogram
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(metric.name, metric.help, labels=names)
        if isinstance(value, Mapping):
            for label, number in value.items():
                family.add_metric([*self._labels, str(label)], number)
        else:
            family.add_metric(self._labels, value)
        return family


def merged(pages: Iterable[bytes]) -> bytes:
    """Return one page from several with the same metrics: each metric's heading once, then the samples of all."""
    metrics: dict[bytes, list[bytes]] = {}
    for page in pages:
        for block in page.split(b"# HELP ")[1:]:
            help_, type_, samples = block.split(b"\n", 2)
            metrics.setdefault(b"# HELP %b\n%b\n" % (help_, type_), []).append(samples)
    return b"".join(heading + b"".join(samples) for heading, samples in metrics.items())


async def _siblings(worker: Worker) -> list[bytes]:
    """Return the pages of those other workers that answer in time."""
    return [page for page in await asyncio.gather(*map(_ask, _others(worker))) if page]


def _others(worker: Worker) -> list[str]:
    sockets = map(str, Path(worker.folder).glob("*.sock"))
    return sorted(socket for socket in sockets if socket != worker.socket)


async def _ask(socket: str) -> bytes:
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(socket), timeout=aiohttp.ClientTimeout(total=SIBLING_TIMEOUT_S)
            ) as http,
            http.get(f"http://worker/metrics?{OWN}") as response,
        ):
            return await response.read() if response.status == 200 else b""
    except (aiohttp.ClientError, OSError, TimeoutError):
        return b""
