"""The address of Redis as one URL: of a server, of a master behind Sentinels, or of a cluster.

    redis://user:password@host:6379/0                   a server; rediss:// with TLS, unix:///path a socket
    redis+sentinel://user:password@s1:26379,s2:26379/mymaster/0
    redis+cluster://user:password@n1:6379,n2:6379       some of its nodes, which name the others

`rediss+sentinel` and `rediss+cluster` use TLS for every connection. User and password are those of Redis; those of
the Sentinels go into `?sentinel_username=` and `?sentinel_password=`. All other query parameters go to redis-py.
The packages limits and python-socketio spell these URLs the same; master and database may come in either order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from redis.backoff import NoBackoff
from redis.retry import Retry

PORTS = {"server": 6379, "sentinel": 26379, "cluster": 6379}
# How long to wait for one Sentinel before the next one is asked.
SENTINEL_TIMEOUT_S = 1.0


class Node(NamedTuple):
    """One Sentinel, or one node of a cluster."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a URL; `parse_address` makes it."""

    kind: Literal["server", "sentinel", "cluster"]
    url: str
    """The URL as given."""
    nodes: tuple[Node, ...] = ()
    """The Sentinels, or the cluster nodes in the URL; empty for a single server."""
    master: str = ""
    """The master's name at the Sentinels."""
    db: int = 0
    login: str = ""
    """User and password as the URL spells them, with the @ behind."""
    query: str = ""
    sentinel_login: Mapping[str, str] | None = None
    encrypted: bool = False

    def at(self, node: Node) -> str:
        """Return the `redis://` URL of one node, as redis-py understands no other."""
        scheme = "rediss" if self.encrypted else "redis"
        return f"{scheme}://{self.login}{node}/{self.db}{self.query}"


def split_url(text: str) -> SplitResult:
    """Do as `urlsplit` does, for several hosts, too: newer Pythons refuse an IPv6 address behind another host."""
    scheme, _, rest = text.partition("://")
    end = next((at for at, letter in enumerate(rest) if letter in "/?#"), len(rest))
    return urlsplit(f"//{rest[end:]}", scheme=scheme.lower())._replace(netloc=rest[:end])


def parse_address(url: object) -> Address:
    """Return the parts of a URL; raise `ValueError`, with one line that never shows a password."""
    text = str(url)
    scheme = text.partition("://")[0].lower()
    base, _, kind = scheme.partition("+")
    if scheme in ("redis", "rediss", "unix") and "://" in text:
        return Address("server", text, encrypted=scheme == "rediss")
    if base not in ("redis", "rediss") or kind not in ("sentinel", "cluster") or "://" not in text:
        # Without `://` any part of the text may be the password.
        found = f", not with {scheme:.40}://" if "://" in text else ""
        raise ValueError(
            "Redis' URL begins with redis://, rediss:// or unix://, redis+sentinel:// or redis+cluster:// "
            f"(rediss+... with TLS){found}"
        )
    parts = split_url(text)
    login, at, hosts = parts.netloc.rpartition("@")
    nodes = tuple(_node(host, PORTS[kind]) for host in hosts.split(","))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    sentinel_login = {name: query.pop(f"sentinel_{name}", "") for name in ("username", "password")}
    path = [unquote(word) for word in parts.path.split("/") if word]
    master, db = _master(path) if kind == "sentinel" else ("", _no_database(path))
    return Address(
        "sentinel" if kind == "sentinel" else "cluster",
        text,
        nodes,
        master,
        db,
        login + at,
        f"?{urlencode(query)}" if query else "",
        {name: value for name, value in sentinel_login.items() if value},
        base == "rediss",
    )


def client_of(library: ModuleType, address: Address, options: Mapping[str, Any]) -> Any:
    """Return redis-py's client of a server, of the master that Sentinels name, or of a cluster.

    `library` is `redis` or `redis.asyncio`; `options` are keyword arguments of its client besides the URL's.
    """
    if address.kind == "server":
        return library.Redis.from_url(address.url, **options)
    parsed: dict[str, Any] = dict(library.connection.parse_url(address.at(address.nodes[0])))
    for name in ("host", "port", "connection_class"):
        parsed.pop(name, None)
    tls = {"ssl": True} if address.encrypted else {}
    if address.kind == "cluster":
        nodes = [library.cluster.ClusterNode(*node) for node in address.nodes]
        del parsed["db"]
        return library.RedisCluster(startup_nodes=nodes, **parsed, **tls, **options)
    files = {name: value for name, value in (*parsed.items(), *options.items()) if name.startswith("ssl_")}
    asking = {
        "socket_connect_timeout": SENTINEL_TIMEOUT_S,
        "socket_timeout": SENTINEL_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        **(address.sentinel_login or {}),
        **tls,
        **files,
    }
    sentinel = library.Sentinel(list(address.nodes), sentinel_kwargs=asking)
    return sentinel.master_for(address.master, library.Redis, **parsed, **tls, **options)


def sentinels_of(client: Any) -> list[Any]:
    """Return a client's own clients of the Sentinels, which have to be closed with it."""
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return list(manager.sentinels) if manager is not None else []


def _node(text: str, port: int) -> Node:
    try:
        parts = urlsplit(f"//{text}")
        host, given = parts.hostname, parts.port
    except ValueError:
        host, given = None, None
    if not host or text.endswith(":"):
        raise ValueError(f"Redis' URL names hosts as host:port, separated by commas, not {text!r:.80}")
    return Node(host, given or port)


def _master(path: list[str]) -> tuple[str, int]:
    """Return the master's name and the database from a path with them in either order."""
    names = [word for word in path if not word.isdigit()]
    numbers = [int(word) for word in path if word.isdigit()]
    if len(names) != 1 or len(numbers) > 1:
        raise ValueError(
            "Redis' URL names the master behind the Sentinels: redis+sentinel://host:26379/mymaster/0"
        )
    return names[0], numbers[0] if numbers else 0


def _no_database(path: list[str]) -> int:
    if path not in ([], ["0"]):
        raise ValueError("a Redis Cluster has no other database than 0: redis+cluster://host:6379,host:6379")
    return 0
