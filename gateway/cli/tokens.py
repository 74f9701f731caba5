"""Minting tokens as the backend does, to try things with."""

from __future__ import annotations

import time

import jwt

from gateway.settings import Settings


def mint(settings: Settings, user_id: str, organization_id: str, *, role: str, ttl_s: int) -> str:
    """Sign an access token that lives for `ttl_s` seconds."""
    now = int(time.time())
    claims = {
        "sub": user_id,
        settings.tenant_claim: organization_id,
        "role": role,
        "type": "access",
        "iat": now,
        "exp": now + ttl_s,
    }
    return jwt.encode(claims, settings.jwt_secret_key.get_secret_value(), settings.jwt_algorithm)
