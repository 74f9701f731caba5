"""The settings: environment variables, prefix `GATEWAY_`, read once at start.

The table in REFERENCE.md and `.env.example` are made from this folder. Times are in seconds and sizes in bytes, as
the names say.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import AliasChoices, Field, ValidationError

from gateway.log import Format
from gateway.settings.access import Access
from gateway.settings.common import PREFIX, ConfigurationError, Group
from gateway.settings.delivery import Delivery
from gateway.settings.limits import Limits
from gateway.settings.listening import Listening
from gateway.settings.presence import PresenceSettings
from gateway.settings.redis import RedisSettings


class Logging(Group):
    """The settings of the log."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe level of lines to log"
    )
    log_format: Format = Field("auto", description="format of log lines; auto is pretty on a terminal, else json")
    tracing: Literal["off", "on"] = Field(
        "off",
        description="OpenTelemetry spans of events that carry a trace: on sends them as `OTEL_` variables say, "
        "or off",
    )


# pydantic puts the fields of the last base first.
class Settings(Logging, Limits, PresenceSettings, Delivery, RedisSettings, Access, Listening):
    """All settings of the gateway."""


def load(**overrides: Any) -> Settings:
    """Read the settings from the environment; raises `ConfigurationError`.

    `overrides` are settings by their own names, from the command line.
    """
    known = variable_names()
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    problems = [f"unknown setting {', '.join(unknown)}: see the table in gateway/REFERENCE.md"] if unknown else []
    try:
        aliases = {field: alias for alias, field in reversed(known.items())}
        found = Settings(**{aliases[field]: value for field, value in overrides.items()})
    except ValidationError as error:
        problems += (_line(problem) for problem in error.errors())
        raise ConfigurationError(*problems) from None
    if problems:
        raise ConfigurationError(*problems)
    return found


def variable_names() -> dict[str, str]:
    """Return every environment variable that is read, with the name of its setting."""
    names: dict[str, str] = {}
    for field, info in Settings.model_fields.items():
        choices = info.validation_alias
        aliases = choices.choices if isinstance(choices, AliasChoices) else [info.alias or field]
        names |= {str(alias): field for alias in aliases}
    return names


def _name(alias: str) -> str:
    """Return the variable that was set: pydantic reports the first of a setting's names, not the one in use."""
    known = variable_names()
    same = [name for name, field in known.items() if field == known.get(alias)]
    return next((name for name in same if os.environ.get(name)), alias)


def _line(problem: Any) -> str:
    where = _name(str(problem["loc"][0])) if problem["loc"] else ""
    message = str(problem["msg"]).removeprefix("Value error, ")
    shown = "" if problem["type"] in ("value_error", "missing") else f" (given: {problem['input']!r:.60})"
    return f"{where}: {message}{shown}" if where else message


__all__ = ["PREFIX", "ConfigurationError", "Settings", "load", "variable_names"]
