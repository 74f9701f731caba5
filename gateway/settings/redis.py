"""The settings of the connections to Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, model_validator

from gateway.settings.common import ConfigurationError, Group, named
from publisher.address import parse_address


class RedisSettings(Group):
    """The settings of the connections to Redis: its URL, and the files for TLS."""

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        validation_alias=named("REDIS_URL", "REDIS_URL"),
        description="URL of Redis or Valkey: redis://, rediss:// or unix://; redis+sentinel://host,host/master "
        "or redis+cluster://host,host, with TLS rediss+sentinel:// or rediss+cluster://",
    )
    redis_ca_file: Path | None = Field(
        None,
        description="PEM file with authorities for Redis' certificate, besides the system's; for rediss://",
    )
    redis_cert_file: Path | None = Field(None, description="PEM file with a client certificate for Redis")
    redis_key_file: Path | None = Field(None, description="PEM file with the key of `GATEWAY_REDIS_CERT_FILE`")

    @model_validator(mode="after")
    def _redis_fits(self) -> Self:
        if (self.redis_cert_file is None) is not (self.redis_key_file is None):
            raise ValueError(
                "GATEWAY_REDIS_CERT_FILE and GATEWAY_REDIS_KEY_FILE belong together: set both or none"
            )
        parse_address(self.redis_url.get_secret_value())
        return self

    def redis_options(self) -> dict[str, Any]:
        """Return redis-py's options besides the URL; raise `ConfigurationError` if a file is missing or unused."""
        files = {
            "ssl_ca_certs": ("GATEWAY_REDIS_CA_FILE", self.redis_ca_file),
            "ssl_certfile": ("GATEWAY_REDIS_CERT_FILE", self.redis_cert_file),
            "ssl_keyfile": ("GATEWAY_REDIS_KEY_FILE", self.redis_key_file),
        }
        given = {option: (name, path) for option, (name, path) in files.items() if path is not None}
        encrypted = self.redis_url.get_secret_value().startswith("rediss")
        for name, path in given.values():
            if not encrypted:
                raise ConfigurationError(f"{name} is set, but nothing is encrypted: REDIS_URL is not rediss://")
            if not path.is_file():
                raise ConfigurationError(f"{name}: there is no file {path}")
        return {option: str(path) for option, (_, path) in given.items()}
