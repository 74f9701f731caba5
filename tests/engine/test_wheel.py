from sys import getsizeof

from gateway.engine.wheel import UNSET, Wheel


class Note:
    def __init__(self) -> None:
        self.slot = UNSET
        self.fired: list[float] = []

    def fire(self, now: float) -> None:
        self.fired.append(now)


def run(wheel: Wheel, now: float) -> None:
    for timer in wheel.due(now):
        timer.fire(now)


def test_a_timer_fires_once_and_at_most_a_tick_early() -> None:
    wheel, note = Wheel(0.5), Note()
    wheel.put(note, 100.3)
    assert wheel.next_at() == 100.0
    run(wheel, 99.99)
    assert note.fired == []
    run(wheel, 100.0)
    run(wheel, 200.0)
    assert note.fired == [100.0]


def test_fractions_are_kept() -> None:
    wheel, ping, check = Wheel(0.004), Note(), Note()
    wheel.put(ping, 100.3)
    wheel.put(check, 100.5)
    run(wheel, 100.3)
    assert (ping.fired, check.fired) == ([100.3], [])
    run(wheel, 100.5)
    assert check.fired == [100.5]


def test_a_new_deadline_replaces_the_old_one() -> None:
    wheel, note = Wheel(0.1), Note()
    wheel.put(note, 10.0)
    wheel.put(note, 20.0)
    run(wheel, 15.0)
    assert note.fired == []
    assert len(wheel) == 1


def test_a_dropped_timer_leaves_nothing_behind() -> None:
    wheel, note = Wheel(0.1), Note()
    wheel.put(note, 10.0)
    wheel.drop(note)
    wheel.drop(note)
    assert len(wheel) == 0
    run(wheel, 11.0)
    assert note.fired == []
    assert wheel.next_at() is None


def test_a_timer_may_drop_another_of_the_same_tick() -> None:
    wheel, other = Wheel(1.0), Note()

    class Jealous(Note):
        def fire(self, now: float) -> None:
            super().fire(now)
            wheel.drop(other)

    jealous = Jealous()
    wheel.put(jealous, 5.0)
    wheel.put(other, 5.0)
    run(wheel, 5.0)
    assert (jealous.fired, other.fired) == ([5.0], [])


def test_a_timer_that_puts_itself_anew_waits_for_the_next_turn() -> None:
    wheel = Wheel(1.0)

    class Eager(Note):
        def fire(self, now: float) -> None:
            super().fire(now)
            wheel.put(self, now)

    eager = Eager()
    wheel.put(eager, 1.0)
    run(wheel, 5.0)
    run(wheel, 5.0)
    assert eager.fired == [5.0, 5.0]


def test_timers_of_one_tick_fire_in_the_order_in_which_they_were_put() -> None:
    wheel = Wheel(1.0)
    notes = [Note() for _ in range(50)]
    for note in notes:
        wheel.put(note, 3.5)
    assert list(wheel.due(3.5)) == notes


def kept_bytes(wheel: Wheel) -> int:
    """Return the size of what the wheel itself holds."""
    buckets = wheel._buckets
    return getsizeof(buckets) + getsizeof(wheel._order) + sum(getsizeof(bucket) for bucket in buckets.values())


def test_timers_that_come_and_go_before_their_time_leave_nothing_behind() -> None:
    # Tokens of an hour, of which a hundred end in the same second; their sockets leave at once.
    wheel = Wheel(0.1)
    kept = kept_bytes(wheel)
    for second in range(3600):
        notes = [Note() for _ in range(100)]
        for note in notes:
            wheel.put(note, 3600.0 + second)
        for note in notes:
            wheel.drop(note)
    assert wheel.next_at() is None
    assert kept_bytes(wheel) - kept < 2_000


def test_a_crowd_that_leaves_one_behind_a_second_leaves_as_much_as_these_take() -> None:
    wheel, crowded = Wheel(0.1), Wheel(0.1)
    staying = [Note() for _ in range(600)]
    for second, note in enumerate(staying):
        wheel.put(note, 3600.0 + second)
    alone = kept_bytes(wheel)
    for second, note in enumerate(staying):
        crowd = [Note() for _ in range(200)]
        crowded.put(note, 3600.0 + second)
        for other in crowd:
            crowded.put(other, 3600.0 + second)
        for other in crowd:
            crowded.drop(other)
    assert kept_bytes(crowded) < 4 * alone
    run(crowded, 5000.0)
    assert sum(len(note.fired) for note in staying) == 600


def test_a_tick_that_was_left_and_taken_again_comes_once() -> None:
    wheel, note = Wheel(0.1), Note()
    for _ in range(1000):
        wheel.put(note, 10.0)
        wheel.drop(note)
    wheel.put(note, 20.0)
    assert wheel.next_at() == 20.0
    wheel.put(note, 10.0)
    assert wheel.next_at() == 10.0
    run(wheel, 30.0)
    assert note.fired == [30.0]
    assert wheel.next_at() is None
