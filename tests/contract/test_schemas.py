"""The JSON Schemas, by a validator that knows nothing of the types they are made from."""

from __future__ import annotations

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from jsonschema import Draft202012Validator

from gateway.contract import schemas
from publisher.events import COMMANDS, EVENTS, Command, Event
from tests.support.command_line import gateway

CONTRACT: dict[str, Command | Event] = {**COMMANDS, **EVENTS}


@pytest.mark.parametrize("name", CONTRACT)
def test_a_schema_is_one_and_takes_its_example(name: str) -> None:
    schema = schemas.standalone(name)
    Draft202012Validator.check_schema(schema)
    example = msgspec.to_builtins(CONTRACT[name].example)
    jsonschema.validate(example, schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    jsonschema.validate(example | {"further": {"keys": 1}}, schema)


WRONG: dict[str, dict[str, Any]] = {
    "message:new": {"created_at": 5},
    "message:status": {"status": "lost"},
    "conversation:unread_update": {"unread_count": -1},
    "user:statuses": {"online": [5]},
    "connected": {"reason": "weather"},
    "error": {"code": "teapot"},
    "join_conversation": {"since": "yesterday"},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_schema_refuses_what_its_type_refuses(name: str) -> None:
    event = CONTRACT[name]
    wrong = msgspec.to_builtins(event.example) | WRONG[name]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schemas.standalone(name))
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, event.payload)


def test_every_type_has_a_description() -> None:
    assert [name for name, schema in schemas.components().items() if not schema.get("description")] == []


def test_the_command_line_prints_one() -> None:
    done = gateway("schema", "message:status")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == schemas.standalone("message:status")
