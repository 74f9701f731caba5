"""What sockets are told of what the relay finds out, with a stand-in for Redis."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gateway.core.rooms import Tenant
from gateway.sockets.audience import Listeners
from publisher import Room
from tests.core.parts import World


class Redis:
    """What a recheck asks; nobody is there, and nothing was said."""

    async def tell_again(self, tenant: str, after: int, rooms: list[Room]) -> int:
        return -1


class Access:
    """Takes note of whose answers are forgotten."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[str, str]] = []

    def forget(self, tenant: str, user_id: str, room: Room | None = None) -> None:
        assert room is None
        self.forgotten.append((tenant, user_id))


async def test_after_a_break_a_tenants_own_answers_are_forgotten_and_no_others() -> None:
    world, access = World(), Access()
    for name in ("user:ann", "user:bob", f"organization:{world.tenant.id}", "conversation:1"):
        world.room(name)
    world.hub.room(Tenant("another"), Room("user:eve"))
    house: Any = SimpleNamespace(access=access, people=Redis())
    await Listeners(house).recheck(world.tenant)
    assert access.forgotten == [(world.tenant.id, "ann"), (world.tenant.id, "bob")]
