"""The operations of contract section 3 as a client sees them, with what sections 1, 2, 4 and 5 ask of each."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from accredit.identity.authority import LocalAuthority
from accredit.partners import seed
from accredit.vetting.review import store as review
from tests.conftest import AUDIENCE, DEADLINE, Decisions, Partner, Service

Qualify = Callable[..., httpx.Response]

GCC = "GovernmentCommunityCloud"
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ETAG = re.compile(r"""W/"datetime'\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\d\.\d{7}Z'\"""")
JSON = "application/json; charset=utf-8"

READS = ("qualifications", "qualification", "validations")
"""The paths below a customer that have a GET."""


@pytest.fixture(scope="module")
def stock(service: Service) -> Iterator[tuple[Partner, UUID]]:
    """Partners with a customer each, registered at once: one by one, that is most of the time these tests take."""
    pairs = [(Partner(service), uuid4()) for _ in range(500)]
    partners = [
        {
            "id": str(partner.id),
            "name": "Test Partner",
            "customers": [{"id": str(id), "companyName": "Test Customer", "domain": f"{id.hex}.onmicrosoft.com"}],
        }
        for partner, id in pairs
    ]
    seed.register(service.database_url, seed.parse(json.dumps({"partners": partners}).encode()))
    return iter(pairs)


@pytest.fixture
def pair(stock: Iterator[tuple[Partner, UUID]]) -> tuple[Partner, UUID]:
    """A partner of the test's own, and its customer."""
    return next(stock)


@pytest.fixture
def partner(pair: tuple[Partner, UUID]) -> Partner:
    """A partner of the test's own."""
    return pair[0]


@pytest.fixture
def customer(pair: tuple[Partner, UUID]) -> UUID:
    """The partner's customer, without a domain: what it asks for waits for a person."""
    return pair[1]


@pytest.fixture(scope="module")
def authority(service: Service) -> LocalAuthority:
    """The service's own authority, with its key read once."""
    return LocalAuthority(service.home)


@pytest.fixture
def client(partner: Partner, authority: LocalAuthority) -> Iterator[httpx.Client]:
    """The partner's administrator, as ``partner.client()`` but without reading key and certificates for each test."""
    token = authority.issue_app_user(
        partner.user,
        mfa=True,
        partner_id=partner.id,
        application_id=partner.application_id,
        audience=AUDIENCE,
        base_url=partner.service.url,
    )
    headers = {"Authorization": f"Bearer {token.text}"}
    with httpx.Client(base_url=partner.service.url, headers=headers, timeout=DEADLINE, verify=False) as client:
        yield client


def refused(answer: httpx.Response, status: int, code: str, *named: str) -> None:
    """Assert that ``answer`` is this error, in the contract's form, and that its description names ``named``."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    body = answer.json()
    assert list(body) == ["code", "description", "data", "source"]
    assert 0 < len(body["description"]) <= 1024
    assert body["data"] == []
    assert body["source"]
    assert answer.headers["content-type"] == JSON
    for name in named:
        assert name in body["description"]


def case_id(service: Service, customer: UUID, qualification: str) -> UUID:
    with service.database() as connection:
        query = "SELECT id FROM qualifications WHERE customer_id = %s AND qualification = %s"
        row = connection.execute(query, (customer, qualification)).fetchone()
    assert row
    return row[0]


def decide(service: Service, customer: UUID, qualification: str = "Education", *, reason: str | None = None) -> None:
    """Decide as a reviewer: approve, or deny for a reason."""

    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(service.database_url) as connection:
            case = case_id(service, customer, qualification)
            await review.decide(connection, case, reason=reason, note=None, reviewer="a test")

    asyncio.run(work())


def deny(service: Service, customer: UUID, qualification: str = "Education") -> None:
    decide(
        service,
        customer,
        qualification,
        reason="Not an eligible Library" if qualification == "Education" else "Not a Government Customer",
    )


def listed(client: httpx.Client, customer: UUID) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/customers/{customer}/qualifications")
    assert answer.status_code == 200
    return answer.json()


def codes(client: httpx.Client) -> dict[str, dict[str, Any]]:
    answer = client.get("/v1/customers/all/validations")
    assert answer.status_code == 200
    return {code["validationId"]: code for code in answer.json()}


def asked(service: Service, customer: UUID) -> dict[str, Any]:
    """The request as it was stored, for what no operation shows yet."""
    with service.database() as connection:
        query = "SELECT education_segment, website, validation_id FROM qualifications WHERE customer_id = %s"
        row = connection.execute(query, (customer,)).fetchone()
    assert row
    return dict(zip(("education_segment", "website", "validation_id"), row, strict=True))


# Section 1: what every call carries


def calls(customer: UUID) -> dict[str, Callable[[httpx.Client], httpx.Response]]:
    path = f"/v1/customers/{customer}/qualifications"
    return {
        "200": lambda client: client.get(path),
        "201": lambda client: client.post(path, json={"qualification": "StateOwnedEntity"}),
        "400": lambda client: client.get("/v1/customers/nobody/qualifications"),
        "401": lambda client: client.get(path, headers={"Authorization": "Bearer nonsense"}),
        "403": lambda client: client.get(f"/v1/customers/{uuid4()}/qualifications"),
        "404": lambda client: client.get("/v1/nothing"),
        "405": lambda client: client.delete(path),
        "406": lambda client: client.get(path, headers={"Accept": "text/html"}),
        "409": lambda client: [client.post(path, json={"qualification": "Education"}) for _ in range(2)][1],
        "413": lambda client: client.post(path, content=b" " * (1 << 20) + b"{}"),
        "415": lambda client: client.post(path, content=b"{}", headers={"Content-Type": "text/plain"}),
    }


@pytest.mark.parametrize("status", ["200", "201", "400", "401", "403", "404", "405", "406", "409", "413", "415"])
def test_every_answer_carries_the_headers(client: httpx.Client, customer: UUID, status: str) -> None:
    answer = calls(customer)[status](client)
    assert answer.status_code == int(status)
    assert GUID.fullmatch(answer.headers["MS-RequestId"])
    assert GUID.fullmatch(answer.headers["MS-CorrelationId"])
    assert answer.headers["MS-CV"]
    assert answer.headers["MS-ServerId"]
    assert answer.headers["X-Locale"] == "en-US"
    assert abs(parsedate_to_datetime(answer.headers["Date"]) - datetime.now(UTC)) < timedelta(minutes=5)
    assert answer.headers["Content-Type"] == JSON
    for name in ("MS-RequestId", "MS-CorrelationId", "MS-CV", "MS-ServerId", "X-Locale", "Date", "Content-Type"):
        assert len(answer.headers.get_list(name)) == 1


@pytest.mark.parametrize("status", ["200", "201", "400", "401", "403", "404", "405", "406", "409", "413", "415"])
def test_identifiers_are_echoed_in_lower_case(client: httpx.Client, customer: UUID, status: str) -> None:
    request_id, correlation_id = str(uuid4()), str(uuid4())
    headers = {"ms-requestID": request_id.upper(), "MS-CORRELATIONID": correlation_id, "x-LOCALE": "de-CH"}
    client.headers.update(headers)
    answer = calls(customer)[status](client)
    if status == "409":
        assert answer.status_code == 201  # the same request again: section 6
    assert answer.headers["MS-RequestId"] == request_id
    assert answer.headers["MS-CorrelationId"] == correlation_id
    assert answer.headers["X-Locale"] == "de-CH"


def test_identifiers_are_made_new_for_each_call(client: httpx.Client, customer: UUID) -> None:
    answers = [client.get(f"/v1/customers/{customer}/qualification") for _ in range(3)]
    for name in ("MS-RequestId", "MS-CorrelationId", "MS-CV"):
        assert len({answer.headers[name] for answer in answers}) == 3


@pytest.mark.parametrize("name", ["MS-RequestId", "MS-CorrelationId"])
@pytest.mark.parametrize(
    "value", ["", "1", "{01234567-89ab-cdef-0123-456789abcdef}", "0123456789abcdef0123456789abcdef", "g" * 36]
)
def test_a_malformed_identifier_is_refused_and_named(
    client: httpx.Client, customer: UUID, name: str, value: str
) -> None:
    other = str(uuid4())
    headers = {"MS-RequestId": other, "MS-CorrelationId": other, name: value}
    answer = client.get(f"/v1/customers/{customer}/qualifications", headers=headers)
    refused(answer, 400, "3000", name)
    assert GUID.fullmatch(answer.headers[name])
    assert answer.headers[({"MS-RequestId", "MS-CorrelationId"} - {name}).pop()] == other


@pytest.mark.parametrize("locale", ["en-US", "fr", "zh-Hant-TW", "sr-Latn-RS"])
def test_a_culture_is_echoed(client: httpx.Client, customer: UUID, locale: str) -> None:
    answer = client.get(f"/v1/customers/{customer}/qualifications", headers={"X-Locale": locale})
    assert answer.headers["X-Locale"] == locale


@pytest.mark.parametrize("locale", ["", "*", "en_US", "<script>", "en-US, de", "x" * 300])
def test_what_is_no_culture_counts_as_absent(client: httpx.Client, customer: UUID, locale: str) -> None:
    answer = client.get(f"/v1/customers/{customer}/qualifications", headers={"X-Locale": locale})
    assert answer.status_code == 200
    assert answer.headers["X-Locale"] == "en-US"


@pytest.mark.parametrize("version", ["v2", "1", "", "v1.0", "v1, v1"])
def test_another_contract_version_is_refused(client: httpx.Client, customer: UUID, version: str) -> None:
    path = f"/v1/customers/{customer}/qualifications"
    assert client.get(path, headers={"MS-Contract-Version": "v1"}).status_code == 200
    refused(client.get(path, headers={"MS-Contract-Version": version}), 400, "3000", "MS-Contract-Version")


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "application/json",
        "text/json",
        "*/*",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;q=0.5",
        "text/html, application/xhtml+xml, */*;q=0.8",
        "application/json, text/plain, */*",
    ],
)
def test_accepting_json_is_answered(client: httpx.Client, customer: UUID, accept: str | None) -> None:
    if accept is None:
        del client.headers["Accept"]
    else:
        client.headers["Accept"] = accept
    answer = client.get(f"/v1/customers/{customer}/qualifications")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == JSON


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "json", "image/*", "application/json;q=0", ","])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_accepting_no_json_is_refused(
    client: httpx.Client, customer: UUID, qualify: Qualify, accept: str, method: str
) -> None:
    headers = {"Accept": accept}
    answer = (
        qualify(client, customer, headers=headers)
        if method == "POST"
        else client.get(f"/v1/customers/{customer}/qualifications", headers=headers)
    )
    refused(answer, 406, "3000", "Accept")
    assert listed(client, customer) == []


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "text/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "text/json ; charset=utf-8",
    ],
)
def test_json_by_any_of_its_names_is_read(client: httpx.Client, customer: UUID, content_type: str) -> None:
    answer = client.post(
        f"/v1/customers/{customer}/qualifications",
        content=b'{"qualification": "Education"}',
        headers={"Content-Type": content_type},
    )
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/xml", "application/x-www-form-urlencoded", "application/json-patch+json"],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "qualifications"), ("PUT", "qualification")])
def test_another_media_type_is_refused(
    client: httpx.Client, customer: UUID, content_type: str | None, method: str, path: str
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    body = b'{"qualification": "Education"}' if method == "POST" else b'"Education"'
    answer = client.request(method, f"/v1/customers/{customer}/{path}", content=body, headers=headers)
    refused(answer, 415, "3000", "Content-Type")
    assert listed(client, customer) == []


@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
@pytest.mark.parametrize("mfa", [True, False])
def test_validate_mfa_is_answered(partner: Partner, customer: UUID, value: str, mfa: bool) -> None:
    with partner.client(partner.token(mfa=mfa)) as client:
        answer = client.get(f"/v1/customers/{customer}/qualifications", headers={"validatemfa": value})
    assert answer.status_code == (200 if mfa else 403)
    assert ("ismfacompliant", str(mfa).lower()) in answer.headers.multi_items()


@pytest.mark.parametrize("value", [None, "false", "1", ""])
def test_mfa_is_not_told_unasked(client: httpx.Client, customer: UUID, value: str | None) -> None:
    headers = {} if value is None else {"ValidateMfa": value}
    answer = client.get(f"/v1/customers/{customer}/qualifications", headers=headers)
    assert answer.status_code == 200
    assert "isMfaCompliant" not in answer.headers


def test_the_client_s_own_words_go_to_the_audit_record(
    service: Service, client: httpx.Client, customer: UUID, qualify: Qualify
) -> None:
    headers = {
        "MS-PartnerCenter-Application": "Contoso Portal",
        "MS-PartnerCenter-Client": "Partner Center .NET SDK",
        "MS-SdkVersion": "3.4.0",
        "MS-RequestId": str(uuid4()),
        "MS-CorrelationId": str(uuid4()),
    }
    qualify(client, customer, headers=headers)
    with service.database() as connection:
        row = connection.execute(
            "SELECT customized_data FROM audit_records WHERE customer_id = %s AND operation_type LIKE 'update%%'",
            (customer,),
        )
        (data,) = row.fetchone() or ()
    assert {one["key"].lower(): one["value"] for one in data} == {name.lower(): text for name, text in headers.items()}


@pytest.mark.parametrize("property_name", ["qualification", "Qualification", "QUALIFICATION", "qUALIFICATION"])
def test_property_names_match_in_any_case(client: httpx.Client, customer: UUID, property_name: str) -> None:
    answer = client.post(f"/v1/customers/{customer}/qualifications", json={property_name: "Education"})
    assert answer.status_code == 201
    assert list(answer.json()) == ["qualification", "vettingStatus", "vettingCreateDate"]


def test_null_equals_absent_and_unknown_properties_are_ignored(
    service: Service, client: httpx.Client, customer: UUID, qualify: Qualify
) -> None:
    nulls = {"EducationSegment": None, "website": None, "ValidationCode": None}
    unknown = {"vettingStatus": "Approved", "vettingReason": 7, "else": {"deep": [None]}}
    assert qualify(client, customer, **nulls, **unknown).status_code == 201
    assert listed(client, customer)[0]["vettingStatus"] == "InReview"
    assert set(asked(service, customer).values()) == {None}


@pytest.mark.parametrize("body", [{}, {"qualification": None}, {"Website": "contoso.com"}])
def test_the_missing_property_is_named(client: httpx.Client, customer: UUID, body: dict[str, Any]) -> None:
    refused(client.post(f"/v1/customers/{customer}/qualifications", json=body), 400, "3000", "qualification")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \r\n",
        b"{",
        b"qualification=Education",
        b'{"qualification": "Education",}',
        b'{"qualification": "Education"} // a comment',
        b'{"qualification": /* a comment */ "Education"}',
        b"{'qualification': 'Education'}",
        b'{"qualification": "Education"}{}',
        b'{"qualification": "\xff"}',
        b'{"qualification": "\\ud800"}',
        b'{"qualification": NaN}',
        b"[" * 100_000,
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    ],
    ids=range(14),
)
@pytest.mark.parametrize(("method", "path"), [("POST", "qualifications"), ("PUT", "qualification")])
def test_what_is_not_json_is_refused(client: httpx.Client, customer: UUID, body: bytes, method: str, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.request(method, f"/v1/customers/{customer}/{path}", content=body, headers=headers)
    refused(answer, 400, "800002")


@pytest.mark.parametrize("body", ["[]", "null", "1", '"Education"', "true", '[{"qualification": "Education"}]'])
def test_a_body_that_is_no_object_is_refused(client: httpx.Client, customer: UUID, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post(f"/v1/customers/{customer}/qualifications", content=body, headers=headers)
    refused(answer, 400, "800002", "object")


def test_a_mebibyte_is_read_and_no_more(client: httpx.Client, customer: UUID) -> None:
    path, headers = f"/v1/customers/{customer}/qualifications", {"Content-Type": "application/json"}
    body = b'{"qualification": "Education"}'
    over = client.post(path, content=body.rjust((1 << 20) + 1), headers=headers)
    refused(over, 413, "3000")

    def chunks() -> Iterator[bytes]:
        for _ in range(17):
            yield b" " * (1 << 16)
        yield body

    refused(client.post(path, content=chunks(), headers=headers), 413, "3000")
    assert listed(client, customer) == []
    assert client.post(path, content=body.rjust(1 << 20), headers=headers).status_code == 201


@pytest.mark.parametrize("path", ["/v1", "/v1/customer", "/v1/customers/{}/nothing", "/nothing"])
def test_no_such_path(client: httpx.Client, customer: UUID, path: str) -> None:
    refused(client.get(path.format(customer)), 404, "1000")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "{}/qualifications", {"GET", "POST"}),
        ("PATCH", "{}/qualifications", {"GET", "POST"}),
        ("PUT", "{}/qualifications", {"GET", "POST"}),
        ("POST", "{}/qualification", {"GET", "PUT"}),
        ("POST", "{}/validations", {"GET"}),
        ("DELETE", "all/validations", {"GET"}),
    ],
)
def test_another_method_is_told_those_there_are(
    client: httpx.Client, customer: UUID, method: str, path: str, allowed: set[str]
) -> None:
    answer = client.request(method, "/v1/customers/" + path.format(customer))
    refused(answer, 405, "3000")
    assert set(re.split(r", *", answer.headers["Allow"])) - {"OPTIONS"} == allowed


# Section 2: who is calling


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer not.a.token", "Basic YTpi"])
@pytest.mark.parametrize("path", [*(f"{{}}/{path}" for path in READS), "all/validations"])
def test_without_a_token_nothing_is_told(
    service: Service, customer: UUID, authorization: str | None, path: str
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = httpx.get(f"{service.url}/v1/customers/{path.format(customer)}", headers=headers, verify=False)
    refused(answer, 401, "400")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_retired_audience(partner: Partner, customer: UUID) -> None:
    with partner.client(partner.token(audience="https://graph.windows.net")) as client:
        answer = client.get(f"/v1/customers/{customer}/qualifications")
    refused(answer, 401, "900420")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_partner_that_is_not_registered(service: Service, customer: UUID) -> None:
    with Partner(service).client() as client:
        answer = client.get(f"/v1/customers/{customer}/qualifications")
    refused(answer, 401, "400")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_app_only_token_reads_and_does_not_write(partner: Partner, customer: UUID, qualify: Qualify) -> None:
    partner.code()
    with partner.client(partner.token(app_only=True)) as client:
        for path in READS:
            assert client.get(f"/v1/customers/{customer}/{path}").status_code == 200
        assert list(codes(client)) == ["12345"]
        refused(qualify(client, customer), 403, "900329")
        refused(client.put(f"/v1/customers/{customer}/qualification", json=1), 403, "900329")
        assert listed(client, customer) == []


def test_a_user_without_mfa_may_nothing(partner: Partner, customer: UUID, qualify: Qualify) -> None:
    with partner.client(partner.token(mfa=False)) as client:
        for path in READS:
            refused(client.get(f"/v1/customers/{customer}/{path}"), 403, "900308")
        refused(client.get("/v1/customers/all/validations"), 403, "900308")
        refused(qualify(client, customer), 403, "900308")
        refused(client.put(f"/v1/customers/{customer}/qualification", json=1), 403, "900308")


@pytest.mark.parametrize("roles", [("AdminAgent",), ("SalesAgent",), ("HelpdeskAgent", "SalesAgent")])
def test_roles_that_write(partner: Partner, customer: UUID, qualify: Qualify, roles: tuple[str, ...]) -> None:
    with partner.client(partner.token(roles=roles)) as client:
        assert qualify(client, customer).status_code == 201


@pytest.mark.parametrize("roles", [(), ("HelpdeskAgent",), ("Admin", "adminagents")])
def test_roles_that_only_read(partner: Partner, customer: UUID, qualify: Qualify, roles: tuple[str, ...]) -> None:
    with partner.client(partner.token(roles=roles)) as client:
        refused(qualify(client, customer), 403, "900150")
        refused(client.put(f"/v1/customers/{customer}/qualification", json=1), 403, "900150")
        assert listed(client, customer) == []


# Section 3: POST and GET of qualifications


def test_an_education_customer_is_approved(
    partner: Partner, client: httpx.Client, decisions: Decisions, qualify: Qualify
) -> None:
    customer = partner.customer("{}.k12.or.us")
    answer = qualify(client, customer)
    assert answer.status_code == 201
    body = answer.json()
    assert list(body) == ["qualification", "vettingStatus", "vettingCreateDate"]
    assert body["qualification"] == "Education"
    assert body["vettingStatus"] == "InReview"
    assert DATE.fullmatch(body["vettingCreateDate"])
    assert decisions.wait(customer) == "Approved"
    (one,) = listed(client, customer)
    assert one == {
        "qualification": "Education",
        "vettingStatus": "Approved",
        "vettingCreateDate": body["vettingCreateDate"],
        "vettingCreatedDate": body["vettingCreateDate"],
    }
    assert client.get(f"/v1/customers/{customer}/qualification").json() == "education"


def test_a_government_customer_is_approved(
    partner: Partner, client: httpx.Client, decisions: Decisions, qualify: Qualify
) -> None:
    code, customer = partner.code(organization="Contoso County"), partner.customer("{}.gov", name="Contoso County")
    answer = qualify(client, customer, GCC, code=code)
    assert answer.status_code == 201
    assert answer.json() | {"vettingCreateDate": ""} == {
        "qualification": GCC,
        "vettingStatus": "InReview",
        "vettingCreateDate": "",
    }
    assert decisions.wait(customer, GCC) == "Approved"
    assert [one["vettingStatus"] for one in listed(client, customer)] == ["Approved"]
    assert client.get(f"/v1/customers/{customer}/qualification").json() == "governmentcommunitycloud"


def test_a_customer_of_free_mail_domains_is_denied(
    client: httpx.Client, partner: Partner, decisions: Decisions, qualify: Qualify
) -> None:
    customer = partner.customer("{}.gmail.com")
    date = qualify(client, customer).json()["vettingCreateDate"]
    assert decisions.wait(customer) == "Denied"
    assert listed(client, customer) == [
        {
            "qualification": "Education",
            "vettingStatus": "Denied",
            "vettingReason": "Not an Academic Domain",
            "vettingCreateDate": date,
            "vettingCreatedDate": date,
        }
    ]


def test_a_customer_without_qualifications_has_an_empty_array(client: httpx.Client, customer: UUID) -> None:
    answer = client.get(f"/v1/customers/{customer}/qualifications")
    assert (answer.status_code, answer.content) == (200, b"[]")


def test_the_date_is_that_of_the_request(client: httpx.Client, customer: UUID, qualify: Qualify) -> None:
    before = datetime.now(UTC)
    date = datetime.fromisoformat(qualify(client, customer).json()["vettingCreateDate"])
    assert before <= date <= datetime.now(UTC)


@pytest.mark.parametrize(
    "name", ["Education", "education", "EDUCATION", "eDUCATION", "StateOwnedEntity", "stateownedentity", GCC.lower()]
)
def test_names_of_the_enum_in_any_case(
    partner: Partner, client: httpx.Client, customer: UUID, qualify: Qualify, name: str
) -> None:
    answer = qualify(client, customer, name, code=partner.code())
    assert answer.status_code == 201
    assert answer.json()["qualification"] in ("Education", GCC, "StateOwnedEntity")
    assert answer.json()["qualification"].lower() == name.lower()
    assert [one["qualification"] for one in listed(client, customer)] == [answer.json()["qualification"]]


@pytest.mark.parametrize("name", ["None", "none", "Nonprofit", "NONPROFIT"])
def test_names_that_cannot_be_set(client: httpx.Client, customer: UUID, qualify: Qualify, name: str) -> None:
    refused(qualify(client, customer, name), 400, "3000", "ualification")
    assert listed(client, customer) == []


@pytest.mark.parametrize("name", ["", "Edu", "Education ", "1", "Éducation", "education\0", "state_owned_entity"])
def test_names_that_are_none_of_the_enum(client: httpx.Client, customer: UUID, qualify: Qualify, name: str) -> None:
    refused(qualify(client, customer, name), 400, "900126", "qualification")


@pytest.mark.parametrize("value", [1, 0, True, 1.5, [], ["Education"], {}, {"value": "Education"}])
def test_a_qualification_that_is_no_string(client: httpx.Client, customer: UUID, qualify: Qualify, value: Any) -> None:
    refused(qualify(client, customer, value), 400, "3000", "qualification")


@pytest.mark.parametrize(
    ("segment", "stored"),
    [("K12", "K12"), ("k12", "K12"), ("HigherEducation", "HigherEducation"), ("HIGHEREDUCATION", "HigherEducation")],
)
def test_an_education_segment_goes_with_education(
    service: Service, client: httpx.Client, customer: UUID, qualify: Qualify, segment: str, stored: str
) -> None:
    assert qualify(client, customer, educationsegment=segment).status_code == 201
    assert asked(service, customer)["education_segment"] == stored


@pytest.mark.parametrize(
    ("qualification", "segment", "error"),
    [
        ("StateOwnedEntity", "K12", "3000"),
        (GCC, "K12", "3000"),
        ("Education", "K-12", "900126"),
        ("Education", "", "900126"),
        ("Education", 12, "3000"),
        ("Education", ["K12"], "3000"),
    ],
)
def test_an_education_segment_that_is_refused(
    partner: Partner,
    client: httpx.Client,
    customer: UUID,
    qualify: Qualify,
    qualification: str,
    segment: Any,
    error: str,
) -> None:
    answer = qualify(client, customer, qualification, code=partner.code(), educationSegment=segment)
    refused(answer, 400, error, "educationSegment")
    assert listed(client, customer) == []


@pytest.mark.parametrize(
    "website",
    [
        "contoso.com",
        "www.Contoso.COM",
        "http://contoso.com",
        "HTTPS://contoso.com:8443/about?x=1#top",
        "contoso.com/path",
        "contoso.com.",
        "bücher.example",
        "xn--bcher-kva.example",
        "https://大学.cn/",
    ],
)
def test_websites_that_are_taken(
    service: Service, client: httpx.Client, customer: UUID, qualify: Qualify, website: str
) -> None:
    assert qualify(client, customer, Website=website).status_code == 201
    assert asked(service, customer)["website"] == website


@pytest.mark.parametrize(
    "website",
    [
        "",
        " ",
        "contoso",
        "localhost",
        "127.0.0.1",
        "http://[::1]/",
        "https://0x7f.1/",
        "ftp://contoso.com",
        "javascript://contoso.com/%0aalert(1)",
        "mailto:admin@contoso.com",
        "https://user:password@contoso.com/",
        "user@contoso.com",
        "https:///path",
        "contoso..com",
        "-contoso.com",
        "con toso.com",
        "contoso.com\r\nX: y",
        "contoso.com:99999",
        "contoso.com\0",
        f"{'x' * 64}.com",
        f"https://contoso.com/{'x' * 2048}",
        1,
        True,
        ["contoso.com"],
        {},
    ],
)
def test_websites_that_are_refused(client: httpx.Client, customer: UUID, qualify: Qualify, website: Any) -> None:
    refused(qualify(client, customer, website=website), 400, "3000", "website")
    assert listed(client, customer) == []


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("code=12345", {}),
        ("Code=12345", {}),
        ("CODE=12345", {}),
        ("", {"validationCode": "12345"}),
        ("", {"VALIDATIONCODE": 12345}),
        ("code=12345", {"ValidationCode": "12345"}),
        ("code=12345", {"validationCode": 12345}),
        ("code=12345&code=12345", {}),
        ("code=12345&other=1", {"validationCode": None}),
    ],
)
def test_a_validation_code_in_body_or_query(
    service: Service, partner: Partner, client: httpx.Client, customer: UUID, query: str, body: dict[str, Any]
) -> None:
    partner.code(creates=1)
    answer = client.post(f"/v1/customers/{customer}/qualifications?{query}", json={"qualification": GCC, **body})
    assert answer.status_code == 201, answer.text
    assert codes(client)["12345"]["remainingCreates"] == 0
    assert asked(service, customer)["validation_id"] == "12345"


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("code=12345", "54321"),
        ("code=12345", 54321),
        ("code=12345&code=54321", None),
        ("code=12345&Code=54321", "12345"),
        ("", True),
        ("", 12345.0),
        ("", ["12345"]),
        ("", {"id": "12345"}),
    ],
)
@pytest.mark.parametrize("qualification", [GCC, "Education"])
def test_a_validation_code_that_is_contradicted_or_of_a_wrong_type(
    partner: Partner, client: httpx.Client, customer: UUID, query: str, value: Any, qualification: str
) -> None:
    partner.code(creates=1)
    partner.code("54321", creates=1)
    body = {"qualification": qualification, "validationCode": value}
    answer = client.post(f"/v1/customers/{customer}/qualifications?{query}", json=body)
    refused(answer, 400, "3000", "validationCode")
    assert [code["remainingCreates"] for code in codes(client).values()] == [1, 1]


@pytest.mark.parametrize("value", [None, "", "99999", 99999, "012345", "-12345", "abc", "12345 ", "1" * 100])
def test_government_needs_a_code_of_this_partner(
    service: Service, partner: Partner, client: httpx.Client, customer: UUID, qualify: Qualify, value: Any
) -> None:
    partner.code(creates=1)
    service.partner().code("99999", creates=1)
    refused(qualify(client, customer, GCC, validationCode=value), 400, "700003")
    assert listed(client, customer) == []
    assert codes(client)["12345"]["remainingCreates"] == 1


def test_another_partner_s_code_is_not_touched(
    service: Service, client: httpx.Client, customer: UUID, qualify: Qualify
) -> None:
    other = service.partner()
    other.code("777", creates=1)
    with other.client() as others:
        before = codes(others)
        refused(qualify(client, customer, GCC, code="777"), 400, "700003")
        assert codes(others) == before


def test_education_takes_no_create(partner: Partner, client: httpx.Client, customer: UUID, qualify: Qualify) -> None:
    partner.code(creates=1)
    before = codes(client)
    assert qualify(client, customer, code="12345").status_code == 201
    assert codes(client) == before


# Section 4: the life of a qualification


def test_a_state_owned_entity_is_set_at_once_and_again(
    service: Service, client: httpx.Client, customer: UUID, qualify: Qualify
) -> None:
    for _ in range(4):
        answer = qualify(client, customer, "StateOwnedEntity")
        assert (answer.status_code, answer.json()) == (201, {"qualification": "StateOwnedEntity"})
    assert listed(client, customer) == [{"qualification": "StateOwnedEntity"}]
    assert client.get(f"/v1/customers/{customer}/qualification").json() == "none"
    with service.database() as connection:
        count = connection.execute(
            "SELECT count(*) FROM audit_records WHERE customer_id = %s AND operation_type LIKE 'update%%'", (customer,)
        ).fetchone()
    assert count == (1,)


@pytest.mark.parametrize("vetted", ["Education", GCC])
@pytest.mark.parametrize("first", [True, False])
def test_a_state_owned_entity_goes_with_either(
    partner: Partner, client: httpx.Client, customer: UUID, qualify: Qualify, vetted: str, first: bool
) -> None:
    code = partner.code()
    order = ["StateOwnedEntity", vetted] if first else [vetted, "StateOwnedEntity"]
    for qualification in order:
        assert qualify(client, customer, qualification, code=code).status_code == 201
    assert [one["qualification"] for one in listed(client, customer)] == order


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize("qualification", ["Education", GCC])
def test_what_stands_cannot_be_overridden(
    service: Service,
    partner: Partner,
    client: httpx.Client,
    customer: UUID,
    qualify: Qualify,
    qualification: str,
    approved: bool,
) -> None:
    code = partner.code(creates=3)
    assert qualify(client, customer, qualification, code=code).status_code == 201
    if approved:
        decide(service, customer, qualification)
    before = listed(client, customer), codes(client)
    status = "Approved" if approved else "InReview"
    refused(qualify(client, customer, qualification, code=code), 409, "700001", qualification, status)
    assert (listed(client, customer), codes(client)) == before


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize(("standing", "wanted"), [("Education", GCC), (GCC, "Education")])
def test_education_and_government_exclude_each_other(
    service: Service,
    partner: Partner,
    client: httpx.Client,
    customer: UUID,
    qualify: Qualify,
    standing: str,
    wanted: str,
    approved: bool,
) -> None:
    code = partner.code(creates=3)
    assert qualify(client, customer, standing, code=code).status_code == 201
    if approved:
        decide(service, customer, standing)
    before = listed(client, customer), codes(client)
    refused(qualify(client, customer, wanted, code=code), 409, "700002", standing, wanted)
    assert (listed(client, customer), codes(client)) == before


@pytest.mark.parametrize(("denied", "wanted"), [("Education", GCC), (GCC, "Education")])
def test_a_denied_one_excludes_nothing(
    service: Service,
    partner: Partner,
    client: httpx.Client,
    customer: UUID,
    qualify: Qualify,
    denied: str,
    wanted: str,
) -> None:
    code = partner.code(creates=1)
    qualify(client, customer, denied, code=code)
    deny(service, customer, denied)
    assert qualify(client, customer, wanted, code=code).status_code == 201
    assert [(one["qualification"], one["vettingStatus"]) for one in listed(client, customer)] == [
        (denied, "Denied"),
        (wanted, "InReview"),
    ]


def test_the_list_is_oldest_first(service: Service, client: httpx.Client, customer: UUID, qualify: Qualify) -> None:
    qualify(client, customer)
    qualify(client, customer, "StateOwnedEntity")
    assert [one["qualification"] for one in listed(client, customer)] == ["Education", "StateOwnedEntity"]
    deny(service, customer)
    assert [one["qualification"] for one in listed(client, customer)] == ["Education", "StateOwnedEntity"]
    qualify(client, customer)
    assert [one["qualification"] for one in listed(client, customer)] == ["StateOwnedEntity", "Education"]


@pytest.mark.parametrize(
    ("qualification", "reasons"),
    [
        (
            "Education",
            ["Not an eligible Library", *["Not an Education Customer - After Review"] * 2],
        ),
        (GCC, ["Not a Government Customer", *["Not a Government Customer - After Review"] * 2]),
    ],
)
def test_it_may_be_asked_for_three_times(
    service: Service,
    partner: Partner,
    client: httpx.Client,
    customer: UUID,
    qualify: Qualify,
    qualification: str,
    reasons: list[str],
) -> None:
    code = partner.code(creates=1)
    dates = []
    for reason in reasons:
        answer = qualify(client, customer, qualification, code=code)
        assert answer.status_code == 201
        assert "vettingReason" not in answer.json()
        assert "vettingReason" not in listed(client, customer)[0]
        deny(service, customer, qualification)
        (one,) = listed(client, customer)
        assert (one["vettingStatus"], one["vettingReason"]) == ("Denied", reason)
        assert one["vettingCreateDate"] == one["vettingCreatedDate"] == answer.json()["vettingCreateDate"]
        dates.append(one["vettingCreateDate"])
    assert dates == sorted(set(dates))
    refused(qualify(client, customer, qualification, code=code), 409, "700006", qualification)
    assert listed(client, customer) == [one]
    assert codes(client)[code]["remainingCreates"] == 1


def test_an_approval_at_the_second_request(
    service: Service, client: httpx.Client, customer: UUID, qualify: Qualify
) -> None:
    qualify(client, customer)
    deny(service, customer)
    qualify(client, customer)
    decide(service, customer)
    (one,) = listed(client, customer)
    assert one["vettingStatus"] == "Approved"
    assert "vettingReason" not in one


def test_each_create_is_taken_once_and_a_denial_gives_it_back(
    service: Service, partner: Partner, client: httpx.Client, qualify: Qualify
) -> None:
    code = partner.code(creates=2)
    first, second, third = partner.customers(3)
    etags = [codes(client)[code]["eTag"]]
    for number, customer in enumerate((first, second), 1):
        assert qualify(client, customer, GCC, code=code).status_code == 201
        assert codes(client)[code]["remainingCreates"] == 2 - number
        etags.append(codes(client)[code]["eTag"])
    refused(qualify(client, third, GCC, code=code), 409, "700004", code)
    assert listed(client, third) == []
    assert codes(client)[code]["eTag"] == etags[-1]
    decide(service, second, GCC)
    assert codes(client)[code]["remainingCreates"] == 0
    deny(service, first, GCC)
    assert (codes(client)[code]["maxCreates"], codes(client)[code]["remainingCreates"]) == (2, 1)
    etags.append(codes(client)[code]["eTag"])
    assert qualify(client, third, GCC, code=code).status_code == 201
    assert codes(client)[code]["remainingCreates"] == 0
    etags.append(codes(client)[code]["eTag"])
    assert len(set(etags)) == len(etags) == 5
    assert all(ETAG.fullmatch(etag) for etag in etags)


def test_a_code_with_no_creates_from_the_start(
    partner: Partner, client: httpx.Client, customer: UUID, qualify: Qualify
) -> None:
    refused(qualify(client, customer, GCC, code=partner.code(creates=0)), 409, "700004", "12345")


def test_every_change_of_state_writes_one_audit_record(
    service: Service, partner: Partner, client: httpx.Client, customer: UUID, qualify: Qualify
) -> None:
    qualify(client, customer)
    refused(qualify(client, customer), 409, "700001")
    deny(service, customer)
    qualify(client, customer)
    decide(service, customer)
    with service.database() as connection:
        records = connection.execute(
            """
            SELECT partner_id, customer_name, user_principal_name, application_id, resource_type, operation_type,
                   operation_status, resource_old_value::json ->> 'vettingStatus',
                   resource_new_value::json ->> 'vettingStatus', resource_new_value::json ->> 'vettingReason'
            FROM audit_records WHERE customer_id = %s AND operation_type = 'update_customer_qualification'
            ORDER BY operation_date, id
            """,
            (customer,),
        ).fetchall()
    asked_by = (partner.user.upn, str(partner.application_id))
    assert [record[2:4] for record in records] == [asked_by, (None, None), asked_by, (None, None)]
    assert {record[:2] + record[4:6] for record in records} == {
        (partner.id, "Test Customer", "customer", "update_customer_qualification")
    }
    assert [record[6:] for record in records] == [
        ("progress", None, "InReview", None),
        ("failed", "InReview", "Denied", "Not an eligible Library"),
        ("progress", "Denied", "InReview", None),
        ("succeeded", "InReview", "Approved", None),
    ]


# The older form


@pytest.mark.parametrize(
    ("value", "answered"),
    [
        (1, "education"),
        (3, "governmentcommunitycloud"),
        ("Education", "education"),
        ("EDUCATION", "education"),
        (GCC, "governmentcommunitycloud"),
        ("government_community_cloud", "governmentcommunitycloud"),
        ("GOVERNMENT_COMMUNITY_CLOUD", "governmentcommunitycloud"),
        ("state_owned_entity", "stateownedentity"),
    ],
)
def test_the_older_put_starts_the_same_update(
    partner: Partner, client: httpx.Client, customer: UUID, value: Any, answered: str
) -> None:
    code = partner.code(creates=1)
    answer = client.put(f"/v1/customers/{customer}/qualification?Code={code}", json=value)
    assert (answer.status_code, answer.json()) == (200, answered)
    assert answer.content == f'"{answered}"'.encode()
    (one,) = listed(client, customer)
    assert one["qualification"].lower() == answered
    assert one.get("vettingStatus") == (None if answered == "stateownedentity" else "InReview")
    assert codes(client)[code]["remainingCreates"] == (0 if answered == "governmentcommunitycloud" else 1)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("0", "3000"),
        ("2", "3000"),
        ("4", "3000"),
        ("-1", "3000"),
        (str(10**18), "3000"),
        ("1.0", "3000"),
        ("true", "3000"),
        ("null", "3000"),
        ("[1]", "3000"),
        ('{"qualification": "Education"}', "3000"),
        ('"none"', "3000"),
        ('"NONPROFIT"', "3000"),
        ('"1"', "900126"),
        ('""', "900126"),
        ('"edu"', "900126"),
        ('"government-community-cloud"', "900126"),
        ("1" * 5000, "800002"),
    ],
)
def test_values_that_the_older_put_refuses(client: httpx.Client, customer: UUID, body: str, error: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.put(f"/v1/customers/{customer}/qualification", content=body, headers=headers)
    refused(answer, 400, error)
    assert listed(client, customer) == []


def test_the_older_put_keeps_the_rules(partner: Partner, client: httpx.Client, customer: UUID) -> None:
    path = f"/v1/customers/{customer}/qualification"
    refused(client.put(path, json=3), 400, "700003")
    refused(client.put(f"{path}?code=1&code=2", json=3), 400, "3000", "code")
    assert client.put(path, json=1).status_code == 200
    refused(client.put(path, json=1), 409, "700001")
    refused(client.put(f"{path}?code={partner.code(creates=0)}", json=3), 409, "700002")
    refused(client.put(f"/v1/customers/{partner.customer()}/qualification?code=12345", json=3), 409, "700004")


def test_the_older_get_counts_what_is_approved(
    service: Service, partner: Partner, client: httpx.Client, customer: UUID, qualify: Qualify
) -> None:
    def value() -> Any:
        answer = client.get(f"/v1/customers/{customer}/qualification")
        assert answer.status_code == 200
        return answer.json()

    code = partner.code()
    assert value() == "none"
    qualify(client, customer, "StateOwnedEntity")
    qualify(client, customer)
    assert value() == "none"
    deny(service, customer)
    assert value() == "none"
    qualify(client, customer, GCC, code=code)
    assert value() == "none"
    decide(service, customer, GCC)
    assert value() == "governmentcommunitycloud"


# Validation codes


def test_the_partner_s_codes(partner: Partner, client: httpx.Client) -> None:
    assert client.get("/v1/customers/all/validations").json() == []
    partner.code("200", organization="City of Woodgrove", creates=7)
    partner.code("30")
    answer = client.get("/v1/customers/all/validations")
    body = answer.json()
    for code in body:
        assert ETAG.fullmatch(code.pop("eTag"))
    assert body == [
        {"partnerId": str(partner.id), "organizationName": "Test County", "validationId": "30"},
        {
            "partnerId": str(partner.id),
            "organizationName": "City of Woodgrove",
            "validationId": "200",
            "maxCreates": 7,
            "remainingCreates": 7,
        },
    ]


def test_a_code_without_limit_never_runs_out(partner: Partner, client: httpx.Client, qualify: Qualify) -> None:
    code = partner.code()
    for customer in partner.customers(3):
        assert qualify(client, customer, GCC, code=code).status_code == 201
    assert set(codes(client)[code]) == {"partnerId", "organizationName", "validationId", "eTag"}


def test_the_code_that_a_customer_used(
    service: Service, partner: Partner, client: httpx.Client, customer: UUID, qualify: Qualify
) -> None:
    def used() -> Any:
        answer = client.get(f"/v1/customers/{customer}/validations")
        assert answer.status_code == 200
        return answer.json()

    partner.code("1", creates=5)
    partner.code("2", creates=5)
    assert used() is None
    qualify(client, customer, GCC, code="2")
    assert used() == codes(client)["2"]
    assert used()["remainingCreates"] == 4
    deny(service, customer, GCC)
    assert used() is None
    qualify(client, customer, GCC, code="1")
    decide(service, customer, GCC)
    assert used() == codes(client)["1"]


# Section 5: whose customer it is


@pytest.mark.parametrize(
    "identifier",
    ["nobody", "all", "123", "{01234567-89ab-cdef-0123-456789abcdef}", "0123456789abcdef0123456789abcdef", "%00"],
)
def test_a_customer_id_that_is_no_guid(client: httpx.Client, identifier: str) -> None:
    for path in READS:
        if (identifier, path) != ("all", "validations"):
            refused(client.get(f"/v1/customers/{identifier}/{path}"), 400, "900118")
    body = {"qualification": "Education"}
    refused(client.post(f"/v1/customers/{identifier}/qualifications", json=body), 400, "900118")
    refused(client.put(f"/v1/customers/{identifier}/qualification", json=1), 400, "900118")


def test_a_customer_id_in_upper_case(client: httpx.Client, customer: UUID, qualify: Qualify) -> None:
    assert qualify(client, str(customer).upper()).status_code == 201  # type: ignore[arg-type]
    assert len(listed(client, customer)) == 1


def test_a_foreign_customer_and_none_at_all_are_one_answer(
    service: Service, client: httpx.Client, qualify: Qualify
) -> None:
    other = service.partner()
    foreign, code = other.customer(), other.code()
    answers = []
    for customer in (foreign, uuid4()):
        answers += [client.get(f"/v1/customers/{customer}/{path}") for path in READS]
        answers += [qualify(client, customer, name, code=code) for name in ("Education", GCC, "StateOwnedEntity")]
        answers += [client.put(f"/v1/customers/{customer}/qualification", json=1)]
    for answer in answers:
        refused(answer, 403, "20002")
    assert len({answer.content for answer in answers}) == 1


def test_one_partner_never_sees_the_other(
    service: Service, partner: Partner, client: httpx.Client, customer: UUID, qualify: Qualify
) -> None:
    other = service.partner()
    other.code("1", organization="Other County", creates=3)
    partner.code("1", organization="Own County", creates=5)
    with other.client() as others:
        foreign = other.customer()
        assert qualify(others, foreign, GCC, code="1").status_code == 201
        assert qualify(client, customer, GCC, code="1").status_code == 201
        assert codes(client)["1"]["organizationName"] == "Own County"
        assert codes(client)["1"]["remainingCreates"] == 4
        assert codes(others)["1"]["organizationName"] == "Other County"
        assert codes(others)["1"]["remainingCreates"] == 2
        refused(others.get(f"/v1/customers/{customer}/qualifications"), 403, "20002")
        refused(client.get(f"/v1/customers/{foreign}/validations"), 403, "20002")
        refused(qualify(client, foreign, "StateOwnedEntity"), 403, "20002")
        assert [one["qualification"] for one in listed(others, foreign)] == [GCC]
