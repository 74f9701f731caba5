"""What the tests of sessions share: connections to a real server, with the network in between, and a session."""

from __future__ import annotations

import pytest

from gateway.redis.commands import Commands
from tests.redis.conftest import commands, limits, redis_proxy, source
from tests.sessions.case import Case, Client

__all__ = ["commands", "limits", "redis_proxy", "source"]


@pytest.fixture
def case(commands: Commands, redis_client: Client) -> Case:
    return Case(commands, redis_client)
