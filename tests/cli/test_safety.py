"""`gateway check` on settings alone: each unsafe one has its line, each right one has none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.cli import safety
from gateway.cli.safety import Finding
from gateway.settings import ConfigurationError, load
from tests.support.command_line import gateway
from tests.support.tokens import SECRET

KEY = "n0Zt4QyRk7vJ2mWc9xLb5sEd8uGf1hPa"
JWKS = {"JWT_ALGORITHM": "RS256", "GATEWAY_JWT_AUDIENCE": "realtime"}
BACKEND = {"GATEWAY_AUTHORIZE_KEY": KEY, "GATEWAY_AUTHORIZE_URL": "https://192.0.2.7/may-join"}
SAFE = {
    "JWT_SECRET_KEY": SECRET,
    "GATEWAY_HOST": "127.0.0.1",
    "GATEWAY_CORS_ORIGINS": "https://app.pytake.example",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
}


pytestmark = pytest.mark.usefixtures("unconfigured")


def found(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[Finding]:
    """Return what is found in safe settings with these changes."""
    for name, value in (SAFE | environment).items():
        monkeypatch.setenv(name, value)
    return safety.find(load())


def test_safe_settings_have_nothing_to_warn_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {finding.level for finding in found(monkeypatch)} == {"ok"}


UNSAFE: dict[str, tuple[dict[str, str], str]] = {
    "tokens that are not looked at again": ({"GATEWAY_TOKEN_EXPIRY": "connect"}, "GATEWAY_TOKEN_EXPIRY=connect"),
    "tokens for ever": ({"GATEWAY_TOKEN_MAX_LIFETIME_S": "0"}, "GATEWAY_TOKEN_MAX_LIFETIME_S is 0"),
    "keys over http": (JWKS | {"GATEWAY_JWKS_URL": "http://192.0.2.1/keys"}, "GATEWAY_JWKS_URL is http://"),
    "tokens for any service": (
        JWKS | {"GATEWAY_JWKS_URL": "https://id.invalid/keys", "GATEWAY_JWT_AUDIENCE": ""},
        "GATEWAY_JWT_AUDIENCE is empty",
    ),
    "asking in the clear": (
        BACKEND | {"GATEWAY_AUTHORIZE_URL": "http://8.8.8.8/may-join"},
        "GATEWAY_AUTHORIZE_URL is http:// to a public address",
    ),
    "asking as anybody": (BACKEND | {"GATEWAY_AUTHORIZE_KEY": ""}, "GATEWAY_AUTHORIZE_KEY is empty"),
    "open while the backend is away": (
        BACKEND | {"GATEWAY_AUTHORIZE_ON_FAILURE": "allow"},
        "GATEWAY_AUTHORIZE_ON_FAILURE=allow",
    ),
    "pages in the clear": (
        {"GATEWAY_CORS_ORIGINS": "https://a.example,http://b.example"},
        "pages of http://b.example can be forged",
    ),
    "no pages": ({"GATEWAY_CORS_ORIGINS": ""}, "no browser can connect"),
    "every address without TLS": ({"GATEWAY_HOST": "0.0.0.0"}, "no TLS on 0.0.0.0:8080"),
    "every address of IPv6": ({"GATEWAY_HOST": "::"}, "no TLS on :::8080"),
    "a public address without TLS": ({"GATEWAY_HOST": "8.8.8.8"}, "no TLS on 8.8.8.8:8080"),
    "everybody a proxy": (
        {"GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8,0.0.0.0/0"},
        "with 0.0.0.0/0 any client can forge its address",
    ),
    "everybody of IPv6 a proxy": (
        {"GATEWAY_TRUSTED_PROXIES": "::/0"},
        "with ::/0 any client can forge its address",
    ),
    "a whole network of proxies": (
        {"GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8"},
        "any host in 10.0.0.0/8 can forge its address",
    ),
    "a short key": ({"GATEWAY_API_KEYS": f"{KEY},{KEY[:31]}"}, "key 2 could be guessed"),
    "a monotonous key": ({"GATEWAY_API_KEYS": "abcd" * 10}, "key 1 could be guessed"),
    "the tokens' secret as a key": ({"GATEWAY_API_KEYS": SECRET}, "the secret that signs the tokens"),
    "a console that mints tokens": (
        {"GATEWAY_API_KEYS": KEY, "GATEWAY_CONSOLE_TOKENS": "true"},
        "GATEWAY_CONSOLE_TOKENS is on",
    ),
    "keys in the clear": (
        {"GATEWAY_API_KEYS": KEY, "GATEWAY_HOST": "0.0.0.0"},
        "keys of the HTTP API are sent unencrypted",
    ),
    "sockets of a user": ({"GATEWAY_MAX_SOCKETS_PER_USER": "0"}, "GATEWAY_MAX_SOCKETS_PER_USER is 0"),
    "connects": ({"GATEWAY_CONNECTS_PER_S": "0"}, "GATEWAY_CONNECTS_PER_S is 0"),
    "sockets without a token": ({"GATEWAY_MAX_PENDING_CONNECTS": "0"}, "GATEWAY_MAX_PENDING_CONNECTS is 0"),
    "events": ({"GATEWAY_EVENTS_PER_S": "0"}, "GATEWAY_EVENTS_PER_S is 0"),
    "Redis in public": ({"REDIS_URL": "redis://:secret@8.8.8.8/0"}, "on a public address, without TLS"),
    "Redis for everybody": ({"REDIS_URL": "rediss://8.8.8.8/0"}, "on a public address, without a password"),
    "any certificate for Redis": (
        {"REDIS_URL": "rediss://:secret@127.0.0.1/0?ssl_cert_reqs=none"},
        "switches off the check of Redis' certificate",
    ),
    "anybody's certificate for Redis": (
        {"REDIS_URL": "rediss://:secret@127.0.0.1/0?ssl_check_hostname=False"},
        "switches off the check of Redis' certificate",
    ),
}


@pytest.mark.parametrize(("environment", "says"), UNSAFE.values(), ids=UNSAFE)
def test_what_is_unsafe_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], says: str
) -> None:
    findings = found(monkeypatch, **environment)
    (line,) = [finding.text for finding in findings if says in finding.text and finding.level == "warn"]
    assert "\n" not in line
    assert not [finding for finding in findings if finding.level == "error"]
    assert not [secret for secret in (SECRET, KEY, "secret@") if any(secret in text for _, text in findings)]


RIGHT: dict[str, tuple[dict[str, str], str]] = {
    "keys over https": (JWKS | {"GATEWAY_JWKS_URL": "https://id.invalid/keys"}, "come from https://id.invalid"),
    "keys of this machine": (
        JWKS | {"GATEWAY_JWKS_URL": "http://localhost:1/keys"},
        "come from http://localhost:1",
    ),
    "a backend that is asked": (BACKEND, "192.0.2.7 is asked about joins"),
    "a backend nearby": (
        BACKEND | {"GATEWAY_AUTHORIZE_URL": "http://10.0.0.7:8000/may-join"},
        "10.0.0.7:8000 is asked about joins",
    ),
    "a page of this machine": (
        {"GATEWAY_CORS_ORIGINS": "http://localhost:3000"},
        "http://localhost:3000 may connect",
    ),
    "a private address": ({"GATEWAY_HOST": "10.1.2.3"}, "10.1.2.3:8080 is not a public address"),
    "a proxy": ({"GATEWAY_TRUSTED_PROXIES": "10.0.0.0/28"}, "X-Forwarded-For is trusted from 10.0.0.0/28"),
    "a good key": ({"GATEWAY_API_KEYS": KEY}, "the HTTP API is on, with 1 key"),
    "no key": ({}, "the HTTP API is off"),
    "limits": ({}, "sockets, connects and events are limited"),
    "Redis in public, well guarded": ({"REDIS_URL": "rediss://u:secret@8.8.8.8/0"}, "tokens are verified"),
    "a socket of this machine": ({"REDIS_URL": "unix:///run/redis.sock"}, "tokens are verified"),
    "the end of a token": ({}, "a socket is closed when its token expires"),
}


@pytest.mark.parametrize(("environment", "says"), RIGHT.values(), ids=RIGHT)
def test_what_is_right_is_ok(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], says: str) -> None:
    findings = found(monkeypatch, **environment)
    assert {finding.level for finding in findings} == {"ok"}
    assert any(says in finding.text for finding in findings)


def test_every_limit_that_has_to_be_there_is_a_setting() -> None:
    assert set(safety.NEEDED_LIMITS) <= set(type(load()).model_fields)


# -- the certificate


def certificate(folder: Path, begins: timedelta, ends: timedelta) -> dict[str, str]:
    now = datetime.now(UTC)
    issued = trustme.CA().issue_cert("localhost", not_before=now + begins, not_after=now + ends)
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return {"GATEWAY_HOST": "0.0.0.0", "GATEWAY_TLS_CERT": str(cert), "GATEWAY_TLS_KEY": str(key)}


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("begins", "ends", "level", "says"),
    [
        (-DAY, 90 * DAY, "ok", "TLS on 0.0.0.0:8080, with a certificate that is valid until 2"),
        (-DAY, 3 * DAY, "warn", "renew it, and send SIGHUP"),
        (-9 * DAY, -DAY, "error", "the certificate in GATEWAY_TLS_CERT expired on 2"),
        (9 * DAY, 90 * DAY, "error", "the certificate in GATEWAY_TLS_CERT is not valid before 2"),
    ],
)
def test_a_certificate_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, begins: timedelta, ends: timedelta, level: str, says: str
) -> None:
    findings = found(monkeypatch, **certificate(tmp_path, begins, ends))
    (line,) = [finding for finding in findings if finding.level == level and says in finding.text]
    assert not [finding for finding in findings if finding.level != "ok" and finding is not line]


def test_a_certificate_that_can_not_be_used_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment = certificate(tmp_path, -DAY, DAY)
    Path(environment["GATEWAY_TLS_KEY"]).unlink()
    (line,) = [finding.text for finding in found(monkeypatch, **environment) if finding.level == "error"]
    assert line.startswith("GATEWAY_TLS_KEY: ")


def test_keys_are_safe_on_a_public_address_with_tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    findings = found(monkeypatch, **certificate(tmp_path, -DAY, 90 * DAY), GATEWAY_API_KEYS=KEY)
    assert {finding.level for finding in findings} == {"ok"}


# -- what no gateway starts with


def test_all_origins_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="any page"):
        found(monkeypatch, GATEWAY_CORS_ORIGINS="*")
    environment: dict[str, Any] = SAFE | {"GATEWAY_CORS_ORIGINS": "*"}
    done = gateway("check", **environment)
    assert done.returncode == 2
    assert done.stdout.startswith("error GATEWAY_CORS_ORIGINS: '*' would let any page connect")


@pytest.mark.parametrize("secret", ["short", "a" * 64, "changeme-0123456789-0123456789-abcdef"])
def test_a_weak_secret_is_an_error(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    (line,) = [text for level, text in found(monkeypatch, JWT_SECRET_KEY=secret) if level == "error"]
    assert line.startswith("JWT_SECRET_KEY is weak")


def test_files_for_tls_without_tls_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    findings = found(monkeypatch, GATEWAY_REDIS_CA_FILE=str(tmp_path / "ca.pem"))
    (line,) = [text for level, text in findings if level == "error"]
    assert "nothing is encrypted" in line
