"""JSON Schemas (2020-12) of all payloads on a socket."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

import msgspec

from publisher.events import COMMANDS, EVENTS, Payload
from publisher.events.session import ConnectAccepted, ConnectAuth, ConnectError, Failed

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def models() -> list[type[Payload]]:
    """Return every payload model once, in the order of the contract."""
    found: dict[type[Payload], None] = dict.fromkeys(event.payload for event in EVENTS.values())
    for command in COMMANDS.values():
        found |= dict.fromkeys((command.payload, command.answer))
    return [*found, *(model for model in (ConnectAuth, ConnectAccepted, ConnectError, Failed))]


def components(at: str = "#/components/schemas/") -> dict[str, dict[str, Any]]:
    """Return the schemas by name; references between them begin with `at`."""
    _, found = msgspec.json.schema_components(models(), ref_template=at + "{name}")
    return {name: _tidy(schema) for name, schema in found.items()}


def standalone(name: str) -> dict[str, Any]:
    """Return the schema of one event's payload as a separate document; raises `KeyError`."""
    payload = EVENTS[name].payload if name in EVENTS else COMMANDS[name].payload
    return {"$schema": DIALECT, "title": name, **msgspec.json.schema(payload)}


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without its title, which repeats the name, and without the docstring's indentation.

    Python removes the indentation itself only from 3.13 on.
    """
    tidy = {key: value for key, value in schema.items() if key != "title"}
    if "description" in tidy:
        tidy["description"] = cleandoc(tidy["description"])
    return tidy
