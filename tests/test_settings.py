"""The settings: each variable, each mistake in one, and nothing secret in either."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from gateway.settings import ConfigurationError, load, variable_names
from tests.support.tokens import SECRET

TENANT = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"

GIVEN: dict[str, tuple[str, Any]] = {
    "GATEWAY_HOST": ("127.0.0.1", "127.0.0.1"),
    "GATEWAY_PORT": ("0", 0),
    "GATEWAY_REDIS_URL": ("redis://r:1/2", SecretStr("redis://r:1/2")),
    "REDIS_URL": ("rediss://u:p@r:1/2", SecretStr("rediss://u:p@r:1/2")),
    "GATEWAY_JWT_SECRET_KEY": (SECRET, SecretStr(SECRET)),
    "JWT_SECRET_KEY": (SECRET, SecretStr(SECRET)),
    "GATEWAY_JWT_ALGORITHM": ("HS512", "HS512"),
    "JWT_ALGORITHM": ("HS384", "HS384"),
    "GATEWAY_TENANT_CLAIM": ("tenant", "tenant"),
    "GATEWAY_DEFAULT_TENANT": (TENANT, UUID(TENANT)),
    "GATEWAY_TOKEN_EXPIRY": ("connect", "connect"),
    "GATEWAY_WORKERS": ("auto", "auto"),
    "GATEWAY_ADVERTISE_URL": ("http://10.0.0.5:8080", "http://10.0.0.5:8080"),
    "GATEWAY_CORS_ORIGINS": (
        "https://a.example, http://b.example:3000,",
        ("https://a.example", "http://b.example:3000"),
    ),
    "GATEWAY_ROOM_KINDS": ("campaign,ticket", ("campaign", "ticket")),
    "GATEWAY_LOG_LEVEL": ("debug", "debug"),
    "GATEWAY_LOG_FORMAT": ("pretty", "pretty"),
    "GATEWAY_TRACING": ("on", "on"),
    "GATEWAY_PING_INTERVAL_S": ("0.3", 0.3),
    "GATEWAY_PING_TIMEOUT_S": ("0.2", 0.2),
    "GATEWAY_CONNECT_TIMEOUT_S": ("1", 1.0),
    "GATEWAY_RECOVERY_WINDOW_S": ("60", 60.0),
    "GATEWAY_HISTORY_SIZE": ("0", 0),
    "GATEWAY_HISTORY_MAX_EVENTS": ("5000", 5000),
    "GATEWAY_HISTORY_MAX_BYTES": ("1000000", 1_000_000),
    "GATEWAY_HISTORY_TTL_S": ("86400", 86_400.0),
    "GATEWAY_SHUTDOWN_GRACE_S": ("0", 0.0),
    "GATEWAY_MAX_PAYLOAD_BYTES": ("1024", 1024),
    "GATEWAY_MAX_BUFFER_BYTES": ("65536", 65_536),
    "GATEWAY_MAX_ROOMS_PER_SOCKET": ("1", 1),
    "GATEWAY_COMPRESSION": ("shared", "shared"),
    "GATEWAY_COMPRESSION_THRESHOLD_BYTES": ("0", 0),
    "GATEWAY_COMPRESSION_LEVEL": ("9", 9),
    "GATEWAY_COMPRESSION_WINDOW_BITS": ("15", 15),
    "GATEWAY_ROOM_LINGER_S": ("0", 0.0),
    "GATEWAY_TRUSTED_PROXIES": ("10.0.0.0/8, ::1", (ip_network("10.0.0.0/8"), ip_network("::1/128"))),
    "GATEWAY_API_KEYS": (f"{SECRET}, {SECRET[::-1]}", (SecretStr(SECRET), SecretStr(SECRET[::-1]))),
    "GATEWAY_CONSOLE_TOKENS": ("true", True),
    "GATEWAY_JWT_PREVIOUS_SECRET_KEYS": (SECRET[::-1], (SecretStr(SECRET[::-1]),)),
    "GATEWAY_JWKS_CACHE_S": ("60", 60.0),
    "GATEWAY_JWT_AUDIENCE": ("web,app", ("web", "app")),
    "GATEWAY_JWT_ISSUER": ("https://id.example", "https://id.example"),
    "GATEWAY_JWT_LEEWAY_S": ("5", 5.0),
    "GATEWAY_TOKEN_MAX_LIFETIME_S": ("0", 0.0),
    "GATEWAY_ROOM_ROLES": ("campaign:admin, campaign:boss", ("campaign:admin", "campaign:boss")),
    "GATEWAY_AUTHORIZE_URL": ("http://backend:8000/may", "http://backend:8000/may"),
    "GATEWAY_AUTHORIZE_KEY": (SECRET, SecretStr(SECRET)),
    "GATEWAY_AUTHORIZE_TIMEOUT_S": ("0.5", 0.5),
    "GATEWAY_AUTHORIZE_CACHE_S": ("0", 0.0),
    "GATEWAY_AUTHORIZE_ON_FAILURE": ("allow", "allow"),
    "GATEWAY_CONFLATE_PER_S": ("0", 0),
    "GATEWAY_REQUEST_TIMEOUT_S": ("1", 1.0),
    "GATEWAY_MAX_HEADER_BYTES": ("8192", 8192),
    "GATEWAY_MAX_SOCKETS_PER_USER": ("0", 0),
    "GATEWAY_MAX_SOCKETS_PER_ADDRESS": ("100", 100),
    "GATEWAY_CONNECTS_PER_S": ("0", 0.0),
    "GATEWAY_MAX_PENDING_CONNECTS": ("0", 0),
    "GATEWAY_MAX_HTTP_CONNECTIONS": ("100", 100),
    "GATEWAY_MAX_WAITING_QUESTIONS": ("10", 10),
    "GATEWAY_EVENTS_PER_S": ("0", 0.0),
    "GATEWAY_EVENTS_BURST": ("1", 1),
    "GATEWAY_PRESENCE_GRACE_S": ("0", 0.0),
    "GATEWAY_PRESENCE_LEASE_S": ("3", 3.0),
    "GATEWAY_TYPING_TIMEOUT_S": ("1", 1.0),
    "GATEWAY_TYPING_TO_OWN_TABS": ("true", True),
    "GATEWAY_REDIS_CA_FILE": ("/etc/ca.pem", Path("/etc/ca.pem")),
}

# What makes sense only together.
PAIRS = {
    "tls": {"GATEWAY_TLS_CERT": "/tls/cert.pem", "GATEWAY_TLS_KEY": "/tls/key.pem"},
    "redis": {"GATEWAY_REDIS_CERT_FILE": "/tls/cert.pem", "GATEWAY_REDIS_KEY_FILE": "/tls/key.pem"},
    "jwks": {"JWT_ALGORITHM": "RS256", "GATEWAY_JWKS_URL": "https://id.example/keys"},
    "files": {"JWT_ALGORITHM": "EdDSA", "GATEWAY_JWT_PUBLIC_KEY_FILES": f"{__file__},{__file__}"},
}


class Environment:
    """What this process is configured with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.set = monkeypatch.setenv

    def refused(self, *variables: tuple[str, str], match: str | None = None) -> ConfigurationError:
        """Set variables, fail unless that is a mistake, and return the error, whose text must be one line."""
        for name, text in variables:
            self.set(name, text)
        with pytest.raises(ConfigurationError, match=match) as caught:
            load()
        assert "\n" not in str(caught.value)
        return caught.value


@pytest.fixture(autouse=True)
def env(unconfigured: pytest.MonkeyPatch) -> Environment:
    return Environment(unconfigured)


# -- each variable


def test_every_variable_is_tried_here() -> None:
    assert set(GIVEN).union(*PAIRS.values()) >= set(variable_names())


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_settings_that_belong_together_are_taken_together(pair: dict[str, str], env: Environment) -> None:
    for name, text in pair.items():
        env.set(name, text)
    loaded = load()
    for name in pair:
        assert getattr(loaded, variable_names()[name])


@pytest.mark.parametrize(("pair", "name"), [(pair, name) for pair in PAIRS.values() for name in pair])
def test_one_without_the_other_is_one_line(pair: dict[str, str], name: str, env: Environment) -> None:
    env.refused((name, pair[name]))


@pytest.mark.parametrize("name", GIVEN)
def test_a_variable_sets_its_setting(name: str, env: Environment) -> None:
    text, expected = GIVEN[name]
    before = getattr(load(), variable_names()[name])
    env.set(name, text)
    assert getattr(load(), variable_names()[name]) == expected
    assert before != expected or name == "GATEWAY_WORKERS"


@pytest.mark.parametrize("name", GIVEN)
def test_an_empty_variable_counts_as_none(name: str, env: Environment) -> None:
    default = getattr(load(), variable_names()[name])
    env.set(name, "")
    assert getattr(load(), variable_names()[name]) == default


@pytest.mark.parametrize("name", ["REDIS_URL", "JWT_SECRET_KEY", "JWT_ALGORITHM"])
def test_the_gateways_own_name_comes_before_pytakes(name: str, env: Environment) -> None:
    env.set(name, GIVEN[name][0])
    env.set(f"GATEWAY_{name}", GIVEN[f"GATEWAY_{name}"][0])
    assert getattr(load(), variable_names()[name]) == GIVEN[f"GATEWAY_{name}"][1]


def test_the_command_line_comes_before_the_environment(env: Environment) -> None:
    env.set("GATEWAY_PORT", "1234")
    assert load(port=4321).port == 4321


@pytest.mark.parametrize(
    "text",
    [
        "https://a.example,https://b.example",
        '["https://a.example", "https://b.example"]',
        " https://a.example ,'https://b.example'",
    ],
)
def test_origins_may_be_written_as_a_list_or_with_commas(text: str, env: Environment) -> None:
    env.set("GATEWAY_CORS_ORIGINS", text)
    assert load().cors_origins == ("https://a.example", "https://b.example")


def test_settings_can_not_be_changed_later() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1


# -- mistakes


@pytest.mark.parametrize("name", ["GATEWAY_PROT", "GATEWAY_", "GATEWAY_CORS_ORIGIN", "GATEWAY_REDIS"])
def test_an_unknown_variable_is_an_error_that_names_it(name: str, env: Environment) -> None:
    assert "hidden-value" not in str(env.refused((name, "hidden-value"), match=name))


@pytest.mark.parametrize("name", ["GATEWAYS", "MY_GATEWAY_PORT", "REDIS", "JWT_SECRET"])
def test_variables_of_others_do_not_matter(name: str, env: Environment) -> None:
    before = load()
    env.set(name, "7")
    assert load() == before


@pytest.mark.parametrize(
    ("name", "text"), [("PORT", "7"), ("HOST", "7"), ("log_level", "debug"), ("DEFAULT_TENANT", TENANT)]
)
def test_a_settings_name_without_the_prefix_is_not_ours(name: str, text: str, env: Environment) -> None:
    before = load()
    env.set(name, text)
    assert load() == before


WRONG = {
    "GATEWAY_PORT": ["x", "-1", "65536", "80.5", "1e3"],
    "GATEWAY_JWT_ALGORITHM": ["RS1", "none", "hs256"],
    "GATEWAY_API_KEYS": ["x", f"{SECRET},short"],
    "GATEWAY_CONSOLE_TOKENS": ["maybe"],
    "GATEWAY_TRUSTED_PROXIES": ["10.0.0.0/33", "10.1.0.0/8", "proxy", "*"],
    "GATEWAY_ROOM_ROLES": ["campaign", "campaign:", ":admin", "Campaign:admin"],
    "GATEWAY_JWKS_URL": ["ftp://id.example", "file:///etc/passwd", "id.example"],
    "GATEWAY_JWT_LEEWAY_S": ["-1", "nan", "301"],
    "GATEWAY_AUTHORIZE_URL": ["backend:8000", "ftp://x"],
    "GATEWAY_AUTHORIZE_TIMEOUT_S": ["0", "inf"],
    "GATEWAY_REQUEST_TIMEOUT_S": ["0", "301"],
    "GATEWAY_MAX_HEADER_BYTES": ["8191", "1MB"],
    "GATEWAY_MAX_SOCKETS_PER_USER": ["-1", "many"],
    "GATEWAY_MAX_HTTP_CONNECTIONS": ["-1", "many"],
    "GATEWAY_MAX_WAITING_QUESTIONS": ["-1"],
    "GATEWAY_CONNECTS_PER_S": ["-1", "nan"],
    "GATEWAY_EVENTS_PER_S": ["-1", "nan"],
    "GATEWAY_EVENTS_BURST": ["0"],
    "GATEWAY_DEFAULT_TENANT": ["acme", "7"],
    "GATEWAY_TOKEN_EXPIRY": ["never"],
    "GATEWAY_WORKERS": ["0", "257", "many"],
    "GATEWAY_ADVERTISE_URL": ["10.0.0.5", "http://10.0.0.5/path", "ws://x"],
    "GATEWAY_CORS_ORIGINS": [
        *("*", "https://a.example,*", "null", "a.example", "https://", "https://a.example/"),
        *("https://*.example", "ftp://a.example", "javascript://x"),
    ],
    "GATEWAY_LOG_LEVEL": ["trace", "INFO "],
    "GATEWAY_LOG_FORMAT": ["xml"],
    "GATEWAY_TRACING": ["yes", "1"],
    "GATEWAY_PING_INTERVAL_S": ["0", "-1", "nan", "inf", "25s", "301"],
    "GATEWAY_PING_TIMEOUT_S": ["0", "nan"],
    "GATEWAY_CONNECT_TIMEOUT_S": ["0", "121"],
    "GATEWAY_RECOVERY_WINDOW_S": ["0", "-1", "nan", "86401"],
    "GATEWAY_HISTORY_SIZE": ["-1", "1.5", "100001"],
    "GATEWAY_HISTORY_MAX_EVENTS": ["-1", "1.5", "100001"],
    "GATEWAY_HISTORY_MAX_BYTES": ["65535", "1.5"],
    "GATEWAY_HISTORY_TTL_S": ["0", "inf"],
    "GATEWAY_SHUTDOWN_GRACE_S": ["-1", "nan", "601"],
    "GATEWAY_MAX_PAYLOAD_BYTES": ["0", "1023", "1e6", "1MB"],
    "GATEWAY_MAX_BUFFER_BYTES": ["0", "65535"],
    "GATEWAY_MAX_ROOMS_PER_SOCKET": ["0"],
    "GATEWAY_COMPRESSION": ["on"],
    "GATEWAY_COMPRESSION_LEVEL": ["0", "10"],
    "GATEWAY_COMPRESSION_WINDOW_BITS": ["8", "16"],
    "GATEWAY_ROOM_LINGER_S": ["-0.1", "nan"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_a_value_that_makes_no_sense_is_one_line_that_names_it(name: str, text: str, env: Environment) -> None:
    env.refused((name, text), match=name)


@pytest.mark.parametrize(
    ("name", "text"), [("GATEWAY_HISTORY_TTL_S", "0.0001"), ("GATEWAY_RECOVERY_WINDOW_S", "0.0001")]
)
def test_a_time_that_redis_can_not_count_is_refused(name: str, text: str, env: Environment) -> None:
    env.refused((name, text), match=name)


@pytest.mark.parametrize("text", ["user", "campaign,organization", "conversation", "Campaign", "a b", "x" * 40])
def test_a_kind_of_room_that_must_not_be_open_to_all_is_refused(text: str, env: Environment) -> None:
    env.refused(("GATEWAY_ROOM_KINDS", text), match="GATEWAY_ROOM_KINDS")


@pytest.mark.parametrize("name", ["JWT_ALGORITHM", "GATEWAY_JWT_ALGORITHM"])
def test_a_mistake_is_told_by_the_name_that_was_set(name: str, env: Environment) -> None:
    assert str(env.refused((name, "none"))).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("GATEWAY_WORKERS", "many", "must be from 1 to 256, or auto"),
        ("GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8,proxy", "'proxy' is not a network such as 10.0.0.0/8"),
        ("GATEWAY_CORS_ORIGINS", "https://x/", "'https://x/' has to be written without a slash at its end"),
    ],
)
def test_a_mistake_is_told_once_and_says_what_would_be_right(
    name: str, text: str, says: str, env: Environment
) -> None:
    assert env.refused((name, text)).problems == (f"{name}: {says}",)


def test_an_unknown_variable_hides_no_other_mistake(env: Environment) -> None:
    problems = env.refused(("GATEWAY_PROT", "80"), ("GATEWAY_PORT", "x")).problems
    assert ["GATEWAY_PROT" in problems[0], "GATEWAY_PORT" in problems[1]] == [True, True]


def test_several_mistakes_are_told_at_once(env: Environment) -> None:
    text = str(env.refused(("GATEWAY_PORT", "x"), ("GATEWAY_LOG_LEVEL", "loud")))
    assert "GATEWAY_PORT" in text
    assert "GATEWAY_LOG_LEVEL" in text


# -- secrets


@pytest.mark.parametrize(
    ("secret", "word"),
    [
        ("", "missing"),
        ("short", "weak: 5 bytes"),
        ("é" * 15, "weak: 30 bytes"),
        ("a" * 64, "guessed"),
        ("abcabcab" * 8, "guessed"),
        ("changeme-0123456789-0123456789-abcdef", "guessed"),
        ("Your-Secret-key-here-0123456789-abcdefgh", "guessed"),
    ],
)
def test_a_secret_that_can_be_found_is_refused_and_not_repeated(secret: str, word: str, env: Environment) -> None:
    env.set("JWT_SECRET_KEY", secret)
    with pytest.raises(ConfigurationError, match=word) as caught:
        load().check_secret()
    assert "\n" not in str(caught.value)
    assert not secret or secret not in str(caught.value)


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_as_long_as_its_algorithm_needs(algorithm: str, least: int, env: Environment) -> None:
    env.set("JWT_ALGORITHM", algorithm)
    env.set("JWT_SECRET_KEY", SECRET[:least])
    load().check_secret()
    env.set("JWT_SECRET_KEY", SECRET[: least - 1])
    with pytest.raises(ConfigurationError, match=str(least)):
        load().check_secret()


def test_secrets_are_in_no_text_of_the_settings(env: Environment) -> None:
    env.set("JWT_SECRET_KEY", SECRET)
    env.set("REDIS_URL", "redis://user:hunter2@localhost:6379/0")
    settings = load()
    for text in (repr(settings), str(settings), f"{settings.model_dump()}", settings.model_dump_json()):
        assert SECRET not in text
        assert "hunter2" not in text


def test_a_mistake_elsewhere_does_not_bring_a_secret_out(env: Environment) -> None:
    env.set("JWT_SECRET_KEY", SECRET)
    env.set("REDIS_URL", "redis://user:hunter2@localhost:6379/0")
    error = env.refused(("GATEWAY_CORS_ORIGINS", "*"), ("GATEWAY_PORT", "x"))
    assert SECRET not in str(error)
    assert "hunter2" not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_defaults_are_fit_for_production() -> None:
    settings = load()
    assert settings.cors_origins == ()
    assert settings.default_tenant is None
    assert settings.token_expiry == "enforce"
    assert settings.history_ttl_s >= settings.recovery_window_s
    with pytest.raises(ConfigurationError, match="missing"):
        settings.check_secret()
