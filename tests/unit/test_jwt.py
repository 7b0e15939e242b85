"""Tokens: what is let in, and the attacks of reliability.md, section 4, that are not."""

from __future__ import annotations

import base64
import json
import logging
import time
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.core.exceptions import ImproperlyConfigured
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from deliveries.realtime.auth import SCOPE_KEY, HideTokens, TokenError, Verifier, conceal_token
from deliveries.realtime.protocol import Code

KEY = "k" * 32
USER = str(uuid4())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_PEM = RSA_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
JWKS = {
    "keys": [
        {**RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True), "kid": "rsa", "use": "sig"},
        {**ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True), "kid": "ec"},
        {"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(KEY.encode()).decode()},
    ]
}


def claims(**changes: Any) -> dict[str, Any]:
    """Return good claims, changed; a change to None takes the claim out."""
    good = {"sub": USER, "tenant_id": "default", "exp": time.time() + 86_400}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def unsigned(header: dict[str, Any], payload: dict[str, Any], signature: str = "") -> str:
    """Build a token by hand, as an attacker does."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, payload)]
    return ".".join([*parts, signature])


HS = Verifier(algorithm="HS256", key=KEY)
RS = Verifier(algorithm="RS256", jwks=JWKS)
ES = Verifier(algorithm="ES256", jwks=JWKS)


def test_a_good_token_names_its_person() -> None:
    expires_at = int(time.time()) + 60

    identity = HS.verify(jwt.encode(claims(exp=expires_at), KEY, "HS256"))

    assert (identity.tenant, str(identity.user_id), identity.expires_at) == ("default", USER, expires_at)


def test_public_keys_are_found_by_kid() -> None:
    assert RS.verify(jwt.encode(claims(), RSA_KEY, "RS256", headers={"kid": "rsa"})).tenant == "default"
    assert ES.verify(jwt.encode(claims(), EC_KEY, "ES256", headers={"kid": "ec"})).tenant == "default"


def test_a_lone_public_key_needs_no_kid() -> None:
    assert RS.verify(jwt.encode(claims(), RSA_KEY, "RS256")).tenant == "default"


def test_a_clock_ahead_of_ours_may_issue() -> None:
    assert HS.verify(jwt.encode(claims(iat=time.time() + 30), KEY, "HS256"))


ATTACKS = {
    "garbage": (HS, "garbage"),
    "three dots": (HS, "a.b.c"),
    "alg none": (HS, unsigned({"alg": "none", "typ": "JWT"}, claims())),
    "alg None with a signature": (HS, unsigned({"alg": "None"}, claims(), "x")),
    "alg missing": (HS, unsigned({"typ": "JWT"}, claims(), "x")),
    "another key": (HS, jwt.encode(claims(), "x" * 32, "HS256")),
    "another algorithm of the same key": (HS, jwt.encode(claims(), KEY * 2, "HS512")),
    "signature cut off": (HS, jwt.encode(claims(), KEY, "HS256").rpartition(".")[0] + "."),
    "payload exchanged": (
        HS,
        unsigned({"alg": "HS256"}, claims(tenant_id="b"), jwt.encode(claims(), KEY, "HS256").rpartition(".")[2]),
    ),
    "too long": (HS, jwt.encode(claims(pad="x" * 9000), KEY, "HS256")),
    "no exp": (HS, jwt.encode(claims(exp=None), KEY, "HS256")),
    "exp is infinite": (HS, jwt.encode(claims(exp=float("inf")), KEY, "HS256")),
    "exp is no number": (HS, jwt.encode(claims(exp=float("nan")), KEY, "HS256")),
    "exp is text": (HS, jwt.encode(claims(exp=str(int(time.time()) + 86_400)), KEY, "HS256")),
    "no sub": (HS, jwt.encode(claims(sub=None), KEY, "HS256")),
    "sub is no uuid": (HS, jwt.encode(claims(sub="admin' OR 1=1"), KEY, "HS256")),
    "no tenant": (HS, jwt.encode(claims(tenant_id=None), KEY, "HS256")),
    "tenant is a number": (HS, jwt.encode(claims(tenant_id=1), KEY, "HS256")),
    "not yet valid": (HS, jwt.encode(claims(nbf=time.time() + 86_000), KEY, "HS256")),
    "critical header unknown to us": (HS, jwt.encode(claims(), KEY, "HS256", headers={"crit": ["b64"], "b64": False})),
    "HS256 with the key of RS256's JWKS": (RS, jwt.encode(claims(), KEY, "HS256", headers={"kid": "shared"})),
    "RS256 where HS256 is pinned": (HS, jwt.encode(claims(), RSA_KEY, "RS256")),
    "another RSA key": (RS, jwt.encode(claims(), OTHER_RSA_KEY, "RS256", headers={"kid": "rsa"})),
    "kid of a key for another algorithm": (RS, jwt.encode(claims(), EC_KEY, "ES256", headers={"kid": "ec"})),
    "unknown kid": (RS, jwt.encode(claims(), RSA_KEY, "RS256", headers={"kid": "../../dev/null"})),
    "no audience": (Verifier(algorithm="HS256", key=KEY, audience="inbox"), jwt.encode(claims(), KEY, "HS256")),
    "wrong audience": (
        Verifier(algorithm="HS256", key=KEY, audience="inbox"),
        jwt.encode(claims(aud="billing"), KEY, "HS256"),
    ),
    "no key is set": (Verifier(algorithm="HS256"), unsigned({"alg": "HS256"}, claims(), "x")),
    "no JWKS is set": (Verifier(algorithm="RS256"), jwt.encode(claims(), RSA_KEY, "RS256")),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_refused(name: str) -> None:
    verifier, token = ATTACKS[name]

    with pytest.raises(TokenError) as caught:
        verifier.verify(token)

    assert caught.value.code == Code.TOKEN_INVALID
    assert token not in caught.value.message


def test_the_public_key_as_a_shared_secret_is_refused() -> None:
    """The confusion of RS256 with HS256: PyJWT refuses to sign so, therefore it is signed here."""
    import hashlib
    import hmac

    head = unsigned({"alg": "HS256", "kid": "rsa"}, claims()).rpartition(".")[0]
    digest = hmac.new(RSA_PEM, head.encode(), hashlib.sha256).digest()
    token = f"{head}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"

    with pytest.raises(TokenError):
        RS.verify(token)


def test_expired_and_missing_have_codes_of_their_own() -> None:
    with pytest.raises(TokenError) as expired:
        HS.verify(jwt.encode(claims(exp=time.time() - 1), KEY, "HS256"))
    with pytest.raises(TokenError) as missing:
        HS.verify("")

    assert expired.value.code == Code.TOKEN_EXPIRED
    assert missing.value.code == Code.TOKEN_MISSING


def test_the_right_audience_is_let_in() -> None:
    verifier = Verifier(algorithm="HS256", key=KEY, audience="inbox")

    assert verifier.verify(jwt.encode(claims(aud=["inbox", "billing"]), KEY, "HS256"))


@pytest.mark.parametrize(
    "values",
    [
        {"algorithm": "none"},
        {"algorithm": "HS512", "key": KEY},
        {"algorithm": "HS256", "key": "short"},
        {"algorithm": "RS256", "jwks": {"keys": [{"kty": "RSA", "kid": "broken", "n": "AQAB"}]}},
    ],
)
def test_settings_that_cannot_be_right_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match="JWT_"):
        Verifier(**values)


@pytest.mark.parametrize(
    ("headers", "offered", "query", "token"),
    [
        ([(b"authorization", b"Bearer aaa")], [], b"", "aaa"),
        ([(b"authorization", b"bearer  aaa")], [], b"", "aaa"),
        ([(b"authorization", b"Basic aaa")], [], b"", ""),
        ([(b"sec-websocket-protocol", b"bearer, bbb")], ["bearer", "bbb"], b"", "bbb"),
        ([], ["chat", "bbb"], b"", ""),
        ([], ["bearer"], b"", ""),
        ([], [], b"token=ccc&frames=lines", "ccc"),
        ([], [], b"x=1&%74oken=ccc&token=ddd", "ccc"),
        ([(b"authorization", b"Bearer aaa")], ["bearer", "bbb"], b"token=ccc", "aaa"),
        ([(b"cookie", b"sessionid=1")], [], b"", ""),
    ],
)
def test_a_token_is_found_and_taken_out_of_sight(
    headers: list[tuple[bytes, bytes]], offered: list[str], query: bytes, token: str
) -> None:
    scope: dict[str, Any] = {"headers": headers, "subprotocols": list(offered), "query_string": query}

    conceal_token(scope)

    assert scope.pop(SCOPE_KEY) == token
    assert all(part not in repr(scope) for part in ("aaa", "bbb", "ccc", "ddd") if token)


def test_a_concealed_query_keeps_its_other_parts() -> None:
    scope: dict[str, Any] = {"headers": [], "query_string": b"a=1&token=x&frames=lines&b="}

    conceal_token(scope)

    assert scope["query_string"] == b"a=1&frames=lines&b="


@pytest.mark.parametrize(
    "line",
    [
        '1.2.3.4 - "WebSocket /ws/notifications/?token={}&frames=lines" [accepted]',
        "< GET /ws/notifications/?x=1&token={} HTTP/1.1",
        "< Authorization: Bearer {}",
        "< Sec-WebSocket-Protocol: bearer, {}",
    ],
)
def test_a_log_line_shows_no_token(line: str) -> None:
    token = jwt.encode(claims(), KEY, "HS256")
    record = logging.LogRecord("uvicorn.error", logging.INFO, "", 1, "%s", (line.format(token),), None)

    assert HideTokens().filter(record)

    assert token not in record.getMessage()
    assert "[hidden]" in record.getMessage()


def test_a_mangled_token_is_hidden_by_its_name() -> None:
    record = logging.LogRecord("uvicorn.error", logging.INFO, "", 1, "GET /ws/?token=%65yJ.a.b HTTP/1.1", (), None)

    HideTokens().filter(record)

    assert record.getMessage() == "GET /ws/?token=[hidden] HTTP/1.1"
