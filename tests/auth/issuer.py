"""Whoever issues tokens that are signed with a private key."""

from __future__ import annotations

import base64
import functools
import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import get_default_algorithms

from gateway.auth import Tokens
from gateway.auth.jwks_document import KeySet
from gateway.settings import load

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


class SigningKey:
    """A key pair, for one algorithm; its public half has the name `kid`."""

    def __init__(self, algorithm: str = "ES256", kid: str | None = "one", *, bits: int = 2048) -> None:
        self.algorithm = algorithm
        self.kid = kid
        self.private: Any
        if algorithm.startswith("ES"):
            self.private = ec.generate_private_key(CURVES[algorithm])
        elif algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = rsa.generate_private_key(65537, bits)

    def jwk(self, **more: Any) -> dict[str, Any]:
        """Return the public half as a JWKS has it."""
        by_name: Any = get_default_algorithms()[self.algorithm]
        named = {} if self.kid is None else {"kid": self.kid}
        members: dict[str, Any] = by_name.to_jwk(self.private.public_key(), as_dict=True)
        return members | named | {"use": "sig", "alg": self.algorithm} | more

    def pem(self) -> bytes:
        """Return the public half as a PEM file has it."""
        pem: bytes = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem

    def private_pem(self) -> bytes:
        """Return the private half."""
        pem: bytes = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """Sign a token that names the key, unless `header` says otherwise; None leaves a name out."""
        named = {"kid": self.kid} | header
        headers = {name: value for name, value in named.items() if value is not None}
        return jwt.encode(claims, self.private, self.algorithm, headers=headers)

    def sign_parts(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """Sign with a header that PyJWT would not write."""
        begin = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
        by_name: Any = get_default_algorithms()[self.algorithm]
        return f"{begin}.{b64(by_name.sign(begin.encode(), self.private))}"


def b64(data: bytes) -> str:
    """Return base64 as tokens are written in."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@functools.cache
def known(algorithm: str, kid: str | None = "one") -> SigningKey:
    """Return a key that all tests may share: drawing one takes some time."""
    return SigningKey(algorithm, kid)


def usual(user_id: str, organization_id: str, **more: Any) -> dict[str, Any]:
    """Return the claims of a token that is let in."""
    now = int(time.time())
    who = {"sub": user_id, "organization_id": organization_id}
    # A day: some are made when tests are collected, and used as late as the last of them.
    return who | {"type": "access", "iat": now, "exp": now + 86_400} | more


def document(*keys: SigningKey) -> dict[str, Any]:
    """Return the JWKS of some keys."""
    return {"keys": [key.jwk() for key in keys]}


class Published:
    """Keys as a JWKS URL gave them, without the URL."""

    def __init__(self, algorithm: str, answer: object) -> None:
        self._set = KeySet(algorithm, answer)
        self.find = self._set.find

    async def refresh(self) -> None:
        """Bring nothing new."""

    def findings(self) -> list[str]:
        """Have nothing to say."""
        return []


def by_jwks(algorithm: str, answer: object, **settings: Any) -> Tokens:
    """Verify tokens with a key set."""
    url = "http://127.0.0.1:1/jwks"
    return Tokens(load(jwt_algorithm=algorithm, jwks_url=url, **settings), Published(algorithm, answer))


def by_files(folder: Path, *keys: SigningKey, **settings: Any) -> Tokens:
    """Verify tokens with PEM files."""
    algorithm = keys[0].algorithm
    return Tokens(load(jwt_algorithm=algorithm, jwt_public_key_files=files(folder, *keys), **settings))


def files(folder: Path, *keys: SigningKey) -> str:
    """Write the keys' public halves into files, and give the setting that names them."""
    paths = [folder / f"{i}.pem" for i in range(len(keys))]
    for path, key in zip(paths, keys, strict=True):
        path.write_bytes(key.pem())
    return ",".join(map(str, paths))
