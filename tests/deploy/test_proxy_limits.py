"""The proxies' limits fit the gateway's."""

from __future__ import annotations

import re

import pytest
import yaml

from gateway.settings import Settings
from tests.deploy.conftest import only
from tests.deploy.nginx import SOURCE, Nginx
from tests.deploy.proxy import Proxies, ask
from tests.support.environment import ROOT

LOCATION = (SOURCE / "gateway" / "location.conf").read_text()
HAPROXY = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
STATIC, DYNAMIC = (
    yaml.safe_load((ROOT / "deploy/traefik" / name).read_text()) for name in ("traefik.yaml", "gateway.yaml")
)
UNITS = {"s": 1, "m": 1 << 20, "k": 1 << 10}


def default(setting: str) -> float:
    """Return the default of a setting of the gateway."""
    return float(Settings.model_fields[setting].default)


LONGEST_SILENCE_S = default("ping_interval_s") + default("ping_timeout_s")


def value(directive: str) -> int:
    """Return a time in seconds or a size in bytes out of location.conf."""
    found = re.search(rf"^\s*{directive} (\d+)([smk]);$", LOCATION, re.M)
    assert found, f"location.conf has no {directive}"
    return int(found[1]) * UNITS[found[2]]


@pytest.mark.parametrize("directive", ["proxy_read_timeout", "proxy_send_timeout"])
def test_heartbeats_come_more_often_than_nginxs_timeouts(directive: str) -> None:
    assert value(directive) > LONGEST_SILENCE_S


@pytest.mark.parametrize("side", ["client", "server", "tunnel"])
def test_heartbeats_come_more_often_than_haproxys_timeouts(side: str) -> None:
    (seconds,) = re.findall(rf"^    timeout {side} (\d+)s$", HAPROXY, re.M)
    assert int(seconds) > LONGEST_SILENCE_S


def test_connections_between_two_polls_outlive_the_heartbeats_behind_traefik() -> None:
    timeouts = STATIC["entryPoints"]["browsers"]["transport"]["respondingTimeouts"]
    assert int(timeouts["idleTimeout"].rstrip("s")) > LONGEST_SILENCE_S


def test_every_proxy_takes_any_body_that_the_gateway_takes() -> None:
    largest = default("max_payload_bytes")
    assert value("client_max_body_size") > largest
    assert DYNAMIC["http"]["middlewares"]["another"]["retry"]["maxRequestBodyBytes"] > largest
    assert "maxbody" not in HAPROXY


def test_traefik_tries_longer_than_it_takes_to_see_that_a_replica_drains() -> None:
    retry = DYNAMIC["http"]["middlewares"]["another"]["retry"]
    check = DYNAMIC["http"]["services"]["any"]["loadBalancer"]["healthCheck"]
    first_ms = int(retry["initialInterval"].removesuffix("ms"))
    # Its pauses vary by half around a value that grows from the first one.
    assert (retry["attempts"] - 1) * first_ms / 2 * 1.5 > int(check["interval"].removesuffix("s")) * 1000


def test_nginx_leaves_no_replica_out_for_past_failures() -> None:
    servers = re.findall(r"\bserver \S+:.+;", (SOURCE / "gateway" / "replicas.conf").read_text())
    assert len(servers) == 2
    assert all("max_fails=0" in server for server in servers)


@only(Nginx)
async def test_nginx_itself_is_asked_whether_it_is_alive(proxies: Proxies) -> None:
    nginx = proxies([1])
    assert ask(f"http://127.0.0.1:{nginx.alive_port}/") == (204, "")
