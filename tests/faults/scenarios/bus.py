"""What comes over the bus that should not, and what does not come back over it."""

from __future__ import annotations

import asyncio

import redis.asyncio

from publisher import parse_offset, wire
from publisher.rooms import Room
from tests.faults.rows import row
from tests.faults.stage import Stage


@row("malformed messages on the bus among 200 good ones", real=True)
async def malformed(stage: Stage) -> None:
    await stage.open()
    tenant = stage.cast.tenant
    async with redis.asyncio.Redis.from_url(stage.ground.redis.url) as client:
        connections = len(await client.client_list())
        for _ in range(stage.scale.times(20, 4)):
            last = parse_offset(stage.natives[0].offset)
            rooms = [Room(room) for room in stage.random.choice(stage.natives).wanted]
            rooms += [Room(f"organization:{tenant}"), Room(f"user:{stage.cast.users[0]}")]
            for message in garbage(last.epoch, last.seq):
                await client.publish(wire.channel(tenant, stage.random.choice(rooms)), message)
            await stage.published(10)
        assert len(await client.client_list()) == connections, "connections were leaked"
    assert all(watcher.comebacks == 0 for watcher in stage.watchers), "somebody was disconnected"


def garbage(epoch: str, seq: int) -> list[bytes]:
    """Make messages that no script of ours writes."""
    place = f"{epoch}-{seq + 5_000_000}".encode()
    return [
        *(b"", b"\n", b"nonsense", b"\x00\xff\xfe" * 50),
        b'{"method": "emit", "event": "x", "data": [1], "namespace": "/", "room": null}',
        b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x06method\x94\x8c\x04emit\x94s.",
        b'a b c d\n["x",1]',
        *(place + rest for rest in (b' x r -\n["x",1]', b' 0 z -\n["x",1]', b" 0 r\n", b" 0 r -\n")),
        *(place + rest for rest in (b" 0 r -\nnot an array", b' 0 r -\n["x",1', b' 0 r -\n{"x":1}')),
        *(place + rest for rest in (b" 0 e -\n[]", b" 0 e -\n", b' 0 r \xff\n["x",1]')),
        b'no-epoch-1 0 r -\n["x",1]',
        b"-" + str(seq).encode() + b' 0 r -\n["x",1]',
        f'{epoch}-{"9" * 400} 0 r -\n["x",1]'.encode(),
        f'{epoch}-{seq + 5} {"9" * 5000} r -\n["x",1]'.encode(),
        f'{epoch}--{seq} 0 r -\n["x",1]'.encode(),
        *(place + rest for rest in (b" 0 c -\nnot json", b" 0 c -\n[]", b" 0 p -\n")),
        *(place + b" 0 c -\n" + control for control in (b'{"do":"close"}', b'{"do":"unheard of"}')),
        *(place + b' 0 c -\n{"do":"leave","room":' + room + b"}" for room in (b"7", b'"x"')),
    ]


@row("a publisher whose answers are lost, and which tries again")
async def answers_lost(stage: Stage) -> None:
    proxy = await stage.open_behind_proxy()
    for _ in range(stage.scale.times(15, 4)):
        await stage.published(30)
        proxy.lose_replies()
        await asyncio.sleep(stage.random.choice((0.05, 0.3, 0.6)))
        proxy.resume()
        proxy.cut()
    await stage.published(30)
    repeated = 0
    for backend in stage.backends:
        counters = await backend.counters()
        assert counters["retries"], "no event was sent again: nothing was shown"
        repeated += counters["retries"]
    slowest = max(backend.slowest_s for backend in stage.backends)
    stage.notes.append(f"{repeated} batches sent again; slowest call {slowest:.2f} s")
