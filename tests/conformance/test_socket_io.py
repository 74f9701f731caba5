"""The Socket.IO protocol, revision 5, sentence by sentence; every client here answers its pings."""

import asyncio
import json
from typing import ClassVar

import pytest

from tests.conformance.app import QUICK
from tests.conformance.clients import connected, stays_open
from tests.support.polling import polling
from tests.support.websocket import opened

PLACES = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'


class TestConnect:
    @pytest.mark.parametrize(
        ("packet", "prefix", "auth"),
        [
            ("40", "40", '42["auth",{}]'),
            ('40{"token":"123"}', "40", '42["auth",{"token":"123"}]'),
            ("40/custom,", "40/custom,", '42/custom,["auth",{}]'),
            ('40/custom,{"token":"abc"}', "40/custom,", '42/custom,["auth",{"token":"abc"}]'),
        ],
    )
    async def test_a_namespace_is_joined(self, port: int, packet: str, prefix: str, auth: str) -> None:
        async with opened(port, path="/socket.io/") as peer:
            peer.send(packet)
            answer = str(await peer.message())
            assert answer.startswith(prefix)
            accepted = json.loads(answer.removeprefix(prefix))
            assert list(accepted) == ["sid"]
            assert accepted["sid"] != peer.session["sid"]
            assert await peer.message() == auth

    @pytest.mark.parametrize("packet", ["40/random", "40/random,"])
    async def test_an_unknown_namespace_is_refused_with_an_object(self, port: int, packet: str) -> None:
        async with opened(port, path="/socket.io/") as peer:
            peer.send(packet)
            assert await peer.message() == '44/random,{"message":"Invalid namespace"}'

    @pytest.mark.parametrize(
        "packet", ["4abc", '42["message"]', "41", "43[]", "4", "40[]", '40"x"', "44{}", '40{"a"', "400{}"]
    )
    async def test_whoever_does_not_connect_first_is_closed(self, port: int, packet: str) -> None:
        async with opened(port, path="/socket.io/") as peer:
            peer.send(packet)
            assert await peer.close_code(pongs=True) == 1002

    async def test_a_session_that_never_connects_is_closed_although_it_answers_pings(
        self, quick_port: int
    ) -> None:
        started = asyncio.get_running_loop().time()
        async with opened(quick_port, path="/socket.io/") as peer:
            await peer.close_code(pongs=True)
            assert asyncio.get_running_loop().time() - started > QUICK.connect_timeout_s * 0.8

    async def test_one_that_connected_stays(self, quick_port: int) -> None:
        async with connected(quick_port) as peer:
            for _ in range(2):
                await stays_open(peer)

    async def test_connecting_twice_is_an_error(self, port: int) -> None:
        async with connected(port) as peer:
            peer.send("40")
            assert await peer.close_code(pongs=True) == 1002


class TestDisconnect:
    async def test_leaving_the_main_namespace_is_not_answered(self, quick_port: int) -> None:
        async with connected(quick_port) as peer:
            peer.send("41")
            assert await peer.receive() == "2"

    async def test_leaving_another_namespace_leaves_the_main_one_alone(self, port: int) -> None:
        async with connected(port) as peer:
            peer.send("40/custom")
            assert str(await peer.message()).startswith("40/custom,")
            assert await peer.message() == '42/custom,["auth",{}]'
            peer.send("41/custom")
            peer.send('42["message","message to main namespace"]')
            assert await peer.message() == '42["message-back","message to main namespace"]'


class TestMessages:
    async def test_plain_text(self, port: int) -> None:
        async with connected(port) as peer:
            peer.send('42["message",1,"2",{"3":[true]}]')
            assert await peer.message() == '42["message-back",1,"2",{"3":[true]}]'

    async def test_attachments(self, port: int) -> None:
        async with connected(port) as peer:
            peer.send(f'452-["message",{PLACES}]')
            peer.send(b"\x01\x02\x03")
            peer.send(b"\x04\x05\x06")
            assert await peer.message() == f'452-["message-back",{PLACES}]'
            assert [await peer.message(), await peer.message()] == [b"\x01\x02\x03", b"\x04\x05\x06"]

    async def test_an_acknowledgement(self, port: int) -> None:
        async with connected(port) as peer:
            peer.send('42456["message-with-ack",1,"2",{"3":[false]}]')
            assert await peer.message() == '43456[1,"2",{"3":[false]}]'

    async def test_an_acknowledgement_with_attachments(self, port: int) -> None:
        async with connected(port) as peer:
            peer.send(f'452-789["message-with-ack",{PLACES}]')
            peer.send(b"\x01\x02\x03")
            peer.send(b"\x04\x05\x06")
            assert await peer.message() == f"462-789[{PLACES}]"
            assert [await peer.message(), await peer.message()] == [b"\x01\x02\x03", b"\x04\x05\x06"]

    async def test_the_same_over_polling(self, port: int) -> None:
        async with polling(port, "/socket.io/") as client:
            assert await client.post("40") == (200, "ok")
            opening = (await client.poll())[1]
            if "auth" not in opening:
                opening += "\x1e" + (await client.poll())[1]
            assert opening.startswith('40{"sid":')
            assert opening.endswith('\x1e42["auth",{}]')
            await client.post('451-["message",{"_placeholder":true,"num":0}]\x1ebAQID')
            assert await client.poll() == (200, '451-["message-back",{"_placeholder":true,"num":0}]\x1ebAQID')


class TestMalformed:
    """Upstream leaves each of these open as long as the client answers its pings."""

    @pytest.mark.parametrize(
        "packet",
        [
            *("4abc", "47", "42{}", "42", "42[]", "42[null]", "43[]", "431{}", "41{}", '44{"message":"x"}'),
            *('42"message"', '42["message"', '42["message"] ]', '42["message",NaN]', "42" + "[" * 100_000),
            '42abc["message-with-ack",1,"2",{"3":[false]}]',
            *('42-1["message"]', '4299999999999999999999["message"]'),
            *('42["connect"]', '42["disconnect"]', '42["disconnecting"]'),
            *('45["message"]', '45-["message"]', '4511-["message"]', '45x-["message"]'),
        ],
        ids=lambda packet: packet[:24],
    )
    async def test_a_malformed_packet_closes_a_socket_that_answers_its_pings(self, port: int, packet: str) -> None:
        async with connected(port) as peer:
            peer.send(packet)
            assert await peer.close_code(pongs=True) == 1002

    ATTACHMENTS: ClassVar[dict[str, list[str | bytes]]] = {
        "bytes that nobody announced": [b"\x01"],
        "text in the place of bytes": ['451-["message",{"_placeholder":true,"num":0}]', '42["message"]'],
        "a place that does not exist": ['451-["message",{"_placeholder":true,"num":7}]', b"\x01"],
    }

    @pytest.mark.parametrize("sent", ATTACHMENTS.values(), ids=ATTACHMENTS)
    async def test_attachments_that_do_not_fit_close_a_socket(self, port: int, sent: list[str | bytes]) -> None:
        async with connected(port) as peer:
            for message in sent:
                peer.send(message)
            assert await peer.close_code(pongs=True) == 1002

    async def test_a_bad_payload_over_polling(self, port: int) -> None:
        async with polling(port, "/socket.io/") as client:
            assert (await client.post("4abc"))[0] in (200, 400)
            assert (await client.poll())[0] == 400
