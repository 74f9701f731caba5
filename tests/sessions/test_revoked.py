"""What was revoked: rooms and sessions of a user, and tokens."""

from __future__ import annotations

from gateway.core.model import Identity
from tests.sessions.case import BOB, Case
from tests.support.tokens import new_id


async def test_a_room_that_was_taken_away_is_not_given_back(case: Case) -> None:
    await case.open()
    await case.control(case.room)
    assert set((await case.claim()).rooms) == {BOB}


async def test_a_room_that_was_joined_again_after_it_was_taken_away_is(case: Case) -> None:
    await case.open()
    await case.control(case.room)
    later = await case.publish()
    await case.sessions.join(case.session_ref, case.room, later)
    assert (await case.claim()).rooms[case.room] == later


async def test_a_user_who_was_disconnected_for_good_has_an_ended_session(case: Case) -> None:
    await case.open()
    await case.control("*")
    assert (await case.claim()).ended


async def test_a_session_that_was_opened_after_that_has_not_ended(case: Case) -> None:
    await case.control("*")
    await case.open()
    assert not (await case.claim()).ended


async def test_the_standing_of_many_sessions_is_looked_up_at_once(case: Case) -> None:
    await case.open()
    await case.claim()
    await case.control(case.room)
    mine, gone = await case.sessions.statuses(case.tenant, [(case.pid, "bob"), (new_id(), "carol")])
    assert (mine.generation, mine.ended, [room for room, _ in mine.taken]) == (2, False, [case.room])
    assert (gone.generation, gone.ended, gone.taken) == (0, False, [])
    await case.control("*")
    (mine,) = await case.sessions.statuses(case.tenant, [(case.pid, "bob")])
    assert mine.ended


async def test_a_room_that_was_taken_is_known_until_the_socket_is_in_it_again(case: Case) -> None:
    """Its client may not have heard of it; it knows of rooms that it has left by itself."""
    await case.open()
    await case.sessions.leave(case.session_ref, BOB, ())
    await case.sessions.leave(case.session_ref, case.room, (), taken=True)
    claimed = await case.claim()
    assert [room for room, _ in claimed.removed] == [case.room]
    await case.sessions.join(case.session_ref._replace(generation=2), case.room, 7)
    assert (await case.claim()).removed == ()


# -- tokens that are void


def bearer(issued_at: float = 0.0, token_id: str = "") -> Identity:
    return Identity("bob", "", "agent", 0.0, issued_at, token_id)


async def test_a_token_that_was_revoked_is_blocked_and_others_are_not(case: Case) -> None:
    await case.control("token/a:1")
    revoked = await case.sessions.revoked(case.tenant, "bob")
    assert revoked.blocks(bearer(token_id="a:1"))
    assert not revoked.blocks(bearer(token_id="a"))
    assert not revoked.blocks(bearer())
    assert list(revoked.rooms()) == []


async def test_tokens_of_before_a_moment_are_blocked_and_the_latest_moment_counts(case: Case) -> None:
    for moment in ("2000.5", "1000.0"):
        await case.control("before", moment)
    revoked = (await case.sessions.open(case.session_ref, {BOB: None})).revoked
    assert revoked.blocks(bearer(2000.4))
    assert not revoked.blocks(bearer(2000.5))
    assert revoked.blocks(bearer()), "a token that does not say when it was issued is old"
