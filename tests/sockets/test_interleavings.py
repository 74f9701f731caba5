"""Any interleaving of joins, leaves, publishes, drops, recoveries and broken connections: once, in order, or told.

Two replicas and three browsers of one tenant. Every step is one thing that may happen next; in the end all
come back, everything under way arrives, and the accounts are settled.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from gateway.core.limits import Limits
from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.sessions.store import session_key
from gateway.settings import load
from publisher import Room, conversation, wire
from tests.sockets.simulated import Browser, World
from tests.support.tokens import SECRET, mint, new_id

BROWSERS = st.integers(0, 2)
REPLICAS = st.integers(0, 1)
KINDS = st.sampled_from(["ask", "hear"])
ROOMS = st.integers(0, 2)
CONFIGURATION: dict[str, Any] = {
    "jwt_secret_key": SECRET,
    "history_size": 6,
    "history_max_events": 6,
    "room_linger_s": 0.0,
    "typing_timeout_s": 60.0,
}


# So small that every way out of them is taken, and no real time.
LIMITS = Limits(
    fan_out_sockets=1,
    backlog_messages=4,
    paced_keys=1,
    replay_portion_bytes=300,
    subscribed_channels=2,
    redis_patience_s=0.3,
    reconnect_first_s=0.0,
    reconnect_most_s=0.0,
    resync_rooms=2,
    resync_events=1,
    idle_sweep_s=3600.0,
    close_pause_s=0.0,
    write_retry_s=0.0,
)


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


class Machine(RuleBasedStateMachine):
    """What may happen next."""

    port = 0
    limits = LIMITS

    def __init__(self) -> None:
        super().__init__()
        tenant = new_id()
        self.world = World(self.port, tenant, load(**CONFIGURATION), self.limits)
        self.rooms = [conversation(new_id()) for _ in range(3)]
        self.zombies: list[Any] = []
        self.world.browsers = [Browser(self.world, user, mint(user, tenant)) for user in ("alice", "alice", "bob")]

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.world.close()

    def settle(self) -> None:
        """Have everybody come back and hear everything, and settle the accounts."""
        self.world.heal()
        for replica in self.world.replicas:
            self.world.renew(replica)
        self.world.heal()
        self.world.tell_what_is_due()
        self.world.heal()
        for browser in self.world.browsers:
            browser.settle_accounts()

    @initialize()
    def everybody_is_there(self) -> None:
        self.world.heal()

    # -- backends

    @rule(
        rooms=st.sets(ROOMS, max_size=2),
        wide=st.booleans(),
        sender=st.none() | BROWSERS,
        times=st.integers(1, 4),
        conflate=st.none() | st.sampled_from(["a", "b"]),
    )
    def publish(
        self, rooms: set[int], *, wide: bool, sender: int | None, times: int, conflate: str | None = None
    ) -> None:
        names = [self.rooms[i] for i in sorted(rooms)]
        if wide or not names:
            names.append(Room(f"organization:{self.world.tenant}"))
        skip = self.world.browsers[sender].sid if sender is not None else None
        for _ in range(times):
            self.world.act(lambda: self.world.publish(tuple(names), skip, conflate))

    @rule(browser=BROWSERS, replica=REPLICAS, before=st.integers(0, 6), after=st.integers(0, 6))
    def come_back_under_traffic(self, browser: int, replica: int, before: int, after: int) -> None:
        self.drop(browser)
        self.come_back(browser, replica)
        self.replica_goes_on(replica, before)
        self.publish(set(), wide=True, sender=None, times=2)
        self.replica_goes_on(replica, after)

    @rule(browser=BROWSERS, room=ROOMS, steps=st.tuples(*[st.integers(0, 4)] * 4))
    def leave_and_join_again(self, browser: int, room: int, steps: tuple[int, ...]) -> None:
        for act, times in zip((self.leave, self.join, self.leave, self.join), steps, strict=True):
            act(browser, room)
            for replica in (0, 1):
                self.replica_goes_on(replica, times)
                self.sweep(replica)
            self.browser_hears(browser, times)

    @rule(browser=BROWSERS, room=ROOMS)
    def access_is_taken_away(self, browser: int, room: int) -> None:
        self.world.act(lambda: self.world.take_away(self.world.browsers[browser].user, self.rooms[room]))

    @rule(browser=BROWSERS, really=st.integers(0, 3))
    def user_is_disconnected(self, browser: int, really: int) -> None:
        if really == 0:
            self.world.act(lambda: self.world.disconnect(self.world.browsers[browser].user))

    @rule()
    def slow_sockets_go_on(self) -> None:
        self.world.act(self.world.pause.end)

    @rule(replica=REPLICAS)
    def time_passes(self, replica: int) -> None:
        self.world.act(self.world.replicas[replica].pass_time)

    @rule(replica=REPLICAS)
    def leases_are_renewed(self, replica: int) -> None:
        self.world.renew(self.world.replicas[replica])

    # -- the network inside

    @rule(replica=REPLICAS, kind=KINDS, times=st.integers(1, 4))
    def redis_hears(self, replica: int, kind: str, times: int) -> None:
        self.let(replica, kind, "leaving", times)

    @rule(replica=REPLICAS, kind=KINDS, times=st.integers(1, 4))
    def replica_hears(self, replica: int, kind: str, times: int) -> None:
        self.let(replica, kind, "arriving", times)

    def let(self, replica: int, kind: str, queue: str, times: int) -> None:
        connection = self.world.replicas[replica].source.links[kind]
        for _ in range(times):
            if connection.is_up and getattr(connection, queue):
                self.world.act(connection.let_out if queue == "leaving" else connection.let_in)

    @rule(replica=REPLICAS, kind=KINDS)
    def replica_hears_all_at_once(self, replica: int, kind: str) -> None:
        connection = self.world.replicas[replica].source.links[kind]

        def hear() -> None:
            for _ in range(len(connection.arriving)):
                connection.let_in()

        self.world.act(hear)

    @rule(replica=REPLICAS, times=st.integers(1, 12))
    def replica_goes_on(self, replica: int, times: int) -> None:
        for _ in range(times):
            self.world.act(self.world.replicas[replica].step)

    @rule()
    def all_goes_on(self) -> None:
        self.world.pump()

    @rule(replica=REPLICAS, kind=KINDS)
    def connection_breaks(self, replica: int, kind: str) -> None:
        self.world.act(self.world.replicas[replica].source.links[kind].lose)

    @rule(replica=REPLICAS)
    def probe(self, replica: int) -> None:
        self.world.act(self.world.replicas[replica].probe)

    @rule(replica=REPLICAS)
    def sweep(self, replica: int) -> None:
        self.world.sweep(self.world.replicas[replica])

    # -- browsers

    @rule(browser=BROWSERS, times=st.integers(1, 8))
    def browser_hears(self, browser: int, times: int) -> None:
        for _ in range(times):
            self.world.act(self.world.browsers[browser].read)

    @rule(browser=BROWSERS)
    def note_an_offset(self, browser: int) -> None:
        noting = self.world.browsers[browser]
        if noting.is_up:
            noting.noted = noting.offset

    @rule(browser=BROWSERS, room=ROOMS)
    def join_since_an_earlier_offset(self, browser: int, room: int) -> None:
        self.join(browser, room, since=self.world.browsers[browser].noted)

    @rule(browser=BROWSERS, room=ROOMS)
    def join(self, browser: int, room: int, *, since: str | None = None) -> None:
        asking = self.world.browsers[browser]
        name = self.rooms[room]
        if asking.is_up and not asking.is_asking_for(name):
            if since is None and name not in asking.spans:
                since = asking.offset
            self.world.act(lambda: asking.ask("join_conversation", name, since))

    @rule(browser=BROWSERS, room=ROOMS)
    def leave(self, browser: int, room: int) -> None:
        asking = self.world.browsers[browser]
        name = self.rooms[room]
        if asking.is_up and name in asking.spans and not asking.is_asking_for(name):
            self.world.act(lambda: asking.ask("leave_conversation", name))

    @rule(browser=BROWSERS)
    def look(self, browser: int) -> None:
        looking = self.world.browsers[browser]
        if looking.is_up:
            self.world.act(looking.look)

    @rule(browser=BROWSERS, room=ROOMS, typing=st.booleans())
    def type(self, browser: int, room: int, *, typing: bool) -> None:
        asking = self.world.browsers[browser]
        name = self.rooms[room]
        if asking.is_up and name in asking.spans:
            self.world.act(lambda: asking.say("typing_start" if typing else "typing_stop", name))

    @rule(browser=BROWSERS)
    def drop(self, browser: int) -> None:
        dropping = self.world.browsers[browser]
        if dropping.channel is not None:
            self.zombies.append(dropping.drop())

    @precondition(lambda self: self.zombies)
    @rule()
    def replica_notices_a_drop(self) -> None:
        zombie = self.zombies.pop(0)
        self.world.act(lambda: zombie.lost("transport close"))

    @rule(browser=BROWSERS, replica=REPLICAS)
    def come_back(self, browser: int, replica: int) -> None:
        coming = self.world.browsers[browser]
        if coming.channel is None:
            self.world.act(lambda: coming.connect(self.world.replicas[replica]))

    # -- what no rule does: it takes the whole of an organization's time

    def logs_are_tried_again(self, replica: int) -> None:
        subscriptions = self.world.replicas[replica].subscriptions
        for tenant in list(subscriptions.hub.tenants.values()):
            self.world.act(lambda tenant=tenant: subscriptions.resync._again(tenant))  # type: ignore[misc]
        self.all_goes_on()

    def logs_are_mended(self, replica: int) -> None:
        self.world.mend()
        self.logs_are_tried_again(replica)


class LossyMachine(Machine):
    """The same, and once in a while Redis loses everything."""

    @rule(lucky=st.integers(0, 5))
    def redis_loses_everything(self, lucky: int) -> None:
        if lucky == 0:
            self.world.server.lose_everything()

    @rule(replica=REPLICAS, first=st.integers(0, 8), second=st.integers(0, 8))
    def redis_loses_everything_twice(self, replica: int, first: int, second: int) -> None:
        for steps in (first, second):
            self.world.server.lose_everything()
            self.publish(set(), wide=True, sender=None, times=1)
            self.replica_goes_on(replica, steps)


@pytest.mark.parametrize("machine", [Machine, LossyMachine])
def test_once_in_order_or_told(
    machine: type[Machine], shared_redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Machine, "port", shared_redis_server.port)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )


# -- what it found, each in the fewest steps


@pytest.fixture
def state(shared_redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[LossyMachine]:
    monkeypatch.setattr(Machine, "port", shared_redis_server.port)
    machine = LossyMachine()
    machine.everybody_is_there()
    yield machine
    machine.world.close()


def test_an_event_for_two_rooms_is_told_or_comes_but_never_both(state: LossyMachine) -> None:
    state.join(browser=1, room=2)
    state.join(browser=0, room=0)
    state.join(browser=2, room=1)
    state.redis_hears(kind="hear", replica=0, times=3)
    state.publish(rooms={0, 1}, sender=None, times=1, wide=False)
    state.publish(rooms=set(), sender=None, times=2, wide=False)
    state.publish(rooms={0, 1}, sender=None, times=1, wide=False)
    state.settle()


def test_too_much_at_once_in_a_new_epoch_does_not_hold_a_tenant_up_for_ever(state: LossyMachine) -> None:
    state.redis_loses_everything(lucky=0)
    for _ in range(3):
        state.publish(rooms=set(), sender=None, times=4, wide=False)
    state.settle()


def test_a_user_who_is_disconnected_during_a_join_does_not_come_back_half_deaf(state: LossyMachine) -> None:
    state.user_is_disconnected(browser=0, really=0)
    state.join(browser=0, room=0)
    state.publish(rooms=set(), sender=None, times=1, wide=False)
    state.settle()


def test_what_is_missed_while_the_last_loss_is_being_told_is_told_as_well(state: LossyMachine) -> None:
    state.redis_loses_everything_twice(replica=0, first=0, second=4)
    state.redis_loses_everything(lucky=0)
    state.come_back_under_traffic(after=0, before=0, browser=0, replica=0)
    state.settle()


def test_who_drops_before_hearing_that_something_is_lost_is_told_the_next_time(state: LossyMachine) -> None:
    state.user_is_disconnected(browser=0, really=0)
    state.come_back_under_traffic(after=0, before=0, browser=1, replica=0)
    state.replica_goes_on(replica=0, times=5)
    state.browser_hears(browser=1, times=1)
    state.come_back_under_traffic(after=0, before=0, browser=1, replica=0)
    state.settle()
    assert state.world.browsers[1].recoveries[-1:] == [False]


# -- conflation, where something waits


@pytest.fixture
def waiting(state: LossyMachine) -> LossyMachine:
    """Browser 0 is in room 0, and the second of two events under one key waits for it."""
    state.join(browser=0, room=0)
    state.all_goes_on()
    state.browser_hears(browser=0, times=8)
    state.publish(rooms={0}, sender=None, times=2, wide=False, conflate="a")
    state.replica_goes_on(replica=0, times=4)
    state.browser_hears(browser=0, times=8)
    assert len(state.world.browsers[0].live) == 1
    return state


def test_who_leaves_a_room_has_got_what_waited_of_it(waiting: LossyMachine) -> None:
    waiting.leave(browser=0, room=0)
    waiting.replica_goes_on(replica=0, times=8)
    waiting.browser_hears(browser=0, times=8)
    assert len(waiting.world.browsers[0].live) == 2
    waiting.settle()
    assert len(waiting.world.browsers[0].live) == 2


def test_what_waits_when_access_is_taken_away_comes_first(waiting: LossyMachine) -> None:
    waiting.access_is_taken_away(browser=0, room=0)
    waiting.settle()
    assert len(waiting.world.browsers[0].live) == 2


def test_what_waits_for_a_socket_that_drops_is_there_when_it_comes_back(waiting: LossyMachine) -> None:
    waiting.drop(browser=0)
    waiting.come_back(browser=0, replica=1)
    waiting.settle()
    browser = waiting.world.browsers[0]
    assert (len(browser.live), browser.recoveries[-1]) == (2, True)


def test_a_room_that_is_joined_meanwhile_gets_its_answer_behind_what_waits(waiting: LossyMachine) -> None:
    waiting.join(browser=0, room=1)
    waiting.replica_goes_on(replica=0, times=3)
    waiting.browser_hears(browser=0, times=1)
    assert len(waiting.world.browsers[0].live) == 2
    waiting.settle()


def test_of_a_flood_that_was_missed_only_the_last_is_handed_out(waiting: LossyMachine) -> None:
    waiting.connection_breaks(replica=0, kind="hear")
    for key in ("a", "b", "a", "b"):
        waiting.publish(rooms={0}, sender=None, times=1, wide=False, conflate=key)
    waiting.settle()
    assert len(waiting.world.browsers[0].live) <= 4


def test_who_is_silenced_while_redis_can_not_be_asked_is_told_when_it_can(state: LossyMachine) -> None:
    state.redis_loses_everything(lucky=0)
    state.publish(rooms=set(), sender=None, times=1, wide=False, conflate=None)
    state.leave_and_join_again(browser=0, room=0, steps=(0, 0, 0, 4))
    state.replica_goes_on(replica=0, times=1)
    state.connection_breaks(kind="ask", replica=0)
    state.settle()


def test_a_room_that_is_taken_away_while_a_loss_is_told_is_not_given_back(state: LossyMachine) -> None:
    state.leave_and_join_again(browser=0, room=0, steps=(0, 0, 1, 4))
    state.connection_breaks(kind="ask", replica=0)
    state.redis_loses_everything_twice(replica=0, first=0, second=0)
    state.access_is_taken_away(browser=0, room=0)
    state.settle()


# -- a log that can't be read


@pytest.fixture
def unreadable(state: LossyMachine) -> LossyMachine:
    """Everybody missed an event, and the log of browser 0's room is none any more."""
    state.join(browser=0, room=0)
    state.all_goes_on()
    state.connection_breaks(kind="hear", replica=0)
    state.publish(rooms=set(), sender=None, times=1, wide=True)
    state.world.overwrite(wire.log_key(state.world.tenant, state.rooms[0]))
    state.all_goes_on()
    assert len(state.world.replicas[0].subscriptions.resync.unreadable) == 1
    return state


def test_what_waits_for_a_log_that_can_not_be_read_comes_once_it_can(unreadable: LossyMachine) -> None:
    unreadable.publish(rooms=set(), sender=None, times=5, wide=True)
    unreadable.all_goes_on()
    unreadable.logs_are_mended(replica=0)
    unreadable.settle()
    assert [len(browser.recoveries) for browser in unreadable.world.browsers] == [1, 1, 1]


def test_who_waits_for_one_for_long_is_told(unreadable: LossyMachine) -> None:
    unreadable.world.replicas[0].subscriptions.resync.unreadable._tell_s = 0.0
    unreadable.logs_are_tried_again(replica=0)
    for browser in unreadable.world.browsers:
        assert browser.channel is not None
        assert browser.channel.ended
    unreadable.logs_are_mended(replica=0)
    unreadable.settle()
    assert [browser.recoveries[-1] for browser in unreadable.world.browsers] == [False, False, False]


# -- a session that Redis and the replica must not see differently


@pytest.fixture
def joined(state: LossyMachine) -> LossyMachine:
    """Browser 0 is in room 0, and has heard so."""
    state.join(browser=0, room=0)
    state.all_goes_on()
    state.browser_hears(browser=0, times=8)
    assert state.world.browsers[0].spans[state.rooms[0]].sure
    return state


def hears_everything(state: LossyMachine) -> None:
    state.all_goes_on()
    state.browser_hears(browser=0, times=8)


@pytest.mark.parametrize("is_done", [True, False])
def test_who_could_not_leave_is_still_there(joined: LossyMachine, is_done: bool) -> None:
    joined.leave(browser=0, room=0)
    if is_done:
        joined.redis_hears(kind="ask", replica=0, times=1)
    joined.connection_breaks(kind="ask", replica=0)
    joined.replica_goes_on(replica=0, times=1)
    hears_everything(joined)
    joined.publish(rooms={0}, sender=None, times=1, wide=False)
    joined.publish(rooms=set(), sender=None, times=1, wide=True)
    hears_everything(joined)
    joined.drop(browser=0)
    joined.come_back(browser=0, replica=1)
    joined.settle()


@pytest.mark.parametrize("is_done", [True, False])
def test_who_could_not_join_is_told_later_what_was_there(joined: LossyMachine, is_done: bool) -> None:
    joined.join(browser=0, room=1)
    for _ in range(20):
        asks = joined.world.replicas[0].source.links["ask"]
        if any("r:" in str(words) or joined.rooms[1] in words for _, words in asks.leaving):
            break
        joined.replica_goes_on(replica=0, times=1)
    if is_done:
        joined.redis_hears(kind="ask", replica=0, times=1)
    joined.connection_breaks(kind="ask", replica=0)
    hears_everything(joined)
    joined.note_an_offset(browser=0)
    joined.publish(rooms={1}, sender=None, times=1, wide=False)
    joined.publish(rooms=set(), sender=None, times=1, wide=True)
    hears_everything(joined)
    joined.drop(browser=0)
    joined.come_back(browser=0, replica=1)
    joined.world.heal()
    joined.join_since_an_earlier_offset(browser=0, room=1)
    joined.settle()


def test_what_came_by_a_room_that_was_left_since_is_not_told_of_another(joined: LossyMachine) -> None:
    joined.note_an_offset(browser=0)
    joined.publish(rooms={0, 1}, sender=None, times=1, wide=False)
    hears_everything(joined)
    joined.leave(browser=0, room=0)
    hears_everything(joined)
    joined.join_since_an_earlier_offset(browser=0, room=1)
    joined.settle()


def test_who_left_a_room_and_comes_again_is_not_told_what_it_had(joined: LossyMachine) -> None:
    joined.note_an_offset(browser=0)
    joined.publish(rooms={0}, sender=None, times=1, wide=False)
    hears_everything(joined)
    joined.leave(browser=0, room=0)
    hears_everything(joined)
    joined.publish(rooms={0}, sender=None, times=1, wide=False)
    hears_everything(joined)
    joined.join_since_an_earlier_offset(browser=0, room=0)
    joined.settle()
    assert len(joined.world.browsers[0].answered) == 1


def test_what_a_socket_was_given_and_never_heard_is_told_when_it_joins_again(joined: LossyMachine) -> None:
    joined.note_an_offset(browser=0)
    joined.publish(rooms={0}, sender=None, times=1, wide=False)
    joined.all_goes_on()
    joined.leave(browser=0, room=0)
    joined.all_goes_on()
    joined.drop(browser=0)
    joined.come_back(browser=0, replica=1)
    hears_everything(joined)
    joined.join_since_an_earlier_offset(browser=0, room=0)
    joined.settle()
    assert len(joined.world.browsers[0].answered) == 1


def test_a_session_that_is_written_anew_during_a_leave_does_not_have_the_room_again(joined: LossyMachine) -> None:
    world, browsers = joined.world, joined.world.browsers
    for browser in (1, 2):
        joined.join(browser=browser, room=0)
        joined.all_goes_on()
        joined.browser_hears(browser=browser, times=8)
    asks, hears = (world.replicas[0].source.links[kind] for kind in ("ask", "hear"))
    # Its sockets are taken for gone, as after a pause of Redis, so that all of its session is written.
    world.server.execute(("DEL", f"rt:{{{world.tenant}}}:leases"))
    joined.leases_are_renewed(replica=0)
    while not hears.leaving:
        joined.redis_hears(kind="ask", replica=0, times=1)
        joined.replica_hears(kind="ask", replica=0, times=1)
    for browser in (0, 1, 2):
        joined.leave(browser=browser, room=0)
    joined.redis_hears(kind="ask", replica=0, times=len(asks.leaving))
    joined.redis_hears(kind="hear", replica=0, times=1)
    joined.replica_hears(kind="hear", replica=0, times=len(hears.arriving))
    joined.redis_hears(kind="ask", replica=0, times=len(asks.leaving))
    hears_everything(joined)
    sessions = [session_key(world.tenant, browser.pid or "") for browser in browsers]
    assert all(world.server.execute(("EXISTS", session)) for session in sessions)
    assert not any(world.server.execute(("HEXISTS", session, f"r:{joined.rooms[0]}")) for session in sessions)


SWEEP = [(first, second) for first in range(2, 10) for second in range(4)]


@pytest.mark.parametrize(("first", "second"), SWEEP)
def test_who_arrives_hides_nothing_from_who_comes_back(state: LossyMachine, first: int, second: int) -> None:
    for browser in (0, 2):
        state.drop(browser)
    state.world.browsers[2].pid = None
    state.come_back(browser=0, replica=1)
    state.replica_goes_on(replica=1, times=first)
    state.come_back(browser=2, replica=1)
    state.replica_goes_on(replica=1, times=second)
    asks = state.world.replicas[1].source.links["ask"].leaving
    while asks:
        # Between what the one reads and what the other is told of its place.
        if "bob" in asks[0][1]:
            state.publish(rooms=set(), sender=None, times=1, wide=True)
        state.redis_hears(kind="ask", replica=1, times=1)
    state.replica_hears_all_at_once(kind="ask", replica=1)
    state.settle()


def test_who_drops_during_a_long_replay_is_told_what_is_lost_of_it(state: LossyMachine) -> None:
    for replica in state.world.replicas:
        replica.server.connector.recovery._portion_bytes = 50
        replica.members.sessions._unnoticed_us = 0
    browser = state.world.browsers[0]
    state.drop(browser=0)
    state.publish(rooms=set(), sender=None, times=6, wide=True)
    state.come_back(browser=0, replica=1)
    state.replica_goes_on(replica=1, times=30)
    assert browser.channel is not None
    assert len(browser.channel.frames) < 6, "the replay is paced"
    state.browser_hears(browser=0, times=2)
    state.leases_are_renewed(replica=1)
    state.replica_goes_on(replica=1, times=4)
    state.drop(browser=0)
    state.publish(rooms=set(), sender=None, times=6, wide=True)
    state.come_back(browser=0, replica=0)
    state.settle()
    assert browser.recoveries[-1:] == [False]


def test_a_frozen_replica_does_not_bring_back_a_session_that_ended_meanwhile(state: LossyMachine) -> None:
    browser = state.world.browsers[0]
    state.drop(browser=0)
    state.come_back(browser=0, replica=1)
    for _ in range(12):
        state.world.act(state.world.replicas[1].step)
    state.browser_hears(browser=0, times=8)
    assert browser.recoveries == [False, True]
    assert browser.socket is not None
    state.world.act(lambda: browser.socket.receive("41"))  # type: ignore[union-attr]
    for _ in range(4):
        state.world.act(state.world.replicas[1].step)
    key = session_key(state.world.tenant, browser.pid or "")
    assert not state.world.server.execute(("HEXISTS", key, "u"))
    state.world.server.execute(("DEL", key))
    # What the frozen replica has yet to hear is on its way still.
    state.leases_are_renewed(replica=0)
    asks = state.world.replicas[0].source.links["ask"]
    while asks.leaving or asks.arriving:
        state.redis_hears(kind="ask", replica=0, times=1)
        state.replica_hears(kind="ask", replica=0, times=1)
    assert not state.world.server.execute(("EXISTS", key))
    state.all_goes_on()
    assert not state.world.server.execute(("EXISTS", key))


def test_what_came_before_a_socket_was_in_its_rooms_it_did_not_get_there(state: LossyMachine) -> None:
    browser = state.world.browsers[0]
    earlier = browser.offset
    state.drop(browser=0)
    browser.pid = None
    state.come_back(browser=0, replica=0)
    asks, hears = (state.world.replicas[0].source.links[kind] for kind in ("ask", "hear"))
    while not any("alice" in words for _, words in asks.leaving):
        state.replica_goes_on(replica=0, times=1)
    state.redis_hears(kind="ask", replica=0, times=len(asks.leaving))
    state.publish(rooms={0}, sender=None, times=1, wide=True)
    state.replica_hears(kind="hear", replica=0, times=len(hears.arriving))
    state.replica_hears_all_at_once(kind="ask", replica=0)
    # In its rooms by now, and the session that says since when is on its way.
    state.publish(rooms={0}, sender=None, times=1, wide=True)
    state.replica_hears_all_at_once(kind="hear", replica=0)
    hears_everything(state)
    assert len(browser.live) == 1
    state.drop(browser=0)
    state.come_back(browser=0, replica=0)
    hears_everything(state)
    assert browser.recoveries == [False, False, True]
    browser.noted = earlier
    state.join_since_an_earlier_offset(browser=0, room=0)
    state.settle()
    assert len(browser.answered) == 1


def test_what_comes_while_an_arrival_writes_that_it_is_in_its_rooms_later_is_for_it(state: LossyMachine) -> None:
    browser = state.world.browsers[0]
    state.drop(browser=0)
    browser.pid = None
    state.come_back(browser=0, replica=0)
    asks, hears = (state.world.replicas[0].source.links[kind] for kind in ("ask", "hear"))
    while not any("alice" in words for _, words in asks.leaving):
        state.replica_goes_on(replica=0, times=1)
    state.redis_hears(kind="ask", replica=0, times=len(asks.leaving))
    state.publish(rooms=set(), sender=None, times=1, wide=True)
    state.replica_hears(kind="hear", replica=0, times=len(hears.arriving))
    while not any(words[0] == "HSET" for _, words in asks.leaving):
        state.replica_hears(kind="ask", replica=0, times=1)
    state.publish(rooms=set(), sender=None, times=2, wide=True)
    state.replica_hears(kind="hear", replica=0, times=len(hears.arriving))
    assert browser.channel is None or not browser.channel.frames, "nothing comes before CONNECT"
    hears_everything(state)
    state.settle()
