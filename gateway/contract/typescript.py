"""The browser client's `events.ts`: an interface for each model, and maps from names to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, get_args, get_origin

from msgspec import Meta, inspect

from gateway.contract.schemas import models
from publisher.events import COMMANDS, CONNECT_CODES, EVENT_CODES, EVENTS, Payload, fields
from publisher.events.joining import Joined, JoinOptions, Nothing, PastEvent
from publisher.events.session import ConnectAccepted, ConnectAuth, ConnectError, EventError, Failed

_HEAD = """\
/**
 * All events of the gateway. `make docs` makes this file from `publisher/events`: do not edit it.
 * It has only types, so no code of it is in the built package.
 *
 * A backend may publish events of its own. A page declares their payloads by declaration merging:
 *
 *     declare module "pytake-realtime-client" {
 *       interface ServerEvents { "ticket:closed": { ticket_id: string } }
 *     }
 */
"""

_PAST_EVENT = """\
/** An event of a room's history. */
export type PastEvent = {
  [E in keyof ServerEvents]: { event: E; data: ServerEvents[E]; offset: Offset };
}[keyof ServerEvents];
"""

_PLAIN = """\
/** An acknowledgement. */
export type Ack<E extends keyof ClientEvents> =
  | ({ ok: true } & ClientEvents[E]["answer"])
  | { ok: false; error: EventError };

/** For plain `socket.io-client`: `const socket: Socket<Listeners, Emitters> = io(url, { auth })`. */
export type Listeners = {
  [E in keyof ServerEvents]: (data: ServerEvents[E], offset?: Offset) => void;
};
export type Emitters = {
  [E in keyof ClientEvents]: undefined extends ClientEvents[E]["payload"]
    ? (ack?: (answer: Ack<E>) => void) => void
    : (payload: ClientEvents[E]["payload"], ack?: (answer: Ack<E>) => void) => void;
};
"""

# Models that only socket.io-client uses, and those that are written by hand above.
_LEFT_OUT = {ConnectAuth, ConnectAccepted, ConnectError, Failed, Nothing, PastEvent}
_BASES = (Joined, JoinOptions, EventError)


def events_ts() -> str:
    """Return the text of `events.ts`, the events as TypeScript types."""
    found: list[type[Payload]] = [*_BASES, *models()]
    wanted = [model for model in dict.fromkeys(found) if model not in _LEFT_OUT]
    parts = [
        _HEAD,
        *_aliases(),
        _codes("ConnectCode", "A code of a refusal at connect.", CONNECT_CODES),
        _codes("EventCode", "A code of an event that failed.", EVENT_CODES),
        _codes("RetryCode", "A code after which the same request may succeed later.", _retried()),
        *map(_interface, wanted),
        _PAST_EVENT,
        _map(
            "Events that the server sends: name and payload.",
            "ServerEvents",
            ((event.name, event.payload.__name__) for event in EVENTS.values()),
        ),
        _map(
            "Events that a page sends: name, payload, and the fields of the acknowledgement besides `ok`.",
            "ClientEvents",
            (
                (
                    command.name,
                    f"{{ payload: {_name(command.payload)}; answer: {_name(command.answer, 'object')} }}",
                )
                for command in COMMANDS.values()
            ),
        ),
        _PLAIN,
    ]
    return "\n".join(parts)


def _aliases() -> Iterator[str]:
    """Yield the type declarations of single values that have a name."""
    for alias in vars(fields).values():
        if get_origin(alias) is not Annotated:
            continue
        kind, meta = get_args(alias)[:2]
        if isinstance(meta, Meta) and meta.extra:
            text = f"{(meta.description or '')[:1].upper()}{(meta.description or '')[1:]}."
            values = get_args(kind)
            written = _union(values) if values else "string"
            yield f"/** {text} */\nexport type {meta.extra['name']} = {written};\n"


def _retried() -> list[str]:
    return [code for code, entry in (CONNECT_CODES | EVENT_CODES).items() if entry.retry]


def _codes(name: str, text: str, codes: Iterable[str]) -> str:
    lines = "".join(f'\n  | "{code}"' for code in codes)
    return f"/** {text} */\nexport type {name} ={lines};\n"


def _map(text: str, name: str, entries: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"  {_quoted(key)}: {value};\n" for key, value in entries)
    return f"/** {text} */\nexport interface {name} {{\n{lines}}}\n"


def _interface(model: type[Payload]) -> str:
    base = next((base for base in model.__bases__ if base is not Payload), None)
    of_base = {each.name for each in _fields(base)} if base is not None else set()
    extends = f" extends {base.__name__}" if base is not None else ""
    lines = "".join(_member(each) for each in _fields(model) if each.name not in of_base)
    text = (model.__doc__ or "").partition("\n")[0]
    return f"/** {text} */\nexport interface {model.__name__}{extends} {{\n{lines}}}\n"


def _fields(model: type[Payload] | None) -> tuple[inspect.Field, ...]:
    described = inspect.type_info(model)
    assert isinstance(described, inspect.StructType)
    return described.fields


def _member(field: inspect.Field) -> str:
    text = _description(field.type)
    comment = f"  /** {text[0].upper()}{text[1:]}. */\n" if text else ""
    return f"{comment}  {field.name}{'' if field.required else '?'}: {_written(field.type)};\n"


def _description(of: inspect.Type) -> str:
    """Return the description of one field; empty if it is that of the field's named type."""
    if not isinstance(of, inspect.Metadata) or not of.extra_json_schema:
        return ""
    text = str(of.extra_json_schema.get("description", ""))
    return "" if text in _COMMON else text


_COMMON = {
    meta.description
    for alias in vars(fields).values()
    if get_origin(alias) is Annotated
    for meta in get_args(alias)[1:]
}

_SCALARS: dict[type[inspect.Type], str] = {
    inspect.AnyType: "unknown",
    inspect.BoolType: "boolean",
    inspect.DateTimeType: "Timestamp",
    inspect.DictType: "Record<string, unknown>",
    inspect.FloatType: "number",
    inspect.IntType: "number",
    inspect.NoneType: "null",
    inspect.StrType: "string",
    inspect.UUIDType: "string",
}


def _written(of: inspect.Type) -> str:
    """Return a type in TypeScript; raises `KeyError` for a kind that no model uses yet."""
    match of:
        case inspect.Metadata():
            return str(of.extra["name"]) if of.extra else _written(of.type)
        case inspect.UnionType():
            return " | ".join(_written(each) for each in of.types)
        case inspect.LiteralType():
            # Only the list of all codes is longer than that of the events' codes, and it has named types.
            return "ConnectCode | EventCode" if set(of.values) > set(EVENT_CODES) else _union(of.values)
        case inspect.ListType():
            return f"{_written(of.item_type)}[]"
        case inspect.StructType():
            return of.cls.__name__
        case _:
            return _SCALARS[type(of)]


def _union(values: Iterable[object]) -> str:
    return " | ".join(f'"{value}"' for value in values)


def _name(model: type[Payload], nothing: str = "undefined") -> str:
    return nothing if model is Nothing else model.__name__


def _quoted(name: str) -> str:
    return name if name.isidentifier() else f'"{name}"'
