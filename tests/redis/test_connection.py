"""A connection to Redis: answers in order, pushes in portions, an end that everybody hears of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import hiredis
import pytest
import pytest_asyncio

from gateway.redis.commands import OPEN_ERRORS
from gateway.redis.connection import TURN_S, AnswerLost, Connection, RedisUnavailable, ReplyError, Source
from tests.support.proxy import Proxy
from tests.support.waiting import until

Client = Any  # redis.asyncio.Redis, whose commands are not typed


class Losses:
    """Counts the ends of a connection."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def lost() -> Losses:
    return Losses()


async def opened(source: Source, lost: Losses, **more: Any) -> Connection:
    connection = Connection(source, on_lost=lost, **more)
    await connection.open()
    return connection


@pytest_asyncio.fixture
async def connection(source: Source, lost: Losses) -> AsyncIterator[Connection]:
    connection = await opened(source, lost)
    yield connection
    await connection.close()


# -- what it takes over from redis-py


async def test_redis_pys_connection_still_has_what_is_taken_over(source: Source) -> None:
    connection = source.make_connection()
    await connection.connect()
    assert isinstance(connection._reader, asyncio.StreamReader)
    assert isinstance(connection._writer, asyncio.StreamWriter)
    assert isinstance(connection._reader._buffer, bytearray)  # type: ignore[attr-defined]  # as `Connection.open` does
    assert isinstance(connection._writer.transport, asyncio.Transport)
    assert connection.protocol == 2
    await connection.disconnect()


async def test_silence_ends_no_connection(source: Source) -> None:
    connection = source.make_connection()
    assert connection.socket_timeout is None
    assert not connection.health_check_interval


async def test_a_connection_that_lost_its_inside_fails_at_the_start(
    source: Source, lost: Losses, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = source.make_connection

    def make_other() -> Any:
        connection = make()
        connect = connection.connect

        async def connect_and_hide() -> None:
            await connect()
            connection._writer, hidden.writer = None, connection._writer

        connection.connect = connect_and_hide
        return connection

    class hidden:  # noqa: N801  # a place, not a class
        writer: Any = None

    monkeypatch.setattr(source, "make_connection", make_other)
    with pytest.raises(RedisUnavailable, match="not idle"):
        await Connection(source, on_lost=lost).open()
    hidden.writer.close()


# -- asking


async def test_answers_come_in_the_order_of_the_questions(connection: Connection) -> None:
    asked = [connection.ask("ECHO", str(i)) for i in range(500)]
    assert await asyncio.gather(*asked) == [str(i).encode() for i in range(500)]


async def test_questions_of_one_turn_share_one_write(connection: Connection) -> None:
    await connection.ask("PING")
    writes: list[bytes] = []
    transport: Any = connection._transport

    class Noting:
        def write(self, data: bytes) -> None:
            writes.append(data)
            transport.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(transport, name)

    connection._transport = Noting()  # type: ignore[assignment]
    await asyncio.gather(*(connection.ask("PING") for _ in range(50)))
    assert len(writes) == 1
    connection._transport = transport


async def test_words_may_be_text_bytes_and_numbers(connection: Connection) -> None:
    assert await connection.ask("SET", b"k\x00", "ü", "PX", 60_000) == b"OK"
    assert await connection.ask("GET", b"k\x00") == "ü".encode()
    assert await connection.ask("INCRBYFLOAT", "n", 0.5) == b"0.5"


async def test_an_error_answer_raises_with_redis_own_words(connection: Connection) -> None:
    with pytest.raises(ReplyError, match=r"^NOSCRIPT"):
        await connection.ask("EVALSHA", "0" * 40, 0)
    assert await connection.ask("PING") == b"PONG"


async def test_a_question_that_nobody_waits_for_any_more_shifts_no_answer(connection: Connection) -> None:
    first, second = connection.ask("ECHO", "1"), connection.ask("ECHO", "2")
    first.cancel()
    assert await second == b"2"


# -- the end


async def test_the_end_of_a_connection_ends_every_question(
    source: Source, lost: Losses, redis_proxy: Proxy
) -> None:
    connection = await opened(source, lost)
    redis_proxy.stall()
    asked = [connection.ask("PING") for _ in range(3)]
    await asyncio.sleep(0)
    assert connection.waiting_s() >= 0.0
    redis_proxy.cut()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(result) for result in results] == [AnswerLost] * 3
    assert lost.count == 1
    assert not connection.is_up


async def test_a_link_that_is_down_says_so_at_once(source: Source, lost: Losses) -> None:
    connection = await opened(source, lost)
    connection.abort()
    await until(lambda: not connection.is_up)
    connection.send("PING")
    connection.abort()
    with pytest.raises(RedisUnavailable):
        await connection.ask("PING")
    assert lost.count == 1


async def test_closing_is_no_loss(source: Source, lost: Losses, redis_client: Client) -> None:
    connection = await opened(source, lost)
    await connection.close()
    assert lost.count == 0

    async def gone() -> bool:
        return all(client["name"] != "gateway" for client in await redis_client.client_list())

    await until(gone)


async def test_nonsense_from_the_other_side_ends_the_connection(source: Source, lost: Losses) -> None:
    connection = await opened(source, lost)
    connection.data_received(b"?what\r\n")
    await until(lambda: lost.count == 1)


async def test_an_unreachable_server_raises_and_leaves_nothing(
    source: Source, lost: Losses, redis_proxy: Proxy
) -> None:
    await redis_proxy.refuse()
    with pytest.raises(OPEN_ERRORS):
        await Connection(source, on_lost=lost).open()
    assert lost.count == 0


async def test_a_server_that_says_nothing_is_given_up(source: Source, lost: Losses, redis_proxy: Proxy) -> None:
    redis_proxy.stall()
    with pytest.raises(TimeoutError):
        await Connection(source, on_lost=lost).open(timeout_s=0.1)


# -- pushes


async def test_pushes_come_in_order(source: Source, lost: Losses, redis_client: Client) -> None:
    heard: list[bytes] = []
    connection = await opened(source, lost, on_push=lambda push: heard.append(push[2]))
    connection.send("SUBSCRIBE", "room")
    await until(lambda: heard)
    for i in range(200):
        await redis_client.publish("room", i)
    await until(lambda: len(heard) == 201)
    assert heard[1:] == [str(i).encode() for i in range(200)]
    await connection.close()


class Transport:
    """Takes note of whether it is read."""

    def __init__(self) -> None:
        self.reading = True
        self.pauses = 0

    def pause_reading(self) -> None:
        self.reading = False
        self.pauses += 1

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        """Nothing to end."""


class Clock:
    """A millisecond passes whenever somebody looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def attached(source: Source, lost: Losses, on_push: Callable[[Any], Any]) -> tuple[Connection, Transport]:
    """A connection whose bytes come from the test."""
    connection, transport = Connection(source, on_push=on_push, on_lost=lost, clock=Clock()), Transport()
    connection._transport = transport  # type: ignore[assignment]
    return connection, transport


def pushes(count: int) -> bytes:
    return b"".join(b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$6\r\n%06d\r\n" % i for i in range(count))


async def test_a_flood_is_taken_in_turns_and_others_run_in_between(source: Source, lost: Losses) -> None:
    heard: list[bytes] = []
    connection, transport = attached(source, lost, lambda push: heard.append(push[2]))
    connection.data_received(pushes(100_000))
    # A millisecond each: what one turn may take, and no more.
    per_turn = int(TURN_S / 0.001) + 2
    assert 0 < len(heard) <= per_turn
    assert not transport.reading
    turns, before = 0, len(heard)
    while len(heard) < 100_000:
        await asyncio.sleep(0)
        turns += 1
        assert len(heard) - before <= per_turn
        before = len(heard)
    assert turns > 100_000 / per_turn / 2
    assert heard == [b"%06d" % i for i in range(100_000)]
    await until(lambda: transport.reading)


async def test_bytes_that_come_during_a_pause_wait_for_their_turn(source: Source, lost: Losses) -> None:
    heard: list[bytes] = []
    connection, _ = attached(source, lost, lambda push: heard.append(push[2]))
    connection.data_received(pushes(30))
    so_far = len(heard)
    connection.data_received(pushes(5))
    assert len(heard) == so_far
    await until(lambda: len(heard) == 35)
    assert heard == [b"%06d" % i for i in (*range(30), *range(5))]


async def test_the_rest_of_a_message_comes_before_the_next_message(source: Source, lost: Losses) -> None:
    done: list[str] = []

    def in_parts(push: Any) -> Any:
        name = push[2].decode()

        def part(left: int) -> Any:
            done.append(f"{name}.{left}")
            return (lambda: part(left - 1)) if left else None

        return part(5)

    connection, _ = attached(source, lost, in_parts)
    connection.data_received(pushes(4))
    await until(lambda: len(done) == 24)
    assert done == [f"{i:06d}.{left}" for i in range(4) for left in (5, 4, 3, 2, 1, 0)]


async def test_a_message_whose_handling_has_begun_is_handled_to_its_end_though_the_connection_breaks(
    source: Source, lost: Losses
) -> None:
    done: list[int] = []

    def part(left: int) -> Any:
        assert lost.count == 0
        done.append(left)
        return (lambda: part(left - 1)) if left else None

    connection, transport = attached(source, lost, lambda push: part(50))
    connection.data_received(pushes(3))
    assert transport.pauses == 1
    assert len(done) < 51
    connection.connection_lost(None)
    assert done == list(range(50, -1, -1))
    assert lost.count == 1
    await asyncio.sleep(0)
    assert len(done) == 51


async def test_answers_and_pushes_use_hiredis_own_parser(source: Source, lost: Losses) -> None:
    connection = Connection(source, on_lost=lost)
    assert isinstance(connection._reader, hiredis.Reader)
