"""`gateway check`: problems of the configuration, and of the services that it names."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import redis.asyncio
from redis.exceptions import NoPermissionError, ResponseError

from gateway import settings
from gateway.app.process import FEW_FILES, raise_file_limit
from gateway.cli import asking, safety
from gateway.cli.safety import Finding, error, ok, warn
from gateway.errors import one_line, redis_trouble, shown_url
from gateway.redis.cluster.commands import ClusterSource
from gateway.redis.commands import OPEN_ERRORS
from publisher import wire
from publisher.address import Address, Node, client_of, parse_address, sentinels_of
from publisher.topology import SLOTS

MIN_REDIS = 7
SLOW_MS = 20.0
MAX_SKEW_S = 2.0
TIMEOUT_S = 3.0
PINGS = 5
_PREFIX = wire.prefix("gateway-check")
_KEY = f"{_PREFIX}rights"
_CHANNEL = wire.notices_channel("gateway-check")
Rights = tuple[tuple[str, ...], ...]
RIGHTS: Rights = (
    ("write", "SET", _KEY, "1", "PX", "1000"),
    ("read", "GET", _KEY),
    ("run scripts", "SCRIPT", "LOAD", "return 1"),
    ("publish", "PUBLISH", _CHANNEL, "{}"),
)
SENTINEL_RIGHTS = (*RIGHTS, ("ask for the role of the server", "ROLE"))
SHARD_RIGHTS = (
    *RIGHTS[:-1],
    ("publish to a shard", "SPUBLISH", _CHANNEL, "{}"),
    ("count a shard's listeners", "PUBSUB", "SHARDNUMSUB", _CHANNEL),
    ("ask which node has which slots", "CLUSTER", "SLOTS"),
    ("use a slot that is being migrated", "ASKING"),
)


async def find() -> list[Finding]:
    """Check the settings, the limit of open files, and the services."""
    try:
        configuration = settings.load()
    except settings.ConfigurationError as problem:
        return [error(text) for text in problem.problems]
    asked = await asking.find(configuration)
    return [*safety.find(configuration), *asked, _files(), *await _redis(configuration)]


def _files() -> Finding:
    limit = raise_file_limit()
    if limit < FEW_FILES:
        return warn(f"the limit of open files is {limit}: raise `ulimit -n` for more sockets than that")
    return ok(f"the limit of open files is {limit}")


async def _redis(configuration: settings.Settings) -> list[Finding]:
    url = configuration.redis_url.get_secret_value()
    try:
        options = configuration.redis_options()
    except settings.ConfigurationError:
        return []  # `safety` reports this
    options = {"socket_connect_timeout": TIMEOUT_S, "socket_timeout": TIMEOUT_S} | options
    try:
        address = parse_address(url)
        if address.kind == "cluster":
            return await _cluster(address, options)
        async with client_of(redis.asyncio, address, options) as client:
            where = shown_url(url) if address.kind == "server" else "the master"
            rights = RIGHTS if address.kind == "server" else SENTINEL_RIGHTS
            found = await _server(client, where, rights)
            return [*await _sentinels(address, client), *found]
    except (*OPEN_ERRORS, ValueError) as problem:
        return [error(redis_trouble(shown_url(url), problem))]


async def _sentinels(address: Address, client: Any) -> list[Finding]:
    """Check that all Sentinels name the same master."""
    if address.kind != "sentinel":
        return []
    masters = []
    for node, sentinel in zip(address.nodes, sentinels_of(client), strict=True):
        try:
            async with sentinel:
                named = await sentinel.sentinel_get_master_addr_by_name(address.master)
        except OPEN_ERRORS as problem:
            return [warn(f"the Sentinel at {node} does not name the master {address.master}: {one_line(problem)}")]
        if named is None:
            return [warn(f"the Sentinel at {node} does not know the master {address.master}")]
        masters.append(Node(named[0].decode(), named[1]))
    if len(set(masters)) > 1:
        return [warn(f"the Sentinels name different masters: {', '.join(map(str, sorted(set(masters))))}")]
    return [ok(f"{len(masters)} Sentinels agree that the master {address.master} is at {masters[0]}")]


async def _cluster(address: Address, options: dict[str, Any]) -> list[Finding]:
    """Check the master of each shard, also if some of them are down."""
    cluster = ClusterSource(address, name="gateway-check", **options)
    await cluster.look_again()
    owners = sorted(cluster.topology.owners)
    unowned = sum(cluster.topology.owner(slot) is None for slot in range(SLOTS))
    found = [error(f"{unowned} slots of the cluster are assigned to no node")] if unowned else []
    found.append(ok(f"a cluster with {len(owners)} shards, sharded pub/sub"))
    for node in owners:
        try:
            async with redis.asyncio.Redis.from_url(address.at(node), **options) as client:
                found += await _server(client, str(node), SHARD_RIGHTS)
        except OPEN_ERRORS as problem:
            found.append(error(f"the shard at {node} can't be reached: {one_line(problem)}"))
    return found


async def _server(client: Any, where: str, rights: Rights) -> list[Finding]:
    await client.ping()  # the first one connects
    took_ms = median([await _timed_ms(client) for _ in range(PINGS)])
    info = await _if_allowed(client.info("server"))
    version = info.get("valkey_version") or info.get("redis_version", "")
    name = "Valkey" if "valkey_version" in info else "Redis"
    text = f"{name} {version or '(this user may not read the version)'} at {where} answers in {took_ms:.1f} ms"
    found = [warn(text) if took_ms > SLOW_MS else ok(text)]
    if name == "Redis" and version and int(version.partition(".")[0]) < MIN_REDIS:
        found.append(error(f"the gateway needs Redis {MIN_REDIS} or newer, or Valkey: upgrade the server"))
    found.append(await _clock(client))
    return [*found, *await _memory(client), *await _disk(client), await _rights(client, rights)]


async def _timed_ms(client: Any) -> float:
    begin = time.perf_counter()
    await client.ping()
    return (time.perf_counter() - begin) * 1000


async def _clock(client: Any) -> Finding:
    before = time.time()
    seconds, micros = await client.time()
    skew_s = abs((before + time.time()) / 2 - seconds - micros / 1e6)
    text = f"the clocks of the server and of this machine are {skew_s:.1f} s apart"
    return warn(text) if skew_s > MAX_SKEW_S else ok(text)


async def _memory(client: Any) -> list[Finding]:
    found = []
    asked = await _if_allowed(client.config_get("maxmemory*"))
    policy = asked.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: Redis may drop histories and sessions; set it to noeviction"
        found.append(warn(text))
    if asked.get("maxmemory") == "0":
        found.append(
            warn("maxmemory is 0: Redis may use all memory of its machine; set a limit (sizing: deploy/README.md)")
        )
    return found


async def _disk(client: Any) -> list[Finding]:
    info = await _if_allowed(client.info("persistence"))
    if info.get("aof_enabled", 1):
        return []
    return [
        warn("appendonly is no: a restart of Redis loses the history, and all clients load at once; set it to yes")
    ]


async def _rights(client: Any, rights: Rights) -> Finding:
    """Try the commands that a gateway needs, on keys that expire after a second."""
    refused = (
        [] if rights is not SHARD_RIGHTS or await _may_listen(client) else ["subscribe to a shard's channels"]
    )
    for what, *command in rights:
        try:
            await client.execute_command(*command)
        except NoPermissionError:
            refused.append(what)
        except ResponseError:
            pass  # refused for another reason, for example by a cluster
    if refused:
        return warn(f"a gateway can't run as this user of Redis: the user may not {', '.join(refused)}")
    return ok("this user of Redis has all rights that a gateway needs")


async def _may_listen(client: Any) -> bool:
    async with client.pubsub() as pubsub:
        try:
            await pubsub.ssubscribe(_CHANNEL)
            await pubsub.get_message(timeout=TIMEOUT_S)
        except NoPermissionError:
            return False
        except ResponseError:
            pass  # the channel belongs to another shard
    return True


async def _if_allowed(asked: Any) -> dict[str, Any]:
    """Return the answer to a command that a user or a provider may refuse; empty if it is refused."""
    try:
        answer: dict[str, Any] = await asked
    except ResponseError:
        return {}
    return answer
