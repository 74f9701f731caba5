"""The base of all groups of settings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "GATEWAY_"


class ConfigurationError(Exception):
    """The configuration can't be used; the message is one line that says what to change.

    `problems` are the parts of the message, to be shown on lines of their own.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class Group(BaseSettings):
    """The base of a group of settings, read from variables with the prefix."""

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, env_ignore_empty=True, alias_generator=lambda field: PREFIX + field.upper()
    )


def named(name: str, *others: str) -> Any:
    """Return the names of a setting's variable: with the prefix, and those that other programs use."""
    return AliasChoices(PREFIX + name, *others)


def split(value: Any) -> Any:
    """Return the items of a comma-separated list as a tuple, and anything else unchanged."""
    if isinstance(value, str):
        items = [item.strip().strip("\"'") for item in value.strip("[] ").split(",")]
        return tuple(item for item in items if item)
    return value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split)]
