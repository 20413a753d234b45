"""Hostile and broken requests over raw HTTP: each is refused in the contract's form, and nothing leaks or breaks.

This module has a service of its own, whose whole log, down to debug, is searched at the end.
"""

import base64
import contextlib
import gzip
import hmac
import http.client
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from accredit.identity.authority import LocalAuthority, RefreshGrant
from tests.conftest import AUDIENCE, DEADLINE, Partner, Service, running_service

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STACK = re.compile(r"Traceback|File \\?\"|\.py\b|psycopg|litestar|msgspec|uvicorn|SELECT |INSERT ", re.IGNORECASE)
GCC = "GovernmentCommunityCloud"
JSON = ("Content-Type: application/json",)
MEBIBYTE = 1 << 20
SENT: set[str] = set()
"""Every token that a test sent, to be looked for in the log at the end."""
CHECKED = uuid4()
"""A correlation ID that the log must hold at the end."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("home"), log_format="json", log_level="debug") as running:
        yield running
    log = "".join(running.log)
    assert str(CHECKED) in log, "what was sent is not in this log"
    for word in ("Traceback", '"fault"', '"error"', "eyJ"):
        assert word not in log, [line for line in running.log if word in line][:3]
    assert not set(re.split(r"[^\w-]+", log)) & {part for token in SENT for part in _parts(token)}


def _parts(token: str) -> set[str]:
    return {part for part in token.split(".") if len(part) > 16}


@dataclass
class Answer:
    """An answer as it came over the wire."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    rest: bytes
    """What came after it, up to the end of the connection."""


def send(service: Service, request: bytes) -> Answer:
    """Send ``request``, which must be the connection's last one, and read until the service closes."""
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), DEADLINE) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
            connection.sendall(request)
        answer = http.client.HTTPResponse(connection, method=request.split(b" ", 1)[0].decode("latin-1"))
        answer.begin()
        body = answer.read()
        assert answer.fp is None or answer.length in (0, None)
        try:
            rest = connection.recv(65536)
        except ConnectionResetError:
            rest = b""
    return Answer(answer.status, answer.headers, body, rest)


@dataclass
class Caller:
    """A partner's administrator, at a socket, with a customer that nothing was done for yet."""

    partner: Partner
    customer: UUID
    token: str
    database: psycopg.Connection[Any]

    def request(
        self,
        *headers: str | bytes,
        method: str = "GET",
        path: str | bytes | None = None,
        body: bytes | None = None,
        token: str | None = "",
    ) -> bytes:
        """The bytes of a request. ``token``: this caller's own, unless another is given; ``None`` sends none."""
        if path is None:
            path = f"/v1/customers/{self.customer}/qualifications"
        token = self.token if token == "" else token
        lines: list[str | bytes] = ["Host: localhost", "Connection: close", *headers]
        if token is not None:
            SENT.add(token)
            lines.append(f"Authorization: Bearer {token}")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        encoded = [line.encode("latin-1") if isinstance(line, str) else line for line in lines]
        path = path.encode() if isinstance(path, str) else path
        return b"\r\n".join([method.encode() + b" " + path + b" HTTP/1.1", *encoded, b"", body or b""])

    def send(self, *headers: str | bytes, **parts: Any) -> Answer:
        return send(self.partner.service, self.request(*headers, **parts))

    def post(self, body: bytes | dict[str, Any], *headers: str, **parts: Any) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send(*(headers or JSON), method="POST", body=content, **parts)

    def untouched(self) -> bool:
        """Whether nothing was written for the customer."""
        query = """
        SELECT EXISTS (SELECT FROM qualifications WHERE customer_id = %(id)s)
            OR EXISTS (SELECT FROM audit_records WHERE customer_id = %(id)s AND operation_type LIKE 'update%%')
        """
        return self.database.execute(query, {"id": self.customer}).fetchone() == (False,)


@pytest.fixture(scope="module")
def callers(service: Service) -> Iterator[Iterator[Caller]]:
    """One partner for the module, since making one takes longer than most tests here; it has the code 1."""
    partner = service.partner()
    partner.code("1")
    token = partner.token()
    with service.database() as database:
        yield (Caller(partner, customer, token, database) for customer in partner.customers(1000))


@pytest.fixture
def caller(callers: Iterator[Caller]) -> Caller:
    return next(callers)


def refused(answer: Answer, status: int, code: str, *, bodiless: bool = False) -> None:
    """Assert that it is this error, whole, in the contract's form, and that nothing leaks."""
    assert answer.status == status, answer
    if bodiless:  # an answer to HEAD
        assert answer.body == b""
    else:
        body = json.loads(answer.body)
        assert list(body) == ["code", "description", "data", "source"]
        assert body["code"] == code, body
        assert 0 < len(body["description"]) <= 1024 and body["data"] == [] and body["source"] == "accredit"
    carried(answer)
    text = f"{answer.headers}{answer.body.decode()}"
    assert not STACK.search(text), text
    assert not [token for token in SENT if any(part in text for part in _parts(token))]
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    if status == 405:
        assert answer.headers["Allow"]


def carried(answer: Answer) -> None:
    """Assert that the answer carries, once each, what every answer does, and nothing that a caller smuggled in."""
    for name in ("MS-RequestId", "MS-CorrelationId"):
        assert GUID.fullmatch(answer.headers[name])
    for name in ("MS-RequestId", "MS-CorrelationId", "MS-CV", "MS-ServerId", "X-Locale", "Date", "Content-Type"):
        assert len(answer.headers.get_all(name, [])) == 1, name
    assert parsedate_to_datetime(answer.headers["Date"])
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Injected"] is None
    assert answer.rest == b""


def test_the_requests_of_this_module_are_good_but_for_what_is_wrong_with_them(caller: Caller) -> None:
    answer = caller.send(f"MS-CorrelationId: {CHECKED}")
    assert (answer.status, answer.body) == (200, b"[]")
    carried(answer)
    answer = caller.post({"qualification": "Education"})
    assert answer.status == 201
    carried(answer)
    assert not caller.untouched()


# Bodies

NOT_JSON = {
    "empty": b"",
    "truncated": b'{"qualification": "Educa',
    "trailing comma": b'{"qualification": "Education",}',
    "trailing comma in an array": b'{"qualification": "Education", "x": [1,]}',
    "line comment": b'{"qualification": "Education" // yes\n}',
    "block comment": b'{"qualification": "Education" /* yes */}',
    "NaN": b'{"qualification": "Education", "x": NaN}',
    "Infinity": b'{"qualification": "Education", "x": -Infinity}',
    "single quotes": b"{'qualification': 'Education'}",
    "bare word": b'{"qualification": Education}',
    "two values": b'{"qualification": "Education"} {}',
    "leading zero": b'{"qualification": "Education", "x": 01}',
    "number beyond all bounds": b'{"qualification": "Education", "x": 1e999}',
    "integer beyond all bounds": b'{"qualification": "Education", "validationCode": ' + b"9" * 5000 + b"}",
    "invalid UTF-8": b'{"qualification": "Education\xff"}',
    "overlong UTF-8": b'{"qualification": "Education\xc0\x80"}',
    "surrogate in UTF-8": b'{"qualification": "Education\xed\xa0\x80"}',
    "lone high surrogate": b'{"qualification": "\\ud800"}',
    "lone low surrogate": b'{"qualification": "\\udc00"}',
    "surrogate and no surrogate": b'{"qualification": "\\ud800\\u0041"}',
    "lone surrogate in a name": b'{"qualification": "Education", "\\ud800": 1}',
    "raw NUL": b'{"qualification": "Education\x00"}',
    "raw newline in a string": b'{"qualification": "Educa\ntion"}',
    "NUL after the value": b'{"qualification": "Education"}\x00',
    "byte order mark": b'\xef\xbb\xbf{"qualification": "Education"}',
    "UTF-16": '{"qualification": "Education"}'.encode("utf-16"),
    "gzip": gzip.compress(b'{"qualification": "Education"}'),
    "brackets": b"[" * 100_000,
    "brackets that close": b"[" * 100_000 + b"]" * 100_000,
    "braces": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "brackets in a property": b'{"qualification": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no object": b'"Education"',
    "an array": b'[{"qualification": "Education"}]',
    "null": b"null",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_no_json_object_is_refused(caller: Caller, body: bytes) -> None:
    refused(caller.post(body), 400, "800002")
    assert caller.untouched()


def test_a_body_is_not_decompressed(caller: Caller) -> None:
    body = gzip.compress(b'{"qualification": "Education"}')
    refused(caller.post(body, *JSON, "Content-Encoding: gzip"), 400, "800002")


WRONG = {
    "qualification": [
        *[(value, "3000") for value in (1, 1.5, True, False, [], ["Education"], {}, {"Education": 1})],
        *[(value, "900126") for value in ("", " ", "Education ", "Education\0", "Educatíon", "1", "null", "x" * 9999)],
        *[(value, "3000") for value in ("None", "Nonprofit")],
        (None, "3000"),
    ],
    "educationSegment": [
        *[(value, "3000") for value in (1, 1.5, True, [], ["K12"], {})],
        *[(value, "900126") for value in ("", "K-12", "K12\0", "x" * 9999)],
    ],
    "website": [
        *[(value, "3000") for value in (1, 1.5, True, [], ["a.edu"], {})],
        *[(value, "3000") for value in ("", " ", "a", "a.edu\0", "\0", "a.edu\r\nX: 1", "javascript:alert(1)", "//")],
        *[
            (value, "3000")
            for value in ("http://", "ftp://a.edu", "http://u:p@a.edu", "http://10.0.0.1", "http://[::1]")
        ],
        *[(value, "3000") for value in ("http://[", "http://a.edu:99999", "a..edu", "é" * 100 + ".edu", "a" * 3000)],
    ],
    "validationCode": [(value, "3000") for value in (1.5, True, False, [], ["12345"], {})],
}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [(name, value, code) for name, values in WRONG.items() for value, code in values],
    ids=lambda value: repr(value)[:30].encode("unicode_escape").decode(),
)
def test_a_property_of_a_wrong_type_or_value_is_refused_and_named(
    caller: Caller, name: str, value: Any, code: str
) -> None:
    answer = caller.post({"qualification": "Education"} | {name: value})
    refused(answer, 400, code)
    if value not in ("None", "Nonprofit"):
        assert name in json.loads(answer.body)["description"]
    assert caller.untouched()


@pytest.mark.parametrize(
    "value",
    ["1\0", "\0", "-1", "+1", " 1", "1 ", "١٢٣", "1e3", "0x1", "'; DROP TABLE partners; --", "9" * 65, -1, 10**40],
)
def test_a_validation_code_that_is_none_of_the_partners_is_refused(caller: Caller, value: str | int) -> None:
    refused(caller.post({"qualification": GCC, "validationCode": value}), 400, "700003")
    assert caller.untouched()


@pytest.mark.parametrize("query", ["%00", "%ff", "1%00", "%0d%0aInjected:%201", "%F0%9F%92%A9", "1;1", "a" * 9999])
def test_a_strange_code_in_the_query_is_refused(caller: Caller, query: str) -> None:
    path = f"/v1/customers/{caller.customer}/qualifications?code={query}"
    refused(caller.post({"qualification": GCC}, path=path), 400, "700003")
    assert caller.untouched()


def test_hostile_text_where_it_is_ignored_does_no_harm(caller: Caller) -> None:
    body = b'{"Qualification": "Education", "\\u0000": "\\u0000\\ud83d\\ude00", "__proto__": {"x": 1}, "self": [[[]]]}'
    assert caller.post(body).status == 201
    assert json.loads(caller.send().body)[0]["vettingStatus"] == "InReview"


@pytest.mark.parametrize("value", [b"-1", b"4", b"1.5", b"true", b"[]", b"[1]", b"{}", b"9" * 30])
def test_what_is_no_value_of_the_enum_is_refused_by_the_older_form(caller: Caller, value: bytes) -> None:
    path = f"/v1/customers/{caller.customer}/qualification"
    refused(caller.send(*JSON, method="PUT", path=path, body=value), 400, "3000")
    assert caller.untouched()


@pytest.mark.parametrize("value", [b'""', b'"\\u0000"', b'"education\\u0000"', b'"_"', b'"' + b"e" * 9999 + b'"'])
def test_a_string_that_is_none_of_the_enum_is_refused_by_the_older_form(caller: Caller, value: bytes) -> None:
    path = f"/v1/customers/{caller.customer}/qualification"
    refused(caller.send(*JSON, method="PUT", path=path, body=value), 400, "900126")
    assert caller.untouched()


# Sizes


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_two_mebibytes_declared_are_refused_before_they_are_sent(caller: Caller, method: str) -> None:
    path = f"/v1/customers/{caller.customer}/qualification" + ("s" if method == "POST" else "")
    answer = caller.send(*JSON, f"Content-Length: {2 * MEBIBYTE}", method=method, path=path)
    refused(answer, 413, "3000")
    assert caller.untouched()


@pytest.mark.parametrize("body", [b" " * 2 * MEBIBYTE, b"[" * 2 * MEBIBYTE, b'{"x":"' + b"x" * 2 * MEBIBYTE + b'"}'])
def test_two_mebibytes_sent_are_refused(caller: Caller, body: bytes) -> None:
    refused(caller.post(body), 413, "3000")
    assert caller.untouched()


@pytest.mark.parametrize("ends", [True, False])
def test_two_mebibytes_in_chunks_are_refused_once_they_are_too_many(caller: Caller, ends: bool) -> None:
    chunk = b"10000\r\n" + b" " * (1 << 16) + b"\r\n"
    head = caller.request(*JSON, "Transfer-Encoding: chunked", method="POST")
    refused(send(caller.partner.service, head + chunk * 32 + (b"0\r\n\r\n" if ends else b"")), 413, "3000")
    assert caller.untouched()


# Identifiers

BAD_GUIDS = [
    "0",
    "all",
    "%00",
    "%ff",
    "null",
    "%0d%0aInjected:%20yes",
    "{01234567-89ab-cdef-0123-456789abcdef}",
    "0123456789abcdef0123456789abcdef",
    "01234567-89ab-cdef-0123-456789abcdeg",
    "01234567-89ab-cdef-0123-456789abcdef0",
    "01234567-89ab-cdef-0123-456789abcdef%0a",
    "%EF%BC%90" * 8 + "-89ab-cdef-0123-456789abcdef",
    "'%20OR%201=1--",
    "a" * 4000,
]


@pytest.mark.parametrize("guid", BAD_GUIDS, ids=lambda guid: guid[:40])
@pytest.mark.parametrize(
    ("method", "below"),
    [
        ("GET", "qualifications"),
        ("POST", "qualifications"),
        ("GET", "qualification"),
        ("PUT", "qualification"),
        ("GET", "validations"),
    ],
)
def test_a_customer_that_is_no_guid_is_refused(caller: Caller, guid: str, method: str, below: str) -> None:
    if (guid, below) == ("all", "validations"):  # that is an operation of its own
        assert caller.send(path="/v1/customers/all/validations").status == 200
        return
    body = {"POST": b'{"qualification": "Education"}', "PUT": b'"Education"'}.get(method)
    answer = caller.send(*JSON, method=method, path=f"/v1/customers/{guid}/{below}", body=body)
    refused(answer, 400, "900118")


@pytest.mark.parametrize("name", ["MS-RequestId", "MS-CorrelationId"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "0123456789abcdef0123456789abcdef",
        "{01234567-89ab-cdef-0123-456789abcdef}",
        "01234567-89ab-cdef-0123-456789abcdeg",
        "01234567-89ab-cdef-0123-456789abcdef, 01234567-89ab-cdef-0123-456789abcdef",
        "%0d%0aInjected: yes",
        "\xff" * 36,
        "a" * 9000,
    ],
    ids=lambda value: value[:40].encode("unicode_escape").decode(),
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_header_that_is_no_guid_is_refused_and_never_echoed(
    caller: Caller, name: str, value: str, method: str
) -> None:
    body = b'{"qualification": "Education"}' if method == "POST" else None
    answer = caller.send(*JSON, f"{name}: {value}", method=method, body=body)
    refused(answer, 400, "3000")
    assert name in json.loads(answer.body)["description"]
    assert caller.untouched()


# Tokens


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def jws(header: Any, payload: Any, sign: Callable[[bytes], bytes]) -> str:
    """A token of whatever is given; PyJWT would refuse to make most of these."""
    head, body = (encoded(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, payload))
    return f"{head}.{body}.{encoded(sign(f'{head}.{body}'.encode()))}"


@dataclass
class Mint:
    """Makes tokens with the key of the service's own authority, right but for what is asked to be wrong."""

    caller: Caller
    key: RSAPrivateKey
    authority: LocalAuthority

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a good token; a change to ``None`` leaves one out."""
        partner, now = self.caller.partner, int(time.time())
        claims = {
            "iss": f"{partner.service.url}/{partner.id}/v2.0",
            "aud": AUDIENCE,
            "tid": str(partner.id),
            "oid": str(partner.user.id),
            "upn": partner.user.upn,
            "scp": "user_impersonation",
            "roles": ["AdminAgent"],
            "amr": ["pwd", "mfa"],
            "azp": str(partner.application_id),
            "iat": now,
            "nbf": now,
            "exp": now + 600,
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(
        self, *, algorithm: str = "RS256", key: Any = None, header: dict[str, Any] | None = None, **c: Any
    ) -> str:
        headers = {"kid": self.authority.key_id, "typ": "JWT"} | (header or {})
        headers = {name: value for name, value in headers.items() if value is not None}
        return jwt.encode(self.claims(**c), key or self.key, algorithm, headers=headers)

    def forged(self, header: Any, sign: Callable[[bytes], bytes], payload: Any = None) -> str:
        if isinstance(header, dict):
            header = {"typ": "JWT", "kid": self.authority.key_id} | header
        return jws(header, self.claims() if payload is None else payload, sign)

    def hmac_of(self, secret: bytes, name: str = "HS256") -> str:
        return self.forged({"alg": name}, lambda signed: hmac.digest(secret, signed, "sha256"))

    def public(self, encoding: str, form: str) -> bytes:
        return self.key.public_key().public_bytes(
            getattr(serialization.Encoding, encoding), getattr(serialization.PublicFormat, form)
        )

    @property
    def modulus(self) -> bytes:
        return self.key.public_key().public_numbers().n.to_bytes(256)


@pytest.fixture(scope="module")
def signing_key(service: Service) -> RSAPrivateKey:
    key = serialization.load_pem_private_key((service.home / "authority" / "key.pem").read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


@pytest.fixture(scope="module")
def other_key() -> RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def authority(service: Service) -> LocalAuthority:
    return LocalAuthority(service.home)


@pytest.fixture
def mint(caller: Caller, signing_key: RSAPrivateKey, authority: LocalAuthority) -> Mint:
    return Mint(caller, signing_key, authority)


def test_a_token_of_the_mint_is_good(mint: Mint) -> None:
    assert mint.caller.send(token=mint.token()).status == 200
    assert mint.caller.post({"qualification": "Education"}, token=mint.token(aud=[AUDIENCE, "other"])).status == 201


OTHER = str(uuid4())
FORGERIES: dict[str, Callable[[Mint, RSAPrivateKey], str]] = {
    "expired": lambda mint, _: mint.token(exp=int(time.time()) - 120),
    "expired in another century": lambda mint, _: mint.token(exp=1),
    "not valid yet": lambda mint, _: mint.token(nbf=int(time.time()) + 300),
    "without expiry": lambda mint, _: mint.token(exp=None),
    "expiry that is no number": lambda mint, _: mint.forged({"alg": "RS256"}, _rs256(mint.key), mint.claims(exp="x")),
    "alg none": lambda mint, _: mint.forged({"alg": "none"}, lambda _: b""),
    "alg none with a signature": lambda mint, _: mint.forged({"alg": "none"}, _rs256(mint.key)),
    "alg NoNe": lambda mint, _: mint.forged({"alg": "NoNe"}, lambda _: b"x" * 256),
    "alg missing": lambda mint, _: mint.forged({}, _rs256(mint.key)),
    "alg null": lambda mint, _: mint.forged({"alg": None}, _rs256(mint.key)),
    "alg that is no string": lambda mint, _: mint.forged({"alg": ["RS256"]}, _rs256(mint.key)),
    "HS256 by the public key (PEM)": lambda mint, _: mint.hmac_of(mint.public("PEM", "SubjectPublicKeyInfo")),
    "HS256 by the public key (PKCS 1)": lambda mint, _: mint.hmac_of(mint.public("PEM", "PKCS1")),
    "HS256 by the public key (DER)": lambda mint, _: mint.hmac_of(mint.public("DER", "SubjectPublicKeyInfo")),
    "HS256 by the modulus": lambda mint, _: mint.hmac_of(mint.modulus),
    "HS256 by nothing": lambda mint, _: mint.hmac_of(b""),
    "RS256 that is an HMAC": lambda mint, _: mint.hmac_of(mint.public("PEM", "SubjectPublicKeyInfo"), "RS256"),
    "RS512": lambda mint, _: mint.token(algorithm="RS512"),
    "PS256": lambda mint, _: mint.token(algorithm="PS256"),
    "unknown kid": lambda mint, _: mint.token(header={"kid": "unknown"}),
    "without kid": lambda mint, _: mint.token(header={"kid": None}),
    "kid that is no string": lambda mint, _: mint.forged({"alg": "RS256", "kid": ["x"]}, _rs256(mint.key)),
    "kid that is a path": lambda mint, _: mint.token(header={"kid": "../../../../dev/null"}),
    "signed by another key": lambda mint, other: mint.token(key=other),
    "bringing its own key": lambda mint, other: mint.token(key=other, header={"jwk": _jwk(other)}),
    "bringing its own key and kid": lambda mint, other: mint.token(
        key=other, header={"jwk": _jwk(other), "kid": "own"}
    ),
    "naming where its key is": lambda mint, other: mint.token(key=other, header={"jku": "http://127.0.0.1:9/keys"}),
    "critical extension": lambda mint, _: mint.forged({"alg": "RS256", "crit": ["x"], "x": 1}, _rs256(mint.key)),
    "unencoded payload": lambda mint, _: mint.forged({"alg": "RS256", "b64": False, "crit": ["b64"]}, _rs256(mint.key)),
    "unknown issuer": lambda mint, _: mint.token(iss="https://issuer.example/"),
    "issuer of another tenant": lambda mint, _: mint.token(iss=f"{mint.caller.partner.service.url}/{OTHER}/v2.0"),
    "issuer with more behind it": lambda mint, _: mint.token(iss=mint.claims()["iss"] + "/x"),
    "issuer missing": lambda mint, _: mint.token(iss=None),
    "issuer that is no string": lambda mint, _: mint.forged({"alg": "RS256"}, _rs256(mint.key), mint.claims(iss=1)),
    "audience missing": lambda mint, _: mint.token(aud=None),
    "partner that is not registered": lambda mint, _: mint.token(
        tid=OTHER, iss=f"{mint.caller.partner.service.url}/{OTHER}/v2.0"
    ),
    "tenant missing": lambda mint, _: mint.token(tid=None),
    "tenant that is no GUID": lambda mint, _: mint.token(tid="common"),
    "neither user nor application": lambda mint, _: mint.token(scp=None, roles=None),
    "another scope": lambda mint, _: mint.token(scp="openid profile"),
    "user without a name": lambda mint, _: mint.token(oid=None, upn=None),
    "control characters in the name": lambda mint, _: mint.token(upn="a\r\nInjected: yes"),
    "NUL in the name": lambda mint, _: mint.token(upn="a\0"),
    "payload changed": lambda mint, _: _changed(mint.token(), 1, {"roles": ["GlobalAdmin"]}),
    "header changed": lambda mint, _: _changed(mint.token(), 0, {"typ": "at+jwt"}),
    "signature cut short": lambda mint, _: mint.token()[:-10],
    "signature missing": lambda mint, _: mint.token().rpartition(".")[0] + ".",
    "payload that is no JSON": lambda mint, _: mint.forged({"alg": "RS256"}, _rs256(mint.key), b"{"),
    "payload that is an array": lambda mint, _: mint.forged({"alg": "RS256"}, _rs256(mint.key), [1]),
    "payload nested deeply": lambda mint, _: mint.forged({"alg": "RS256"}, _rs256(mint.key), b"[" * 6000 + b"]" * 6000),
    "payload not in UTF-8": lambda mint, _: mint.forged({"alg": "RS256"}, _rs256(mint.key), b'{"iss":"\xff"}'),
    "header that is no JSON": lambda mint, _: mint.forged(b"{", _rs256(mint.key)),
    "header that is an array": lambda mint, _: mint.forged(["RS256"], _rs256(mint.key)),
    "header nested deeply": lambda mint, _: mint.forged(b"[" * 6000 + b"]" * 6000, _rs256(mint.key)),
    "two tokens": lambda mint, _: f"{mint.token()} {mint.token()}",
    "two parts": lambda mint, _: ".".join(mint.token().split(".")[:2]),
    "five parts, as encrypted ones have": lambda mint, _: mint.token() + ".x.y",
    "padded": lambda mint, _: mint.token() + "==",
    "too long": lambda mint, _: mint.token(oid="x" * 20_000),
    "letters of another alphabet": lambda mint, _: mint.token() + "\xe9",
    "no token": lambda *_: "nonsense",
    "empty": lambda *_: " ",
    "dots": lambda *_: "..",
    "refresh token": lambda mint, _: mint.authority.issue_refresh_token(
        RefreshGrant(
            partner_id=mint.caller.partner.id,
            user_id=mint.caller.partner.user.id,
            application_id=mint.caller.partner.application_id,
            mfa=True,
        )
    ),
}


def _rs256(key: RSAPrivateKey) -> Callable[[bytes], bytes]:
    algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    return lambda signed: algorithm.sign(signed, key)


def _jwk(key: RSAPrivateKey) -> dict[str, Any]:
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {"kty": "RSA", "n": jwk["n"], "e": jwk["e"]}


def _changed(token: str, part: int, changes: dict[str, Any]) -> str:
    parts = token.split(".")
    value = json.loads(base64.urlsafe_b64decode(parts[part] + "=="))
    parts[part] = encoded(json.dumps(value | changes).encode())
    return ".".join(parts)


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_bad_token_is_refused(mint: Mint, other_key: RSAPrivateKey, forgery: str) -> None:
    caller = mint.caller
    token = FORGERIES[forgery](mint, other_key)
    refused(caller.send(token=token), 401, "400")
    refused(caller.post({"qualification": "Education"}, token=token), 401, "400")
    # Being refused does not make it remembered as good.
    refused(caller.send(token=token), 401, "400")
    assert caller.untouched()


@pytest.mark.parametrize("audience", ["https://graph.windows.net", "", [], ["https://graph.windows.net"], "x" * 999])
def test_a_token_for_another_audience_is_refused(mint: Mint, audience: str | list[str]) -> None:
    refused(mint.caller.send(token=mint.token(aud=audience)), 401, "900420")
    refused(mint.caller.post({"qualification": "Education"}, token=mint.token(aud=audience)), 401, "900420")
    assert mint.caller.untouched()


@pytest.mark.parametrize(
    "header",
    [
        None,
        *(f"Authorization:{value}" for value in ("", " Bearer", " {}", " Basic {}", " Bearer\t{}", " Token {}")),
        "X-Authorization: Bearer {}",
        "Cookie: token={}",
    ],
)
def test_a_good_token_in_another_place_is_none(caller: Caller, header: str | None) -> None:
    SENT.add(caller.token)
    headers = [] if header is None else [header.format(caller.token)]
    refused(caller.send(*headers, token=None), 401, "400")
    path = f"/v1/customers/{caller.customer}/qualifications?access_token=x"
    refused(caller.send(*headers, token=None, path=path), 401, "400")


WRITES = [("POST", "qualifications", b'{"qualification": "Education"}'), ("PUT", "qualification", b'"Education"')]


@pytest.mark.parametrize(("method", "below", "body"), WRITES)
@pytest.mark.parametrize(
    ("claims", "code", "reads"),
    [
        pytest.param({"scp": None, "idtyp": "app", "amr": None}, "900329", True, id="app-only"),
        pytest.param({"scp": None, "roles": ["AdminAgent"], "amr": None}, "900329", True, id="app-only by its roles"),
        pytest.param({"amr": ["pwd"]}, "900308", False, id="without MFA"),
        pytest.param({"amr": None}, "900308", False, id="without amr"),
        pytest.param({"amr": ["pwd"], "roles": []}, "900308", False, id="without MFA and role"),
        pytest.param({"roles": ["HelpdeskAgent"]}, "900150", True, id="another role"),
        pytest.param({"roles": ["adminagent", "AdminAgents"]}, "900150", True, id="nearly the role"),
        pytest.param({"roles": None}, "900150", True, id="no roles"),
    ],
)
def test_a_caller_who_may_not_write_is_refused(
    mint: Mint, claims: dict[str, Any], code: str, reads: bool, method: str, below: str, body: bytes
) -> None:
    caller, token = mint.caller, mint.token(**claims)
    path = f"/v1/customers/{caller.customer}/{below}"
    # Before the body and the customer are looked at, so that a stranger learns nothing.
    for content, where in ((body, path), (b"{", path), (body, f"/v1/customers/{uuid4()}/{below}")):
        refused(caller.send(*JSON, method=method, path=where, body=content, token=token), 403, code)
    answer = caller.send(token=token)
    if reads:
        assert answer.status == 200
    else:
        refused(answer, 403, code)
    assert caller.untouched()


# Headers


@pytest.mark.parametrize("name", ["X-Locale", "MS-RequestId", "MS-CorrelationId", "MS-PartnerCenter-Client", "Accept"])
@pytest.mark.parametrize("breach", [b"\n", b"\r", b"\0", b"\r\n ", b"\x1b[31m"], ids=["LF", "CR", "NUL", "fold", "ESC"])
def test_what_breaks_out_of_a_header_is_no_http(caller: Caller, name: str, breach: bytes) -> None:
    """The HTTP parser refuses it before there is a request; the answer is its own."""
    answer = caller.send(f"{name}: en-US".encode() + breach + b"Injected: yes")
    assert answer.status == 400
    assert answer.headers["Connection"] == "close"
    assert answer.headers["Injected"] is None and b"Injected" not in answer.body and answer.rest == b""
    assert not STACK.search(answer.body.decode())
    assert caller.untouched()


@pytest.mark.parametrize("name", ["X-Locale", "MS-PartnerCenter-Client", "Accept-Language", "If-Match"])
@pytest.mark.parametrize(
    "value",
    ["en-US%0d%0aInjected:%20yes", "en-US\xe2\x80\xa8Injected: yes", "\x85Injected: yes", "en-US\tInjected: yes"],
    ids=["percent", "line separator", "next line", "tab"],
)
def test_what_looks_like_a_line_break_stays_in_its_header(caller: Caller, name: str, value: str) -> None:
    answer = caller.post({"qualification": "StateOwnedEntity"}, *JSON, f"{name}: {value}")
    assert answer.status == 201
    carried(answer)
    assert answer.headers["X-Locale"] == "en-US"
    assert "Injected" not in str(answer.headers)


def test_a_line_break_only_begins_another_header_of_the_request(caller: Caller) -> None:
    answer = caller.send("X-Locale: de-DE\r\nInjected: yes")
    assert answer.status == 200
    carried(answer)
    assert answer.headers["X-Locale"] == "de-DE"


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 0", "Content-Length: 30"),
        ("Content-Length: 30", "Transfer-Encoding: chunked"),
        ("Content-Length: -1",),
        ("Content-Length: 1e1",),
        ("Content-Length: 99999999999999999999999",),
        ("Transfer-Encoding : chunked",),
    ],
)
def test_a_length_that_can_be_read_in_two_ways_is_no_http(caller: Caller, lines: tuple[str, ...]) -> None:
    smuggled = caller.request(path="/v1/customers/all/validations")
    request = caller.request(*JSON, *lines, method="POST") + smuggled
    answer = send(caller.partner.service, request)
    assert (answer.status, answer.headers["Connection"], answer.rest) == (400, "close", b"")
    assert caller.untouched()


def test_a_header_that_comes_twice_is_a_list(caller: Caller) -> None:
    one, other = str(uuid4()), str(uuid4())
    for html, json_ in (("Accept: text/html", "Accept: application/json"), ("Accept: */*", "Accept: text/html")):
        assert caller.send(html, json_).status == 200
        assert caller.send(json_, html).status == 200
    refused(caller.send("Accept: text/html", "Accept: image/png"), 406, "3000")
    for name in ("MS-RequestId", "MS-CorrelationId"):
        refused(caller.send(f"{name}: {one}", f"{name}: {other}"), 400, "3000")
        refused(caller.send(f"{name}: {one}", f"{name}: {one}"), 400, "3000")
    refused(caller.send("MS-Contract-Version: v1", "MS-Contract-Version: v2"), 400, "3000")
    body = {"qualification": "Education"}
    refused(caller.post(body, "Content-Type: application/json", "Content-Type: text/html"), 415, "3000")
    answer = caller.send("X-Locale: de-DE", "X-Locale: fr-FR")
    assert (answer.status, answer.headers["X-Locale"]) == (200, "en-US")
    assert caller.untouched()


def test_of_two_tokens_neither_counts(caller: Caller) -> None:
    good, bad = f"Authorization: Bearer {caller.token}", "Authorization: Bearer nonsense"
    for lines in ((good, bad), (bad, good), (good, good)):
        refused(caller.send(*lines, token=None), 401, "400")


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        *((value, 406) for value in ("text/html", "application/json;q=0", "*/*;q=0.0", ";;,;", "a" * 9000, "\xff")),
        *((value, 200) for value in ("", "text/html;q=1, */*;q=0.1")),
    ],
)
def test_accept_is_read_however_strange(caller: Caller, accept: str, status: int) -> None:
    answer = caller.send(f"Accept: {accept}")
    if status == 200:
        assert answer.status == 200
    else:
        refused(answer, status, "3000")


@pytest.mark.parametrize(
    "content_type",
    [None, "", ";", "application/json, text/html", "application/jsonp", "text/plain", "multipart/form-data", "\xff"],
)
@pytest.mark.parametrize(("method", "below", "body"), WRITES)
def test_a_body_that_does_not_say_it_is_json_is_refused(
    caller: Caller, content_type: str | None, method: str, below: str, body: bytes
) -> None:
    headers = [] if content_type is None else [f"Content-Type: {content_type}"]
    path = f"/v1/customers/{caller.customer}/{below}"
    refused(caller.send(*headers, method=method, path=path, body=body), 415, "3000")
    assert caller.untouched()


# Paths and methods


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v1/customer",
        "/v1/../openapi.json",
        "/v2/customers/all/validations",
        "/V1/customers/all/validations",
        "/v1/customers/all/validations/x",
        "/v1/customers/x%2fy/qualifications",
        "/%00",
        "/%ff",
        "/%0d%0aInjected:%20yes",
        "/.env",
        "/" + "a" * 9000,
        "*",
    ],
    ids=lambda path: path[:40],
)
def test_there_is_no_such_path(caller: Caller, path: str) -> None:
    refused(caller.send(path=path), 404, "1000")
    refused(caller.send(path=path, token=None), 404, "1000")


PATHS = {
    "/v1/customers/{}/qualifications": {"GET", "POST"},
    "/v1/customers/{}/qualification": {"GET", "PUT"},
    "/v1/customers/{}/validations": {"GET"},
    "/v1/customers/all/validations": {"GET"},
    "/{}/oauth2/token": {"POST"},
    "/health/live": {"GET"},
    "/openapi.json": {"GET"},
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"])
@pytest.mark.parametrize("path", PATHS)
def test_a_method_that_the_path_has_not_is_told_those_that_it_has(caller: Caller, path: str, method: str) -> None:
    if method in PATHS[path]:
        assert caller.send(*JSON, method=method, path=path.format(caller.customer), body=b"{}").status != 405
        return
    answer = caller.send(method=method, path=path.format(caller.customer))
    refused(answer, 405, "3000", bodiless=method == "HEAD")
    allowed = set(re.split(r", *", answer.headers["Allow"]))
    assert allowed - {"OPTIONS"} == PATHS[path]


@pytest.mark.parametrize("method", ["BREW", "get", "G\0T"])
def test_a_method_of_no_http_is_no_http(caller: Caller, method: str) -> None:
    answer = caller.send(method=method)
    assert (answer.status, answer.headers["Connection"], answer.rest) == (400, "close", b"")


def test_an_upgrade_is_not_taken(caller: Caller) -> None:
    answer = caller.send(
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    assert (answer.status, answer.body) == (200, b"[]")
    carried(answer)


# Requests that end early: what the log makes of them is looked at with all the rest, at the end


@pytest.mark.parametrize("cut", ["head", "body", "chunk", "bad chunk"])
@pytest.mark.parametrize("path", ["/v1/customers/{}/qualifications", "/{}/oauth2/token"])
def test_a_request_that_breaks_off_is_no_fault(caller: Caller, cut: str, path: str) -> None:
    where = path.format(caller.customer)
    chunked = (*JSON, "Transfer-Encoding: chunked")
    request = {
        "head": caller.request(*JSON, method="POST", path=where)[:-2],
        "body": caller.request(*JSON, method="POST", path=where, body=b'{"qualification": "Education"}')[:-1],
        "chunk": caller.request(*chunked, method="POST", path=where) + b'ff\r\n{"qual',
        "bad chunk": caller.request(*chunked, method="POST", path=where) + b"zz\r\n{}\r\n",
    }[cut].replace(
        b"application/json", b"application/x-www-form-urlencoded" if "oauth2" in path else b"application/json"
    )
    address = urlsplit(caller.partner.service.url)
    with socket.create_connection((address.hostname, address.port), DEADLINE) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 500 " not in answer and not STACK.search(answer.decode())
    assert caller.untouched()
    assert caller.send().body == b"[]"
