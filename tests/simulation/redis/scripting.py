"""Lua scripts on the simulated keys: one Lua state for a server, in which each script is compiled once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from tests.simulation.redis.command import Command, Handler
from tests.simulation.redis.keyspace import Keyspace
from tests.simulation.redis.replies import (
    OUT_OF_MEMORY,
    READ_ONLY,
    Refused,
    Scored,
    Status,
    Verbatim,
    error_bytes,
    number_text,
)

Effect = tuple[Handler, list[bytes]]
"""A write that took place: the command's function and its arguments."""

LUA = "luajit21"
"""It writes and reads numbers as Valkey's Lua 5.1 does, and publishes in three quarters of the time of `lua51`."""
_LARGEST = 2**63
# Valkey's Lua refuses to push more values at once; a longer call goes through tables.
_MOST_VALUES = 7000
_PRELUDE = Path(__file__).with_name("prelude.lua")
_UNKNOWN = b"ERR Unknown command called from script"
_FORBIDDEN = b"ERR This Valkey command is not allowed from script"
_WRONG_NUMBER = b"ERR Wrong number of args calling command from script"
_BAD_ARGUMENT = b"ERR Command arguments must be strings or integers"
_NO_ARGUMENT = b"ERR Please specify at least one argument for this call"
_CODE = re.compile(rb"[A-Z]+ ")


class Troubles(Protocol):
    """Port: the server, as far as it refuses writes."""

    out_of_memory: bool
    read_only: bool


class Scripts:
    """The scripts of one server; they may not call the commands that are `forbidden`."""

    def __init__(
        self, keyspace: Keyspace, commands: dict[bytes, Command], forbidden: frozenset[bytes], troubles: Troubles
    ) -> None:
        self.effects: list[Effect] | None = None
        """Where the writes of the running script are noted; None if nobody needs them."""
        self._keyspace = keyspace
        self._troubles = troubles
        self._known: dict[bytes, Any] = {}
        self._compiled: dict[bytes, Any] = {}
        self._written = False
        self._resp3 = False
        lua: Any = import_module(f"lupa.{LUA}")
        self._error: type[Exception] = lua.LuaError
        self._runtime = lua.LuaRuntime(
            encoding=None, unpack_returned_tuples=True, register_eval=False, register_builtins=False
        )
        table_from = self._runtime.table_from
        call = self._caller(commands, forbidden, protected=False)
        pcall = self._caller(commands, forbidden, protected=True)
        prelude = self._runtime.eval(b"function(source, ...) return loadstring(source, '@prelude')(...) end")
        functions = prelude(_PRELUDE.read_bytes(), call, pcall, _sha1hex, lambda *words: None)
        self._compile, self._make, self._line, self._set_absent = functions
        self._from_list: Callable[[list[Any]], Any] = table_from
        self._ok = self._runtime.table_from({b"ok": b"OK"})

    def load(self, source: bytes) -> bytes:
        """Compile a script and return its SHA-1; raise `Refused` if that fails."""
        sha = _sha1hex(source)
        if sha not in self._compiled:
            found = self._compile(source)
            if found[0] is None:
                raise Refused(b"ERR Error compiling script (new function): " + found[1])
            self._compiled[sha] = found
        self._known[sha] = self._compiled[sha]
        return sha

    def knows(self, sha: bytes) -> bool:
        """Return whether a script has been loaded."""
        return sha.lower() in self._known

    def forget(self) -> None:
        """Forget all scripts, as a restart or SCRIPT FLUSH does."""
        self._known.clear()

    def run(self, sha: bytes, keys: int, words: list[bytes], *, resp3: bool = False) -> bytes | None:
        """Run a script and return the bytes of its reply; None if the script is unknown."""
        script = self._known.get(sha) or self._known.get(sha.lower())
        if script is None:
            return None
        if resp3 is not self._resp3:
            self._resp3 = resp3
            self._set_absent(b"_\r\n" if resp3 else b"$-1\r\n")
        self._written = False
        try:
            if len(words) < _MOST_VALUES:
                reply: bytes = script[0](keys, *words)
            else:
                reply = script[1](self._from_list(words[:keys]), self._from_list(words[keys:]))
        except Refused as error:
            return error_bytes(b"%b script: on @user_script:%d." % (error.text, error.line))
        except self._error as error:
            return error_bytes(b"ERR %b script: on @user_script:0." % _message(error))
        return reply

    def _caller(
        self, commands: dict[bytes, Command], forbidden: frozenset[bytes], *, protected: bool
    ) -> Callable[..., Any]:
        """Return `redis.call` or, `protected`, `redis.pcall`: one function, as most of the time goes here."""
        keyspace, troubles = self._keyspace, self._troubles

        def call(name: Any = None, *words: Any) -> Any:
            try:
                command = commands.get(name) or _looked_up(commands, forbidden, name)
                handler, least, most, writes, denies_oom, _ = command
                args = [word if type(word) is bytes else _argument(word) for word in words]
                if len(args) < least or len(args) > most >= 0:
                    raise Refused(_WRONG_NUMBER)
                if writes:
                    if not self._written:
                        if troubles.read_only:
                            raise Refused(READ_ONLY)
                        if denies_oom and troubles.out_of_memory:
                            raise Refused(OUT_OF_MEMORY)
                        self._written = True
                    reply = handler(keyspace, args)
                    if self.effects is not None:
                        self.effects.append((handler, args))
                else:
                    reply = handler(keyspace, args)
            except Refused as error:
                if protected:
                    return self._runtime.table_from({b"err": error.text})
                error.line = int(self._line())
                raise
            kind = type(reply)
            if kind is bytes or kind is int:
                return reply
            if reply is None:
                return False
            return self._converted(reply)

        return call

    def _converted(self, reply: Any) -> Any:
        """Return a reply that is no plain value as Lua gets it."""
        kind = type(reply)
        if kind is list or kind is Scored:
            return self._table(reply)
        if kind is Status:
            return self._ok if reply == b"OK" else self._runtime.table_from({b"ok": bytes(reply)})
        if kind is dict:
            return self._table([part for pair in reply.items() for part in pair])
        if kind is float:
            return number_text(reply)
        assert kind is Verbatim
        return bytes(reply)

    def _table(self, reply: list[Any]) -> Any:
        values = [
            value if type(value) is bytes else False if value is None else self._value(value) for value in reply
        ]
        return self._make(*values) if len(values) < _MOST_VALUES else self._from_list(values)

    def _value(self, value: Any) -> Any:
        return value if type(value) is int else self._converted(value)


def _looked_up(commands: dict[bytes, Command], forbidden: frozenset[bytes], name: Any) -> Command:
    """Return a command whose name is not written in capitals; raise `Refused` if there is none."""
    if name is None:
        raise Refused(_NO_ARGUMENT)
    capitals = _argument(name).upper()
    command = commands.get(capitals)
    if command is None:
        raise Refused(_FORBIDDEN if capitals in forbidden else _UNKNOWN)
    return command


def _argument(word: Any) -> bytes:
    """Return an argument of `redis.call` as bytes; raise `Refused` for a value that can't be one."""
    kind = type(word)
    if kind is bytes:
        return bytes(word)
    if kind is int:
        return b"%d" % word if -_LARGEST < word < _LARGEST else number_text(word)
    if kind is float:
        return number_text(word)
    raise Refused(_BAD_ARGUMENT)


def _sha1hex(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


def _message(error: Exception) -> bytes:
    """Return the first line of a Lua error, without the code if it has one."""
    text = error.args[0] if error.args else b""
    line = (text if isinstance(text, bytes) else str(text).encode()).split(b"\n")[0]
    return _CODE.sub(b"", line, 1) if _CODE.match(line) else line
