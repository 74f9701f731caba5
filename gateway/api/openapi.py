"""The OpenAPI 3.1 document, made from the endpoints and their models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema

from gateway import installed_version
from gateway.api.endpoints import Endpoint
from gateway.api.models import Error, Model
from gateway.api.reading import MAX_BATCH

_REF = "#/components/schemas/{model}"
_ABOUT = (
    "The functions of the `publisher` package, for programs in other languages. A key gives access to every "
    "organization: keep it on servers, never put it into a page. Every body is JSON; a refusal is an `Error`."
)
_REFUSALS = {
    "400": "the request is not valid: `errors` names the fields",
    "401": "the API key is missing or wrong",
    "408": "the body did not arrive in time",
    "413": "the body is too large",
    "415": "the body is not JSON, or compressed",
    "500": "an error of the gateway: its log has the reason",
    "503": "Redis is unavailable: repeat the request after `Retry-After` seconds; a `key` prevents duplicates",
}
_OF_BODIES = ("408", "413", "415")


def document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """Return the OpenAPI document of the HTTP API."""
    endpoints = list(endpoints)
    models = {model for endpoint in endpoints for model in (endpoint.takes, endpoint.gives)} | {Error}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in ordered], ref_template=_REF)
    key = {"type": "http", "scheme": "bearer"}, {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "PyTake realtime", "version": installed_version(), "description": _ABOUT},
        "servers": [{"url": "/api"}],
        "security": [{"bearer": []}, {"header": []}],
        "paths": {endpoint.path: {endpoint.method.lower(): _operation(endpoint)} for endpoint in endpoints},
        "components": {
            "schemas": {name: _titled(schema) for name, schema in schemas["$defs"].items()},
            "securitySchemes": {"bearer": key[0], "header": key[1]},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    name = endpoint.path.removeprefix("/v1/").partition("/")[0]
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": (endpoint.takes.__doc__ or "").strip(),
        "responses": {
            "200": {"description": "done", "content": _content(endpoint.gives, several=endpoint.several)},
            **{
                status: {"description": text, "content": _content(Error)}
                for status, text in _REFUSALS.items()
                if endpoint.method == "POST" or status not in _OF_BODIES
            },
        },
    }
    if endpoint.method == "GET":
        return operation | {"parameters": _parameters(endpoint)}
    return operation | {
        "requestBody": {"required": True, "content": _content(endpoint.takes, several=endpoint.several)}
    }


def _content(model: type[Model], *, several: bool = False) -> dict[str, Any]:
    schema: dict[str, Any] = {"$ref": _REF.format(model=model.__name__)}
    if several:
        array = {"type": "array", "items": schema, "minItems": 1, "maxItems": MAX_BATCH}
        schema = {"oneOf": [schema, array]}
    return {"application/json": {"schema": schema}}


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    """Return the fields of an endpoint's model as parameters of the path or the query."""
    schema = endpoint.takes.model_json_schema(ref_template=_REF)
    found = []
    for name, described in schema["properties"].items():
        in_path = f"{{{name}}}" in endpoint.path
        described = {key: value for key, value in described.items() if key != "title"}
        parameter = {
            "name": name,
            "in": "path" if in_path else "query",
            "required": in_path or name in schema.get("required", ()),
            "schema": described,
        }
        if not in_path:
            parameter |= {"style": "form", "explode": False}
        found.append(parameter)
    return found


def _titled(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without titles, which only repeat the names."""
    properties = {
        name: {key: value for key, value in described.items() if key != "title"}
        for name, described in schema.get("properties", {}).items()
    }
    return {key: value for key, value in schema.items() if key != "title"} | {"properties": properties}
