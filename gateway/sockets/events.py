"""The events that a browser may send, by the contract, one handler each.

A handler gets the member and a checked payload; it returns the answer or raises `Refused`. If the client asked for
an ack, the answer is sent in it, as `{ok: true, ...}`; otherwise it is sent as the event that the contract names.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from gateway.core.frames import Frame
from gateway.core.model import Member
from gateway.errors import CODES, Refused, Unavailable
from gateway.presence.online import online
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.sockets import packets
from gateway.sockets.expiry import Expiry
from gateway.sockets.joining import Joined, Rooms
from gateway.sockets.members import Members, facts, log
from gateway.sockets.packets import Packet
from gateway.sockets.room_access import RoomAccess
from gateway.sockets.typing import Typing
from publisher import InvalidEvent, Offset, conversation, parse_offset, parse_room
from publisher.rooms import Room, room_kind, user_text

# Shortest times between two warnings, and between two log lines, of one socket.
WARN_EVERY_S = 1.0
LOG_EVERY_S = 60.0

# Most users that one `presence` event may name.
MOST_ASKED = 1000

Payload = Mapping[str, Any]
Answer = dict[str, Any]


class Handler(NamedTuple):
    """One event: its handler, and the event that answers it without an ack."""

    handle: Callable[[Member, Payload], Awaitable[Answer] | Answer]
    answer: str | None = None


class Events:
    """Handles the events that a browser may send, such as joins and typing."""

    def __init__(self, members: Members, expiry: Expiry, room_access: RoomAccess, typing: Typing) -> None:
        self._members = members
        self._rooms = Rooms(members, room_access)
        self._typing = typing
        self._warned_at: dict[Member, float] = {}
        """Loop time at which each member was last sent the event `error` with `rate_limited`."""
        self._denied_at: dict[Member, float] = {}
        """Loop time at which a denial of each member was last logged."""
        self._handlers = {
            "join_conversation": Handler(self._join_conversation, "joined_conversation"),
            "leave_conversation": Handler(self._leave_conversation, "left_conversation"),
            "join_room": Handler(self._join_room, "joined_room"),
            "leave_room": Handler(self._leave_room, "left_room"),
            "typing_start": Handler(self._typing_start),
            "typing_stop": Handler(self._typing_stop),
            "presence": Handler(self._presence),
            "auth:refresh": Handler(expiry.refresh),
            "ping": Handler(self._ping, "pong"),
        }

    def handle(self, member: Member, packet: Packet) -> Awaitable[None] | None:
        """Handle one event; a bad payload or a failing handler is answered, and never raised."""
        if member.socket.over:
            self._slow_down(member, packet)
            return None
        name, *args = packet.data
        try:
            handler = self._handlers.get(name) if isinstance(name, str) else None
            if handler is None:
                raise Refused("unknown_event")
            outcome = handler.handle(member, _payload(args))
        except Exception as error:  # noqa: BLE001
            self._fail(member, packet, error)
            return None
        if isinstance(outcome, dict):
            self._succeed(member, packet, handler, outcome)
            return None
        return self._wait(member, packet, handler, outcome)

    def departed(self, member: Member) -> None:
        """Drop the notes of warnings to a member that has gone."""
        self._warned_at.pop(member, None)
        self._denied_at.pop(member, None)

    async def _wait(self, member: Member, packet: Packet, handler: Handler, outcome: Awaitable[Answer]) -> None:
        try:
            answer = await outcome
        except Exception as error:  # noqa: BLE001
            # Events of the room that came during the failed join are sent before the error.
            self._rooms.release(member)
            self._fail(member, packet, error)
        else:
            self._succeed(member, packet, handler, answer)
        finally:
            self._rooms.release(member)

    def _succeed(self, member: Member, packet: Packet, handler: Handler, answer: Answer) -> None:
        if packet.id is not None:
            member.socket.send_frame(Frame(packets.ack(packet.id, {"ok": True, **answer})))
        elif handler.answer is not None:
            self._members.tell(member, handler.answer, answer)

    def _slow_down(self, member: Member, packet: Packet) -> None:
        """Refuse an event of a socket that sends too many; those without an ack are answered once a second."""
        if packet.id is None:
            now = _now()
            if now - self._warned_at.get(member, -math.inf) < WARN_EVERY_S:
                return
            self._warned_at[member] = now
        wait_ms = math.ceil(member.socket.wait_s * 1000)
        self._fail(member, packet, Refused("rate_limited", limit="events_per_s", retry_after_ms=wait_ms))

    def _fail(self, member: Member, packet: Packet, error: Exception) -> None:
        refused = _as_refused(error)
        self._members.refused[refused.code] += 1
        event = packet.data[0] if isinstance(packet.data[0], str) else ""
        if refused.code == "internal":
            log.error("handler_failed", sid=member.sid, event_name=event[:64], error=repr(error)[:200])
        elif not CODES[refused.code].retry:
            self._log_denied(member, event, refused.code)
        if packet.id is not None:
            member.socket.send_frame(Frame(packets.ack(packet.id, {"ok": False, "error": refused.as_error()})))
        else:
            self._members.tell(member, "error", refused.as_error() | {"event": event[:64]})

    def _log_denied(self, member: Member, event: str, code: str) -> None:
        now = _now()
        if now - self._denied_at.get(member, -math.inf) <= LOG_EVERY_S:
            return
        if self._members.by_sid.get(member.sid) is member:
            self._denied_at[member] = now
        # structlog uses `event` for the name of the line.
        log.warning("socket_denied", **facts(member), event_name=event[:64], code=code)

    # -- the events

    async def _join_conversation(self, member: Member, payload: Payload) -> Answer:
        room = conversation(payload.get("conversation_id", ""))
        joined = await self._join(member, room, payload)
        answer = {"conversation_id": _ident(room), "message": "Joined conversation"}
        return answer | joined._asdict()

    async def _leave_conversation(self, member: Member, payload: Payload) -> Answer:
        room = conversation(payload.get("conversation_id", ""))
        await self._rooms.leave(member, room)
        return {"conversation_id": _ident(room)}

    async def _join_room(self, member: Member, payload: Payload) -> Answer:
        room = self._open_room(payload)
        joined = await self._join(member, room, payload)
        return {"room": room, "message": "Joined room"} | joined._asdict()

    async def _leave_room(self, member: Member, payload: Payload) -> Answer:
        room = self._open_room(payload)
        await self._rooms.leave(member, room)
        return {"room": room}

    def _typing_start(self, member: Member, payload: Payload) -> Answer:
        self._typing.start(member, conversation(payload.get("conversation_id", "")))
        return {}

    def _typing_stop(self, member: Member, payload: Payload) -> Answer:
        self._typing.stop(member, conversation(payload.get("conversation_id", "")))
        return {}

    async def _presence(self, member: Member, payload: Payload) -> Answer:
        """Return the users who are online, or the viewers and typists of a conversation that the socket is in."""
        if payload.get("conversation_id") is not None:
            return await self._viewers(member, conversation(payload["conversation_id"]))
        asked = _user_ids(payload)
        async with self._members.answer_turns.turn(member):
            found = await online(self._members.commands, member.tenant.id, asked)
            names = len(found if asked is None else asked)
            self._members.answer_turns.charge(member, names=names, size=sum(map(len, found)))
        return {"online": found}

    async def _viewers(self, member: Member, room: Room) -> Answer:
        if member.tenant.rooms.get(room) not in member.rooms:
            raise Refused("not_joined")
        async with self._members.answer_turns.turn(member):
            found = await self._members.presence.read(member.tenant.id, [room], member.identity.user_id)
            (people,) = found.rooms
            self._members.answer_turns.charge(member, size=len(people.viewers or b""))
        _, viewers = msgspec.json.decode(people.viewers or b"[0, {}]")
        typing = people.typists
        if not self._members.settings.typing_to_own_tabs:
            # Nothing would tell the user's own tabs when it ends.
            typing = [user for user in typing if user != member.identity.user_id]
        return {**viewers, "typing": typing}

    def _ping(self, member: Member, payload: Payload) -> Answer:
        return {"timestamp": datetime.now(UTC).isoformat()}

    # -- their payloads

    async def _join(self, member: Member, room: Room, payload: Payload) -> Joined:
        since, history = payload.get("since"), payload.get("history")
        most = self._members.settings.history_size
        if history is not None and (type(history) is not int or not 0 <= history <= most):
            raise Refused("bad_request", f"history must be a number from 0 to {most}")
        offset: Offset | None = None if since is None else parse_offset(since)
        return await self._rooms.join(member, room, offset, history)

    def _open_room(self, payload: Payload) -> Room:
        room = parse_room(payload.get("room"))
        if room_kind(room) not in self._members.settings.room_kinds:
            raise Refused("forbidden", "rooms of this kind can't be joined")
        return room


def _now() -> float:
    return asyncio.get_running_loop().time()


def _payload(args: list[Any]) -> Payload:
    payload = args[0] if args else {}
    if payload is None:
        return {}
    if not isinstance(payload, dict):
        raise Refused("bad_request", "the payload must be an object")
    return payload


def _user_ids(payload: Payload) -> list[str] | None:
    given = payload.get("user_ids")
    if given is None:
        return None
    if not isinstance(given, list) or len(given) > MOST_ASKED:
        raise Refused("bad_request", f"user_ids must be a list of at most {MOST_ASKED}")
    return [user_text(user_id) for user_id in given]


def _ident(room: Room) -> str:
    return room.partition(":")[2]


def _as_refused(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, InvalidEvent):
        return Refused("bad_request", str(error))
    if isinstance(error, (Unavailable, RedisUnavailable, ReplyError)):
        return Refused("unavailable")
    return Refused("internal")
