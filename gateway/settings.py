"""The settings: environment variables, prefix `GATEWAY_`, read once at start.

The README's table and `.env.example` are made from this file. Times are in seconds and sizes in bytes, as
the names say.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.log import Format
from publisher.rooms import KIND

PREFIX = "GATEWAY_"
# A secret below the hash's own size can be found by trying (RFC 7518, section 3.2).
MIN_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_WELL_KNOWN = ("secret", "changeme", "change-me", "your-secret", "password", "example")

# Rooms that a socket is put into, or joins by an event of their own: `user` would let anybody read anybody's.
OWN_KINDS = ("conversation", "organization", "user")

Words = Annotated[tuple[str, ...], NoDecode]


def _named(name: str, *others: str) -> Any:
    return AliasChoices(PREFIX + name, *others)


class Settings(BaseSettings):
    """Everything that can be configured."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    host: str = Field("0.0.0.0", alias="GATEWAY_HOST", description="address to listen on")  # noqa: S104
    port: int = Field(8080, ge=0, le=65535, alias="GATEWAY_PORT", description="port to listen on")
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        validation_alias=_named("REDIS_URL", "REDIS_URL"),
        description="Redis or Valkey: redis://, rediss:// or unix://",
    )
    jwt_secret_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=_named("JWT_SECRET_KEY", "JWT_SECRET_KEY"),
        description="secret that signs the access tokens; required, at least 32 bytes",
    )
    jwt_algorithm: Literal["HS256", "HS384", "HS512"] = Field(
        "HS256",
        validation_alias=_named("JWT_ALGORITHM", "JWT_ALGORITHM"),
        description="the one algorithm that is accepted",
    )
    tenant_claim: str = Field(
        "organization_id",
        min_length=1,
        alias="GATEWAY_TENANT_CLAIM",
        description="claim that names the tenant",
    )
    default_tenant: UUID | None = Field(
        None,
        alias="GATEWAY_DEFAULT_TENANT",
        description="tenant of tokens that name none, for single-tenant use; empty refuses them",
    )
    token_expiry: Literal["enforce", "connect"] = Field(
        "enforce",
        alias="GATEWAY_TOKEN_EXPIRY",
        description="enforce closes a socket when its token ends; connect looks at the end only at connect, for "
        "frontends that can't refresh",
    )
    workers: int = Field(
        1,
        ge=1,
        le=1,
        alias="GATEWAY_WORKERS",
        description="processes on the port; run more replicas for more cores",
    )
    cors_origins: Words = Field(
        (),
        alias="GATEWAY_CORS_ORIGINS",
        description="origins whose pages may connect, comma-separated; empty allows none but non-browsers",
    )
    room_kinds: Words = Field(
        ("campaign",),
        alias="GATEWAY_ROOM_KINDS",
        description="kinds of room that `join_room` opens, besides conversations",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", alias="GATEWAY_LOG_LEVEL", description="least severe lines to log"
    )
    log_format: Format = Field(
        "auto", alias="GATEWAY_LOG_FORMAT", description="json, pretty, or auto: pretty on a terminal"
    )
    ping_interval_s: float = Field(
        25.0, gt=0, le=300, alias="GATEWAY_PING_INTERVAL_S", description="time between heartbeats"
    )
    ping_timeout_s: float = Field(
        20.0, gt=0, le=300, alias="GATEWAY_PING_TIMEOUT_S", description="time a client has to answer one"
    )
    connect_timeout_s: float = Field(
        10.0,
        gt=0,
        le=120,
        alias="GATEWAY_CONNECT_TIMEOUT_S",
        description="time a new socket has to authenticate",
    )
    recovery_window_s: float = Field(
        120.0,
        ge=0.01,
        le=86_400,
        alias="GATEWAY_RECOVERY_WINDOW_S",
        description="how long a socket that was dropped may come back and miss nothing",
    )
    history_size: int = Field(
        500, ge=0, le=100_000, alias="GATEWAY_HISTORY_SIZE", description="events kept a room; 0 keeps none"
    )
    history_ttl_s: float = Field(
        3600.0, ge=0.01, le=30 * 86_400, alias="GATEWAY_HISTORY_TTL_S", description="how long they are kept"
    )
    shutdown_grace_s: float = Field(
        10.0,
        ge=0,
        le=600,
        alias="GATEWAY_SHUTDOWN_GRACE_S",
        description="time in which SIGTERM moves all sockets away and ends the process",
    )
    max_payload_bytes: int = Field(
        1_000_000,
        ge=1024,
        le=100_000_000,
        alias="GATEWAY_MAX_PAYLOAD_BYTES",
        description="largest message that a client may send",
    )
    max_buffer_bytes: int = Field(
        1 << 20,
        ge=65_536,
        alias="GATEWAY_MAX_BUFFER_BYTES",
        description="unsent bytes at which a slow client is cut, to come back and recover",
    )
    max_rooms_per_socket: int = Field(
        1000, ge=1, alias="GATEWAY_MAX_ROOMS_PER_SOCKET", description="rooms that one socket may join"
    )
    compression: Literal["off", "shared"] = Field(
        "off",
        alias="GATEWAY_COMPRESSION",
        description="permessage-deflate for websockets: shared compresses each event once for all sockets",
    )
    compression_threshold_bytes: int = Field(
        256, ge=0, alias="GATEWAY_COMPRESSION_THRESHOLD_BYTES", description="events below it go out as they are"
    )
    compression_level: int = Field(
        6, ge=1, le=9, alias="GATEWAY_COMPRESSION_LEVEL", description="zlib's level: 1 is fast, 9 is small"
    )
    compression_window_bits: int = Field(
        12, ge=9, le=15, alias="GATEWAY_COMPRESSION_WINDOW_BITS", description="zlib's window, as a power of two"
    )
    room_linger_s: float = Field(
        5.0,
        ge=0,
        alias="GATEWAY_ROOM_LINGER_S",
        description="how long a room stays subscribed after its last member here left",
    )

    @field_validator("cors_origins", "room_kinds", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [item.strip().strip("\"'") for item in value.strip("[] ").split(",")]
            return tuple(item for item in value if item)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            scheme, _, host = origin.partition("://")
            if origin != "*" and (scheme not in ("http", "https") or not host or "/" in host or "*" in host):
                raise ValueError(f"{origin!r} is not an origin such as https://app.example.com")
        return value

    @field_validator("room_kinds")
    @classmethod
    def _kinds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for kind in value:
            if not KIND.fullmatch(kind) or kind in OWN_KINDS:
                raise ValueError(f"{kind!r} can't be a kind of room that browsers join by name")
        return value

    @field_validator("default_tenant", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        if "*" in self.cors_origins:
            raise ValueError(
                "GATEWAY_CORS_ORIGINS: '*' would let any page connect with a user's token; list the origins"
            )
        return self

    def check_secret(self) -> None:
        """Raise `ConfigurationError` for a secret that is missing or can be guessed."""
        secret = self.jwt_secret_key.get_secret_value()
        if not secret:
            raise ConfigurationError("JWT_SECRET_KEY is missing: set it to the secret that signs the tokens")
        size, least = len(secret.encode()), MIN_SECRET_BYTES[self.jwt_algorithm]
        if size < least:
            raise ConfigurationError(
                f"JWT_SECRET_KEY is weak: {size} bytes, {self.jwt_algorithm} needs at least {least}"
            )
        if len(set(secret)) < 8 or secret.lower().startswith(_WELL_KNOWN):
            raise ConfigurationError("JWT_SECRET_KEY is weak: it can be guessed; draw a random one")


class ConfigurationError(Exception):
    """The configuration can't be used; the message is one line that says what to change."""


def load(**overrides: Any) -> Settings:
    """Read the settings from the environment; raises `ConfigurationError`.

    `overrides` are settings by their own names, from the command line.
    """
    known = variable_names()
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise ConfigurationError(f"unknown setting {', '.join(unknown)}: see the table in gateway/README.md")
    try:
        aliases = {field: alias for alias, field in reversed(known.items())}
        return Settings(**{aliases[field]: value for field, value in overrides.items()})
    except ValidationError as error:
        raise ConfigurationError("; ".join(_line(problem) for problem in error.errors())) from None


def variable_names() -> dict[str, str]:
    """Give every environment variable that is read, with the name of its setting."""
    names: dict[str, str] = {}
    for field, info in Settings.model_fields.items():
        choices = info.validation_alias
        aliases = choices.choices if isinstance(choices, AliasChoices) else [info.alias or field]
        names |= {str(alias): field for alias in aliases}
    return names


def _line(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"][:1])
    message = str(problem["msg"]).removeprefix("Value error, ")
    shown = "" if problem["type"] in ("value_error", "missing") else f" (given: {problem['input']!r:.60})"
    return f"{where}: {message}{shown}" if where else message
