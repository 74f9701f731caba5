"""The OpenAPI document: it is valid, it is complete, and what the API takes and gives is what it says."""

from __future__ import annotations

from inspect import signature
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.api import models
from gateway.api.models import Model
from publisher import conversation
from publisher.verbs import Verbs
from tests.api.conftest import Caller
from tests.support.tokens import new_id

MODELS: dict[str, type[Model]] = {
    "emit": models.Event,
    "message_new": models.MessageNew,
    "message_status": models.MessageStatus,
    "unread_update": models.UnreadUpdate,
    "notification_new": models.NotificationNew,
    "campaign_progress": models.CampaignProgress,
    "disconnect_user": models.Disconnect,
    "leave_room": models.Leave,
}


@pytest.fixture
async def document(api: Caller) -> dict[str, Any]:
    """The document, as it is served."""
    answer = await api.get("/v1/openapi.json")
    assert answer.status == 200
    found: dict[str, Any] = answer.body
    return found


async def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


async def test_it_needs_a_key(api: Caller) -> None:
    assert (await api.get("/v1/openapi.json", key=None)).status == 401


async def test_every_path_in_it_is_there(api: Caller, document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method in methods:
            answer = await api.request(method.upper(), path.replace("{room}", "x"))
            assert answer.status in (400, 415), (path, method)


async def test_every_verb_of_the_publisher_is_in_it(document: dict[str, Any]) -> None:
    verbs = {name for name in vars(Verbs) if not name.startswith("_")}
    names = {"emit": "events", "disconnect_user": "disconnect", "leave_room": "leave"}
    assert {f"/v1/{names.get(verb, verb)}" for verb in verbs} <= set(document["paths"])


@pytest.mark.parametrize(("verb", "model"), MODELS.items(), ids=MODELS)
def test_a_verb_takes_what_the_publishers_does(verb: str, model: type[Model]) -> None:
    assert set(model.model_fields) == set(signature(getattr(Verbs, verb)).parameters) - {"self"}


def test_every_verb_has_a_model() -> None:
    assert set(MODELS) == {name for name in vars(Verbs) if not name.startswith("_")}


async def test_every_status_has_a_body_that_is_described(document: dict[str, Any]) -> None:
    for methods in document["paths"].values():
        for operation in methods.values():
            assert {"200", "400", "401", "500", "503"} <= set(operation["responses"])
            assert operation["summary"]


def _schema(document: dict[str, Any], path: str, status: str) -> dict[str, Any]:
    (operation,) = document["paths"][path].values()
    schema = operation["responses"][status]["content"]["application/json"]["schema"]
    return {**schema, "components": document["components"]}


async def test_answers_are_as_it_says(api: Caller, document: dict[str, Any], org: str) -> None:
    room = conversation(new_id())
    event = {"organization_id": org, "event": "x:y", "data": {"n": 1}, "to": [room]}
    bad: list[Any] = [{"to": []}, [{}]]
    answers = {
        "/v1/events": [await api.post("/v1/events", given) for given in (event, [event, event], *bad)],
        "/v1/leave": [await api.post("/v1/leave", {"organization_id": org, "user_id": "u", "room": room})],
        "/v1/presence": [
            await api.get("/v1/presence", organization_id=org),
            await api.get("/v1/presence", key=None),
        ],
        "/v1/rooms/{room}": [await api.get(f"/v1/rooms/{room}", organization_id=org, history="5")],
    }
    seen = set()
    for path, said in answers.items():
        for answer in said:
            seen.add(answer.status)
            jsonschema.validate(answer.body, _schema(document, path, str(answer.status)))
    assert seen == {200, 400, 401}


async def test_an_event_with_everything_is_as_it_says(document: dict[str, Any], org: str, api: Caller) -> None:
    event = {
        "organization_id": org,
        "event": "x:y",
        "data": None,
        "to": [conversation(new_id())],
        "key": "k",
        "version": 1,
        "skip_sid": "abc",
        "ephemeral": False,
        "conflate": "c",
    }
    content = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]
    schema = {**content["schema"], "components": document["components"]}
    jsonschema.validate(event, schema)
    jsonschema.validate([event], schema)
    assert set(event) == set(document["components"]["schemas"]["Event"]["properties"])
    assert (await api.post("/v1/events", event)).status == 200
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event | {"extra": 1}, schema)
