"""A JSON Web Key Set (RFC 7517)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jwt
from jwt import PyJWK, PyJWTError

from gateway.auth.keys import UnknownKey, public_key

# Most keys to try for a token without a `kid`: enough for a rotation. Each costs some 100 µs.
MAX_TRIED = 4


class KeySet:
    """The keys of one document that can verify signatures of `algorithm`.

    `unusable` counts the others: keys of another algorithm or type, for encryption, too short, or malformed.
    """

    def __init__(self, algorithm: str, document: object) -> None:
        members = document.get("keys") if isinstance(document, dict) else None
        self.keys: list[PyJWK] = []
        self.unusable = 0
        for jwk in members if isinstance(members, list) else ():
            key = _usable(algorithm, jwk)
            if key is None:
                self.unusable += 1
            else:
                self.keys.append(key)
        self._algorithm = algorithm
        self._by_kid: dict[str, list[PyJWK]] = {}
        for key in self.keys:
            if key.key_id is not None:
                self._by_kid.setdefault(key.key_id, []).append(key)

    @property
    def kids(self) -> frozenset[str]:
        """The `kid`s of the keys."""
        return frozenset(self._by_kid)

    def find(self, token: str) -> Sequence[PyJWK]:
        """Return the keys that may have signed a token; see `Keys.find`.

        Only `kid` is read from the token's header: no `jku`, `x5u` or `jwk`.
        """
        header = jwt.get_unverified_header(token)
        # Checked before `kid`: a token with a wrong algorithm must not cause a request for keys.
        if header.get("alg") != self._algorithm:
            raise jwt.InvalidAlgorithmError
        kid = header.get("kid")
        if kid is None:
            return self.keys if len(self.keys) <= MAX_TRIED else ()
        found = self._by_kid.get(kid)
        if found is None:
            raise UnknownKey
        return found


def _usable(algorithm: str, jwk: object) -> PyJWK | None:
    if not isinstance(jwk, dict) or not _is_for_verifying(algorithm, jwk):
        return None
    try:
        return public_key(algorithm, jwk)
    except (PyJWTError, ValueError, TypeError):
        return None


def _is_for_verifying(algorithm: str, jwk: Mapping[str, Any]) -> bool:
    operations = jwk.get("key_ops")
    return (
        jwk.get("alg", algorithm) == algorithm
        and jwk.get("use", "sig") == "sig"
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
        and isinstance(jwk.get("kid", ""), str)
    )
