"""Tokens: they identify the user who connects.

`tokens` verifies them. `keys` has the keys from secrets and PEM files, which are read at the start. `jwks` fetches
keys from a URL, again and again, and `jwks_document` reads them.
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
