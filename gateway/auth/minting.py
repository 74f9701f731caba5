"""Access tokens like those of the backend, for tests and trials."""

from __future__ import annotations

import time
from typing import Any

import jwt

from gateway.settings import Settings


def claims_of(
    settings: Settings, user_id: str, organization_id: str, *, role: str = "agent", ttl_s: int
) -> dict[str, Any]:
    """Return the claims of an access token that expires in `ttl_s` seconds."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": user_id,
        settings.tenant_claim: organization_id,
        "role": role,
        "type": "access",
        "iat": now,
        "exp": now + ttl_s,
    }
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience[0]
    if settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer
    return claims


def signed(settings: Settings, claims: dict[str, Any]) -> str:
    """Return a token with these claims, signed with the secret; only for HS algorithms."""
    return jwt.encode(claims, settings.jwt_secret_key.get_secret_value(), settings.jwt_algorithm)


def mint(settings: Settings, user_id: str, organization_id: str, *, role: str, ttl_s: int) -> str:
    """Return a signed access token that expires in `ttl_s` seconds."""
    return signed(settings, claims_of(settings, user_id, organization_id, role=role, ttl_s=ttl_s))
