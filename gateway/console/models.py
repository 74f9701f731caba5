"""The requests of the page to the console, checked."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.api.models import Model, RoomName, UserId, Uuid

LONGEST_TOKEN_S = 86_400


class Mint(Model):
    """Mint an access token."""

    user_id: UserId
    organization_id: Uuid
    role: Annotated[str, Field(min_length=1, max_length=64)] = "agent"
    ttl_s: Annotated[int, Field(ge=1, le=LONGEST_TOKEN_S)] = 900


class Tail(Model):
    """Follow what is published to a room."""

    organization_id: Uuid
    room: RoomName
    payload: Annotated[bool, Field(strict=False)] = False


class Who(Model):
    """Ask what the page may do; `origin` is the page's own."""

    origin: Annotated[str, Field(max_length=300)] = ""
