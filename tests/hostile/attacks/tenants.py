"""Reaching for what belongs to others."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from publisher import conversation, organization
from publisher.rooms import user
from tests.hostile.attacker import opening
from tests.hostile.cases import Stage, case
from tests.support.client import RawClient
from tests.support.tokens import mint, new_id

ROOMS = [
    *("*", "?", "campaign:*", "campaign:?", "campaign:[a-z]*", "conversation:*", "organization:*", "user:*"),
    *("campaign:", ":", "", "campaign", "campaign::", "campaign:\x00", "campaign:{ID}\n", "campaign:\x1b[2J"),
    *("{campaign}:{ID}", "campaign: {ID}", "campaign:{ID} conversation:{ID}"),
    *("organization:{ID}", "user:{ID}", "conversation:{ID}", "CAMPAIGN:{ID}", "campaign:{ID}/.."),
    *("../campaign:{ID}", "rt:{ID}:room:campaign:{ID}", "campaign:" + "0" * 32 + "g", "campaign:" + "x" * 100_000),
    # Python's `UUID` reads these as ids, most of them as another one than is written.
    *("campaign:{{ID}}", "campaign:{ID}}", "campaign:urn:uuid:{ID}", "campaign:" + "0" * 32),
    *("campaign:0x9619ff-8b86-d011-b42d-00cf4fc964ff", "campaign:+f9619ff-8b86-d011-b42d-00cf4fc964ff"),
    *("campaign:a_9619ff-8b86-d011-b42d-00cf4fc964ff", "campaign:6f9619ff-8b86-d011-b42d-00cf4fc964f\u0663"),
    *(None, 7, True, [], ["campaign:{ID}"], {"a": 1}, {"$ne": None}),
]  # fmt: skip
ASKED = {
    "join_room": "room",
    "leave_room": "room",
    "join_conversation": "conversation_id",
    "leave_conversation": "conversation_id",
    "typing_start": "conversation_id",
}


@case("room names with wildcards, control characters, braces; rooms of other kinds", log_kib=40)
async def room_names(stage: Stage) -> None:
    ident = new_id()
    names = [name.replace("{ID}", ident) if isinstance(name, str) else name for name in ROOMS]
    async with stage.client() as client:
        for event, key in ASKED.items():
            for name in names:
                refusal = await client.call(event, {key: name})
                assert not refusal["ok"], f"{event} {name!r}"
                assert refusal["error"]["code"] in ("bad_request", "forbidden", "not_joined"), refusal
        assert client.connected
    stage.closed = f"{len(names)} names by {len(ASKED)} events, each refused with a code"


@case("a conversation of another tenant, by its id", row="18", plain="joined, and all its messages received")
async def foreign_conversations(stage: Stage) -> None:
    ours, theirs, ident, namesake = new_id(), new_id(), new_id(), new_id()
    async with (
        stage.client(mint(namesake, ours)) as member,
        stage.client(mint(namesake, theirs)) as spy,
        stage.backend() as publisher,
    ):
        for client in (member, spy):
            await client.join(ident)
        rooms = [conversation(ident), organization(ours), user(namesake)]
        for _ in range(20):
            await publisher.emit(ours, "secret", {}, to=rooms)
        assert (await spy.join(ident, history=10))["events"] == []
        await publisher.emit(theirs, "end", {}, to=conversation(ident))
        await member.wait_for("secret", count=20)
        await spy.wait_for("end")
        assert not spy.named("secret")
    stage.closed = "0 of 20 received"


@case("the pid of another user, of another tenant; offsets that never were", row="18")
async def stolen_sessions(stage: Stage) -> None:
    tenant, ident, owner = new_id(), new_id(), new_id()
    thieves = {mint(new_id(), tenant): "identity", mint(owner, new_id()): "epoch"}
    async with stage.client(mint(owner, tenant)) as victim, stage.backend() as publisher:
        await victim.join(ident)
        offset = (await publisher.emit(tenant, "secret", {}, to=conversation(ident))).offset or ""
        epoch = offset.partition("-")[0]
        odd: list[Any] = [None, "", offset, f"{epoch}-0", f"{epoch}-9999999999999999", "x-1", "*", 7, [], {"a": 1}]
        odd += ["\x00", "9" * 99]
        for token, reason in thieves.items():
            thief = await RawClient(stage.arena.replica.url, token).connect(pid=victim.pid, offset=victim.offset)
            greeting = await thief.wait_for("connected")
            assert (greeting.data["recovered"], greeting.data["reason"]) == (False, reason)
            assert thief.pid != victim.pid
            assert thief.sid != victim.sid
            assert not thief.named("secret")
            await thief.close()
        for wanted in odd:
            nosy = RawClient(stage.arena.replica.url, mint(new_id(), tenant))
            await nosy.connect(pid=victim.pid, offset=wanted)
            assert not (await nosy.wait_for("connected")).data["recovered"]
            await nosy.close()
        await victim.wait_for("secret")
        assert victim.connected
    stage.closed = f"{len(thieves) + len(odd)} of {len(thieves) + len(odd)} begin anew; the owner's socket stays"


@case("events published while a socket has not authenticated, or was refused", row="19", plain="received")
async def early_broadcasts(stage: Stage) -> None:
    tenant = stage.arena.neighbours.tenant
    async with stage.backend() as publisher, opening(stage.port) as silent, opening(stage.port) as refused:
        refused.send("40" + json.dumps({"token": mint(organization_id=tenant, secret="x" * 64)}))
        assert (await refused.packet()).startswith("44")
        early = (publisher.emit(tenant, "early", {}, to=organization(tenant)) for _ in range(20))
        await asyncio.gather(*early)  # at once: who does not authenticate is closed after a while
        await asyncio.gather(silent.pong(), refused.pong())  # takes everything before it: there is none
    stage.closed = "0 of 20 received"
