"""The keys that tokens are verified with: the port, and the adapters that have them from the start."""

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
    """No key at hand is the one that a token names; `Keys.refresh` may bring it."""


class Keys(Protocol):
    """The source of keys. Every key is bound to the one algorithm that is configured."""

    def find(self, token: str) -> Sequence[PyJWK]:
        """Return the keys that may have signed a token; it is verified with each until one fits.

        Raises `UnknownKey`, or PyJWT's errors for a token whose header can't be read.
        """

    async def refresh(self) -> None:
        """Fetch the keys again; safe to cancel. Raises `Unavailable` when that is not possible now."""

    def findings(self) -> list[str]:
        """Return what keeps tokens from being verified, nothing when they can be."""


class StaticKeys:
    """Keys that were there at the start and stay the same."""

    def __init__(self, keys: Iterable[PyJWK]) -> None:
        self._keys = tuple(keys)

    def find(self, token: str) -> Sequence[PyJWK]:
        """Return all of them: secrets and files have no names that a `kid` could mean."""
        return self._keys

    async def refresh(self) -> None:
        """Do nothing."""

    def findings(self) -> list[str]:
        """Return nothing."""
        return []


def keys_of(settings: Settings) -> StaticKeys:
    """Make the keys out of the secrets or files that are configured; raises `ConfigurationError`."""
    if settings.is_secret:
        secrets = (settings.jwt_secret_key, *settings.jwt_previous_secret_keys)
        return StaticKeys(secret_key(settings.jwt_algorithm, secret.get_secret_value()) for secret in secrets)
    return StaticKeys(pem_key(settings.jwt_algorithm, Path(name)) for name in settings.jwt_public_key_files)


class _CheckedSecret(HMACAlgorithm):
    """HMAC with a secret that was looked at once: PyJWT tries it as DER, JSON and more for each token."""

    def prepare_key(self, key: str | bytes) -> bytes:
        assert isinstance(key, bytes)
        return key


def secret_key(algorithm: str, secret: str) -> PyJWK:
    """Make a key of a secret; raises `ConfigurationError` for what is no secret but somebody's public key."""
    by_name = get_default_algorithms()[algorithm]
    assert isinstance(by_name, HMACAlgorithm)
    try:
        by_name.prepare_key(secret)
    except PyJWTError as error:
        raise ConfigurationError(f"JWT_SECRET_KEY is no secret for {algorithm}: {error}") from None
    key = PyJWK({"kty": "oct", "k": base64url_encode(secret.encode()).decode()}, algorithm)
    key.Algorithm = _CheckedSecret(by_name.hash_alg)
    return key


def pem_key(algorithm: str, path: Path) -> PyJWK:
    """Read one public key out of a PEM file; raises `ConfigurationError`."""
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


# What a public key is made of (RFC 7518, section 6). The parts of a private key are never read, should somebody
# publish them; nor are `alg`, `x5u` and the like, which would have a key say how it is to be used.
_PUBLIC_MEMBERS = ("kty", "crv", "n", "e", "x", "y", "kid")


def public_key(algorithm: str, members: Mapping[str, Any]) -> PyJWK:
    """Make a key of a JWK's public members; raises `PyJWTError` where it does not fit the algorithm or is weak."""
    key = PyJWK({name: members[name] for name in _PUBLIC_MEMBERS if name in members}, algorithm)
    weakness = key.Algorithm.check_key_length(key.Algorithm.prepare_key(key.key))
    if weakness:
        raise PyJWTError(weakness)
    return key
