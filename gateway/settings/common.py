"""The base of all groups of settings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "GATEWAY_"


class ConfigurationError(Exception):
    """The configuration can't be used; the message is one line that says what to change.

    `problems` are its parts, each of them a line of its own where there is room.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class Group(BaseSettings):
    """Settings that belong together."""

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, env_ignore_empty=True, alias_generator=lambda field: PREFIX + field.upper()
    )


def named(name: str, *others: str) -> Any:
    """Name a setting's variable, and those of other programs that mean the same."""
    return AliasChoices(PREFIX + name, *others)


def split(value: Any) -> Any:
    """Take a comma-separated list apart; anything else stays what it is."""
    if isinstance(value, str):
        items = [item.strip().strip("\"'") for item in value.strip("[] ").split(",")]
        return tuple(item for item in items if item)
    return value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split)]
