"""Calls of the HTTP API by those who have no key."""

from __future__ import annotations

import asyncio
import json

from tests.hostile.cases import Stage, case
from tests.hostile.pool import API_KEY
from tests.support.raw_http import ask, request
from tests.support.tokens import mint

PATHS = (
    *("/api/v1/events", "/api/v1/disconnect", "/api/v1/presence"),
    *("/api/v1/rooms/x", "/api/v1/openapi.json", "/api/x"),
)


@case("calls of the HTTP API without a key, with wrong ones, with an agent's token")
async def keyless_calls(stage: Stage) -> None:
    tenant, user = stage.arena.neighbours.tenant, stage.arena.neighbours.user
    event = {"organization_id": tenant, "user_id": user, "event": "x", "data": 1, "to": [f"user:{user}"]}
    body = json.dumps(event).encode()
    keys = ["", API_KEY[:-1], API_KEY + "x", API_KEY.upper(), "*", "x" * 10_000, mint(user, tenant), f"{API_KEY},"]
    calls = [
        request(method, path, sent, Content_Type="application/json", **headers)
        for method, sent in (("POST", body), ("GET", b""))
        for path in PATHS
        for key in keys
        for headers in ({"Authorization": f"Bearer {key}"}, {"X_API_Key": key}, {"Cookie": f"key={key}"})
    ]
    calls.append(request("POST", f"{PATHS[0]}?key={API_KEY}", body, Content_Type="application/json"))
    statuses = []
    for i in range(0, len(calls), 20):
        statuses += await asyncio.gather(*(ask(stage.port, call) for call in calls[i : i + 20]))
    assert set(statuses) == {401}, statuses
    stage.closed = f"{len(calls)} of {len(calls)} refused, 401, whatever the path"


@case("bodies for the HTTP API that are no events, with a key", memory_mib=40)
async def wrong_bodies(stage: Stage) -> None:
    bodies = [
        *(b"", b"null", b"[]", b"[{}]", b"{", b"\xff", b"[" * 100_000, b'{"data":' * 50_000),
        b"[" + b"{}," * 300_000 + b"{}]",
        b'{"organization_id":"*","event":"x","data":1,"to":["user:*"]}',
        b'{"organization_id":1e999}',
    ]
    statuses = [
        await ask(stage.port, request("POST", PATHS[0], body, Content_Type=kind, X_API_Key=API_KEY))
        for body in bodies
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded")
    ]
    assert set(statuses) <= {400, 415}, statuses
    stage.closed = f"{len(statuses)} of {len(statuses)} refused, 400 or 415"
