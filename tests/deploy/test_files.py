"""Open files: a socket takes one, so a low limit is said at the start, and reaching it hurts newcomers only."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.app.process import FEW_FILES
from gateway.dev.embedded_redis import EmbeddedRedis, free_port
from tests.support.client import Clients, RawClient
from tests.support.environment import clean_environment
from tests.support.publisher_process import Publishers
from tests.support.replica import get_json
from tests.support.tokens import SECRET, mint, new_id
from tests.support.waiting import PATIENCE_S, until_sync
from tests.support.websocket import HandshakeRefused

LIMIT = 64


class Limited:
    """A replica that may open `limit` files and no more."""

    def __init__(self, redis_url: str, limit: int, log: Path) -> None:
        self.port = free_port()
        self.log = log
        environment = clean_environment(
            JWT_SECRET_KEY=SECRET,
            REDIS_URL=redis_url,
            GATEWAY_HOST="127.0.0.1",
            GATEWAY_PORT=str(self.port),
            GATEWAY_LOG_FORMAT="json",
            GATEWAY_SHUTDOWN_GRACE_S="0.5",
        )
        command = ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", sys.executable, "-m", "gateway", "serve"]
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        until_sync(lambda: get_json(f"{self.url}/health/ready")[0] == 200, what="the replica to be ready")

    @property
    def url(self) -> str:
        """Where browsers connect to."""
        return f"http://127.0.0.1:{self.port}"

    def lines(self) -> list[dict[str, Any]]:
        """Return its log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def limited(redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Limited]:
    """One with room for some forty sockets."""
    replica = Limited(redis_server.url, LIMIT, tmp_path / "limited.log")
    yield replica
    replica.process.terminate()
    assert replica.process.wait(PATIENCE_S) == 0


def test_a_low_limit_of_open_files_is_said_at_the_start(limited: Limited) -> None:
    first = limited.lines()[0]
    assert (first["event"], first["level"]) == ("file_limit_low", "warning")
    assert (first["limit"], first["enough"]) == (LIMIT, FEW_FILES)


async def test_at_the_limit_those_who_are_in_lose_nothing_and_newcomers_get_in_later(
    redis_server: EmbeddedRedis, limited: Limited, clients: Clients, publishers: Publishers
) -> None:
    organization, conversation = new_id(), new_id()
    first = await clients(limited.url, mint(organization_id=organization)).connect()
    await first.join(conversation)

    async def attempt() -> RawClient | None:
        try:
            return await clients(limited.url, mint()).connect()
        except (OSError, HandshakeRefused, TimeoutError):
            return None

    others = await asyncio.gather(*(attempt() for _ in range(LIMIT)))
    got_in = [client for client in others if client is not None]
    assert 0 < len(got_in) < LIMIT
    message = {"id": new_id(), "conversation_id": conversation}
    await publishers(redis_server.url).acall("message_new", organization, message)
    assert (await first.wait_for("message:new")).data["id"] == message["id"]
    for client in got_in:
        await client.close()
    late = await attempt()
    assert late is not None
    assert first.connected
