"""Tokens: who is connecting.

The signature and `exp` are PyJWT's to check; the types, sizes and meaning of the claims are ours, because
PyJWT checks none of them.
"""

from __future__ import annotations

from typing import Any

import jwt

from gateway.core.member import Identity
from gateway.errors import Refused
from gateway.settings import Settings
from publisher import InvalidEvent
from publisher.rooms import user_text, uuid_text

# Before it is looked at: an 800 KB token costs 38 ms of the loop to decode.
MAX_TOKEN_BYTES = 8192
# The end of the year 9999, after which there are no dates.
MAX_EXP = 253_402_300_799


class Tokens:
    """Verifies access tokens."""

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.jwt_secret_key.get_secret_value()
        self._algorithms = [settings.jwt_algorithm]
        self._tenant_claim = settings.tenant_claim
        self._default_tenant = str(settings.default_tenant) if settings.default_tenant else None

    def verify(self, token: object) -> Identity:
        """Give the bearer of a token, or raise `Refused` with the code that the client gets."""
        if token is None or token == "":
            raise Refused("token_missing")
        if not isinstance(token, str) or len(token) > MAX_TOKEN_BYTES:
            raise Refused("token_invalid")
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=self._algorithms,
                options={"require": ["exp", "sub"], "verify_aud": False},
            )
        except jwt.ExpiredSignatureError:
            raise Refused("token_expired") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
            raise Refused("token_invalid") from None
        return self._identity(claims)

    def _identity(self, claims: dict[str, Any]) -> Identity:
        if claims.get("type", "access") != "access":
            raise Refused("token_invalid")
        exp = claims["exp"]
        if isinstance(exp, bool) or not isinstance(exp, (int, float)) or exp > MAX_EXP:
            raise Refused("token_invalid")
        tenant = claims.get(self._tenant_claim)
        if tenant is None or tenant == "":
            tenant = self._default_tenant
        if tenant is None:
            raise Refused("tenant_missing")
        role = claims.get("role")
        try:
            return Identity(
                user_text(claims["sub"]),
                uuid_text(tenant, self._tenant_claim),
                role if isinstance(role, str) and len(role) <= 64 else "",
                float(exp),
            )
        except InvalidEvent:
            raise Refused("token_invalid") from None


def token_of(auth: object, authorization: str | None) -> object:
    """Find the token in the client's `auth` or, where there is none, in an Authorization header."""
    if isinstance(auth, dict) and auth.get("token") is not None:
        return auth["token"]
    scheme, _, value = (authorization or "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None
