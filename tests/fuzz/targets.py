"""What atheris feeds: each function takes bytes, and raises for what must never happen.

A parser may refuse its input by the one exception that its callers expect; what it accepts must hold together.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import Callable
from itertools import islice
from types import SimpleNamespace
from typing import Any, cast

from aiohttp import web
from multidict import CIMultiDict

from gateway.auth.jwks_document import KeySet
from gateway.auth.tokens import Tokens
from gateway.core.frames import SEPARATOR
from gateway.engine import handshake, payload
from gateway.engine.deflate import Compression, negotiate
from gateway.engine.errors import ProtocolViolation, Refusal
from gateway.engine.reader import WORKED, FrameReader, Message
from gateway.errors import Refused
from gateway.limits.addresses import client_address, share_of
from gateway.settings import load
from gateway.sockets import packets
from publisher import InvalidEvent, parse_offset, parse_room, wire
from publisher.rooms import KIND, room_kind, user_text, uuid_text
from tests.support.tokens import SECRET

Target = Callable[[bytes], None]

MAX_BYTES = 2000
TARGETS: dict[str, tuple[Target, tuple[bytes, ...]]] = {}
"""Each by its name, with inputs to begin from."""


def target(*seeds: bytes) -> Callable[[Target], Target]:
    """Register a target."""

    def register(function: Target) -> Target:
        TARGETS[function.__name__] = (function, seeds)
        return function

    return register


def as_text(data: bytes) -> str:
    """Return bytes as a text of any characters, as a client's JSON can spell them."""
    return data.decode("utf-8", "replace")


@target(
    b'2["a"]',
    b'52-/n,12["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
    b'0{"token":"x"}',
    b"3/a,1[]",
)
def socket_io_packets(data: bytes) -> None:
    """Packets of Socket.IO: refused, or the same again when they are written and read once more."""
    try:
        packet = packets.decode(as_text(data))
        filled = packets.assemble(packet, [b"attachment"] * packet.attachments)
    except ProtocolViolation:
        return
    if packet.type not in (packets.PacketType.EVENT, packets.PacketType.ACK):
        return
    text, attachments = packets.binary(filled)
    assert not attachments
    assert packets.decode(text.decode()) == packet


def _read(reader: FrameReader, chunks: list[bytes]) -> tuple[list[Message], int | None]:
    messages: list[Message] = []
    try:
        for chunk in chunks:
            reader.feed(chunk)
            while (message := reader.next()) is not None:
                if message[0] != WORKED:
                    messages.append(message)
    except ProtocolViolation as violation:
        return messages, violation.code
    return messages, None


@target(
    b"\x03\x81\x85\x00\x00\x00\x004abcd",
    b"\x01\x01\x83abcd\x55\x51\x50\x80\x81abcd\x50",
    b"\x02\xc1\x87\x00\x00\x00\x00\x32\x49\x4c\x4a\x06\x00\x00",
    b"\x05\x89\x80abcd\x88\x82abcd\x62\x8a",
    b"\x09\x81\xfe\x01\x00abcd",
)
def websocket_frames(data: bytes) -> None:
    """Frames of websockets: however the bytes are cut, the same messages and the same verdict."""
    size, data = (data[0] % 16 + 1, data[1:]) if data else (1, b"")
    for deflated in (False, True):
        whole = _read(FrameReader(MAX_BYTES, deflated=deflated), [data])
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        cut = _read(FrameReader(MAX_BYTES, deflated=deflated), pieces)
        assert whole == cut
        assert all(len(content) <= MAX_BYTES for _, content in whole[0])


@target(b"4a\x1e4b", b"bAQI=\x1e2", b"1", "4é\x1e6".encode())
def polling_payloads(data: bytes) -> None:
    """Bodies of polls: refused, or packets that together are the body."""
    try:
        parts = list(payload.split(data))
    except ProtocolViolation:
        return
    assert SEPARATOR.join(part.encode() for part in parts) == data
    for part in parts:
        with contextlib.suppress(ProtocolViolation):
            kind, _ = payload.decode(part)
            assert kind in "1346"


@target(
    b"permessage-deflate; client_max_window_bits\ndGhlIHNhbXBsZSBub25jZQ==\nUpgrade\nwebsocket",
    b"permessage-deflate; server_max_window_bits=10, permessage-deflate\nx\nkeep-alive, Upgrade\nWebSocket",
)
def handshakes(data: bytes) -> None:
    """Headers of websocket handshakes: refused, or answered without a byte that would break out of its line."""
    offers, key, connection, upgrade = (*as_text(data).split("\n", 3), "", "", "")[:4]
    fields = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key, "Connection": connection}
    headers = CIMultiDict(fields | {"Upgrade": upgrade, "X_Sent": offers})
    version = SimpleNamespace(major=1, minor=1)
    parts = SimpleNamespace(headers=headers, method="GET", path="/", query_string=offers, version=version)
    request = cast(web.Request, parts)
    extension = negotiate(offers, Compression())
    assert extension is None or extension.isascii()
    accept = handshake.accept_key(request)
    if not isinstance(accept, Refusal):
        head = handshake.switching_protocols(accept, extension)
        assert head.count(b"\r\n\r\n") == 1
    handshake.wants_websocket(request)
    assert "HTTP_X_SENT" not in handshake.environ(request, "192.0.2.1")


@target(b'abc-17 16 r -\n["a",1]', b"abc-17 0 p -\n", b'x-1 0 c sid more\n{"do":"close"}')
def bus_messages(data: bytes) -> None:
    """Messages on Redis' channels: refused with a `ValueError`, or whole."""
    try:
        message = wire.parse_message(data)
    except ValueError:
        return
    assert message.seq >= 0
    assert message.previous >= 0
    assert message.offset.rpartition(b"-")[2].isdigit()
    assert data.endswith(message.body)


@target(b"abc-1700000000000000", b"a-0")
def offsets(data: bytes) -> None:
    """Offsets that a client gives back: refused, or spelt again as numbers are."""
    with contextlib.suppress(InvalidEvent):
        offset = parse_offset(as_text(data))
        assert parse_offset(str(offset)) == offset
        assert 0 <= offset.seq < 10**16


@target(
    b"campaign:3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    b"conversation:{3f2504e04f8941d39a0c0305e82c3301}",
    b"user:auth0|x",
    b"urn:uuid:3f2504e0-4f89-41d3-9a0c-0305e82c3301",
)
def rooms(data: bytes) -> None:
    """Names of rooms and ids: refused, or in the one spelling that cannot break a key apart."""
    text = as_text(data)
    with contextlib.suppress(InvalidEvent):
        room = parse_room(text)
        assert parse_room(room) == room
        assert KIND.fullmatch(room_kind(room))
        assert not set(room) & set("{}*?[] \r\n\0\\\"'")
    with contextlib.suppress(InvalidEvent):
        ident = uuid_text(text, "id")
        assert uuid_text(ident, "id") == ident
        assert len(ident) == 36
    with contextlib.suppress(InvalidEvent):
        user = user_text(text)
        assert user_text(user) == user
        assert not set(user) & set("{}*?[]: \r\n\0\\\"'")


@target(b"203.0.113.7, 10.0.0.2", b"[2001:db8::1]:4711", b"::ffff:10.0.0.1,198.51.100.1", b"unknown, _x")
def forwarded_addresses(data: bytes) -> None:
    """`X-Forwarded-For` from a proxy that is trusted: an address, whatever it says."""
    for headers in ([as_text(data)], as_text(data).split("\n")):
        address = client_address("10.0.0.1", headers, lambda address: address.startswith("10."))
        assert address.isascii()
        assert len(address) <= 45
        assert share_of(address)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signed(header: bytes, claims: bytes) -> str:
    begin = f"{_base64(header)}.{_base64(claims)}"
    return f"{begin}.{_base64(hmac.new(SECRET.encode(), begin.encode(), hashlib.sha256).digest())}"


_tokens = Tokens(load(jwt_secret_key=SECRET))
_USUAL = (
    b'{"sub":"u","organization_id":"3f2504e0-4f89-41d3-9a0c-0305e82c3301","exp":9999999999999,'
    b'"type":"access","role":"agent","iat":1,"nbf":1,"jti":"x","aud":["a"],"iss":"b"}'
)


@target(b'{"alg":"HS256","typ":"JWT","kid":"1"}\n' + _USUAL, b'{"alg":"none"}\n{}', b"a.b.c")
def tokens(data: bytes) -> None:
    """Tokens, also well signed ones: refused with a code, or somebody."""
    header, _, claims = data.partition(b"\n")
    for token in (as_text(data), _signed(header, claims), _signed(b'{"alg":"HS256"}', claims)):
        try:
            identity = _tokens.verify(token)
        except Refused:
            continue
        assert identity.user_id
        assert uuid_text(identity.tenant, "tenant") == identity.tenant
        assert identity.expires_at > 0
        assert identity.role.isprintable()


@target(
    b'{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
    b'{"keys":[{"kty":"EC","crv":"P-256","use":"sig","key_ops":["verify"],"x":"AA","y":"AA"}]}',
    b'{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"oct","k":"AA"}]}',
)
def key_sets(data: bytes) -> None:
    """Documents with keys, as a URL gives them: nonsense is counted and no key of it used."""
    with contextlib.suppress(ValueError, RecursionError):
        document: Any = json.loads(data)
        for algorithm in ("EdDSA", "ES256", "RS256"):
            keys = KeySet(algorithm, document)
            for key in islice(keys.keys, 1):
                assert key.key_type != "oct"
