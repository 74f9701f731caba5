"""`gateway check`: what is wrong with the configuration and what it points to."""

from __future__ import annotations

import ipaddress
import time
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import redis.asyncio
from redis.exceptions import RedisError

from gateway import settings
from gateway.app import one_line, raise_file_limit, shown_url
from gateway.bus.commands import OPEN_ERRORS

MIN_FILES = 4096
MIN_REDIS = 7
SLOW_MS = 20.0
MAX_SKEW_S = 2.0


class Finding(NamedTuple):
    """One line of the report."""

    level: Literal["ok", "warn", "error"]
    text: str


async def find() -> list[Finding]:
    """Check everything that can be checked from here."""
    try:
        configuration = settings.load()
    except settings.ConfigurationError as error:
        return [Finding("error", str(error))]
    return [
        *_secret(configuration),
        *_origins(configuration),
        *_files(),
        *await _redis(configuration.redis_url.get_secret_value()),
    ]


def _secret(configuration: settings.Settings) -> list[Finding]:
    try:
        configuration.check_secret()
    except settings.ConfigurationError as error:
        return [Finding("error", str(error))]
    return [Finding("ok", f"tokens are verified with {configuration.jwt_algorithm}")]


def _origins(configuration: settings.Settings) -> list[Finding]:
    if not configuration.cors_origins:
        return [Finding("warn", "GATEWAY_CORS_ORIGINS is empty: no browser can connect")]
    plain = [origin for origin in configuration.cors_origins if origin.startswith("http://")]
    found = [Finding("ok", f"pages of {', '.join(configuration.cors_origins)} may connect")]
    if plain:
        found.append(Finding("warn", f"tokens travel in the clear from {', '.join(plain)}"))
    return found


def _files() -> list[Finding]:
    limit = raise_file_limit()
    if limit < MIN_FILES:
        return [Finding("warn", f"at most {limit} open files: raise `ulimit -n` for more sockets than that")]
    return [Finding("ok", f"up to {limit} open files")]


async def _redis(url: str) -> list[Finding]:
    found = []
    parts = urlsplit(url)
    if parts.scheme == "redis" and _is_public(parts.hostname or "") and not parts.password:
        found.append(Finding("warn", "Redis is on a public address, without TLS or password"))
    client = redis.asyncio.Redis.from_url(url, socket_connect_timeout=3.0, socket_timeout=3.0)
    try:
        async with client:
            found += await _server(client, shown_url(url))
    except (*OPEN_ERRORS, ValueError) as error:
        found.append(Finding("error", f"Redis can't be reached at {shown_url(url)}: {one_line(error)}"))
    return found


async def _server(client: Any, where: str) -> list[Finding]:
    begin = time.perf_counter()
    await client.ping()
    took_ms = (time.perf_counter() - begin) * 1000
    info = await client.info("server")
    version = info.get("valkey_version") or info.get("redis_version", "?")
    name = "Valkey" if "valkey_version" in info else "Redis"
    level: Literal["ok", "warn"] = "warn" if took_ms > SLOW_MS else "ok"
    found = [Finding(level, f"{name} {version} at {where} answers in {took_ms:.1f} ms")]
    if name == "Redis" and int(version.partition(".")[0]) < MIN_REDIS:
        found.append(Finding("error", f"Redis {MIN_REDIS} or newer, or Valkey, is needed"))
    seconds, micros = await client.time()
    skew_s = abs(time.time() - seconds - micros / 1e6)
    if skew_s > MAX_SKEW_S:
        found.append(Finding("warn", f"its clock and this one are {skew_s:.1f} s apart"))
    try:
        policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy", "noeviction")
    except RedisError:
        return found
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: Redis may drop histories and sessions; use noeviction"
        found.append(Finding("warn", text))
    return found


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return False
