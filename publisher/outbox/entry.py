"""The facts about an event that a row stores, without the way in which it is published.

Redis keys, time limits and epochs are left out. The relay adds them from its own settings, with the same
builder as every publisher, so that a row stays valid when either side is upgraded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from publisher import wire
from publisher.envelope import Envelope, Options, build_control, build_event
from publisher.errors import InvalidEvent
from publisher.rooms import Room

EVENT, CONTROL = "event", "control"
# The relay does not check sizes again: the row is committed, and the writer's limit may have been larger.
_ANY_SIZE = 2**40

# Prefix of a revocation of all tokens issued before a time; the time follows.
_BEFORE = "before "
# Prefix of a revocation of one token; the token's id follows, any text, which may contain spaces.
_OF_TOKEN = "token/"  # noqa: S105  # not a password
# Number of arguments of a control message that blocks no room.
PLAIN_CONTROL = 7

_Event = msgspec.json.Decoder(tuple[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Entry:
    """The facts about one event; each field is a column of the table."""

    tenant: str
    kind: str
    body: bytes
    rooms: str
    key: str | None = None
    version: int | None = None
    skip_sid: str | None = None
    revoke: str | None = None
    conflate: str | None = None


def entries_of(envelope: Envelope) -> list[Entry]:
    """Return the entries of an envelope; raise `InvalidEvent` for an ephemeral event.

    Two events of one envelope become two rows: they are committed together, and each has its own key.
    """
    entry = _entry_of(envelope)
    return [entry] if envelope.also is None else [entry, *entries_of(envelope.also)]


def _entry_of(envelope: Envelope) -> Entry:
    tenant, args = envelope.tenant, envelope.args
    if envelope.script == "control":
        room = envelope.keys[2].removeprefix(wire.channel(tenant, Room("")))
        # The time of a `before` revocation, or the ms for which the user may not join the room.
        rest = args[5] or (args[7] if len(args) > PLAIN_CONTROL else "")
        return Entry(tenant, CONTROL, args[0], room, revoke=args[3] if rest == "" else f"{args[3]} {rest}")
    if args[2] == wire.Flag.EPHEMERAL:
        raise InvalidEvent("an ephemeral event may be lost and is late once it was kept: publish it directly")
    return Entry(
        tenant,
        EVENT,
        args[1],
        args[4],
        # Every event has a key, the caller's or a random one. It stays the same at each attempt, in every
        # relay, and in a database restored from a copy, where ids are used again.
        key=envelope.keys[-1].removeprefix(wire.once_key(tenant, "")),
        version=None if args[5] == "" else args[5],
        skip_sid=None if args[3] == "-" else args[3],
        conflate=args[6] or None,
    )


def envelope_of(entry: Entry, options: Options) -> Envelope:
    """Return the envelope of an entry; raise `InvalidEvent` for an entry that can never be published."""
    if entry.kind == CONTROL:
        user_id = entry.rooms.removeprefix("user:")
        command: Any = msgspec.Raw(entry.body)
        revoke, value, block = entry.revoke or "", "", None
        if revoke.startswith(_BEFORE):
            revoke, _, value = revoke.partition(" ")
        elif " " in revoke and not revoke.startswith(_OF_TOKEN):
            room, _, ms = revoke.partition(" ")
            revoke, block = room, (Room(room), int(ms) / 1000)
        return build_control(entry.tenant, user_id, command, options, revoke=revoke, value=value, block=block)
    if entry.kind != EVENT:
        raise InvalidEvent(f"a row of kind {entry.kind!r} is none of this version's")
    try:
        event, data = _Event.decode(entry.body)
    except msgspec.DecodeError as error:
        raise InvalidEvent(f'the body is not the JSON of ["event", data]: {error}') from None
    return build_event(
        entry.tenant,
        event,
        data,
        entry.rooms.split(),
        replace(options, max_payload_bytes=_ANY_SIZE, validate="off"),
        key=entry.key,
        version=entry.version,
        skip_sid=entry.skip_sid,
        conflate=entry.conflate,
    )
