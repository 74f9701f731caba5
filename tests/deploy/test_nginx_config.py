"""The configuration of nginx: it parses, its TLS part too, and its limits fit the gateway's."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from gateway.embedded import EmbeddedRedis
from gateway.settings import Settings
from tests.deploy.nginx import SOURCE, Nginx, Proxies, ask
from tests.support.replica import Replicas

LOCATION = (SOURCE / "gateway" / "location.conf").read_text()
UNITS = {"s": 1, "m": 1 << 20, "k": 1 << 10}
# Prose has one blank after the #; what can be switched on has none, or its indentation.
TLS_OFF = re.findall(r"^ *#(?:    )*\S.*$", (SOURCE / "nginx.conf").read_text(), re.M)
TLS_ON = {line: line.replace("#", "", 1) for line in TLS_OFF}


def value(directive: str) -> int:
    """Give a time in seconds or a size in bytes out of location.conf."""
    found = re.search(rf"^\s*{directive} (\d+)([smk]);$", LOCATION, re.M)
    assert found, f"location.conf has no {directive}"
    return int(found[1]) * UNITS[found[2]]


def default(setting: str) -> float:
    """Give the default of a setting of the gateway."""
    return float(Settings.model_fields[setting].default)


def make_certificate(folder: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: it makes the certificate")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run([*command, *files], check=True, capture_output=True)


def test_the_configuration_is_valid(make_nginx: Callable[..., Nginx]) -> None:
    status, output = make_nginx([8080]).check()
    assert status == 0, output


def test_heartbeats_come_more_often_than_the_read_timeout() -> None:
    longest_silence = default("ping_interval_s") + default("ping_timeout_s")
    assert value("proxy_read_timeout") > longest_silence
    assert value("proxy_send_timeout") > longest_silence


def test_nginx_takes_any_body_that_the_gateway_takes() -> None:
    assert value("client_max_body_size") > default("max_payload_bytes")


def test_no_replica_is_left_out_for_past_failures() -> None:
    servers = re.findall(r"\bserver \S+:.+;", (SOURCE / "gateway" / "replicas.conf").read_text())
    assert len(servers) == 2
    assert all("max_fails=0" in server for server in servers)


async def test_nginx_itself_is_asked_whether_it_is_alive(proxies: Proxies) -> None:
    nginx = proxies([1])
    assert ask(f"http://127.0.0.1:{nginx.alive_port}/") == (204, "")


async def test_the_tls_part_serves_websockets_once_its_comment_signs_are_gone(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies, tmp_path: Path
) -> None:
    assert len(TLS_OFF) > 5
    (tmp_path / "nginx").mkdir()
    make_certificate(tmp_path / "nginx")
    nginx = proxies([replicas(redis_server.url).port], TLS_ON)
    context = ssl.create_default_context(cafile=str(tmp_path / "nginx" / "fullchain.pem"))
    context.check_hostname = False
    url = f"https://127.0.0.1:{nginx.tls_port}/socket.io/?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as http, http.ws_connect(url, ssl=context) as websocket:
        assert (await websocket.receive_str()).startswith('0{"sid"')
