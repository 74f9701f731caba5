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

from gateway.embedded import EmbeddedRedis
from tests.sockets.simulated import Browser
from tests.sockets.test_interleavings import BROWSERS, KINDS, REPLICAS, Machine, _small_limits
from tests.support.tokens import mint

__all__ = ["_small_limits"]

ROOMS = st.integers(0, 1)
STEPS = st.integers(0, 5)


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

    @rule(browser=BROWSERS, room=ROOMS, before=STEPS, after=STEPS)
    def join(self, browser: int, room: int, before: int, after: int) -> None:
        self.state.join(browser=browser, room=room)
        self.go_on(before, after)

    @rule(browser=BROWSERS, room=ROOMS, before=STEPS, after=STEPS)
    def leave(self, browser: int, room: int, before: int, after: int) -> None:
        self.state.leave(browser=browser, room=room)
        self.go_on(before, after)

    @rule(browser=BROWSERS, room=ROOMS, typing=st.sampled_from([True, True, False]), before=STEPS, after=STEPS)
    def type(self, browser: int, room: int, before: int, after: int, *, typing: bool) -> None:
        self.state.type(browser=browser, room=room, typing=typing)
        self.go_on(before, after)

    @rule(
        browsers=st.permutations([0, 1, 2]),
        room=ROOMS,
        replica=REPLICAS,
        meanwhile=st.sampled_from(["nothing", "joins", "leaves", "types", "stops", "is logged out"]),
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
        before: int,
        after: int,
        *,
        is_noticed: bool,
    ) -> None:
        """Have one drop and come back, and another one do something while it is away or on its way."""
        browser, other, _ = browsers
        self.state.drop(browser=browser)
        if is_noticed and self.state.zombies:
            self.state.replica_notices_a_drop()
        if before == after:
            self.state.come_back(browser=browser, replica=replica)
        if meanwhile == "joins":
            self.state.join(browser=other, room=room)
        elif meanwhile == "leaves":
            self.state.leave(browser=other, room=room)
        elif meanwhile in ("types", "stops"):
            self.state.type(browser=other, room=room, typing=meanwhile == "types")
        elif meanwhile == "is logged out":
            self.state.user_is_disconnected(browser=other, really=0)
        self.go_on(before, before)
        self.state.come_back(browser=browser, replica=replica)
        self.go_on(after, after)

    @rule(browser=BROWSERS, before=STEPS, after=STEPS)
    def is_logged_out(self, browser: int, before: int, after: int) -> None:
        self.state.user_is_disconnected(browser=browser, really=0)
        self.go_on(before, after)

    @rule(browser=BROWSERS)
    def look(self, browser: int) -> None:
        self.state.look(browser=browser)

    @rule(replica=REPLICAS, kind=KINDS)
    def connection_breaks(self, replica: int, kind: str) -> None:
        self.state.connection_breaks(replica=replica, kind=kind)

    @rule(replica=REPLICAS, kind=KINDS, times=STEPS)
    def replica_hears(self, replica: int, kind: str, times: int) -> None:
        self.state.let(replica, kind, "leaving", times)
        self.state.let(replica, kind, "arriving", times)

    @rule(browser=BROWSERS, times=st.integers(1, 8))
    def browser_hears(self, browser: int, times: int) -> None:
        self.state.browser_hears(browser=browser, times=times)

    @rule()
    def all_goes_on(self) -> None:
        self.state.all_goes_on()

    def go_on(self, *steps: int) -> None:
        for replica, times in enumerate(steps):
            self.state.replica_goes_on(replica=replica, times=times)


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


@pytest.fixture
def state(shared_redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[PeopleMachine]:
    monkeypatch.setattr(Machine, "port", shared_redis_server.port)
    machine = PeopleMachine()
    yield machine
    machine.state.world.close()
