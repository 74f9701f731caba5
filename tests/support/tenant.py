"""An organization, for tests that keep to one of their own on what they share."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.support.client import Clients, RawClient
from tests.support.tokens import mint, new_id


@dataclass
class Tenant:
    """An organization with two agents and a conversation."""

    id: str = field(default_factory=new_id)
    alice: str = field(default_factory=new_id)
    bruno: str = field(default_factory=new_id)
    conversation: str = field(default_factory=new_id)

    def token(self, user: str | None = None) -> str:
        """Mint a token for one of them, Alice by default."""
        return mint(user or self.alice, self.id)


async def member(clients: Clients, url: str, tenant: Tenant, user: str | None = None) -> RawClient:
    """Connect one of them, Alice by default, and join the conversation."""
    client: RawClient = await clients(url, tenant.token(user)).connect()
    await client.join(tenant.conversation)
    return client


@pytest.fixture
def tenant() -> Tenant:
    """An organization of the test's own."""
    return Tenant()
