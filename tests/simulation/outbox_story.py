"""What happens to an outbox: transactions of backends, and what goes wrong with them and with the relays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from publisher import Room
from publisher.outbox import Relaying
from publisher.rooms import conversation
from tests.simulation.choosing import pick, pick_any
from tests.simulation.cluster import REDIS_URL
from tests.simulation.outbox import Database, Relay, Row, Writer
from tests.simulation.truth import Committed

if TYPE_CHECKING:
    from tests.simulation.story import Story

BURST: Final = 150
MOST_ROWS: Final = 4


class OutboxStory:
    """The outbox of a story, if its plan has one. Methods with draws do what actions of their names say."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.plan = story.plan
        self.cluster = story.cluster
        self.relays: list[Relay] = []
        self.writers: list[Writer] = []
        self.database: Database | None = None
        self._ambushes: list[Callable[[], None]] = []
        """What happens to a relay as soon as Redis has published a row."""

    # -- beginning and end

    def begin(self) -> None:
        """Create the database; start relays and backends."""
        if self.plan.relays:
            self.database = Database(journal=self.plan.journal)
            self.cluster.truth.watch = self._published
            self._complete()

    def heal(self) -> None:
        """Have no fewer relays and backends than planned."""
        self._ambushes.clear()
        if self.database is not None:
            self._complete()

    def settle(self) -> None:
        """Stop the relays: they have had the time to publish all rows."""
        for relay in self._live_relays():
            relay.stop()

    def close(self) -> None:
        """Remove the database."""
        if self.database is not None:
            self.database.close()

    @staticmethod
    def is_of_outbox(ident: str) -> bool:
        """Return whether an event was written into the outbox."""
        return ident.startswith("writer-")

    def _complete(self) -> None:
        """Start what is missing."""
        assert self.database is not None
        while len(self._live_relays()) < self.plan.relays:
            process = self.cluster.process("relay", drift=self.story.drift())
            self.relays.append(Relay(process, self.database, REDIS_URL, Relaying(**self.plan.relaying)))
        while len(self._live_writers()) < self.plan.writers:
            self.writers.append(Writer(self.cluster.process("writer", drift=self.story.drift()), self.database))

    def _live_relays(self) -> list[Relay]:
        return [relay for relay in self.relays if relay.process.is_alive and not relay.is_leaving]

    def _live_writers(self) -> list[Writer]:
        return [writer for writer in self.writers if writer.process.is_alive]

    # -- what backends do

    def _writer(self, draws: Sequence[float]) -> Writer:
        # After the last one was killed there is none for a moment: then nothing comes of the action.
        return pick(self._live_writers() or self.writers, draws[0])

    def _row(self, group: str, tenant: str, room: Room, event: str = "message:new", **how: Any) -> Row:
        ident = self.story.ident(group)
        data = {"n": ident, "conversation_id": room.partition(":")[2], **how.pop("data", {})}
        return Row(ident, tenant, event, (room,), data, how)

    def _group(self, writer: Writer) -> str:
        """Return a new name for rows that `events` wants in the order in which they were written."""
        return self.story.ident(writer.name)

    def _room(self, tenant: str, draw: float) -> Room:
        return conversation(pick(self.story.conversations[tenant], draw))

    def _rows(self, writer: Writer, draws: Sequence[float], number: int) -> list[Row]:
        """Return new rows, of one tenant or of several."""
        tenants = self.story.tenants
        first = int(draws[1] * len(tenants))
        chosen = [tenants[(first + (step if draws[3] < 0.3 else 0)) % len(tenants)] for step in range(number)]
        # Where Redis may lose some of them and get them again, later, each row is a group of its own.
        group = self._group(writer)
        return [
            self._row(
                self._group(writer) if self.plan.forgets else group,
                tenant,
                self._room(tenant, (draws[2] + step / 3) % 1),
            )
            for step, tenant in enumerate(chosen)
        ]

    def _transact(self, draws: Sequence[float], seconds: float, *, commits: bool = True) -> None:
        writer = self._writer(draws)
        writer.transact(self._rows(writer, draws, 1 + int(draws[3] * MOST_ROWS)), seconds, commits=commits)

    def commit(self, draws: Sequence[float]) -> None:
        self._transact(draws, 0.0)

    def commit_slowly(self, draws: Sequence[float], seconds: float) -> None:
        """Hold the database for some seconds: nobody else can write."""
        self._transact(draws, seconds)

    def roll_back(self, draws: Sequence[float], seconds: float) -> None:
        self._transact(draws, seconds, commits=False)

    def commit_status(self, draws: Sequence[float]) -> None:
        """Commit a message's status with a version, in any order."""
        writer, tenant = self._writer(draws), pick(self.story.tenants, draws[1])
        message, version = pick(self.story.messages[tenant], draws[2]), 1 + int(draws[3] * 1000)
        row = self._row(
            self._group(writer),
            tenant,
            self._room(tenant, 0.0),
            "message:status",
            data={"key": f"status {message}", "version": version},
            key=f"status:{message}",
            version=version,
        )
        writer.transact([row], 0.0)

    def commit_twice(self, draws: Sequence[float]) -> None:
        """Commit an event under one key twice, in one transaction or in two."""
        writer = self._writer(draws)
        [row] = self._rows(writer, draws, 1)
        row.how["key"] = f"once:{row.ident}"
        if draws[3] < 0.5:
            writer.transact([row, row], 0.0)
        else:
            pick(self._live_writers() or self.writers, draws[3]).transact([row], 0.0)
            writer.transact([row], 0.0)

    def commit_burst(self, draws: Sequence[float]) -> None:
        writer = self._writer(draws)
        writer.transact(self._rows(writer, draws, BURST), 0.0)

    def commit_removal(self, draws: Sequence[float]) -> None:
        """Take a conversation from a user, in a transaction."""
        tenant = pick(self.story.tenants, draws[1])
        user = pick(self.story.users[tenant], draws[3])
        self._writer(draws).take_room(tenant, user, self._room(tenant, draws[2]))

    def commit_strangely(self, draws: Sequence[float]) -> None:
        self._writer(draws).write_strangely(pick(self.story.tenants, draws[1]))

    # -- what goes wrong

    def _with_relay(self, draws: Sequence[float], act: Callable[[Relay], object]) -> None:
        """Do something to a relay: now, or when Redis publishes the next row and no relay knows it yet."""
        if draws[2] < 0.3:
            self._strike(draws, act)
        else:
            self._ambushes.append(lambda: self._strike(draws, act))

    def _strike(self, draws: Sequence[float], act: Callable[[Relay], object]) -> None:
        relay = pick_any(self._live_relays(), draws[0])
        if relay is not None:
            act(relay)

    def _published(self, event: Committed) -> None:
        if self._ambushes and self.is_of_outbox(event.ident):
            self.story.world.after(0.0, self._ambushes.pop(0))

    def kill_relay(self, draws: Sequence[float], seconds: float) -> None:
        def kill(relay: Relay) -> None:
            relay.kill()
            self.story.until(seconds, self._complete)

        self._with_relay(draws, kill)

    def stop_relay(self, draws: Sequence[float], seconds: float) -> None:
        def stop(relay: Relay) -> None:
            relay.stop()
            self.story.until(seconds, self._complete)

        self._with_relay(draws, stop)

    def freeze_relay(self, draws: Sequence[float], seconds: float) -> None:
        self._with_relay(draws, lambda relay: self.story.faults.freeze(relay.process, seconds))

    def mute_relay(self, draws: Sequence[float]) -> None:
        self._with_relay(draws, lambda relay: self.story.faults.mute(relay.process, draws))

    def stall_relay(self, draws: Sequence[float], seconds: float) -> None:
        self._with_relay(draws, lambda relay: self.story.faults.stall(relay.process, draws, seconds))

    def kill_writer(self, draws: Sequence[float], seconds: float) -> None:
        """Kill a backend, maybe within a transaction."""
        writer = pick_any(self._live_writers(), draws[0])
        if writer is not None:
            writer.kill()
            self.story.until(seconds, self._complete)

    def freeze_writer(self, draws: Sequence[float], seconds: float) -> None:
        """Freeze a backend, maybe within a transaction: then nobody else can write."""
        writer = pick_any(self._live_writers(), draws[0])
        if writer is not None:
            self.story.faults.freeze(writer.process, seconds)
