"""The settings of identity and access: the verification of tokens, and the rights to join rooms."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.settings.common import ConfigurationError, Group, Secrets, Words, named
from publisher.rooms import KIND

# A secret that is shorter than the hash can be found by trying (RFC 7518, section 3.2).
HOW_TO_DRAW = "generate a random one (openssl rand -hex 32)"
MIN_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_WELL_KNOWN = ("secret", "changeme", "change-me", "your-secret", "password", "example")

# Kinds that `join_room` must not open: with `user`, anybody could read any user's events.
OWN_KINDS = ("conversation", "organization", "user")

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"
]


class Access(Group):
    """The settings of tokens, tenants and access to rooms."""

    jwt_secret_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=named("JWT_SECRET_KEY", "JWT_SECRET_KEY"),
        description="secret that signs the access tokens; required with HS256, at least 32 bytes",
    )
    jwt_previous_secret_keys: Secrets = Field(
        (),
        description="older secrets whose tokens are still accepted during a rotation, comma-separated",
    )
    jwt_algorithm: Algorithm = Field(
        "HS256",
        validation_alias=named("JWT_ALGORITHM", "JWT_ALGORITHM"),
        description="the only algorithm that tokens may be signed with",
    )
    jwt_public_key_files: Words = Field(
        (),
        description="PEM files with the public keys for RS, PS, ES and EdDSA, comma-separated",
    )
    jwks_url: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="URL of a JSON Web Key Set with the public keys, instead of `GATEWAY_JWT_PUBLIC_KEY_FILES`",
    )
    jwks_cache_s: float = Field(
        300.0,
        ge=1,
        description="seconds after which the keys of `GATEWAY_JWKS_URL` are fetched again; while that fails, the "
        "old keys stay in use",
    )
    jwt_audience: Words = Field(
        (),
        description="audiences, comma-separated; a token must name one of them; empty checks none",
    )
    jwt_issuer: str = Field("", description="issuer that a token must name; empty checks none")
    jwt_leeway_s: float = Field(
        0.0, ge=0, le=300, description="seconds by which the clocks of a token's issuer and the gateway may differ"
    )
    token_max_lifetime_s: float = Field(
        30 * 86_400.0,
        ge=0,
        description="seconds for which a token may still be valid; one with more left is refused; 0 is no limit",
    )
    token_expiry: Literal["enforce", "connect"] = Field(
        "enforce",
        description="enforce closes a socket when its token ends; connect checks the end only at connect, for "
        "frontends that can't refresh tokens",
    )
    tenant_claim: str = Field(
        "organization_id",
        min_length=1,
        description="claim of a token that names its tenant",
    )
    default_tenant: UUID | None = Field(
        None,
        description="tenant of tokens that name none, for single-tenant use; empty refuses such tokens",
    )
    room_kinds: Words = Field(
        ("campaign",),
        description="kinds of room that browsers may join with `join_room`, comma-separated",
    )
    room_roles: Words = Field(
        (),
        description="roles that may join a kind of room, such as campaign:admin,campaign:manager; kinds that are "
        "not named are open to everyone of the tenant",
    )
    authorize_url: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="backend's URL that gets a POST of user_id, tenant, role and room for each join; 2xx allows",
    )
    authorize_key: SecretStr = Field(
        SecretStr(""),
        description="key that requests to `GATEWAY_AUTHORIZE_URL` carry as `Authorization: Bearer ...`",
    )
    authorize_timeout_s: float = Field(
        2.0, gt=0, le=30, description="seconds that `GATEWAY_AUTHORIZE_URL` has to answer"
    )
    authorize_cache_s: float = Field(
        30.0, ge=0, description="seconds for which an answer of `GATEWAY_AUTHORIZE_URL` is reused"
    )
    authorize_on_failure: Literal["deny", "allow"] = Field(
        "deny", description="deny or allow joins while `GATEWAY_AUTHORIZE_URL` does not answer"
    )

    @field_validator("room_kinds")
    @classmethod
    def _kinds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for kind in value:
            if not KIND.fullmatch(kind) or kind in OWN_KINDS:
                raise ValueError(f"{kind!r} can't be a kind of room that browsers join by name")
        return value

    @field_validator("room_roles")
    @classmethod
    def _roles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pair in value:
            kind, _, role = pair.partition(":")
            if not KIND.fullmatch(kind) or not role:
                raise ValueError(f"{pair!r} is not a kind of room with a role, such as campaign:admin")
        return value

    @field_validator("default_tenant", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if self.is_secret:
            if self.jwks_url or self.jwt_public_key_files:
                raise ValueError(
                    f"public keys are set, but JWT_ALGORITHM is {self.jwt_algorithm}: set it to that of the keys"
                )
        elif bool(self.jwks_url) is bool(self.jwt_public_key_files):
            raise ValueError(
                f"{self.jwt_algorithm} needs GATEWAY_JWKS_URL or GATEWAY_JWT_PUBLIC_KEY_FILES: set one of them"
            )
        missing = [name for name in self.jwt_public_key_files if not Path(name).is_file()]
        if missing:
            raise ValueError(f"GATEWAY_JWT_PUBLIC_KEY_FILES: there is no file {missing[0]}")
        return self

    @property
    def is_secret(self) -> bool:
        """Return whether tokens are signed with a shared secret (HS), rather than a private key."""
        return self.jwt_algorithm in MIN_SECRET_BYTES

    def check_secret(self) -> None:
        """Raise `ConfigurationError` for a secret that is missing or can be guessed."""
        if not self.is_secret:
            return
        if not self.jwt_secret_key.get_secret_value():
            raise ConfigurationError("JWT_SECRET_KEY is missing: set it to the secret that signs the tokens")
        for name, key in (
            ("JWT_SECRET_KEY", self.jwt_secret_key),
            *(("GATEWAY_JWT_PREVIOUS_SECRET_KEYS", key) for key in self.jwt_previous_secret_keys),
        ):
            self._check_strength(name, key.get_secret_value())

    def _check_strength(self, name: str, secret: str) -> None:
        size, least = len(secret.encode()), MIN_SECRET_BYTES[self.jwt_algorithm]
        if size < least:
            raise ConfigurationError(
                f"{name} is weak: {size} bytes, {self.jwt_algorithm} needs at least {least}; {HOW_TO_DRAW}"
            )
        if len(set(secret)) < 8 or secret.lower().startswith(_WELL_KNOWN):
            raise ConfigurationError(f"{name} is weak: it can be guessed; {HOW_TO_DRAW}")
