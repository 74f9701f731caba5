"""Kinds of room that are for some roles."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from gateway.access import EVERYONE, Roles, access_of, authorizer_of
from gateway.core.model import Identity
from gateway.settings import load
from publisher import campaign, conversation
from publisher.rooms import Room
from tests.support.tokens import SECRET, new_id

PAIRS = ("campaign:admin", "campaign:manager", "conversation:agent")
CAMPAIGN, CONVERSATION = campaign(new_id()), conversation(new_id())


def somebody(role: str) -> Identity:
    return Identity(new_id(), new_id(), role, 0.0)


@pytest.mark.parametrize(
    ("role", "room", "allowed"),
    [
        ("admin", CAMPAIGN, True),
        ("manager", CAMPAIGN, True),
        ("agent", CAMPAIGN, False),
        ("Admin", CAMPAIGN, False),
        ("", CAMPAIGN, False),
        ("agent", CONVERSATION, True),
        ("admin", CONVERSATION, False),
        ("", Room("report:" + new_id()), True),
    ],
    ids=map(str, range(99)),
)
def test_a_kind_that_is_named_is_for_its_roles_and_any_other_for_everyone(
    role: str, room: Room, allowed: bool
) -> None:
    assert Roles(PAIRS, EVERYONE).may_join(somebody(role), room) is allowed


class Asked:
    """Says no, and notes who was asked about."""

    changes = 7

    def __init__(self) -> None:
        self.roles: list[str] = []

    def may_join(self, identity: Identity, room: Room) -> bool | Awaitable[bool]:
        self.roles.append(identity.role)
        return False

    def invalidate(self, tenant: str, user_id: str, room: Room | None = None) -> None:
        self.roles.append("forgotten")


def test_who_has_the_role_is_asked_about_further_and_nobody_else() -> None:
    asked = Asked()
    roles = Roles(PAIRS, asked)
    assert [roles.may_join(somebody(role), CAMPAIGN) for role in ("admin", "agent")] == [False, False]
    assert asked.roles == ["admin"]


def test_what_is_forgotten_is_forgotten_behind_it() -> None:
    asked = Asked()
    roles = Roles(PAIRS, asked)
    assert roles.changes == 7
    roles.invalidate("t", "u")
    assert asked.roles == ["forgotten"]


def test_by_default_everyone_may_join_and_nobody_is_asked() -> None:
    settings = load(jwt_secret_key=SECRET)
    assert authorizer_of(settings) is None
    assert access_of(settings, None) is EVERYONE
    assert EVERYONE.may_join(somebody(""), CONVERSATION) is True
