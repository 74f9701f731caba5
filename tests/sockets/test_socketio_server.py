"""python-socketio on our engine: what we use of it is still there, and what goes over the wire is ours."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Any

import pytest
import pytest_asyncio
import socketio

from gateway.core.frames import Frame
from gateway.engine import CloseReason, EngineOptions, EngineSocket
from gateway.errors import Refused, Unavailable
from gateway.sockets.packets import Packet
from gateway.sockets.socketio_server import LEFT, Admission, Peer, SocketServer
from tests.support.waiting import until


class Channel:
    """The transport of one engine socket: frames wait until the test reads them."""

    def __init__(self) -> None:
        self.frames: deque[Frame] = deque()
        self.ended = False

    @property
    def buffered(self) -> int:
        return sum(len(frame.wire) for frame in self.frames)

    def send(self, frame: Frame) -> None:
        self.frames.append(frame)

    def send_all(self, frames: Iterable[Frame]) -> None:
        self.frames.extend(frames)

    def end(self, reason: str, code: int, text: str) -> None:
        self.ended = True

    def resume(self) -> None:
        """Read on: nothing was held back."""

    def widen(self, max_bytes: int) -> None:
        """Take larger messages: what is sent here is small."""


class Server(SocketServer):
    """A server that takes everybody, and notes."""

    def __init__(self, **options: Any) -> None:
        timeout_s = options.pop("connect_timeout_s", 10.0)
        engine = EngineOptions(ping_interval_s=1.0, ping_timeout_s=1.0, log=self.note, **options)
        super().__init__(options=engine, connect_timeout_s=timeout_s, namespaces=["/", "/admin"])
        self.events: list[Any] = []
        self.left: list[tuple[str, str]] = []
        self.logged: list[str] = []
        self.outcome: Admission | Refused | Unavailable | None = None
        """Of every admission; by default everybody is let in."""
        self.gate: asyncio.Event | None = None
        """What admissions and events wait for."""

    def note(self, event: str, **fields: object) -> None:
        self.logged.append(event)

    async def admit(self, peer: Peer, namespace: str, auth: Any) -> Admission:
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.outcome, Refused | Unavailable):
            raise self.outcome
        return self.outcome or Admission(f"sid-{peer.socket.sid}{namespace}", "pid-1")

    def handle_event(self, peer: Peer, namespace: str, packet: Packet) -> Awaitable[object] | None:
        if self.gate is None:
            self.events.append(packet.data)
            return None
        return self._wait(packet, self.gate)

    async def _wait(self, packet: Packet, gate: asyncio.Event) -> None:
        await gate.wait()
        self.events.append(packet.data)

    def departed(self, peer: Peer, namespace: str, sid: str, reason: str) -> None:
        self.left.append((namespace, reason))


class Client:
    """One engine session, without a network."""

    def __init__(self, server: SocketServer) -> None:
        self.channel = Channel()
        self.socket = EngineSocket(server.eio._context, server.eio.generate_id(), {"REMOTE_ADDR": "1.2.3.4"})
        self.socket.start()
        server._opened(self.socket)
        self.socket.carry(self.channel, "websocket")

    async def say(self, *messages: str | bytes) -> None:
        for message in messages:
            if self.channel.ended:
                break  # as the transport does
            try:
                self.socket.receive(f"4{message}" if isinstance(message, str) else message)
            except ValueError as error:
                self.socket.failed(error)
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def heard(self) -> list[str]:
        """Socket.IO packets so far."""
        return [frame.packet[1:].decode() for frame in self.channel.frames if frame.packet.startswith(b"4")]


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    yield server
    await server.shutdown()


@pytest_asyncio.fixture
async def client(server: Server) -> Client:
    return Client(server)


async def connected(server: Server) -> Client:
    client = Client(server)
    await client.say("0{}")
    assert client.heard[0].startswith("0{")
    client.channel.frames.clear()
    return client


# -- what we use of python-socketio


USED = {
    (socketio.AsyncServer, "_engineio_server_class"): ["self"],
    (socketio.AsyncServer, "_trigger_event"): ["self", "event", "namespace", "args"],
    (socketio.AsyncServer, "_handle_event_internal"): [
        "self",
        "server",
        "sid",
        "eio_sid",
        "data",
        "namespace",
        "id",
    ],
    (socketio.AsyncManager, "pre_connect"): ["self", "eio_sid", "namespace"],
    (socketio.AsyncManager, "connect"): ["self", "sid", "namespace"],
    (socketio.AsyncManager, "pre_disconnect"): ["self", "sid", "namespace"],
    (socketio.AsyncManager, "disconnect"): ["self", "sid", "namespace", "kwargs"],
    (socketio.AsyncManager, "trigger_callback"): ["self", "sid", "id", "data"],
}


@pytest.mark.parametrize(("owner", "name"), USED, ids=[name for _, name in USED])
def test_upstream_still_has_what_we_call(owner: type, name: str) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == USED[owner, name]


async def test_python_socketios_own_handlers_work_on_our_engine() -> None:
    server = SocketServer(options=EngineOptions(), connect_timeout_s=10.0)
    seen: list[Any] = []

    @server.on("connect")  # type: ignore[untyped-decorator]  # upstream is not typed
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        seen.append((environ["REMOTE_ADDR"], auth))

    @server.on("add")  # type: ignore[untyped-decorator]
    async def add(sid: str, first: int, second: int) -> int:
        await server.emit("added", first + second, to=sid)
        return first + second

    @server.on("disconnect")  # type: ignore[untyped-decorator]
    async def disconnect(sid: str, reason: str) -> None:
        seen.append(reason)

    client = Client(server)
    await client.say('0{"token":"t"}', '27["add",1,2]')
    assert client.heard[0].startswith('0{"sid":')
    assert sorted(client.heard[1:]) == ['2["added",3]', "37[3]"]
    await client.say("1")
    assert seen == [("1.2.3.4", {"token": "t"}), LEFT]
    await server.shutdown()


async def test_an_event_out_of_the_connect_handler_comes_after_connect() -> None:
    server = SocketServer(options=EngineOptions(), connect_timeout_s=10.0)

    @server.on("connect")  # type: ignore[untyped-decorator]
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        await server.emit("early", to=sid)

    client = Client(server)
    await client.say("0")
    await server.shutdown()
    assert client.heard[0].startswith('0{"sid":')
    assert client.heard[1:] == ['2["early"]']


async def test_a_handler_that_says_no_refuses() -> None:
    server = SocketServer(options=EngineOptions(), connect_timeout_s=10.0)
    server.on("connect", lambda sid, environ, auth: False)
    client = Client(server)
    await client.say("0")
    assert json.loads(client.heard[0][1:])["data"] == {"code": "forbidden"}
    assert list(server.manager.get_participants("/", None)) == []
    await server.shutdown()


# -- connecting


async def test_connect_is_the_first_packet_and_what_follows_comes_after_it(server: Server, client: Client) -> None:
    server.outcome = Admission("sid-1", "pid-1", begin=lambda: client.socket.send_text('2["hello"]'))
    await client.say("0{}")
    assert client.heard == ['0{"sid":"sid-1","pid":"pid-1"}', '2["hello"]']


async def test_a_server_without_recovery_gives_no_pid(server: Server, client: Client) -> None:
    server.outcome = Admission("sid-1")
    await client.say("0")
    assert client.heard == ['0{"sid":"sid-1"}']


@pytest.mark.parametrize("code", ["token_missing", "token_expired", "tenant_missing"])
async def test_a_refusal_is_an_object_with_a_message_and_a_code(server: Server, client: Client, code: str) -> None:
    server.outcome = Refused(code)
    await client.say("0")
    (packet,) = client.heard
    refusal = json.loads(packet[1:])
    assert packet[0] == "4"
    assert isinstance(refusal["message"], str)
    assert refusal["data"] == {"code": code}
    assert not client.socket.closed


async def test_what_is_unavailable_closes_the_transport_so_that_the_client_tries_again(
    server: Server, client: Client
) -> None:
    server.outcome = Unavailable()
    await client.say("0")
    assert client.heard == []
    assert client.channel.ended


async def test_the_handshakes_facts_go_with_the_connect(server: Server, client: Client) -> None:
    assert client.socket.environ
    await client.say("0")
    assert client.socket.environ is None


async def test_another_namespace_is_refused_by_name_and_the_socket_stays(server: Server) -> None:
    client = await connected(server)
    await client.say("0/nowhere,{}", '2["a"]')
    assert client.heard == ['4/nowhere,{"message":"Invalid namespace"}']
    assert server.events == [["a"]]


async def test_a_second_namespace_has_a_life_of_its_own(server: Server) -> None:
    client = await connected(server)
    await client.say("0/admin,", '2/admin,["a"]', "1/admin,", '2/admin,["late"]', '2["b"]')
    assert server.events == [["a"], ["b"]]
    assert server.left == [("/admin", LEFT)]


@pytest_asyncio.fixture
async def hasty() -> AsyncIterator[Server]:
    server = Server(connect_timeout_s=0.05)
    yield server
    await server.shutdown()


async def test_a_socket_that_never_connects_is_closed(hasty: Server) -> None:
    client, other = Client(hasty), await connected(hasty)
    await until(lambda: client.channel.ended)
    assert not other.channel.ended
    assert hasty.eio.stats.closed[CloseReason.LATE] == 1


async def test_a_socket_that_was_refused_and_stays_is_closed_as_well(hasty: Server) -> None:
    hasty.outcome = Refused("token_missing")
    client = Client(hasty)
    await client.say("0")
    await until(lambda: client.channel.ended)


async def test_a_socket_that_left_and_keeps_its_transport_is_closed_as_well(hasty: Server) -> None:
    client = await connected(hasty)
    await client.say("1")
    assert not client.channel.ended
    await until(lambda: client.channel.ended)


async def test_a_socket_that_left_and_connects_again_stays(hasty: Server) -> None:
    client = await connected(hasty)
    await client.say("1", "0")
    silent = Client(hasty)
    await until(lambda: silent.channel.ended)
    assert not client.channel.ended


async def test_a_socket_that_goes_during_its_admission_is_seen_off_afterwards(
    server: Server, client: Client
) -> None:
    gate = server.gate = asyncio.Event()
    await client.say("0")
    client.socket.lost(CloseReason.TRANSPORT_CLOSE)
    await client.say()
    assert server.left == []
    gate.set()
    await until(lambda: server.left)
    assert server.left == [("/", CloseReason.TRANSPORT_CLOSE)]
    assert client.heard == []


# -- what is not let through


@pytest.mark.parametrize(
    "first", ['2["a"]', "1", "30[]", '20["a"]', '51-["a",{"_placeholder":true,"num":0}]', b"x"]
)
async def test_whatever_comes_before_connect_closes_the_socket(
    server: Server, client: Client, first: str | bytes
) -> None:
    await client.say(first)
    # Also before an announced attachment has come: nothing is kept for a stranger.
    assert client.channel.ended
    assert server.events == []


@pytest.mark.parametrize(
    "packet",
    [
        *("", "7", "x", "4abc", "9", "0", "0{}"),
        *("2", "2{}", "2[]", "2[", '2["a"', '2["a"]x', "2[null]", "2[true]", '2[{"a":1}]', "2[[]]"),
        *('2["connect"]', '2["disconnect"]', '2["disconnecting","x"]', '2["connect_error"]'),
        *('2["newListener"]', '2["removeListener"]'),
        *('299999999999999999["a"]', '2NaN["a"]', '2["a",NaN]', "2" + "[" * 100_000),
        *("3[]", "31{}", '4{"message":"x"}', "1{}"),
        *("5", '5["a"]', '599-["a"]', '5-["a"]', '51-["a"', "6[]"),
        "0/" + "n" * 1000,
    ],
    ids=lambda packet: packet[:20],
)
async def test_a_malformed_packet_closes_the_socket_and_runs_nothing(server: Server, packet: str) -> None:
    client = await connected(server)
    await client.say(packet)
    assert client.channel.ended
    assert server.events == []
    assert server.eio.stats.closed[CloseReason.PROTOCOL] == 1
    assert server.logged == ["engine_bad_peer"]


async def test_after_a_malformed_packet_nothing_more_is_handled(server: Server) -> None:
    client = await connected(server)
    await client.say("x", *['2["a"]'] * 10, "x", "x")
    assert server.events == []
    assert server.logged == ["engine_bad_peer"]


async def test_events_with_strange_but_lawful_names_are_handled(server: Server) -> None:
    client = await connected(server)
    await client.say('2["a b",1]', "2[7]", '2["\\u0000"]', '212["é",[],{}]')
    assert server.events == [["a b", 1], [7], ["\x00"], ["é", [], {}]]


async def test_answers_to_questions_nobody_asked_do_no_harm(server: Server) -> None:
    client = await connected(server)
    await client.say("37[]", "3900[1]", '2["a"]')
    assert server.events == [["a"]]


# -- attachments


async def test_an_event_with_attachments_is_handled_when_it_is_whole(server: Server) -> None:
    client = await connected(server)
    placeholders = '{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]'
    await client.say(f'52-["a",{placeholders}]', b"x")
    assert server.events == []
    await client.say(b"y")
    assert server.events == [["a", b"y", [b"x"]]]


@pytest.mark.parametrize(
    "messages",
    [
        ['51-["a",{"_placeholder":true,"num":0}]', '2["b"]'],
        ['51-["a",{"_placeholder":true,"num":7}]', b"x"],
        ['51-["a",{"_placeholder":true,"num":-1}]', b"x"],
        ['51-["a",{"_placeholder":true,"num":"0"}]', b"x"],
        [b"x"],
        ['511-["a"]'],
    ],
    ids=str,
)
async def test_attachments_that_do_not_fit_close_the_socket(server: Server, messages: list[str | bytes]) -> None:
    client = await connected(server)
    await client.say(*messages)
    assert client.channel.ended
    assert server.events == []


async def test_attachments_are_no_larger_together_than_one_message() -> None:
    server = Server(max_payload_bytes=1000)
    client = await connected(server)
    await client.say('53-["a"]', b"x" * 600, b"x" * 600)
    assert client.channel.ended
    await server.shutdown()


# -- order


async def test_events_of_one_socket_are_handled_one_after_the_other(server: Server) -> None:
    client, other = await connected(server), await connected(server)
    server.gate = asyncio.Event()
    await client.say(*(f'2["e",{i}]' for i in range(20)))
    gate, server.gate = server.gate, None
    await other.say('2["other"]')
    assert server.events == [["other"]]
    gate.set()
    await until(lambda: len(server.events) == 21)
    assert server.events[1:] == [["e", i] for i in range(20)]


async def test_a_client_that_leaves_is_seen_off_after_what_it_said(server: Server) -> None:
    client = await connected(server)
    server.gate = asyncio.Event()
    await client.say('2["a"]', '2["b"]', "1")
    assert server.left == []
    server.gate.set()
    await until(lambda: server.left)
    assert server.events == [["a"], ["b"]]
    assert server.left == [("/", LEFT)]


async def test_a_connection_is_seen_off_once(server: Server) -> None:
    client = await connected(server)
    await client.say("1")
    client.socket.lost(CloseReason.TRANSPORT_CLOSE)
    await client.say()
    assert server.left == [("/", LEFT)]
