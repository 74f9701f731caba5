"""Tenants whose logs Redis refuses to read: when each is tried again, and told."""

from __future__ import annotations

import pytest

from gateway.core.limits import Limits
from gateway.core.model import Tenant
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.rooms.read_retry import ReadRetry, is_tenants
from tests.support.waiting import until

WRONGTYPE = ReplyError("WRONGTYPE Operation against a key holding the wrong kind of value")


class Notes:
    """What was asked for, and tenants in trouble that fail again."""

    def __init__(self, *, tell_s: float = 30.0) -> None:
        limits = Limits(reread_first_s=0.001, reread_most_s=0.01, reread_tell_s=tell_s)
        self.tried: list[Tenant] = []
        self.told: list[Tenant] = []
        self.unreadable = ReadRetry(self.again, self.told.append, limits)

    def again(self, tenant: Tenant) -> None:
        self.tried.append(tenant)
        self.unreadable.note(tenant, WRONGTYPE)


@pytest.mark.parametrize(
    "error",
    [
        *(
            RedisUnavailable("away"),
            ReplyError("LOADING Redis is loading the dataset in memory"),
            ReplyError("READONLY x"),
        ),
        *(
            ReplyError("NOPERM this user has no permissions"),
            ReplyError("OOM command not allowed"),
            ReplyError("BUSY"),
        ),
    ],
)
def test_what_the_server_refuses_everybody_is_no_tenants_matter(error: RedisUnavailable | ReplyError) -> None:
    assert not is_tenants(error)


@pytest.mark.parametrize(
    "error", [WRONGTYPE, ReplyError("ERR value is not an integer"), ReplyError("UNREADABLE x")]
)
def test_everything_else_is(error: ReplyError) -> None:
    assert is_tenants(error)


async def test_a_tenant_is_tried_again_until_it_is_over() -> None:
    notes, tenant, other = Notes(), Tenant("a"), Tenant("b")
    notes.unreadable.note(tenant, WRONGTYPE)
    await until(lambda: notes.tried.count(tenant) >= 5)
    notes.unreadable.over(tenant)
    tried = notes.tried.count(tenant)
    notes.unreadable.note(other, WRONGTYPE)
    await until(lambda: notes.tried.count(other) >= 8)
    assert (notes.tried.count(tenant), len(notes.unreadable), notes.told) == (tried, 1, [])
    assert other in notes.unreadable
    notes.unreadable.stop()


async def test_it_is_told_once_when_that_takes_long() -> None:
    notes, tenant = Notes(tell_s=0.05), Tenant("a")
    notes.unreadable.note(tenant, WRONGTYPE)
    await until(lambda: bool(notes.told))
    tried = len(notes.tried)
    await until(lambda: len(notes.tried) > tried + 3)
    notes.unreadable.stop()
    assert notes.told == [tenant]
