"""What a long-polling client sends at once arrives, all of it, however much it is."""

from __future__ import annotations

import json

import pytest

from tests.support.browsers import VERSIONS, Browsers, Version
from tests.support.polling import packets_of, payload_of, polling
from tests.support.replica import Replica
from tests.support.tenant import Tenant
from tests.support.waiting import until_sync

PACKETS = 100


async def test_a_post_of_many_packets_is_answered_packet_by_packet_and_in_order(
    replica: Replica, tenant: Tenant
) -> None:
    async with polling(replica.port, "/socket.io/") as poller:
        connect = "40" + json.dumps({"token": tenant.token()})
        asked = [f'42{number}["ping"]' for number in range(PACKETS)]
        assert await poller.post(payload_of([connect, *asked])) == (200, "ok")
        answers: list[str] = []
        while len(answers) < PACKETS:
            status, body = await poller.poll()
            assert status == 200
            answers += [packet for packet in packets_of(body) if packet[:2] == "43"]
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
