"""Reading of requests: returns checked models, or raises a refusal that names the invalid fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from pydantic import ValidationError

from gateway.api.models import Model
from gateway.engine.body import read_body
from gateway.engine.errors import Refusal
from gateway.errors import Refused

M = TypeVar("M", bound=Model)

MAX_BATCH = 100
MAX_FIELDS = 64
# Most errors in a refusal, and the most characters of a name in it.
MAX_ERRORS = 20
MAX_NAME = 64

_CODES = {408: "too_slow", 413: "too_large", 415: "bad_media_type"}
_Fields = dict[str, msgspec.Raw]
_ONE: msgspec.json.Decoder[_Fields] = msgspec.json.Decoder(_Fields)
_MANY: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])


async def body_of(request: web.Request, max_bytes: int, timeout_s: float) -> bytes:
    """Return the whole body of a request with JSON as its content type; raises `Refused`."""
    if request.content_type != "application/json" or (request.charset or "utf-8").lower() != "utf-8":
        raise Refused("bad_media_type", "the body must be application/json, in UTF-8")
    body = await read_body(request, max_bytes, timeout_s)
    if isinstance(body, Refusal):
        code = _CODES.get(body.status, "bad_request")
        raise Refused(
            code, f"the body is too large: send at most {max_bytes} bytes" if code == "too_large" else body.message
        )
    return body


def one(model: type[M], body: bytes) -> M:
    """Return one object as a model; raises `Refused`."""
    fields: _Fields = _decoded(_ONE, body)
    return _checked(model, fields)


def many(model: type[M], body: bytes) -> list[M]:
    """Return the objects of an array as models; raises `Refused` if one of them is invalid."""
    given: list[msgspec.Raw] = _decoded(_MANY, body)
    if not 1 <= len(given) <= MAX_BATCH:
        raise Refused("bad_request", f"send an array of 1 to {MAX_BATCH} objects, not {len(given)}")
    read: list[M] = []
    errors: list[dict[str, str]] = []
    for number, raw in enumerate(given):
        try:
            read.append(one(model, bytes(raw)))
        except Refused as refused:
            found = refused.facts.get("errors", [{"field": "", "message": refused.message}])
            errors += [wrong | {"field": f"{number}.{wrong['field']}".removesuffix(".")} for wrong in found]
    if errors:
        raise invalid(errors)
    return read


def question(model: type[M], request: web.Request) -> M:
    """Return the parameters in the query and the path as a model; raises `Refused`."""
    query = request.query
    found = {name: values if len(values := query.getall(name)) > 1 else values[0] for name in query}
    return _validated(model, found | request.match_info)


def invalid(errors: list[dict[str, str]]) -> Refused:
    """Return the `Refused` of a request whose fields have these errors."""
    return Refused("bad_request", "the request is not valid", errors=errors[:MAX_ERRORS])


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        body.decode()  # fields that are not decoded must be UTF-8, too
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("bad_request", f"the body can't be read: {error}") from None


def _checked(model: type[M], fields: _Fields) -> M:
    if len(fields) > MAX_FIELDS:
        raise Refused("bad_request", f"the object has too many fields: send at most {MAX_FIELDS}")
    values: dict[str, Any] = {}
    for name, raw in fields.items():
        if name in model.as_it_is:
            values[name] = raw
            continue
        try:
            values[name] = msgspec.json.decode(raw)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise invalid([{"field": name[:MAX_NAME], "message": str(error)}]) from None
    return _validated(model, values)


def _validated(model: type[M], values: Mapping[str, Any]) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    raise invalid(
        [
            {
                "field": ".".join(str(part)[:MAX_NAME] for part in problem["loc"][:3]),
                "message": problem["msg"].removeprefix("Value error, "),
            }
            for problem in found[:MAX_ERRORS]
        ]
    )
