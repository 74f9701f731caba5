"""Presence and typing."""

from __future__ import annotations

from pydantic import Field

from gateway.settings.common import Group


class PresenceSettings(Group):
    """When somebody counts as there, and as typing."""

    presence_grace_s: float = Field(
        5.0,
        ge=0,
        le=300,
        description="how long a user whose last socket went still counts as online: a page that is reloaded",
    )
    presence_lease_s: float = Field(
        30.0,
        ge=3,
        le=600,
        description="how long the users of a replica that was killed still count as online",
    )
    typing_timeout_s: float = Field(
        6.0,
        ge=0.5,
        le=60,
        description="how long typing lasts that no `typing_stop` ends",
    )
    typing_to_own_tabs: bool = Field(
        False,
        description="whether a user's other tabs hear of the typing, too",
    )
