"""Small questions with large answers: each within the rate of events, for as long as it is permitted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import redis.asyncio

from gateway.console.demo_data import sample_message
from gateway.limits.answer_cost import cost
from gateway.presence.keys import online_key
from tests.hostile.attacker import connecting
from tests.hostile.cases import Stage, case
from tests.support.tokens import mint, new_id
from tests.support.websocket import Peer

HISTORY = 500
ONLINE = 5000
SOCKETS = 50
# A neighbour's slowest answer in a hundred, under the attack and without it.
MOST_TIMES = 2.0

Ask = Callable[[float], Awaitable[int]]
"""Attacks until that time; return how many large answers there were."""


async def _beside(stage: Stage, ask: Ask, sockets: int, tokens: float) -> None:
    """Measure the neighbours without the attack and then with it, for as long each.

    An answer costs so many `tokens` at the least, of 500 at once and 50 a second that each socket has.
    """
    span_s = stage.times(10, 1)
    neighbours, loop = stage.arena.neighbours, asyncio.get_running_loop()
    await neighbours.report()
    await asyncio.sleep(span_s)
    quiet, cpu_s, began = await neighbours.report(), stage.arena.cpu_s(), loop.time()
    answers = await ask(began + span_s)
    cpu_s, took_s = stage.arena.cpu_s() - cpu_s, loop.time() - began
    busy = await neighbours.report()
    stage.closed = f"{answers} answers in {took_s:.0f} s, {cpu_s / took_s:.0%} of a core"
    stage.note(f"a neighbour's p99 {quiet.p99_ms:.1f} ms without, {busy.p99_ms:.1f} ms with it")
    # One more where the last one leaves a debt, and one for what rounding takes.
    most = sockets * ((500 + 50 * took_s) / tokens + 2)
    assert answers <= most, f"{answers} answers, of {most:.0f}"
    if stage.full:
        assert busy.p99_ms <= MOST_TIMES * quiet.p99_ms, f"p99 {quiet.p99_ms:.1f} ms became {busy.p99_ms:.1f} ms"


async def _ask_again_and_again(peer: Peer, question: str, until: float) -> int:
    """Ask without a pause, and for as long as the gateway says after each refusal; count the large answers."""
    loop, answers = asyncio.get_running_loop(), 0
    while loop.time() < until:
        peer.send("421" + question)
        while not (packet := await peer.packet()).startswith("431["):
            pass
        if packet.startswith('431[{"ok":true'):
            answers += 1
            continue
        error = json.loads(packet[3:])[0]["error"]
        assert error["code"] == "rate_limited", error
        await asyncio.sleep(min(error["retry_after_ms"] / 1000, max(until - loop.time(), 0)))
    return answers


async def _asking(stage: Stage, count: int, question: str, tenant: str, tokens: float) -> None:
    user = new_id()
    async with AsyncExitStack() as stack:
        token = mint(user, tenant)
        peers = [await stack.enter_async_context(connecting(stage.port, token)) for _ in range(count)]

        async def ask(until: float) -> int:
            return sum(await asyncio.gather(*(_ask_again_and_again(peer, question, until) for peer in peers)))

        await _beside(stage, ask, count, tokens)


async def _with_history(stage: Stage, sockets: int) -> None:
    tenant, ident = new_id(), new_id()
    async with stage.backend() as publisher:
        for _ in range(HISTORY):
            await publisher.message_new(tenant, sample_message(ident, "x" * 500))
    question = json.dumps(["join_conversation", {"conversation_id": ident, "history": HISTORY}])
    await _asking(stage, sockets, question, tenant, cost(events=HISTORY))


@case("one socket asks for a history of 500 events again and again", log_kib=20)
async def history_in_a_loop(stage: Stage) -> None:
    await _with_history(stage, 1)


@case("50 sockets of one agent do", log_kib=40, memory_mib=80)
async def history_by_fifty(stage: Stage) -> None:
    await _with_history(stage, SOCKETS)


@case("one socket asks who is online, where 5,000 are", log_kib=20)
async def presence_in_a_loop(stage: Stage) -> None:
    tenant = new_id()
    async with redis.asyncio.Redis.from_url(stage.arena.redis.url) as client:
        await client.zadd(online_key(tenant), {new_id(): 1 for _ in range(ONLINE)})
    await _asking(stage, 1, json.dumps(["presence", {}]), tenant, cost(names=ONLINE))
