"""Who gets in, and what a request that is no good is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import conversation
from tests.api.conftest import KEY, MAX_BYTES, ON, OTHER_KEY, Caller
from tests.support.raw_http import connection, head, status
from tests.support.replica import Replica, Replicas
from tests.support.tokens import SECRET, mint, new_id
from tests.support.waiting import PATIENCE_S, until

PATHS = ["/v1/presence", "/v1/openapi.json", "/v1/rooms/x", "/v1/events", "/v1/nothing", "/", ""]


def event(**more: Any) -> dict[str, Any]:
    return {"organization_id": new_id(), "event": "x:y", "data": 1, "to": [conversation(new_id())], **more}


# -- keys


@pytest.mark.parametrize("path", PATHS)
async def test_without_configured_keys_there_is_nothing(
    shared_redis_server: EmbeddedRedis, shared_replicas: Replicas, http: aiohttp.ClientSession, path: str
) -> None:
    closed = shared_replicas(shared_redis_server.url)
    for method in ("GET", "POST"):
        headers = {"Authorization": f"Bearer {KEY}"}
        async with http.request(method, f"{closed.url}/api{path}", headers=headers) as answer:
            assert (answer.status, answer.content_type) == (404, "text/plain")


WRONG = {
    "none": {},
    "empty": {"Authorization": "Bearer "},
    "another": {"Authorization": "Bearer another-key-that-nobody-has"},
    "a beginning": {"Authorization": f"Bearer {KEY[:-1]}"},
    "one more": {"Authorization": f"Bearer {KEY}x"},
    "another case": {"Authorization": f"Bearer {KEY.upper()}"},
    "two": {"Authorization": f"Bearer {KEY},{OTHER_KEY}"},
    "another scheme": {"Authorization": f"Basic {KEY}"},
    "no scheme": {"Authorization": KEY},
    "not ASCII": {"Authorization": "Bearer ç"},
    "long": {"X-API-Key": "x" * 8000},
    "an access token": {"Authorization": f"Bearer {mint()}"},
    "the tokens' secret": {"Authorization": f"Bearer {SECRET}"},
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("wrong", WRONG)
async def test_without_a_key_the_answer_is_the_same_everywhere(api: Caller, path: str, wrong: str) -> None:
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        answer = await api.request(method, path, key=None, headers=WRONG[wrong])
        assert answer.status == 401
        assert answer.body == {"code": "unauthorized", "message": "a valid API key is required"}
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
@pytest.mark.parametrize("header", ["Authorization: Bearer {}", "authorization: bearer  {}", "X-API-Key: {}"])
async def test_each_key_opens_by_either_header(api: Caller, org: str, key: str, header: str) -> None:
    name, _, value = header.format(key).partition(": ")
    query = {"organization_id": org}
    answer = await api.request("GET", "/v1/presence", key=None, headers={name: value}, params=query)
    assert (answer.status, answer.body) == (200, {"online": []})


async def test_a_key_in_the_query_opens_nothing(api: Caller, org: str) -> None:
    assert (await api.get("/v1/presence", key=None, organization_id=org, api_key=KEY, key_=KEY)).status == 401


async def test_failures_are_counted_and_make_few_lines_without_the_key(
    new_replica: Replicas, http: aiohttp.ClientSession
) -> None:
    replica = new_replica(**ON)
    caller = Caller(http, replica.url)
    tries = 300
    await asyncio.gather(*(caller.get("/v1/presence", key=f"guess-number-{n}") for n in range(tries)))
    assert f'gateway_api_requests_total{{status="401"}} {tries}.0' in replica.get("/metrics")[1]
    lines = replica.log_lines("api_refused")
    assert 1 <= len(lines) < tries / 4
    assert {(line["remote"], line["path"]) for line in lines} == {("127.0.0.1", "/api/v1/presence")}
    assert "guess-number" not in replica.log_text()


async def test_pages_get_no_leave_to_call(api: Caller) -> None:
    """No answer has CORS headers, as `Caller` checks for each: a browser's question is refused like any other."""
    ask = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    assert (await api.request("OPTIONS", "/v1/events", key=None, headers=ask)).status == 401
    assert (await api.request("OPTIONS", "/v1/events", headers=ask)).status == 405


# -- paths, methods, bodies


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1", "/", "/v2/events", "/v1/events/", "/v1/rooms/"])
async def test_an_unknown_path_is_not_found(api: Caller, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status, answer.body["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/events", "POST"),
        ("DELETE", "/v1/events", "POST"),
        ("POST", "/v1/presence", "GET"),
        ("PUT", "/v1/rooms/conversation:1", "GET"),
        ("PATCH", "/v1/leave", "POST"),
    ],
)
async def test_another_method_is_told_which_ones_there_are(
    api: Caller, method: str, path: str, allowed: str
) -> None:
    answer = await api.request(method, path)
    assert (answer.status, answer.body["code"]) == (405, "bad_method")
    assert answer.headers["Allow"] == allowed


FORMS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]


@pytest.mark.parametrize("content_type", [*FORMS, "application/json; charset=utf-16", ""])
async def test_a_body_that_is_not_json_is_refused_by_its_type(api: Caller, content_type: str) -> None:
    """A form is what a page of another site could send without asking."""
    answer = await api.post("/v1/events", event(), Content_Type=content_type)
    assert (answer.status, answer.body["code"]) == (415, "bad_media_type")


async def test_a_compressed_body_is_refused(api: Caller) -> None:
    answer = await api.post("/v1/events", event(), Content_Encoding="gzip")
    assert (answer.status, answer.body["code"]) == (415, "bad_media_type")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_is_refused(api: Caller, chunked: bool) -> None:
    body = json.dumps(event(data="x" * 4 * MAX_BYTES)).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 1000):
            yield body[at : at + 1000]

    data: Any = pieces() if chunked else body
    answer = await api.request("POST", "/v1/events", data=data)
    assert (answer.status, answer.body["code"]) == (413, "too_large")
    assert str(MAX_BYTES) in answer.body["message"]


async def test_a_body_that_does_not_come_is_not_waited_for(new_replica: Replicas) -> None:
    replica = new_replica(GATEWAY_REQUEST_TIMEOUT_S="0.3", **ON)
    fields = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "Content-Length": "100"}
    async with connection(replica.port) as (reader, writer), asyncio.timeout(PATIENCE_S):
        writer.write(head("POST", "/api/v1/events", fields) + b"{")
        assert status(await reader.readuntil(b"\r\n\r\n")) == 408
        assert b'"too_slow"' in await reader.readuntil(b"}")


NOT_JSON = {
    "nothing": b"",
    "half": b'{"organization_id": ',
    "two": b"{} {}",
    "a number": b"1",
    "a text": b'"x"',
    "no object in the array": b"[1]",
    "an array in the array": b"[[]]",
    "not a number": b'{"data": NaN}',
    "no UTF-8 where it is read": b'{"event": "\xff"}',
    "no UTF-8 where it is passed on": b'{"data": "\xff"}',
    "a control character": b'{"data": "a\x1eb"}',
    "a trailing comma": b'{"data": [1,]}',
    "UTF-16": '{"data": 1}'.encode("utf-16"),
    "a byte-order mark": b'\xef\xbb\xbf{"data": 1}',
    "half a character": b'{"data": "\\ud800"}',
    "deep": b'{"data": ' + b"[" * 9000 + b"]" * 9000 + b"}",
    "deep where it is read": b'{"event": ' + b"[" * 9000 + b"]" * 9000 + b"}",
    "not closed": b"[" * 19_000,
    "a large number where it is read": b'{"version": 1e999}',
    "many fields": json.dumps({f"f{n}": n for n in range(1000)}).encode(),
    "many events": b"[" + b"{}," * 5000 + b"{}]",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
async def test_what_is_no_json_is_said(api: Caller, body: bytes) -> None:
    answer = await api.post("/v1/events", body)
    assert (answer.status, answer.body["code"]) == (400, "bad_request")
    assert len(json.dumps(answer.body)) < 3000


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "a number for an organization": ({"organization_id": 7}, "organization_id"),
    "no organization": ({"organization_id": "acme"}, "organization_id"),
    "null": ({"organization_id": None}, "organization_id"),
    "an event's name": ({"event": "no spaces"}, "event"),
    "an object for a name": ({"event": {}}, "event"),
    "no rooms": ({"to": []}, "to"),
    "one room, not in a list": ({"to": "conversation:1"}, "to"),
    "too many rooms": ({"to": [conversation(new_id()) for _ in range(65)]}, "to"),
    "a room that is none": ({"to": [conversation(new_id()), "*"]}, "to.1"),
    "a brace in a room": ({"to": ["conversation:{x}"]}, "to.0"),
    "a number for a room": ({"to": [1]}, "to.0"),
    "a version as text": ({"key": "k", "version": "1"}, "version"),
    "a version that is true": ({"key": "k", "version": True}, "version"),
    "a negative version": ({"key": "k", "version": -1}, "version"),
    "a fraction": ({"key": "k", "version": 1.5}, "version"),
    "a huge version": ({"key": "k", "version": 2**53}, "version"),
    "a number for a key": ({"key": 7}, "key"),
    "a long key": ({"key": "x" * 201}, "key"),
    "a text for true": ({"ephemeral": "true"}, "ephemeral"),
    "a field that is none": ({"room": "x"}, "room"),
    "a field with a long name": ({"x" * 5000: 1}, "x" * 64),
}


@pytest.mark.parametrize(("change", "field"), FIELDS.values(), ids=FIELDS)
async def test_the_field_at_fault_is_named(api: Caller, change: dict[str, Any], field: str) -> None:
    answer = await api.post("/v1/events", event(**change))
    assert (answer.status, answer.body["code"]) == (400, "bad_request")
    assert {error["field"] for error in answer.body["errors"]} == {field}
    assert all(error["message"] for error in answer.body["errors"])


async def test_every_field_at_fault_is_named_at_once(api: Caller) -> None:
    answer = await api.post("/v1/events", {"organization_id": 1, "to": [], "extra": 1})
    fields = {error["field"] for error in answer.body["errors"]}
    assert fields == {"organization_id", "to", "extra", "event", "data"}


TOGETHER: dict[str, tuple[dict[str, Any], str]] = {
    "a version without a key": ({"version": 1}, "version"),
    "an ephemeral event with a key": ({"ephemeral": True, "key": "k"}, "ephemeral"),
    "an ephemeral text": ({"ephemeral": True, "data": "x"}, "can't be a string"),
    "a name of Socket.IO's": ({"event": "disconnect"}, "keeps for itself"),
    "spaces in a key": ({"key": "a b"}, "printable ASCII"),
    "a sid that is none": ({"skip_sid": "a b"}, "skip_sid"),
}


@pytest.mark.parametrize(("change", "says"), TOGETHER.values(), ids=TOGETHER)
async def test_what_does_not_go_together_is_said(api: Caller, change: dict[str, Any], says: str) -> None:
    answer = await api.post("/v1/events", event(**change))
    assert (answer.status, answer.body["code"]) == (400, "bad_request")
    assert says in answer.body["message"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/message_new", {"message": {}}, None),
        ("/v1/message_new", {"message": []}, "message"),
        ("/v1/message_status", {"conversation_id": new_id(), "message_id": new_id(), "status": "lost"}, "status"),
        ("/v1/unread_update", {"user_id": "u", "conversation_id": new_id(), "unread_count": -1}, "unread_count"),
        ("/v1/notification_new", {"user_id": "u", "notification": {}}, None),
        ("/v1/campaign_progress", {"campaign_id": "x", "progress": {}}, "campaign_id"),
        ("/v1/disconnect", {"user_id": "not / an id"}, "user_id"),
        ("/v1/disconnect", {"user_id": "u", "token_id": "a", "issued_before": "2026-01-01T00:00:00Z"}, None),
        ("/v1/leave", {"user_id": "u", "room": "x"}, "room"),
    ],
)
async def test_the_other_verbs_check_as_well(
    api: Caller, org: str, path: str, body: dict[str, Any], field: str | None
) -> None:
    answer = await api.post(path, {"organization_id": org, **body})
    assert (answer.status, answer.body["code"]) == (400, "bad_request")
    if field is not None:
        assert field in [error["field"] for error in answer.body["errors"]]


# -- Redis is away


async def test_without_redis_it_says_when_to_come_back(
    redis_server: EmbeddedRedis, replicas: Replicas, http: aiohttp.ClientSession
) -> None:
    replica = replicas(redis_server.url, may_log=["redis_subscriber_deaf"], **ON)
    caller, body = Caller(http, replica.url), event(key="k")
    redis_server.kill()
    await until(lambda: replica.get("/health/ready")[0] == 503)
    questions = [
        caller.post("/v1/events", body),
        caller.post("/v1/events", [body, body]),
        caller.post("/v1/disconnect", {"organization_id": new_id(), "user_id": "u"}),
        caller.get("/v1/presence", organization_id=new_id()),
        caller.get(f"/v1/rooms/{conversation(new_id())}", organization_id=new_id()),
    ]
    for answer in await asyncio.gather(*questions):
        assert (answer.status, answer.body["code"]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
    redis_server.start()
    await until(lambda: replica.get("/health/ready")[0] == 200)
    assert not (await caller.post("/v1/events", body)).body["duplicate"]


async def test_a_redis_that_hangs_is_not_waited_for_and_nothing_is_doubled(
    redis_server: EmbeddedRedis, replicas: Replicas, http: aiohttp.ClientSession
) -> None:
    replica = replicas(redis_server.url, may_log=["redis_subscriber_deaf"], **ON)
    caller, body = Caller(http, replica.url), event(key="k")
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        answer = await caller.post("/v1/events", body)
        assert (answer.status, answer.body["code"]) == (503, "unavailable")
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)

    async def answered() -> bool:
        return (await caller.post("/v1/events", body)).status == 200

    await until(answered)
    room, org = body["to"][0], body["organization_id"]
    assert (await caller.get(f"/v1/rooms/{room}", organization_id=org)).body["kept"] == 1


async def test_what_redis_refuses_is_unavailable_and_in_the_log(
    redis_servers: Any, replicas: Replicas, http: aiohttp.ClientSession
) -> None:
    server = redis_servers(options=("--maxmemory", "3mb"))
    replica = replicas(server.url, **ON)
    caller = Caller(http, replica.url)
    for _ in range(2000):
        answer = await caller.post("/v1/events", event(data="x" * 20_000))
        if answer.status != 200:
            break
    assert (answer.status, answer.body["code"]) == (503, "unavailable")
    assert "OOM" in replica.log_lines("api_unavailable")[0]["reason"]


async def test_a_connection_that_breaks_in_the_middle_of_a_body_is_nobodys_trouble(
    api: Caller, replica: Replica, org: str
) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", replica.port)) as raw:
            raw.sendall(
                f"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n"
                f"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode()
            )
    assert (await api.get("/v1/presence", organization_id=org)).status == 200
