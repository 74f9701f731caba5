"""What a long-polling client sends at once arrives, all of it, however much it is."""

from __future__ import annotations

import json

import aiohttp
import pytest

from tests.e2e.conftest import Browsers, Tenant
from tests.support.browsers import VERSIONS, Version
from tests.support.replica import Replica
from tests.support.waiting import PATIENCE_S, until_sync

PACKETS = 100


async def test_a_post_of_many_packets_is_answered_packet_by_packet_and_in_order(
    replica: Replica, tenant: Tenant
) -> None:
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(replica.url, timeout=timeout) as http:
        path = "/socket.io/?EIO=4&transport=polling"
        async with http.get(path) as opened:
            path += f"&sid={json.loads((await opened.text())[1:])['sid']}"
        connect = "40" + json.dumps({"token": tenant.token()})
        asked = [f'42{number}["ping"]' for number in range(PACKETS)]
        async with http.post(path, data="\x1e".join([connect, *asked])) as posted:
            assert (posted.status, await posted.text()) == (200, "ok")
        answers: list[str] = []
        while len(answers) < PACKETS:
            async with http.get(path) as polled:
                assert polled.status == 200
                answers += [packet for packet in (await polled.text()).split("\x1e") if packet[:2] == "43"]
    assert [int(answer[2 : answer.index("[")]) for answer in answers] == list(range(PACKETS))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_page_that_has_collected_many_events_gets_an_answer_to_each(
    browsers: Browsers, replica: Replica, tenant: Tenant, version: Version
) -> None:
    page = browsers(replica.url, tenant.token(), version=version, transports=["polling"])
    # Before there is a connection: they wait in the page, and go out with one POST.
    for number in range(PACKETS):
        page.ask("presence", {"user_ids": [f"user-{number}"]})
    until_sync(lambda: len(page.seen("ack")) >= PACKETS, what="an answer to each")
    assert sorted(report["ack"] for report in page.seen("ack")) == list(range(1, PACKETS + 1))
    assert all(report["args"][0]["ok"] for report in page.seen("ack"))
