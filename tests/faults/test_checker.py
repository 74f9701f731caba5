"""The checker finds what it is there to find: a checker that can't fail proves nothing."""

from __future__ import annotations

from tests.faults.checker import Asked, Connected, Diary, Entry, Got, Joined, Left, Published, Verdict, judge

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


def test_all_events_once_and_in_order_are_clean() -> None:
    found = verdict(THREE, connected(), joined(), got(1), got(2), got(3))
    assert found.is_clean
    assert found.owed == 3


def test_a_lost_event_is_found() -> None:
    found = verdict(THREE, connected(), joined(), got(1), got(3))
    assert (len(found.lost), found.twice, found.disordered, found.strange) == (1, [], [], [])
    assert "b-2" in found.lost[0]


def test_an_event_that_nobody_got_is_found_though_its_offset_was_never_seen() -> None:
    assert len(verdict([*THREE, event(4, seen=False)], connected(), joined(), got(1), got(2), got(3)).lost) == 1


def test_a_lost_event_at_the_end_is_found() -> None:
    assert len(verdict(THREE, connected(), joined(), got(1), got(2)).lost) == 1


def test_a_doubled_event_is_found() -> None:
    found = verdict(THREE, connected(), joined(), got(1), got(2), got(2), got(3))
    assert (found.lost, len(found.twice), found.disordered, found.strange) == ([], 1, [], [])


def test_an_event_that_comes_again_after_a_recovery_is_found() -> None:
    entries = (connected(), joined(), got(1), got(2), got(2), connected(2, recovered=True), got(3))
    assert len(verdict(THREE, *entries).twice) == 1


def test_swapped_events_are_found() -> None:
    found = verdict(THREE, connected(), joined(), got(1), got(3), got(2))
    assert (found.lost, found.twice, len(found.disordered), found.strange) == ([], [], 1, [])


def test_a_swap_in_the_publisher_is_found() -> None:
    early = Published("b-9", (ROOM,), 1.0, "e-150")
    found = verdict([*THREE, early], connected(), joined(), got(1), Got("b-9", "e-150", 1.5), got(2), got(3))
    assert len(found.disordered) == 1


def test_an_event_of_a_room_that_it_is_not_in_is_found() -> None:
    assert len(verdict([*THREE, event(4, OTHER)], connected(3), got(4)).strange) == 1


def test_an_event_of_the_same_room_of_another_tenant_is_found() -> None:
    foreign = event(4, ROOM.replace("t/", "u/"))
    assert len(verdict([foreign], connected(), joined(), got(4)).strange) == 1


def test_an_event_from_before_the_join_is_found() -> None:
    found = verdict(THREE, connected(), joined(2), got(2), got(3))
    assert len(found.strange) == 1


def test_a_join_whose_answer_was_lost_may_have_been_done_or_not() -> None:
    assert verdict(THREE, connected(1), Asked(ROOM), got(2), got(3)).is_clean
    assert verdict(THREE, connected(1), Asked(ROOM)).is_clean


def test_an_event_with_another_offset_than_its_receipt_is_found() -> None:
    assert verdict(THREE, connected(), joined(), got(1), got(2), got(4, ident=3)).strange


def test_an_event_that_nobody_published_is_found() -> None:
    assert verdict([], connected(), joined(), got(1)).strange


def test_an_event_that_it_was_left_out_of_is_found_and_not_owed() -> None:
    skipped = [event(1, skip_sid="sid")]
    assert verdict(skipped, connected(), joined()).is_clean
    assert verdict(skipped, connected(), joined(), got(1)).strange


def test_an_event_for_two_of_its_rooms_is_owed_once() -> None:
    both = [event(1, ROOM, OWN)]
    assert verdict(both, connected(), joined(), got(1)).is_clean
    assert verdict(both, connected(), joined(), got(1), got(1)).twice
    assert verdict(both, connected(), joined()).lost


def test_what_came_before_the_connection_is_not_owed() -> None:
    assert verdict([event(1, OWN)], connected(1)).owed == 0


def test_a_recovered_client_is_owed_what_it_missed() -> None:
    entries = (connected(), joined(), got(1), connected(2, recovered=True), got(3))
    assert len(verdict(THREE, *entries).lost) == 1


def test_a_told_client_is_forgiven_what_it_missed_but_nothing_before() -> None:
    told = connected(2, reason="trimmed")
    found = verdict(THREE, connected(), joined(), got(1), told, joined(2), got(3))
    assert found.is_clean
    assert (found.told, found.reasons["trimmed"]) == (1, 1)
    found = verdict(
        [event(0, ROOM), *THREE], connected(), Joined(ROOM, "e-0", 0.0), got(2), told, joined(2), got(3)
    )
    assert [line for line in found.lost if "b-1" in line]


def test_a_told_client_is_owed_what_comes_afterwards() -> None:
    told = connected(1, reason="epoch")
    assert len(verdict(THREE, connected(), joined(), got(1), told, joined(1), got(2)).lost) == 1
    assert len(verdict([event(2, OWN)], connected(), told).lost) == 1


def test_a_room_that_was_left_owes_nothing_more() -> None:
    assert verdict(THREE, connected(), joined(), got(1), Left(ROOM)).is_clean


def test_a_client_that_ended_is_owed_what_came_before_its_last_event() -> None:
    assert verdict(THREE, connected(), joined(), got(1), ended=True).is_clean
    assert verdict(THREE, connected(), joined(), got(2), ended=True).lost
