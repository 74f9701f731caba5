"""Several workers on one port: `gateway serve --workers`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import conversation
from tests.peers.conftest import Tenant
from tests.support.client import Clients, RawClient
from tests.support.publisher_process import Publishers
from tests.support.replica import Replica, Replicas
from tests.support.waiting import until, until_sync

WORKERS = 3


def children(replica: Replica) -> set[int]:
    return {int(pid) for pid in Path(f"/proc/{replica.pid}/task/{replica.pid}/children").read_text().split()}


@pytest.fixture
def crew(redis_server: EmbeddedRedis, replicas: Replicas) -> Replica:
    crew = replicas(redis_server.url, GATEWAY_WORKERS=str(WORKERS), may_log=("worker_ended",))
    until_sync(lambda: len(crew.log_lines("gateway_started")) >= WORKERS, what="all workers to serve")
    return crew


async def _everywhere(crew: Replica, clients: Clients, tenant: Tenant) -> list[RawClient]:
    """Connect so many clients that each worker is sure to have some."""
    made = [clients(crew.url, tenant.token(), transport=kind) for kind in ("websocket", "polling") * 6]
    for client in made:
        await client.connect()
        await client.join(tenant.conversation)
    return made


async def test_clients_of_all_workers_get_each_event_once(
    crew: Replica, clients: Clients, tenant: Tenant, publishers: Publishers, redis_server: EmbeddedRedis
) -> None:
    backend = publishers(redis_server.url)
    made = await _everywhere(crew, clients, tenant)
    for number in range(20):
        await backend.acall("emit", tenant.id, "test:event", number, to=conversation(tenant.conversation))
    for client in made:
        await client.wait_for("test:event", count=20)
        assert [event.data for event in client.named("test:event")] == list(range(20))
    assert len({line["replica"] for line in crew.log_lines("gateway_started")}) == WORKERS


async def test_a_worker_that_dies_is_started_again_and_its_clients_recover(
    crew: Replica, clients: Clients, tenant: Tenant, publishers: Publishers, redis_server: EmbeddedRedis
) -> None:
    backend = publishers(redis_server.url)
    made = await _everywhere(crew, clients, tenant)
    for client in made:
        client.stay()
    before = children(crew)
    os.kill(next(iter(before)), signal.SIGKILL)
    for number in range(20):
        await backend.acall("emit", tenant.id, "test:event", number, to=conversation(tenant.conversation))
    await until(lambda: len(children(crew)) == WORKERS and children(crew) != before)
    for client in made:
        await client.wait_for("test:event", count=20)
        assert [event.data for event in client.named("test:event")] == list(range(20))


def test_sigterm_ends_them_all_and_sighup_none(crew: Replica) -> None:
    pids = children(crew)
    crew.hang_up()
    until_sync(lambda: children(crew) == pids and crew.get("/health/live")[0] == 200)
    assert len(pids) == WORKERS
    crew.terminate()
    assert crew.wait() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_workers_end_with_their_parent(crew: Replica) -> None:
    pids = children(crew)
    crew.kill()
    until_sync(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), what="the workers to end")


def test_a_worker_that_can_not_start_again_at_once_ends_nobody(crew: Replica, redis_server: EmbeddedRedis) -> None:
    redis_server.stop()
    os.kill(min(children(crew)), signal.SIGKILL)
    until_sync(lambda: crew.log_lines("worker_ended")[1:], what="the next one to fail")
    redis_server.start()
    until_sync(lambda: len(crew.log_lines("gateway_started")) == WORKERS + 1, what="one to serve again")


def test_a_mistake_in_the_configuration_ends_all_with_one_line(
    redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    wrong = Replica(redis_server.url.replace("127.0.0.1", "127.0.0.9"), tmp_path / "log", {"GATEWAY_WORKERS": "2"})
    wrong.begin()
    assert wrong.wait() == 2
    assert "Traceback" not in wrong.log_text()
    assert "Redis can't be reached" in wrong.log_text()
