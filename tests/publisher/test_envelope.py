"""Building an envelope: what is refused at the call, and how data becomes JSON."""

import enum
import json
import math
import uuid
from collections import OrderedDict, UserDict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from publisher import InvalidEvent, Options, campaign, conversation, organization
from publisher.envelope import RESERVED_EVENTS, Envelope, build_event, encode, encode_event
from tests.support.tokens import new_id

ORG = new_id()
ROOM = conversation(new_id())
IDENT = uuid.UUID("6f9619ff-8b86-d011-b42d-00cf4fc964ff")


def build(event: Any = "message:new", data: Any = None, to: Any = ROOM, **more: Any) -> Envelope:
    options = more.pop("options", Options())
    return build_event(more.pop("tenant", ORG), event, data, to, options, **more)


# -- tenants and rooms


@pytest.mark.parametrize("tenant", ["", "acme", None, 7, "*", ORG + "x"], ids=map(str, range(99)))
def test_an_organization_that_is_no_uuid_is_refused(tenant: Any) -> None:
    with pytest.raises(InvalidEvent, match="organization_id"):
        build(tenant=tenant)


def test_another_organizations_room_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="another's room"):
        build(to=[organization(ORG), organization(new_id())])


def test_its_own_room_is_taken_in_any_spelling() -> None:
    assert build(to=f"organization:{ORG.upper()}").args[4] == f"organization:{ORG}"


@pytest.mark.parametrize(
    "to", [None, 5, b"user:bob", {}, {"user:bob": 1}, [], (), [None], ["bob"], "bob", [ROOM, 5]]
)
def test_what_names_no_room_is_refused(to: Any) -> None:
    with pytest.raises(InvalidEvent):
        build(to=to)


def test_too_many_rooms_are_refused() -> None:
    rooms = [conversation(new_id()) for _ in range(65)]
    assert build(to=rooms[:64]).args[0] == 64
    with pytest.raises(InvalidEvent, match="1 to 64 rooms"):
        build(to=rooms)


def test_a_room_that_is_named_twice_counts_once() -> None:
    assert build(to=[ROOM, ROOM, str(ROOM).upper().replace("CONVERSATION", "conversation")]).args[0] == 1


def test_rooms_may_come_from_a_generator() -> None:
    assert build(to=(campaign(new_id()) for _ in range(3))).args[0] == 3


# -- event names


@pytest.mark.parametrize("event", ["a", "message:new", "x/y.z-w_9", "A" * 64])
def test_an_event_name_of_ones_own_is_taken(event: Any) -> None:
    assert build(event).args[1] == json.dumps([event, None], separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "event", ["", " ", "1a", ":a", "a b", 'a"b', "a\\b", "a\n", "é", "a" * 65, "\ud800", None, 5, b"a", ["a"]]
)
def test_an_event_name_that_is_none_is_refused(event: Any) -> None:
    with pytest.raises(InvalidEvent, match="event must be a name"):
        build(event)


@pytest.mark.parametrize("event", sorted(RESERVED_EVENTS))
def test_names_that_socketio_keeps_for_itself_are_refused(event: Any) -> None:
    with pytest.raises(InvalidEvent, match="keeps for itself"):
        build(event)


# -- data


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Status(enum.StrEnum):
    READ = "read"


@dataclass
class Point:
    x: int
    y: Decimal


class Struct(msgspec.Struct):
    a: uuid.UUID


class Model(BaseModel):
    when: datetime
    status: Status


WHEN = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (IDENT, str(IDENT)),
        (WHEN, "2026-01-02T03:04:05.000678Z"),
        (datetime(2026, 1, 2), "2026-01-02T00:00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Status.READ, "read"),
        (Decimal("1.10"), "1.10"),
        (Point(1, Decimal(2)), {"x": 1, "y": "2"}),
        (Struct(IDENT), {"a": str(IDENT)}),
        (Model(when=WHEN, status=Status.READ), {"when": "2026-01-02T03:04:05.000678Z", "status": "read"}),
        ([Model(when=WHEN, status=Status.READ)], [{"when": "2026-01-02T03:04:05.000678Z", "status": "read"}]),
        (UserDict(a=IDENT), {"a": str(IDENT)}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        ({IDENT: 1, 5: 2}, {str(IDENT): 1, "5": 2}),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (b"\x00\x01", "AAE="),
        (2**64, 2**64),
        ("é\u2028\x00", "é\u2028\x00"),
        (None, None),
    ],
)
def test_values_of_a_backend_encode_by_themselves(value: Any, expected: Any) -> None:
    assert json.loads(encode(value)) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {"a": [math.nan]}])
def test_what_json_has_no_number_for_becomes_null(value: Any) -> None:
    text = encode(value).decode()
    assert "NaN" not in text
    assert "Inf" not in text
    json.loads(text, parse_constant=pytest.fail)


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


class Raising:
    def model_dump(self, mode: str) -> Any:
        raise RuntimeError("lazy attribute, no session")


NO_VALUES: list[Any] = [object(), lambda: 1, 1j, Model, Colour, endless, deep, Raising(), (n for n in range(3))]
NO_TEXTS: list[Any] = ["\ud800", {"a": ["\udfff"]}, {"\ud800": 1}]
NO_KEYS: list[Any] = [{(1, 2): 3}, {None: 1}]


@pytest.mark.parametrize("value", [*NO_VALUES, *NO_TEXTS, *NO_KEYS], ids=lambda value: type(value).__name__)
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(InvalidEvent, match="can't be written as JSON"):
        # Not made in the parameters: pytest shows those, and can't.
        encode(value() if value in (endless, deep) else value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_json_survives_the_round_trip(value: Any) -> None:
    assert json.loads(encode_event("e", value, 10**6, ephemeral=False)) == ["e", value]


def test_an_event_that_is_too_large_is_refused_and_says_how_large() -> None:
    options = Options(max_payload_bytes=100)
    data = "x" * (100 - len('["message:new",""]'))
    assert len(build(data=data, options=options).args[1]) == 100
    with pytest.raises(InvalidEvent, match="101 bytes of JSON; at most 100"):
        build(data=data + "x", options=options)


def test_a_payload_is_measured_in_bytes() -> None:
    with pytest.raises(InvalidEvent, match="bytes of JSON"):
        build(data="é" * 60, options=Options(max_payload_bytes=100))


@pytest.mark.parametrize("data", ["text", "", IDENT, WHEN, Colour.RED, Status.READ, Decimal(1), b"x"])
def test_ephemeral_data_that_a_browser_would_take_for_an_offset_is_refused(data: Any) -> None:
    assert build(data=data).args[2] == b"r"
    with pytest.raises(InvalidEvent, match="can't be a string"):
        build(data=data, ephemeral=True)


@pytest.mark.parametrize("data", [None, 1, ["text"], {"a": "text"}, Level.HIGH])
def test_other_ephemeral_data_is_taken(data: Any) -> None:
    assert build(data=data, ephemeral=True).ephemeral


# -- key, version, skip_sid


@pytest.mark.parametrize("key", ["", "a b", "a\n", "é", "x" * 201, 5, b"k", uuid.uuid4()])
def test_a_key_that_would_not_fit_is_refused(key: Any) -> None:
    with pytest.raises(InvalidEvent, match="key must be"):
        build(key=key)


@pytest.mark.parametrize("version", [-1, 2**53, 1.0, True, "1", Decimal(1)])
def test_a_version_that_is_no_number_is_refused(version: Any) -> None:
    with pytest.raises(InvalidEvent, match="version must be an int"):
        build(key="k", version=version)


def test_a_version_needs_a_key() -> None:
    with pytest.raises(InvalidEvent, match="needs a key"):
        build(version=1)


def test_an_ephemeral_event_takes_no_key() -> None:
    with pytest.raises(InvalidEvent, match="takes no key"):
        build(key="k", ephemeral=True)
    assert len(build(ephemeral=True).keys) == 4


def test_an_event_without_a_key_gets_one_of_its_own() -> None:
    first, second = build(), build()
    assert first.keys[-1] != second.keys[-1]
    assert ":once:auto:" in first.keys[-1]


@pytest.mark.parametrize("sid", ["", "-" * 65, "a b", "a\n", "{x}", 5, b"sid"])
def test_a_sid_that_is_none_is_refused(sid: Any) -> None:
    with pytest.raises(InvalidEvent, match="skip_sid"):
        build(skip_sid=sid)


# -- options


@pytest.mark.parametrize(
    "name", ["max_payload_bytes", "history_size", "history_ttl_s", "once_ttl_s", "revoked_ttl_s"]
)
@pytest.mark.parametrize("value", [0, -1, 0.0001, math.nan])
def test_an_option_below_its_least_is_refused(name: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Options(**{name: value})
