"""Tokens that are signed with a private key: each is verified with the one algorithm that is configured."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from gateway.auth import Tokens, UnknownKey
from gateway.errors import Refused
from gateway.settings import ConfigurationError, load
from tests.auth.issuer import ALGORITHMS, SigningKey, b64, by_files, by_jwks, document, known, usual
from tests.support.tokens import SECRET, mint, new_id

USER, ORG = new_id(), new_id()


def refused(tokens: Tokens, token: object) -> str:
    with pytest.raises(Refused) as caught:
        tokens.verify(token)
    return caught.value.code


def hmac_with(secret: bytes, **header: Any) -> str:
    """Sign with HMAC, though what is taken for the secret may be a public key."""
    head = {"typ": "JWT", "alg": "HS256"} | header
    begin = ".".join(b64(json.dumps(part).encode()) for part in (head, usual(USER, ORG)))
    return f"{begin}.{b64(hmac.new(secret, begin.encode(), hashlib.sha256).digest())}"


# -- let in


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_works_by_file_and_by_jwks(algorithm: str, tmp_path: Path) -> None:
    key = known(algorithm)
    token = key.sign(usual(USER, ORG))
    assert by_files(tmp_path, key).verify(token).user_id == USER
    assert by_jwks(algorithm, document(key)).verify(token).tenant == ORG


def test_several_files_are_as_many_keys(tmp_path: Path) -> None:
    keys = [SigningKey("ES256") for _ in range(3)]
    tokens = by_files(tmp_path, *keys)
    assert {tokens.verify(key.sign(usual(USER, ORG))).user_id for key in keys} == {USER}
    assert refused(tokens, SigningKey("ES256").sign(usual(USER, ORG))) == "token_invalid"


def test_a_file_has_no_name_that_a_kid_could_mean(tmp_path: Path) -> None:
    key = known("ES256")
    for kid in (None, "anything", "../../0.pem", str(tmp_path / "0.pem")):
        assert by_files(tmp_path, key).verify(key.sign(usual(USER, ORG), kid=kid)).user_id == USER


def test_a_token_that_names_no_key_is_tried_with_the_few_there_are() -> None:
    keys = [SigningKey("ES256", str(i)) for i in range(5)]
    token = keys[3].sign(usual(USER, ORG), kid=None)
    assert by_jwks("ES256", document(*keys[:4])).verify(token).user_id == USER
    assert refused(by_jwks("ES256", document(*keys)), token) == "token_invalid"


def test_two_keys_may_have_one_name() -> None:
    keys = [SigningKey("ES256"), SigningKey("ES256")]
    tokens = by_jwks("ES256", document(*keys))
    assert {tokens.verify(key.sign(usual(USER, ORG))).user_id for key in keys} == {USER}


# -- kept out


def attacks(algorithm: str) -> dict[str, str]:
    """Tokens that a key of this algorithm must not let in, though each is a good one to somebody."""
    key, claims = known(algorithm), usual(USER, ORG)
    stranger = SigningKey(algorithm)
    hosts = "https://evil.example/keys"
    others = {name: known(name).sign(claims) for name in ALGORITHMS if name != algorithm}
    return (
        others
        | {
            "alg none": jwt.encode(claims, None, "none", headers={"kid": "one"}),  # type: ignore[arg-type]
            "alg None": key.sign_parts({"alg": "None", "kid": "one"}, claims),
            "no alg": key.sign_parts({"kid": "one"}, claims),
            "alg a list": key.sign_parts({"alg": [algorithm], "kid": "one"}, claims),
            "HS256 with the public key as the secret": hmac_with(key.pem(), kid="one"),
            "HS256 with its text without the last line end": hmac_with(key.pem().strip(), kid="one"),
            "HS256 with the JWK": hmac_with(json.dumps(key.jwk()).encode(), kid="one"),
            "HS256 with an empty secret": hmac_with(b"", kid="one"),
            "HS256 with our secret": mint(USER, ORG),
            "HMAC that says it is ours": hmac_with(key.pem(), alg=algorithm, kid="one"),
            "another's key of the same name": stranger.sign(claims),
            "another's key in the header": stranger.sign(claims, jwk=stranger.jwk()),
            "another's key in the header, nameless": stranger.sign(claims, kid=None, jwk=stranger.jwk()),
            "another's keys by jku": stranger.sign(claims, jku=hosts),
            "another's certificate by x5u": stranger.sign(claims, x5u=hosts),
            "another's certificate in x5c": stranger.sign(claims, x5c=[b64(stranger.pem())]),
            "an unknown critical header": key.sign(claims, crit=["exp"]),
            "a critical header that is no list": key.sign(claims, crit="exp"),
            "a payload of its own": key.sign(claims, crit=["b64"], b64=False),
            "no signature": key.sign(claims).rpartition(".")[0] + ".",
            "half a signature": key.sign(claims)[:-20],
            "its own signature, other claims": _with_claims(key.sign(claims), usual(new_id(), ORG)),
        }
    )


def _with_claims(token: str, claims: dict[str, Any]) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{b64(json.dumps(claims).encode())}.{signature}"


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_a_forged_token_is_refused_by_file_and_by_jwks(algorithm: str, tmp_path: Path) -> None:
    key = known(algorithm)
    for tokens in (by_files(tmp_path, key), by_jwks(algorithm, document(key))):
        found = {name: refused(tokens, token) for name, token in attacks(algorithm).items()}
        assert set(found.values()) == {"token_invalid"}, found


@pytest.mark.parametrize("kid", [7, True, ["one"], {"one": 1}, {}, []], ids=str)
def test_a_kid_that_is_no_text_is_refused(kid: Any) -> None:
    token = known("ES256").sign_parts({"alg": "ES256", "kid": kid}, usual(USER, ORG))
    assert refused(by_jwks("ES256", document(known("ES256"))), token) == "token_invalid"


@pytest.mark.parametrize(
    "kid",
    ["", "ONE", "one ", "one\x00", "../one", "/dev/null", "http://evil.example/one", "' OR 1=1 --", "x" * 5000],
    ids=lambda kid: str(kid)[:12],
)
def test_a_kid_is_a_name_that_is_looked_up_and_nothing_else(kid: str) -> None:
    tokens = by_jwks("ES256", document(known("ES256")))
    with pytest.raises(UnknownKey):
        tokens.verify(known("ES256").sign(usual(USER, ORG), kid=kid))


def test_nobody_looks_for_the_key_of_a_token_of_another_algorithm() -> None:
    tokens = by_jwks("ES256", document(known("ES256")))
    token = known("RS256").sign(usual(USER, ORG), kid="unheard-of")
    assert refused(tokens, token) == "token_invalid"


def test_a_key_of_a_set_is_not_for_another_algorithm_than_the_configured_one() -> None:
    rsa = known("RS256")
    set_ = {
        "keys": [rsa.jwk(), known("ES256", "two").jwk(), {"kty": "oct", "k": b64(SECRET.encode()), "kid": "three"}]
    }
    tokens = by_jwks("RS256", set_)
    assert tokens.verify(rsa.sign(usual(USER, ORG))).user_id == USER
    assert refused(tokens, known("ES256", "two").sign(usual(USER, ORG))) == "token_invalid"
    assert refused(tokens, hmac_with(SECRET.encode(), kid="three")) == "token_invalid"
    with pytest.raises(UnknownKey):
        tokens.verify(rsa.sign(usual(USER, ORG), kid="three"))


# -- files that can't be used are said at the start


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no public key in PEM form"),
        (b"-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----\n", "holds no public key in PEM form"),
        (known("ES256").private_pem(), "holds no public key in PEM form"),
        (known("ES256").pem() * 2, "holds more than one key"),
        (known("RS256").pem(), "holds no key for ES256"),
        (known("ES384").pem(), "holds no key for ES256"),
        (known("EdDSA").pem(), "holds no key for ES256"),
    ],
    ids=["empty", "nonsense", "private", "two", "RSA", "another curve", "Ed25519"],
)
def test_a_file_without_a_key_that_fits_is_a_mistake_in_the_configuration(
    content: bytes, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=says) as caught:
        Tokens(load(jwt_algorithm="ES256", jwt_public_key_files=str(path)))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_rsa_key_that_is_too_short_is_one_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no key for RS256"):
        by_files(tmp_path, SigningKey("RS256", bits=1024))


def test_a_public_key_as_the_secret_is_one_too() -> None:
    with pytest.raises(ConfigurationError, match="JWT_SECRET_KEY can't be used with HS256"):
        Tokens(load(jwt_secret_key=known("RS256").pem().decode()))
