"""What a read of a room's log is worth: never called complete when something is missing."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.history import MARGIN, Brief, Entry, Log, Retention, judge
from publisher.offsets import SEQ_PER_S

TTL_MS = 1000
SIZE = 5
KEPT = Retention(SIZE, TTL_MS / 1000)
START = 1_700_000_000_000_000
HOUR = Retention(500, 3600.0)
# As in publish.lua.
QUARTER_MS = TTL_MS // 4


class Room:
    """What publish.lua makes of a room, and what Redis has forgotten of it since; times are in microseconds."""

    def __init__(self) -> None:
        self.published: list[int] = []
        self.replaced: set[int] = set()
        """Conflated events that a later one took the place of: nobody misses them."""
        self._latest = (0, 0)
        self._entries: list[Entry] = []
        self._tail_until = 0
        self._log_until = 0

    def publish(self, now: int, *, surplus: int, conflated: bool = False) -> None:
        """Publish at this moment; trimming leaves `surplus` more entries than it should."""
        ms, previous = now // 1000, self.tail(now)
        self._tail_until = ms + TTL_MS
        kept, follows = self.entries(now), previous
        if conflated:
            newest, before = self._latest
            if previous and newest == previous:
                kept, follows = [entry for entry in kept if entry.seq != previous], before
                self.replaced.add(previous)
            self._latest = (now, follows)
        self._entries = [*kept, Entry(now, follows, b"")][-(SIZE + surplus) :]
        if ms // QUARTER_MS != previous // 1000 // QUARTER_MS:
            self._log_until = ms + TTL_MS + QUARTER_MS
            self._entries = [entry for entry in self._entries if entry.seq >= now - TTL_MS * 1000]
        self.published.append(now)

    def tail(self, now: int) -> int:
        return self.published[-1] if self.published and now // 1000 <= self._tail_until else 0

    def entries(self, now: int) -> list[Entry]:
        return self._entries if now // 1000 <= self._log_until else []

    def read(self, after: int, now: int, *, sure: int = 0) -> Log:
        newest = [entry for entry in self.entries(now) if entry.seq > after][-(SIZE + 1) :]
        return judge(after, newest, self.tail(now), now, KEPT, sure=sure)


STEPS = st.lists(
    st.tuples(
        # Microseconds since the event before: mostly bursts, some silences around the time a log is kept.
        st.integers(1, 50_000) | st.integers(TTL_MS * 900, TTL_MS * 1300) | st.sampled_from([1, TTL_MS * 1000]),
        st.integers(0, 8),
        st.booleans(),
    ),
    max_size=20,
)
WAITS = st.integers(0, 2000) | st.integers(0, TTL_MS * 2500)


Steps = list[tuple[int, int, bool]]


def room_of(steps: Steps) -> Room:
    room = Room()
    for now, step in zip(accumulate((step[0] for step in steps), initial=START), steps, strict=False):
        room.publish(now, surplus=step[1], conflated=step[2])
    return room


def moments(room: Room, now: int) -> st.SearchStrategy[int]:
    """Seqs that a client might have seen last."""
    seen = [seq + shift for seq in room.published for shift in (-1, 0, 1)]
    return st.sampled_from([0, now, now - TTL_MS * 1000, now - TTL_MS * 1000 - 1, *seen]) | st.integers(
        START - 10, now
    )


@given(steps=STEPS, wait=WAITS, data=st.data())
def test_a_read_is_never_complete_when_something_is_missing(steps: Steps, wait: int, data: st.DataObject) -> None:
    room = room_of(steps)
    now = (room.published[-1] if room.published else START) + wait
    after = data.draw(moments(room, now))
    log = room.read(after, now)
    wanted = [seq for seq in room.published if seq > after and seq not in room.replaced]
    missing = set(wanted) - {entry.seq for entry in log.entries}
    if log.complete:
        assert not missing
    # The other way round: what is young enough and few enough is all there, and known to be.
    if after >= now - TTL_MS * 1000 and len(wanted) <= SIZE:
        assert log.complete
        assert not missing


@given(steps=STEPS, wait=WAITS, data=st.data())
def test_what_a_reader_surely_had_may_be_missing(steps: Steps, wait: int, data: st.DataObject) -> None:
    room = room_of(steps)
    now = (room.published[-1] if room.published else START) + wait
    after, sure = data.draw(moments(room, now)), data.draw(moments(room, now))
    log = room.read(after, now, sure=sure)
    wanted = {seq for seq in room.published if seq > after} - room.replaced
    missing = wanted - {entry.seq for entry in log.entries}
    if log.complete:
        assert all(seq <= sure for seq in missing)


@given(steps=STEPS, wait=WAITS, data=st.data())
def test_entries_are_the_newest_in_order_and_after_what_was_asked(
    steps: Steps, wait: int, data: st.DataObject
) -> None:
    room = room_of(steps)
    now = (room.published[-1] if room.published else START) + wait
    after = data.draw(moments(room, now))
    seqs = [entry.seq for entry in room.read(after, now).entries]
    assert all(seq > after for seq in seqs)
    assert len(seqs) <= SIZE
    if seqs:
        assert seqs == [seq for seq in room.published if seq not in room.replaced][-len(seqs) :]


def test_a_room_that_was_silent_for_longer_than_logs_live_is_not_vouched_for() -> None:
    room = Room()
    room.publish(START, surplus=0)
    # The one thing that can't be known: whether what expired came before or after `after`.
    assert not room.read(START, START + 3 * TTL_MS * 1000).complete
    assert room.read(START + 3 * TTL_MS * 1000 - 1, START + 3 * TTL_MS * 1000).complete


def test_a_history_of_nothing_keeps_nothing_and_says_so() -> None:
    kept = Retention(0, 10.0)
    entry = Entry(START, 0, b"")
    log = judge(START - 5, [entry], START, START + 5, kept)
    assert (log.entries, log.complete) == ((), False)
    assert judge(START, [], START, START + 5, kept).complete


def test_a_room_without_any_event_is_complete() -> None:
    assert judge(START, [], 0, START + 5, KEPT).complete


def test_a_log_without_the_newest_event_that_was_had_lacks_it() -> None:
    now = START + 10 * MARGIN
    for tail in (0, now - 1):
        assert judge(now, [], tail, now, HOUR).lacks(now)
    assert not judge(now, [], now, now, HOUR).lacks(now)
    assert not judge(now, [], 0, now + 3600 * SEQ_PER_S, HOUR).lacks(now)  # expired by now


def test_also_an_event_lacks_that_came_right_after_a_longer_history_began() -> None:
    began = START + 10 * MARGIN
    kept = HOUR._replace(briefs=(Brief(began, 1.0),))
    seq, now = began + 1, began + MARGIN
    assert judge(seq, [], began - 1, now, kept).lacks(seq)
    assert not judge(began, [], began - 1, now, kept).lacks(began)  # by a history that short it has expired


def test_another_servers_clock_makes_no_event_lack() -> None:
    now = START + 3600 * SEQ_PER_S
    assert not judge(START + MARGIN, [], 0, now, HOUR).lacks(START + MARGIN)
    assert judge(START + MARGIN + 1, [], 0, now, HOUR).lacks(START + MARGIN + 1)


def test_an_event_that_names_an_older_one_before_it_shows_that_the_newest_is_gone() -> None:
    now = START + 10 * MARGIN
    for previous, conflate, lost in ((now, b"", False), (now - 1, b"", True), (now - 1, b"k", False)):
        # Read from the event on, and from a later moment on, up to which there was nothing newer.
        for after in (now, now + 5):
            log = judge(after, [Entry(now + 9, previous, b"", conflate=conflate)], now + 9, now + 9, HOUR)
            assert log.lacks(now) is lost


def test_an_event_too_large_for_any_socket_is_a_hole_and_only_what_came_after_it_counts() -> None:
    kept = HOUR._replace(max_event_bytes=10)
    now = START + 10
    entries = [Entry(START + 1, START, b"small"), Entry(START + 2, START + 1, b"x" * 11)]
    after = Entry(START + 3, START + 2, b"x" * 10)
    assert judge(START, [*entries, after], START + 3, now, kept)[1:4:2] == ((after,), False)
    assert judge(START, entries, START + 2, now, kept)[1:4:2] == ((), False)
    assert judge(START + 2, [after], START + 3, now, kept)[1:4:2] == ((after,), True)
