"""The judge finds what it is there to find, and nothing else: a judge that can't fail proves nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults.torture.judge import Truth, judge
from tests.faults.torture.ledger import (
    Answered,
    Asked,
    Closed,
    Diary,
    Entry,
    Event,
    Gone,
    Got,
    Greeted,
    Opened,
    Shown,
)
from tests.faults.torture.outages import Span, forgetful
from tests.faults.torture.publishing import judge_publishing
from tests.faults.torture.verdict import Verdict

TALK, OTHER, OWN = "conversation:1", "conversation:2", "user:ana"


def event(n: int, *rooms: str, tenant: str = "t", **more: str | int) -> Event:
    """The n-th event, of seq 100 n."""
    return Event(tenant, n * 100, frozenset(rooms or (TALK,)), "test:event", f"p-{n}", **more)  # type: ignore[arg-type]


def got(n: int) -> Got:
    return Got(n, f"e-{n}00", f"p-{n}")


def opened(*, recovered: bool = False, sid: str = "sid") -> Opened:
    return Opened(0, sid, recovered)


def greeted(n: int = 0, *, recovered: bool = False, reason: str = "") -> Greeted:
    """`connected`, at a place just behind the n-th event."""
    return Greeted(n, recovered, reason, f"e-{n}50")


def arrived(n: int = 0) -> tuple[Entry, ...]:
    return opened(), greeted(n)


def back(n: int, *replayed: Entry) -> tuple[Entry, ...]:
    """Cut and recovered, up to just behind the n-th event."""
    return Gone(n, "transport close"), opened(recovered=True), *replayed, greeted(n, recovered=True)


def told(n: int, sid: str = "other", reason: str = "trimmed") -> tuple[Entry, ...]:
    return Gone(n, "transport close"), opened(sid=sid), greeted(n, reason=reason)


def join(
    n: int, *shown: int, room: str = TALK, since: int | None = None, complete: bool = True, history: int = 0
) -> tuple[Entry, ...]:
    """A join that puts the page just behind the n-th event."""
    asked = "" if since is None else f"e-{since}50"
    events = tuple(Shown(f"e-{i}00", f"p-{i}") for i in shown)
    return Asked(n, n, "join", room, asked, history), Answered(n, n, "", f"e-{n}50", events, complete)


def leave(n: int, code: str = "", room: str = TALK) -> tuple[Entry, ...]:
    return Asked(n, 50 + n, "leave", room), Answered(n, 50 + n, code)


def verdict(published: list[Event], *entries: Entry) -> Verdict:
    truth = Truth({(one.tenant, one.seq): one for one in published})
    return judge(truth, Diary("tab", "t", (OWN,), 1.5, list(entries)))


def found(published: list[Event], *entries: Entry) -> dict[str, int]:
    return dict(Counter(finding.kind for finding in verdict(published, *entries).findings))


THREE = [event(1), event(2), event(3)]
OWNS = [event(n, OWN) for n in (1, 2, 3)]
IN_TALK = (*arrived(), *join(0))
OTHER_SID = (Gone(1, ""), opened(recovered=True, sid="other"), greeted(1, recovered=True))
HOP = (Asked(1, 51, "leave", TALK), Asked(1, 2, "join", TALK, "e-150"), Answered(1, 51))
FOUND: dict[str, tuple[list[Event], tuple[Entry, ...], dict[str, int]]] = {
    "a doubled event": (THREE, (*IN_TALK, got(1), got(1), got(2), got(3)), {"twice": 1}),
    "repeated by a recovery": (THREE, (*IN_TALK, got(1), got(2), *back(2, got(2)), got(3)), {"twice": 1}),
    "again in another life": (THREE, (*IN_TALK, got(1), *told(1), *join(1), got(1), got(2), got(3)), {"twice": 1}),
    "swapped events": (THREE, (*IN_TALK, got(2), got(1), got(3)), {"disordered": 1}),
    "from before the connection": ([event(1, OWN)], (*arrived(2), got(1)), {"disordered": 1}),
    "of another tenant": ([event(1, tenant="u")], (*IN_TALK, got(1)), {"foreign": 1}),
    "of its own rooms, behind what it was told": (OWNS, (*arrived(), got(1), *told(2)), {"lost": 1}),
    "kept by a replica for who is told": (THREE, (*IN_TALK, got(1), *told(1), got(2)), {}),
    "a recovery with another sid": ([], (*arrived(), *OTHER_SID), {"strange": 1}),
    "live in another life, then by a join": (THREE[:1], (*IN_TALK, got(1), *told(1), *join(1, 1, since=0)), {}),
    "a history of what came before": (THREE[:1], (*IN_TALK, got(1), *join(1, 1, history=5)), {}),
    "a refusal": ([], (*arrived(), Asked(1, 1, "join", TALK), Answered(1, 1, "forbidden")), {"strange": 1}),
    "cut, joining behind a leave": (THREE, (*IN_TALK, got(1), *HOP, *back(1)[:2], got(2)), {}),
    "joining behind a leave": (THREE, (*IN_TALK, got(1), *HOP, got(2), Answered(2, 2, "unavailable")), {}),
}


@pytest.mark.parametrize(("published", "entries", "findings"), FOUND.values(), ids=FOUND)
def test_what_is_wrong_is_found(
    published: list[Event], entries: tuple[Entry, ...], findings: dict[str, int]
) -> None:
    assert found(published, *entries) == findings


def test_all_events_once_and_in_order_are_owed_and_clean() -> None:
    clean = verdict(THREE, *IN_TALK, got(1), got(2), got(3))
    assert (clean.findings, clean.owed) == ([], 3)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_lost_event_is_found(missing: int) -> None:
    entries = [got(n) for n in (1, 2, 3) if n != missing]
    (finding,) = verdict(THREE, *IN_TALK, *entries).findings
    assert (finding.kind, finding.page, finding.seq) == ("lost", "tab", missing * 100)


def test_an_event_of_a_room_that_it_is_not_in_is_found() -> None:
    assert found(THREE, *arrived(), got(1)) == {"foreign": 1}
    assert found(THREE, *IN_TALK, got(1), *leave(1), got(2)) == {"foreign": 1}


def test_an_event_that_nobody_published_or_of_another_content_is_found() -> None:
    assert found([], *IN_TALK, got(1)) == {"strange": 1}
    assert found([event(1)], *IN_TALK, Got(1, "e-100", "p-2")) == {"strange": 1}


def test_an_event_that_it_was_left_out_of_is_found_and_not_owed() -> None:
    skipped = [event(1, skip_sid="sid")]
    assert found(skipped, *IN_TALK) == {}
    assert found(skipped, *IN_TALK, got(1)) == {"strange": 1}
    assert found(skipped, *arrived(), *join(1, 1, since=0)) == {"strange": 1}


def test_an_event_of_two_rooms_is_owed_once() -> None:
    both = [event(1, TALK, OWN)]
    assert verdict(both, *IN_TALK, got(1)).owed == 1
    assert found(both, *IN_TALK, got(1), got(1)) == {"twice": 1}
    assert found(both, *IN_TALK) == {"lost": 1}
    assert found(both, *arrived()) == {"lost": 1}


# -- drops


def test_what_a_recovery_leaves_out_is_lost() -> None:
    assert found(THREE, *IN_TALK, got(1), *back(2), got(3)) == {"lost": 1}
    assert found(THREE, *IN_TALK, got(1), *back(3, got(2), got(3))) == {}


def test_who_is_told_is_forgiven_what_it_missed_but_nothing_before() -> None:
    assert found(THREE, *IN_TALK, got(1), *told(2), *join(2), got(3)) == {}
    assert found(THREE, *IN_TALK, got(2), *told(2), *join(2), got(3)) == {"lost": 1}


def test_what_there_is_no_reason_to_tell_is_found() -> None:
    assert found([], *arrived(), *told(2, reason="expired")) == {}
    assert found([], *arrived(), *told(1, reason="expired")) == {"strange": 1}
    assert found([], *arrived(), *told(2, reason="epoch")) == {"strange": 1}


@pytest.mark.parametrize(("sent", "hasty"), [(9_000_000, {"strange": 1}), (7_000_000, {})])
def test_what_came_late_was_sent_long_before(sent: int, hasty: dict[str, int]) -> None:
    late = Event("t", sent, frozenset((OWN,)), "test:event", "p-1")
    back = Greeted(1, recovered=False, reason="expired", offset="e-10000000")
    entries = [*arrived(), Got(1, f"e-{sent}", "p-1"), Gone(1, "transport close"), opened(sid="other"), back]
    assert found([late], *entries) == hasty


@pytest.mark.parametrize(
    ("outages", "hasty"),
    [
        ([], 1),
        ([(0.0, 9.9)], 1),  # no session has run out
        ([(0.0, 30.0)], 0),
        ([(0.0, 9.0), (10.0, 19.0)], 0),  # one that takes a breath renews nothing
        ([(0.0, 9.0), (13.0, 19.0)], 1),
        ([(0.0, 17.5)], 0),  # it is over, and nothing written again yet
        ([(0.0, 16.5)], 1),
        ([(21.5, 60.0)], 1),
    ],
)
def test_what_ran_out_while_redis_was_away_may_be_told(outages: list[Span], hasty: int) -> None:
    truth = Truth({}, forgetful(outages, 10.0))
    entries = [*arrived(20), *told(21, reason="unknown")]
    assert len(judge(truth, Diary("tab", "t", (OWN,), 1.5, entries)).findings) == hasty


def test_a_tab_that_was_closed_is_owed_what_came_before_its_last_event() -> None:
    assert found(THREE, *IN_TALK, got(1), Closed(2)) == {}
    assert found(THREE, *IN_TALK, got(2), Closed(2)) == {"lost": 1}


# -- joins and leaves


def test_a_join_without_since_owes_what_comes_behind_it() -> None:
    assert verdict(THREE, *arrived(), *join(1), got(2), got(3)).owed == 2


def test_a_complete_answer_owes_everything_since() -> None:
    assert found(THREE, *arrived(), *join(2, 1, 2, since=0), got(3)) == {}
    assert found(THREE, *arrived(), *join(2, 2, since=0), got(3)) == {"lost": 1}
    assert found(THREE, *arrived(), *join(2, since=0), got(3)) == {"lost": 2}


def test_an_answer_that_is_not_complete_tells() -> None:
    assert found(THREE, *arrived(), *join(2, since=0, complete=False), got(3)) == {}
    assert found(THREE, *arrived(), *join(2, since=0, complete=False)) == {"lost": 1}


def test_what_came_live_before_the_join_is_not_missing_from_its_answer() -> None:
    both = [event(1, TALK, OWN), event(2)]
    assert found(both, *arrived(), got(1), *join(2, 2, since=0)) == {}
    assert found(both, *arrived(), got(1), *join(2, 1, 2, since=0)) == {"twice": 1}


def test_what_an_answer_showed_must_not_come_live() -> None:
    assert found(THREE[:1], *arrived(), *join(0, 1, history=5), got(1)) == {"twice": 1, "strange": 1}
    assert found(THREE[:1], *arrived(), *join(1, 1, since=0), got(1)) == {"twice": 1}


def test_two_answers_may_show_an_event_of_both_rooms_which_is_counted() -> None:
    both = [event(1, TALK, OTHER)]
    shown = verdict(both, *arrived(), *join(1, 1, since=0), *join(2, 1, room=OTHER, since=0))
    assert (shown.findings, shown.again) == ([], 1)


def test_what_came_before_a_leave_was_done_may_be_shown_by_a_join_from_where_it_was_asked_for() -> None:
    left = (Asked(0, 51, "leave", TALK), got(1), Answered(1, 51))
    shown = verdict(THREE[:1], *IN_TALK, *left, *join(2, 1, since=0))
    assert (shown.findings, shown.again) == ([], 1)


def test_an_answer_with_an_event_of_another_room_or_from_before_since_is_found() -> None:
    assert found([event(1, OTHER)], *arrived(), *join(1, 1, since=0)) == {"foreign": 1}
    assert found(THREE[:1], *arrived(), *join(2, 1, since=1)) == {"strange": 1}


def test_a_room_that_was_left_owes_nothing_more_but_what_came_before() -> None:
    assert found(THREE, *IN_TALK, got(1), *leave(1)) == {}
    assert found(THREE, *IN_TALK, got(2), *leave(2)) == {"lost": 1}


def test_a_leave_that_failed_may_have_been_done_or_not() -> None:
    assert found(THREE, *IN_TALK, got(1), *leave(1, "unavailable")) == {}
    assert found(THREE, *IN_TALK, got(1), *leave(1, "unavailable"), got(2), *back(2)) == {}


def test_a_join_after_a_leave_that_failed_owes_everything_since() -> None:
    before = (*IN_TALK, got(1), *leave(1, "unavailable"))
    assert found(THREE, *before, *join(3, 2, 3, since=1)) == {}
    assert found(THREE, *before, *join(3, since=1)) == {"lost": 2}


def test_a_join_that_failed_or_was_cut_may_have_been_done_or_not() -> None:
    for ending in (Answered(1, 1, "unavailable"), Gone(1, "transport close")):
        before = (*arrived(1), Asked(1, 1, "join", TALK), ending)
        assert found(THREE, *before) == {}
        assert found(THREE, *before, opened(recovered=True), got(2), greeted(2, recovered=True)) == {}


# -- conflation, versions


def test_a_conflated_event_may_be_left_out_but_the_last_one_not() -> None:
    progress = [event(n, conflate="c") for n in (1, 2, 3)]
    assert found(progress, *IN_TALK, got(1), got(3)) == {}
    assert found(progress, *IN_TALK, got(1), got(2)) == {"lost": 1}
    assert found(progress, *IN_TALK) == {"lost": 3}


def test_what_stands_for_a_conflated_event_may_be_in_what_a_page_was_told_of() -> None:
    progress = [event(1, conflate="c"), event(2), event(3, conflate="c")]
    before = (*IN_TALK, Gone(2, ""), opened(recovered=True), got(2))
    assert found(progress, *before, *told(3)) == {}
    assert found(progress[:2], *before, *told(3)) == {"lost": 1}
    assert found(progress, *before, *told(2)) == {"lost": 1}
    assert found(progress, *before, Closed(3)) == {}
    assert found(progress[:2], *before, Closed(3)) == {"lost": 1}
    assert found(progress, *before, *leave(2)) == {"lost": 1}


def test_a_status_that_falls_back_is_found() -> None:
    statuses = [event(1, about="m", rank=2), event(2, about="m", rank=1)]
    assert found(statuses, *IN_TALK, got(1), got(2)) == {"backwards": 1}
    assert [finding.kind for finding in judge_publishing(statuses)] == ["backwards"]


def test_what_is_published_twice_or_out_of_turn_is_found() -> None:
    again = event(3)._replace(ident="p-1")
    assert [finding.kind for finding in judge_publishing([event(1), event(2), again])] == ["twice"]
    late = event(3)._replace(ident="p-1")
    assert [finding.kind for finding in judge_publishing([event(2), late])] == ["disordered"]
    assert judge_publishing(THREE) == []
