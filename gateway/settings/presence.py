"""The settings of presence and typing."""

from __future__ import annotations

from pydantic import Field

from gateway.settings.common import Group


class PresenceSettings(Group):
    """The settings of presence and typing."""

    presence_grace_s: float = Field(
        5.0,
        ge=0,
        le=300,
        description="seconds for which a user stays online after the last socket closed; it hides a reload. "
        "No longer than GATEWAY_RECOVERY_WINDOW_S",
    )
    presence_lease_s: float = Field(
        30.0,
        ge=3,
        le=600,
        description="seconds after which the users of a killed replica are offline at the latest",
    )
    typing_timeout_s: float = Field(
        6.0,
        ge=0.5,
        le=60,
        description="seconds after the last `typing_start` at which typing ends without a `typing_stop`",
    )
    typing_to_own_tabs: bool = Field(
        False,
        description="true also shows a user's typing in the user's other tabs",
    )
