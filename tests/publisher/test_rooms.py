"""Names of rooms: what is one, and its one spelling."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher import InvalidEvent, campaign, conversation, organization, parse_room, user
from publisher.rooms import room_kind

IDENT = UUID("6f9619ff-8b86-d011-b42d-00cf4fc964ff")
NO_UUIDS = [
    "",
    "6f9619ff",
    "not-a-uuid-not-a-uuid-not-a-uuid-no-",
    "6f9619ff-8b86-d011-b42d-00cf4fc964f",
    "6f9619ff-8b86-d011-b42d-00cf4fc964fff",
    "6f9619ff-8b86-d011-b42d-00cf4fc964f}",
    "6f9619ff-8b86-d011-b42d-00cf4fc964ff\n" * 2,
    "x" * 10_000,
    None,
    7,
    b"6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    ["6f9619ff-8b86-d011-b42d-00cf4fc964ff"],
]
# Python's `UUID` reads each of these, all but the first three as another id than it looks like.
NO_CANONICAL_FORMS = [
    IDENT.hex,
    f"{{{IDENT}}}",
    f"urn:uuid:{IDENT}",
    "0x9619ff-8b86-d011-b42d-00cf4fc964ff",
    "0x6f9619ff8b86d011b42d00cf4fc964",
    "+f9619ff-8b86-d011-b42d-00cf4fc964ff",
    "6_9619ff-8b86-d011-b42d-00cf4fc964ff",
    "6f9619ff-8b86-d011-b42d-00cf4fc964f\u0663",
    "\uff16f9619ff-8b86-d011-b42d-00cf4fc964ff",
    "6f9619ff8-b86-d011-b42d-00cf4fc964ff",
    "6f9619ff-8b86-d011-b42d-00cf4fc964ff\n",
]


@pytest.mark.parametrize("make", [conversation, organization, campaign])
@pytest.mark.parametrize("ident", [*NO_UUIDS, *NO_CANONICAL_FORMS])
def test_what_is_no_uuid_is_refused(make: Any, ident: Any) -> None:
    with pytest.raises(InvalidEvent, match="must be a UUID"):
        make(ident)


@pytest.mark.parametrize("spelling", [IDENT, str(IDENT), str(IDENT).upper()])
def test_a_uuid_has_one_spelling(spelling: Any) -> None:
    assert conversation(spelling) == f"conversation:{IDENT}"


@given(st.text(min_size=30, max_size=46, alphabet="0123456789abcdefABCDEF-_{}xX +\n\uff11٣"))
def test_whatever_passes_for_a_uuid_is_spelt_as_one(text: Any) -> None:
    try:
        room = conversation(text)
    except InvalidEvent:
        return
    assert room == f"conversation:{text.lower()}"
    assert str(UUID(text)) == text.lower()


@pytest.mark.parametrize("ident", ["alice", "auth0|5f7c", "a.b@c.de", "42", "x" * 128])
def test_a_user_may_have_an_opaque_id(ident: Any) -> None:
    assert user(ident) == f"user:{ident}"


def test_a_users_uuid_is_spelt_as_any_other() -> None:
    assert user(str(IDENT).upper()) == user(IDENT) == f"user:{IDENT}"


@pytest.mark.parametrize(
    "ident", ["a_9619ff-8b86-d011-b42d-00cf4fc964ff", "0x9619ff-8b86-d011-b42d-00cf4fc964ff", IDENT.hex, "0" * 36]
)
def test_an_opaque_id_that_resembles_a_uuid_is_nobody_elses(ident: Any) -> None:
    assert user(ident) == f"user:{ident}"


@pytest.mark.parametrize("ident", ["", " ", "a b", "a:b", "a{b}", "*", "é", "x" * 129, "a\n", ".a", None, 4])
def test_a_user_id_that_would_break_a_key_is_refused(ident: Any) -> None:
    with pytest.raises(InvalidEvent, match="user_id"):
        user(ident)


@pytest.mark.parametrize("name", [f"campaign:{IDENT}", f"ticket_2:{IDENT}", "user:alice", f"organization:{IDENT}"])
def test_a_rooms_own_name_parses_to_itself(name: Any) -> None:
    assert parse_room(name) == name
    assert room_kind(parse_room(name)) == name.partition(":")[0]


NO_KINDS = ["", ":", f":{IDENT}", f"Campaign:{IDENT}", f"conv{{x}}:{IDENT}", "a" * 33 + f":{IDENT}"]
NO_IDS = ["campaign", "campaign:", f"campaign:*:{IDENT}", "conversation:*", "user:" + "x" * 300]
ADDED_TO = [f"conversation:{IDENT}\x00", f"conversation:{IDENT} user:bob"]


@pytest.mark.parametrize("name", [*NO_KINDS, *NO_IDS, *ADDED_TO, None, 3, {"room": 1}])
def test_what_is_no_room_is_refused(name: Any) -> None:
    with pytest.raises(InvalidEvent):
        parse_room(name)


def test_a_refusal_does_not_repeat_a_long_value() -> None:
    with pytest.raises(InvalidEvent) as caught:
        parse_room("x" * 5000)
    assert len(str(caught.value)) < 200
