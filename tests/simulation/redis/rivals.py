"""A real Valkey and the simulated one side by side: each command goes to both, and both must say the same."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from gateway.redis.commands import Script
from gateway.redis.connection import ReplyError
from tests.simulation.redis.server import RedisServer

CLOCK = "test:clock"
# Expiries are this much longer in scripts, so that the time that a test takes makes no difference.
STRETCHED = 100_000
# The machine may be busy between the answers of the two servers.
TOLERANCE_MS = 60_000

# The beginning of each script on both servers: time is read from a key, and expiries are far.
LOCAL_REDIS = f"""
local redis = (function(real)
  local function changed(name, ...)
    local words = {{...}}
    if name == 'PEXPIRE' then words[2] = words[2] * {STRETCHED} end
    if name == 'SET' then
      for i = 3, #words do if words[i] == 'PX' then words[i + 1] = words[i + 1] * {STRETCHED} end end
    end
    return unpack(words)
  end
  return {{
    pcall = function(name, ...) return real.pcall(name, changed(name, ...)) end,
    call = function(name, ...)
      if name == 'TIME' then
        local now = real.call('GET', '{CLOCK}')
        return {{string.sub(now, 1, -7), string.sub(now, -6)}}
      end
      local reply = real.call(name, changed(name, ...))
      if name == 'PTTL' and reply > 0 then return math.ceil(reply / {STRETCHED}) end
      return reply
    end,
  }}
end)(redis)
"""


class RawClient:
    """A connection to a real server, which waits for replies."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 5.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader(replyError=ReplyError)

    def send(self, *words: Any) -> None:
        self._socket.sendall(hiredis.pack_command(words))

    def read(self) -> Any:
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65_536))
        return reply

    def call(self, *words: Any) -> Any:
        self.send(*words)
        return self.read()

    def close(self) -> None:
        self._socket.close()


class Wire(asyncio.Transport):
    """The transport of a connection to the simulated server: what the server writes stays here."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_cut = False
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.is_cut

    def abort(self) -> None:
        self.is_cut = True

    close = abort


class SimulatedClient:
    """A connection to the simulated server, without a loop."""

    def __init__(self, server: RedisServer) -> None:
        self.wire = Wire()
        self.connection = server.protocol()
        self.connection.connection_made(self.wire)
        self._reader = hiredis.Reader(replyError=ReplyError)

    def send(self, *words: Any) -> None:
        self.connection.data_received(hiredis.pack_command(words))

    def read(self) -> Any:
        self._reader.feed(bytes(self.wire.written))
        self.wire.written.clear()
        reply = self._reader.gets()
        assert reply is not False, "no reply"
        return reply

    def call(self, *words: Any) -> Any:
        self.send(*words)
        return self.read()


class Rivals:
    """Both servers. `call` returns what both replied; a difference raises `AssertionError` with all commands."""

    def __init__(self, port: int, *, journal: bool = False) -> None:
        self.server = RedisServer(lambda: time.time_ns() // 1000, journal=journal)
        self.port = port
        self.real = RawClient(port)
        self.simulated = SimulatedClient(self.server)
        self._hearing = RawClient(port), SimulatedClient(self.server)
        self._calls: list[Sequence[Any]] = []
        self.starve(of_memory=False)
        for client in (self.real, self.simulated):
            client.call("FLUSHALL")
            client.call("SCRIPT", "FLUSH")

    def close(self) -> None:
        self.real.close()
        self._hearing[0].close()

    def call(self, *words: Any) -> Any:
        """Send a command to both, and return the reply."""
        self._calls.append(words)
        real, simulated = self.real.call(*words), self.simulated.call(*words)
        self._compare(real, simulated, _is_same)
        return real

    def set_time(self, now_us: int) -> None:
        """Set the time that the scripts read."""
        self.call("SET", CLOCK, now_us)

    def starve(self, *, of_memory: bool) -> None:
        """Let both servers run out of memory, or have enough again."""
        self.real.call("CONFIG", "SET", "maxmemory", int(of_memory))
        self.server.out_of_memory = of_memory

    def load(self, source: str) -> bytes:
        """Load a script with `LOCAL_REDIS`, and return its SHA-1."""
        sha: bytes = self.call("SCRIPT", "LOAD", LOCAL_REDIS + source)
        return sha

    def subscribe(self, *channels: str) -> None:
        """Subscribe the second connection to channels, and wait until both servers have done it."""
        for client in self._hearing:
            client.send("SUBSCRIBE", *channels)
        for _ in channels:
            self._compare(self._hearing[0].read(), self._hearing[1].read(), _is_same)

    def compare_pushes(self) -> list[Any]:
        """Return what the second connection has heard since the last call, which must be the same."""
        heard = [_pushes(client) for client in self._hearing]
        self._compare(heard[0], heard[1], lambda real, simulated: bool(real == simulated))
        return heard[0]

    def compare_data(self) -> dict[bytes, Any]:
        """Return all keys with type, content and time to live, which must be the same."""
        found = [_dump(client) for client in (self.real, self.simulated)]
        self._compare(found[0], found[1], _is_same_data)
        return found[0]

    def _compare(self, real: Any, simulated: Any, is_same: Callable[[Any, Any], bool]) -> None:
        if not is_same(real, simulated):
            calls = "\n".join(str(call) for call in self._calls)
            raise AssertionError(f"{calls}\n\nreal:      {_shown(real)}\nsimulated: {_shown(simulated)}")


class ComparedCommands:
    """In the place of `gateway.redis.commands.Commands`: scripts and commands go to both servers."""

    publishing = "PUBLISH"

    def __init__(self, rivals: Rivals) -> None:
        self.rivals = rivals
        self._shas: dict[str, bytes] = {}

    def script(self, *names: str) -> Script:
        script = Script(*names)
        self._shas[script.sha] = self.rivals.load(script.source)
        return script

    async def run(self, script: Script, keys: list[str], *args: Any) -> Any:
        return _raised(self.rivals.call("EVALSHA", self._shas[script.sha], len(keys), *keys, *args))

    def ask(self, *command: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        reply = self.rivals.call(*command)
        if isinstance(reply, ReplyError):
            future.set_exception(reply)
        else:
            future.set_result(reply)
        return future


def _raised(reply: Any) -> Any:
    if isinstance(reply, ReplyError):
        raise reply
    return reply


def _is_same(real: Any, simulated: Any) -> bool:
    if isinstance(real, ReplyError) and isinstance(simulated, ReplyError):
        return str(real).split(" ")[0] == str(simulated).split(" ")[0]
    return type(real) is type(simulated) and bool(real == simulated)


def _is_same_data(real: dict[bytes, Any], simulated: dict[bytes, Any]) -> bool:
    return list(real) == list(simulated) and all(
        real[key][:2] == simulated[key][:2] and abs(real[key][2] - simulated[key][2]) < TOLERANCE_MS
        for key in real
    )


def _pushes(client: Any) -> list[Any]:
    client.send("PING", "end")
    heard: list[Any] = []
    while (push := client.read())[0] != b"pong":
        heard.append(push)
    return heard


def _dump(client: Any) -> dict[bytes, Any]:
    found = {}
    for key in sorted(client.call("KEYS", "*")):
        kind = client.call("TYPE", key)
        reading: tuple[Any, ...] = {
            b"string": ("GET", key),
            b"hash": ("HGETALL", key),
            b"zset": ("ZRANGE", key, 0, -1, "WITHSCORES"),
            b"stream": ("XRANGE", key, "-", "+"),
        }[kind]
        found[key] = kind, client.call(*reading), client.call("PTTL", key)
    return found


def _shown(value: Any) -> str:
    if not isinstance(value, dict):
        return repr(value)
    return "".join(f"\n  {key!r}: {content!r}" for key, content in value.items())
