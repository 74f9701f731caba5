"""Who is online, in real pages on two replicas."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.presence.conftest import GRACE_S, LEASE_S, TIMES, Connect, Office, is_told, statuses
from tests.support.browsers import Browser, Browsers
from tests.support.proxy import Proxy
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id
from tests.support.waiting import SLACK_S, until, until_sync


def opened(browsers: Browsers, replica: Replica, office: Office, user: str, **options: Any) -> Browser:
    page: Browser = browsers(replica.url, office.token(user), **options)
    page.connected()
    return page


def online(page: Browser, **asked: Any) -> set[str]:
    answer = page.call("presence", asked)
    assert answer["ok"], answer
    return set(answer["online"])


def a_grace_is_over(browsers: Browsers, replica: Replica, office: Office, observer: Browser) -> None:
    """Wait until the grace of whoever went before is over: somebody else comes, goes, and is seen off."""
    passer_by = new_id()
    opened(browsers, replica, office, passer_by).close()
    until_sync(is_told(observer, passer_by, "offline"))


def test_of_three_tabs_on_two_replicas_the_last_one_counts(
    browsers: Browsers, pair: list[Replica], office: Office
) -> None:
    observers = [opened(browsers, replica, office, office.bob) for replica in pair]
    tabs = [opened(browsers, pair[number % 2], office, office.ann) for number in range(3)]
    tabs[0].close()
    a_grace_is_over(browsers, pair[0], office, observers[0])
    for observer in observers:
        assert [told for told in statuses(observer) if told[0] == office.ann] == [(office.ann, "online")]
        assert office.ann in online(observer)
    tabs[1].close()
    tabs[2].cut()
    tabs[2].close()
    began = time.monotonic()
    for observer in observers:
        until_sync(is_told(observer, office.ann, "offline"))
    assert time.monotonic() - began > GRACE_S * 0.9
    a_grace_is_over(browsers, pair[1], office, observers[1])
    for observer in observers:
        assert statuses(observer).count((office.ann, "offline")) == 1
        assert office.ann not in online(observer)


def test_no_page_hears_of_its_own_users_coming(browsers: Browsers, pair: list[Replica], office: Office) -> None:
    tabs = [opened(browsers, pair[number % 2], office, office.ann) for number in range(3)]
    opened(browsers, pair[0], office, office.bob)
    for tab in tabs:
        until_sync(is_told(tab, office.bob, "online"))
        assert (office.ann, "online") not in statuses(tab)


def test_the_snapshot_is_the_same_on_two_replicas(browsers: Browsers, pair: list[Replica], office: Office) -> None:
    opened(browsers, pair[0], office, office.ann)
    opened(browsers, pair[1], office, office.bob)
    for replica in pair:
        page = opened(browsers, replica, office, office.cid)
        assert online(page) == {office.ann, office.bob, office.cid}
        assert online(page, user_ids=[office.ann, new_id()]) == {office.ann}
        assert online(page, user_ids=[]) == set()


def test_of_two_tabs_one_is_closed(browsers: Browsers, pair: list[Replica], office: Office) -> None:
    observer = opened(browsers, pair[0], office, office.bob)
    opened(browsers, pair[0], office, office.ann)
    opened(browsers, pair[0], office, office.ann).close()
    a_grace_is_over(browsers, pair[0], office, observer)
    assert [told for told in statuses(observer) if told[0] == office.ann] == [(office.ann, "online")]
    assert office.ann in online(observer)


def test_after_sigkill_users_are_offline_within_the_lease(
    browsers: Browsers, own_pair: list[Replica], office: Office
) -> None:
    dying, other = own_pair
    observer = opened(browsers, other, office, office.bob)
    for _ in range(2):
        opened(browsers, dying, office, office.ann, reconnection=False)
    back = opened(browsers, dying, office, office.cid, reconnection=False)
    until_sync(is_told(observer, office.ann, "online"))
    dying.kill()
    began = time.monotonic()
    # One comes back, to the other replica.
    back.wait("disconnect")
    opened(browsers, other, office, office.cid)
    until_sync(is_told(observer, office.ann, "offline"))
    assert time.monotonic() - began < LEASE_S + SLACK_S
    a_grace_is_over(browsers, other, office, observer)
    gone = [told for told in statuses(observer) if told[0] in (office.ann, office.cid) and told[1] == "offline"]
    assert gone == [(office.ann, "offline")]
    assert online(opened(browsers, other, office, office.cid)) == {office.bob, office.cid}


def test_a_page_that_is_reloaded_ten_times_does_not_flicker(
    browsers: Browsers, pair: list[Replica], office: Office
) -> None:
    observer = opened(browsers, pair[0], office, office.bob)
    page = opened(browsers, pair[0], office, office.ann)
    for turn in range(10):
        if turn % 2:
            page.cut()
        page.close()
        page = opened(browsers, pair[turn % 2], office, office.ann)
    a_grace_is_over(browsers, pair[1], office, observer)
    assert [told for told in statuses(observer) if told[0] == office.ann] == [(office.ann, "online")]


async def test_a_black_holed_client_is_noticed(connect: Connect, office: Office, new_replica: Replicas) -> None:
    interval_s, timeout_s = 0.3, 0.7
    heartbeat = {"GATEWAY_PING_INTERVAL_S": str(interval_s), "GATEWAY_PING_TIMEOUT_S": str(timeout_s)}
    replica = new_replica(**TIMES, **heartbeat)
    observer = await connect(replica.url, office.bob)
    async with Proxy(replica.port) as network:
        await connect(network.http_url, office.ann)
        await until(is_told(observer, office.ann, "online"))
        network.stall()
        began = time.monotonic()
        await until(is_told(observer, office.ann, "offline"))
        assert time.monotonic() - began < interval_s + timeout_s + GRACE_S + SLACK_S
        network.resume()


def test_presence_is_read_from_redis_and_not_from_peers(
    browsers: Browsers, new_replica: Replicas, office: Office
) -> None:
    # What the silent one said last is true for long.
    asked, silent = (new_replica(GATEWAY_PRESENCE_LEASE_S="600") for _ in range(2))
    opened(browsers, silent, office, office.ann)
    page = opened(browsers, asked, office, office.bob)
    silent.pause()
    try:
        assert online(page) == {office.ann, office.bob}
    finally:
        silent.resume()


async def test_nobody_flickers_in_a_rolling_restart(
    connect: Connect, office: Office, own_pair: list[Replica]
) -> None:
    urls = [replica.url for replica in own_pair]
    observer = await connect(urls[0], office.bob)
    people = [await connect(urls[number % 2], user) for number, user in enumerate((office.ann, office.cid))]
    for client in (observer, *people):
        client.stay(*urls)
    for replica in own_pair:
        replica.terminate()
        await replica.ended()
        await replica.restarted()
    await until(lambda: all(client.connected for client in (observer, *people)))
    passer_by = await connect(urls[0], new_id())
    await until(lambda: statuses(observer)[-1:] and statuses(observer)[-1][1] == "online")
    await passer_by.close()
    await until(lambda: statuses(observer)[-1][1] == "offline")
    assert {user for user, status in statuses(observer) if status == "offline"} & {office.ann, office.cid} == set()
    answer = await observer.call("presence", {})
    assert {office.ann, office.bob, office.cid} <= set(answer["online"])


async def _come_and_go(connect: Connect, url: str, observer: Any) -> None:
    passer_by = new_id()
    client = await connect(url, passer_by)
    await client.close()
    await until(is_told(observer, passer_by, "offline"))


async def test_nobody_flickers_when_redis_was_away_for_longer_than_the_lease(
    connect: Connect, office: Office, lasting_redis_server: EmbeddedRedis, replicas: Replicas
) -> None:
    pair = [replicas(lasting_redis_server.url, **TIMES) for _ in range(2)]
    observer = await connect(pair[0].url, office.bob)
    people = zip(pair, (office.ann, office.cid), strict=True)
    others = [await connect(replica.url, user) for replica, user in people]
    await until(is_told(observer, office.cid, "online"))
    lasting_redis_server.stop()
    await asyncio.sleep(LEASE_S + 1)  # what this is about
    lasting_redis_server.start()
    await _come_and_go(connect, pair[0].url, observer)
    assert all(client.connected for client in (observer, *others))
    assert not {(office.ann, "offline"), (office.cid, "offline")} & set(statuses(observer))
    assert {office.ann, office.bob, office.cid} <= set((await observer.call("presence", {}))["online"])


async def test_presence_heals_when_redis_lost_its_data(
    connect: Connect, office: Office, redis_server: EmbeddedRedis, new_replica: Replicas
) -> None:
    pair = [new_replica(may_log=("history_lost",), **TIMES) for _ in range(2)]
    observer = await connect(pair[0].url, office.bob, join=True)
    people = zip(pair, (office.ann, office.cid), strict=True)
    others = [await connect(replica.url, user, join=True) for replica, user in people]
    for client in (observer, *others):
        client.stay(pair[0].url, pair[1].url)
    redis_server.kill()
    redis_server.start()

    async def all_are_there() -> bool:
        if not observer.connected:
            return False
        try:
            answer = await observer.call("presence", {"conversation_id": office.talk})
            everybody = await observer.call("presence", {})
        except (ConnectionError, TimeoutError):
            return False
        people = {office.ann, office.bob, office.cid}
        return bool(answer["ok"] and set(answer["user_ids"]) == people == set(everybody["online"]))

    await until(all_are_there)
    await _come_and_go(connect, pair[1].url, observer)
    assert not {(office.ann, "offline"), (office.cid, "offline")} & set(statuses(observer))


@pytest.mark.parametrize("together", [True, False])
async def test_who_comes_back_is_told_who_came_and_went_without_asking(
    connect: Connect, office: Office, pair: list[Replica], together: bool
) -> None:
    client = await connect(pair[0].url, office.bob, statuses=together)
    ann = await connect(pair[1].url, office.ann)
    witness = await connect(pair[1].url, new_id())
    await until(is_told(client, office.ann, "online"))
    client.drop()
    await ann.close()
    await connect(pair[0].url, office.cid)
    await until(is_told(witness, office.ann, "offline"))
    before = len(client.events)
    await client.reconnect(pair[1].url)
    await client.wait_for("connected", count=2)
    assert client.recovered
    told = [event for event in client.events[before:] if event.name.startswith("user:status")]
    if together:
        (event,) = told
        assert (office.cid in event.data["online"], event.data["offline"]) == (True, [office.ann])
    else:
        assert {event.name for event in told} == {"user:status"}
        assert {(office.cid, "online"), (office.ann, "offline")} <= set(statuses(client))


async def test_who_can_not_be_recovered_is_told_as_well(
    connect: Connect, office: Office, new_replica: Replicas
) -> None:
    replica = new_replica(**TIMES)
    client = await connect(replica.url, office.bob, join=True)
    client.drop()
    await connect(replica.url, office.ann, join=True)
    pid, client.pid = client.pid, "never-given-to-anyone"
    await client.connect(pid=client.pid, offset=client.offset)
    greeting = await client.wait_for("connected", count=2)
    assert (greeting.data["recovered"], greeting.data["reason"]) == (False, "unknown")
    await until(is_told(client, office.ann, "online"))
    assert pid != client.pid


async def test_a_crowd_that_comes_at_once_is_told_in_a_few_events(
    connect: Connect, office: Office, new_replica: Replicas
) -> None:
    asyncio.get_running_loop().set_debug(False)
    # A grace within which a crowd is back on any machine.
    grace = {"GATEWAY_PRESENCE_GRACE_S": "10"}
    pair = [new_replica(**TIMES | grace) for _ in range(2)]
    observer = await connect(pair[0].url, office.bob, statuses=True)
    pages = [await connect(pair[0].url, office.bob, transport=kind) for kind in ("websocket", "polling")]
    crowd = [new_id() for _ in range(120)]
    clients = await asyncio.gather(*(connect(pair[number % 2].url, user) for number, user in enumerate(crowd)))
    for client in (observer, *pages):
        await until(lambda: {user for user, status in statuses(client) if status == "online"} >= set(crowd))  # noqa: B023
    told = [event for event in observer.events if event.name in ("user:status", "user:statuses")]
    assert len(told) < len(crowd) / 2
    # A page that says nothing of it hears of everybody as it always did.
    for page in pages:
        assert "user:statuses" not in {event.name for event in page.events}
        assert all(statuses(page).count((user, "online")) == 1 for user in crowd)
    # Everybody goes, and is back within the grace: nobody is told.
    before = len(told)
    for client in clients:
        client.drop()
    await asyncio.gather(*(client.reconnect() for client in clients))
    await _come_and_go(connect, pair[0].url, observer)
    told = [event for event in observer.events if event.name in ("user:status", "user:statuses")]
    assert len(told) - before == 2


async def test_nothing_of_an_organizations_people_reaches_another(
    connect: Connect, clients: Any, office: Office, pair: list[Replica]
) -> None:
    theirs = Office()
    spy = await clients(pair[0].url, mint(office.bob, theirs.id)).connect()
    await spy.join(office.talk)
    ann = await connect(pair[0].url, office.ann, join=True)
    ann.emit("typing_start", {"conversation_id": office.talk})
    bob = await connect(pair[1].url, office.bob, join=True)
    await ann.wait_for("conversation:viewers", lambda event: event.data["sockets"] == 2)
    assert (await spy.call("presence", {}))["online"] == [office.bob]
    assert (await spy.call("presence", {"user_ids": [office.ann]}))["online"] == []
    seen = await spy.call("presence", {"conversation_id": office.talk})
    assert (seen["user_ids"], seen["sockets"], seen["typing"]) == ([office.bob], 1, [])
    await bob.close()
    await ann.close()
    assert statuses(spy) == []
    assert spy.named("user_typing") == []


BAD = {
    "names that are no list": ({"user_ids": "ann"}, "bad_request"),
    "a name that is none": ({"user_ids": ["a b"]}, "bad_request"),
    "a name that is a number": ({"user_ids": [7]}, "bad_request"),
    "too many names": ({"user_ids": ["ann"] * 1001}, "bad_request"),
    "a conversation that is none": ({"conversation_id": "1"}, "bad_request"),
    "a conversation that it is not in": ({"conversation_id": new_id()}, "not_joined"),
}


@pytest.mark.parametrize(("payload", "code"), BAD.values(), ids=BAD)
async def test_a_bad_question_is_told_so(
    connect: Connect, office: Office, pair: list[Replica], payload: dict[str, Any], code: str
) -> None:
    client = await connect(pair[0].url, office.ann)
    answer = await client.call("presence", payload)
    assert (answer["ok"], answer["error"]["code"]) == (False, code)
    assert (await client.call("presence"))["online"] == [office.ann]
