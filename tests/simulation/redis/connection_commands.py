"""The commands on connections, the server, scripts and subscriptions; each returns the bytes of its reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.simulation.redis.command import Args
from tests.simulation.redis.commands import matching
from tests.simulation.redis.keyspace import integer
from tests.simulation.redis.replies import NO_SCRIPT, OK, Refused, Status, Verbatim, error_bytes

if TYPE_CHECKING:
    from tests.simulation.redis.connection import Connection

Handler = Callable[["Connection", Args], bytes]
Subscribers = dict[bytes, dict["Connection", None]]


class ConnectionCommand(NamedTuple):
    """One command, with the numbers of arguments after its name; `most` is -1 for any number."""

    handler: Handler
    least: int
    most: int
    loading: bool
    while_subscribed: bool


CONNECTION_COMMANDS: dict[bytes, ConnectionCommand] = {}


def _add(
    name: str, least: int, most: int, *, loading: bool = True, subscribed: bool = False
) -> Callable[[Handler], Handler]:
    def decorate(handler: Handler) -> Handler:
        CONNECTION_COMMANDS[name.encode()] = ConnectionCommand(handler, least, most, loading, subscribed)
        return handler

    return decorate


# Connections


@_add("PING", 0, 1, loading=False, subscribed=True)
def _ping(connection: Connection, args: Args) -> bytes:
    if connection.subscriptions and not connection.is_resp3:
        return connection.push(b"pong", args[0] if args else b"")
    return connection.encode(args[0] if args else Status(b"PONG"))


@_add("QUIT", 0, -1, subscribed=True)
def _quit(connection: Connection, args: Args) -> bytes:
    connection.out.append(connection.encode(OK))
    connection.close()
    return b""


@_add("SELECT", 1, 1)
def _select(connection: Connection, args: Args) -> bytes:
    if integer(args[0]) != 0:
        raise Refused(b"ERR DB index is out of range")
    return connection.encode(OK)


@_add("AUTH", 1, 2)
def _auth(connection: Connection, args: Args) -> bytes:
    """Accept any password of the default user, who has none."""
    if len(args) == 1:
        raise Refused(
            b"ERR AUTH <password> called without any password configured for the default user. "
            b"Are you sure your configuration is correct?"
        )
    if args[0] != b"default":
        raise Refused(b"WRONGPASS invalid username-password pair or user is disabled.")
    return connection.encode(OK)


@_add("HELLO", 0, -1)
def _hello(connection: Connection, args: Args) -> bytes:
    if args:
        if args[0] not in (b"2", b"3"):
            raise Refused(b"NOPROTO unsupported protocol version")
        i = 1
        while i < len(args):
            option = args[i].upper()
            if option == b"AUTH" and i + 2 < len(args):
                _auth(connection, args[i + 1 : i + 3])
                i += 3
            elif option == b"SETNAME" and i + 1 < len(args):
                connection.name = args[i + 1]
                i += 2
            else:
                raise Refused(b"ERR Syntax error in HELLO option '%b'" % args[i].lower())
        connection.is_resp3 = args[0] == b"3"
    about: dict[bytes, Any] = {
        b"server": b"valkey",
        b"version": connection.server.version,
        b"proto": 3 if connection.is_resp3 else 2,
        b"id": connection.ident,
        b"mode": b"standalone",
        b"role": b"replica" if connection.server.read_only else b"master",
        b"modules": [],
    }
    return connection.encode(about)


@_add("CLIENT", 1, -1)
def _client(connection: Connection, args: Args) -> bytes:
    match args[0].upper(), len(args):
        case b"SETNAME", 2:
            connection.name = args[1]
            return connection.encode(OK)
        case b"SETINFO", 3:
            if args[1].upper() not in (b"LIB-NAME", b"LIB-VER"):
                raise Refused(b"ERR Unrecognized option '%b'" % args[1])
            return connection.encode(OK)
        case b"GETNAME", 1:
            return connection.encode(connection.name or None)
        case b"ID", 1:
            return connection.encode(connection.ident)
    raise _unknown("CLIENT", args)


# The server


@_add("ROLE", 0, 0)
def _role(connection: Connection, args: Args) -> bytes:
    if connection.server.read_only:
        return connection.encode([b"slave", b"127.0.0.1", 6379, b"connect", -1])
    return connection.encode([b"master", 0, []])


@_add("INFO", 0, -1)
def _info(connection: Connection, args: Args) -> bytes:
    return connection.encode(Verbatim(connection.server.info()))


@_add("CONFIG", 1, -1)
def _config(connection: Connection, args: Args) -> bytes:
    if args[0].upper() != b"GET" or len(args) < 2:
        raise _unknown("CONFIG", args)
    known = {b"maxmemory": b"0", b"maxmemory-policy": b"noeviction", b"appendonly": b"yes"}
    names = dict.fromkeys(name for pattern in args[1:] for name in matching(list(known), pattern))
    return connection.encode({name: known[name] for name in names})


@_add("WAIT", 2, 2, loading=False)
def _wait(connection: Connection, args: Args) -> bytes:
    server = connection.server
    wanted, timeout_ms = integer(args[0]), integer(args[1])
    if timeout_ms < 0:
        raise Refused(b"ERR timeout is negative")
    if server.read_only:
        raise Refused(b"ERR WAIT cannot be used with replica instances.")
    if server.replicas >= wanted:
        return connection.encode(server.replicas)
    connection.wait(timeout_ms, lambda: connection.encode(server.replicas))
    return b""


# Scripts


@_add("EVALSHA", 2, -1, loading=False)
def _evalsha(connection: Connection, args: Args) -> bytes:
    reply = connection.server.run(args[0], _number_of_keys(args), args[2:], resp3=connection.is_resp3)
    return error_bytes(NO_SCRIPT) if reply is None else reply


@_add("EVAL", 2, -1, loading=False)
def _eval(connection: Connection, args: Args) -> bytes:
    keys = _number_of_keys(args)
    sha = connection.server.scripts.load(args[0])
    return connection.server.run(sha, keys, args[2:], resp3=connection.is_resp3) or b""


@_add("SCRIPT", 1, -1, loading=False)
def _script(connection: Connection, args: Args) -> bytes:
    scripts = connection.server.scripts
    match args[0].upper(), args[1:]:
        case b"LOAD", [source]:
            return connection.encode(scripts.load(source))
        case b"EXISTS", [_, *_] as shas:
            return connection.encode([int(scripts.knows(sha)) for sha in shas])
        case b"FLUSH", _:
            scripts.forget()
            return connection.encode(OK)
    raise _unknown("SCRIPT", args)


def _number_of_keys(args: Args) -> int:
    number = integer(args[1])
    if number < 0:
        raise Refused(b"ERR Number of keys can't be negative")
    if number > len(args) - 2:
        raise Refused(b"ERR Number of keys can't be greater than number of args")
    return number


# Subscriptions


@_add("SUBSCRIBE", 1, -1, subscribed=True)
def _subscribe(connection: Connection, args: Args) -> bytes:
    return _begin(b"subscribe", args, connection, connection.channels, connection.server.channels)


@_add("PSUBSCRIBE", 1, -1, subscribed=True)
def _psubscribe(connection: Connection, args: Args) -> bytes:
    return _begin(b"psubscribe", args, connection, connection.patterns, connection.server.patterns)


def _begin(
    what: bytes, names: Args, connection: Connection, own: dict[bytes, None], subscribers: Subscribers
) -> bytes:
    told = []
    for name in names:
        own[name] = None
        subscribers.setdefault(name, {})[connection] = None
        told.append(connection.push(what, name, connection.subscriptions))
    return b"".join(told)


@_add("UNSUBSCRIBE", 0, -1, subscribed=True)
def _unsubscribe(connection: Connection, args: Args) -> bytes:
    return _end(b"unsubscribe", args or list(connection.channels), connection, connection.unsubscribe)


@_add("PUNSUBSCRIBE", 0, -1, subscribed=True)
def _punsubscribe(connection: Connection, args: Args) -> bytes:
    return _end(b"punsubscribe", args or list(connection.patterns), connection, connection.unsubscribe_pattern)


def _end(what: bytes, names: Args, connection: Connection, unsubscribe: Callable[[bytes], None]) -> bytes:
    told = []
    for name in names:
        unsubscribe(name)
        told.append(connection.push(what, name, connection.subscriptions))
    return b"".join(told) or connection.push(what, None, connection.subscriptions)


@_add("PUBSUB", 1, -1)
def _pubsub(connection: Connection, args: Args) -> bytes:
    channels = connection.server.channels
    match args[0].upper(), args[1:]:
        case b"NUMSUB", names:
            return connection.encode([part for name in names for part in (name, len(channels.get(name, ())))])
        case b"CHANNELS", []:
            return connection.encode(list(channels))
        case b"CHANNELS", [pattern]:
            return connection.encode(matching(list(channels), pattern))
    raise _unknown("PUBSUB", args)


def _unknown(name: str, args: Args) -> Refused:
    return Refused(b"ERR unknown subcommand '%b'. Try %b HELP." % (args[0][:128], name.encode()))
