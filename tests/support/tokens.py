"""Access tokens as PyTake mints them, and ones that it never would."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import jwt

# Long enough for HS512, too.
SECRET = "tests-only-hK3v9QpZx7LwT2mR8sYc5NfB1gJd4Va0-e6WnUuX0oIiPqAyTzM2rLkSb"

# Some tokens are made when tests are collected, and used as late as the last of them.
DAY_S = 86_400.0


def new_id() -> str:
    """Draw a UUID: a tenant, a user, a conversation of one test's own."""
    return str(uuid.uuid4())


def mint(
    user_id: str | UUID | None = None,
    organization_id: str | UUID | None = None,
    *,
    ttl_s: float = DAY_S,
    without: Iterable[str] = (),
    secret: str = SECRET,
    algorithm: str = "HS256",
    **claims: Any,
) -> str:
    """Sign a token; `claims` are added to PyTake's or replace them, those in `without` are left out."""
    now = time.time()
    usual = {
        "sub": str(user_id or new_id()),
        "organization_id": str(organization_id or new_id()),
        "role": "agent",
        "type": "access",
        "iat": int(now),
        "exp": int(now + ttl_s),
    }
    chosen = {name: value for name, value in (usual | claims).items() if name not in set(without)}
    return jwt.encode(chosen, secret, algorithm)
