"""A campaign that reports two hundred times a second: few to each page, in order, and the last one always."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import campaign, organization, parse_offset
from tests.inbox.conftest import HISTORY, Office
from tests.recovery.conftest import Behind
from tests.support.browsers import TRANSPORTS, Browser, now
from tests.support.proxy import Proxy
from tests.support.replica import Replica, Replicas
from tests.support.tokens import new_id
from tests.support.waiting import until_sync

A_SECOND = 200
PER_S = 4


def watch(page: Browser, office: Office) -> Browser:
    """Have a page watch the campaign."""
    page.emit("join_room", {"room": campaign(office.drive)})
    page.wait_for("joined_room")
    return page


def report(office: Office, shares: Sequence[int]) -> float:
    """Report so far and no further, spread over a second where there are 200; return how long it took."""
    begin = now()
    for i, share in enumerate(shares):
        if i % 10 == 0:
            until_sync(lambda i=i: now() - begin >= i / A_SECOND)  # type: ignore[misc]
        office.backend.send("campaign_progress", office.id, office.drive, {"progress": share}, conflate=True)
    office.backend.call("unsent")
    return now() - begin


def progress(page: Browser) -> list[int]:
    """Return what a page was told of the campaign."""
    return [data["progress"] for data in page.events("campaign:progress")]


def assert_few_in_order_and_the_last(page: Browser, took_s: float, *, last: int = A_SECOND) -> None:
    """Each page got the first one, so many a second, and the last."""
    shares = progress(page)
    assert shares == sorted(set(shares))
    assert shares[-1] == last
    assert len(shares) <= 2 + PER_S * (took_s + 1)
    offsets = [parse_offset(args[-1]).seq for args in _recoverable(page)]
    assert all(before < after for before, after in pairwise(offsets))


def _recoverable(page: Browser) -> list[list[Any]]:
    reports = page.seen("event", lambda report: report["event"] in ("campaign:progress", "note"))
    return [report["args"] for report in reports]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_two_hundred_in_a_second_are_few_and_the_last_on_every_replica(
    pair: list[Replica], office: Office, transport: str
) -> None:
    pages = [watch(office.page(replica.url, transports=TRANSPORTS[transport]), office) for replica in pair]
    took_s = report(office, range(1, A_SECOND + 1))
    for each in pages:
        each.wait_for("campaign:progress", lambda data: data["progress"] == A_SECOND)
        assert_few_in_order_and_the_last(each, took_s)


def test_other_events_keep_their_place_among_them(pair: list[Replica], office: Office) -> None:
    watcher = watch(office.page(pair[0].url), office)
    took_s = 0.0
    for n in range(5):
        took_s += report(office, range(40 * n + 1, 40 * n + 41))
        office.publish("emit", "note", {"n": n}, to=organization(office.id))
    watcher.wait_for("note", lambda data: data["n"] == 4)
    watcher.wait_for("campaign:progress", lambda data: data["progress"] == A_SECOND)
    told = [args[0].get("progress", -1) for args in _recoverable(watcher)]
    assert [told[i - 1] for i, share in enumerate(told) if share == -1] == [40, 80, 120, 160, 200]
    assert len(told) <= 5 + 5 + 2 + PER_S * (took_s + 1)
    assert_few_in_order_and_the_last(watcher, took_s + 5)


def test_campaigns_that_one_page_watches_do_not_push_each_other_out(pair: list[Replica], office: Office) -> None:
    watcher, others = office.page(pair[0].url), [replace(office, drive=new_id()) for _ in range(3)]
    for other in others:
        watcher.emit("join_room", {"room": campaign(other.drive)})
    watcher.wait_for("joined_room", times=3)
    for other in others:
        report(other, range(1, 51))
    for other in others:
        last = {"progress": 50, "campaign_id": other.drive}
        watcher.wait_for("campaign:progress", lambda data, last=last: last.items() <= data.items())  # type: ignore[misc]


async def test_a_page_that_drops_in_the_middle_has_the_last_one_from_another_replica(
    pair: list[Replica], office: Office
) -> None:
    async with Proxy(pair[0].port) as proxy:
        watcher = await asyncio.to_thread(office.page, proxy.http_url)
        await asyncio.to_thread(watch, watcher, office)
        took_s = await asyncio.to_thread(report, office, range(1, 101))
        proxy.point_to(pair[1].port)
        proxy.cut()
        # More than the history holds, and the last of them, while the page may still be away.
        took_s += await asyncio.to_thread(report, office, range(101, A_SECOND + 1))
        await asyncio.to_thread(watcher.wait_for, "campaign:progress", lambda data: data["progress"] == A_SECOND)
        assert watcher.seen("connect")[-1]["recovered"]
        assert_few_in_order_and_the_last(watcher, took_s)


async def test_a_page_that_was_away_all_the_time_gets_the_last_one_alone(
    pair: list[Replica], office: Office
) -> None:
    async with Proxy(pair[0].port) as proxy:
        watcher = await asyncio.to_thread(office.page, proxy.http_url)
        await asyncio.to_thread(watch, watcher, office)
        await proxy.refuse()
        await asyncio.to_thread(watcher.wait, "disconnect")
        assert A_SECOND > HISTORY
        await asyncio.to_thread(report, office, range(1, A_SECOND + 1))
        proxy.point_to(pair[1].port)
        await proxy.start()
        await asyncio.to_thread(watcher.connected, 2)
        assert watcher.seen("connect")[-1]["recovered"]
        assert progress(watcher) == [A_SECOND]


def test_who_joins_late_is_told_the_latest_alone(pair: list[Replica], office: Office) -> None:
    start = office.publish("emit", "note", {}, to=campaign(office.drive)).offset
    report(office, range(1, 101))
    answer = office.page(pair[0].url).call("join_room", {"room": campaign(office.drive), "since": start})
    assert answer["complete"]
    assert [event["data"]["progress"] for event in answer["events"]] == [100]


def test_of_events_that_others_came_between_a_history_has_the_latest_alone(
    pair: list[Replica], office: Office
) -> None:
    for share in (1, 2, 3):
        report(office, [share])
        office.publish("emit", "note", {"n": share}, to=campaign(office.drive))
    answer = office.page(pair[0].url).call("join_room", {"room": campaign(office.drive), "history": HISTORY})
    assert [event["event"] for event in answer["events"]] == ["note", "note", "campaign:progress", "note"]
    assert answer["events"][2]["data"]["progress"] == 3


async def test_a_replica_that_was_cut_from_redis_makes_the_last_one_good(
    office: Office, redis_server: EmbeddedRedis, publishers: Any, behind_proxy: Behind
) -> None:
    proxy, replica = await behind_proxy(redis_server.port)
    office.backend = publishers(redis_server.url)
    watcher = await asyncio.to_thread(office.page, replica.url)
    await asyncio.to_thread(watch, watcher, office)
    proxy.cut(proxy.links_that_asked(b"SUBSCRIBE"))
    took_s = await asyncio.to_thread(report, office, range(1, A_SECOND + 1))
    await asyncio.to_thread(watcher.wait_for, "campaign:progress", lambda data: data["progress"] == A_SECOND)
    assert_few_in_order_and_the_last(watcher, took_s)
    assert len(watcher.seen("connect")) == 1


def test_what_was_spared_is_counted(
    office: Office, redis_server: EmbeddedRedis, new_replica: Replicas, publishers: Any
) -> None:
    replica, office.backend = new_replica(), publishers(redis_server.url)
    watcher = watch(office.page(replica.url), office)
    report(office, range(1, 101))
    watcher.wait_for("campaign:progress", lambda data: data["progress"] == 100)
    _, metrics = replica.get("/metrics")
    assert f"gateway_conflated_total {100 - len(progress(watcher))}.0" in metrics.splitlines()


def test_with_a_rate_of_none_every_one_is_sent(
    office: Office, redis_server: EmbeddedRedis, new_replica: Replicas, publishers: Any
) -> None:
    replica = new_replica(GATEWAY_CONFLATE_PER_S="0")
    office.backend = publishers(redis_server.url)
    watcher = watch(office.page(replica.url), office)
    report(office, range(1, 51))
    watcher.wait_for("campaign:progress", times=50)
    assert progress(watcher) == list(range(1, 51))
