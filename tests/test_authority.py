"""The local authority: its key, its tokens, its endpoints on a real server, and ``accredit token``."""

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE
from typing import Any
from urllib.parse import quote_plus
from uuid import UUID

import httpx
import jwt
import psycopg
import pytest
import typer
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar import Litestar
from typer.testing import CliRunner

from accredit.cli import exits
from accredit.cli.token import token as token_command
from accredit.database import migrate
from accredit.database.embedded import EmbeddedPostgres
from accredit.database.pool import create_pool
from accredit.identity.api import LARGEST_FORM, authority_routes
from accredit.identity.authority import (
    ACCESS_SECONDS,
    REFRESH_SECONDS,
    AuthorityKeyError,
    LocalAuthority,
    RefreshGrant,
    RefreshTokenError,
)
from accredit.identity.directory import PoolDirectory
from accredit.identity.issuers import Issuers
from accredit.identity.models import Caller, DirectoryUser
from accredit.identity.openapi import describe
from accredit.identity.secrets import NO_SECRET, hash_secret, verify_secret
from accredit.identity.tokens import TokenVerifier
from accredit.wire import openapi
from accredit.wire.errors import ApiError
from accredit.wire.middleware import EXCEPTION_HANDLERS

PARTNER = UUID("6b3b5a30-6c6f-4a0c-9d7e-0d0c8f6f1b11")
OTHER_PARTNER = UUID("9188040d-6c67-4c5b-b112-36a304b66dad")
APPLICATION = UUID("7c9e6679-7425-40de-944b-e07fc1f90ae7")
OTHER_APPLICATION = UUID("8d9e6679-7425-40de-944b-e07fc1f90ae7")
ADA = DirectoryUser(UUID("0f8fad5b-d9cb-469f-a165-70867728950e"), "ada@contoso.example", ("AdminAgent",))
AUDIENCE = "https://api.partnercenter.microsoft.com"
BASE_URL = "http://127.0.0.1:8080"
SECRET = "s3cret: +&=% ä"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def authority(home: Path) -> LocalAuthority:
    return LocalAuthority(home)


async def registered(partner_id: UUID) -> bool:
    return partner_id == PARTNER


def verify(authority: LocalAuthority | None, token: str) -> Caller:
    return asyncio.run(TokenVerifier(Issuers([]), [AUDIENCE], registered, authority).verify(f"Bearer {token}"))


def refused(authority: LocalAuthority | None, token: str) -> bool:
    with pytest.raises(ApiError) as caught:
        verify(authority, token)
    return caught.value.status == 401


def app_user(authority: LocalAuthority, **changes: Any) -> str:
    names: dict[str, Any] = {
        "partner_id": PARTNER,
        "application_id": APPLICATION,
        "audience": AUDIENCE,
        "base_url": BASE_URL,
    }
    return authority.issue_app_user(ADA, **(names | changes)).text


def grant(**changes: Any) -> RefreshGrant:
    names: dict[str, Any] = {"partner_id": PARTNER, "user_id": ADA.id, "application_id": APPLICATION, "mfa": True}
    return RefreshGrant(**(names | changes))


# The key


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        first = LocalAuthority(tmp_path / "home")
    finally:
        os.umask(umask)
    folder = tmp_path / "home" / "authority"
    assert S_IMODE(folder.stat().st_mode) == 0o700
    assert S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["key.pem"]
    assert LocalAuthority(tmp_path / "home").jwks() == first.jwks()


def test_the_key_set_is_public_and_names_the_key_by_its_thumbprint(authority: LocalAuthority) -> None:
    (jwk,) = authority.jwks()["keys"]
    assert sorted(jwk) == ["alg", "e", "kid", "kty", "n", "use"]
    assert (jwk["kty"], jwk["use"], jwk["alg"]) == ("RSA", "sig", "RS256")
    assert jwt.PyJWK(jwk).key.key_size == 2048


def test_the_thumbprint_is_rfc_7638s() -> None:
    from accredit.identity.authority import _thumbprint

    # The example of RFC 7638 section 3.1.
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
        "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
        "kEgU8awapJzKnqDKgw"
    )
    assert _thumbprint({"n": modulus, "e": "AQAB", "kty": "RSA"}) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_processes_that_start_at_once_end_with_one_key(tmp_path: Path) -> None:
    start = (
        "import sys; from pathlib import Path; from accredit.identity.authority import LocalAuthority\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(LocalAuthority(Path(sys.argv[1])).key_id)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", start, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    assert {process.communicate(timeout=60)[0] for process in processes} == {f"{LocalAuthority(tmp_path).key_id}\n"}
    assert [path.name for path in (tmp_path / "authority").iterdir()] == ["key.pem"]


@pytest.mark.parametrize(("name", "mode"), [("authority", 0o750), ("authority/key.pem", 0o604)])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    LocalAuthority(tmp_path)
    (tmp_path / name).chmod(mode)
    with pytest.raises(AuthorityKeyError, match=f"{name} is open to other users"):
        LocalAuthority(tmp_path)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
        pem(rsa.generate_private_key(public_exponent=65537, key_size=2048), b"passphrase"),
        pem(ec.generate_private_key(ec.SECP256R1())),
    ],
    ids=["empty", "nonsense", "small", "encrypted", "EC"],
)
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    LocalAuthority(tmp_path)
    (tmp_path / "authority" / "key.pem").write_bytes(content)
    with pytest.raises(AuthorityKeyError, match=r"key\.pem is no RSA key"):
        LocalAuthority(tmp_path)


# Tokens


def test_an_app_user_token(authority: LocalAuthority) -> None:
    text = app_user(authority)
    caller = verify(authority, text)
    assert (caller.partner_id, caller.user_id, caller.user_principal_name) == (PARTNER, str(ADA.id), ADA.upn)
    assert caller.application_id == str(APPLICATION)
    assert caller.mfa and caller.may_write and not caller.app_only
    assert jwt.get_unverified_header(text) == {"alg": "RS256", "kid": authority.key_id, "typ": "JWT"}


def test_what_an_access_token_says(home: Path) -> None:
    authority = LocalAuthority(home, clock=lambda: 1_800_000_000.9)
    token = authority.issue_app_user(
        ADA, partner_id=PARTNER, application_id=APPLICATION, audience=AUDIENCE, base_url=BASE_URL + "/", version="1.0"
    )
    claims = jwt.decode(token.text, options={"verify_signature": False})
    assert claims.pop("jti")
    assert claims == {
        "iss": f"{BASE_URL}/{PARTNER}/",
        "aud": AUDIENCE,
        "tid": str(PARTNER),
        "sub": str(ADA.id),
        "oid": str(ADA.id),
        "upn": ADA.upn,
        "scp": "user_impersonation",
        "roles": ["AdminAgent"],
        "appid": str(APPLICATION),
        "ver": "1.0",
        "idtyp": "user",
        "amr": ["pwd", "mfa"],
        "iat": 1_800_000_000,
        "nbf": 1_800_000_000,
        "exp": 1_800_000_000 + ACCESS_SECONDS,
    }
    assert (token.not_before, token.expires_on) == (1_800_000_000, 1_800_003_600)


def test_two_tokens_are_never_the_same(authority: LocalAuthority) -> None:
    assert app_user(authority) != app_user(authority)


def test_without_mfa(authority: LocalAuthority) -> None:
    assert not verify(authority, app_user(authority, mfa=False)).mfa


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_an_app_only_token(authority: LocalAuthority, version: Any) -> None:
    token = authority.issue_app_only(
        partner_id=PARTNER, application_id=APPLICATION, audience=AUDIENCE, base_url=BASE_URL, version=version
    )
    caller = verify(authority, token.text)
    assert caller.app_only and caller.user_id is None and not caller.may_write
    assert caller.application_id == str(APPLICATION)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:1", "https://accredit.example/behind/a/proxy", "http://[::1]:8"]
)
def test_any_base_url_is_ours(authority: LocalAuthority, base_url: str, version: Any) -> None:
    assert verify(authority, app_user(authority, base_url=base_url, version=version)).mfa


@pytest.mark.parametrize(
    "base_url", ["", "ftp://127.0.0.1", "http://", "127.0.0.1", "http://a b", "http://x?y=", "http:///x"]
)
def test_what_is_no_base_url_is_not_ours(authority: LocalAuthority, base_url: str) -> None:
    assert refused(authority, app_user(authority, base_url=base_url))


def test_an_issuer_of_another_tenant_is_not_ours(authority: LocalAuthority) -> None:
    key = authority.key
    assert asyncio.run(key(f"{BASE_URL}/{OTHER_PARTNER}/v2.0", str(PARTNER), authority.key_id)) is None
    assert asyncio.run(key(f"{BASE_URL}/{PARTNER}", str(PARTNER), authority.key_id)) is None
    assert asyncio.run(key(f"{BASE_URL}/{PARTNER}/v2.0", str(PARTNER), "other")) is None
    assert asyncio.run(key(f"{BASE_URL}/{PARTNER}/v2.0", str(PARTNER), authority.key_id)) is not None


def test_the_key_is_trusted_only_where_the_authority_is_on(authority: LocalAuthority) -> None:
    assert refused(None, app_user(authority))


def test_another_home_is_not_trusted(authority: LocalAuthority, tmp_path: Path) -> None:
    stranger = LocalAuthority(tmp_path)
    assert refused(authority, app_user(stranger))
    stranger.key_id = authority.key_id
    assert refused(authority, app_user(stranger))


def test_refresh_tokens(authority: LocalAuthority) -> None:
    for mfa in (True, False):
        assert authority.redeem_refresh_token(authority.issue_refresh_token(grant(mfa=mfa))) == grant(mfa=mfa)


def test_a_refresh_token_is_no_access_token(authority: LocalAuthority) -> None:
    assert refused(authority, authority.issue_refresh_token(grant()))


@pytest.mark.parametrize("audience", [AUDIENCE, "urn:accredit:local-authority"])
def test_an_access_token_is_no_refresh_token(authority: LocalAuthority, audience: str) -> None:
    with pytest.raises(RefreshTokenError):
        authority.redeem_refresh_token(app_user(authority, audience=audience, version="1.0"))


def test_a_refresh_token_expires(home: Path) -> None:
    now = 1_000_000_000.0
    authority = LocalAuthority(home, clock=lambda: now)
    token = authority.issue_refresh_token(grant())
    now += REFRESH_SECONDS - 1
    authority.redeem_refresh_token(token)
    now += 1
    with pytest.raises(RefreshTokenError, match="expired"):
        authority.redeem_refresh_token(token)


def test_a_refresh_token_of_another_home(authority: LocalAuthority, tmp_path: Path) -> None:
    with pytest.raises(RefreshTokenError):
        authority.redeem_refresh_token(LocalAuthority(tmp_path).issue_refresh_token(grant()))


# Secrets


def test_secrets_are_hashed() -> None:
    hashed = hash_secret(SECRET)
    assert SECRET not in hashed and hashed != hash_secret(SECRET)
    assert verify_secret(SECRET, hashed)
    assert not verify_secret(SECRET + " ", hashed)
    assert not verify_secret(SECRET, NO_SECRET)


def test_older_costs_are_still_verified() -> None:
    # scrypt("secret", salt of 16 zero bytes, N=2^4, r=1, p=1)
    import hashlib

    digest = hashlib.scrypt(b"secret", salt=bytes(16), n=16, r=1, p=1, dklen=32)
    hashed = f"$scrypt$ln=4,r=1,p=1${'A' * 22}${base64.b64encode(digest).decode().rstrip('=')}"
    assert verify_secret("secret", hashed)


@pytest.mark.parametrize("hashed", ["", "secret", NO_SECRET + "$", NO_SECRET.replace("ln=14", "ln=-1"), "$scrypt$$$"])
def test_what_is_no_hash(hashed: str) -> None:
    with pytest.raises(ValueError):
        verify_secret("secret", hashed)


# The endpoints


class InMemory:
    """A directory of one partner with one application and one user."""

    def __init__(self) -> None:
        self.secret = hash_secret(SECRET)
        self.users = {ADA.id: ADA}

    async def is_partner(self, partner_id: UUID) -> bool:
        return partner_id == PARTNER

    async def application_secret(self, partner_id: UUID, application_id: UUID) -> str | None:
        return self.secret if (partner_id, application_id) == (PARTNER, APPLICATION) else None

    async def user(self, partner_id: UUID, user_id: UUID) -> DirectoryUser | None:
        return self.users.get(user_id) if partner_id == PARTNER else None


class Server(uvicorn.Server):
    """uvicorn, telling when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@pytest.fixture(scope="module")
def directory() -> InMemory:
    return InMemory()


@pytest.fixture(scope="module")
def client(authority: LocalAuthority, directory: InMemory) -> Iterator[httpx.Client]:
    app = Litestar(
        authority_routes(authority, directory),
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    assert server.listening.wait(30)
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", trust_env=False) as made:
        yield made
    server.should_exit = True
    thread.join()


V1 = f"/{PARTNER}/oauth2/token"
V2 = f"/{PARTNER}/oauth2/v2.0/token"
CREDENTIALS = {"client_id": str(APPLICATION), "client_secret": SECRET}
CLIENT_V1 = {**CREDENTIALS, "grant_type": "client_credentials", "resource": AUDIENCE}
CLIENT_V2 = {**CREDENTIALS, "grant_type": "client_credentials", "scope": f"{AUDIENCE}/.default"}


def refresh(authority: LocalAuthority, **changes: Any) -> dict[str, str]:
    token = authority.issue_refresh_token(grant(**changes))
    return {**CREDENTIALS, "grant_type": "refresh_token", "refresh_token": token}


def basic(client_id: str, secret: str) -> dict[str, str]:
    encoded = base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


def without(form: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in form.items() if name not in names}


def test_client_credentials_v1(client: httpx.Client, authority: LocalAuthority) -> None:
    response = client.post(V1, data=CLIENT_V1)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert (response.headers["cache-control"], response.headers["pragma"]) == ("no-store", "no-cache")
    answer = response.json()
    assert sorted(answer) == ["access_token", "expires_in", "expires_on", "not_before", "resource", "token_type"]
    assert (answer["token_type"], answer["expires_in"], answer["resource"]) == ("Bearer", 3600, AUDIENCE)
    assert int(answer["expires_on"]) - int(answer["not_before"]) == 3600
    caller = verify(authority, answer["access_token"])
    assert caller.app_only and caller.application_id == str(APPLICATION)
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert (claims["iss"], claims["ver"]) == (f"{str(client.base_url).rstrip('/')}/{PARTNER}/", "1.0")


def test_client_credentials_v2(client: httpx.Client, authority: LocalAuthority) -> None:
    answer = client.post(V2, data=CLIENT_V2).json()
    assert sorted(answer) == ["access_token", "expires_in", "token_type"]
    assert verify(authority, answer["access_token"]).app_only
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert (claims["iss"], claims["ver"]) == (f"{str(client.base_url).rstrip('/')}/{PARTNER}/v2.0", "2.0")


@pytest.mark.parametrize("permission", [".default", "user_impersonation"])
def test_refresh_v2(client: httpx.Client, authority: LocalAuthority, permission: str) -> None:
    scope = f"openid offline_access {AUDIENCE}/{permission}"
    answer = client.post(V2, data=refresh(authority) | {"scope": scope}).json()
    assert answer["scope"] == f"{AUDIENCE}/user_impersonation"
    caller = verify(authority, answer["access_token"])
    assert (caller.user_principal_name, caller.mfa, caller.roles) == (ADA.upn, True, frozenset(ADA.roles))
    # The new refresh token is another one, for the same.
    rotated = answer["refresh_token"]
    again = client.post(
        V1, data=CREDENTIALS | {"grant_type": "refresh_token", "refresh_token": rotated, "resource": AUDIENCE}
    )
    assert again.json()["scope"] == "user_impersonation"
    assert again.json()["refresh_token"] != rotated
    assert verify(authority, again.json()["access_token"]).user_id == str(ADA.id)


def test_a_user_without_mfa_stays_without(client: httpx.Client, authority: LocalAuthority) -> None:
    answer = client.post(V1, data=refresh(authority, mfa=False) | {"resource": AUDIENCE}).json()
    assert not verify(authority, answer["access_token"]).mfa
    assert not authority.redeem_refresh_token(answer["refresh_token"]).mfa


def test_http_basic(client: httpx.Client) -> None:
    headers = basic(str(APPLICATION), SECRET)
    assert client.post(V1, data=without(CLIENT_V1, *CREDENTIALS), headers=headers).status_code == 200
    assert client.post(V1, data=without(CLIENT_V1, "client_secret"), headers=headers).status_code == 200


def test_the_audience_is_the_one_asked_for(client: httpx.Client, authority: LocalAuthority) -> None:
    for path, form, audience in (
        (V1, CLIENT_V1 | {"resource": "https://graph.windows.net"}, "https://graph.windows.net"),
        (V2, CLIENT_V2 | {"scope": "api://app/.default"}, "api://app"),
        (V2, CLIENT_V2 | {"scope": f"{AUDIENCE}//.default"}, f"{AUDIENCE}/"),
    ):
        token = client.post(path, data=form).json()["access_token"]
        assert jwt.decode(token, options={"verify_signature": False})["aud"] == audience


def is_refusal(response: httpx.Response, status: int, code: str) -> bool:
    body = response.json()
    assert sorted(body) == ["error", "error_description"]
    assert body["error_description"].isascii() and '"' not in body["error_description"]
    assert response.headers["cache-control"] == "no-store"
    return (response.status_code, body["error"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "form", "code"),
    [
        (V1, without(CLIENT_V1, "grant_type"), "invalid_request"),
        (V1, CLIENT_V1 | {"grant_type": ""}, "invalid_request"),
        (V1, CLIENT_V1 | {"grant_type": "password"}, "unsupported_grant_type"),
        (V1, CLIENT_V1 | {"grant_type": "authorization_code"}, "unsupported_grant_type"),
        (V1, without(CLIENT_V1, "resource"), "invalid_request"),
        (V1, CLIENT_V1 | {"resource": "partnercenter"}, "invalid_target"),
        (V1, CLIENT_V1 | {"resource": f"{AUDIENCE}#x"}, "invalid_target"),
        (V1, CLIENT_V1 | {"resource": "https://[x"}, "invalid_target"),
        (V1, CLIENT_V1 | {"resource": "urn:accredit:local-authority"}, "invalid_target"),
        (V1, CLIENT_V1 | {"resource": "https://ä.example"}, "invalid_target"),
        (V2, without(CLIENT_V2, "scope"), "invalid_request"),
        (V2, CLIENT_V2 | {"scope": " "}, "invalid_scope"),
        (V2, CLIENT_V2 | {"scope": "openid"}, "invalid_scope"),
        (V2, CLIENT_V2 | {"scope": ".default"}, "invalid_scope"),
        (V2, CLIENT_V2 | {"scope": f"{AUDIENCE}/user_impersonation"}, "invalid_scope"),
        (V2, CLIENT_V2 | {"scope": f"{AUDIENCE}/.default https://graph.microsoft.com/.default"}, "invalid_scope"),
        (V1, CLIENT_V1 | {"grant_type": "refresh_token"}, "invalid_request"),
        (V1, CLIENT_V1 | {"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        (f"/{OTHER_PARTNER}/oauth2/token", CLIENT_V1, "invalid_request"),
        ("/common/oauth2/v2.0/token", CLIENT_V2, "invalid_request"),
    ],
)
def test_refused(client: httpx.Client, path: str, form: dict[str, str], code: str) -> None:
    assert is_refusal(client.post(path, data=form), 400, code)


@pytest.mark.parametrize(
    "changes", [{"partner_id": OTHER_PARTNER}, {"application_id": OTHER_APPLICATION}, {"user_id": OTHER_PARTNER}]
)
def test_a_refresh_token_of_somebody_else(
    client: httpx.Client, authority: LocalAuthority, changes: dict[str, UUID]
) -> None:
    form = refresh(authority, **changes) | {"resource": AUDIENCE}
    assert is_refusal(client.post(V1, data=form), 400, "invalid_grant")


def test_an_access_token_does_not_refresh(client: httpx.Client, authority: LocalAuthority) -> None:
    form = CLIENT_V1 | {"grant_type": "refresh_token", "refresh_token": app_user(authority)}
    assert is_refusal(client.post(V1, data=form), 400, "invalid_grant")


def test_the_users_roles_are_those_of_now(
    client: httpx.Client, authority: LocalAuthority, directory: InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(directory.users, ADA.id, DirectoryUser(ADA.id, ADA.upn, ("HelpdeskAgent",)))
    answer = client.post(V1, data=refresh(authority) | {"resource": AUDIENCE}).json()
    assert verify(authority, answer["access_token"]).roles == {"HelpdeskAgent"}


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"client_id": str(APPLICATION)},
        {"client_secret": SECRET},
        {"client_id": str(APPLICATION), "client_secret": "wrong"},
        {"client_id": str(OTHER_APPLICATION), "client_secret": SECRET},
        {"client_id": "no GUID", "client_secret": SECRET},
        {"client_id": "\0", "client_secret": "\0"},
    ],
)
def test_a_client_that_is_not_who_it_says(client: httpx.Client, credentials: dict[str, str]) -> None:
    response = client.post(V1, data=without(CLIENT_V1, *CREDENTIALS) | credentials)
    assert is_refusal(response, 401, "invalid_client")
    assert "www-authenticate" not in response.headers


def test_an_unknown_client_and_a_wrong_secret_are_told_alike(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes: list[str] = []

    def counting(secret: str, hashed: str) -> bool:
        hashes.append(hashed)
        return verify_secret(secret, hashed)

    monkeypatch.setattr("accredit.identity.api.verify_secret", counting)
    unknown, wrong, malformed = (
        client.post(V1, data=CLIENT_V1 | changes).json()
        for changes in ({"client_id": str(OTHER_APPLICATION)}, {"client_secret": "wrong"}, {"client_id": "x"})
    )
    assert unknown == wrong == malformed
    # One hash each, at one cost.
    assert len(hashes) == 3
    assert len({one.split("$")[2] for one in hashes}) == 1


@pytest.mark.parametrize(
    "authorization",
    [
        basic(str(APPLICATION), "wrong")["Authorization"],
        basic(str(OTHER_APPLICATION), SECRET)["Authorization"],
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Basic " + base64.b64encode(b"%ff:x").decode(),
        basic(str(APPLICATION), SECRET)["Authorization"].replace("Basic", "Bearer"),
    ],
)
def test_http_basic_refused(client: httpx.Client, authorization: str) -> None:
    response = client.post(V1, data=without(CLIENT_V1, *CREDENTIALS), headers={"Authorization": authorization})
    assert is_refusal(response, 401, "invalid_client")
    assert response.headers["www-authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize(
    "form", [CLIENT_V1, without(CLIENT_V1, "client_secret") | {"client_id": str(OTHER_APPLICATION)}]
)
def test_a_client_authenticates_in_one_way(client: httpx.Client, form: dict[str, str]) -> None:
    response = client.post(V1, data=form, headers=basic(str(APPLICATION), SECRET))
    assert is_refusal(response, 400, "invalid_request")


FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"grant_type=client_credentials&grant_type=client_credentials",
        b"a=1&a=",
        b"grant_type=%ff",
        "grant_type=ä".encode(),
    ],
)
def test_malformed_forms(client: httpx.Client, content: bytes) -> None:
    assert is_refusal(client.post(V1, content=content, headers=FORM_TYPE), 400, "invalid_request")


def test_other_media_types(client: httpx.Client) -> None:
    assert is_refusal(client.post(V1, json=CLIENT_V1), 400, "invalid_request")
    assert is_refusal(client.post(V1, content=b"a=b", headers={"Content-Type": ""}), 400, "invalid_request")
    charset = {"Content-Type": "Application/X-WWW-Form-URLencoded; charset=UTF-8"}
    assert client.post(
        V1, content=httpx.Request("POST", "http://x", data=CLIENT_V1).content, headers=charset
    ).is_success


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large(client: httpx.Client, chunked: bool) -> None:
    body = b"a=" + b"x" * LARGEST_FORM
    response = client.post(V1, content=iter([body]) if chunked else body, headers=FORM_TYPE)
    assert is_refusal(response, 413, "invalid_request")
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize("host", ["evil.example/x", "a b", "a:b", "a@b", "[::1", "a:123456", ""])
def test_a_host_that_is_none(client: httpx.Client, host: str) -> None:
    response = client.post(V1, data=CLIENT_V1, headers={"Host": host})
    # Some are refused by the router already, in the form of the API's errors.
    assert response.status_code == 400 and "access_token" not in response.text


@given(
    st.dictionaries(st.text(max_size=5) | st.sampled_from([*CLIENT_V1, "refresh_token", "scope"]), st.text(max_size=30))
)
@settings(max_examples=100, deadline=None)
def test_any_form_is_refused_as_rfc_6749_says(client: httpx.Client, form: dict[str, str]) -> None:
    body = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in form.items())
    response = client.post(V2, content=body.encode(), headers=FORM_TYPE)
    assert response.status_code in (400, 401)
    assert sorted(response.json()) == ["error", "error_description"]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_discovery_leads_to_the_key(client: httpx.Client, authority: LocalAuthority, version: str) -> None:
    infix = "" if version == "v1" else "/v2.0"
    document = client.get(f"/{PARTNER}{infix}/.well-known/openid-configuration").json()
    base = str(client.base_url).rstrip("/")
    assert document["issuer"] == f"{base}/{PARTNER}{infix or '/'}"
    assert document["token_endpoint"] == f"{base}/{PARTNER}/oauth2{infix}/token"
    assert document["jwks_uri"] == f"{base}/{PARTNER}/discovery{infix}/keys"
    assert client.get(document["jwks_uri"]).json() == authority.jwks()


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_another_service_trusts_the_authority_by_discovery(
    client: httpx.Client, authority: LocalAuthority, version: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    base_url = str(client.base_url)
    issuer = authority.issuer(base_url, PARTNER, version)
    verifier = TokenVerifier(Issuers([issuer]), [AUDIENCE], registered)
    token = app_user(authority, base_url=base_url, version=version)
    assert asyncio.run(verifier.verify(f"Bearer {token}")).mfa


@pytest.mark.parametrize("tenant", [OTHER_PARTNER, "common", "%00"])
@pytest.mark.parametrize("path", ["v2.0/.well-known/openid-configuration", "discovery/v2.0/keys", "discovery/keys"])
def test_endpoints_of_unknown_tenants(client: httpx.Client, tenant: object, path: str) -> None:
    assert is_refusal(client.get(f"/{tenant}/{path}"), 400, "invalid_request")


def test_the_openapi_document_names_every_endpoint(authority: LocalAuthority, directory: InMemory) -> None:
    document = openapi.document([])
    describe(document)
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    served = {
        (str(method), path.replace(":str", ""))
        for handler in authority_routes(authority, directory)
        for path in handler.paths
        for method in handler.http_methods
    }
    assert described == served
    references = {line.split('"')[3] for line in json.dumps(document, indent=1).splitlines() if '"$ref"' in line}
    for reference in references:
        _, section, kind, name = reference.split("/")
        assert name in document[section][kind]


# The directory and the command


@pytest.fixture(scope="module")
def database(home: Path) -> Iterator[str]:
    """The embedded database of ``home``, with two partners."""
    server = EmbeddedPostgres(home)
    try:
        server.start()
        migrate.migrate(server.url)
        with psycopg.connect(server.url) as connection:
            connection.execute(
                "INSERT INTO partners (id, name, created_at)"
                " VALUES (%s, 'Contoso', now()), (%s, 'Fabrikam', 'tomorrow')",
                (PARTNER, OTHER_PARTNER),
            )
            connection.execute(
                "INSERT INTO applications VALUES (%(p)s, %(a)s, 'hash'), (%(p)s, %(b)s, 'other hash')",
                {"p": PARTNER, "a": APPLICATION, "b": OTHER_APPLICATION},
            )
            connection.execute(
                "INSERT INTO users VALUES (%(p)s, %(id)s, %(upn)s, %(roles)s),"
                " (%(p)s, gen_random_uuid(), 'aaron@contoso.example', '{HelpdeskAgent}'),"
                " (%(p)s, gen_random_uuid(), 'zoe@contoso.example', '{SalesAgent}')",
                {"p": PARTNER, "id": ADA.id, "upn": ADA.upn, "roles": list(ADA.roles)},
            )
        yield server.url
    finally:
        server.stop()


def test_the_directory_over_a_pool(database: str) -> None:
    async def ask() -> None:
        pool = create_pool(database, most=2, timeout=5, name="test")
        async with pool:
            directory = PoolDirectory(pool)
            assert await directory.is_partner(PARTNER)
            assert not await directory.is_partner(APPLICATION)
            assert await directory.application_secret(PARTNER, APPLICATION) == "hash"
            assert await directory.application_secret(OTHER_PARTNER, APPLICATION) is None
            assert await directory.user(PARTNER, ADA.id) == ADA
            assert await directory.user(OTHER_PARTNER, ADA.id) is None

    asyncio.run(ask())


def accredit_token(*arguments: str, home: Path) -> Any:
    app = typer.Typer()
    app.command()(token_command)
    return CliRunner().invoke(app, [*arguments, "--home", str(home)])


@pytest.mark.parametrize(
    ("arguments", "user", "mfa"),
    [
        ((), ADA.upn, True),
        (("--no-mfa",), ADA.upn, False),
        (("--user", "AARON@contoso.example"), "aaron@contoso.example", True),
        (("--partner", str(PARTNER), "--application", str(OTHER_APPLICATION)), ADA.upn, True),
        (("--app-only",), None, False),
    ],
)
def test_the_token_command(
    database: str, home: Path, authority: LocalAuthority, arguments: tuple[str, ...], user: str | None, mfa: bool
) -> None:
    result = accredit_token(*arguments, home=home)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 1
    caller = verify(authority, result.stdout.strip())
    assert (caller.user_principal_name, caller.mfa, caller.app_only) == (user, mfa, user is None)
    expected = OTHER_APPLICATION if "--application" in arguments else APPLICATION
    assert caller.application_id == str(expected)


def test_the_token_commands_refresh_token_and_audience(database: str, home: Path, authority: LocalAuthority) -> None:
    made = accredit_token("--refresh-token", "--no-mfa", home=home).stdout.strip()
    assert authority.redeem_refresh_token(made) == grant(mfa=False)
    made = accredit_token("--audience", "https://graph.windows.net", home=home).stdout.strip()
    assert jwt.decode(made, options={"verify_signature": False})["aud"] == "https://graph.windows.net"


@pytest.mark.parametrize(
    ("service", "base_url"),
    [(None, "http://127.0.0.1:8080"), ("{", "http://127.0.0.1:8080"), ('{"url": "http://x:1"}', "http://x:1")],
)
def test_the_token_commands_issuer(database: str, home: Path, service: str | None, base_url: str) -> None:
    (home / "service.json").unlink(missing_ok=True)
    if service:
        (home / "service.json").write_text(service)
    made = accredit_token(home=home).stdout.strip()
    assert jwt.decode(made, options={"verify_signature": False})["iss"] == f"{base_url}/{PARTNER}/v2.0"


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("--partner", str(APPLICATION)), exits.NOT_FOUND, str(APPLICATION)),
        (("--partner", str(OTHER_PARTNER)), exits.NOT_FOUND, str(OTHER_PARTNER)),
        (("--application", str(ADA.id)), exits.NOT_FOUND, str(ADA.id)),
        (("--user", "bob@contoso.example"), exits.NOT_FOUND, "bob@contoso.example"),
        (("--app-only", "--no-mfa"), exits.USAGE, "--no-mfa"),
        (("--app-only", "--user", ADA.upn), exits.USAGE, "--user"),
        (("--partner", "contoso"), exits.USAGE, "--partner"),
    ],
)
def test_the_token_command_refuses(
    database: str, home: Path, arguments: tuple[str, ...], code: int, named: str
) -> None:
    result = accredit_token(*arguments, home=home)
    assert (result.exit_code, result.stdout) == (code, "")
    assert named in result.stderr


def test_the_token_command_tells_when_its_tokens_would_not_be_taken(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCREDIT_LOCAL_AUTHORITY", "false")
    result = accredit_token(home=home)
    assert (result.exit_code, result.stdout) == (exits.REFUSED, "")
    monkeypatch.setenv("ACCREDIT_LOCAL_AUTHORITY", "true")
    monkeypatch.setenv("ACCREDIT_AUDIENCES", ",")  # an empty variable is an absent one
    assert accredit_token(home=home).exit_code == exits.USAGE


def test_the_token_command_names_a_key_it_cannot_use(tmp_path: Path) -> None:
    LocalAuthority(tmp_path)
    (tmp_path / "authority" / "key.pem").write_bytes(b"")
    result = accredit_token(home=tmp_path)
    assert (result.exit_code, result.stdout) == (exits.FAILED, "")
    assert "key.pem" in result.stderr
