"""What becomes of a recovery, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.history import Log, StreamPosition
from gateway.core.recovery import RESUME, Decision, Session, Wanted, decide, decide_again, removed_since
from publisher import Offset, conversation
from publisher.offsets import SEQ_PER_S

NOW, WINDOW_S = 1_000 * SEQ_PER_S, 120.0
HERE = StreamPosition("now", NOW)
ROOM = conversation("5c9b8f0e-1f7b-4f2e-9f1a-2b7d6f3a4c5d")
OPENED_AT = NOW - 60 * SEQ_PER_S


def session(**facts: Any) -> Session:
    usual: dict[str, Any] = {
        "user_id": "ann",
        "sid": "sid",
        "generation": 1,
        "opened_at": OPENED_AT,
        "seen_until": OPENED_AT,
        "rooms": {ROOM: OPENED_AT},
        "taken": (),
        "ended": False,
        "holed": False,
        "lost": "",
    }
    return Session(**usual | facts)


def at(seconds_ago: float, epoch: str = "now") -> Wanted:
    return Wanted("pid", Offset(epoch, NOW - int(seconds_ago * SEQ_PER_S)), nonsense=False)


NOTHING = Wanted("pid", None, nonsense=False)
NONSENSE = Wanted("pid", None, nonsense=True)


@pytest.mark.parametrize(
    ("wanted", "found", "decision"),
    [
        (at(5), session(), RESUME),
        (at(0), session(), RESUME),
        (NOTHING, session(), RESUME),
        (at(5), session(holed=True), Decision("trimmed", keeps_rooms=True)),
        (at(5, "before"), session(), Decision("epoch", keeps_rooms=True)),
        (at(-5), session(), Decision("unknown", keeps_rooms=True)),
        (at(-5, "before"), session(), Decision("epoch", keeps_rooms=True)),
        (NONSENSE, session(), Decision("unknown", keeps_rooms=True)),
        (at(5), session(user_id="bob"), Decision("identity")),
        (at(5), session(user_id="bob", ended=True, holed=True), Decision("identity")),
        (at(5), session(ended=True), Decision("unknown")),
        (at(5), session(ended=True, holed=True), Decision("unknown")),
        (at(5), None, Decision("unknown")),
        (at(WINDOW_S), None, Decision("unknown")),
        (at(WINDOW_S + 1), None, Decision("expired")),
        (at(WINDOW_S + 1, "before"), None, Decision("epoch")),
        (NOTHING, None, Decision("unknown")),
        (NONSENSE, None, Decision("unknown")),
        # What became of the session before is told until the client has heard it.
        (at(61), session(lost="trimmed"), Decision("trimmed", keeps_rooms=True)),
        (NOTHING, session(lost="expired"), Decision("expired", keeps_rooms=True)),
        (at(60), session(lost="trimmed"), RESUME),
    ],
)
def test_a_session_is_resumed_or_lost_for_a_reason(
    wanted: Wanted, found: Session | None, decision: Decision
) -> None:
    assert decide(wanted, "ann", found, HERE, WINDOW_S) == decision


def log(*, complete: bool) -> Log:
    return Log(after=OPENED_AT, entries=(), until=NOW, complete=complete)


@pytest.mark.parametrize(
    ("read", "logs", "decision"),
    [
        ("now", [], RESUME),
        ("now", [log(complete=True), log(complete=True)], RESUME),
        ("now", [log(complete=True), log(complete=False)], Decision("trimmed", keeps_rooms=True)),
        ("later", [log(complete=True)], Decision("epoch", keeps_rooms=True)),
        ("later", [log(complete=False)], Decision("epoch", keeps_rooms=True)),
    ],
)
def test_what_was_read_is_all_or_the_session_is_lost(read: str, logs: list[Log], decision: Decision) -> None:
    assert decide_again("now", read, logs) == decision


def test_a_client_is_told_of_rooms_that_were_taken_where_it_may_not_have_heard_of_it() -> None:
    """Access may have been revoked while it was away: it would wait for events of the room for ever."""
    other = conversation("0e0f8b11-2c6f-4d43-8f7e-6c3b5a4d2e1f")
    found = session(removed=((other, NOW - 20 * SEQ_PER_S), (ROOM, NOW)))
    assert removed_since(found, NOW - 21 * SEQ_PER_S) == [other]
    assert removed_since(found, NOW - 20 * SEQ_PER_S) == []
