"""`gateway check`: what is wrong with the configuration and what it points to."""

from __future__ import annotations

import time
from typing import Any

import redis.asyncio
from redis.exceptions import ResponseError

from gateway import settings
from gateway.app import FEW_FILES, one_line, raise_file_limit, shown_url
from gateway.bus.commands import OPEN_ERRORS
from gateway.cli import safety
from gateway.cli.safety import Finding, error, ok, warn

MIN_REDIS = 7
SLOW_MS = 20.0
MAX_SKEW_S = 2.0
TIMEOUT_S = 3.0


async def find() -> list[Finding]:
    """Check everything that can be checked from here."""
    try:
        configuration = settings.load()
    except settings.ConfigurationError as problem:
        return [error(str(problem))]
    return [*safety.find(configuration), _files(), *await _redis(configuration)]


def _files() -> Finding:
    limit = raise_file_limit()
    if limit < FEW_FILES:
        return warn(f"at most {limit} open files: raise `ulimit -n` for more sockets than that")
    return ok(f"up to {limit} open files")


async def _redis(configuration: settings.Settings) -> list[Finding]:
    url = configuration.redis_url.get_secret_value()
    try:
        options = configuration.redis_options()
    except settings.ConfigurationError:
        return []  # said already
    try:
        async with redis.asyncio.Redis.from_url(
            url, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S, **options
        ) as client:
            return await _server(client, shown_url(url))
    except (*OPEN_ERRORS, ValueError) as problem:
        return [error(f"Redis can't be reached at {shown_url(url)}: {one_line(problem)}")]


async def _server(client: Any, where: str) -> list[Finding]:
    begin = time.perf_counter()
    await client.ping()
    took_ms = (time.perf_counter() - begin) * 1000
    info = await _if_allowed(client.info("server"))
    version = info.get("valkey_version") or info.get("redis_version", "")
    name = "Valkey" if "valkey_version" in info else "Redis"
    text = f"{name} {version or '(whose version is not for this user)'} at {where} answers in {took_ms:.1f} ms"
    found = [warn(text) if took_ms > SLOW_MS else ok(text)]
    if name == "Redis" and version and int(version.partition(".")[0]) < MIN_REDIS:
        found.append(error(f"Redis {MIN_REDIS} or newer, or Valkey, is needed"))
    seconds, micros = await client.time()
    skew_s = abs(time.time() - seconds - micros / 1e6)
    if skew_s > MAX_SKEW_S:
        found.append(warn(f"its clock and this one are {skew_s:.1f} s apart"))
    policy = (await _if_allowed(client.config_get("maxmemory-policy"))).get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: Redis may drop histories and sessions; use noeviction"
        found.append(warn(text))
    return found


async def _if_allowed(asked: Any) -> dict[str, Any]:
    """Give what a user with few rights, or everybody at some providers, is refused; nothing then."""
    try:
        answer: dict[str, Any] = await asked
    except ResponseError:
        return {}
    return answer
