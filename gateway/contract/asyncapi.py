"""The AsyncAPI 3.0 document, from the gateway's side: `send` is to browsers, `receive` from them."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway import installed_version
from gateway.contract.schemas import components
from publisher.events import COMMANDS, EVENT_CODES, EVENTS, Command, Event, RoomKind, examples
from publisher.events.codes import ANY_EVENT, CONNECT_CODES
from publisher.events.fields import Payload

Json = dict[str, Any]

_ABOUT = """\
The events between browsers and the gateway: Socket.IO protocol 5 (`socket.io-client` 4), namespace `/`.

A channel is one socket, or a room with all sockets in it. The payload of a message is the first argument of the
event. A recoverable event has its offset as an additional last argument, a string. `socket.io-client` stores it; a
socket that reconnects with it gets the events that it missed. Payloads may have further keys, and backends may
publish further events.

Any event to the gateway may ask for an acknowledgement. Without one, the gateway sends the answer, or `error`, as
an event."""

_ROOMS: dict[RoomKind, tuple[str, str]] = {
    "socket": ("/", "One socket, from CONNECT on."),
    "conversation": ("conversation:{conversation_id}", "All sockets that have joined a conversation."),
    "organization": ("organization:{organization_id}", "All sockets of an organization, from CONNECT on."),
    "user": ("user:{user_id}", "All sockets of one user, from CONNECT on."),
    "campaign": ("campaign:{campaign_id}", "All sockets that have joined a campaign, with `join_room`."),
}
_DELIVERY = {
    "recoverable": "Recoverable: carries its offset; a socket that missed the event gets it when it recovers.",
    "ephemeral": "Delivered at most once, never replayed.",
    "direct": "Sent only to the socket that it is about.",
}


def document() -> Json:
    """Return the AsyncAPI document of the events."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:pytake:realtime",
        "info": {
            "title": "PyTake realtime",
            "version": installed_version(),
            "description": _ABOUT,
            "license": {"name": "MIT", "url": "https://opensource.org/license/mit"},
            "contact": {"name": "PyTake"},
            "tags": [{"name": name, "description": text} for name, text in _DELIVERY.items()],
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {kind: _channel(kind) for kind in _ROOMS},
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": components(), "securitySchemes": {"token": _TOKEN}},
    }


def encoded() -> bytes:
    """Return the document as the bytes of `asyncapi.json`."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1) + b"\n"


_TOKEN: Json = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "An access token with `sub`, `organization_id` and `exp`: in CONNECT's `auth` `{token}`, or "
    "in the handshake's `Authorization` header. It may expire while the socket is connected: see `auth:expiring`.",
}


def _servers() -> Json:
    security = [{"$ref": "#/components/securitySchemes/token"}]
    common: Json = {"pathname": "/socket.io/", "security": security}
    return {
        "production": {
            "host": "{host}",
            "protocol": "wss",
            "protocolVersion": "13",
            "description": "The address of the gateway, also for HTTP long-polling.",
            "variables": {
                "host": {"default": "realtime.example.com", "description": "host, with a port if it is not 443"}
            },
            **common,
        },
        "dev": {
            "host": "localhost:8080",
            "protocol": "ws",
            "protocolVersion": "13",
            "description": "`gateway dev`.",
            **common,
        },
    }


# -- channels and operations


def _channel(kind: RoomKind) -> Json:
    address, description = _ROOMS[kind]
    names = [_key(event.name) for event in EVENTS.values() if kind in event.rooms]
    channel: Json = {"address": address, "title": kind, "description": description}
    if kind == "socket":
        names += _own_messages()
        channel["bindings"] = {"ws": _HANDSHAKE}
    else:
        (parameter,) = re.findall(r"{(\w+)}", address)
        text = "the `sub` of the user's tokens" if kind == "user" else "a UUID"
        channel["parameters"] = {parameter: {"description": text}}
    channel["messages"] = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
    return channel


_HANDSHAKE: Json = {
    "method": "GET",
    "query": {
        "type": "object",
        "properties": {
            "EIO": {"type": "string", "const": "4"},
            "transport": {"type": "string", "enum": ["websocket", "polling"]},
        },
        "required": ["EIO", "transport"],
    },
    "headers": {
        "type": "object",
        "properties": {"Authorization": {"type": "string", "description": "`Bearer <token>`, in place of `auth`"}},
    },
    "bindingVersion": "0.1.0",
}


def _own_messages() -> list[str]:
    """Return the names of a socket's messages that are not in `EVENTS`."""
    asked = [key for command in COMMANDS.values() for key in (_key(command.name), f"{_key(command.name)}.ok")]
    return ["CONNECT", "CONNECT.accepted", "CONNECT_ERROR", *asked, "failed"]


def _operations() -> Json:
    found: Json = {
        "connect": {
            "action": "receive",
            "summary": "Connect, with a new session or to recover an earlier one.",
            **_at("socket", "CONNECT"),
            "reply": _at("socket", "CONNECT.accepted", "CONNECT_ERROR"),
        }
    }
    for command in COMMANDS.values():
        found["receive" + _camel(command.name)] = _receiving(command)
    for event in EVENTS.values():
        for kind in event.rooms:
            suffix = f"To{kind.capitalize()}" if len(event.rooms) > 1 else ""
            found["send" + _camel(event.name) + suffix] = {
                "action": "send",
                "summary": _line(event.payload),
                **_at(kind, _key(event.name)),
            }
    return found


def _receiving(command: Command) -> Json:
    answers = [f"{_key(command.name)}.ok", "failed"]
    text = "The acknowledgement holds the answer or the error"
    if command.event:
        answers += [_key(command.event), "error"]
        text += f"; without an acknowledgement the gateway sends `{command.event}` or `error`."
    else:
        answers += ["error"]
        text += "; without an acknowledgement the gateway sends `error` if the event fails."
    if command.tells:
        text += f" Others get `{command.tells}`."
    codes = (*command.codes, *ANY_EVENT)
    return {
        "action": "receive",
        "summary": _line(command.payload),
        "description": f"{text}\n\nIt may fail with {', '.join(f'`{code}`' for code in codes)}.",
        **_at("socket", _key(command.name)),
        "reply": _at("socket", *answers),
    }


def _at(kind: RoomKind, *messages: str) -> Json:
    return {
        "channel": {"$ref": f"#/channels/{kind}"},
        "messages": [{"$ref": f"#/channels/{kind}/messages/{name}"} for name in messages],
    }


# -- messages


def _messages() -> Json:
    found = {_key(event.name): _event_message(event) for event in EVENTS.values()}
    for command in COMMANDS.values():
        key = _key(command.name)
        found[key] = _message(command.name, command.payload, command.example) | {"x-since": command.since}
        found[f"{key}.ok"] = _answer(command)
    codes = "; ".join(f"`{code}`: {entry.message}" for code, entry in (CONNECT_CODES | EVENT_CODES).items())
    return found | {
        "CONNECT": _message("CONNECT", type(examples.CONNECT_AUTH), examples.CONNECT_AUTH),
        "CONNECT.accepted": _message("CONNECT", type(examples.CONNECT_ACCEPTED), examples.CONNECT_ACCEPTED),
        "CONNECT_ERROR": _message("CONNECT_ERROR", type(examples.CONNECT_ERROR), examples.CONNECT_ERROR),
        "failed": _message("ack", type(examples.FAILED), examples.FAILED) | {"description": codes},
    }


def _event_message(event: Event) -> Json:
    notes = [_DELIVERY[event.delivery]]
    if event.conflated:
        notes.append("May be conflated: then a socket gets only the latest event, a few times a second.")
    if event.note:
        notes.append(f"{event.note[0].upper()}{event.note[1:]}.")
    return _message(event.name, event.payload, event.example) | {
        "description": " ".join(notes),
        "tags": [{"name": event.delivery}],
        "x-published-by": event.by,
        "x-since": event.since,
    }


def _answer(command: Command) -> Json:
    ok = {"type": "object", "properties": {"ok": {"const": True}}, "required": ["ok"]}
    example = {"ok": True, **msgspec.to_builtins(command.answer_example)}
    return {
        "name": "ack",
        "title": f"{command.name}: done",
        "payload": {"allOf": [ok, {"$ref": f"#/components/schemas/{command.answer.__name__}"}]},
        "examples": [{"payload": example}],
    }


def _message(name: str, payload: type[Payload], example: Payload) -> Json:
    return {
        "name": name,
        "title": name,
        "summary": _line(payload),
        "payload": {"$ref": f"#/components/schemas/{payload.__name__}"},
        "examples": [{"payload": msgspec.to_builtins(example)}],
    }


def _line(model: type[Payload]) -> str:
    return (model.__doc__ or "").partition("\n")[0]


def _key(name: str) -> str:
    """Return a name in the form that AsyncAPI allows as a key of components."""
    return name.replace(":", ".")


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in re.split(r"[:_]", name))
