"""The compose file: its names are the gateway's, its files exist, its commands run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
import yaml

from gateway.dev.docs import COMPOSE_ONLY
from gateway.settings import Settings, variable_names
from tests.deploy.images import IMAGES
from tests.support.environment import ROOT
from tests.support.redis_server import RedisServers
from tests.support.replica import Replicas
from tests.support.tokens import SECRET

FILE = ROOT / "deploy" / "compose.yaml"
TEXT = FILE.read_text()
PARSED = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = PARSED["services"]
REDIS, GATEWAY, NGINX = (SERVICES[name] for name in ("redis", "gateway", "nginx"))
FILLED_IN = {"JWT_SECRET_KEY": SECRET, "REDIS_PASSWORD": "a1b2c3"}
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])((?:[^{}$]|\$\{[^{}]*\})*))?\}")


class Missing(Exception):
    """A variable that compose would ask for."""


def filled_in(text: str, environment: Mapping[str, str]) -> str:
    """Put variables in as compose does: `${NAME}`, `${NAME:-default}`, `${NAME:?complaint}`."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if environment.get(name):
            return environment[name]
        if kind == "?":
            raise Missing(name)
        return filled_in(rest or "", environment)

    return VARIABLE.sub(value, text)


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


def test_every_variable_of_the_gateway_is_a_setting() -> None:
    assert set(GATEWAY["environment"]) <= set(variable_names())


def test_every_variable_that_is_asked_for_is_in_the_example() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", TEXT)) - {"HTTP_PORT", *IMAGES}
    assert asked <= set(variable_names()) | set(COMPOSE_ONLY)
    assert set(COMPOSE_ONLY) <= asked


@pytest.mark.parametrize("name", FILLED_IN)
def test_what_has_no_safe_default_has_to_be_filled_in(name: str) -> None:
    with pytest.raises(Missing, match=name):
        filled_in(TEXT, {other: value for other, value in FILLED_IN.items() if other != name})
    assert "${" not in filled_in(TEXT, FILLED_IN)


def test_pytakes_names_are_passed_on() -> None:
    pytake = FILLED_IN | {"REDIS_URL": "redis://theirs:6379/1", "JWT_ALGORITHM": "HS512"}
    given = yaml.safe_load(filled_in(TEXT, pytake))["services"]["gateway"]["environment"]
    names = ("REDIS_URL", "JWT_SECRET_KEY", "JWT_ALGORITHM")
    assert [given[name] for name in names] == ["redis://theirs:6379/1", SECRET, "HS512"]


def test_images_are_named_without_a_registry() -> None:
    images = [filled_in(service["image"], {}) for service in (REDIS, NGINX)]
    images.append(filled_in(GATEWAY["build"]["args"]["PYTHON_IMAGE"], {}))
    assert sorted(images) == sorted(IMAGES.values())
    for image in images:
        host, slash, _ = image.partition("/")
        assert not (slash and re.search(r"[.:]", host)), image
        assert re.search(r":\d", image), f"{image} is not pinned"


def test_files_and_folders_that_are_named_exist() -> None:
    context = (FILE.parent / GATEWAY["build"]["context"]).resolve()
    assert (context / GATEWAY["build"]["dockerfile"]).is_file()
    mounted = [volume.partition(":")[0] for volume in NGINX["volumes"]]
    assert mounted
    assert all((FILE.parent / path).exists() for path in mounted)


def test_there_are_three_replicas_and_nginx_waits_for_them() -> None:
    assert GATEWAY["deploy"]["replicas"] == 3
    assert NGINX["depends_on"]["gateway"]["condition"] == "service_healthy"
    assert "server gateway:8080 " in (FILE.parent / "nginx" / "gateway" / "replicas.conf").read_text()


def test_a_replica_is_given_the_time_that_it_takes_to_drain() -> None:
    assert seconds(GATEWAY["stop_grace_period"]) > Settings.model_fields["shutdown_grace_s"].default


def test_what_faces_browsers_can_write_nothing_and_has_no_rights() -> None:
    for service in (GATEWAY, NGINX):
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["ulimits"]["nofile"] >= 65536


def test_nginx_alone_is_believed_about_the_clients_address() -> None:
    (network,) = PARSED["networks"]["front"]["ipam"]["config"]
    address = NGINX["networks"]["front"]["ipv4_address"]
    given = yaml.safe_load(filled_in(TEXT, FILLED_IN))["services"]["gateway"]["environment"]
    assert given["GATEWAY_TRUSTED_PROXIES"] == address
    assert ip_address(address) in ip_network(network["subnet"])
    # No other container is ever given that address.
    assert ip_address(address) not in ip_network(network["ip_range"])
    assert GATEWAY["networks"] == ["default", "front"]


def test_redis_is_not_reachable_from_outside() -> None:
    assert "ports" not in REDIS


def redis_options() -> tuple[str, ...]:
    program, *options = (filled_in(part, FILLED_IN) for part in REDIS["command"])
    assert program == "valkey-server"
    return tuple(options)


async def test_redis_starts_with_its_command_and_keeps_everything(redis_servers: RedisServers) -> None:
    server = redis_servers(options=redis_options())
    url = server.url.replace("//", f"//:{FILLED_IN['REDIS_PASSWORD']}@")
    async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
        found = await client.config_get("maxmemory-policy", "appendonly", "appendfsync")
    assert found == {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec"}
    command = Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert FILLED_IN["REDIS_PASSWORD"].encode() not in command, "the password shows in `ps`"


async def test_a_replica_starts_with_the_environment_it_is_given(
    redis_servers: RedisServers, replicas: Replicas
) -> None:
    server = redis_servers(options=redis_options())
    given = yaml.safe_load(filled_in(TEXT, FILLED_IN))["services"]["gateway"]["environment"]
    url = given["REDIS_URL"].replace("redis:6379", f"127.0.0.1:{server.port}")
    assert replicas(url, JWT_ALGORITHM=given["JWT_ALGORITHM"]).get("/health")[1]["status"] == "healthy"
