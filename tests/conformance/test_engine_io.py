"""The Engine.IO protocol, revision 4, sentence by sentence."""

import asyncio
import json

import aiohttp
import pytest

from tests.conformance.app import PATIENT, QUICK
from tests.conformance.clients import stays_open
from tests.support.polling import http_client, polling
from tests.support.waiting import PATIENCE_S, SLACK_S
from tests.support.websocket import Peer, opened, websocket

FACTS = {
    "pingInterval": PATIENT.ping_interval_s * 1000,
    "pingTimeout": PATIENT.ping_timeout_s * 1000,
    "maxPayload": 1_000_000,
}
UNANSWERED_S = (QUICK.ping_interval_s + QUICK.ping_timeout_s) * 0.9


@pytest.fixture(params=["/engine.io/", "/socket.io/"])
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def status(http: aiohttp.ClientSession, url: str, method: str = "GET") -> int:
    async with http.request(method, url) as response:
        return response.status


class TestHandshake:
    async def test_polling_opens_a_session(self, port: int, path: str) -> None:
        async with polling(port, path) as client:
            assert client.session == {"sid": client.sid, "upgrades": ["websocket"], **FACTS}

    async def test_a_websocket_opens_a_session(self, port: int, path: str) -> None:
        async with opened(port, path=path) as peer:
            assert peer.session == {"sid": peer.session["sid"], "upgrades": [], **FACTS}

    @pytest.mark.parametrize(
        "query",
        [
            *("transport={}", "EIO=abc&transport={}", "EIO=3&transport={}"),
            *("EIO=4", "EIO=4&transport=abc", "EIO=4&transport={}&sid=unknown"),
        ],
    )
    async def test_a_missing_or_wrong_parameter_is_refused(self, port: int, path: str, query: str) -> None:
        async with http_client() as http:
            assert await status(http, f"http://127.0.0.1:{port}{path}?{query.format('polling')}") == 400
        async with websocket(port, target=f"{path}?{query.format('websocket')}") as peer:
            assert peer.status == 400

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    async def test_other_methods_do_not_open_a_session(self, port: int, path: str, method: str) -> None:
        async with http_client() as http:
            assert await status(http, f"http://127.0.0.1:{port}{path}?EIO=4&transport=polling", method) == 400

    async def test_the_transport_must_match_the_request(self, port: int, path: str) -> None:
        async with http_client() as http:
            assert await status(http, f"http://127.0.0.1:{port}{path}?EIO=4&transport=websocket") == 400


class TestPollingMessages:
    @pytest.mark.parametrize("body", ["4hello", "4test1\x1e4test2\x1e4test3", "4hello\x1ebAQIDBA==", "4€"])
    async def test_payloads_come_back(self, port: int, body: str) -> None:
        async with polling(port) as client:
            assert await client.post(body) == (200, "ok")
            assert await client.poll() == (200, body)

    async def test_an_invalid_packet_closes_the_session(self, port: int) -> None:
        async with polling(port) as client:
            assert (await client.post("abc"))[0] == 400
            assert (await client.poll())[0] == 400

    async def test_an_unknown_session_is_refused(self, port: int) -> None:
        async with polling(port) as client:
            client.session["sid"] = "unknown"
            assert (await client.post("4x"))[0] == 400
            assert (await client.poll())[0] == 400

    async def test_two_polls_at_a_time_close_the_session(self, port: int) -> None:
        async with polling(port) as client:
            # Which of the two comes first is the network's choice.
            answers = await asyncio.gather(client.poll(), client.poll())
            assert sorted(answers)[0] == (200, "1")
            assert sorted(answers)[1][0] == 400
            assert (await client.poll())[0] == 400

    async def test_a_poll_that_breaks_off_closes_the_session(self, port: int) -> None:
        async with polling(port) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.poll(), 0.05)
            # Until the server has noticed, a poll might still be answered.
            async with asyncio.timeout(PATIENCE_S):
                while (await client.poll())[0] != 400:
                    pass


class TestWebsocketMessages:
    @pytest.mark.parametrize("message", ["4hello", b"\x01\x02\x03\x04", "4€"])
    async def test_packets_come_back(self, port: int, message: str | bytes) -> None:
        async with opened(port) as peer:
            peer.send(message)
            assert await peer.message() == message

    async def test_an_invalid_packet_closes_the_session(self, port: int) -> None:
        async with opened(port) as peer:
            peer.send("abc")
            assert await peer.close_code(pongs=True) == 1002


class TestHeartbeat:
    async def test_polling_is_pinged(self, quick_port: int) -> None:
        async with polling(quick_port) as client:
            for _ in range(3):
                assert await client.poll() == (200, "2")
                assert await client.post("3") == (200, "ok")

    async def test_polling_without_pongs_is_closed(self, quick_port: int) -> None:
        loop = asyncio.get_running_loop()
        async with polling(quick_port) as client:
            started = loop.time()
            assert await client.poll() == (200, "2")
            assert await client.poll() == (200, "1")
            assert loop.time() - started > UNANSWERED_S
            assert (await client.poll())[0] == 400

    async def test_a_websocket_is_pinged_and_stays(self, quick_port: int) -> None:
        async with opened(quick_port) as peer:
            await stays_open(peer)
            peer.send("4x")
            assert await peer.message() == "4x"

    async def test_a_websocket_without_pongs_is_closed_in_time(self, quick_port: int) -> None:
        loop = asyncio.get_running_loop()
        async with opened(quick_port) as peer:
            started = loop.time()
            assert await peer.receive() == "2"
            assert loop.time() - started > 0.25
            await peer.close_code()
            assert UNANSWERED_S < loop.time() - started < UNANSWERED_S + SLACK_S


class TestClose:
    async def test_polling(self, port: int, path: str) -> None:
        async with polling(port, path) as client:
            poll = asyncio.create_task(client.poll())
            await asyncio.sleep(0)
            await client.post("1")
            assert (await poll)[1] in ("6", '{"code":1,"message":"Session ID unknown"}')
            assert (await client.poll())[0] == 400

    async def test_websocket(self, port: int) -> None:
        async with opened(port) as peer:
            peer.send("1")
            assert await peer.close_code(pongs=True) == 1000


class TestUpgrade:
    async def probe(self, peer: Peer) -> None:
        peer.send("2probe")
        assert await peer.receive() == "3probe"

    async def test_a_session_moves_to_the_websocket(self, port: int) -> None:
        async with polling(port) as client, websocket(port, sid=client.sid) as peer:
            await self.probe(peer)
            assert await client.poll() == (200, "6")
            peer.send("5")
            peer.send("4hello")
            assert await peer.message() == "4hello"

    async def test_http_requests_of_a_moved_session_are_ignored(self, port: int) -> None:
        async with polling(port) as client, websocket(port, sid=client.sid) as peer:
            await self.probe(peer)
            peer.send("5")
            await peer.pong()
            assert (await client.poll())[0] == 400
            assert (await client.post("4x"))[0] == 400
            peer.send("4hello")
            assert await peer.message() == "4hello"

    async def test_a_second_websocket_of_a_moved_session_is_closed(self, port: int) -> None:
        async with polling(port) as client, websocket(port, sid=client.sid) as peer:
            await self.probe(peer)
            peer.send("5")
            async with websocket(port, sid=client.sid) as second:
                await second.close_code()
            peer.send("4hello")
            assert await peer.message() == "4hello"

    async def test_heartbeats_go_on_after_the_change(self, quick_port: int) -> None:
        async with polling(quick_port) as client, websocket(quick_port, sid=client.sid) as peer:
            await self.probe(peer)
            peer.send("5")
            await stays_open(peer)


async def test_refusals_say_why(port: int) -> None:
    async with http_client() as http, http.get(f"http://127.0.0.1:{port}/engine.io/?EIO=4") as response:
        assert json.loads(await response.text()) == {"code": 0, "message": "Transport unknown"}
