"""Input close enough to the protocols to get past the first check, and far enough to be wrong."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from gateway.engine.reader import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.support.tokens import new_id
from tests.support.websocket import frame

ODD_TEXT = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["*", "", "\x00", "\x1b[2J", "__proto__", "campaign:*", "{x}", "a b", "💥", "\r\nX: y"]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD_TEXT, inner, max_size=4),
    max_leaves=10,
)
EVENTS = st.sampled_from(
    (
        *("join_conversation", "leave_conversation", "join_room", "leave_room", "typing_start", "typing_stop"),
        *("auth:refresh", "ping", "presence", "connected", "message:new", "user_typing"),
    )
)
KNOWN_ID = new_id()
ROOMISH = st.one_of(
    st.sampled_from(
        [KNOWN_ID, "campaign:", *(f"{kind}:{KNOWN_ID}" for kind in ("campaign", "conversation", "user"))]
    ),
    ODD_TEXT,
    JSON,
)
OFFSETISH = st.one_of(
    st.from_regex(r"[a-z0-9]{1,16}-[0-9]{1,16}", fullmatch=True), st.just("x-9999999999999999"), JSON
)
PAYLOADS = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "conversation_id": ROOMISH,
            "room": ROOMISH,
            "since": OFFSETISH,
            "history": st.integers(-5, 600) | JSON,
            "token": ODD_TEXT | JSON,
            "user_ids": JSON,
        },
    ),
    JSON,
)


def _text(value: object) -> str:
    return json.dumps(value)


# What comes behind the "4" of Engine.IO.
EVENT_PACKETS = st.builds(
    lambda head, number, name, args: f"{head}{number}{_text([name, *args])}",
    st.sampled_from(["2", "2", "2", "2/,", "2/other,", "51-", "52-", "3", "61-"]),
    st.sampled_from(["", "", "7", "0", "9007199254740992", "99999999999999999", "-1"]),
    EVENTS | ODD_TEXT | JSON,
    st.lists(PAYLOADS, max_size=3),
)
PACKETS = st.one_of(
    EVENT_PACKETS,
    st.builds(lambda auth: f"0{_text(auth)}", JSON | st.fixed_dictionaries({"token": ODD_TEXT, "pid": ODD_TEXT})),
    st.text(alphabet='0123456789-/,[]{}"\\:.eE+ab \x1e', max_size=30),
    st.sampled_from(["0", "1", "1/,", "4", '4{"message":"x"}', "0/other,", "2[]", '2["connect"]', "3", ""]),
)
ENGINE_PACKETS = st.one_of(
    PACKETS.map(lambda packet: "4" + packet),
    st.sampled_from(["1", "2", "2probe", "3", "5", "6", "0{}", "", "bAQI=", "b*", "9"]),
    st.text(max_size=20),
)
FRAMES = st.one_of(
    st.builds(lambda packet: frame(TEXT, packet.encode("utf-8", "replace")), ENGINE_PACKETS),
    st.builds(
        lambda opcode, data, fin, rsv, masked: frame(opcode, data, fin=fin, rsv=rsv, masked=masked),
        st.sampled_from([CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG, 3, 11]),
        st.binary(max_size=130),
        st.booleans(),
        st.sampled_from([0, 0, 0, 0x10, 0x40, 0x70]),
        st.sampled_from([True, True, True, False]),
    ),
    st.binary(max_size=40),
)
BODIES = st.one_of(
    st.lists(ENGINE_PACKETS, max_size=6).map(lambda packets: "\x1e".join(packets).encode("utf-8", "replace")),
    st.binary(max_size=200),
)

HEADERS = (
    *("Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Origin", "Content-Length"),
    *("Transfer-Encoding", "Content-Encoding", "Expect", "X-Forwarded-For", "Authorization", "X Y", ""),
    *("Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Access-Control-Request-Headers"),
)
_METHODS = st.sampled_from(["GET", "GET", "GET", "POST", "OPTIONS", "PUT", "HEAD", "get", "G\x00T", "CONNECT"])
_TARGETS = st.one_of(
    st.builds(
        lambda path, query: f"{path}?" + "&".join(f"{key}={value}" for key, value in query),
        st.sampled_from(
            ["/socket.io/", "/socket.io/", "/socket.io", "/health", "/metrics", "/socket.io/../", "//"]
        ),
        st.lists(
            st.tuples(
                st.sampled_from(["EIO", "transport", "sid", "j", "t", "b64", "token"]),
                st.sampled_from(
                    ["4", "4", "3", "websocket", "websocket", "polling", "x", "", "%00", "%ff", "1" * 500]
                ),
            ),
            max_size=5,
        ),
    ),
    st.just("/socket.io/?EIO=4&transport=websocket"),
    st.just("*"),
)
_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(HEADERS),
        st.one_of(
            st.sampled_from(
                ["websocket", "Upgrade", "keep-alive, Upgrade", "close", "chunked", "13", "8", "0", "5", "-1"]
            )
            | st.sampled_from(["dGhlIHNhbXBsZSBub25jZQ==", "AA==", "https://evil.example", "null", "100-continue"])
            | st.sampled_from(["gzip", "identity", "permessage-deflate; x=1", "Bearer x", "127.0.0.1", ",,;;=="]),
            st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30),
        ),
    ),
    max_size=9,
)
REQUESTS = st.one_of(
    st.builds(
        lambda method, target, version, headers, body: (
            f"{method} {target} {version}\r\n".encode("latin-1", "replace")
            + b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers)
            + b"\r\n"
            + body
        ),
        _METHODS,
        _TARGETS,
        st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", ""]),
        _HEADERS,
        st.binary(max_size=40) | BODIES,
    ),
    st.binary(max_size=100).map(lambda data: data + b"\r\n\r\n"),
)
