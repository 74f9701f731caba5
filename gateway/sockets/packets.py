"""Socket.IO v5 packets as text: a strict parser and a plain encoder. Pure.

A packet is ``<type>[<attachments>-][<namespace>,][<id>][<JSON>]``. A packet that the protocol document does not
allow raises :class:`ProtocolViolation`: the peer is broken or hostile, and its socket must be closed.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec

from gateway.engine.errors import CloseCode, ProtocolViolation

MAX_ATTACHMENTS: Final = 10
MAX_NAMESPACE_CHARS: Final = 128
# Most lists and objects in one payload. A megabyte may hold half a million of them. They would make the garbage
# collector search all objects again and again, for 0.2 s. Our clients send a few.
MAX_CONTAINERS: Final = 10_000
_MAX_ID: Final = 2**53
_MAX_ID_DIGITS: Final = 16

# JavaScript's emitters use these names themselves.
RESERVED_EVENTS: Final = frozenset(
    ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
)


class PacketType(IntEnum):
    """The kind of a Socket.IO packet, by its first digit."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


_TYPES: Final = {str(kind.value): kind for kind in PacketType}
_BINARY: Final = (PacketType.BINARY_EVENT, PacketType.BINARY_ACK)
_EVENTS: Final = (PacketType.EVENT, PacketType.BINARY_EVENT)
_ACKS: Final = (PacketType.ACK, PacketType.BINARY_ACK)


class Packet(NamedTuple):
    """One packet. `data` is None, a dict (CONNECT) or a list (events and acks).

    An event's list begins with its name: a text that is not reserved, or, as in JavaScript, a number. While
    `attachments` binary messages are still to come, placeholders stand for them in `data`.
    """

    type: PacketType
    namespace: str = "/"
    id: int | None = None
    data: Any = None
    attachments: int = 0


def _wrong(reason: str) -> ProtocolViolation:
    return ProtocolViolation(CloseCode.PROTOCOL, reason)


def decode(text: str) -> Packet:
    """Return the packet that a client sent; raises :class:`ProtocolViolation` if it is not one."""
    kind = _TYPES.get(text[:1])
    if kind is None:
        raise _wrong("unknown packet type")
    attachments, at = _attachments(text) if kind in _BINARY else (0, 1)
    namespace, at = _namespace(text, at)
    number, at = _id(text, at)
    return _checked(Packet(kind, namespace, number, _json(text[at:]), attachments))


def _attachments(text: str) -> tuple[int, int]:
    end = text.find("-", 1, 4)
    digits = text[1:end]
    if end < 0 or not _is_number(digits) or int(digits) > MAX_ATTACHMENTS:
        raise _wrong("bad attachment count")
    return int(digits), end + 1


def _namespace(text: str, at: int) -> tuple[str, int]:
    if not text.startswith("/", at):
        return "/", at
    end = text.find(",", at, at + MAX_NAMESPACE_CHARS + 1)
    if end < 0:
        end = len(text)
    namespace = text[at:end]
    if len(namespace) > MAX_NAMESPACE_CHARS or not namespace.isprintable():
        raise _wrong("bad namespace")
    return namespace, end + 1


def _id(text: str, at: int) -> tuple[int | None, int]:
    end = at
    while text[end : end + 1] in _DIGITS:
        end += 1
        if end - at > _MAX_ID_DIGITS:
            raise _wrong("bad acknowledgement id")
    if end == at:
        return None, at
    number = int(text[at:end])
    if number > _MAX_ID:
        raise _wrong("bad acknowledgement id")
    return number, end


_DIGITS: Final = frozenset("0123456789")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _json(text: str) -> Any:
    if not text:
        return None
    if len(text) > MAX_CONTAINERS and text.count("[") + text.count("{") > MAX_CONTAINERS:
        raise _wrong("payload of too many parts")
    try:
        data = msgspec.json.decode(text)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise _wrong("malformed payload") from None
    if data is None:
        raise _wrong("malformed payload")
    return data


def _checked(packet: Packet) -> Packet:
    kind, _, number, data, _ = packet
    if kind in _EVENTS:
        if not _is_event(data):
            raise _wrong("malformed event")
    elif kind in _ACKS:
        if number is None or not isinstance(data, list):
            raise _wrong("malformed acknowledgement")
    elif number is not None:
        raise _wrong("unexpected acknowledgement id")
    elif kind is PacketType.CONNECT:
        if data is not None and not isinstance(data, dict):
            raise _wrong("malformed handshake")
    elif kind is PacketType.CONNECT_ERROR or data is not None:
        raise _wrong("unexpected packet")
    return packet


def _is_event(data: Any) -> bool:
    if not isinstance(data, list) or not data:
        return False
    name = data[0]
    if isinstance(name, str):
        return name not in RESERVED_EVENTS
    return isinstance(name, int | float) and not isinstance(name, bool)


# -- binary messages


def assemble(packet: Packet, attachments: Sequence[bytes]) -> Packet:
    """Return the packet with all its attachments in place of their placeholders."""
    try:
        data = _fill(packet.data, attachments)
    except RecursionError:
        raise _wrong("malformed payload") from None
    return packet._replace(data=data, attachments=0)


def _fill(node: Any, attachments: Sequence[bytes]) -> Any:
    if isinstance(node, list):
        return [_fill(item, attachments) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("_placeholder") is not True:
        return {key: _fill(value, attachments) for key, value in node.items()}
    number = node.get("num")
    if type(number) is not int or not 0 <= number < len(attachments):
        raise _wrong("bad placeholder")
    return attachments[number]


def extract(node: Any) -> tuple[Any, list[bytes]]:
    """Return `node` with placeholders for the bytes in it, and those bytes; `assemble` does the reverse."""
    found: list[bytes] = []
    return _hollow(node, found), found


def _hollow(node: Any, found: list[bytes]) -> Any:
    if isinstance(node, bytes | bytearray | memoryview):
        found.append(bytes(node))
        return {"_placeholder": True, "num": len(found) - 1}
    if isinstance(node, list | tuple):
        return [_hollow(item, found) for item in node]
    if isinstance(node, Mapping):
        return {key: _hollow(value, found) for key, value in node.items()}
    return node


# -- packets of the server, without their Engine.IO type


def connect(data: Mapping[str, Any], namespace: str = "/") -> bytes:
    """Return the packet that accepts a client; `data` holds at least its ``sid``."""
    return _encode(PacketType.CONNECT, namespace, None, data)


def connect_error(message: str, data: Any = None, namespace: str = "/") -> bytes:
    """Return the packet that refuses a client; its `connect_error` event shows `message` and `data`."""
    body = {"message": message} if data is None else {"message": message, "data": data}
    return _encode(PacketType.CONNECT_ERROR, namespace, None, body)


def disconnect(namespace: str = "/") -> bytes:
    """Return the packet that ends a namespace for good: the client does not come back by itself."""
    return _encode(PacketType.DISCONNECT, namespace, None, None)


def event(name: str, *args: Any, namespace: str = "/", number: int | None = None) -> bytes:
    """Return an event without attachments; with a `number` it asks for an acknowledgement."""
    return _encode(PacketType.EVENT, namespace, number, [name, *args])


def ack(number: int, *args: Any, namespace: str = "/") -> bytes:
    """Return the acknowledgement of the client's event `number`, without attachments."""
    return _encode(PacketType.ACK, namespace, number, args)


def binary(packet: Packet) -> tuple[bytes, list[bytes]]:
    """Encode an event or acknowledgement whose data may hold bytes.

    Return its text, with a placeholder for each of them, and the bytes, which are sent behind it in this order.
    """
    data, attachments = extract(packet.data)
    if not attachments:
        return _encode(packet.type, packet.namespace, packet.id, data), attachments
    kind = PacketType.BINARY_EVENT if packet.type in _EVENTS else PacketType.BINARY_ACK
    return _encode(kind, packet.namespace, packet.id, data, len(attachments)), attachments


def _encode(
    kind: PacketType, namespace: str, number: int | None, data: Any, attachments: int | None = None
) -> bytes:
    head = str(kind.value)
    if attachments is not None:
        head += f"{attachments}-"
    if namespace != "/":
        head += f"{namespace},"
    if number is not None:
        head += str(number)
    return head.encode() if data is None else head.encode() + msgspec.json.encode(data)
