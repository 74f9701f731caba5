"""The wire format between backend and gateway: every key, channel and message in Redis, on one page.

All names of a tenant carry its hash tag `{tenant}`: one tenant lives in one cluster slot, one script may
touch all its keys, and one subscriber connection sees all its events in order.

    rt:{t}:meta              hash    epoch, seq (of the last event); the gateways' retention: keep (newest events
                                     per room), ttl (ms), window (ms for which all events are kept), most (events
                                     per room), bytes (per room); brief ("<seq> <ms>": events up to that seq were
                                     kept for only so many ms); max_event_bytes (largest that gateways can deliver)
    rt:{t}:log:<room>        stream  the room's recent events; id <seq>-0; fields as in `LogField`
    rt:{t}:tail:<room>       string  "<seq> <bytes> <n>": seq of the room's newest event; approximate bytes in its
                                     log; events since the last trim, where 4 KiB of body count as one more
    rt:{t}:latest:<room>     string  "<seq> <previous> <key>" of the room's last conflated event
    rt:{t}:once:<key>        string  idempotency: "<offset> <version>" of the last event under that key
    rt:{t}:lane:<lane>       string  number of the last item that was taken from a publisher's lane
    rt:{t}:versions:<n>:<p>  hash    digest of a key -> its last version; 16 hashes per half of `version_ttl_s`
    rt:{t}:revoked:<user>    hash    room, "*" for all, "token/<id>" -> seq at which that access was revoked;
                                     "before" -> Unix time in seconds: tokens that were issued earlier are void;
                                     "kept" -> ms for which these fields are remembered
    rt:{t}:revoked:<user>:<room>     string  exists while the user may not join the room
    rt:{t}:room:<room>       channel the room's events, as `Message`
    rt:{t}:notices           channel actions of gateways: resyncs, recoveries that failed
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from publisher.rooms import Room


def prefix(tenant: str) -> str:
    """Return the prefix of all keys and channels of a tenant."""
    return f"rt:{{{tenant}}}:"


def meta_key(tenant: str) -> str:
    """Return the key of the hash with the tenant's epoch, last seq and retention."""
    return f"rt:{{{tenant}}}:meta"


def log_key(tenant: str, room: Room) -> str:
    """Return the key of the stream with a room's recent events."""
    return f"rt:{{{tenant}}}:log:{room}"


def tail_key(tenant: str, room: Room) -> str:
    """Return the key of the string with the seq of a room's newest event."""
    return f"rt:{{{tenant}}}:tail:{room}"


def latest_key(tenant: str, room: Room) -> str:
    """Return the key of the string about a room's last conflated event, which the next may replace in the log."""
    return f"rt:{{{tenant}}}:latest:{room}"


def once_key(tenant: str, key: str) -> str:
    """Return the key of the string about the last event under an idempotency key."""
    return f"rt:{{{tenant}}}:once:{key}"


def lane_key(tenant: str, lane: str) -> str:
    """Return the key of the last number that was taken from a publisher's lane; the number only grows."""
    return f"rt:{{{tenant}}}:lane:{lane}"


def version_field(key: str) -> bytes:
    """Return an idempotency key's field in the hashes of versions: 8 bytes, as there may be a million."""
    return hashlib.blake2b(key.encode(), digest_size=8).digest()


def versions_key(tenant: str, field: bytes) -> str:
    """Return the key of the hash of versions that a field belongs to; the script appends the period.

    The fields are spread over 16 hashes: Redis packs small ones, and a large tenant has none that takes long to
    move or to delete.
    """
    return f"rt:{{{tenant}}}:versions:{field[0] % 16:x}"


def revoked_key(tenant: str, user_id: str) -> str:
    """Return the key of the hash of a user's revoked access."""
    return f"rt:{{{tenant}}}:revoked:{user_id}"


def blocked_key(tenant: str, user_id: str, room: Room) -> str:
    """Return the key of the string that exists while a user may not join a room."""
    return f"{revoked_key(tenant, user_id)}:{room}"


def channel(tenant: str, room: Room) -> str:
    """Return the pub/sub channel of a room."""
    return f"rt:{{{tenant}}}:room:{room}"


def notices_channel(tenant: str) -> str:
    """Return the channel on which gateways report their actions, as JSON objects, for `gateway tail`."""
    return f"rt:{{{tenant}}}:notices"


class LogField:
    """Field names in a room's log, short because every event stores them."""

    BODY = b"d"
    PREVIOUS = b"p"
    ROOMS = b"r"  # names of the rooms, separated by spaces; empty or missing if there is only one
    SKIP_SID = b"s"  # socket that is left out; `-` or missing for none
    CONFLATE = b"c"  # conflation key; missing without one


class Flag:
    """The kind of a message, one letter in its header."""

    RECOVERABLE = b"r"  # logged; carries its offset to the client
    EPHEMERAL = b"e"  # at most once, never logged, never replayed
    CONTROL = b"c"  # for the gateways themselves; the body is a JSON object


_EVENTS = (Flag.RECOVERABLE, Flag.EPHEMERAL)


class Message(NamedTuple):
    """A message of a room: `<epoch>-<seq> <previous> <flag> <skip_sid>[ c=<conflate>][ t=<trace>]\\n<body>`.

    `previous` is the seq of the room's event before this one, 0 if none is kept; `skip_sid` is `-` for no socket;
    `conflate` is the key under which a later event replaces this one, empty for none; `trace` is W3C's
    traceparent, empty for none. The body is the finished JSON array `["event",data]`. More header fields may
    follow after another space; readers ignore those that they don't know.
    """

    offset: bytes
    seq: int
    previous: int
    flag: bytes
    skip_sid: bytes
    body: bytes
    conflate: bytes = b""
    trace: bytes = b""


def parse_message(raw: bytes) -> Message:
    """Return the parts of a channel message; raise `ValueError` for anything that no script wrote.

    Only the ends of an event's body are checked: parsing it would cost more than all the rest.
    """
    header, newline, body = raw.partition(b"\n")
    fields = header.split(b" ", 7)
    plain = len(fields) == 4
    offset, previous, flag, skip_sid = fields if plain else fields[:4]
    epoch, _, seq = offset.partition(b"-")
    if not (newline and header.isascii() and epoch.isalnum() and seq.isdigit() and previous.isdigit()):
        raise ValueError("no header")
    if flag in _EVENTS and not (body.startswith(b'["') and body.endswith(b"]")):
        raise ValueError("no event")
    if plain:
        return Message(offset, int(seq), int(previous), flag, skip_sid, body)
    conflate = trace = b""
    for field in fields[4:]:
        if field.startswith(b"c="):
            conflate = field[2:]
        elif field.startswith(b"t="):
            trace = field[2:]
    return Message(offset, int(seq), int(previous), flag, skip_sid, body, conflate, trace)
