"""Verification of access tokens.

PyJWT checks the signature, `exp`, `nbf`, `aud` and `iss`. This module checks types, sizes and meaning of the
claims, because PyJWT does not.
"""

from __future__ import annotations

import time
from typing import Any

import jwt
from jwt.types import Options

from gateway.auth.keys import Keys, UnknownKey, keys_of
from gateway.core.model import Identity
from gateway.errors import Refused
from gateway.settings import Settings
from publisher import InvalidEvent
from publisher.rooms import user_text, uuid_text

# Checked before decoding: a token of 800 KB would block the loop for 38 ms.
MAX_TOKEN_BYTES = 8192
# The end of the year 9999, the last that Python's dates can represent.
MAX_EXP = 253_402_300_799
MAX_TOKEN_ID = 128
MAX_ROLE = 64


class Tokens:
    """Verifies access tokens, by default with the keys of the settings."""

    def __init__(self, settings: Settings, keys: Keys | None = None) -> None:
        self.keys: Keys = keys_of(settings) if keys is None else keys
        self._algorithms = [settings.jwt_algorithm]
        self._audience = settings.jwt_audience or None
        self._issuer = settings.jwt_issuer or None
        self._leeway_s = settings.jwt_leeway_s
        self._max_lifetime_s = settings.token_max_lifetime_s
        self._tenant_claim = settings.tenant_claim
        self._default_tenant = str(settings.default_tenant) if settings.default_tenant else None
        self._options: Options = {
            "require": ["exp", "sub"],
            "verify_aud": self._audience is not None,
            "verify_iss": self._issuer is not None,
        }

    async def identify(self, token: object) -> Identity:
        """Return the bearer of a token, as `verify` does; fetch the keys once if its key is unknown.

        Raises `Unavailable` if the keys can't be fetched: the token may still be valid.
        """
        try:
            return self.verify(token)
        except UnknownKey:
            await self.keys.refresh()
        try:
            return self.verify(token)
        except UnknownKey:
            raise Refused("token_invalid") from None

    def verify(self, token: object) -> Identity:
        """Return the bearer of a token, or raise `Refused` with the code for the client.

        Raises `UnknownKey` if its key may not have been fetched yet.
        """
        if token is None or token == "":
            raise Refused("token_missing")
        if not isinstance(token, str) or len(token) > MAX_TOKEN_BYTES:
            raise Refused("token_invalid")
        try:
            return self._identity(self._claims(token))
        except jwt.ExpiredSignatureError:
            raise Refused("token_expired") from None
        except (jwt.PyJWTError, InvalidEvent, ValueError, TypeError, RecursionError, OverflowError):
            raise Refused("token_invalid") from None

    def _claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token; raises PyJWT's errors if no key has signed it or a claim is invalid."""
        for key in self.keys.find(token):
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=self._algorithms,
                    options=self._options,
                    audience=self._audience,
                    issuer=self._issuer,
                    leeway=self._leeway_s,
                )
            except jwt.InvalidSignatureError:
                continue
        raise jwt.InvalidSignatureError

    def _identity(self, claims: dict[str, Any]) -> Identity:
        if claims.get("type", "access") != "access":
            raise Refused("token_invalid")
        tenant = claims.get(self._tenant_claim)
        if tenant is None or tenant == "":
            tenant = self._default_tenant
        if tenant is None:
            raise Refused("tenant_missing")
        role = claims.get("role")
        return Identity(
            user_text(claims["sub"]),
            uuid_text(tenant, self._tenant_claim),
            role if isinstance(role, str) and len(role) <= MAX_ROLE and role.isprintable() else "",
            self._end(claims["exp"]),
            _moment(claims.get("iat", 0)),
            _token_id(claims.get("jti", "")),
        )

    def _end(self, exp: object) -> float:
        end = _moment(exp)
        if end > MAX_EXP or (self._max_lifetime_s and end - time.time() > self._max_lifetime_s + self._leeway_s):
            raise Refused("token_invalid")
        return end


def _moment(claim: object) -> float:
    """Return a claim as a Unix time, which must be a number; PyJWT would accept texts and booleans, too."""
    if isinstance(claim, bool) or not isinstance(claim, (int, float)):
        raise Refused("token_invalid")
    return float(claim)


def _token_id(claim: object) -> str:
    # Only printable text: this excludes lone surrogates, which can't be part of a Redis key.
    if not isinstance(claim, str) or len(claim) > MAX_TOKEN_ID or not claim.isprintable():
        raise Refused("token_invalid")
    return claim


def token_of(auth: object, authorization: str | None) -> object:
    """Return the token in the client's `auth`, else that in the Authorization header; None without one."""
    if isinstance(auth, dict) and auth.get("token") is not None:
        return auth["token"]
    scheme, _, value = (authorization or "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None
