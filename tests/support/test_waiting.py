"""Waiting says what it waited for."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.waiting import until, until_sync


async def test_it_gives_the_first_true_value() -> None:
    values = iter([0, None, "", "there"])

    async def asked() -> object:
        return next(values)

    assert await until(asked) == "there"
    assert until_sync(iter([0, 7]).__next__) == 7


async def test_what_was_waited_for_and_seen_last_is_in_the_failure() -> None:
    with pytest.raises(AssertionError, match=r"waited 0\.02 s in vain for the moon; last seen: \[\]"):
        await until(list, 0.02, "the moon")
    with pytest.raises(AssertionError, match=r"for list"):
        until_sync(list, 0.02)


async def test_the_loop_goes_on_meanwhile() -> None:
    arrived = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, arrived.set)
    assert await until(arrived.is_set)
