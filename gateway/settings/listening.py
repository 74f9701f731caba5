"""The settings of listening: addresses, TLS, origins and proxies."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode

from gateway.settings.common import Group, Secrets, Words, split

MOST_WORKERS = 256

Network = IPv4Network | IPv6Network
_NETWORK: TypeAdapter[Network] = TypeAdapter(Network)


def _networks(value: object) -> object:
    words = split(value)
    return tuple(map(_network, words)) if isinstance(words, tuple) else words


def _network(word: object) -> Network:
    try:
        return _NETWORK.validate_python(word)
    except ValidationError:
        raise ValueError(f"{word!r:.60} is not a network such as 10.0.0.0/8") from None


class Listening(Group):
    """The settings of the port and TLS, and of the pages and programs that may connect."""

    host: str = Field("0.0.0.0", description="address to listen on")  # noqa: S104
    port: int = Field(8080, ge=0, le=65535, description="port to listen on")
    workers: int | Literal["auto"] = Field(
        1,
        description="processes that share the port, each on one core; auto is one per core",
    )
    advertise_url: str = Field(
        "",
        pattern=r"^(https?://[^/]+)?$",
        description="URL at which other replicas reach this one, to pass on requests of its long-polling "
        "sessions; by default its address on the way to Redis",
    )
    tls_cert: Path | None = Field(
        None,
        description="PEM file with the certificate chain, for wss without a proxy; read again at SIGHUP",
    )
    tls_key: Path | None = Field(None, description="PEM file with the private key of `GATEWAY_TLS_CERT`")
    cors_origins: Words = Field(
        (),
        description="origins whose pages may connect, comma-separated; empty allows no page, only other programs",
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = Field(
        (),
        description="networks of proxies whose X-Forwarded-For is trusted, comma-separated, such as 10.0.0.0/8",
    )
    api_keys: Secrets = Field(
        (),
        description="keys for the HTTP API, comma-separated, each of 16 characters or more; empty closes the API",
    )
    console_tokens: bool = Field(
        False,
        description="lets the console make tokens, so that anybody with an API key can be any user; for staging",
    )

    @field_validator("workers", mode="before")
    @classmethod
    def _workers(cls, value: object) -> object:
        text = str(value)
        if text != "auto" and not (text.isdecimal() and 1 <= int(text[:9]) <= MOST_WORKERS):
            raise ValueError(f"must be from 1 to {MOST_WORKERS}, or auto")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            scheme, _, host = origin.partition("://")
            if host.endswith("/") and "/" not in host[:-1]:
                raise ValueError(f"{origin!r} has to be written without a slash at its end")
            if origin != "*" and (scheme not in ("http", "https") or not host or "/" in host or "*" in host):
                raise ValueError(f"{origin!r} is not an origin such as https://app.example.com")
        return value

    @model_validator(mode="after")
    def _listening_fits(self) -> Listening:
        if "*" in self.cors_origins:
            raise ValueError(
                "GATEWAY_CORS_ORIGINS: '*' would let any page connect with a user's token; list the origins"
            )
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise ValueError("GATEWAY_TLS_CERT and GATEWAY_TLS_KEY belong together: set both or none")
        if any(len(key.get_secret_value()) < 16 for key in self.api_keys):
            raise ValueError(
                "GATEWAY_API_KEYS: a key has fewer than 16 characters and could be guessed: use a longer one"
            )
        return self
