"""The checker finds what it is there to find: a checker that can't fail proves nothing."""

from __future__ import annotations

import pytest

from tests.faults.checker import Asked, Connected, Diary, Entry, Got, Joined, Left, Out, Published, Verdict, judge

ROOM, OTHER, OWN = "t/conversation:1", "t/conversation:2", "t/user:ana"


def event(number: int, *rooms: str, skip_sid: str | None = None, seen: bool = True) -> Published:
    """The n-th event, published at second n with seq 100 n."""
    offset = f"e-{number}00" if seen else None
    return Published(f"b-{number}", rooms or (ROOM,), float(number), offset, skip_sid)


def got(number: int, *, ident: int | None = None) -> Got:
    return Got(f"b-{ident or number}", f"e-{number}00", float(number))


def connected(number: int = 0, *, recovered: bool = False, reason: str | None = None) -> Connected:
    """`connected` at a place just behind the n-th event."""
    return Connected("sid", recovered, reason, f"e-{number}50", number + 0.5, (OWN,))


def joined(number: int = 0, room: str = ROOM) -> Joined:
    return Joined(room, f"e-{number}50", number + 0.5)


def verdict(published: list[Published], *entries: Entry, ended: bool = False) -> Verdict:
    return judge(published, [Diary("ana", list(entries), ended)])


THREE = [event(1), event(2), event(3)]
MORE, GOT_EARLY = [*THREE, Published("b-9", (ROOM,), 1.0, "e-150")], Got("b-9", "e-150", 1.5)
FOREIGN = event(4, ROOM.replace("t/", "u/"))
IN_ROOM, BACK = (connected(), joined()), connected(2, recovered=True)
LEFT, OUT = Left(ROOM), Out(ROOM, 2.5)
FOUND: dict[str, tuple[list[Published], tuple[Entry, ...], dict[str, int]]] = {
    "lost at the end": (THREE, (*IN_ROOM, got(1), got(2)), {"lost": 1}),
    "of an unseen offset": ([*THREE, event(4, seen=False)], (*IN_ROOM, got(1), got(2), got(3)), {"lost": 1}),
    "missed by a recovery": (THREE, (*IN_ROOM, got(1), BACK, got(3)), {"lost": 1}),
    "doubled": (THREE, (*IN_ROOM, got(1), got(2), got(2), got(3)), {"twice": 1}),
    "again before a recovery": (THREE, (*IN_ROOM, got(1), got(2), got(2), BACK, got(3)), {"twice": 1}),
    "swapped": (THREE, (*IN_ROOM, got(1), got(3), got(2)), {"disordered": 1}),
    "swapped in the publisher": (MORE, (*IN_ROOM, got(1), GOT_EARLY, got(2), got(3)), {"disordered": 1}),
    "of another room": ([*THREE, event(4, OTHER)], (connected(3), got(4)), {"strange": 1}),
    "of the same room of another tenant": ([FOREIGN], (*IN_ROOM, got(4)), {"strange": 1}),
    "from before the join": (THREE, (connected(), joined(2), got(2), got(3)), {"strange": 1}),
    "of another offset than its receipt": (THREE, (*IN_ROOM, got(1), got(2), got(4, ident=3)), {"strange": 1}),
    "published by nobody": ([], (*IN_ROOM, got(1)), {"strange": 1}),
    "nothing, of a room that was left": (THREE, (*IN_ROOM, got(1), Left(ROOM)), {}),
    "from behind the answer to a leave": (THREE, (*IN_ROOM, got(1), LEFT, OUT, got(3)), {"strange": 1}),
    "from behind a leave whose answer was lost": (THREE, (*IN_ROOM, got(1), LEFT, got(3)), {}),
    "from before the answer to a leave": (THREE, (*IN_ROOM, got(1), LEFT, OUT, got(2)), {}),
    "of a room that it has joined again": (THREE, (*IN_ROOM, got(1), LEFT, OUT, joined(2), got(3)), {}),
    "of a room that it may have joined again": (THREE, (*IN_ROOM, got(1), LEFT, OUT, Asked(ROOM), got(3)), {}),
}


@pytest.mark.parametrize(("published", "entries", "findings"), FOUND.values(), ids=FOUND)
def test_what_is_wrong_is_found(
    published: list[Published], entries: tuple[Entry, ...], findings: dict[str, int]
) -> None:
    found = verdict(published, *entries)
    counts = {kind: len(getattr(found, kind)) for kind in ("lost", "twice", "disordered", "strange")}
    assert {kind: count for kind, count in counts.items() if count} == findings


def test_all_events_once_and_in_order_are_clean() -> None:
    found = verdict(THREE, *IN_ROOM, got(1), got(2), got(3))
    assert found.is_clean
    assert found.owed == 3


def test_a_lost_event_is_found() -> None:
    found = verdict(THREE, *IN_ROOM, got(1), got(3))
    assert (len(found.lost), found.twice, found.disordered, found.strange) == (1, [], [], [])
    assert "b-2" in found.lost[0]


def test_a_join_whose_answer_was_lost_may_have_been_done_or_not() -> None:
    assert verdict(THREE, connected(1), Asked(ROOM), got(2), got(3)).is_clean
    assert verdict(THREE, connected(1), Asked(ROOM)).is_clean


def test_an_event_that_it_was_left_out_of_is_found_and_not_owed() -> None:
    skipped = [event(1, skip_sid="sid")]
    assert verdict(skipped, *IN_ROOM).is_clean
    assert verdict(skipped, *IN_ROOM, got(1)).strange


def test_an_event_for_two_of_its_rooms_is_owed_once() -> None:
    both = [event(1, ROOM, OWN)]
    assert verdict(both, *IN_ROOM, got(1)).is_clean
    assert verdict(both, *IN_ROOM, got(1), got(1)).twice
    assert verdict(both, *IN_ROOM).lost


def test_what_came_before_the_connection_is_not_owed() -> None:
    assert verdict([event(1, OWN)], connected(1)).owed == 0


def test_a_told_client_is_forgiven_what_it_missed_but_nothing_before() -> None:
    told = connected(2, reason="trimmed")
    found = verdict(THREE, *IN_ROOM, got(1), told, joined(2), got(3))
    assert found.is_clean
    assert (found.told, found.reasons["trimmed"]) == (1, 1)
    found = verdict(
        [event(0, ROOM), *THREE], connected(), Joined(ROOM, "e-0", 0.0), got(2), told, joined(2), got(3)
    )
    assert [line for line in found.lost if "b-1" in line]


def test_a_told_client_is_owed_what_comes_afterwards() -> None:
    told = connected(1, reason="epoch")
    assert len(verdict(THREE, *IN_ROOM, got(1), told, joined(1), got(2)).lost) == 1
    assert len(verdict([event(2, OWN)], connected(), told).lost) == 1


def test_a_client_that_ended_is_owed_what_came_before_its_last_event() -> None:
    assert verdict(THREE, *IN_ROOM, got(1), ended=True).is_clean
    assert verdict(THREE, *IN_ROOM, got(2), ended=True).lost


def test_of_a_state_the_latest_is_enough_and_who_ended_may_have_been_about_to_get_it() -> None:
    states = [Published(f"b-{n}", (ROOM,), float(n), f"e-{n}00", conflate="progress") for n in (1, 2, 4)]
    published = [*states[:2], event(3), states[2]]
    assert verdict(published, connected(), joined(), got(3), got(4)).is_clean
    assert len(verdict(published, connected(), joined(), got(3)).lost) == 3
    assert verdict(published, connected(), joined(), got(3), ended=True).is_clean
    assert len(verdict(published[:3], connected(), joined(), got(3), ended=True).lost) == 2
