"""The keys that verify tokens: the interface, and keys from secrets and files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK, PyJWTError
from jwt.algorithms import HMACAlgorithm, get_default_algorithms
from jwt.utils import base64url_encode

from gateway.settings import ConfigurationError, Settings


class UnknownKey(Exception):
    """The key that a token names is unknown; `Keys.refresh` may fetch it."""


class Keys(Protocol):
    """Port: a source of keys. Every key is bound to the configured algorithm."""

    def find(self, token: str) -> Sequence[PyJWK]:
        """Return the keys that may have signed a token; the caller tries each until one fits.

        Raises `UnknownKey`, or PyJWT's errors for a malformed header.
        """

    async def refresh(self) -> None:
        """Fetch the keys again; safe to cancel. Raises `Unavailable` if that fails."""

    def findings(self) -> list[str]:
        """Return the reasons why tokens can't be verified; empty if they can."""


class StaticKeys:
    """Keys that are known at the start and never change."""

    def __init__(self, keys: Iterable[PyJWK]) -> None:
        self._keys = tuple(keys)

    def find(self, token: str) -> Sequence[PyJWK]:
        """Return all keys: keys of secrets and files have no `kid`."""
        return self._keys

    async def refresh(self) -> None:
        """Do nothing: there is nowhere to fetch other keys from."""

    def findings(self) -> list[str]:
        """Return an empty list: these keys can always verify."""
        return []


def keys_of(settings: Settings) -> StaticKeys:
    """Return the keys that verify tokens, from the configured secrets or files; raises `ConfigurationError`."""
    if settings.is_secret:
        secrets = (settings.jwt_secret_key, *settings.jwt_previous_secret_keys)
        return StaticKeys(secret_key(settings.jwt_algorithm, secret.get_secret_value()) for secret in secrets)
    return StaticKeys(pem_key(settings.jwt_algorithm, Path(name)) for name in settings.jwt_public_key_files)


class _CheckedSecret(HMACAlgorithm):
    """HMAC with a secret that was checked before: PyJWT would try to parse it as DER and more for each token."""

    def prepare_key(self, key: str | bytes) -> bytes:
        assert isinstance(key, bytes)
        return key


def secret_key(algorithm: str, secret: str) -> PyJWK:
    """Return a key for a secret; raises `ConfigurationError` if it is a public key or certificate."""
    by_name = get_default_algorithms()[algorithm]
    assert isinstance(by_name, HMACAlgorithm)
    try:
        by_name.prepare_key(secret)
    except PyJWTError as error:
        raise ConfigurationError(f"JWT_SECRET_KEY can't be used with {algorithm}: {error}") from None
    key = PyJWK({"kty": "oct", "k": base64url_encode(secret.encode()).decode()}, algorithm)
    key.Algorithm = _CheckedSecret(by_name.hash_alg)
    return key


def pem_key(algorithm: str, path: Path) -> PyJWK:
    """Return the public key in a PEM file; raises `ConfigurationError`."""
    where = f"GATEWAY_JWT_PUBLIC_KEY_FILES: {path}"
    try:
        text = path.read_bytes()
        if text.count(b"-----BEGIN") > 1:
            raise ConfigurationError(f"{where} holds more than one key: use one file for each")
        key: Any = load_pem_public_key(text)
        by_name: Any = get_default_algorithms()[algorithm]
        return public_key(algorithm, by_name.to_jwk(by_name.prepare_key(key), as_dict=True))
    except OSError as error:
        raise ConfigurationError(f"{where} can't be read: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{where} holds no public key in PEM form") from None
    except (PyJWTError, TypeError) as error:
        raise ConfigurationError(f"{where} holds no key for {algorithm}: {error}") from None


# The members of a public key (RFC 7518, section 6). The parts of a private key are never read, even if they are
# published. `alg`, `x5u` and so on are not read either: a key must not decide how it is used.
_PUBLIC_MEMBERS = ("kty", "crv", "n", "e", "x", "y", "kid")


def public_key(algorithm: str, members: Mapping[str, Any]) -> PyJWK:
    """Return a key from a JWK's public members; raises `PyJWTError` if it is weak or of another algorithm."""
    key = PyJWK({name: members[name] for name in _PUBLIC_MEMBERS if name in members}, algorithm)
    weakness = key.Algorithm.check_key_length(key.Algorithm.prepare_key(key.key))
    if weakness:
        raise PyJWTError(weakness)
    return key
