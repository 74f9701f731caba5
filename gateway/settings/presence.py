"""Presence and typing."""

from __future__ import annotations

from pydantic import Field

from gateway.settings.common import Group


class PresenceSettings(Group):
    """The settings of presence and typing."""

    presence_grace_s: float = Field(
        5.0,
        ge=0,
        le=300,
        description="seconds for which a user counts as online after the last socket went: a reload does not show",
    )
    presence_lease_s: float = Field(
        30.0,
        ge=3,
        le=600,
        description="seconds for which the users of a killed replica count as online",
    )
    typing_timeout_s: float = Field(
        6.0,
        ge=0.5,
        le=60,
        description="seconds after which typing ends without a `typing_stop`",
    )
    typing_to_own_tabs: bool = Field(
        False,
        description="also tell the user's other tabs of the typing",
    )
