"""deploy/redis/users.acl: everything works as these users, and nothing else does."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import redis.asyncio
from redis.exceptions import NoPermissionError

from gateway.dev.embedded_redis import EmbeddedError, EmbeddedRedis
from publisher import AsyncPublisher, Publisher, conversation, user
from tests.outbox.databases import BackendDatabase
from tests.outbox.relay_process import RelayProcess
from tests.support.client import Clients
from tests.support.command_line import gateway, running
from tests.support.environment import ROOT, clean_environment, finished
from tests.support.pytake import incoming_message
from tests.support.redis_server import RedisServers
from tests.support.replica import Replica, Replicas
from tests.support.tokens import SECRET, mint, new_id
from tests.support.waiting import until, until_sync

FILE = ROOT / "deploy" / "redis" / "users.acl"
USERS = ("gateway", "backend", "operator")
API_KEY = "api-n0Zt4QyRk7vJ2mWc9xLb5sEd8uGf1hPa"


def password(name: str) -> str:
    return f"{name}-s-own"


def filled_in(folder: Path) -> Path:
    """Fill in the passwords as deploy/redis/README.md does, and add somebody who may look."""
    readme = (FILE.parent / "README.md").read_text()
    (script,) = re.findall(r"```sh\n(sed .*?) > /etc", readme, re.DOTALL)
    passwords = {f"{name.upper()}_REDIS_PASSWORD": password(name) for name in USERS}
    done = finished(["sh", "-c", script], check=True, env=clean_environment(**passwords), cwd=ROOT)
    path = folder / "users.acl"
    path.write_text(f"{done.stdout}user admin on #{hashlib.sha256(b'admin-s-own').hexdigest()} ~* &* +@all\n")
    return path


@dataclass(frozen=True)
class Guarded:
    """A server with these users."""

    port: int

    def url(self, name: str) -> str:
        return f"redis://{name}:{password(name)}@127.0.0.1:{self.port}/0"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The server of the module."""
    path = filled_in(tmp_path_factory.mktemp("acl"))
    with EmbeddedRedis(options=("--aclfile", str(path))) as server:
        yield Guarded(server.port)


@pytest_asyncio.fixture
async def admin(guarded: Guarded) -> AsyncIterator[Any]:
    """Somebody who may do everything; at the end there must be nothing that Redis refused."""
    async with redis.asyncio.Redis.from_url(guarded.url("admin"), decode_responses=True) as client:
        await client.acl_log_reset()
        yield client
        refused = await client.acl_log()
        assert [(entry["username"], entry["reason"], entry["object"]) for entry in refused] == []


@pytest.fixture(scope="module")
def replica(guarded: Guarded, shared_replicas: Replicas) -> Replica:
    """A replica as the user `gateway`."""
    settings = {"GATEWAY_API_KEYS": API_KEY, "GATEWAY_PRESENCE_GRACE_S": "0.1"}
    return shared_replicas(guarded.url("gateway"), may_log=["redis_subscriber_deaf"], **settings)


# -- what works


async def test_a_socket_lives_its_life(guarded: Guarded, admin: Any, replica: Replica, clients: Clients) -> None:
    org, who, room = new_id(), new_id(), new_id()
    async with AsyncPublisher.from_url(guarded.url("backend"), strict=True, timeout_s=5.0) as events:
        await events.message_new(org, incoming_message(room))
        client = await clients(replica.url, mint(who, org)).connect()
        other = await clients(replica.url, mint(None, org)).connect()
        assert len((await client.join(room, history=10))["events"]) == 1
        await other.join(room)
        other.emit("typing_start", {"conversation_id": room})
        await client.wait_for("user_typing")
        assert who in (await other.call("presence"))["online"]
        client.drop()
        await events.message_new(org, incoming_message(room))
        await client.reconnect()
        assert client.recovered
        await client.wait_for("message:new")
        await events.leave_room(org, who, conversation(room))
        await client.wait_for("left_conversation")
        await events.disconnect_user(org, who)
        assert await client.dropped() == "io server disconnect"
        await events.disconnect_user(org, who, token_id="lost")
    assert replica.health()["status"] == "healthy"


async def test_a_broken_connection_is_made_good(
    guarded: Guarded, admin: Any, replica: Replica, clients: Clients
) -> None:
    org, room = new_id(), new_id()
    client = await clients(replica.url, mint(None, org)).connect()
    await client.join(room)
    resyncs = replica.health()["resyncs"]
    async with AsyncPublisher.from_url(guarded.url("backend")) as events:
        for n in range(30):
            await events.emit(org, "n", n, to=conversation(room))
            if n == 10:
                await admin.execute_command("CLIENT", "KILL", "USER", "gateway")
    await client.wait_for("n", count=30)
    assert [event.data for event in client.named("n")] == list(range(30))
    await until(lambda: replica.health()["resyncs"] > resyncs)
    await until(lambda: replica.health()["status"] == "healthy")


async def test_scripts_that_were_forgotten_are_loaded_again(
    guarded: Guarded, admin: Any, replica: Replica, clients: Clients
) -> None:
    await admin.script_flush()
    client = await clients(replica.url, mint()).connect()
    async with AsyncPublisher.from_url(guarded.url("backend"), strict=True, timeout_s=5.0) as events:
        await admin.script_flush()
        assert (await events.emit(new_id(), "n", 1, to=user("u"))).offset
    assert (await client.call("ping"))["ok"]


async def test_the_http_api_works(admin: Any, replica: Replica) -> None:
    org, room = new_id(), conversation(new_id())
    event = {"organization_id": org, "event": "x:y", "data": 1, "to": [room], "key": "k", "version": 1}
    headers = {"X-API-Key": API_KEY}
    async with aiohttp.ClientSession(headers=headers) as http:
        for path, body in (
            ("events", event),
            ("events", [event, event | {"ephemeral": True, "key": None, "version": None}]),
            ("disconnect", {"organization_id": org, "user_id": "u"}),
            ("leave", {"organization_id": org, "user_id": "u", "room": room}),
        ):
            async with http.post(f"{replica.url}/api/v1/{path}", json=body) as answer:
                assert answer.status == 200, await answer.text()
        for path in ("presence?", f"rooms/{room}?history=5&", "presence?user_ids=a,b&"):
            async with http.get(f"{replica.url}/api/v1/{path}organization_id={org}") as answer:
                assert answer.status == 200, await answer.text()


def test_workers_publish_and_wait_for_replicas(guarded: Guarded, admin: Any) -> None:
    with Publisher.from_url(guarded.url("backend"), strict=True, timeout_s=5.0) as events:
        assert events.message_new(new_id(), incoming_message(new_id()), inbox=True).offset
        org, drive = new_id(), new_id()
        assert all(events.campaign_progress(org, drive, {"progress": share}).offset for share in (1, 2))
        assert events.message_status(new_id(), new_id(), new_id(), "read").offset


async def test_a_publisher_may_wait_for_replicas(guarded: Guarded, admin: Any) -> None:
    events = AsyncPublisher.from_url(guarded.url("backend"), wait_replicas=1)
    # There are none, which is not the same as not being allowed to ask.
    assert (await events.emit(new_id(), "n", 1, to=user("u"))).queued
    assert await events.aclose(timeout_s=0.0) == 1


def test_the_outbox_is_relayed(guarded: Guarded, admin: Any, tmp_path: Path) -> None:
    with BackendDatabase(f"sqlite:///{tmp_path}/backend.db") as database:
        with database.transaction() as events:
            events.message_new(new_id(), incoming_message(new_id()))
            events.disconnect_user(new_id(), "u")
        relay = RelayProcess("--database-url", database.url, "--redis-url", guarded.url("backend"))
        try:
            until_sync(database.is_empty)
        finally:
            relay.close()


async def test_an_operator_checks_and_listens(guarded: Guarded, admin: Any, tmp_path: Path) -> None:
    org, room = new_id(), conversation(new_id())
    check = gateway("check", JWT_SECRET_KEY=SECRET, REDIS_URL=guarded.url("operator"))
    assert check.returncode == 0, check.stdout
    lacking = "a gateway can't run as this user of Redis: the user may not write, read, run scripts, publish"
    assert lacking in check.stdout
    await admin.acl_log_reset()
    command = ["publish", "--org", org, "--to", room, "--event", "heard:it", "{}"]

    def heard() -> bool:
        done = gateway(*command, REDIS_URL=guarded.url("backend"))
        assert done.returncode == 0, done.stderr
        return "heard:it" in tail.output()

    with running(tmp_path, "tail", "--org", org, REDIS_URL=guarded.url("operator")) as tail:
        until_sync(heard, what="tail to hear something")
    with running(tmp_path, "tail", "--org", org, "--room", room, REDIS_URL=guarded.url("gateway")) as tail:
        until_sync(heard, what="tail of a room to hear something")


def test_top_works_as_the_gateways_own_user(guarded: Guarded, admin: Any, replica: Replica) -> None:
    done = gateway("top", "--once", REDIS_URL=guarded.url("gateway"))
    assert done.returncode == 0, done.stderr
    assert replica.url in done.stdout


def test_check_works_as_the_gateways_own_user(guarded: Guarded) -> None:
    check = gateway("check", JWT_SECRET_KEY=SECRET, REDIS_URL=guarded.url("gateway"))
    assert check.returncode == 0, check.stdout
    assert "this user may not read the version" in check.stdout
    assert "this user of Redis has all rights that a gateway needs" in check.stdout


# -- what does not

COMMANDS = [
    *(["FLUSHALL"], ["FLUSHDB"], ["CONFIG", "SET", "maxmemory", "1"], ["SHUTDOWN"], ["ACL", "WHOAMI"]),
    *(["ACL", "SETUSER", "x"], ["KEYS", "*"], ["SCAN", "0"], ["EVAL", "return 1", "0"]),
    *(["CLIENT", "KILL", "TYPE", "normal"], ["REPLICAOF", "NO", "ONE"], ["MONITOR"], ["SAVE"], ["MODULE", "LIST"]),
    *(["GET", "secret"], ["SET", "secret", "x"], ["PUBLISH", "other", "x"], ["SPUBLISH", "other", "x"]),
    *(["GET", "rt:x"], ["HGETALL", "xrt:{a}:meta"], ["MEMORY", "DOCTOR"], ["FUNCTION", "LIST"], ["BGSAVE"]),
]
FORBIDDEN: dict[str, list[list[str]]] = {
    "gateway": [*COMMANDS, ["INFO"], ["CONFIG", "GET", "*"], ["PSUBSCRIBE", "*"], ["SUBSCRIBE", "other"]],
    "backend": [
        *COMMANDS,
        *(["INFO"], ["CONFIG", "GET", "*"], ["PSUBSCRIBE", "*"], ["SUBSCRIBE", "rt:{a}:room:user:u"]),
        *(["DEL", "rt:{a}:meta"], ["HGET", "rt:{a}:session:p", "u"], ["SET", "rt:{a}:online", "x"]),
        *(["PUBLISH", "rt:probe:x", "1"], ["PUBLISH", "rt:{a}:notices", "{}"]),
    ],
    "operator": [
        *COMMANDS,
        *(["PUBLISH", "rt:{a}:room:user:u", "x"], ["HGETALL", "rt:{a}:meta"], ["SCRIPT", "FLUSH"]),
    ],
}


@pytest.mark.parametrize("name", USERS)
async def test_nothing_else_is_allowed(guarded: Guarded, name: str) -> None:
    asking: Any = redis.asyncio.Redis.from_url(guarded.url(name))
    async with asking as client:
        for command in FORBIDDEN[name]:
            with pytest.raises(NoPermissionError):
                await client.execute_command(*command)
            assert await client.ping()


@pytest.mark.parametrize("name", ["gateway", "backend"])
async def test_a_script_may_do_no_more_than_its_user(guarded: Guarded, name: str) -> None:
    async with redis.asyncio.Redis.from_url(guarded.url(name)) as client:
        for command in ("'FLUSHALL'", "'GET', 'secret'", "'PUBLISH', 'other', 'x'"):
            sha = await client.script_load(f"return redis.call({command})")
            with pytest.raises(redis.exceptions.ResponseError, match=r"(?i)permission|ACL|can't access"):
                await client.evalsha(sha, 0)


async def test_nobody_gets_in_without_a_name(guarded: Guarded) -> None:
    for url in (f"redis://127.0.0.1:{guarded.port}/0", f"redis://:x@127.0.0.1:{guarded.port}/0"):
        async with redis.asyncio.Redis.from_url(url) as client:
            with pytest.raises(redis.exceptions.AuthenticationError):
                await client.ping()


def test_passwords_that_are_not_filled_in_are_an_error(redis_servers: RedisServers, tmp_path: Path) -> None:
    for name in USERS:
        others = "|".join(other.upper() for other in USERS if other != name)
        path = tmp_path / f"without-{name}.acl"
        path.write_text(re.sub(f"({others})_PASSWORD_SHA256", "0" * 64, FILE.read_text()))
        with pytest.raises(EmbeddedError):
            redis_servers(options=("--aclfile", str(path)))


def test_a_user_with_too_few_rights_is_said_in_one_line(guarded: Guarded) -> None:
    done = gateway("serve", JWT_SECRET_KEY=SECRET, REDIS_URL=guarded.url("operator"), GATEWAY_PORT="0")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"gateway: Redis at redis://127.0.0.1:{guarded.port}/0 refuses this user: NOPERM")


COMMAND_LINES: dict[str, list[str]] = {
    "top": ["top", "--once"],
    "tail": ["tail", "--org", new_id()],
    "check": ["check"],
    "publish": ["publish", "--org", new_id(), "--to", "user:u", "{}"],
}


@pytest.mark.parametrize("name", COMMAND_LINES)
def test_a_wrong_password_is_no_redis_that_is_away(guarded: Guarded, name: str) -> None:
    url = guarded.url("gateway").replace("-s-own", "-s-old")
    done = gateway(*COMMAND_LINES[name], JWT_SECRET_KEY=SECRET, REDIS_URL=url)
    assert done.returncode == 2
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if "refuses this user" in line]
    assert f"Redis at redis://127.0.0.1:{guarded.port}/0 refuses this user: " in line
    assert "can't be reached" not in done.stdout + done.stderr
    assert "-s-old" not in line


def test_tail_of_everything_is_not_for_the_gateways_own_user(guarded: Guarded) -> None:
    done = gateway("tail", "--org", new_id(), REDIS_URL=guarded.url("gateway"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "refuses this user" in done.stderr


# -- the file has what the code uses, and no more


def _granted(name: str) -> set[str]:
    (line,) = [line for line in FILE.read_text().splitlines() if line.startswith(f"user {name} ")]
    return {word[1:] for word in line.split() if word.startswith("+")}


def _scripted(*folders: str) -> set[str]:
    sources = [path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.lua")]
    return {name.lower() for source in sources for name in re.findall(r"redis\.p?call\('([A-Z]+)'", source)}


def _asked(folder: str) -> set[str]:
    """Return the commands that Python sends: the constants at the beginning of `ask` and `send`."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not call.args or not isinstance(call.args[0], ast.Constant):
                continue
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            word = call.args[0].value
            if name in ("ask", "send") and isinstance(word, str) and word.isupper():
                second = call.args[1].value if word in ("SCRIPT", "PUBSUB") else ""  # type: ignore[attr-defined]
                found.add(f"{word}|{second}".lower().rstrip("|"))
    return found


CONNECTING = {"client|setname", "client|setinfo", "select", "ping"}
# What differs between one server and a cluster, or is asked before there is a link.
BY_KIND = {
    *("subscribe", "unsubscribe", "ssubscribe", "sunsubscribe"),
    *("publish", "spublish", "cluster|slots", "role"),
}


def test_the_gateway_is_granted_what_it_uses() -> None:
    used = _asked("gateway") | _scripted("gateway", "publisher") | BY_KIND | CONNECTING
    assert _granted("gateway") == used


def test_the_backend_is_granted_what_it_uses() -> None:
    assert _granted("backend") == _scripted("publisher") | CONNECTING | {
        *("script|load", "evalsha", "wait", "publish", "spublish", "cluster|slots", "pexpire")
    }
