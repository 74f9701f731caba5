"""A running gateway under input that nobody thought of, on both layers of the protocol.

FUZZ_EXAMPLES=20000 makes a long run of it.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.errors import CloseCode
from gateway.engine.reader import CLOSE, PING
from gateway.errors import CODES
from tests.fuzz.conftest import Port, fuzzing
from tests.fuzz.strategies import BODIES, EVENTS, FRAMES, ODD_TEXT, PACKETS, PAYLOADS, REQUESTS
from tests.hostile.attacker import connecting, opening
from tests.support.polling import polling
from tests.support.raw_http import connection, status
from tests.support.waiting import PATIENCE_S
from tests.support.websocket import Peer, frame

# 500 and 504 are nobody's fault but ours.
STATUSES = {0, 101, 200, 204, 400, 403, 404, 405, 408, 413, 414, 415, 417, 426, 431, 503}
REFUSALS = {code for code in CODES if code != "internal"}


async def settled(peer: Peer) -> int:
    """Wait until everything that was sent is dealt with; return the close frame's code, 0 if the socket stays.

    Whatever the server says meanwhile has to be whole, unmasked frames.
    """
    peer.raw(frame(PING, b"settled?"))
    try:
        while True:
            first, payload = await peer.frame()
            if first & 0x0F == CLOSE:
                return int.from_bytes(payload[:2], "big")
            if (first, payload) == (0x8A, b"settled?"):
                return 0
            assert first in (0x81, 0x82, 0x8A)
    except (asyncio.IncompleteReadError, ConnectionError):
        return CloseCode.GOING_AWAY


@pytest.mark.parametrize("enter", [opening, connecting], ids=["a stranger", "a user"])
@fuzzing
@given(frames=st.lists(FRAMES, min_size=1, max_size=2))
async def test_frames_are_taken_or_close_the_socket(unharmed: Port, enter: Any, frames: list[bytes]) -> None:
    async with enter(unharmed()) as peer:
        peer.raw(b"".join(frames))
        peer.writer.write_eof()
        code = await ended(peer)
        # The codes of a server, or the client's own close frame given back.
        assert code in {0, *CloseCode} or 3000 <= code <= 4999 or 1000 <= code <= 1014


async def ended(peer: Peer) -> int:
    """Read to the end; return the close frame's code, 0 without one."""
    code = 0
    try:
        while True:
            first, payload = await peer.frame()
            if first & 0x0F == CLOSE:
                code = int.from_bytes(payload[:2], "big")
    except (asyncio.IncompleteReadError, ConnectionError):
        return code


@pytest.mark.parametrize("enter", [opening, connecting], ids=["a stranger", "a user"])
@fuzzing
@given(packet=PACKETS)
async def test_packets_are_answered_or_close_the_socket(unharmed: Port, enter: Any, packet: str) -> None:
    async with enter(unharmed()) as peer:
        peer.send("4" + packet.encode("utf-8", "replace").decode())
        assert await settled(peer) in {0, CloseCode.PROTOCOL, CloseCode.TOO_BIG, CloseCode.GOING_AWAY}


@fuzzing
@given(name=EVENTS | ODD_TEXT, payload=PAYLOADS)
async def test_an_event_gets_one_answer_and_closes_nothing(unharmed: Port, name: str, payload: Any) -> None:
    async with connecting(unharmed()) as peer:
        peer.send("427" + json.dumps([name, payload]))
        first, answer = await peer.frame()
        while answer == b"2":  # a heartbeat, on a slow machine
            first, answer = await peer.frame()
        if first & 0x0F == CLOSE:
            # A name that is reserved, half of a surrogate pair: no client of the protocol sends that.
            assert int.from_bytes(answer[:2], "big") == CloseCode.PROTOCOL
            return
        assert answer.startswith(b"437["), answer
        (ack,) = json.loads(answer[3:])
        assert ack["ok"] is True or ack["error"]["code"] in REFUSALS, ack
        assert await settled(peer) == 0


@fuzzing
@given(body=BODIES)
async def test_bodies_of_polls_are_taken_or_refused(unharmed: Port, body: bytes) -> None:
    async with polling(unharmed(), "/socket.io/") as poller:
        taken, text = await poller.post(body)
        assert (taken, text) == (200, "ok") or (taken == 400 and json.loads(text)["message"])


@fuzzing
@given(request=REQUESTS)
async def test_requests_are_answered_or_the_connection_is_closed(unharmed: Port, request: bytes) -> None:
    async with connection(unharmed()) as (reader, writer):
        writer.write(request)
        writer.write_eof()
        try:
            answer = await asyncio.wait_for(reader.readline(), PATIENCE_S)
        except ConnectionError:
            answer = b""
        assert status(answer) in STATUSES, (status(answer), request)
