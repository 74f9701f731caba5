"""The wire format: what a script writes on a channel, and what a reader makes of everything else."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher import conversation, wire
from publisher.envelope import Options, build_control, build_event
from publisher.wire import Flag, Message, parse_message
from tests.support.tokens import new_id

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SEQS = st.integers(0, 10**16 - 1)
MESSAGES = st.builds(
    Message,
    st.builds(lambda epoch, seq: f"{epoch}-{seq}".encode(), st.text("0123456789abcdef", min_size=1), SEQS),
    st.just(0),
    SEQS,
    st.sampled_from([Flag.RECOVERABLE, Flag.EPHEMERAL]),
    st.sampled_from([b"-", b"sid_-1"]),
    st.binary(max_size=50).map(lambda body: b'["' + body + b"]"),
    st.sampled_from([b"", b"campaign:7", b"c=c="]),
    st.sampled_from([b"", TRACE]),
)


def format_message(message: Message) -> bytes:
    """As publish.lua does it."""
    header = b"%b %d %b %b" % (message.offset, message.previous, message.flag, message.skip_sid)
    conflate = b" c=%b" % message.conflate if message.conflate else b""
    trace = b" t=%b" % message.trace if message.trace else b""
    return header + conflate + trace + b"\n" + message.body


def slot_of(key: str) -> str:
    """What a cluster hashes of a key: what stands in its first pair of braces."""
    return str(re.findall(r"\{(.*?)\}", key)[0])


@given(MESSAGES)
def test_a_message_survives_the_round_trip(message: Any) -> None:
    expected = message._replace(seq=int(message.offset.partition(b"-")[2]))
    assert parse_message(format_message(message)) == expected


@given(MESSAGES)
def test_header_fields_of_later_versions_are_ignored(message: Any) -> None:
    header, _, body = format_message(message).partition(b"\n")
    assert parse_message(header + b" x=1 y=2\n" + body) == parse_message(header + b"\n" + body)


@given(st.binary(max_size=80) | st.binary(max_size=20).map(lambda junk: b"e1-5 4 r -" + junk + b'["e",1]'))
def test_anything_else_is_a_value_error(raw: Any) -> None:
    try:
        message = parse_message(raw)
    except ValueError:
        return
    # What passes can be handled: no field raises later on.
    message.skip_sid.decode()
    message.offset.decode()
    message.conflate.decode()


NO_MESSAGES = [b"", b"\n", b"ping", b'{"type":"disconnect"}', b"e1-5 4 r -"]
BAD_HEADERS = [b"e1-5 4 r", b"e1 4 r -", b"e1-x 4 r -", b"e1-5 x r -", b"e1--5 4 r -", b"e1-5 -4 r -"]
NO_TEXTS = [b"\xff\xfe-5 4 r -", b"e1-5 4 r \xff\xfe"]
BAD_BODIES = [b"r -\n", b"r -\n[]", b"e -\nnull", b'r -\n{"event":"e"}', b'r -\n["e",1']


@pytest.mark.parametrize(
    "raw",
    [
        *NO_MESSAGES,
        *(header + b'\n["e",1]' for header in [*BAD_HEADERS, *NO_TEXTS]),
        *(b"e1-5 4 " + rest for rest in BAD_BODIES),
    ],
)
def test_what_no_script_wrote_is_refused(raw: Any) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_message(raw)


def test_every_key_and_channel_carries_the_tenants_hash_tag() -> None:
    tenant = new_id()
    event = build_event(tenant, "e", 1, [conversation(new_id()), "user:bob"], Options(), key="k")
    control = build_control(tenant, "bob", {"do": "disconnect"}, Options(), revoke="*")
    keys = [*event.keys, *control.keys, wire.once_key(tenant, "k"), wire.meta_key(tenant)]
    assert {slot_of(key) for key in keys} == {tenant}
    assert all(key.startswith("rt:") for key in keys)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200))
def test_no_idempotency_key_can_leave_the_tenants_slot(key: Any) -> None:
    tenant = new_id()
    envelope = build_event(tenant, "e", 1, "user:bob", Options(), key=key)
    assert slot_of(envelope.keys[-1]) == tenant


def test_two_tenants_share_no_name() -> None:
    ours, theirs = (
        build_event(tenant, "e", 1, "user:bob", Options(), key="k").keys for tenant in (new_id(), new_id())
    )
    assert not set(ours) & set(theirs)
