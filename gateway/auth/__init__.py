"""Tokens: who is connecting.

`tokens` verifies, with whatever `keys` has: secrets and PEM files, which are there from the start, or a `jwks`
URL, which is asked now and then. A `keyset` is what such a URL answered.
"""

from gateway.auth.jwks import Jwks, jwks_of, key_values
from gateway.auth.keys import Keys, StaticKeys, UnknownKey, keys_of
from gateway.auth.tokens import MAX_TOKEN_BYTES, Tokens, token_of

__all__ = [
    "MAX_TOKEN_BYTES",
    "Jwks",
    "Keys",
    "StaticKeys",
    "Tokens",
    "UnknownKey",
    "jwks_of",
    "key_values",
    "keys_of",
    "token_of",
]
