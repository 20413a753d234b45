"""Discovery and keys of OIDC issuers: a real server on loopback, which counts what is fetched of it."""

import asyncio
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from accredit.identity.issuers import REFRESH_SECONDS, RETRY_SECONDS, Issuers
from accredit.identity.tokens import TokenVerifier
from accredit.wire.errors import ApiError

TENANT = "6b3b5a30-6c6f-4a0c-9d7e-0d0c8f6f1b11"
OTHER_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwk(key: RSAPrivateKey, key_id: str, **more: Any) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig", **more}


class Server:
    """An issuer's web server: what is at each path, as ``(status, headers, body)``, and what was asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []
        self.open = threading.Event()
        self.open.set()

    def page(self, path: str, value: Any, status: int = 200, **headers: str) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.pages[path] = (status, headers, body)

    def publish(self, *keys: Any, at: str = "", issuer: str | None = None) -> None:
        """Publish the issuer at path ``at`` with ``keys``."""
        document = {"issuer": self.url + at if issuer is None else issuer, "jwks_uri": f"{self.url}/keys"}
        self.page(f"{at.rstrip('/')}/.well-known/openid-configuration", document)
        self.page("/keys", {"keys": keys})

    @property
    def fetches(self) -> int:
        """How often the keys were fetched."""
        return self.asked.count("/keys")


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            issuer.open.wait(10)
            status, headers, body = issuer.pages.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            with suppress(OSError):  # the client may have given up
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            listener.socket = context.wrap_socket(listener.socket, server_side=True)
        scheme = "https" if certificate else "http"
        issuer = Server(f"{scheme}://127.0.0.1:{listener.server_address[1]}")
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield issuer
        finally:
            listener.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


class Trust:
    """Configured issuers, with a clock of the test's own."""

    def __init__(self, *configured: str) -> None:
        self.now = 1000.0
        self.issuers = Issuers(configured, clock=lambda: self.now)

    def key(self, issuer: str, key_id: str = "a", tenant: str = TENANT) -> RSAPublicKey | None:
        return asyncio.run(self.issuers.key(issuer, tenant, key_id))

    def unavailable(self, issuer: str) -> None:
        with pytest.raises(ApiError) as caught:
            self.key(issuer)
        assert caught.value.status == 503
        assert caught.value.headers == {"Retry-After": "5"}


def test_keys_are_fetched_once(server: Server) -> None:
    server.publish(jwk(KEY, "a"))
    trust = Trust(server.url)
    assert trust.key(server.url) == KEY.public_key()
    assert trust.key(server.url) == KEY.public_key()
    assert server.asked == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize("at", ["/", "/realms/x", "/realms/x/"])
def test_discovery_has_one_slash(server: Server, at: str) -> None:
    server.publish(jwk(KEY, "a"), at=at)
    assert Trust(server.url + at).key(server.url + at) == KEY.public_key()
    assert server.asked[0] == f"{at.rstrip('/')}/.well-known/openid-configuration"


def test_only_configured_issuers_are_asked(server: Server) -> None:
    server.publish(jwk(KEY, "a"))
    assert Trust().key(server.url) is None
    assert Trust(server.url).key(server.url + "/") is None
    assert Trust("https://elsewhere.example").key(server.url) is None
    assert server.asked == []


def test_each_issuer_has_its_own_keys(server: Server) -> None:
    with serving() as other:
        server.publish(jwk(KEY, "a"))
        other.publish(jwk(OTHER_KEY, "a"))
        trust = Trust(server.url, other.url)
        assert trust.key(server.url) == KEY.public_key()
        assert trust.key(other.url) == OTHER_KEY.public_key()


def test_an_unknown_key_refreshes_once_a_minute(server: Server) -> None:
    server.publish(jwk(KEY, "a"))
    trust = Trust(server.url)
    trust.key(server.url)
    server.publish(jwk(OTHER_KEY, "b"))
    assert trust.key(server.url, "b") == OTHER_KEY.public_key()
    assert server.fetches == 2
    # What is no longer published is no longer trusted.
    assert trust.key(server.url, "a") is None
    trust.now += REFRESH_SECONDS - 0.1
    assert trust.key(server.url, "c") is None
    assert server.fetches == 2
    trust.now += 0.2
    assert trust.key(server.url, "c") is None
    assert trust.key(server.url, "c") is None
    assert server.fetches == 3


def test_an_unknown_key_at_first_is_fetched_for_once(server: Server) -> None:
    server.publish(jwk(KEY, "a"))
    assert Trust(server.url).key(server.url, "unknown") is None
    assert server.fetches == 1


def test_concurrent_requests_share_a_fetch(server: Server) -> None:
    server.publish(jwk(KEY, "a"))
    server.open.clear()
    trust = Trust(server.url)

    async def together() -> list[RSAPublicKey | None]:
        tasks = [asyncio.create_task(trust.issuers.key(server.url, TENANT, f"{n % 2}")) for n in range(20)]
        tasks += [asyncio.create_task(trust.issuers.key(server.url, TENANT, "a")) for _ in range(20)]
        await asyncio.sleep(0)  # all of them wait now
        server.open.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(together()) == [None] * 20 + [KEY.public_key()] * 20
    assert server.fetches == 1


def test_a_cancelled_request_does_not_spoil_the_fetch_for_others(server: Server) -> None:
    server.publish(jwk(KEY, "a"))
    server.open.clear()
    trust = Trust(server.url)

    async def first_gives_up() -> RSAPublicKey | None:
        first, second = (asyncio.create_task(trust.issuers.key(server.url, TENANT, "a")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        server.open.set()
        return await second

    assert asyncio.run(first_gives_up()) == KEY.public_key()


def test_an_issuer_out_of_reach_is_unavailable_and_left_alone_for_a_while(server: Server) -> None:
    trust = Trust(server.url)
    trust.unavailable(server.url)
    trust.unavailable(server.url)
    assert len(server.asked) == 1
    server.publish(jwk(KEY, "a"))
    trust.now += RETRY_SECONDS - 0.1
    trust.unavailable(server.url)
    trust.now += 0.2
    assert trust.key(server.url) == KEY.public_key()


def test_nobody_listens() -> None:
    with serving() as server:
        pass
    Trust(server.url).unavailable(server.url)


def test_an_answer_that_does_not_come_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accredit.identity.issuers._FETCH_SECONDS", 0.05)
    server.publish(jwk(KEY, "a"))
    server.open.clear()
    Trust(server.url).unavailable(server.url)
    server.open.set()


def test_keys_held_serve_on_when_the_refresh_fails(server: Server) -> None:
    server.publish(jwk(KEY, "a"))
    trust = Trust(server.url)
    trust.key(server.url)
    server.pages.clear()
    assert trust.key(server.url, "b") is None
    assert trust.key(server.url, "a") == KEY.public_key()
    asked = len(server.asked)
    assert trust.key(server.url, "b") is None
    assert len(server.asked) == asked


EC_JWK = {**ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True), "kid": "a"}
SMALL_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.mark.parametrize(
    "unsuitable",
    [
        jwk(KEY, "a", use="enc"),
        jwk(KEY, "a", alg="RS512"),
        jwk(KEY, "a", kty="EC"),
        {**jwk(KEY, "a"), "n": "AQAB"},
        {**jwk(KEY, "a"), "n": "\u00e4"},
        {**jwk(KEY, "a"), "e": ""},
        {**jwk(KEY, "a"), "kid": 7},
        {name: value for name, value in jwk(KEY, "a").items() if name != "kid"},
        jwk(SMALL_KEY, "a"),
        EC_JWK,
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
        "a",
        None,
    ],
)
def test_unsuitable_keys_are_passed_over(server: Server, unsuitable: Any) -> None:
    server.publish(unsuitable, jwk(OTHER_KEY, "b"))
    trust = Trust(server.url)
    assert trust.key(server.url, "a") is None
    assert trust.key(server.url, "b") == OTHER_KEY.public_key()


def test_a_private_key_gives_its_public_half(server: Server) -> None:
    server.publish({**RSAAlgorithm.to_jwk(KEY, as_dict=True), "kid": "a"})
    assert Trust(server.url).key(server.url) == KEY.public_key()


def test_keys_without_use_and_with_our_algorithm(server: Server) -> None:
    plain = {name: value for name, value in jwk(KEY, "a").items() if name != "use"}
    server.publish(plain, jwk(OTHER_KEY, "b", alg="RS256"))
    trust = Trust(server.url)
    assert trust.key(server.url, "a") and trust.key(server.url, "b")


def spoil_issuer(server: Server) -> None:
    server.publish(jwk(KEY, "a"), issuer="https://elsewhere.example")


def redirect(server: Server) -> None:
    server.page("/.well-known/openid-configuration", b"", 302, Location=f"{server.url}/other")


def no_json(server: Server) -> None:
    server.page("/keys", b"<html>")


def nested(server: Server) -> None:
    server.page("/keys", b'{"keys":[' + b"[" * 100_000)


def no_keys(server: Server) -> None:
    server.page("/keys", {"keys": [EC_JWK]})


def too_large(server: Server) -> None:
    server.page("/keys", {"keys": [jwk(KEY, "a")], "padding": "x" * (1 << 20)})


def strange_scheme(server: Server) -> None:
    server.page("/.well-known/openid-configuration", {"issuer": server.url, "jwks_uri": "file:///etc/passwd"})


def malformed_jwks_uri(server: Server) -> None:
    server.page("/.well-known/openid-configuration", {"issuer": server.url, "jwks_uri": "http://[::1"})


@pytest.mark.parametrize(
    "spoil",
    [spoil_issuer, redirect, no_json, nested, no_keys, too_large, strange_scheme, malformed_jwks_uri],
)
def test_documents_that_are_not_what_they_must_be(server: Server, spoil: Any) -> None:
    server.publish(jwk(KEY, "a"))
    server.page("/other", server.pages["/.well-known/openid-configuration"][2])
    spoil(server)
    Trust(server.url).unavailable(server.url)


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate of 127.0.0.1, trusted here, with its key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "accredit tests")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(KEY, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


def test_an_https_issuer(certificate: Path, server: Server) -> None:
    with serving(certificate) as secure:
        secure.publish(jwk(KEY, "a"))
        assert Trust(secure.url).key(secure.url) == KEY.public_key()
        # Its keys may not be had over http.
        server.publish(jwk(KEY, "a"))
        document = {"issuer": secure.url, "jwks_uri": f"{server.url}/keys"}
        secure.page("/.well-known/openid-configuration", document)
        Trust(secure.url).unavailable(secure.url)
        assert server.asked == []


@pytest.mark.parametrize("placeholder", ["{tenantid}", "{TenantId}", "{tid}"])
@pytest.mark.parametrize("form", ["/{}/v2.0", "/{}/"])
def test_an_issuer_of_all_tenants(server: Server, placeholder: str, form: str) -> None:
    # As Entra publishes it: the document of `common` names its issuer with the placeholder.
    server.publish(jwk(KEY, "a"), at=form.format("common"), issuer=server.url + form.format("{tenantid}"))
    trust = Trust(server.url + form.format(placeholder))
    assert trust.key(server.url + form.format(TENANT)) == KEY.public_key()
    assert trust.key(server.url + form.format(OTHER_TENANT), tenant=OTHER_TENANT) == KEY.public_key()
    assert server.fetches == 1
    # The issuer is that of the token's own tenant, and of no other.
    assert trust.key(server.url + form.format(OTHER_TENANT)) is None
    assert trust.key(server.url + form.format("{tenantid}")) is None
    assert trust.key(server.url + form.format("common")) is None


def test_a_key_of_one_tenant_signs_for_no_other(server: Server) -> None:
    one, all_tenants = f"{server.url}/{TENANT}/v2.0", f"{server.url}/{{tenantid}}/v2.0"
    server.publish(
        jwk(KEY, "a", issuer=one), jwk(OTHER_KEY, "b", issuer=all_tenants), at="/common/v2.0", issuer=all_tenants
    )
    trust = Trust(all_tenants)
    other = f"{server.url}/{OTHER_TENANT}/v2.0"
    assert trust.key(one, "a") == KEY.public_key()
    assert trust.key(other, "a", OTHER_TENANT) is None
    assert trust.key(other, "b", OTHER_TENANT) == OTHER_KEY.public_key()


@pytest.mark.parametrize("url", ["", "login.example", "ftp://login.example", "https://", "https://x.example/?a=b"])
def test_an_issuer_that_is_no_url_is_named(url: str) -> None:
    with pytest.raises(ValueError, match="is not an http"):
        Issuers([url])


def test_a_token_of_a_configured_issuer(server: Server) -> None:
    """The way through both: token, discovery, keys, caller; and a stranger's token under the same ``kid``."""
    server.publish(jwk(KEY, "a"), at="/common/v2.0", issuer=f"{server.url}/{{tenantid}}/v2.0")
    issuers = Issuers([f"{server.url}/{{tenantid}}/v2.0"])

    async def is_registered(partner_id: UUID) -> bool:
        return str(partner_id) == TENANT

    verifier = TokenVerifier(issuers, ["https://api.example"], is_registered)
    claims = {
        "iss": f"{server.url}/{TENANT}/v2.0",
        "aud": "https://api.example",
        "tid": TENANT,
        "exp": 4_000_000_000,
        "idtyp": "app",
    }
    good = jwt.encode(claims, KEY, "RS256", headers={"kid": "a"})
    assert asyncio.run(verifier.verify(f"Bearer {good}")).app_only
    forged = jwt.encode(claims, OTHER_KEY, "RS256", headers={"kid": "a"})
    with pytest.raises(ApiError) as caught:
        asyncio.run(verifier.verify(f"Bearer {forged}"))
    assert caught.value.status == 401
