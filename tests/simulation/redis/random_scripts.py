"""Random calls of all our scripts, with the arguments that gateway and publisher give them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, cast
from uuid import UUID

from gateway.core.history import Retention
from gateway.core.stays import Stay
from gateway.presence.online import online
from gateway.presence.store import PresenceStore, PresenceTimes
from gateway.redis.commands import Commands
from gateway.redis.connection import ReplyError
from gateway.rooms.logs import History
from gateway.sessions.store import SessionRef, Sessions
from publisher import wire
from publisher.envelope import Envelope, Options, build_control, build_event
from publisher.rooms import Room, conversation, organization, user
from publisher.scripts import SCRIPTS, command
from tests.simulation.redis.rivals import ComparedCommands, Rivals

TENANT = str(UUID(int=1))
USERS = ("ann", "bob@example.org", str(UUID(int=3)))
CONVERSATIONS = [conversation(UUID(int=i)) for i in (11, 12, 13)]
ROOMS = [*CONVERSATIONS, organization(TENANT), *map(user, USERS)]
LANES = ("lane-a", "lane-b")
TRACE = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
BEGAN_US = 1_764_518_208_123_456
KEPT = Retention(20, 600.0, 3000, window_s=30.0, beyond=5, max_bytes=20_000)
TIMES = PresenceTimes(lease_s=30.0, grace_s=5.0, typing_s=6.0, missed_s=100.0)


class Life:
    """Sockets that come and go, backends that publish, and time that passes."""

    def __init__(self, rivals: Rivals, rng: Random) -> None:
        self.rng = rng
        self.rivals = rivals
        self._now = BEGAN_US
        rivals.set_time(self._now)
        compared = ComparedCommands(rivals)
        self._compared = compared
        self._commands = cast(Commands, compared)
        self._sessions = [self._new_sessions(kept) for kept in (KEPT, KEPT._replace(ttl_s=1200.0))]
        self._presence = PresenceStore(self._commands, TIMES)
        self._history = History(self._commands, KEPT)
        self._shas = {name: rivals.load(script.source) for name, script in SCRIPTS.items()}
        self._refs: list[SessionRef] = []
        self._number = 0
        self._fed_in = 0
        """Steps until there is memory again."""
        self._actions: tuple[Callable[[], Awaitable[Any] | None], ...] = (
            *(self._publish,) * 5,
            *(self._open,) * 2,
            *(self._join,) * 2,
            *(self._type,) * 2,
            *(self._sweep,) * 2,
            *(self._pass_time,) * 3,
            self._burst,
            self._claim,
            self._leave,
            self._renew,
            self._mark,
            self._end,
            self._control,
            self._read_logs,
            self._read_presence,
            self._tell_again,
            self._renew_epoch,
            self._ask,
            self._expire,
            self._break,
            self._starve,
        )
        rivals.subscribe(*(wire.channel(TENANT, room) for room in ROOMS), wire.notices_channel(TENANT))

    async def step(self) -> None:
        """Do one thing. A refusal of Redis is as good as another reply: both servers gave it."""
        self._fed_in -= 1
        if self._fed_in == 0:
            self.rivals.starve(of_memory=False)
        try:
            done = self.rng.choice(self._actions)()
            if done is not None:
                await done
        except ReplyError:
            pass

    def _new_sessions(self, kept: Retention) -> Sessions:
        return Sessions(
            self._commands,
            window_s=60.0,
            renew_every_s=10.0,
            unnoticed_s=45.0,
            kept=kept,
            presence=TIMES,
            most_sockets=3,
        )

    # Sockets

    def _any_sessions(self) -> Sessions:
        return self.rng.choice(self._sessions)

    def _ref(self) -> SessionRef:
        """Return a socket, seldom one that Redis has not seen, or of an older generation."""
        rng = self.rng
        if not self._refs or rng.random() < 0.1:
            return SessionRef(TENANT, rng.choice(USERS), f"pid{rng.randrange(20)}", f"sid{rng.randrange(20)}")
        ref = rng.choice(self._refs)
        return ref._replace(generation=ref.generation + rng.choice((-1, 1))) if rng.random() < 0.1 else ref

    def _rooms(self, most: int = 3) -> list[Room]:
        return self.rng.sample(ROOMS, self.rng.randint(0, most))

    def _seq(self) -> int:
        return self._now - self.rng.choice((0, 1, 1000, 5_000_000, 60_000_000, 10_000_000_000))

    def _stays(self) -> list[Stay]:
        return [Stay(room, self._seq(), self._now) for room in self._rooms(2)]

    async def _open(self) -> None:
        rng = self.rng
        ref = self._ref()
        if rng.random() < 0.3:
            ref = ref._replace(
                token_id=f"token{rng.randrange(3)}", issued_at=rng.choice((1.5, 1_764_518_000, 2.0**53))
            )
        rooms = {room: rng.choice((None, self._seq())) for room in self._rooms(5)}
        opened_at = rng.choice((None, None, self._seq()))
        lost = rng.choice(("", "", "expired"))
        await self._any_sessions().open(ref, rooms, lost, opened_at=opened_at, stays=self._stays())
        self._refs = [*self._refs[-10:], ref]

    async def _claim(self) -> None:
        ref = self._ref()
        opened = await self._any_sessions().claim(ref)
        if opened.session is not None and opened.session.generation:
            self._refs.append(ref._replace(generation=opened.session.generation))

    async def _join(self) -> None:
        after = self.rng.choice((None, self._seq()))
        await self._any_sessions().join(self._ref(), self.rng.choice(ROOMS), self._now, after)

    async def _leave(self) -> None:
        await self._any_sessions().leave(self._ref(), self.rng.choice(ROOMS), self._stays())

    async def _renew(self) -> None:
        refs = [self._ref() for _ in range(self.rng.randint(1, 4))]
        await self._any_sessions().renew(TENANT, [(ref, self._seq()) for ref in refs])

    async def _mark(self) -> None:
        await self._any_sessions().mark_holed([self._ref()])

    async def _end(self) -> None:
        rng, ref = self.rng, self._ref()
        typing = rng.sample(CONVERSATIONS, rng.randint(0, 2))
        if rng.random() < 0.5:
            moving = rng.random() < 0.5
            await self._any_sessions().begin_window(ref, self._seq(), typing, moving=moving)
        else:
            await self._any_sessions().end(ref, typing, at_once=rng.random() < 0.5)

    # Presence

    async def _sweep(self) -> None:
        refs = [self._ref() for _ in range(self.rng.randint(0, 4))]
        await self._presence.sweep(TENANT, [(ref.pid, ref.user_id) for ref in refs])

    async def _type(self) -> None:
        ref = self._ref()
        skip = self.rng.choice((ref.sid, f"@{ref.user_id}"))
        typing = self.rng.random() < 0.7
        await self._presence.type(
            TENANT, self.rng.choice(CONVERSATIONS), ref.pid, ref.user_id, skip, typing=typing
        )

    async def _read_presence(self) -> None:
        after = self.rng.choice((None, self._seq()))
        await self._presence.read(TENANT, CONVERSATIONS[: self.rng.randint(0, 3)], self.rng.choice(USERS), after)

    async def _tell_again(self) -> None:
        await self._presence.tell_again(TENANT, self._seq(), CONVERSATIONS[: self.rng.randint(0, 3)])

    # Events

    def _publish(self) -> None:
        """Publish some events in one call, with or without a lane."""
        rng = self.rng
        events = [self._event() for _ in range(rng.choice((1, 1, 1, 2, 5)))]
        lane = rng.choice(("", *LANES))
        self._number += rng.choice((0, 1))
        numbers = [self._number + i for i in range(len(events))] if lane else []
        self._number += len(numbers)
        words = command(*events, lane=lane, lane_ms=600_000 if lane else 0, numbers=numbers)
        self.rivals.call("EVALSHA", self._shas["publish"], *words[1:])

    def _burst(self) -> None:
        """Publish many small events to one room, so that its log has several nodes."""
        size = self.rng.choice((1, 60, 300))
        options = Options(history_size=5, history_max_events=40)
        events = [
            build_event(TENANT, "burst", {"text": "y" * size, "i": i}, CONVERSATIONS[0], options)
            for i in range(self.rng.choice((16, 64)))
        ]
        self.rivals.call("EVALSHA", self._shas["publish"], *command(*events)[1:])

    def _event(self) -> Envelope:
        rng = self.rng
        options = Options(
            history_size=5,
            history_ttl_s=rng.choice((600.0, 60.0)),
            history_max_events=40,
            history_max_bytes=10_000,
            traceparent=rng.choice((None, lambda: TRACE)),
        )
        ephemeral = rng.random() < 0.15
        key = f"key{rng.randrange(12)}" if rng.random() < 0.4 and not ephemeral else None
        return build_event(
            TENANT,
            "message:new",
            {"text": "x" * rng.choice((1, 10, 200, 1000, 2000, 3500))},
            self._rooms() or CONVERSATIONS[0],
            options,
            key=key,
            version=rng.randrange(5) if key is not None and rng.random() < 0.5 else None,
            skip_sid=rng.choice((None, None, "sid1")),
            ephemeral=ephemeral,
            conflate=f"status{rng.randrange(2)}" if rng.random() < 0.4 and not ephemeral else None,
        )

    def _control(self) -> None:
        rng = self.rng
        room = rng.choice(CONVERSATIONS)
        revoke, value = rng.choice(
            (
                (room, ""),
                ("*", ""),
                (f"token/token{rng.randrange(3)}", ""),
                ("before", str(rng.choice((1_764_517_999, 5)))),
            ),
        )
        block = (room, rng.choice((0.0, 30.0, 100_000.0))) if rng.random() < 0.4 else None
        envelope = build_control(
            TENANT, rng.choice(USERS), {"do": "test"}, Options(), revoke=revoke, value=value, block=block
        )
        self.rivals.call("EVALSHA", self._shas["control"], *command(envelope)[1:])

    async def _read_logs(self) -> None:
        rng = self.rng
        after = {room: self._seq() for room in self._rooms(4)}
        newest = rng.choice((None, None, 0, 1, 3, 100))
        await self._history.read(TENANT, after, newest=newest, most_bytes=rng.choice((0, 500, 5000, 1 << 20)) or 1)

    async def _renew_epoch(self) -> None:
        epoch = self.rivals.call("HGET", wire.meta_key(TENANT), "epoch")
        if epoch is not None and self.rng.random() < 0.3:
            await self._history.renew_epoch(TENANT, self.rng.choice((epoch.decode(), "0000")))

    async def _ask(self) -> None:
        rng = self.rng
        await online(self._commands, TENANT, rng.choice((None, USERS)))
        ref = self._ref()
        await self._sessions[0].statuses(TENANT, [(ref.pid, ref.user_id)])
        await self._sessions[0].blocked(TENANT, rng.choice(USERS), CONVERSATIONS)
        await self._sessions[0].generation(TENANT, ref.pid)
        await self._sessions[0].put_off(ref, [rng.choice(ROOMS)], self._now)

    # Time and trouble

    def _pass_time(self) -> None:
        """Let time pass, or stand still, or step back."""
        self._now += self.rng.choice((0, 1, 900, 20_000, 600_000, 4_000_000, 31_000_000, 200_000_000, -3_000_000))
        self.rivals.set_time(self._now)

    def _expire(self) -> None:
        """Delete keys that expire within seconds, or any one."""
        prefix = wire.prefix(TENANT)
        short = [f"{prefix}told", f"{prefix}rate", *(f"{prefix}told:{room}" for room in CONVERSATIONS)]
        self.rivals.call("DEL", *short)
        keys = sorted(self.rivals.real.call("KEYS", f"{prefix}*"))
        if keys and self.rng.random() < 0.3:
            self.rivals.call("DEL", self.rng.choice(keys))

    def _starve(self) -> None:
        """Run out of memory for some steps."""
        self.rivals.starve(of_memory=True)
        self._fed_in = self.rng.randrange(1, 8)

    def _break(self) -> None:
        """Put a value of another type where a log or a sorted set is expected, or repair it."""
        prefix, rng = wire.prefix(TENANT), self.rng
        key = rng.choice(
            (wire.log_key(TENANT, CONVERSATIONS[2]), f"{prefix}due", f"{prefix}viewers:{CONVERSATIONS[2]}")
        )
        self.rivals.call("DEL", key)
        if rng.random() < 0.3:
            self.rivals.call("SET", key, "broken")
