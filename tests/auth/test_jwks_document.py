"""Which keys of a JWKS are used."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.jwks_document import KeySet
from tests.auth.issuer import SigningKey, known
from tests.support.tokens import SECRET

RSA = known("RS256").jwk()


def kept(*members: Any, algorithm: str = "RS256") -> int:
    keys = KeySet(algorithm, {"keys": list(members)})
    assert len(keys.keys) + keys.unusable == len(members)
    return len(keys.keys)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in RSA.items() if key != name}


@pytest.mark.parametrize(
    "jwk",
    [
        RSA,
        without("alg"),
        without("use"),
        without("kid"),
        RSA | {"key_ops": ["verify"]},
        RSA | {"x5u": "https://x"},
    ],
    ids=["usual", "no alg", "no use", "no kid", "to verify", "with an address"],
)
def test_a_key_for_verifying_is_used(jwk: dict[str, Any]) -> None:
    assert kept(jwk) == 1


@pytest.mark.parametrize(
    "jwk",
    [
        RSA | {"use": "enc"},
        RSA | {"key_ops": ["encrypt"]},
        RSA | {"key_ops": "verify"},
        RSA | {"alg": "PS256"},
        RSA | {"alg": "HS256"},
        RSA | {"alg": "none"},
        RSA | {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "oct", "k": SECRET, "kid": "one"},
        RSA | {"kty": "EC"},
        RSA | {"kty": ["RSA"]},
        RSA | {"kid": 7},
        RSA | {"kid": None},
        RSA | {"n": 7},
        RSA | {"n": ""},
        RSA | {"e": "AA"},
        without("n"),
        SigningKey("RS256", bits=1024).jwk(),
        known("ES256").jwk(),
        known("EdDSA").jwk(),
        {},
        [],
        None,
        "key",
    ],
    ids=map(str, range(99)),
)
def test_any_other_is_left_out_and_harms_nobody(jwk: Any) -> None:
    assert kept(jwk, RSA) == 1


def test_a_key_on_another_curve_is_left_out() -> None:
    assert kept(known("ES384").jwk(alg="ES256"), known("ES256").jwk(), algorithm="ES256") == 1


def test_of_a_private_key_that_somebody_published_the_public_half_is_used() -> None:
    private = known("RS256").private.private_numbers()
    keys = KeySet("RS256", {"keys": [RSA | {"d": "AQAB", "p": "AQAB", "q": "AQAB"}]})
    assert not hasattr(keys.keys[0].key, "private_numbers")
    assert keys.keys[0].key.public_numbers() == private.public_numbers


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "crv", "n", "e", "x", "y", "kid", "alg", "use", "key_ops", "d"]), JSON, max_size=4
)
REAL = st.sampled_from([RSA, known("ES256").jwk(), known("EdDSA").jwk()])


@given(
    st.sampled_from(["RS256", "PS512", "ES256", "EdDSA"]),
    st.lists(st.builds(dict.__or__, REAL, MEMBERS) | JSON, max_size=3),
)
def test_whatever_is_published_is_a_key_set(algorithm: str, members: list[Any]) -> None:
    keys = KeySet(algorithm, {"keys": members})
    assert len(keys.keys) + keys.unusable == len(members)


@given(JSON)
def test_whatever_is_published_in_its_place_is_an_empty_one(answer: Any) -> None:
    assert KeySet("ES256", answer).keys == []
