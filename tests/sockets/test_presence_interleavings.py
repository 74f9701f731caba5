"""Any interleaving of what people do, and what is told of it: in the end every page shows what is true.

Three users, each with a page, on two replicas: `test_interleavings` with fewer things that may happen, and those
more often.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.redis.commands import Script
from tests.sockets.simulated import Browser
from tests.sockets.test_interleavings import BROWSERS, KINDS, REPLICAS, Machine, _silence
from tests.support.tokens import mint

__all__ = ["_silence"]

ROOMS = st.integers(0, 1)
STEPS = st.lists(
    st.tuples(REPLICAS, KINDS, st.sampled_from(["leaving", "arriving"]), st.integers(1, 4)), max_size=8
)
Steps = list[tuple[int, str, str, int]]


class PeopleMachine(RuleBasedStateMachine):
    """What people may do next."""

    def __init__(self) -> None:
        super().__init__()
        self.state = Machine()
        world = self.state.world
        world.browsers = [Browser(world, user, mint(user, world.tenant)) for user in ("ann", "bob", "cid")]
        self.state.everybody_is_there()
        for browser in range(3):
            self.state.join(browser=browser, room=0)
        self.state.world.heal()

    def teardown(self) -> None:
        self.state.teardown()

    @rule(browser=BROWSERS, room=ROOMS, steps=STEPS)
    def join(self, browser: int, room: int, steps: Steps) -> None:
        self.state.join(browser=browser, room=room)
        self.go_on(steps)

    @rule(browser=BROWSERS, room=ROOMS, steps=STEPS)
    def leave(self, browser: int, room: int, steps: Steps) -> None:
        self.state.leave(browser=browser, room=room)
        self.go_on(steps)

    @rule(browser=BROWSERS, room=ROOMS, typing=st.sampled_from([True, True, False]), steps=STEPS)
    def type(self, browser: int, room: int, steps: Steps, *, typing: bool) -> None:
        self.state.type(browser=browser, room=room, typing=typing)
        self.go_on(steps)

    @rule(
        browsers=st.permutations([0, 1, 2]),
        room=ROOMS,
        replica=REPLICAS,
        meanwhile=st.sampled_from(["nothing", "joins", "leaves", "types", "stops", "is logged out"]),
        is_calm=st.booleans(),
        is_noticed=st.booleans(),
        before=STEPS,
        after=STEPS,
    )
    def is_away(
        self,
        browsers: list[int],
        room: int,
        replica: int,
        meanwhile: str,
        before: Steps,
        after: Steps,
        *,
        is_calm: bool,
        is_noticed: bool,
    ) -> None:
        """Have one drop and come back, and another one do something while it is away or on its way."""
        browser, other, _ = browsers
        if is_calm:
            self.all_is_heard()
        self.state.drop(browser=browser)
        if is_noticed and self.state.zombies:
            self.state.replica_notices_a_drop()
        if not before:
            self.state.come_back(browser=browser, replica=replica)
        if meanwhile == "joins":
            self.state.join(browser=other, room=room)
        elif meanwhile == "leaves":
            self.state.leave(browser=other, room=room)
        elif meanwhile in ("types", "stops"):
            self.state.type(browser=other, room=room, typing=meanwhile == "types")
        elif meanwhile == "is logged out":
            self.state.user_is_disconnected(browser=other, really=0)
        self.go_on(before)
        self.state.come_back(browser=browser, replica=replica)
        self.go_on(after)

    @rule(browser=BROWSERS, steps=STEPS)
    def is_logged_out(self, browser: int, steps: Steps) -> None:
        self.state.user_is_disconnected(browser=browser, really=0)
        self.go_on(steps)

    @rule(browser=BROWSERS)
    def look(self, browser: int) -> None:
        self.state.look(browser=browser)

    @rule(replica=REPLICAS, kind=KINDS)
    def connection_breaks(self, replica: int, kind: str) -> None:
        self.state.connection_breaks(replica=replica, kind=kind)

    @rule(browser=BROWSERS, times=st.integers(1, 8))
    def browser_hears(self, browser: int, times: int) -> None:
        self.state.browser_hears(browser=browser, times=times)

    @rule()
    def all_is_heard(self) -> None:
        self.state.all_goes_on()
        for browser in range(3):
            self.state.browser_hears(browser=browser, times=20)

    def go_on(self, steps: Steps) -> None:
        for replica, kind, queue, times in steps:
            self.state.let(replica, kind, queue, times)


def test_every_page_shows_the_people_that_are_there(
    shared_redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Machine, "port", shared_redis_server.port)
    run_state_machine_as_test(
        PeopleMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )


# -- the narrow places, each by itself


@pytest.fixture
def state(shared_redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[PeopleMachine]:
    """Ann and cid on the first replica, bob on the other; bob types in a conversation that ann is not in."""
    monkeypatch.setattr(Machine, "port", shared_redis_server.port)
    machine = PeopleMachine()
    machine.state.drop(browser=1)
    machine.state.come_back(browser=1, replica=1)
    machine.all_is_heard()
    machine.join(browser=1, room=1, steps=[])
    machine.all_is_heard()
    machine.type(browser=1, room=1, typing=True, steps=[])
    machine.all_is_heard()
    yield machine
    machine.state.world.close()


def hold_back_the_answer_of(state: PeopleMachine, script: Script) -> None:
    """Let the first replica go on until a script has run and only its answer is still under way."""
    world = state.state.world
    ask, hear = (world.replicas[0].source.links[kind] for kind in ("ask", "hear"))
    for _ in range(100):
        if ask.leaving and ask.leaving[0][1][1] == script.sha:
            while ask.arriving:
                world.act(ask.let_in)
            world.act(ask.let_out)
            return
        for act, queue in ((ask.let_out, ask.leaving), (hear.let_out, hear.leaving)):
            if queue:
                world.act(act)
        for act, queue in ((ask.let_in, ask.arriving), (hear.let_in, hear.arriving)):
            if queue:
                world.act(act)
    raise AssertionError("the script was never asked for")


def stops_typing(state: PeopleMachine) -> None:
    """Have bob stop, and have the first replica hear of it before anything else."""
    state.type(browser=1, room=1, typing=False, steps=[])
    world = state.state.world
    hear = world.replicas[0].source.links["hear"]
    for _ in range(100):
        if world.replicas[1].links() and not world.replicas[1].step():
            break
        world.act(lambda: None)
    while hear.arriving:
        world.act(hear.let_in)


def test_what_is_told_before_the_answer_to_a_join_is_not_taken_back_by_it(state: PeopleMachine) -> None:
    state.join(browser=0, room=1, steps=[])
    hold_back_the_answer_of(state, state.state.world.replicas[0].members.sessions._change_script)
    stops_typing(state)
    state.state.settle()
    assert state.state.world.browsers[0].shown.typing.get(state.state.rooms[1], set()) == set()


def test_what_is_told_before_the_answer_about_people_is_not_taken_back_by_it(state: PeopleMachine) -> None:
    state.join(browser=0, room=1, steps=[])
    state.all_is_heard()
    state.state.drop(browser=0)
    state.state.come_back(browser=0, replica=0)
    hold_back_the_answer_of(state, state.state.world.replicas[0].members.presence._read)
    stops_typing(state)
    state.state.settle()
    assert state.state.world.browsers[0].recoveries[-1]


def test_what_is_told_while_a_socket_comes_back_is_not_lost(state: PeopleMachine) -> None:
    state.join(browser=0, room=1, steps=[])
    state.all_is_heard()
    state.state.drop(browser=0)
    state.state.come_back(browser=0, replica=0)
    hold_back_the_answer_of(state, state.state.world.replicas[0].members.sessions._claim)
    stops_typing(state)
    state.state.settle()
    assert state.state.world.browsers[0].recoveries[-1]
