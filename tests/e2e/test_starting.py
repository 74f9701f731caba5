"""A start that can't work is one line on stderr and exit status 2, whatever is wrong."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis, free_port
from tests.support import fork_server
from tests.support.environment import clean_environment
from tests.support.replica import Replicas
from tests.support.tokens import SECRET
from tests.support.waiting import PATIENCE_S

NO_REDIS = f"redis://:hunter2-the-password@127.0.0.1:{free_port()}/0"
GOOD = {"JWT_SECRET_KEY": SECRET, "REDIS_URL": NO_REDIS, "GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": "0"}

WRONG = {
    "no secret": ({"JWT_SECRET_KEY": ""}, "JWT_SECRET_KEY is missing"),
    "a short secret": ({"JWT_SECRET_KEY": "kQ7pZx2Lw9vR"}, "JWT_SECRET_KEY is weak"),
    "a secret too short for its hash": (
        {"JWT_SECRET_KEY": SECRET[:50], "JWT_ALGORITHM": "HS512"},
        "50 bytes, HS512 needs at least 64",
    ),
    "a monotonous secret": ({"JWT_SECRET_KEY": "ab" * 30}, "JWT_SECRET_KEY is weak"),
    "an example's secret": ({"JWT_SECRET_KEY": "your-secret-key-change-in-production"}, "JWT_SECRET_KEY is weak"),
    "an unknown setting": ({"GATEWAY_PING_INTERVAL": "25"}, "GATEWAY_PING_INTERVAL"),
    "two unknown settings": ({"GATEWAY_A": "1", "GATEWAY_B": "2"}, "GATEWAY_A, GATEWAY_B"),
    "a number that is none": ({"GATEWAY_PING_INTERVAL_S": "often"}, "GATEWAY_PING_INTERVAL_S"),
    "a number out of range": ({"GATEWAY_PORT": "70000"}, "GATEWAY_PORT"),
    "a number that is not finite": ({"GATEWAY_RECOVERY_WINDOW_S": "nan"}, "GATEWAY_RECOVERY_WINDOW_S"),
    "an unknown word": ({"GATEWAY_LOG_LEVEL": "loud"}, "GATEWAY_LOG_LEVEL"),
    "a tenant that is none": ({"GATEWAY_DEFAULT_TENANT": "main"}, "GATEWAY_DEFAULT_TENANT"),
    "all origins": ({"GATEWAY_CORS_ORIGINS": "*"}, "GATEWAY_CORS_ORIGINS"),
    "an origin with a path": ({"GATEWAY_CORS_ORIGINS": "https://a.example/"}, "GATEWAY_CORS_ORIGINS"),
    "an algorithm without a secret": ({"JWT_ALGORITHM": "none"}, "JWT_ALGORITHM"),
    "no Redis": ({}, "Redis can't be reached"),
    "no such host": ({"REDIS_URL": "redis://redis.invalid:6379/0"}, "Redis can't be reached"),
    "a URL of something else": ({"REDIS_URL": "http://127.0.0.1/"}, "redis+cluster://"),
    "no URL": ({"REDIS_URL": "localhost:6379"}, "redis+sentinel://"),
    "an address that is not here": ({"GATEWAY_HOST": "192.0.2.1"}, "can't"),
}


Done = Future[subprocess.CompletedProcess[str]]


def _start(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = clean_environment(**GOOD | environment)
    return fork_server.finished("gateway", ["serve"], env=env, cwd=folder, within_s=PATIENCE_S)


def assert_one_line(done: subprocess.CompletedProcess[str], says: str) -> None:
    """It ended with status 2 and one line, which says what is wrong and gives no secret away."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("gateway: ")
    assert says in line
    assert SECRET[:50] not in line
    assert "hunter2" not in line


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Done]]:
    """All of them, on their way: each takes half a second, and there is more than one core."""
    folder = tmp_path_factory.mktemp("starts")
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {name: pool.submit(_start, folder, **environment) for name, (environment, _) in WRONG.items()}


@pytest.mark.parametrize(("name", "says"), [(name, says) for name, (_, says) in WRONG.items()], ids=WRONG)
def test_what_is_wrong_is_said_in_one_line(starts: dict[str, Done], name: str, says: str) -> None:
    assert_one_line(starts[name].result(), says)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_is_taken_is_said(redis_server: EmbeddedRedis, tmp_path: Path, taken_port: int) -> None:
    done = _start(tmp_path, REDIS_URL=redis_server.url, GATEWAY_PORT=str(taken_port))
    assert_one_line(done, f"can't listen on 127.0.0.1:{taken_port}")


def test_a_redis_that_wants_a_password_is_said(tmp_path: Path) -> None:
    with EmbeddedRedis(options=("--requirepass", "hunter2-the-password")) as server:
        assert_one_line(_start(tmp_path, REDIS_URL=server.url), "refuses this user")
        wrong = server.url.replace("127", ":hunter2@127")
        assert_one_line(_start(tmp_path, REDIS_URL=wrong), "refuses this user")


def test_something_else_than_redis_is_said(tmp_path: Path) -> None:
    # It takes connections and answers nothing.
    with socket.create_server(("127.0.0.1", 0)) as mute:
        done = _start(tmp_path, REDIS_URL=f"redis://127.0.0.1:{mute.getsockname()[1]}/0")
    assert_one_line(done, "Redis can't be reached")


def test_gateways_own_names_go_before_pytakes(redis_server: EmbeddedRedis, replicas: Replicas) -> None:
    replica = replicas("redis://127.0.0.1:1/0", GATEWAY_REDIS_URL=redis_server.url)
    assert replica.health()["status"] == "healthy"
