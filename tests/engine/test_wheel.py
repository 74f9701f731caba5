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
