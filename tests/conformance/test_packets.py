"""The Socket.IO packet encoding: the document's examples, and what is none."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine import ProtocolViolation
from gateway.sockets import packets
from gateway.sockets.packets import Packet, PacketType, assemble, decode

ONE = {"_placeholder": True, "num": 0}
TWO = {"_placeholder": True, "num": 1}


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ("0", Packet(PacketType.CONNECT)),
        ("0/admin", Packet(PacketType.CONNECT, "/admin")),
        ('0/admin,{"sid":"x"}', Packet(PacketType.CONNECT, "/admin", data={"sid": "x"})),
        ('2["foo"]', Packet(PacketType.EVENT, data=["foo"])),
        ('2/admin,["bar"]', Packet(PacketType.EVENT, "/admin", data=["bar"])),
        ('212["foo"]', Packet(PacketType.EVENT, id=12, data=["foo"])),
        ('2/admin,0["foo",{"a":[1.5,null]}]', Packet(PacketType.EVENT, "/admin", 0, ["foo", {"a": [1.5, None]}])),
        ("2[7]", Packet(PacketType.EVENT, data=[7])),
        ('3/admin,13["bar"]', Packet(PacketType.ACK, "/admin", 13, ["bar"])),
        ("35[]", Packet(PacketType.ACK, id=5, data=[])),
        ('51-["baz",{"_placeholder":true,"num":0}]', Packet(PacketType.BINARY_EVENT, "/", None, ["baz", ONE], 1)),
        (
            '52-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
            Packet(PacketType.BINARY_EVENT, "/admin", None, ["baz", ONE, TWO], 2),
        ),
        ('61-15["bar",{"_placeholder":true,"num":0}]', Packet(PacketType.BINARY_ACK, "/", 15, ["bar", ONE], 1)),
        ("1", Packet(PacketType.DISCONNECT)),
        ("1/admin,", Packet(PacketType.DISCONNECT, "/admin")),
        ('29007199254740992["a"]', Packet(PacketType.EVENT, id=2**53, data=["a"])),
    ],
)
def test_the_examples_of_the_document(text: str, packet: Packet) -> None:
    assert decode(text) == packet


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "7", "-1", "٢"),
        *("2", "2{}", "2[]", "2[null]", "2[true]", '2[["a"]]', '2"a"', "2null", '2["a"', '2["a"]]', '2["a"],'),
        *('2["connect"]', '2["connect_error"]', '2["newListener"]', '2["removeListener"]'),
        *('2abc["a"]', '2-1["a"]', '21.5["a"]', '2٣["a"]', '29007199254740993["a"]', '2 1["a"]'),
        *("3", "3[]", "31", "31{}", '31"a"'),
        *("0[]", '0"x"', "01", "01{}", "0null", "1{}", "11", "1[]", "4", '4{"message":"x"}'),
        *('5["a"]', '5-["a"]', '511-["a"]', '5-1-["a"]', '5x-["a"]', '5 1-["a"]', '51["a"]', "51-", "61-[]"),
        *('2/a\x00,["a"]', "0/" + "a" * 128, '2["a",NaN]', '2["a",Infinity]', '2["a",1e999]', '2["\\ud800"]'),
        "2" + "[" * 100_000,
        '2["a",' + "1" * 100_000 + "]",
        '2["a",[' + "[]," * packets.MAX_CONTAINERS + "0]]",
        '2["a",[' + "{}," * packets.MAX_CONTAINERS + "0]]",
    ],
    ids=lambda text: repr(text[:16]),
)
def test_everything_else_is_a_violation(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        decode(text)


def test_a_payload_may_have_many_parts() -> None:
    parts: list[list[Any]] = [[]] * (packets.MAX_CONTAINERS - 2)
    assert decode('2["a",[' + "[]," * (len(parts) - 1) + "[]]]").data == ["a", parts]


@given(st.text(alphabet='0123456789-/,[]{}"abc', max_size=30))
def test_nothing_but_a_violation_is_ever_raised(text: str) -> None:
    with suppress(ProtocolViolation):
        decode(text)


def test_attachments_take_the_places_that_were_kept() -> None:
    packet = decode('52-["a",{"x":[{"_placeholder":true,"num":1}]},{"_placeholder":true,"num":0}]')
    assert assemble(packet, [b"0", b"1"]).data == ["a", {"x": [b"1"]}, b"0"]


@pytest.mark.parametrize("number", [1, -1, "0", None, True, 0.0])
def test_a_place_that_does_not_exist_is_a_violation(number: Any) -> None:
    packet = Packet(PacketType.BINARY_EVENT, data=["a", {"_placeholder": True, "num": number}], attachments=1)
    with pytest.raises(ProtocolViolation):
        assemble(packet, [b"0"])


def test_a_payload_too_deep_to_search_is_a_violation_if_anything() -> None:
    packet = decode('51-["a",' + '{"a":' * 900 + "1" + "}" * 900 + "]")
    # How deep Python goes differs from version to version.
    with suppress(ProtocolViolation):
        assemble(packet, [b"0"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=4), st.sampled_from(["/", "/admin"]), st.none() | st.integers(0, 2**53))
def test_what_is_encoded_is_decoded(args: list[Any], namespace: str, number: int | None) -> None:
    sent = Packet(PacketType.EVENT, namespace, number, ["name", *args])
    text, attachments = packets.binary(sent)
    if len(attachments) > packets.MAX_ATTACHMENTS:
        return
    got = assemble(decode(text.decode()), attachments)
    assert (got.namespace, got.id, got.data) == (namespace, number, sent.data)


def test_packets_of_the_server() -> None:
    assert packets.connect({"sid": "x"}) == b'0{"sid":"x"}'
    assert packets.connect({"sid": "x", "pid": "y"}, "/admin") == b'0/admin,{"sid":"x","pid":"y"}'
    assert packets.connect_error("no") == b'4{"message":"no"}'
    assert packets.connect_error("no", {"code": "c"}, "/a") == b'4/a,{"message":"no","data":{"code":"c"}}'
    assert packets.disconnect() == b"1"
    assert packets.disconnect("/admin") == b"1/admin,"
    assert packets.event("é", {"a": 1}, namespace="/admin", number=3) == '2/admin,3["é",{"a":1}]'.encode()
    assert packets.ack(7, {"ok": True}) == b'37[{"ok":true}]'
    assert packets.ack(7) == b"37[]"
