"""Access tokens: each refusal of contract section 2, and that nothing but a good token of a trusted issuer passes."""

import asyncio
import base64
import hashlib
import hmac
import json
import timeit
from collections.abc import Callable
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from accredit.identity.models import Caller
from accredit.identity.tokens import TokenVerifier
from accredit.wire.errors import UNAVAILABLE, ApiError

TENANT = "6b3b5a30-6c6f-4a0c-9d7e-0d0c8f6f1b11"
ISSUER = f"https://login.example/{TENANT}/v2.0"
AUDIENCE = "https://api.partnercenter.microsoft.com"
KEY_ID = "key-1"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
START = 1_800_000_000.0

APP_USER: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "tid": TENANT,
    "exp": START + 3600,
    "nbf": START,
    "oid": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "upn": "ada@contoso.example",
    "appid": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "scp": "email user_impersonation",
    "amr": ["pwd", "mfa"],
    "roles": ["AdminAgent"],
}
APP_ONLY: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "tid": TENANT,
    "exp": START + 3600,
    "azp": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "idtyp": "app",
}


class Keys:
    """One trusted issuer with one key."""

    def __init__(self) -> None:
        self.asked = 0
        self.trusted = True

    async def key(self, issuer: str, tenant: str, key_id: str) -> RSAPublicKey | None:
        self.asked += 1
        known = self.trusted and (issuer, key_id) == (ISSUER, KEY_ID)
        return KEY.public_key() if known else None


class Bench:
    """A verifier, and the world that it sees."""

    def __init__(self) -> None:
        self.now = START
        self.keys = Keys()
        self.registered = {UUID(TENANT)}
        self.verifier = TokenVerifier(
            self.keys, [AUDIENCE, "https://other.example/"], self._is_registered, clock=lambda: self.now
        )

    async def _is_registered(self, partner_id: UUID) -> bool:
        return partner_id in self.registered

    def verify(self, authorization: str | None) -> Caller:
        return asyncio.run(self.verifier.verify(authorization))

    def outcome(self, authorization: str | None) -> Caller | ApiError:
        try:
            return self.verify(authorization)
        except ApiError as error:
            return error

    def refusal(self, authorization: str | None) -> ApiError:
        outcome = self.outcome(authorization)
        assert isinstance(outcome, ApiError)
        return outcome


@pytest.fixture
def bench() -> Bench:
    return Bench()


def token(claims: dict[str, Any], key: RSAPrivateKey = KEY, **header: Any) -> str:
    return jwt.encode(claims, key, "RS256", headers={"kid": KEY_ID, **header})


def bearer(claims: dict[str, Any], key: RSAPrivateKey = KEY, **header: Any) -> str:
    return f"Bearer {token(claims, key, **header)}"


def without(claims: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name not in names}


def segment(value: Any) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def by_hand(header: Any, payload: Any, sign: Callable[[bytes], bytes] = lambda _: b"signature") -> str:
    signed = f"{segment(header)}.{segment(payload)}"
    return f"Bearer {signed}.{segment(sign(signed.encode()))}"


def sign_rs256(message: bytes) -> bytes:
    return RSAAlgorithm(RSAAlgorithm.SHA256).sign(message, KEY)


def test_an_app_user_token(bench: Bench) -> None:
    assert bench.verify(bearer(APP_USER)) == Caller(
        partner_id=UUID(TENANT),
        user_id="0f8fad5b-d9cb-469f-a165-70867728950e",
        user_principal_name="ada@contoso.example",
        application_id="7c9e6679-7425-40de-944b-e07fc1f90ae7",
        app_only=False,
        mfa=True,
        roles=frozenset({"AdminAgent"}),
        expires_at=START + 3600,
    )


def test_an_app_only_token(bench: Bench) -> None:
    # Entra's app-only tokens name the application's own object as `oid`: that is no user.
    caller = bench.verify(bearer(APP_ONLY | {"oid": "c0a80101-0000-0000-0000-000000000000"}))
    assert (caller.app_only, caller.user_id, caller.user_principal_name) == (True, None, None)
    assert caller.application_id == "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    assert not caller.mfa


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param(APP_USER | {"scp": ["user_impersonation"]}, id="scp as a list"),
        pytest.param(APP_USER | {"aud": ["urn:x", AUDIENCE]}, id="aud as a list"),
        pytest.param(APP_USER | {"aud": AUDIENCE + "/"}, id="aud with a slash"),
        pytest.param(APP_USER | {"aud": "https://other.example"}, id="aud without the setting's slash"),
        pytest.param(without(APP_USER, "upn") | {"preferred_username": "ada"}, id="preferred_username"),
        pytest.param(without(APP_USER, "oid"), id="no oid"),
        pytest.param(without(APP_USER, "amr", "roles", "nbf", "appid"), id="no optional claims"),
        pytest.param(APP_USER | {"nonsense": {"a": [1]}, "nbf": None}, id="unknown and null claims"),
    ],
)
def test_app_user_tokens_in_other_forms(bench: Bench, claims: dict[str, Any]) -> None:
    assert not bench.verify(bearer(claims)).app_only


def test_roles_make_a_token_app_only(bench: Bench) -> None:
    assert bench.verify(bearer(without(APP_ONLY, "idtyp") | {"roles": ["x"]})).app_only
    assert bench.verify(bearer(without(APP_ONLY, "idtyp") | {"roles": []})).app_only


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_in_any_case(bench: Bench, scheme: str) -> None:
    assert bench.verify(f"{scheme} {token(APP_USER)}").mfa


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic QTpC", token(APP_USER)])
def test_no_token(bench: Bench, authorization: str | None) -> None:
    error = bench.refusal(authorization)
    assert (error.status, error.kind.code) == (401, "400")
    assert error.headers == {"WWW-Authenticate": 'Bearer realm="accredit"'}


PUBLIC_PEM = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
HEADER = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
OTHER_JWK = RSAAlgorithm.to_jwk(OTHER_KEY.public_key(), as_dict=True)


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param("Bearer garbage", id="garbage"),
        pytest.param("Bearer a.b.c", id="no base64 JSON"),
        pytest.param(bearer(APP_USER) + ".x", id="four segments"),
        pytest.param(bearer(APP_USER) + "==", id="padding"),
        pytest.param(bearer(APP_USER).replace("Bearer ", "Bearer \t"), id="tab"),
        pytest.param(bearer(APP_USER) + " " + token(APP_USER), id="two tokens"),
        pytest.param(bearer(APP_USER) + '", error="none', id="header injection"),
        pytest.param(bearer(APP_USER | {"junk": "x" * 16_384}), id="oversized"),
        pytest.param(bearer(APP_USER, OTHER_KEY), id="another key"),
        pytest.param(bearer(APP_USER, kid="key-2"), id="unknown kid"),
        pytest.param(by_hand({"alg": "RS256"}, APP_USER, sign_rs256), id="no kid"),
        pytest.param(by_hand({"alg": "RS256", "kid": 1}, APP_USER, sign_rs256), id="kid no string"),
        pytest.param(by_hand({"kid": KEY_ID}, APP_USER, sign_rs256), id="no alg"),
        pytest.param(by_hand({**HEADER, "alg": ["RS256"]}, APP_USER, sign_rs256), id="alg no string"),
        pytest.param(by_hand({**HEADER, "alg": "none"}, APP_USER, lambda _: b""), id="alg none"),
        pytest.param(by_hand({**HEADER, "alg": "none"}, APP_USER), id="alg none, signed"),
        pytest.param(by_hand({**HEADER, "alg": "NoNe"}, APP_USER, sign_rs256), id="alg NoNe"),
        pytest.param(
            by_hand({**HEADER, "alg": "HS256"}, APP_USER, lambda m: hmac.digest(PUBLIC_PEM, m, hashlib.sha256)),
            id="HS256 with the public key",
        ),
        pytest.param(f"Bearer {jwt.encode(APP_USER, 's' * 32, 'HS256', headers={'kid': KEY_ID})}", id="HS256"),
        pytest.param(f"Bearer {jwt.encode(APP_USER, KEY, 'RS512', headers={'kid': KEY_ID})}", id="RS512"),
        pytest.param(f"Bearer {jwt.encode(APP_USER, KEY, 'PS256', headers={'kid': KEY_ID})}", id="PS256"),
        pytest.param(f"Bearer {jwt.encode(APP_USER, EC_KEY, 'ES256', headers={'kid': KEY_ID})}", id="ES256"),
        pytest.param(bearer(APP_USER, crit=["exp"], exp=1), id="unknown crit"),
        pytest.param(by_hand({**HEADER, "crit": ["b64"], "b64": True}, APP_USER, sign_rs256), id="known crit"),
        pytest.param(by_hand({**HEADER, "crit": []}, APP_USER, sign_rs256), id="empty crit"),
        pytest.param(by_hand({**HEADER, "b64": False}, APP_USER, sign_rs256), id="b64 without crit"),
        pytest.param(bearer(APP_USER, OTHER_KEY, jwk=OTHER_JWK), id="embedded jwk"),
        pytest.param(bearer(APP_USER, OTHER_KEY, jku="https://evil.example/keys"), id="jku"),
        pytest.param(bearer(APP_USER, OTHER_KEY, x5u="https://evil.example/cert"), id="x5u"),
        pytest.param(by_hand(HEADER, b"[1]", sign_rs256), id="payload no object"),
        pytest.param(by_hand(HEADER, b"{", sign_rs256), id="payload no JSON"),
        pytest.param(by_hand(HEADER, b'{"x":' + b"[" * 11_000, sign_rs256), id="payload nested deeply"),
        pytest.param(by_hand(b"[" * 5_000, APP_USER, sign_rs256), id="header nested deeply"),
        pytest.param(by_hand(HEADER, b'{"iss":"\xff"}', sign_rs256), id="payload no UTF-8"),
        pytest.param(bearer(without(APP_USER, "exp")), id="no exp"),
        pytest.param(bearer(APP_USER | {"exp": START - 61}), id="expired"),
        pytest.param(bearer(APP_USER | {"exp": "2030-01-01"}), id="exp no number"),
        pytest.param(bearer(APP_USER | {"exp": True}), id="exp a bool"),
        pytest.param(bearer(APP_USER | {"nbf": START + 61}), id="not valid yet"),
        pytest.param(bearer(without(APP_USER, "iss")), id="no iss"),
        pytest.param(bearer(APP_USER | {"iss": ISSUER + "/"}), id="another issuer"),
        pytest.param(bearer(APP_USER | {"iss": "https://evil.example"}), id="unknown issuer"),
        pytest.param(bearer(without(APP_USER, "aud")), id="no aud"),
        pytest.param(bearer(without(APP_USER, "tid")), id="no tid"),
        pytest.param(bearer(APP_USER | {"tid": "contoso.example"}), id="tid no GUID"),
        pytest.param(bearer(APP_USER | {"tid": TENANT + "\n"}), id="tid with a newline"),
        pytest.param(bearer(APP_USER | {"scp": "email"}), id="another scope"),
        pytest.param(bearer(APP_USER | {"scp": ""}), id="empty scope"),
        pytest.param(bearer(APP_USER | {"scp": "user_impersonations"}), id="a longer scope"),
        pytest.param(bearer(APP_ONLY | {"scp": "email"}), id="app-only with a scope"),
        pytest.param(bearer(without(APP_ONLY, "idtyp")), id="neither kind"),
        pytest.param(bearer(APP_ONLY | {"idtyp": "user"}), id="a user without scope"),
        pytest.param(bearer(without(APP_USER, "oid", "upn")), id="no user"),
        pytest.param(bearer(APP_USER | {"upn": ["ada"]}), id="upn a list"),
        pytest.param(bearer(APP_USER | {"upn": "a\0b"}), id="upn with a NUL"),
        pytest.param(bearer(APP_USER | {"oid": "a\r\nb"}), id="oid with a newline"),
        pytest.param(bearer(APP_USER | {"appid": "x" * 257}), id="appid too long"),
        pytest.param(bearer(APP_USER | {"roles": "AdminAgent"}), id="roles a string"),
        pytest.param(bearer(APP_USER | {"amr": "mfa"}), id="amr a string"),
    ],
)
def test_refused(bench: Bench, authorization: str) -> None:
    error = bench.refusal(authorization)
    assert (error.status, error.kind.code) == (401, "400")
    challenge = error.headers["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="accredit", error="invalid_token", error_description="')
    assert challenge.isprintable()
    # Nothing that the caller sent comes back.
    assert "evil" not in challenge and "eyJ" not in challenge + error.description
    assert bench.verifier.cached(authorization) is None


@pytest.mark.parametrize(
    "header", [{**HEADER, "alg": "none"}, {**HEADER, "alg": "RS512"}, {**HEADER, "crit": ["x"], "x": 1}]
)
def test_no_keys_are_looked_up_for_what_is_refused_anyway(bench: Bench, header: dict[str, Any]) -> None:
    bench.refusal(by_hand(header, APP_USER))
    assert bench.keys.asked == 0


def test_keys_that_come_with_the_token_are_ignored(bench: Bench) -> None:
    assert bench.verify(bearer(APP_USER, jwk=OTHER_JWK, jku="https://evil.example", x5u="https://evil.example")).mfa


@pytest.mark.parametrize("audience", ["https://graph.windows.net", [], ["x"], AUDIENCE + "//", AUDIENCE.upper(), ""])
def test_another_audience(bench: Bench, audience: Any) -> None:
    error = bench.refusal(bearer(APP_USER | {"aud": audience}))
    assert (error.status, error.kind.code) == (401, "900420")
    assert 'error="invalid_token"' in error.headers["WWW-Authenticate"]


def test_another_audience_counts_only_with_a_good_signature(bench: Bench) -> None:
    assert bench.refusal(bearer(APP_USER | {"aud": "https://graph.windows.net"}, OTHER_KEY)).kind.code == "400"


def test_a_partner_who_is_not_registered(bench: Bench) -> None:
    bench.registered.clear()
    error = bench.refusal(bearer(APP_USER))
    assert (error.status, error.kind.code) == (401, "400")


@pytest.mark.parametrize(("claim", "value", "now"), [("exp", START, START + 59.9), ("nbf", START + 100, START + 40)])
def test_leeway_is_a_minute(bench: Bench, claim: str, value: float, now: float) -> None:
    bench.now = now
    assert bench.verify(bearer(APP_USER | {claim: value})).mfa
    bench.now += 0.2 if claim == "exp" else -0.2
    assert bench.refusal(bearer(APP_USER | {claim: value})).status == 401


def test_what_the_directory_raises_passes_through(bench: Bench) -> None:
    async def down(_: UUID) -> bool:
        raise ConnectionError

    verifier = TokenVerifier(Keys(), [AUDIENCE], down, clock=lambda: START)
    with pytest.raises(ConnectionError):
        asyncio.run(verifier.verify(bearer(APP_USER)))


def test_what_a_key_source_raises_passes_through(bench: Bench) -> None:
    class Unreachable:
        async def key(self, issuer: str, tenant: str, key_id: str) -> RSAPublicKey | None:
            raise ApiError(UNAVAILABLE, "x", {"Retry-After": "5"})

    async def everyone(_: UUID) -> bool:
        return True

    verifier = TokenVerifier(Unreachable(), [AUDIENCE], everyone, clock=lambda: START)
    with pytest.raises(ApiError) as caught:
        asyncio.run(verifier.verify(bearer(APP_USER)))
    assert caught.value.status == 503


def test_a_verified_token_is_remembered_for_a_minute(bench: Bench) -> None:
    authorization = bearer(APP_USER)
    assert bench.verifier.cached(authorization) is None
    caller = bench.verify(authorization)
    bench.now += 59.9
    assert bench.verifier.cached(authorization) is caller
    assert bench.verifier.cached(bearer(APP_USER | {"jti": "other"})) is None
    assert bench.verifier.cached(None) is None
    bench.now += 0.2
    assert bench.verifier.cached(authorization) is None


def test_what_is_verified_again_is_trusted_anew(bench: Bench) -> None:
    authorization = bearer(APP_USER)
    bench.verify(authorization)
    bench.keys.trusted = False
    bench.now += 60
    assert bench.verifier.cached(authorization) is None
    assert bench.refusal(authorization).status == 401


def test_an_expired_token_is_not_remembered(bench: Bench) -> None:
    authorization = bearer(APP_USER | {"exp": START + 10})
    bench.now = START + 60
    bench.verify(authorization)
    bench.now = START + 69.9
    assert bench.verifier.cached(authorization)
    bench.now = START + 70.1
    assert bench.verifier.cached(authorization) is None
    assert bench.refusal(authorization).status == 401


def test_no_more_tokens_are_remembered_than_fit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accredit.identity.tokens._REMEMBERED_TOKENS", 3)
    tokens = [bearer(APP_USER | {"jti": str(number)}) for number in range(4)]
    for one in tokens[:3]:
        bench.verify(one)
    assert bench.verifier.cached(tokens[0])  # the least recently used is now the second
    bench.verify(tokens[3])
    assert [bench.verifier.cached(one) is not None for one in tokens] == [True, False, True, True]


def test_a_remembered_token_costs_microseconds(bench: Bench) -> None:
    authorization = bearer(APP_USER)
    bench.verify(authorization)
    seconds = min(timeit.repeat(lambda: bench.verifier.cached(authorization), number=100, repeat=10)) / 100
    assert seconds < 50e-6


GOOD_TOKEN = token(APP_USER)
MUTATIONS = st.tuples(
    st.sampled_from(["replace", "insert", "delete", "cut", "repeat"]),
    st.integers(0, len(GOOD_TOKEN) - 1),
    st.characters(min_codepoint=1, max_codepoint=255),
)


def mutated(kind: str, place: int, character: str) -> str:
    before, after = GOOD_TOKEN[:place], GOOD_TOKEN[place:]
    return {
        "replace": before + character + after[1:],
        "insert": before + character + after,
        "delete": before + after[1:],
        "cut": before,
        "repeat": before + after + after,
    }[kind]


@given(MUTATIONS)
@settings(max_examples=500, deadline=None)
def test_a_changed_token_is_refused(mutation: tuple[str, int, str]) -> None:
    changed = mutated(*mutation)
    if changed.strip(" ") != GOOD_TOKEN:
        assert Bench().refusal(f"Bearer {changed}").status == 401


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CLAIMS = st.dictionaries(
    st.sampled_from([*APP_USER, *APP_ONLY, "idtyp", "preferred_username", "x"]), JSON_VALUES, max_size=5
)


@given(st.sampled_from([APP_USER, APP_ONLY]), CLAIMS)
@settings(max_examples=500, deadline=None)
def test_any_claims_give_a_caller_or_a_refusal(claims: dict[str, Any], changes: dict[str, Any]) -> None:
    outcome = Bench().outcome(bearer_of_any(claims | changes))
    if isinstance(outcome, ApiError):
        assert outcome.status == 401
        outcome.headers["WWW-Authenticate"].encode("ascii")
    else:
        assert outcome.partner_id == UUID(TENANT)
        for name in (outcome.user_id, outcome.user_principal_name, outcome.application_id):
            assert name is None or (name.isprintable() and name.encode())


def bearer_of_any(claims: dict[str, Any]) -> str:
    """Signed without PyJWT, which refuses to make some of these."""
    return by_hand(HEADER, claims, sign_rs256)


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
@settings(max_examples=300, deadline=None)
def test_any_header_is_refused(authorization: str) -> None:
    bench = Bench()
    assert bench.verifier.cached(authorization) is None
    assert bench.refusal(authorization).status == 401
    assert bench.refusal(f"Bearer {authorization}").status == 401
