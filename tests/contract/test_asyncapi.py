"""The AsyncAPI document: valid by AsyncAPI's own tools, complete, and served as it is in the repository."""

from __future__ import annotations

import http.client
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from gateway.contract import asyncapi
from gateway.dev.docs import ASYNCAPI
from gateway.dev.embedded_redis import EmbeddedRedis
from publisher.events import COMMANDS, EVENTS
from tests.support import node
from tests.support.environment import ROOT
from tests.support.replica import Replicas
from tests.support.waiting import PATIENCE_S

JS = Path(__file__).with_name("js")
VALIDATE_S = 120.0
# 3.1 adds nothing that is needed here, and not all tools read it.
KEPT = {"asyncapi-latest-version"}

Validated = tuple[list[str], list[dict[str, Any]]]


def broken() -> dict[str, Any]:
    """Return the document with two mistakes in it."""
    document = asyncapi.document()
    document["components"]["messages"]["message.status"]["payload"]["$ref"] += "es"
    del document["operations"]["connect"]["action"]
    return document


@pytest.fixture(scope="module")
def validated() -> list[Validated]:
    """Return what the real parser finds, operations and faults: in the document, and in the broken one.

    Both at once, because Node takes long to load it.
    """
    with node.needed("AsyncAPI's parser"):
        binary = node.installed(JS)
    done = subprocess.run(
        [str(binary), str(JS / "validate.mjs")],
        input=json.dumps([asyncapi.document(), broken()]),
        capture_output=True,
        text=True,
        timeout=VALIDATE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [
        (found["operations"], [each for each in found["findings"] if each["code"] not in KEPT])
        for found in json.loads(done.stdout)
    ]


def test_asyncapis_own_parser_finds_nothing_wrong_and_no_advice(validated: list[Validated]) -> None:
    operations, findings = validated[0]
    assert findings == []
    assert set(operations) == set(asyncapi.document()["operations"])


def test_the_parser_would_find_what_is_wrong(validated: list[Validated]) -> None:
    assert {each["code"] for each in validated[1][1] if each["severity"] == 0} == {
        "asyncapi-document-resolved",
        "invalid-ref",
    }


def test_every_message_has_an_example_that_is_right() -> None:
    document = asyncapi.document()
    for message in document["components"]["messages"].values():
        (example,) = message["examples"]
        schema = {**message["payload"], "components": document["components"]}
        jsonschema.validate(example["payload"], schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate([], schema)


def test_every_event_has_an_operation_for_each_kind_of_room() -> None:
    document = asyncapi.document()
    assert document["asyncapi"] == "3.0.0"
    sent = {
        (operation["channel"]["$ref"].rpartition("/")[2], resolved(document, operation["messages"][0])["name"])
        for operation in document["operations"].values()
        if operation["action"] == "send"
    }
    assert sent == {(kind, event.name) for event in EVENTS.values() for kind in event.rooms}


def test_every_command_has_its_answers() -> None:
    document = asyncapi.document()
    received = {
        resolved(document, operation["messages"][0])["name"]: [
            resolved(document, answer)["name"] for answer in operation["reply"]["messages"]
        ]
        for operation in document["operations"].values()
        if operation["action"] == "receive"
    }
    assert received.pop("CONNECT") == ["CONNECT", "CONNECT_ERROR"]
    assert received == {
        command.name: ["ack", "ack", *([command.event] if command.event else []), "error"]
        for command in COMMANDS.values()
    }


def resolved(document: dict[str, Any], reference: dict[str, str]) -> dict[str, Any]:
    """Follow references to what they name."""
    found: Any = document
    for part in reference["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return resolved(document, found) if "$ref" in found else found


def test_a_gateway_serves_it_to_anybody(redis_server: EmbeddedRedis, replicas: Replicas) -> None:
    replica = replicas(redis_server.url)
    connection = http.client.HTTPConnection("127.0.0.1", replica.port, timeout=PATIENCE_S)
    connection.request("GET", "/asyncapi.json", headers={"Origin": "https://studio.asyncapi.com"})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    # Any page may read it: there is nothing in it that a page's sources don't say.
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert body == (ROOT / ASYNCAPI).read_bytes()
