"""The only builder of script calls: it checks arguments and makes an `Envelope` of them, without I/O.

Both publishers, the HTTP API and the outbox send these envelopes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import msgspec

from publisher import wire
from publisher.errors import InvalidEvent
from publisher.ids import new_hex, new_id
from publisher.rooms import Id, Room, parse_room, user, user_text, uuid_text

EVENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_:.\-/]{0,63}")
# Names that Socket.IO uses itself, in clients or servers.
RESERVED_EVENTS = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)
MAX_ROOMS = 64
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_SID = re.compile(r"[A-Za-z0-9_-]{1,64}")
Validate = Literal["off", "warn", "raise"]
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a publisher. Times are in seconds, sizes in bytes of encoded JSON."""

    max_payload_bytes: int = 1_000_000
    """Largest event; a larger one raises `InvalidEvent` at the call."""
    history_size: int = 500
    """Newest events that a room keeps beyond `history_window_s` (`GATEWAY_HISTORY_SIZE`). As soon as a gateway has
    written its own settings to Redis, they replace all `history_` options."""
    history_ttl_s: float = 3600.0
    """Age at which any event is removed from its room (`GATEWAY_HISTORY_TTL_S`)."""
    history_window_s: float = 170.0
    """Age up to which a room keeps all its events (`GATEWAY_RECOVERY_WINDOW_S`, and a margin)."""
    history_max_events: int = 10_000
    """Largest number of events per room, unless `history_size` is larger (`GATEWAY_HISTORY_MAX_EVENTS`)."""
    history_max_bytes: int = 16 << 20
    """Largest size of a room's events together (`GATEWAY_HISTORY_MAX_BYTES`)."""
    once_ttl_s: float = 600.0
    """Lifetime of an idempotency key. A publisher's own retries are recognized for longer, by their lane."""
    version_ttl_s: float = 7 * 86_400.0
    """Least lifetime of a key's version: WhatsApp repeats a webhook for days."""
    revoked_ttl_s: float = 86_400.0
    """How long revoked access is remembered; it should be as long as tokens live, or longer."""
    sharded: bool = False
    """Publish with SPUBLISH, for a Redis Cluster."""
    traceparent: Callable[[], str] | None = None
    """Function that returns the current W3C trace context or an empty string: `publisher.tracing.traceparent`."""
    validate: Validate = "off"
    """Action for an event of the contract whose data does not match its type in `publisher.events`."""

    def __post_init__(self) -> None:
        if self.validate not in get_args(Validate):
            raise ValueError(f"validate must be one of {', '.join(get_args(Validate))}")
        for name in ("max_payload_bytes", "history_size", "history_max_events", "history_max_bytes"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be 1 or more")
        for name in ("history_ttl_s", "history_window_s", "once_ttl_s", "version_ttl_s", "revoked_ttl_s"):
            # Redis counts in milliseconds, and 0 ms is an error.
            if not getattr(self, name) >= 0.001:
                raise ValueError(f"{name} must be 0.001 or more")


def validating(options: Options | None, validate: Validate | None) -> Options | None:
    """Return the options with this `validate`; None leaves them unchanged."""
    return options if validate is None else replace(options or Options(), validate=validate)


@dataclass(frozen=True, slots=True)
class Envelope:
    """One script call: the script, its keys and its arguments.

    `also` is a second event, with its own rooms and key, which the same call publishes right after this one. The
    script makes the two atomic, so code that sends or retries an envelope need not know of it.
    """

    script: Literal["publish", "control"]
    tenant: str
    keys: list[str]
    args: list[Any]
    also: Envelope | None = None
    head: tuple[Any, ...] = ()
    """The arguments that all events of one `publish` call share."""

    @property
    def size(self) -> int:
        """Return the bytes of the body, or of both bodies with `also`."""
        body = self.args[1] if self.script == "publish" else self.args[0]
        return len(body) + (self.also.size if self.also else 0)

    @property
    def events(self) -> int:
        """Return the number of events in the envelope; a control command counts as one."""
        return 2 if self.also else 1

    @property
    def ephemeral(self) -> bool:
        """Return whether the event must arrive at most once, so that it is not retried if Redis may have it."""
        return self.script == "publish" and self.args[2] == wire.Flag.EPHEMERAL


def build_event(
    tenant: Id,
    event: str,
    data: Any,
    to: Room | str | Iterable[Room | str],
    options: Options,
    *,
    key: str | None = None,
    version: int | None = None,
    skip_sid: str | None = None,
    ephemeral: bool = False,
    conflate: str | None = None,
) -> Envelope:
    """Check one event and return its envelope; the arguments are those of `Verbs.emit`.

    An event without a key gets a random one, so that a retry after a timeout can't double it.
    Raises `InvalidEvent`, which names the bad argument.
    """
    tenant = uuid_text(tenant, "organization_id")
    rooms = _rooms(tenant, to)
    if ephemeral and key is not None:
        raise InvalidEvent("an ephemeral event is sent at most once as it is: it takes no key")
    if ephemeral and conflate is not None:
        raise InvalidEvent("an ephemeral event can't be conflated: nobody would get the last one for certain")
    body = encode_event(event, data, options.max_payload_bytes, ephemeral=ephemeral)
    if options.validate != "off":
        _check(event, body, options.validate)
    once = f"auto:{new_id(15)}" if key is None else _checked(_KEY, key, "key", "1 to 200 printable ASCII")
    if version is not None and (key is None or type(version) is not int or not 0 <= version < 2**53):
        raise InvalidEvent("version must be an int from 0 to 2**53 - 1, and needs a key")
    skip = "-" if skip_sid is None else _checked(_SID, skip_sid, "skip_sid", "a Socket.IO session id")
    if conflate is not None:
        _checked(_KEY, conflate, "conflate", "1 to 200 printable ASCII")
    keys = [
        wire.meta_key(tenant),
        *(wire.log_key(tenant, room) for room in rooms),
        *(wire.channel(tenant, room) for room in rooms),
        *(wire.tail_key(tenant, room) for room in rooms),
    ]
    if conflate is not None:
        keys += [wire.latest_key(tenant, room) for room in rooms]
    field = b""
    if version is not None:
        field = wire.version_field(once)
        keys.append(wire.versions_key(tenant, field))
    if not ephemeral:
        keys.append(wire.once_key(tenant, once))
    args = [
        len(rooms),
        body,
        wire.Flag.EPHEMERAL if ephemeral else wire.Flag.RECOVERABLE,
        skip,
        " ".join(rooms),
        "" if version is None else version,
        conflate or "",
        _trace(options),
        field,
    ]
    return Envelope("publish", tenant, keys, args, head=_head(options))


def _head(options: Options) -> tuple[Any, ...]:
    return (
        "SPUBLISH" if options.sharded else "PUBLISH",
        new_epoch(),
        options.history_size,
        int(options.history_ttl_s * 1000),
        int(options.history_window_s * 1000),
        options.history_max_events,
        options.history_max_bytes,
        int(options.once_ttl_s * 1000),
        int(options.version_ttl_s * 1000),
    )


def build_control(
    tenant: Id,
    user_id: Id,
    command: Mapping[str, Any],
    options: Options,
    *,
    revoke: str = "",
    value: str = "",
    block: tuple[Room, float] | None = None,
) -> Envelope:
    """Return the envelope of a command to the gateways that hold a user's sockets.

    `revoke` is a field to set in the user's hash of revoked access (see `wire`), empty for none; `value` replaces
    the command's seq in it. `block` is a room and the seconds for which the user may not join it; 0 ends a block.
    """
    tenant, user_id = uuid_text(tenant, "organization_id"), user_text(user_id)
    keys = [wire.meta_key(tenant), wire.revoked_key(tenant, user_id), wire.channel(tenant, user(user_id))]
    room, block_s = block or (None, 0.0)
    args: list[str | int | bytes] = [
        encode(command),
        "SPUBLISH" if options.sharded else "PUBLISH",
        new_epoch(),
        revoke,
        # A recovery must not restore a room that is still blocked.
        math.ceil(max(options.revoked_ttl_s, block_s) * 1000),
        value,
        _trace(options),
    ]
    if room is not None:
        keys.append(wire.blocked_key(tenant, user_id, room))
        args.append(math.ceil(block_s * 1000))
    return Envelope("control", tenant, keys, args)


def encode_event(event: str, data: Any, max_bytes: int, *, ephemeral: bool) -> bytes:
    """Return `["event",data]` as JSON; gateways pass these bytes on without parsing them."""
    if not isinstance(event, str) or not EVENT_NAME.fullmatch(event):
        raise InvalidEvent("event must be a name of 1 to 64 letters, digits and _:.-/ that begins with a letter")
    if event in RESERVED_EVENTS:
        raise InvalidEvent(f"{event!r} is a name that Socket.IO keeps for itself")
    body = encode([event, data])
    if ephemeral and body[len(event) + 4 : len(event) + 5] == b'"':
        # The browser takes a string as the last argument for the offset of a recoverable event.
        raise InvalidEvent("the data of an ephemeral event can't be a string: wrap it in an object")
    if len(body) > max_bytes:
        raise InvalidEvent(f"the event is {len(body)} bytes of JSON; at most {max_bytes} may be published")
    return body


def _check(event: str, body: bytes, validate: Literal["warn", "raise"]) -> None:
    from publisher.events.checking import check  # takes 7 ms, so only when needed

    check(event, body[len(event) + 4 : -1], validate)


def encode(value: Any) -> bytes:
    """Return a value as JSON; UUIDs, datetimes, enums, decimals and pydantic models need no conversion before."""
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidEvent(f"the data can't be written as JSON: {error}") from None


def new_epoch() -> str:
    """Return a random epoch; a script uses it only for a tenant that has none yet."""
    return new_hex(4)


def _rooms(tenant: str, to: Room | str | Iterable[Room | str]) -> list[Room]:
    if isinstance(to, (bytes, Mapping)) or not isinstance(to, Iterable):
        raise InvalidEvent("to must be a room or several")
    rooms = list(dict.fromkeys(map(parse_room, [to] if isinstance(to, str) else to)))
    if not 1 <= len(rooms) <= MAX_ROOMS:
        raise InvalidEvent(f"to must name 1 to {MAX_ROOMS} rooms, not {len(rooms)}")
    for room in rooms:
        if room.startswith("organization:") and room != f"organization:{tenant}":
            raise InvalidEvent("an event of one organization can't be published to another's room")
    return rooms


def _trace(options: Options) -> str:
    """Return the trace context, or an empty string for an invalid one: that must not make a publish fail."""
    if options.traceparent is None:
        return ""
    trace = options.traceparent()
    return trace if _TRACEPARENT.fullmatch(trace) else ""


def _checked(pattern: re.Pattern[str], value: object, name: str, what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidEvent(f"{name} must be {what}")
    return value


def _encode_other(value: Any) -> Any:
    dump: Callable[..., Any] | None = getattr(value, "model_dump", None)
    if dump is not None and not isinstance(value, type):
        try:
            return dump(mode="json")
        except Exception as error:
            raise TypeError(f"{type(value).__name__} can't be dumped: {error}") from error
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


_encoder = msgspec.json.Encoder(enc_hook=_encode_other)
