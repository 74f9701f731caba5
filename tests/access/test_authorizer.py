"""Asking a backend: what it is asked, what its answers mean, how often, and what happens without one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable

import pytest
from structlog.testing import capture_logs

from gateway.access.authorizer import MAX_ASKING, MAX_WAITING, Authorizer
from gateway.access.backend import Backend
from gateway.access.breaker import Breaker
from gateway.core.model import Identity
from gateway.errors import Unavailable
from publisher import conversation
from publisher.rooms import Room
from tests.support.tokens import new_id
from tests.support.waiting import until
from tests.support.web import Answer, WebServer

ANNA = Identity(new_id(), new_id(), "agent", 0.0)
ROOM = conversation(new_id())
# Questions of one tenant at a time.
OF_ONE = MAX_ASKING // 2


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def asking(
    server: WebServer,
    *,
    key: str = "",
    cache_s: float = 30.0,
    timeout_s: float = 5.0,
    when_away: bool = False,
    clock: Clock | None = None,
    max_waiting: int = MAX_WAITING,
) -> AsyncIterator[Authorizer]:
    backend = Authorizer(
        Backend(server.url, key, timeout_s=timeout_s),
        cache_s=cache_s,
        timeout_s=timeout_s,
        when_away=when_away,
        breaker=Breaker(failures=3, pause_s=10.0),
        now=clock or Clock(),
        max_waiting=max_waiting,
    )
    await backend.start()
    try:
        yield backend
    finally:
        await backend.stop()


async def ask(backend: Authorizer, identity: Identity = ANNA, room: Room = ROOM) -> str:
    verdict = backend.may_join(identity, room)
    try:
        allowed = verdict if isinstance(verdict, bool) else await verdict
    except Unavailable:
        return "unavailable"
    return "allowed" if allowed else "denied"


def says(server: WebServer, status: int, body: object = None) -> None:
    server.answer = lambda asked: Answer(body, status)


# -- the question


async def test_it_is_asked_who_wants_to_join_what_and_by_whom(web_server: WebServer) -> None:
    async with asking(web_server, key="let-me-ask") as backend:
        assert await ask(backend) == "allowed"
    (asked,) = web_server.asked
    assert asked.body == {"user_id": ANNA.user_id, "tenant": ANNA.tenant, "role": "agent", "room": ROOM}
    assert asked.headers["Authorization"] == "Bearer let-me-ask"


async def test_without_a_key_it_is_asked_without(web_server: WebServer) -> None:
    async with asking(web_server) as backend:
        assert await ask(backend) == "allowed"
    assert "Authorization" not in web_server.asked[0].headers


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, "allowed"),
        (201, "allowed"),
        (204, "allowed"),
        (400, "denied"),
        (401, "denied"),
        (403, "denied"),
        (404, "denied"),
        (422, "denied"),
        (301, "unavailable"),
        (307, "unavailable"),
        (408, "unavailable"),
        (429, "unavailable"),
        (500, "unavailable"),
        (503, "unavailable"),
    ],
)
async def test_the_status_is_the_answer(web_server: WebServer, status: int, expected: str) -> None:
    web_server.answer = lambda asked: Answer({"allowed": False}, status, {"Location": "/elsewhere"})
    async with asking(web_server) as backend:
        assert await ask(backend) == expected
        assert len(web_server.asked) == 1


async def test_a_large_body_is_not_read(web_server: WebServer) -> None:
    says(web_server, 200, "x" * 20_000_000)
    async with asking(web_server, cache_s=0) as backend:
        assert [await ask(backend) for _ in range(2)] == ["allowed", "allowed"]


# -- how often


async def test_an_answer_holds_for_a_while_whatever_it_is(web_server: WebServer) -> None:
    clock = Clock()
    async with asking(web_server, clock=clock) as backend:
        says(web_server, 403)
        assert [await ask(backend) for _ in range(3)] == ["denied"] * 3
        says(web_server, 200)
        clock.now += 29.0
        assert await ask(backend) == "denied"
        clock.now += 1.0
        assert [await ask(backend) for _ in range(3)] == ["allowed"] * 3
        assert backend.may_join(ANNA, ROOM) is True
        assert len(web_server.asked) == 2


async def test_another_role_is_another_question(web_server: WebServer) -> None:
    web_server.answer = lambda asked: Answer(status=200 if asked.body["role"] == "admin" else 403)
    async with asking(web_server) as backend:
        assert await ask(backend) == "denied"
        assert await ask(backend, ANNA._replace(role="admin")) == "allowed"
        assert await ask(backend) == "denied"


async def test_whoever_asks_the_same_meanwhile_gets_the_same_answer(web_server: WebServer) -> None:
    web_server.hold()
    async with asking(web_server) as backend:
        asked = [asyncio.create_task(ask(backend)) for _ in range(50)]
        await web_server.wait_asked(1)
        asked[0].cancel()
        web_server.go_on()
        assert set(await asyncio.gather(*asked[1:])) == {"allowed"}
        assert len(web_server.asked) == 1


async def test_questions_are_asked_a_few_at_a_time(web_server: WebServer) -> None:
    web_server.hold()
    async with asking(web_server) as backend:
        rooms = [conversation(new_id()) for _ in range(OF_ONE + 20)]
        answers = asyncio.gather(*(ask(backend, room=room) for room in rooms))
        await web_server.wait_asked(OF_ONE)
        assert backend.waiting == 20
        web_server.go_on()
        assert set(await answers) == {"allowed"}
        assert len(web_server.asked) == len(rooms)


async def test_a_tenant_whose_questions_are_slow_leaves_turns_to_the_others(web_server: WebServer) -> None:
    web_server.hold()
    async with asking(web_server, timeout_s=60.0) as backend:
        slow = [asyncio.create_task(ask(backend, room=conversation(new_id()))) for _ in range(2 * MAX_ASKING)]
        await web_server.wait_asked(OF_ONE)
        other = asyncio.create_task(ask(backend, Identity(new_id(), new_id(), "agent", 0.0)))
        await web_server.wait_asked(OF_ONE + 1)
        assert web_server.asked[-1].body["tenant"] != ANNA.tenant
        web_server.go_on()
        assert set(await asyncio.gather(other, *slow)) == {"allowed"}


async def test_more_than_may_wait_are_told_to_come_back(web_server: WebServer) -> None:
    web_server.hold()
    async with asking(web_server, timeout_s=60.0, max_waiting=5) as backend:
        rooms = [conversation(new_id()) for _ in range(OF_ONE + 5 + 7)]
        answers = asyncio.gather(*(ask(backend, room=room) for room in rooms))
        await until(lambda: backend.outcomes["spared"] == 7)
        web_server.go_on()
        assert (await answers).count("unavailable") == 7


async def test_who_waits_too_long_for_a_turn_may_come_back(web_server: WebServer) -> None:
    clock = Clock()
    web_server.hold()
    async with asking(web_server, timeout_s=0.5, clock=clock) as backend:
        rooms = [conversation(new_id()) for _ in range(OF_ONE + 20)]
        answers = await asyncio.gather(*(ask(backend, room=room) for room in rooms))
        assert set(answers) == {"unavailable"}
        # The first that were given up made room for as many as it takes to open the breaker.
        assert OF_ONE <= backend.outcomes["away"] <= OF_ONE + 3
        assert backend.outcomes["spared"] == len(rooms) - backend.outcomes["away"]


async def test_a_question_that_was_forgotten_is_asked_again(web_server: WebServer) -> None:
    async with asking(web_server) as backend:
        other = conversation(new_id())
        for room in (ROOM, other):
            assert await ask(backend, room=room) == "allowed"
        before = backend.changes
        says(web_server, 403)
        backend.invalidate(ANNA.tenant, ANNA.user_id, ROOM)
        assert backend.changes > before
        assert [await ask(backend, room=room) for room in (ROOM, other)] == ["denied", "allowed"]
        backend.invalidate(ANNA.tenant, ANNA.user_id)
        assert await ask(backend, room=other) == "denied"


async def test_an_answer_that_was_forgotten_while_it_was_asked_for_is_not_kept(web_server: WebServer) -> None:
    web_server.hold()
    async with asking(web_server) as backend:
        early = asyncio.create_task(ask(backend))
        await web_server.wait_asked(1)
        backend.invalidate(ANNA.tenant, ANNA.user_id, ROOM)
        late = asyncio.create_task(ask(backend))
        await web_server.wait_asked(2)
        statuses = iter([200, 403])
        web_server.answer = lambda asked: Answer(status=next(statuses))
        web_server.go_on()
        assert [await early, await late] == ["allowed", "denied"]
        assert await ask(backend) == "denied"


# -- away


async def test_a_backend_that_hangs_or_is_gone_is_away(web_server: WebServer) -> None:
    async with asking(web_server, timeout_s=0.2) as backend:
        web_server.hold()
        assert await ask(backend) == "unavailable"
        web_server.go_on()
        await web_server.stop()
        assert await ask(backend) == "unavailable"
        assert backend.outcomes == {"allowed": 0, "denied": 0, "away": 2, "spared": 0}


async def test_a_dead_backend_is_left_alone_until_it_is_back(web_server: WebServer) -> None:
    clock = Clock()
    async with asking(web_server, clock=clock) as backend:
        says(web_server, 500)
        with capture_logs() as lines:
            assert [await ask(backend) for _ in range(50)] == ["unavailable"] * 50
            assert len(web_server.asked) == 3
            clock.now += 10.0
            assert [await ask(backend) for _ in range(50)] == ["unavailable"] * 50
            assert len(web_server.asked) == 4
            says(web_server, 200)
            assert await ask(backend) == "unavailable"
            clock.now += 10.0
            assert [await ask(backend) for _ in range(3)] == ["allowed"] * 3
        assert [(line["event"], line.get("reason"), line.get("away_s")) for line in lines] == [
            ("authorizer_unavailable", "status 500", None),
            ("authorizer_available", None, 20.0),
        ]
        assert backend.outcomes == {"allowed": 1, "denied": 0, "away": 4, "spared": 97}


async def test_answers_that_hold_are_given_while_it_is_away(web_server: WebServer) -> None:
    async with asking(web_server) as backend:
        assert await ask(backend) == "allowed"
        await web_server.stop()
        for _ in range(4):
            assert await ask(backend, room=conversation(new_id())) == "unavailable"
        assert await ask(backend) == "allowed"


async def test_where_that_is_configured_everybody_is_let_in_meanwhile(web_server: WebServer) -> None:
    says(web_server, 500)
    async with asking(web_server, when_away=True) as backend:
        assert [await ask(backend) for _ in range(5)] == ["allowed"] * 5
        assert len(backend.answers) == 0


async def test_a_key_that_no_header_could_carry_is_no_answer_either(web_server: WebServer) -> None:
    async with asking(web_server, key="a\nb: c") as backend:
        assert await ask(backend) == "unavailable"
        assert web_server.asked == []


async def test_what_is_being_asked_when_it_stops_is_given_up(web_server: WebServer) -> None:
    web_server.hold()
    async with asking(web_server) as backend:
        verdict = backend.may_join(ANNA, ROOM)
        assert isinstance(verdict, Awaitable)
        asked = asyncio.ensure_future(verdict)
        await web_server.wait_asked(1)
    await until(asked.done)
    assert asked.cancelled()
