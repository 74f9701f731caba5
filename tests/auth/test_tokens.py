"""Tokens: the one kind that is let in, and every other kind that is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth import MAX_TOKEN_BYTES, Tokens, token_of
from gateway.errors import CODES, Refused
from gateway.settings import load
from tests.support.tokens import SECRET, mint, new_id

USER, ORG = new_id(), new_id()
HS256 = {"alg": "HS256", "typ": "JWT"}


def tokens(**settings: Any) -> Tokens:
    return Tokens(load(jwt_secret_key=SECRET, **settings))


def usual(**claims: Any) -> dict[str, Any]:
    now = int(time.time())
    chosen = {"sub": USER, "organization_id": ORG, "role": "agent", "type": "access", "exp": now + 2 * 86_400}
    return chosen | {name: value for name, value in claims.items() if value is not ...}


def without(name: str) -> dict[str, Any]:
    claims = usual()
    del claims[name]
    return claims


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(
    payload: Any, header: Any = HS256, *, secret: str = SECRET, digest: Callable[..., Any] = hashlib.sha256
) -> str:
    """Sign anything at all; `payload` is text where JSON could not say it."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    head = header if isinstance(header, str) else json.dumps(header)
    begin = f"{b64(head.encode())}.{b64(text.encode('utf-8', 'surrogatepass'))}"
    return f"{begin}.{b64(hmac.new(secret.encode(), begin.encode(), digest).digest())}"


def raw(name: str, value: str) -> str:
    """Claims with one that is written just so."""
    text = json.dumps(usual(**{name: "@"}))
    return signed(text.replace('"@"', value))


def refused(token: object, **settings: Any) -> str:
    with pytest.raises(Refused) as caught:
        tokens(**settings).verify(token)
    return caught.value.code


# -- let in


def test_pytakes_own_token_is_let_in() -> None:
    identity = tokens().verify(mint(USER, ORG, ttl_s=900))
    assert (identity.user_id, identity.tenant, identity.role) == (USER, ORG, "agent")
    assert 0 < identity.expires_at - time.time() <= 900


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_configured_algorithm_and_no_other_is_accepted(algorithm: str) -> None:
    token = mint(USER, ORG, algorithm=algorithm)
    for configured in ("HS256", "HS384", "HS512"):
        if configured == algorithm:
            assert tokens(jwt_algorithm=configured).verify(token).user_id == USER
        else:
            assert refused(token, jwt_algorithm=configured) == "token_invalid"


@pytest.mark.parametrize(
    "claims",
    [
        without("type"),
        without("role"),
        usual(role=None),
        usual(role=7),
        usual(role=["admin"]),
        usual(role="x" * 65),
        usual(exp=time.time() + 86_400.5),
        usual(iat=int(time.time()) - 5, nbf=int(time.time()) - 5, jti="a", aud="someone", iss="someone"),
        usual(sub="auth0|5f7c"),
        usual(sub=USER.upper()),
        usual(organization_id=ORG.upper()),
        usual(extra={"deep": [1, 2]}),
    ],
    ids=map(str, range(99)),
)
def test_what_is_odd_and_harmless_is_let_in(claims: dict[str, Any]) -> None:
    identity = tokens().verify(signed(claims))
    assert identity.tenant == ORG
    assert isinstance(identity.role, str)
    assert len(identity.role) <= 64


def test_ids_are_spelt_in_one_way() -> None:
    identity = tokens().verify(mint(USER.upper(), ORG.upper()))
    assert (identity.user_id, identity.tenant) == (USER, ORG)


def test_the_tenants_claim_can_be_another_one() -> None:
    claims = without("organization_id") | {"tenant": ORG}
    assert tokens(tenant_claim="tenant").verify(signed(claims)).tenant == ORG
    assert refused(signed(claims)) == "tenant_missing"


@pytest.mark.parametrize(
    "claims", [without("organization_id"), usual(organization_id=None), usual(organization_id="")]
)
def test_a_token_without_a_tenant_needs_a_default(claims: dict[str, Any]) -> None:
    default = new_id()
    assert refused(signed(claims)) == "tenant_missing"
    assert tokens(default_tenant=default).verify(signed(claims)).tenant == default


@pytest.mark.parametrize("nonsense", ["acme", 7, ["x"], {}, False])
def test_a_default_never_replaces_a_tenant_that_is_nonsense(nonsense: Any) -> None:
    assert refused(signed(usual(organization_id=nonsense)), default_tenant=new_id()) == "token_invalid"


def test_an_identity_says_when_its_token_was_issued_and_which_one_it_is() -> None:
    identity = tokens().verify(signed(usual(iat=1_700_000_000.5, jti="x" * 128)))
    assert (identity.issued_at, identity.token_id) == (1_700_000_000.5, "x" * 128)
    identity = tokens().verify(signed(usual()))
    assert (identity.issued_at, identity.token_id) == (0.0, "")


# -- secrets that replace each other

OLD, OLDER = "old-" + SECRET, "older-" + SECRET


def test_previous_secrets_are_accepted_beside_the_new_one() -> None:
    rotating = tokens(jwt_previous_secret_keys=f"{OLD},{OLDER}")
    for secret in (SECRET, OLD, OLDER):
        assert rotating.verify(mint(USER, ORG, secret=secret)).user_id == USER
    assert refused(mint(USER, ORG, secret=OLD)) == "token_invalid"


def test_a_token_of_a_previous_secret_is_held_to_the_same() -> None:
    rotation = {"jwt_previous_secret_keys": OLD}
    assert refused(mint(USER, ORG, secret=OLD, ttl_s=-1), **rotation) == "token_expired"
    assert refused(mint(USER, ORG, secret=OLD, type="refresh"), **rotation) == "token_invalid"
    assert refused(mint(USER, ORG, secret="x" * 64), **rotation) == "token_invalid"


# -- claims that are looked at where that is configured


@pytest.mark.parametrize("aud", ["gateway", ["gateway"], ["other", "gateway"]], ids=str)
def test_a_token_for_one_of_our_audiences_is_let_in(aud: Any) -> None:
    assert tokens(jwt_audience="gateway,staging").verify(signed(usual(aud=aud))).user_id == USER


@pytest.mark.parametrize(
    "aud", [..., None, "", "Gateway", "gateway2", [], ["other"], [7], 7, {"gateway": 1}], ids=str
)
def test_a_token_for_another_audience_is_refused(aud: Any) -> None:
    assert refused(signed(usual(aud=aud)), jwt_audience="gateway,staging") == "token_invalid"


def test_a_token_of_another_issuer_is_refused() -> None:
    ours = "https://id.example"
    assert tokens(jwt_issuer=ours).verify(signed(usual(iss=ours))).user_id == USER
    for iss in (..., None, "", ours + "/", "https://id.example.evil", [ours], 7):
        assert refused(signed(usual(iss=iss)), jwt_issuer=ours) == "token_invalid"


def test_clocks_may_be_apart_by_the_leeway_and_no_more() -> None:
    late, early = signed(usual(exp=time.time() - 30)), signed(usual(nbf=time.time() + 30, iat=time.time() + 30))
    assert (refused(late), refused(early)) == ("token_expired", "token_invalid")
    for token in (late, early):
        assert tokens(jwt_leeway_s=60).verify(token).user_id == USER
    assert refused(late, jwt_leeway_s=20) == "token_expired"


def test_a_token_that_lives_too_long_is_refused() -> None:
    token = signed(usual(exp=time.time() + 3600))
    assert tokens(token_max_lifetime_s=3601).verify(token).user_id == USER
    assert refused(token, token_max_lifetime_s=3590) == "token_invalid"
    assert refused(signed(usual(exp=time.time() + 31 * 86_400))) == "token_invalid"
    assert tokens(token_max_lifetime_s=0).verify(signed(usual(exp=time.time() + 10**9))).user_id == USER


# -- kept out

LATER = int(time.time()) + 86_400
ODD: dict[str, tuple[object, str]] = {
    "none": (None, "token_missing"),
    "empty": ("", "token_missing"),
    "a number": (7, "token_invalid"),
    "a yes": (True, "token_invalid"),
    "bytes": (mint(USER, ORG).encode(), "token_invalid"),
    "a list": ([mint(USER, ORG)], "token_invalid"),
    "an object": ({"token": mint(USER, ORG)}, "token_invalid"),
    "a word": ("token", "token_invalid"),
    "two dots": ("..", "token_invalid"),
    "four parts": (mint(USER, ORG) + ".x", "token_invalid"),
    "no base64": ("ä.ö.ü", "token_invalid"),
    "a lone surrogate": ("\ud800.\ud800.\ud800", "token_invalid"),
    "a null in it": (mint(USER, ORG).replace(".", "\x00.", 1), "token_invalid"),
    "with Bearer before it": ("Bearer " + mint(USER, ORG), "token_invalid"),
    "no signature": (mint(USER, ORG).rpartition(".")[0] + ".", "token_invalid"),
    "another signature": (mint(USER, ORG).rpartition(".")[0] + "." + b64(b"x" * 32), "token_invalid"),
    "another's claims": (
        ".".join([mint().split(".")[0], mint(USER).split(".")[1], mint().split(".")[2]]),
        "token_invalid",
    ),
    "another secret": (mint(USER, ORG, secret="x" * 64), "token_invalid"),
    "an empty secret": (signed(usual(), secret=""), "token_invalid"),
    "alg none": (jwt.encode(usual(), None, algorithm="none"), "token_invalid"),  # type: ignore[arg-type]
    "alg None, signed": (signed(usual(), {"alg": "None"}), "token_invalid"),
    "alg hs256": (signed(usual(), {"alg": "hs256"}), "token_invalid"),
    "alg HS512": (mint(USER, ORG, algorithm="HS512"), "token_invalid"),
    "alg HS512 that is HS256": (signed(usual(), {"alg": "HS512"}), "token_invalid"),
    "alg RS256 with our secret": (signed(usual(), {"alg": "RS256"}), "token_invalid"),
    "alg a list": (signed(usual(), {"alg": ["HS256"]}), "token_invalid"),
    "alg null": (signed(usual(), {"alg": None}), "token_invalid"),
    "no alg": (signed(usual(), {}), "token_invalid"),
    "a header that is a list": (signed(usual(), []), "token_invalid"),
    "a header that is no JSON": (signed(usual(), "{"), "token_invalid"),
    "a kid that is an object": (signed(usual(), HS256 | {"kid": {}}), "token_invalid"),
    "an unknown critical header": (signed(usual(), HS256 | {"crit": ["b64"], "b64": False}), "token_invalid"),
    "claims that are a list": (signed([usual()]), "token_invalid"),
    "claims that are a text": (signed('"x"'), "token_invalid"),
    "claims that are no JSON": (signed("{"), "token_invalid"),
    "claims that are no UTF-8": (signed('{"sub":"\ud800"}'), "token_invalid"),
    "claims nested deep": (signed('{"a":' + "[" * 2000 + "]" * 2000 + "}"), "token_invalid"),
    "no exp": (mint(USER, ORG, without=["exp"]), "token_invalid"),
    "exp null": (signed(usual(exp=None)), "token_invalid"),
    "exp past": (mint(USER, ORG, ttl_s=-1), "token_expired"),
    "exp long past": (signed(usual(exp=1)), "token_expired"),
    "exp now": (signed(usual(exp=int(time.time()))), "token_expired"),
    "exp zero": (signed(usual(exp=0)), "token_expired"),
    "exp below zero": (signed(usual(exp=-(10**12))), "token_expired"),
    "exp a text": (signed(usual(exp=str(LATER))), "token_invalid"),
    "exp a word": (signed(usual(exp="tomorrow")), "token_invalid"),
    "exp a yes": (signed(usual(exp=True)), "token_expired"),
    "exp a list": (signed(usual(exp=[LATER])), "token_invalid"),
    "exp an object": (signed(usual(exp={"at": LATER})), "token_invalid"),
    "exp in milliseconds": (signed(usual(exp=LATER * 1000)), "token_invalid"),
    "exp 1e300": (raw("exp", "1e300"), "token_invalid"),
    "exp 1e400": (raw("exp", "1e400"), "token_invalid"),
    "exp of 400 digits": (raw("exp", "9" * 400), "token_invalid"),
    "exp of 5000 digits": (raw("exp", "9" * 5000), "token_invalid"),
    "exp NaN": (raw("exp", "NaN"), "token_invalid"),
    "exp Infinity": (raw("exp", "Infinity"), "token_invalid"),
    "exp -Infinity": (raw("exp", "-Infinity"), "token_invalid"),
    "nbf to come": (signed(usual(nbf=LATER)), "token_invalid"),
    "nbf a text": (signed(usual(nbf="soon")), "token_invalid"),
    "nbf NaN": (raw("nbf", "NaN"), "token_invalid"),
    "iat to come": (signed(usual(iat=LATER)), "token_invalid"),
    "iat a text": (signed(usual(iat="now")), "token_invalid"),
    "iat an object": (signed(usual(iat={})), "token_invalid"),
    "iat a yes": (signed(usual(iat=True)), "token_invalid"),
    "iat a number as a text": (signed(usual(iat="1")), "token_invalid"),
    "iat null": (signed(usual(iat=None)), "token_invalid"),
    "iat NaN": (raw("iat", "NaN"), "token_invalid"),
    "iat of 400 digits": (raw("iat", "9" * 400), "token_invalid"),
    "jti a number": (signed(usual(jti=7)), "token_invalid"),
    "jti null": (signed(usual(jti=None)), "token_invalid"),
    "jti a list": (signed(usual(jti=["a"])), "token_invalid"),
    "jti too long": (signed(usual(jti="x" * 129)), "token_invalid"),
    "jti with a newline": (signed(usual(jti="a\n")), "token_invalid"),
    "jti a lone surrogate": (signed(usual(jti="\ud800")), "token_invalid"),
    "type refresh": (mint(USER, ORG, type="refresh"), "token_invalid"),
    "type null": (signed(usual(type=None)), "token_invalid"),
    "type a list": (signed(usual(type=["access"])), "token_invalid"),
    "type ACCESS": (signed(usual(type="ACCESS")), "token_invalid"),
    "no sub": (mint(USER, ORG, without=["sub"]), "token_invalid"),
    "sub null": (signed(usual(sub=None)), "token_invalid"),
    "sub empty": (signed(usual(sub="")), "token_invalid"),
    "sub a number": (signed(usual(sub=7)), "token_invalid"),
    "sub a list": (signed(usual(sub=[USER])), "token_invalid"),
    "sub with a space": (signed(usual(sub="a b")), "token_invalid"),
    "sub a wildcard": (signed(usual(sub="*")), "token_invalid"),
    "sub of another room": (signed(usual(sub="bob conversation:x")), "token_invalid"),
    "sub with braces": (signed(usual(sub="{x}")), "token_invalid"),
    "sub with a newline": (signed(usual(sub="bob\n")), "token_invalid"),
    "sub too long": (signed(usual(sub="x" * 129)), "token_invalid"),
    "tenant a number": (signed(usual(organization_id=7)), "token_invalid"),
    "tenant a list": (signed(usual(organization_id=[ORG])), "token_invalid"),
    "tenant a name": (signed(usual(organization_id="acme")), "token_invalid"),
    "tenant a wildcard": (signed(usual(organization_id="*")), "token_invalid"),
    "tenant with braces and more": (signed(usual(organization_id=f"{{{ORG}}}:x")), "token_invalid"),
    "tenant with a newline": (signed(usual(organization_id=ORG + "\n")), "token_invalid"),
    "no tenant": (mint(USER, ORG, without=["organization_id"]), "tenant_missing"),
    "8 KiB and one": ("x" * (MAX_TOKEN_BYTES + 1), "token_invalid"),
    "a megabyte, signed": (signed(usual(filler="x" * 1_000_000)), "token_invalid"),
}


@pytest.mark.parametrize(("token", "code"), ODD.values(), ids=ODD)
def test_an_odd_token_is_refused_with_a_code(token: object, code: str) -> None:
    assert refused(token) == code


def test_every_code_that_a_token_is_refused_with_is_in_the_table() -> None:
    assert {code for _, code in ODD.values()} <= set(CODES)


def test_a_refusal_tells_nothing_of_the_token() -> None:
    token = mint(USER, ORG, secret="x" * 64)
    with pytest.raises(Refused) as caught:
        tokens().verify(token)
    assert caught.value.as_error() == {"code": "token_invalid", "message": CODES["token_invalid"].message}
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_huge_token_is_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*args: Any, **options: Any) -> None:
        raise AssertionError("looked at")

    huge = signed(usual(filler="x" * 8192))
    monkeypatch.setattr("jwt.decode", decode)
    assert refused(huge) == "token_invalid"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.just(USER),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["sub", "organization_id", "exp", "nbf", "iat", "type", "role", "jti", "aud", "iss"])


@given(st.dictionaries(NAMES, JSON, max_size=3))
def test_whatever_is_claimed_it_is_a_whole_identity_or_a_refusal(claims: dict[str, Any]) -> None:
    try:
        identity = tokens().verify(signed(usual() | claims))
    except Refused:
        return
    assert identity.tenant
    assert identity.user_id
    assert identity.expires_at > time.time()


# -- where it is found


@pytest.mark.parametrize(
    ("auth", "header", "expected"),
    [
        ({"token": "a"}, "Bearer b", "a"),
        ({"token": None}, "Bearer b", "b"),
        ({}, "bearer b", "b"),
        (None, "BEARER   b  ", "b"),
        (None, "Basic b", None),
        (None, "b", None),
        (None, "", None),
        (None, None, None),
        ("token", None, None),
        (["a"], "Bearer b", "b"),
        ({"token": ""}, "Bearer b", ""),
        ({"token": 7}, "Bearer b", 7),
    ],
)
def test_the_clients_auth_comes_before_the_header(auth: object, header: str | None, expected: object) -> None:
    assert token_of(auth, header) == expected
