import asyncio

import pytest

from gateway.engine import EngineSocket
from gateway.engine.errors import Refusal, unavailable
from tests.engine.rig import serve
from tests.support.polling import http_client, polling
from tests.support.raw_http import ask, connection, exchange, head, status, upgrade
from tests.support.waiting import until
from tests.support.websocket import opened, websocket

PAGE = "https://app.example"


def allow(origin: str | None) -> bool:
    return origin in (None, PAGE)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        *(("", 0), ("EIO=4", 0), ("EIO=4&transport=abc", 0)),
        *(("transport=polling", 5), ("EIO=3&transport=polling", 5), ("EIO=abc&transport=polling", 5)),
        *(("EIO=4&transport=websocket", 3), ("EIO=4&transport=polling&j=0", 3)),
        *(("EIO=4&transport=polling&sid=unknown", 1), ("EIO=4&transport=polling&sid=", 1)),
    ],
)
async def test_a_wrong_request_is_told_why(query: str, code: int) -> None:
    async with serve() as rig, http_client() as http:
        async with http.get(f"http://127.0.0.1:{rig.port}/engine.io/?{query}") as response:
            assert response.status == 400
            body = await response.json()
            assert body["code"] == code
            assert body["message"]
        assert rig.idle()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_a_session_is_opened_by_get_only(method: str) -> None:
    async with serve() as rig, http_client() as http, http.request(method, rig.polling_url) as response:
        assert (response.status, (await response.json())["code"]) == (400, 2)


async def test_a_foreign_page_is_refused_on_both_transports() -> None:
    async with serve(allow_origin=allow) as rig, http_client() as http:
        for origin in ("https://evil.example", "null", PAGE + ".evil.example"):
            async with http.get(rig.polling_url, headers={"Origin": origin}) as response:
                assert (response.status, (await response.json())["code"]) == (403, 4)
                assert "Access-Control-Allow-Origin" not in response.headers
            async with websocket(rig.port, headers={"Origin": origin}) as peer:
                assert peer.status == 403
        assert rig.idle()


async def test_an_allowed_page_may_read_the_answers() -> None:
    async with serve(allow_origin=allow) as rig, http_client() as http:
        for headers in ({"Origin": PAGE}, {"Origin": PAGE, "X": "1"}):
            async with http.get(rig.polling_url, headers=headers) as response:
                assert response.status == 200
                assert response.headers["Access-Control-Allow-Origin"] == PAGE
                assert response.headers["Access-Control-Allow-Credentials"] == "true"
                assert response.headers["Vary"] == "Origin"
        async with http.get(rig.polling_url + "&sid=unknown", headers={"Origin": PAGE}) as response:
            assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (400, PAGE)
        async with opened(rig.port, headers={"Origin": PAGE}):
            pass


async def test_a_preflight_is_answered_by_the_same_policy() -> None:
    async with serve(allow_origin=allow) as rig, http_client() as http:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        async with http.options(rig.polling_url, headers={"Origin": PAGE, **asked}) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == PAGE
            assert response.headers["Access-Control-Allow-Headers"] == "authorization"
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
        async with http.options(rig.polling_url, headers={"Origin": "https://evil.example", **asked}) as response:
            assert response.status == 403


async def test_no_origin_is_no_browser_and_the_default_policy_allows_nothing_else() -> None:
    async with serve() as rig, websocket(rig.port, headers={"Origin": "http://localhost"}) as peer:
        assert peer.status == 403
        async with opened(rig.port):
            pass


async def test_new_sessions_can_be_turned_away_before_anything_is_made() -> None:
    asked: list[str] = []

    def admit(remote: str) -> Refusal:
        asked.append(remote)
        return unavailable("too many connects", retry_after_s=7, limit="connects_per_s")

    async with serve(admit=admit) as rig, http_client() as http:
        async with http.get(rig.polling_url) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "7")
            body = await response.json()
            assert (body["message"], body["limit"]) == ("too many connects", "connects_per_s")
        async with websocket(rig.port) as peer:
            assert (peer.status, peer.headers["retry-after"]) == (503, "7")
        assert asked == ["127.0.0.1", "127.0.0.1"]
        assert rig.notes.opened == []
        assert rig.engine.stats.refused == {503: 2}
        assert rig.engine.stats.limited == {"connects_per_s": 2}


async def test_the_upper_layer_can_refuse_a_session() -> None:
    async def refuse(socket: EngineSocket) -> bool:
        await asyncio.sleep(0)
        return False

    async with serve(opener=refuse) as rig, websocket(rig.port) as peer:
        assert peer.status == 403
        await until(rig.idle)


async def test_an_upper_layer_that_fails_at_the_door_prints_one_line() -> None:
    def fail(socket: EngineSocket) -> None:
        raise KeyError("secret")

    async with serve(opener=fail) as rig, websocket(rig.port) as peer:
        assert peer.status == 503
        await until(rig.idle)
        assert [event for event, _ in rig.notes.logged] == ["engine_handler_failed"]


async def test_a_client_that_leaves_while_the_upper_layer_thinks_is_forgotten() -> None:
    gate = asyncio.Event()

    async def think(socket: EngineSocket) -> None:
        rig.notes.opened.append(socket)
        await gate.wait()

    async with serve(opener=think) as rig:
        async with connection(rig.port) as (_, writer):
            writer.write(head("GET", "/engine.io/?EIO=4&transport=websocket", upgrade()))
            await until(lambda: rig.notes.opened)
        gate.set()
        await until(rig.idle)


async def test_two_origins_are_one_too_many() -> None:
    async with serve(allow_origin=allow) as rig:
        begin = head("GET", "/engine.io/?EIO=4&transport=polling", {"Origin": PAGE})
        twice = begin.removesuffix(b"\r\n") + f"Origin: {PAGE}\r\n\r\n".encode()
        assert await ask(rig.port, twice) == 403


async def test_a_declined_upgrade_ends_the_connection_and_not_the_session() -> None:
    async with serve() as rig, polling(rig.port) as client:
        wanted = {"Upgrade": "websocket", "Connection": "Upgrade"}
        begin = head("GET", f"/engine.io/?EIO=4&transport=polling&sid={client.sid}", wanted)
        answer = await exchange(rig.port, begin)
        assert status(answer) == 400
        assert answer.endswith(b"}")
        rig.socket.send_text("x")
        assert await client.poll() == (200, "4x")
