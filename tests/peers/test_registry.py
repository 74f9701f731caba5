"""Being found: by the others, though one of them says nonsense, and though this one has nothing to say."""

from __future__ import annotations

from typing import Any

import redis.asyncio
from structlog.testing import capture_logs

from gateway.peers.keys import INDEX, KEY
from gateway.peers.registry import Registry
from gateway.redis.commands import Commands
from tests.support.waiting import until


async def test_an_entry_that_is_none_hides_no_other(commands: Commands) -> None:
    here, there = (Registry(commands, name, lambda: {"sockets": 1}) for name in ("here", "there"))
    await there.start("http://there", "")
    for name, entry in (("text", "{"), ("bytes", b"\xff"), ("number", "7")):
        await commands.ask("SET", KEY + name, entry)
        await commands.ask("ZADD", INDEX, 1, name)
    try:
        assert {name: said["sockets"] for name, said in (await here.everyone()).items()} == {"here": 1, "there": 1}
    finally:
        await there.stop()


async def test_who_can_not_say_what_it_does_is_found_all_the_same(
    commands: Commands, redis_client: redis.asyncio.Redis
) -> None:
    asked = 0

    def about() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        if 1 < asked < 5:
            raise ZeroDivisionError
        return {"asked": asked}

    mine = Registry(commands, "mine", about, announce_s=0.01)
    with capture_logs() as logs:
        await mine.start("http://mine", "")
        try:
            await until(lambda: asked > 5, what="it to go on")
            assert (await mine.everyone())["mine"]["url"] == "http://mine"
            assert await redis_client.exists(KEY + "mine")
        finally:
            await mine.stop()
    assert [line["event"] for line in logs] == ["announcement_failed"]
