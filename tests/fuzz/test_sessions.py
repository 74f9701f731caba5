"""The life of a session in any order: what a client may do next, and what the gateway has of it afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any, ClassVar, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gateway.engine.errors import CloseCode
from tests.fuzz.conftest import Port, fuzzing
from tests.hostile.arena import Arena
from tests.hostile.attacker import connect, opening
from tests.support.tokens import mint, new_id
from tests.support.waiting import until_sync
from tests.support.websocket import Peer

T = TypeVar("T")
TALKS = st.sampled_from([new_id() for _ in range(3)])


class Session(RuleBasedStateMachine):
    """One socket: closed, opened, or connected and in some conversations."""

    arena: ClassVar[Arena]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.peer: Peer | None = None
        self.connected = False
        self.talks: set[str] = set()
        self.others = self.arena.metric("gateway_sockets")

    def run(self, waiting: Awaitable[T]) -> T:
        async def wait() -> T:
            return await waiting

        return self.loop.run_until_complete(wait())

    def call(self, event: str, **payload: Any) -> dict[str, Any] | None:
        """Emit with an acknowledgement; return that, or None when the gateway closed the socket for it."""
        assert self.peer is not None
        self.peer.send("421" + json.dumps([event, payload]))
        if not self.connected:
            assert self.run(self.peer.close_code()) == CloseCode.PROTOCOL
            self.gone()
            return None
        ack: dict[str, Any] = json.loads(self.packet("431[")[3:])[0]
        return ack

    def packet(self, beginning: str) -> str:
        """Take packets up to the next one that begins so, and return it."""
        assert self.peer is not None
        while True:
            packet = self.run(self.peer.packet())
            if packet.startswith(beginning):
                return packet

    def gone(self) -> None:
        self.run(self.stack.aclose())
        self.peer, self.connected = None, False
        self.talks.clear()

    @precondition(lambda self: self.peer is None)
    @rule()
    def open(self) -> None:
        self.peer = self.run(self.stack.enter_async_context(opening(self.arena.replica.port)))

    @precondition(lambda self: self.peer is not None)
    @rule()
    def log_in(self) -> None:
        assert self.peer is not None
        if self.connected:
            self.peer.send("40" + json.dumps({"token": mint()}))
            assert self.run(self.peer.close_code()) == CloseCode.PROTOCOL
            self.gone()
        else:
            assert self.run(connect(self.peer, mint()))["sid"]
            self.connected = True

    @precondition(lambda self: self.peer is not None and not self.connected)
    @rule()
    def log_in_with_a_bad_token(self) -> None:
        assert self.peer is not None
        self.peer.send("40" + json.dumps({"token": mint(type="refresh")}))
        # Events that were sent before a goodbye are still under way.
        packet = self.packet("44")
        assert json.loads(packet[2:])["data"]["code"] == "token_invalid"
        # As often as that one may try; where it ends is another test's.
        self.gone()

    @precondition(lambda self: self.peer is not None)
    @rule(talk=TALKS)
    def join(self, talk: str) -> None:
        ack = self.call("join_conversation", conversation_id=talk)
        if ack is not None:
            assert ack["ok"]
            self.talks.add(talk)

    @precondition(lambda self: self.peer is not None)
    @rule(talk=TALKS)
    def leave(self, talk: str) -> None:
        ack = self.call("leave_conversation", conversation_id=talk)
        assert ack is None or ack["ok"]
        self.talks.discard(talk)

    @precondition(lambda self: self.peer is not None)
    @rule(talk=TALKS)
    def type(self, talk: str) -> None:
        ack = self.call("typing_start", conversation_id=talk)
        if ack is not None:
            assert ack["ok"] if talk in self.talks else ack["error"]["code"] == "not_joined"

    @precondition(lambda self: self.peer is not None)
    @rule()
    def say_goodbye(self) -> None:
        assert self.peer is not None
        self.peer.send("41")
        if not self.connected:
            assert self.run(self.peer.close_code()) == CloseCode.PROTOCOL
            self.gone()
        self.connected = False
        self.talks.clear()

    @precondition(lambda self: self.peer is not None)
    @rule()
    def vanish(self) -> None:
        self.gone()

    @invariant()
    def it_is_counted_while_it_is_connected(self) -> None:
        count = self.others + self.connected
        until_sync(lambda: self.arena.metric("gateway_sockets") == count, what=f"{count} sockets to be counted")

    def teardown(self) -> None:
        self.gone()
        self.it_is_counted_while_it_is_connected()
        self.loop.close()


def test_a_session_is_what_its_client_made_of_it(arena: Arena, unharmed: Port) -> None:
    Session.arena = arena
    run_state_machine_as_test(
        Session, settings=settings(fuzzing, max_examples=max(fuzzing.max_examples // 8, 1), stateful_step_count=15)
    )
