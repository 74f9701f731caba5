"""The simulated browser and socket.io-client 4.8 do the same, on the wire and to the page, in the same scripts."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, conversation
from tests.simulation.client.manager import Backoff
from tests.simulation.client.recorder import Ending, Recorder
from tests.simulation.client.tab import Options
from tests.simulation.client.traces import Actor, Real, Simulated, Trace, saw, trace_of
from tests.support.browsers import Node
from tests.support.node import JS, installed
from tests.support.replica import Replica
from tests.support.tenant import Tenant
from tests.support.waiting import until

pytestmark = pytest.mark.process

QUICK = Options(reconnection_delay_ms=20, reconnection_delay_max_ms=200, randomization_factor=0, keep_alive=False)
UPGRADE = ("polling", "websocket")
PATHS = {"websocket": ("websocket",), "polling": ("polling",), "upgrade": UPGRADE}


@dataclass
class Stage:
    """What a script has: a browser, the recorder before its replica, a backend, an organization."""

    actor: Actor
    recorder: Recorder
    backend: AsyncPublisher
    tenant: Tenant

    async def publish(self, *numbers: int) -> None:
        """Publish events to the conversation."""
        for number in numbers:
            room = conversation(self.tenant.conversation)
            await self.backend.emit(self.tenant.id, "test:event", {"n": f"b1-{number}"}, to=room)

    async def join(self) -> None:
        self.actor.ask("join_conversation", {"conversation_id": self.tenant.conversation})
        await saw(self.actor, "ack")
        await saw(self.actor, "event conversation:viewers")

    async def saw(self, begin: str, times: int = 1) -> None:
        await saw(self.actor, begin, times)

    async def saw_event(self, number: int) -> None:
        await saw(self.actor, f'event test:event [{{"n": "b1-{number}"}}')

    async def connected(self, times: int = 1) -> None:
        """Wait until it is connected for the n-th time, and polls if it does."""
        await saw(self.actor, "event connected", times)
        await self.polls()

    async def polls(self) -> None:
        """Wait until a poll is under way, or a websocket is open."""
        await until(
            lambda: any(
                link.exchange
                and link.exchange.status == (0, 101)[link.exchange.is_websocket]
                and link.exchange.method == "GET"
                and not link.is_held
                for link in self.recorder.links
            )
        )

    async def upgraded(self) -> None:
        """Wait until the upgrade is over on the wire as well."""
        await saw(self.actor, "upgrade")
        await until(lambda: any("5" in each.said for each in self.recorder.exchanges))
        await until(lambda: all(link.exchange and link.exchange.is_websocket for link in self.recorder.links))

    async def held(self) -> None:
        """Wait until a request is held."""
        await until(lambda: any(link.is_held for link in self.recorder.links))

    async def ended(self) -> None:
        """Disconnect, and wait until all connections have ended but those that are silent."""
        await self.polls()
        self.actor.disconnect()
        await saw(self.actor, "disconnect io client disconnect")
        await self.closed()

    async def closed(self) -> None:
        """Wait until all connections have ended but those that are silent, and the farewell is said."""
        await until(self._has_said_farewell, 20.0, "the farewell")
        await until(lambda: all(link.is_silent for link in self.recorder.links), 20.0, "the end of all links")

    def _has_said_farewell(self) -> bool:
        """Return whether the last session has been closed, if it polls."""
        exchanges = self.recorder.exchanges
        polled = [each.session for each in exchanges if each.session and not each.is_websocket]
        of_last = [each for each in exchanges if polled and each.session == polled[-1]]
        return not polled or any(each.said == ["1"] or "5" in each.said for each in of_last)


Script = Callable[[Stage], Awaitable[None]]


@pytest_asyncio.fixture
async def backend(stage_redis: EmbeddedRedis) -> AsyncIterator[AsyncPublisher]:
    publisher = AsyncPublisher.from_url(stage_redis.url)
    yield publisher
    await publisher.aclose()


Compare = Callable[..., Awaitable[Trace]]


@pytest.fixture
def compare(node: Node, backend: AsyncPublisher) -> Compare:
    """Run a script with both browsers, and compare what they leave; return the real one's trace."""

    async def run(port: int, script: Script, options: Options, token: str | None, *, simulated: bool) -> Trace:
        tenant = Tenant()
        token = token or tenant.token()
        async with Recorder(port) as recorder:
            actor = Simulated(recorder, token, options) if simulated else Real(node, recorder, token, options)
            try:
                await script(Stage(actor, recorder, backend, tenant))
                return trace_of(actor, recorder)
            finally:
                actor.close()

    async def both(replica: Replica, script: Script, options: Options = QUICK, token: str | None = None) -> Trace:
        real = await run(replica.port, script, options, token, simulated=False)
        simulated = await run(replica.port, script, options, token, simulated=True)
        for name in real:
            assert simulated.get(name) == real[name], f"{name}: {simulated.get(name)}, really {real[name]}"
        assert simulated.keys() == real.keys()
        return real

    return both


def _over(path: str) -> Options:
    return replace(QUICK, transports=PATHS[path])


@pytest.mark.parametrize("path", ["websocket", "polling"])
async def test_a_day_without_faults(compare: Compare, replica: Replica, path: str) -> None:
    async def script(stage: Stage) -> None:
        await stage.connected()
        await stage.join()
        await stage.publish(1, 2, 3)
        await stage.saw_event(3)
        stage.actor.emit("ping")
        await stage.saw("event pong")
        stage.actor.ask("presence", {})
        await stage.saw("ack", 2)
        stage.actor.emit("typing_start", {"conversation_id": "no uuid"})
        await stage.saw("event error")
        await stage.ended()

    trace = await compare(replica, script, _over(path))
    assert trace["page"][-1] == "disconnect io client disconnect"


async def test_an_upgrade(compare: Compare, replica: Replica) -> None:
    async def script(stage: Stage) -> None:
        stage.recorder.websockets = "hold"
        await stage.connected()
        await stage.join()
        await stage.polls()
        stage.recorder.release()
        await stage.upgraded()
        await stage.publish(1)
        await stage.saw_event(1)
        stage.actor.emit("ping")
        await stage.saw("event pong")
        await stage.ended()

    trace = await compare(replica, script)
    assert trace["websocket 0 said"][:2] == ["2probe", "5"]


@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize("path", ["websocket", "polling", "upgrade"])
async def test_a_connection_is_cut(compare: Compare, replica: Replica, path: str, how: Ending) -> None:
    """It comes back at the third attempt, recovers what it missed, and says what it had to say meanwhile."""

    async def script(stage: Stage) -> None:
        if path == "upgrade":
            stage.recorder.websockets = "hold"
        await stage.connected()
        await stage.join()
        if path == "upgrade":
            await stage.polls()
            stage.recorder.release()
            await stage.upgraded()
        await stage.publish(1)
        await stage.saw_event(1)
        await stage.polls()
        # Where a poll fails, the client still posts its farewell.
        if path == "polling":
            stage.recorder.coming.append("pass")
        stage.recorder.coming.extend(("reset", "reset", "hold"))
        stage.recorder.cut(how)
        await stage.saw("reconnect_attempt", 2)
        stage.actor.emit("ping")
        await stage.publish(2, 3)
        await stage.held()
        stage.recorder.release()
        stage.recorder.websockets = "hold" if path == "upgrade" else "pass"
        await stage.connected(2)
        await stage.saw("event pong")
        await stage.publish(4)
        await stage.saw_event(4)
        await stage.polls()
        stage.recorder.cut(how)
        await stage.connected(3)
        await stage.ended()

    trace = await compare(replica, script, _over(path))
    assert [line for line in trace["page"] if line.startswith("reconnect_attempt")][:3] == [
        "reconnect_attempt 1",
        "reconnect_attempt 2",
        "reconnect_attempt 3",
    ]
    assert sum(line.startswith("disconnect transport") for line in trace["page"]) == 2
    assert [line[-5:-1] for line in trace["page"] if line.startswith("connect ")] == ["alse", "true", "true"]


@pytest.mark.parametrize("at", ["handshake", "2probe"])
async def test_an_upgrade_is_cut(compare: Compare, replica: Replica, at: str) -> None:
    """The client stays with the polling."""

    async def script(stage: Stage) -> None:
        stage.recorder.websockets = "reset" if at == "handshake" else "hold"
        await stage.connected()
        await stage.join()
        stage.recorder.cuts_at = at
        stage.recorder.release()
        await until(lambda: not any(link.exchange and link.exchange.is_websocket for link in stage.recorder.links))
        await stage.publish(1)
        await stage.saw_event(1)
        await stage.ended()

    trace = await compare(replica, script)
    assert "upgrade" not in trace["page"]


async def test_an_upgrade_is_cut_while_the_polling_pauses(compare: Compare, hasty_replica: Replica) -> None:
    """The client forgets to poll and to write, until its heartbeat fails."""

    async def script(stage: Stage) -> None:
        stage.recorder.websockets = "hold"
        await stage.connected()
        await stage.join()
        await stage.polls()
        stage.recorder.cuts_at = "3probe"
        stage.recorder.release()
        stage.recorder.holds_answers = True
        await until(lambda: not any(link.exchange and link.exchange.is_websocket for link in stage.recorder.links))
        stage.recorder.release()
        stage.recorder.websockets = "hold"
        await stage.saw("disconnect")
        await stage.connected(2)
        await stage.ended()

    trace = await compare(hasty_replica, script)
    assert "disconnect ping timeout" in trace["page"]


@pytest.mark.parametrize("path", ["websocket", "polling"])
async def test_refused(compare: Compare, replica: Replica, path: str) -> None:
    async def script(stage: Stage) -> None:
        await stage.saw("connect_error")
        await stage.closed()
        stage.actor.connect()
        await stage.saw("connect_error", 2)
        await stage.closed()

    trace = await compare(replica, script, _over(path), token="no token")
    assert "token_invalid" in trace["page"][-1]


@pytest.mark.parametrize("path", ["websocket", "polling"])
async def test_disconnected_by_the_server(compare: Compare, replica: Replica, path: str) -> None:
    async def script(stage: Stage) -> None:
        await stage.connected()
        await stage.backend.disconnect_user(stage.tenant.id, stage.tenant.alice)
        await stage.saw("disconnect")
        await stage.closed()

    trace = await compare(replica, script, _over(path))
    assert trace["page"][-1] == "disconnect io server disconnect"


@pytest.mark.parametrize("path", ["websocket", "polling"])
async def test_a_server_that_is_busy(compare: Compare, replica: Replica, path: str) -> None:
    async def script(stage: Stage) -> None:
        stage.recorder.coming.extend(["503"] * 4)
        await stage.connected()
        await stage.join()
        await stage.ended()

    trace = await compare(replica, script, _over(path))
    assert "reconnect_attempt 4" in trace["page"]


async def test_an_unknown_session(compare: Compare, replica: Replica) -> None:
    async def script(stage: Stage) -> None:
        await stage.connected()
        session = json.loads(stage.recorder.exchanges[0].heard[0][1:])["sid"]
        stage.recorder.forged = session
        stage.actor.emit("ping")
        await stage.saw("disconnect")
        await stage.connected(2)
        await until(lambda: sum("1" in each.said for each in stage.recorder.exchanges) == 1)
        await stage.saw("event connected", 2)
        stage.recorder.fall_silent()

    trace = await compare(replica, script, _over("polling"))
    assert "disconnect transport error" in trace["page"]


@pytest.mark.parametrize("path", ["websocket", "polling"])
async def test_silence(compare: Compare, hasty_replica: Replica, path: str) -> None:
    async def script(stage: Stage) -> None:
        await stage.connected()
        await until(lambda: any("3" in each.said for each in stage.recorder.exchanges))
        await stage.polls()
        stage.recorder.fall_silent()
        await stage.saw("disconnect")
        await stage.connected(2)
        await stage.ended()

    trace = await compare(hasty_replica, script, _over(path))
    assert "disconnect ping timeout" in trace["page"]


@pytest.mark.parametrize("path", ["websocket", "polling"])
async def test_no_answer_in_time(compare: Compare, replica: Replica, path: str) -> None:
    async def script(stage: Stage) -> None:
        stage.recorder.coming.append("silent")
        await stage.connected()
        await stage.join()
        await stage.ended()

    trace = await compare(replica, script, replace(_over(path), timeout_s=1.0))
    assert trace["page"][0] == "connect_error timeout null"


async def test_giving_up(compare: Compare, replica: Replica) -> None:
    async def script(stage: Stage) -> None:
        await stage.connected()
        stage.recorder.refuse()
        stage.recorder.cut("rst")
        await stage.saw("reconnect_failed")

    trace = await compare(replica, script, replace(_over("websocket"), reconnection_attempts=3))
    assert trace["page"][-1] == "reconnect_failed"


def test_pauses_are_those_of_backo2() -> None:
    rng = random.Random(3)
    drawn = [rng.random() for _ in range(1100)]
    script = """
        import { Backoff } from "./node_modules/socket.io-client-newest/build/esm/contrib/backo2.js";
        const drawn = JSON.parse(process.argv[1]);
        Math.random = () => drawn.shift();
        const backoff = new Backoff({ min: 1000, max: 5000, jitter: 0.5 });
        console.log(JSON.stringify(drawn.map(() => 0).map(() => backoff.duration())));
    """
    command = [str(installed()), "--input-type=module", "-e", script, json.dumps(drawn)]
    real = subprocess.run(command, cwd=JS, capture_output=True, text=True, check=True, timeout=60)
    backoff = Backoff(1000, 5000, 0.5, random.Random(3))
    assert [backoff.duration() for _ in drawn] == json.loads(real.stdout)
