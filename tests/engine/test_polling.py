import asyncio
import gzip
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.core.frames import Frame
from gateway.engine import CloseReason, EngineSocket
from tests.engine.rig import serve, waiting_poll
from tests.support.polling import http_client, polling
from tests.support.raw_http import ask, connection, head
from tests.support.waiting import until


async def test_packets_come_with_the_next_poll() -> None:
    async with serve() as rig, polling(rig.port) as client:
        assert client.session["upgrades"] == ["websocket"]
        rig.socket.send_frames([Frame(b"a")])
        rig.socket.send_binary(b"\x01")
        assert await client.poll() == (200, "4a\x1ebAQ==")
        assert rig.socket.buffered == 0


async def test_a_poll_waits_for_packets() -> None:
    async with serve() as rig, polling(rig.port) as client:
        poll = await waiting_poll(rig, client)
        rig.socket.send_text("a")
        rig.socket.send_text("b")
        assert await poll == (200, "4a\x1e4b")


async def test_answers_have_the_headers_of_the_reference() -> None:
    async with serve() as rig, polling(rig.port) as client:
        rig.socket.send_text("a")
        async with client.http.get(client.url) as response:
            assert response.headers["Content-Type"] == "text/plain; charset=UTF-8"
            assert response.headers["Cache-Control"] == "no-store"
        async with client.http.post(client.url, data="4x") as response:
            assert (response.status, await response.text()) == (200, "ok")
            assert response.headers["Cache-Control"] == "no-store"


async def test_a_post_may_hold_any_number_of_packets() -> None:
    async with serve() as rig, polling(rig.port) as client:
        assert await client.post("\x1e".join(f"4{n}" for n in range(3000))) == (200, "ok")
        assert rig.notes.received == [str(n) for n in range(3000)]


async def test_a_post_may_come_in_any_number_of_segments() -> None:
    async def segments() -> AsyncIterator[bytes]:
        for part in ("4a\x1e4", "b", "\x1e4", "c"):
            yield part.encode()
            await asyncio.sleep(0)

    async with serve() as rig, polling(rig.port) as client:
        async with client.http.post(client.url, data=segments()) as response:
            assert response.status == 200
        assert rig.notes.received == ["a", "b", "c"]


async def test_an_oversized_post_is_refused_and_the_session_stays() -> None:
    async with serve(max_payload_bytes=1000) as rig, polling(rig.port) as client:
        for body in (b"4" + b"x" * 1000, b"4" + b"x" * 3_000_000):
            assert (await client.post(body))[0] == 413
        assert (await client.post("4fits"))[0] == 200


async def test_an_oversized_post_without_a_length_is_refused() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 1000

    async with serve(max_payload_bytes=1000) as rig, polling(rig.port) as client:
        response = await client.http.post(client.url, data=endless())
        assert response.status == 413
        response.release()


@pytest.mark.parametrize("query", ["", "&sid={sid}", "&sid=unknown"])
@pytest.mark.parametrize("stays", [False, True])
async def test_a_refused_post_whose_body_never_comes_leaves_nothing_behind(query: str, stays: bool) -> None:
    async with serve(max_payload_bytes=1000, close_timeout_s=0.1) as rig, polling(rig.port) as client:
        before = len(asyncio.all_tasks())
        target = f"/engine.io/?EIO=4&transport=polling{query.format(sid=client.sid)}"
        async with connection(rig.port) as (reader, writer):
            writer.write(head("POST", target, {"Content-Length": "5000"}) + b"4x")
            assert b" 4" in await reader.readline()
            if stays:
                await until(lambda: len(asyncio.all_tasks()) <= before)
        await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_post_that_stalls_is_given_up() -> None:
    async with serve(body_timeout_s=0.05) as rig, polling(rig.port) as client:
        target = f"/engine.io/?EIO=4&transport=polling&sid={client.sid}"
        assert await ask(rig.port, head("POST", target, {"Content-Length": "10"}) + b"4half") == 408
        assert rig.notes.received == []


@pytest.mark.parametrize("body", [b"abc", b"4a\x1e", b"4\xff", b"b!!", b"4a\x1e2"])
async def test_a_malformed_post_closes_the_session(body: bytes) -> None:
    async with serve() as rig, polling(rig.port) as client:
        assert (await client.post(body))[0] == 400
        assert (await client.poll())[0] == 400
        await until(rig.idle)
        assert rig.reasons == [CloseReason.PROTOCOL]


async def test_packets_before_a_malformed_one_are_handled() -> None:
    async with serve() as rig, polling(rig.port) as client:
        assert (await client.post("4a\x1eabc\x1e4b"))[0] == 400
        assert rig.notes.received == ["a"]


async def test_two_polls_at_a_time_close_the_session() -> None:
    async with serve() as rig, polling(rig.port) as client:
        first = await waiting_poll(rig, client)
        assert (await client.poll())[0] == 400
        assert await first == (200, "1")
        await until(rig.idle)


async def test_two_posts_at_a_time_close_the_session() -> None:
    release = asyncio.Event()

    async def slow(socket: EngineSocket, data: str | bytes) -> None:
        await release.wait()

    async with serve(receiver=slow, inbox_messages=1) as rig, polling(rig.port) as client:
        first = asyncio.create_task(client.post("4a\x1e4b\x1e4c"))
        await until(lambda: rig.socket.full)
        assert (await client.post("4d"))[0] == 400
        release.set()
        await first
        await until(rig.idle)


async def test_a_post_that_waits_is_let_go_when_the_session_ends() -> None:
    async def stuck(socket: EngineSocket, data: str | bytes) -> None:
        await release.wait()

    release = asyncio.Event()
    async with serve(receiver=stuck, inbox_messages=2) as rig, polling(rig.port) as client:
        post = asyncio.create_task(client.post("\x1e".join(["4x"] * 50)))
        poll = await waiting_poll(rig, client)
        await until(lambda: rig.socket.full)
        poll.cancel()
        await post
        release.set()
        await until(rig.idle)


async def test_a_poll_that_breaks_off_closes_the_session() -> None:
    async with serve() as rig, polling(rig.port) as client:
        poll = await waiting_poll(rig, client)
        poll.cancel()
        await until(rig.idle)
        assert rig.reasons == [CloseReason.TRANSPORT_CLOSE]


async def test_the_clients_close_answers_its_poll_with_a_noop() -> None:
    async with serve() as rig, polling(rig.port) as client:
        poll = await waiting_poll(rig, client)
        assert await client.post("1") == (200, "ok")
        assert await poll == (200, "6")
        assert (await client.poll())[0] == 400
        await until(lambda: rig.reasons == [CloseReason.CLIENT])


async def test_our_close_answers_a_waiting_poll() -> None:
    async with serve() as rig, polling(rig.port) as client:
        poll = await waiting_poll(rig, client)
        rig.socket.send_text("last words")
        rig.socket.close()
        assert await poll == (200, "4last words")
        assert await client.poll() == (200, "1")
        assert (await client.poll())[0] == 400


async def test_last_words_wait_for_the_next_poll_but_not_for_ever() -> None:
    async with serve(close_timeout_s=0.2) as rig, polling(rig.port) as client:
        rig.socket.send_text("last words")
        rig.socket.close()
        assert await client.poll() == (200, "4last words")
        assert await client.poll() == (200, "1")
        assert (await client.poll())[0] == 400
        await client.open()
        rig.socket.send_text("unheard")
        rig.socket.close()
        await until(rig.idle)


async def test_a_payload_keeps_to_the_announced_maximum() -> None:
    async with serve(max_payload_bytes=100) as rig, polling(rig.port) as client:
        for _ in range(5):
            rig.socket.send_text("x" * 39)
        sizes = [len((await client.poll())[1]) for _ in range(3)]
        assert sizes == [81, 81, 40]


async def test_a_client_that_does_not_poll_is_cut() -> None:
    async with serve(max_buffer_bytes=10_000) as rig, polling(rig.port) as client:
        for _ in range(300):
            rig.socket.send_text("x" * 100)
        await until(rig.idle)
        assert rig.reasons == [CloseReason.SLOW]
        assert rig.engine.stats.slow_cut == 1
        assert (await client.poll())[0] == 400


async def test_the_number_of_waiting_packets_is_bounded_too() -> None:
    async with serve(max_poll_packets=10) as rig, polling(rig.port):
        for _ in range(11):
            rig.socket.send_text("x")
        await until(lambda: rig.reasons == [CloseReason.SLOW])


async def test_answers_are_compressed_for_those_who_accept_it_where_asked_for() -> None:
    async with serve(http_compression=True) as rig, polling(rig.port) as client:
        rig.socket.send_text("x" * 5000)
        async with aiohttp.ClientSession(auto_decompress=False) as http, http.get(client.url) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(await response.read()) == b"4" + b"x" * 5000
        rig.socket.send_text("y" * 5000)
        async with client.http.get(client.url, headers={"Accept-Encoding": "br"}) as response:
            assert "Content-Encoding" not in response.headers


async def test_other_methods_are_refused() -> None:
    async with serve() as rig, polling(rig.port) as client:
        for method in ("PUT", "DELETE"):
            async with client.http.request(method, client.url, data="4x") as response:
                assert response.status == 400


async def test_polling_can_be_switched_off() -> None:
    async with serve(allow_polling=False) as rig, http_client() as http:
        assert (await http.get(rig.polling_url)).status == 400


async def test_a_poll_that_comes_again_ends_the_session_as_its_answer_was_lost() -> None:
    async with serve() as rig, polling(rig.port) as client:
        for stamp in ("a", "b"):
            rig.socket.send_text(stamp)
            async with client.http.get(f"{client.url}&t={stamp}") as response:
                assert (response.status, await response.text()) == (200, f"4{stamp}")
        rig.socket.send_text("more")
        async with client.http.get(f"{client.url}&t=b") as response:
            assert (response.status, (await response.json())["code"]) == (400, 1)
        await until(lambda: rig.reasons == [CloseReason.TRANSPORT_ERROR])


async def test_a_post_that_comes_again_ends_the_session_and_is_taken_once() -> None:
    async with serve() as rig, polling(rig.port) as client:
        # A poll and a post are told apart, whatever a client makes of `t`.
        rig.socket.send_text("x")
        async with client.http.get(f"{client.url}&t=a") as response:
            assert response.status == 200
        for status in (200, 400):
            async with client.http.post(f"{client.url}&t=a", data="4once") as response:
                assert response.status == status
        assert rig.notes.received == ["once"]
        await until(lambda: rig.reasons == [CloseReason.TRANSPORT_ERROR])


async def test_clients_that_tell_no_requests_apart_are_served() -> None:
    async with serve() as rig, polling(rig.port) as client:
        for stamp in ("", f"&t={'a' * 1000}"):
            for _ in range(2):
                rig.socket.send_text("x")
                async with client.http.get(client.url + stamp) as response:
                    assert (response.status, await response.text()) == (200, "4x")
