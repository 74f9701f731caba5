"""A publisher that was made before the process forked, as prefork workers do."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import Publisher, Room, conversation, wire
from tests.support.tokens import new_id
from tests.support.waiting import PATIENCE_S, until_sync

ORG = new_id()


def in_child(work: Callable[[], bool]) -> int:
    """Fork, do `work` in the child, and give the child's pid; it exits with 0 if `work` gave true."""
    with warnings.catch_warnings():
        # Newer Pythons warn of exactly what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = 0 if work() else 1
    finally:
        os._exit(code)


def ended_well(pid: int) -> bool:
    def ended() -> tuple[int, int] | None:
        ended_pid, status = os.waitpid(pid, os.WNOHANG)
        return (ended_pid, status) if ended_pid else None

    found = until_sync(ended, what="the child's end")
    assert found is not None
    return os.waitstatus_to_exitcode(found[1]) == 0


@pytest.fixture
def events(redis_server: EmbeddedRedis) -> Iterator[Publisher]:
    with Publisher.from_url(redis_server.url, timeout_s=PATIENCE_S) as publisher:
        yield publisher


@pytest.fixture
def room() -> Room:
    return conversation(new_id())


def published(server: EmbeddedRedis, room: Room) -> list[bytes]:
    with redis.Redis.from_url(server.url) as client:
        entries: Any = client.xrange(wire.log_key(ORG, room))
    return [fields[b"d"] for _, fields in entries]


def test_parent_and_children_publish_with_the_same_object(
    events: Publisher, redis_server: EmbeddedRedis, room: Room
) -> None:
    assert events.emit(ORG, "e", "parent", to=room).offset
    children = [
        in_child(lambda: all(events.emit(ORG, "e", "child", to=room).offset for _ in range(20))) for _ in range(3)
    ]
    assert all(ended_well(pid) for pid in children)
    assert events.emit(ORG, "e", "parent", to=room).offset
    found = published(redis_server, room)
    assert found.count(b'["e","child"]') == 60
    assert found.count(b'["e","parent"]') == 2


def test_a_publisher_that_was_never_used_before_the_fork_works_in_the_child(
    events: Publisher, redis_server: EmbeddedRedis, room: Room
) -> None:
    assert ended_well(in_child(lambda: bool(events.emit(ORG, "e", 1, to=room).offset) and events.close() == 0))
    assert len(published(redis_server, room)) == 1


def test_what_waits_in_the_parent_is_sent_by_the_parent_alone(redis_server: EmbeddedRedis, room: Room) -> None:
    other = conversation(new_id())
    redis_server.stop()
    with Publisher.from_url(redis_server.url, timeout_s=0.01) as events:
        for i in range(3):
            assert events.emit(ORG, "e", i, to=room).queued
        assert ended_well(in_child(lambda: events.unsent == 0 and events.counters.queued == 0))
        redis_server.start()
        until_sync(lambda: events.unsent == 0)
        assert ended_well(in_child(lambda: events.emit(ORG, "e", 1, to=other) and events.close() == 0))
    assert len(published(redis_server, other)) == 1
    assert published(redis_server, room) == [b'["e",0]', b'["e",1]', b'["e",2]']


def test_a_lock_that_a_thread_held_at_the_fork_does_not_stop_the_child(
    events: Publisher, redis_server: EmbeddedRedis, room: Room
) -> None:
    events.emit(ORG, "e", 1, to=room)
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with events._changed:
            held.set()
            let_go.wait(PATIENCE_S)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(PATIENCE_S)
    try:
        assert ended_well(in_child(lambda: events.emit(ORG, "e", 2, to=room).offset is not None))
    finally:
        let_go.set()
        holder.join()


def test_threads_of_a_child_that_begin_at_once_share_one_buffer(
    events: Publisher, redis_server: EmbeddedRedis, room: Room
) -> None:

    def work() -> bool:
        begin = threading.Barrier(8)

        def publish(i: int) -> None:
            begin.wait()
            events.emit(ORG, "e", i, to=room)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(publish, range(8)))
        return events.counters.sent == 8

    assert ended_well(in_child(work))
    assert len(published(redis_server, room)) == 8
