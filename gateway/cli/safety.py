"""Checks of `gateway check` for unsafe settings, without requests to any service."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

from cryptography import x509

from gateway.app import tls
from gateway.auth import keys_of
from gateway.settings import ConfigurationError, Settings
from publisher.address import parse_address, split_url

GOOD_KEY_CHARACTERS = 32
RENEW_BEFORE = timedelta(days=14)
# Largest private network to trust as proxies: a larger one has other hosts in it, too.
MOST_PROXIES = 256
# Limits that should not be 0. `max_sockets_per_address` is not required, because it needs trusted proxies.
NEEDED_LIMITS = ("max_sockets_per_user", "connects_per_s", "max_pending_connects", "events_per_s")


class Finding(NamedTuple):
    """One line of the report on the safety of a configuration."""

    level: Literal["ok", "warn", "error"]
    text: str


def ok(text: str) -> Finding:
    """Return a finding: the setting is good."""
    return Finding("ok", text)


def warn(text: str) -> Finding:
    """Return a finding: the setting works, but should be changed."""
    return Finding("warn", text)


def error(text: str) -> Finding:
    """Return a finding: the setting does not work."""
    return Finding("error", text)


def find(settings: Settings) -> list[Finding]:
    """Return the findings about settings that matter for security; reads the certificate, resolves host names."""
    groups = (_tokens, _keys, _joins, _pages, _listener, _proxies, _api, _limits, _redis)
    return [finding for group in groups for finding in group(settings)]


def _tokens(settings: Settings) -> Iterator[Finding]:
    try:
        settings.check_secret()
        if not settings.jwks_url:
            keys_of(settings)
    except ConfigurationError as problem:
        yield error(str(problem))
    else:
        yield ok(f"tokens are verified with {settings.jwt_algorithm}")
    if settings.token_expiry == "connect":  # noqa: S105
        yield warn("GATEWAY_TOKEN_EXPIRY=connect: a socket stays open after its token has expired")
    else:
        yield ok("a socket is closed when its token expires")
    if not settings.token_max_lifetime_s:
        yield warn("GATEWAY_TOKEN_MAX_LIFETIME_S is 0: tokens that are valid for years are accepted")


def _keys(settings: Settings) -> Iterator[Finding]:
    """Check the source of public keys, and that tokens for other services are refused."""
    if settings.is_secret:
        return
    parts = urlsplit(settings.jwks_url)
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        yield warn("GATEWAY_JWKS_URL is http://: an attacker in the network can replace the keys; use https://")
    elif settings.jwks_url:
        yield ok(f"public keys come from {parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    if not settings.jwt_audience:
        yield warn("GATEWAY_JWT_AUDIENCE is empty: tokens that the issuer made for other services are accepted")


def _joins(settings: Settings) -> Iterator[Finding]:
    if not settings.authorize_url:
        yield ok("the gateway alone decides on joins: GATEWAY_AUTHORIZE_URL is empty")
        return
    parts = urlsplit(settings.authorize_url)
    if parts.scheme == "http" and _is_public(parts.hostname):
        yield warn(
            "GATEWAY_AUTHORIZE_URL is http:// to a public address: an attacker in the network can forge its "
            "answers; use https://"
        )
    else:
        yield ok(f"{parts.netloc.rpartition('@')[2]} is asked about joins")
    if not settings.authorize_key.get_secret_value():
        yield warn(
            "GATEWAY_AUTHORIZE_KEY is empty: the backend can't verify that a question comes from the gateway"
        )
    if settings.authorize_on_failure == "allow":
        yield warn("GATEWAY_AUTHORIZE_ON_FAILURE=allow: joins are allowed while the backend does not answer")


def _pages(settings: Settings) -> Iterator[Finding]:
    if not settings.cors_origins:
        yield warn("GATEWAY_CORS_ORIGINS is empty: no browser can connect")
        return
    yield ok(f"pages of {', '.join(settings.cors_origins)} may connect")
    plain = [
        origin
        for origin in settings.cors_origins
        if origin.startswith("http://") and not _is_loopback(urlsplit(origin).hostname)
    ]
    if plain:
        yield warn(
            f"pages of {', '.join(plain)} can be forged in the network, and the users' tokens stolen; use https://"
        )


def _listener(settings: Settings) -> Iterator[Finding]:
    where = f"{settings.host}:{settings.port}"
    if settings.tls_cert is not None and settings.tls_key is not None:
        try:
            tls.load(settings.tls_cert, settings.tls_key)
        except ConfigurationError as problem:
            yield error(str(problem))
        else:
            yield _validity(x509.load_pem_x509_certificate(settings.tls_cert.read_bytes()), where)
    elif _is_open(settings.host):
        yield warn(
            f"no TLS on {where}: tokens are sent unencrypted, unless only a proxy that terminates TLS can connect"
        )
    else:
        yield ok(f"{where} is not a public address, so it needs no TLS")


def _validity(certificate: x509.Certificate, where: str) -> Finding:
    until = certificate.not_valid_after_utc
    left = until - datetime.now(UTC)
    if left < timedelta(0):
        return error(f"the certificate in GATEWAY_TLS_CERT expired on {until:%Y-%m-%d}: renew it")
    if certificate.not_valid_before_utc > datetime.now(UTC):
        return error(
            f"the certificate in GATEWAY_TLS_CERT is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
        )
    text = f"TLS on {where}, with a certificate that is valid until {until:%Y-%m-%d}"
    return warn(f"{text}: renew it, and send SIGHUP") if left < RENEW_BEFORE else ok(text)


def _proxies(settings: Settings) -> Iterator[Finding]:
    everybody = [str(network) for network in settings.trusted_proxies if network.prefixlen == 0]
    if everybody:
        yield warn(
            f"GATEWAY_TRUSTED_PROXIES: with {everybody[0]} any client can forge its address; name only the proxies"
        )
    elif shared := [str(n) for n in settings.trusted_proxies if n.is_private and n.num_addresses > MOST_PROXIES]:
        yield warn(
            f"GATEWAY_TRUSTED_PROXIES: any host in {shared[0]} can forge its address; name only the proxies, "
            "replicas need not be named"
        )
    elif settings.trusted_proxies:
        yield ok(f"X-Forwarded-For is trusted from {', '.join(map(str, settings.trusted_proxies))}")


def _api(settings: Settings) -> Iterator[Finding]:
    keys = [key.get_secret_value() for key in settings.api_keys]
    if not keys:
        yield ok("the HTTP API is off")
        return
    weak = [n for n, key in enumerate(keys, 1) if len(key) < GOOD_KEY_CHARACTERS or len(set(key)) < 8]
    for n in weak:
        yield warn(
            f"GATEWAY_API_KEYS: key {n} could be guessed: use {GOOD_KEY_CHARACTERS} random characters or more"
        )
    if settings.jwt_secret_key.get_secret_value() in keys:
        yield warn("GATEWAY_API_KEYS: one key is the secret that signs the tokens, so publishers can forge tokens")
    if settings.console_tokens and settings.is_secret:
        yield warn(
            "GATEWAY_CONSOLE_TOKENS is on: an API key is enough to log in as any user; switch it off in production"
        )
    if settings.tls_cert is None and _is_open(settings.host):
        yield warn(
            "keys of the HTTP API are sent unencrypted, unless they come through a proxy that terminates TLS"
        )
    elif not weak:
        yield ok(f"the HTTP API is on, with {len(keys)} key{'s' if len(keys) > 1 else ''}")


def _limits(settings: Settings) -> Iterator[Finding]:
    off = [name for name in NEEDED_LIMITS if not getattr(settings, name)]
    for name in off:
        yield warn(f"GATEWAY_{name.upper()} is 0: there is no limit; set one")
    if not off:
        yield ok("sockets, connects and events are limited")


def _redis(settings: Settings) -> Iterator[Finding]:
    try:
        settings.redis_options()
    except ConfigurationError as problem:
        yield error(str(problem))
    parts = split_url(settings.redis_url.get_secret_value())
    scheme = parts.scheme.partition("+")[0]
    asked = parse_qs(parts.query)
    unchecked = _first(asked, "ssl_cert_reqs") in ("none", "optional")
    unnamed = _first(asked, "ssl_check_hostname") in ("0", "f", "false", "n", "no")
    if scheme == "rediss" and (unchecked or unnamed):
        yield warn("REDIS_URL switches off the check of Redis' certificate: others can pretend to be Redis")
    nodes = parse_address(settings.redis_url.get_secret_value()).nodes
    if not any(map(_is_public, (node.host for node in nodes) if nodes else (parts.hostname,))):
        return
    if scheme == "redis":
        yield warn("Redis is on a public address, without TLS: use rediss://")
    if not (parts.password or _first(asked, "password") or settings.redis_cert_file):
        yield warn("Redis is on a public address, without a password: set one")


def _first(asked: dict[str, list[str]], name: str) -> str:
    return asked.get(name, [""])[0].lower()


# -- addresses


def _is_open(host: str) -> bool:
    """Return whether other machines may reach a server that listens on this address."""
    return not host or host in ("0.0.0.0", "::") or _is_public(host)  # noqa: S104


def _is_loopback(host: str | None) -> bool:
    return any(address.is_loopback for address in _addresses(host))


def _is_public(host: str | None) -> bool:
    return any(address.is_global for address in _addresses(host))


def _addresses(host: str | None) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses of a host name; empty if it can't be resolved."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except OSError:
        return []
    return [ipaddress.ip_address(str(address[4][0]).partition("%")[0]) for address in found]
