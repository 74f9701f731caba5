"""The commands, typed as the help and `gateway dev` say."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli.main import cli
from gateway.console.demo_data import sample_message
from gateway.dev.embedded_redis import EmbeddedRedis, free_port
from publisher import conversation
from tests.support.browsers import Browser, Browsers
from tests.support.client import Clients
from tests.support.command_line import Running, environment, gateway, running
from tests.support.publisher_process import PublisherProcess
from tests.support.pytake import incoming_message
from tests.support.replica import Replica, get_json
from tests.support.tenant import Tenant
from tests.support.tokens import SECRET, new_id
from tests.support.waiting import PATIENCE_S, until_sync

TOKEN = re.compile(r"^\s+(ey[\w-]+\.[\w-]+\.[\w-]+)$", re.MULTILINE)
COMMANDS = ["serve", "dev", "token", "publish", "tail", "check"]


# -- gateway dev


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`gateway dev`, with nothing configured."""
    with running(tmp_path_factory.mktemp("dev"), "dev", "--port", str(free_port())) as command:
        command.printed("Ctrl-C ends it.")
        yield command


def _found(pattern: str, output: str) -> str:
    found = re.search(pattern, output, re.MULTILINE)
    assert found is not None
    return found[1]


def _url(dev: Running) -> str:
    return _found(r"The gateway is at (http://127\.0\.0\.1:\d+) ", dev.output())


def _pages(dev: Running, browsers: Browsers, **options: Any) -> list[Browser]:
    """Open a page for each token that `gateway dev` printed."""
    pages = [browsers(_url(dev), token, **options) for token in TOKEN.findall(dev.output())]
    for page in pages:
        page.connected()
    return pages


@contextmanager
def _own_dev(folder: Path) -> Iterator[tuple[Running, int]]:
    """Run a `gateway dev` of one's own; yield the port of its Redis, too."""
    with running(folder, "dev", "--port", "0") as command:
        yield command, int(_found(r"redis://127\.0\.0\.1:(\d+)/0", command.printed("Ctrl-C ends it.")))


def test_dev_prints_two_tokens_that_connect_two_users_of_one_organization(
    dev: Running, browsers: Browsers
) -> None:
    pages = _pages(dev, browsers, headers={"Origin": "http://any.example"})
    one, other = (page.events("connected")[0]["user_id"] for page in pages)
    assert one != other


def test_devs_publish_line_works_as_it_is_printed(dev: Running, browsers: Browsers) -> None:
    pages, talk = _pages(dev, browsers), _found(r"^\s+conversation\s+(\S+)$", dev.output())
    for page in pages:
        page.join(talk)
    (line,) = re.findall(r"^\s+(gateway publish .+)$", dev.output(), re.MULTILINE)
    done = subprocess.run(
        line, shell=True, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)
    for page in pages:
        message = page.wait_for("message:new")
        assert message["content"] == {"text": "Olá!"}
        assert message["conversation_id"] == talk
        assert page.report_of("message:new")["args"][1] == receipt["offset"]


def test_what_devs_page_may_publish_reaches_both_users(dev: Running, browsers: Browsers) -> None:
    with urllib.request.urlopen(f"{_url(dev)}/console/api/session") as answer:
        session = json.loads(answer.read())
    demo = session["demo"]
    pages = _pages(dev, browsers)
    for browser in pages:
        assert browser.wait_for("connected")["user_id"] in [person["user_id"] for person in demo["people"]]
        browser.join(demo["conversation_id"])
    message = sample_message(demo["conversation_id"], "Bom dia")
    written = urllib.request.Request(
        f"{_url(dev)}/api/v1/message_new",
        json.dumps({"organization_id": demo["organization_id"], "message": message}).encode(),
        {"Authorization": f"Bearer {session['key']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(written) as answer:
        offset = json.loads(answer.read())["offset"]
    for browser in pages:
        assert browser.wait_for("message:new")["content"] == {"text": "Bom dia"}
        assert browser.report_of("message:new")["args"][1] == offset


def test_dev_is_healthy(dev: Running) -> None:
    assert get_json(f"{_url(dev)}/health")[1]["status"] == "healthy"


def test_ctrl_c_ends_dev_and_its_redis(tmp_path: Path) -> None:
    with _own_dev(tmp_path) as (command, redis):
        assert command.interrupt() == 0
        assert "Traceback" not in command.errors()
    with EmbeddedRedis(redis):
        pass  # nobody holds the port any more


def test_a_terminal_that_is_closed_ends_dev_and_its_redis(tmp_path: Path) -> None:
    with _own_dev(tmp_path) as (command, redis):
        assert command.end(signal.SIGHUP) == 0
        assert "gateway_stopped" in command.errors()
    until_sync(lambda: _is_free(redis), what="its Redis to end")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system can't be told")
def test_devs_redis_does_not_outlive_a_dev_that_is_killed(tmp_path: Path) -> None:
    with _own_dev(tmp_path) as (command, redis):
        command.end(signal.SIGKILL)
        until_sync(lambda: _is_free(redis), what="its Redis to end")


def _is_free(port: int) -> bool:
    """Return whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_devs_port_may_stand_in_the_environment_and_one_that_is_taken_is_said(dev: Running) -> None:
    port = _url(dev).rpartition(":")[2]
    done = gateway("dev", GATEWAY_PORT=port)
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"gateway: can't listen on 127.0.0.1:{port}")
    assert said.endswith(f"; use another port: gateway dev --port {int(port) + 1}")
    assert "Traceback" not in done.stderr


def test_devs_address_of_redis_is_what_the_other_commands_take(dev: Running) -> None:
    (url,) = re.findall(r"^  export REDIS_URL=(\S+)", dev.output(), re.MULTILINE)
    assert _url(dev) in gateway("top", "--once", REDIS_URL=url).stdout


# -- gateway token


async def test_a_token_connects(clients: Clients, replica: Replica, tenant: Tenant) -> None:
    done = gateway("token", "--user", tenant.alice, "--org", tenant.id, JWT_SECRET_KEY=SECRET)
    assert done.returncode == 0, done.stderr
    client = await clients(replica.url, done.stdout.strip()).connect()
    assert (await client.wait_for("connected")).data["user_id"] == tenant.alice
    assert replica.log_lines("socket_connected")[-1]["tenant"] == tenant.id


def test_a_token_needs_the_secret() -> None:
    done = gateway("token")
    assert done.returncode == 2
    assert done.stderr == "gateway: JWT_SECRET_KEY is missing: set it to the secret that signs the tokens\n"


# -- gateway publish


def test_publish_reaches_a_page_once_under_its_key(
    browsers: Browsers, replica: Replica, stage_redis: EmbeddedRedis, tenant: Tenant
) -> None:
    page = browsers(replica.url, tenant.token())
    page.connected()
    page.join(tenant.conversation)
    room = conversation(tenant.conversation)
    command = ["publish", "--org", tenant.id, "--to", room, "--event", "x:y", "--key", "k", '{"n": 1}']
    first, second = (json.loads(gateway(*command, REDIS_URL=stage_redis.url).stdout) for _ in range(2))
    assert first == {"offset": first["offset"], "duplicate": False, "queued": False, "refused": ""}
    assert second == first | {"duplicate": True}
    assert page.wait_for("x:y") == {"n": 1}


def test_what_breaks_the_contract_is_published_with_a_word(stage_redis: EmbeddedRedis) -> None:
    done = gateway(*PUBLISH, REDIS_URL=stage_redis.url)
    assert done.returncode == 0
    assert json.loads(done.stdout)["offset"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("gateway: message:new: id is missing; it must be a UUID; published all the same")


NOWHERE = f"redis://127.0.0.1:{free_port()}/0"
PUBLISH = ["publish", "--org", new_id(), "--conversation", new_id(), "{}"]
TAIL = ["tail", "--org", new_id()]
MISTAKES = {
    "no room": (["publish", "--org", new_id()], "the room is missing"),
    "no organization": (["publish", "--to", "x:y"], "--org"),
    "a bad organization": ([*PUBLISH, "--org", "1"], "organization_id must be a UUID"),
    "a bad room": ([*PUBLISH, "--to", "x"], "a room is named"),
    "a bad event": ([*PUBLISH, "--event", "connect"], "keeps for itself"),
    "data that is no JSON": ([*PUBLISH[:-1], "{"], "not JSON"),
    "no Redis": ([*PUBLISH, "--redis-url", NOWHERE], "Redis can't be reached"),
    "no address": ([*PUBLISH, "--redis-url", "localhost"], "Redis' URL begins with"),
    "nothing to publish": (PUBLISH[:-1], "the payload is missing"),
    "two things to publish": ([*PUBLISH, "--text", "Olá"], "not both"),
    "no Redis to listen to": ([*TAIL, "--redis-url", NOWHERE], "Redis can't be reached"),
    "no address to listen to": ([*TAIL, "--redis-url", "localhost"], "Redis' URL begins with"),
    "a bad organization to listen to": ([*TAIL, "--org", "1"], "organization must be a UUID"),
    "a bad room to listen to": ([*TAIL, "--room", "x"], "a room is named"),
    "an unknown command": (["pubish"], "No such command"),
    "a life of no time": (["token", "--ttl", "0"], "--ttl"),
}


@pytest.mark.parametrize(("args", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_said_plainly(stage_redis: EmbeddedRedis, args: list[str], says: str) -> None:
    done = gateway(*args, REDIS_URL=stage_redis.url)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 4


# -- gateway tail


def test_tail_prints_a_line_for_each_event_without_what_it_carries(
    stage_redis: EmbeddedRedis, backend: PublisherProcess, tenant: Tenant, tmp_path: Path
) -> None:
    with running(tmp_path, "tail", "--org", tenant.id, REDIS_URL=stage_redis.url) as command:
        message = incoming_message(tenant.conversation, "a secret of the customer's")

        def heard() -> bool:
            # Nobody says when the subscription stands: publish until it does.
            backend.call("emit", tenant.id, "tick", {}, to=conversation(tenant.conversation))
            return "tick" in command.output()

        until_sync(heard, what="tail to hear something")
        offset = backend.call("message_new", tenant.id, message).offset
        backend.call("disconnect_user", tenant.id, tenant.alice)
        output = command.printed("control")
        assert command.interrupt() == 130
        assert not command.errors().strip()
    (line,) = [line for line in output.splitlines() if "message:new" in line]
    assert line.split()[1:4] == [f"conversation:{tenant.conversation}", "event", "message:new"]
    assert offset in line
    assert "secret" not in output


def test_tail_of_a_room_shows_only_that_and_on_request_what_it_carries(
    stage_redis: EmbeddedRedis, backend: PublisherProcess, tenant: Tenant, tmp_path: Path
) -> None:
    room = conversation(tenant.conversation)
    args = ["tail", "--org", tenant.id, "--room", room, "--payload"]
    with running(tmp_path, *args, REDIS_URL=stage_redis.url) as command:

        def heard() -> bool:
            backend.call("emit", tenant.id, "elsewhere", {}, to=conversation(new_id()))
            backend.call("emit", tenant.id, "here", {"n": 17}, to=room)
            return '{"n":17}' in command.output()

        until_sync(heard, what="tail to hear something")
        assert "elsewhere" not in command.output()


# -- gateway check


def test_check_is_content_with_a_good_configuration(stage_redis: EmbeddedRedis) -> None:
    origins = "https://app.pytake.example"
    done = gateway("check", JWT_SECRET_KEY=SECRET, REDIS_URL=stage_redis.url, GATEWAY_CORS_ORIGINS=origins)
    assert done.returncode == 0, done.stdout
    assert {line.split()[0] for line in done.stdout.splitlines()} <= {"ok", "warn"}
    assert any(line.startswith("ok") and "answers in" in line for line in done.stdout.splitlines())
    assert SECRET not in done.stdout
    assert done.stderr == ""


def test_check_says_all_that_is_wrong_at_once() -> None:
    done = gateway("check", JWT_SECRET_KEY="short", REDIS_URL=NOWHERE)
    assert done.returncode == 2
    wrong = [line for line in done.stdout.splitlines() if line.startswith("error")]
    assert ["JWT_SECRET_KEY is weak" in wrong[0], "Redis can't be reached" in wrong[1]] == [True, True]
    assert "Traceback" not in done.stderr


# -- help


def test_help_lists_the_commands_and_python_m_gateway_is_the_same() -> None:
    done = gateway("--help")
    assert done.returncode == 0
    assert all(f"\n  {command} " in done.stdout for command in COMMANDS)
    again = subprocess.run(
        ["python", "-m", "gateway", "--help"], env=environment(), capture_output=True, text=True, check=False
    )
    assert again.stdout.splitlines()[1:] == done.stdout.splitlines()[1:]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps(command: str) -> None:
    done = CliRunner().invoke(cli, [command, "--help"], prog_name="gateway")
    assert done.exit_code == 0
    usage, _, purpose, *_ = done.output.splitlines()
    assert usage.startswith(f"Usage: gateway {command}")
    assert purpose.strip()
