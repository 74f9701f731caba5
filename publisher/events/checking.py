"""Checks published events against their types, by their JSON: any object that encodes to the right JSON passes.

Keys that a type does not name pass, and so do events that are not in the contract.
"""

from __future__ import annotations

import logging
import re
from functools import cache
from typing import Literal

import msgspec
from msgspec import inspect

from publisher.errors import InvalidEvent
from publisher.events.catalogue import EVENTS
from publisher.events.fields import Payload

_log = logging.getLogger("publisher")
_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(\w+)`")
_GOT = re.compile(r"got `(\w+)`")

# Pairs of an event of the contract and a field of its type, so there are only so many.
_warned: set[tuple[str, str]] = set()


def check(event: str, data: bytes, validate: Literal["warn", "raise"]) -> None:
    """Check the JSON of an event's data against its type: "raise" raises `InvalidEvent`, "warn" logs once a field.

    Neither shows a value, because messages between people must not get into logs.
    """
    if event not in EVENTS:
        return
    try:
        _decoder(event).decode(data)
    except msgspec.ValidationError as error:
        field, problem = _explain(EVENTS[event].payload, str(error))
        if validate == "raise":
            raise InvalidEvent(f"{event}: {problem}") from None
        if (event, field) not in _warned:
            _warned.add((event, field))
            _log.warning("%s: %s; published all the same, and not said again", event, problem)


@cache
def _decoder(event: str) -> msgspec.json.Decoder[Payload]:
    return msgspec.json.Decoder(EVENTS[event].payload)


def _explain(model: type[Payload], error: str) -> tuple[str, str]:
    """Return the name of the wrong field, empty for the data as a whole, and a description of the mistake."""
    match = _AT.match(error)
    what, path = (match["what"], match["path"] or "") if match else (error, "")
    missing = _MISSING.search(what)
    if missing:
        path = f"{path}.{missing[1]}".lstrip(".")
    field = re.split(r"[.\[]", path)[0]
    fields = {each.name: each.type for each in _fields(model)}
    wanted = _said(fields[field]) if field in fields else "an object"
    if missing:
        return field, f"{path} is missing; it must be {wanted}"
    got = _GOT.search(what)
    found = f", not {got[1]}" if got else ""
    where = f" at {path}" if path != field else ""
    return field, f"{field or 'the data'} must be {wanted}{found}{where}"


def _fields(model: type[Payload]) -> tuple[inspect.Field, ...]:
    described = inspect.type_info(model)
    assert isinstance(described, inspect.StructType)
    return described.fields


_NAMES: dict[type[inspect.Type], str] = {
    inspect.UUIDType: "a UUID",
    inspect.DateTimeType: "a time with a time zone, in ISO 8601",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
    inspect.DictType: "an object",
    inspect.StructType: "an object",
    inspect.NoneType: "null",
}


def _said(wanted: inspect.Type) -> str:
    """Return a description of the values that a type accepts."""
    match wanted:
        case inspect.Metadata():
            return _said(wanted.type)
        case inspect.UnionType():
            return " or ".join(_said(each) for each in wanted.types)
        case inspect.LiteralType():
            return "one of " + ", ".join(map(str, wanted.values))
        case inspect.StrType():
            limit = "" if wanted.max_length is None else f" of at most {wanted.max_length} characters"
            return f"text{limit}"
        case inspect.IntType():
            return "a whole number" + ("" if wanted.ge is None else f", {wanted.ge} or more")
        case inspect.ListType():
            return f"a list, each {_said(wanted.item_type)}"
        case _:
            return _NAMES.get(type(wanted), "something else")
