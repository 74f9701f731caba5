"""Certificates for tests, from an authority that nobody else trusts."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives import serialization as pem


class Pair(NamedTuple):
    """The files of a certificate and its key."""

    cert: Path
    key: Path

    @property
    def environment(self) -> dict[str, str]:
        """The settings that make a gateway present it."""
        return {"GATEWAY_TLS_CERT": str(self.cert), "GATEWAY_TLS_KEY": str(self.key)}

    def replace_with(self, other: Pair) -> None:
        """Put another certificate into these files, as whoever renews them does."""
        self.cert.write_bytes(other.cert.read_bytes())
        self.key.write_bytes(other.key.read_bytes())


class Authority:
    """Issues certificates into a folder; `file` is its own."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._folder = folder
        self.file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, name: str, *, ec: bool = True) -> Pair:
        """Issue a certificate for this machine; `name` tells its files apart."""
        kind = trustme.KeyType.ECDSA if ec else trustme.KeyType.RSA
        issued = self._authority.issue_cert("localhost", "127.0.0.1", key_type=kind)
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        pair.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(pair.key)
        return pair

    def client_context(self) -> ssl.SSLContext:
        """Return what a client checks such certificates with."""
        return ssl.create_default_context(cafile=str(self.file))


def encrypted(pair: Pair) -> Pair:
    """Return the pair with a key that wants a password."""
    key = pem.load_pem_private_key(pair.key.read_bytes(), None)
    locked = pair.key.with_suffix(".locked")
    password = pem.BestAvailableEncryption(b"sesame")
    locked.write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, password))
    return Pair(pair.cert, locked)
