"""The models of the page's requests to the console."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.api.models import Model, RoomName, UserId, Uuid

LONGEST_TOKEN_S = 86_400


class Mint(Model):
    """A request for an access token."""

    user_id: UserId
    organization_id: Uuid
    role: Annotated[str, Field(min_length=1, max_length=64)] = "agent"
    ttl_s: Annotated[int, Field(ge=1, le=LONGEST_TOKEN_S)] = 900


class Tail(Model):
    """A request to follow the events of a room."""

    organization_id: Uuid
    room: RoomName
    payload: Annotated[bool, Field(strict=False)] = False


class Who(Model):
    """A query of the page's permissions; `origin` is that of the page."""

    origin: Annotated[str, Field(max_length=300)] = ""
