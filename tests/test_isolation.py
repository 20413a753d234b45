"""Partner A never sees, counts, or infers anything of partner B, whatever operation it tries with whatever ID.

What A tries is made from the OpenAPI document, so that an operation that is added is tried, too. Two things are told
of others on purpose: whether a domain is taken (contract section 7), by whomever; and, as by every OIDC provider,
whether the local authority, a tool for development, serves a tenant.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.conftest import Partner, Service
from tests.test_contract import case_id, refused
from tests.test_customers import ADDRESS, billing, created, customer, path_of, records
from tests.test_paging import a_filter, first_page, follow, ids, token_of

Qualify = Callable[..., httpx.Response]
GCC = "GovernmentCommunityCloud"
SECRET = "what the application knows"


@dataclass
class World:
    """A partner with a customer, a code, a record and an application."""

    partner: Partner
    customer_id: UUID
    domain: str
    case_id: UUID
    record_id: str
    etag: str

    def everything(self) -> dict[str, bytes]:
        """All that this partner can see of itself."""
        paths = ["/v1/customers?size=500", "/v1/auditrecords?size=500", "/v1/customers/all/validations"]
        paths += [f"/v1/customers/{self.customer_id}{part}" for part in ("", "/qualifications", "/validations")]
        with self.partner.client() as client:
            return {path: client.get(path).content for path in paths}


def world(service: Service, name: str, customers: int) -> World:
    partner = service.partner(validationCodes=[{"validationId": "777", "organizationName": name, "maxCreates": 5}])
    partner.seed(
        applications=[{"id": str(partner.application_id), "secret": SECRET}],
        users=[{"id": str(partner.user.id), "upn": partner.user.upn, "roles": list(partner.user.roles)}],
    )
    partner.code(str(partner.id.int), organization=name)
    id = partner.customers(customers, "{}.gov", name=name)[0]
    with partner.client() as client:
        body = {"qualification": GCC, "validationCode": "777"}
        answer = client.post(f"/v1/customers/{id}/qualifications", json=body)
        assert answer.status_code == 201, answer.text
        etag = client.get(path_of(id)).json()["attributes"]["etag"]
        record = client.get("/v1/auditrecords").json()["items"][0]["id"]
    return World(partner, id, f"d{id.hex}.gov", case_id(service, id, GCC), record, etag)


@pytest.fixture(scope="module")
def ours(service: Service) -> World:
    return world(service, "Alpine Ski House", 2)


@pytest.fixture(scope="module")
def theirs(service: Service) -> World:
    return world(service, "Bellows College", 5)


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    return httpx.get(f"{service.url}/openapi.json").json()


def operations(document: dict[str, Any], parameter: str) -> Iterator[tuple[str, str, str]]:
    """Method, path and ID of every operation with ``parameter`` in its path."""
    for path, methods in document["paths"].items():
        if f"{{{parameter}}}" in path:
            for method, entry in methods.items():
                yield method.upper(), path, entry["operationId"]


BODIES: dict[str, list[Any]] = {
    "CreateCustomerQualification": [
        {"qualification": "Education"},
        {"qualification": "StateOwnedEntity"},
        {"qualification": GCC, "validationCode": "777"},
        {"qualification": "Other"},
    ],
    "UpdateCustomerQualification": [1, "education", 7],
    "UpdateCustomerBillingProfile": [billing(), billing(email="x"), {}],
    "AddVerifiedDomain": [{"verifiedDomainName": "a.invalid"}, {"verifiedDomainName": "a"}, {}],
}
"""What is sent to the operations that take a body: right, and wrong."""


def seen(answer: httpx.Response) -> tuple[int, list[str], bytes]:
    """All of an answer that could tell something: the headers' values are the call's own."""
    return answer.status_code, sorted(answer.headers), answer.content


@pytest.mark.parametrize("kind", ["App+User", "app-only", "without a role"])
def test_a_customer_of_theirs_is_as_one_of_nobody(
    document: dict[str, Any], ours: World, theirs: World, kind: str
) -> None:
    tried, before = set[str](), theirs.everything()
    options: dict[str, Any] = {"app-only": {"app_only": True}, "without a role": {"roles": ()}}.get(kind, {})
    gone = ours.partner.customer()
    with ours.partner.client() as client, ours.partner.client(ours.partner.token(**options)) as caller:
        assert client.delete(f"/v1/customers/{gone}").status_code == 204
        for method, path, name in operations(document, "customer_id"):
            bodies = [b"", b"{", *(json.dumps(body).encode() for body in BODIES[name])] if name in BODIES else [None]
            statuses = set[int]()
            for body, if_match in itertools.product(bodies, (None, theirs.etag, "*")):
                headers = {"Content-Type": "application/json"} | ({"If-Match": if_match} if if_match else {})
                answers = [
                    seen(caller.request(method, path.format(customer_id=id), content=body, headers=headers))
                    for id in (theirs.customer_id, str(theirs.customer_id).upper(), uuid4(), gone)
                ]
                assert all(answer == answers[0] for answer in answers), (method, path, body)
                statuses.add(answers[0][0])
            assert 403 in statuses <= {400, 403}, name  # a body may be refused before the customer is looked for
            tried.add(name)
    assert {"GetCustomer", "DeleteCustomer", "GetCustomerQualifications"} <= tried
    assert set(BODIES) <= tried
    assert theirs.everything() == before


def test_an_operation_that_takes_a_body_is_tried_with_one(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for entry in methods.values():
            if "requestBody" in entry and "{customer_id}" in path:
                assert entry["operationId"] in BODIES


def test_every_parameter_of_a_path_is_tried(document: dict[str, Any]) -> None:
    """A kind of ID that is new needs a test here."""
    found = {part for path in document["paths"] for part in path.split("/") if part.startswith("{")}
    assert found == {"{customer_id}", "{record_id}", "{domain}", "{case_id}", "{tenant}"}


def test_a_record_of_theirs_is_as_one_of_nobody(document: dict[str, Any], ours: World, theirs: World) -> None:
    with ours.partner.client() as client:
        for method, path, _ in operations(document, "record_id"):
            answers = [
                seen(client.request(method, path.format(record_id=id)))
                for id in (theirs.record_id, theirs.record_id.upper(), uuid4(), theirs.customer_id, ours.customer_id)
            ]
            assert answers[0][0] == 404
            assert all(answer == answers[0] for answer in answers)
            assert client.request(method, path.format(record_id=ours.record_id)).status_code == 200


@pytest.mark.parametrize("kind", ["App+User", "app-only", "without a role"])
def test_a_case_is_nothing_to_partners_whosesoever_it_is(
    document: dict[str, Any], ours: World, theirs: World, kind: str
) -> None:
    """Review cases are of all partners, and for the vendor's reviewers alone."""
    options: dict[str, Any] = {"app-only": {"app_only": True}, "without a role": {"roles": ()}}.get(kind, {})
    with ours.partner.client(ours.partner.token(**options)) as client:
        for method, path, name in operations(document, "case_id"):
            answers = [
                seen(client.request(method, path.format(case_id=id), headers={"If-Match": "*"}))
                for id in (theirs.case_id, ours.case_id, uuid4(), theirs.customer_id)
            ]
            assert answers[0][0] == 403, name
            assert all(answer == answers[0] for answer in answers), name
        collection = next(iter(operations(document, "case_id")))[1].partition("/{")[0]
        lists = [
            seen(client.get(collection, params=query))
            for query in ({}, {"partnerId": str(theirs.partner.id)}, {"partnerId": str(uuid4())}, {"size": "x"})
        ]
        assert lists[0][0] == 403
        assert all(answer == lists[0] for answer in lists)


def test_of_a_domain_no_more_is_told_than_that_it_is_taken(
    document: dict[str, Any], ours: World, theirs: World
) -> None:
    with ours.partner.client() as client:
        for method, path, _ in operations(document, "domain"):
            taken = [seen(client.request(method, path.format(domain=one.domain))) for one in (ours, theirs)]
            assert taken[0] == taken[1]
        other = ours.partner.customer()
        for refuse in (
            lambda domain: client.post("/v1/customers", json=customer(domain)),
            lambda domain: client.post(f"/v1/customers/{other}/verifieddomain", json={"verifiedDomainName": domain}),
        ):
            told = [refuse(one.domain).json() for one in (ours, theirs)]
            texts = [
                one["description"].replace(which.domain, "") for one, which in zip(told, (ours, theirs), strict=True)
            ]
            assert texts[0].partition("value")[0] == texts[1].partition("value")[0]


@pytest.mark.parametrize("version", ["oauth2/token", "oauth2/v2.0/token"])
def test_the_authority_gives_an_application_tokens_of_its_own_partner_alone(
    ours: World, theirs: World, version: str
) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_secret": SECRET,
        "resource": "https://api.partnercenter.microsoft.com",
        "scope": "https://api.partnercenter.microsoft.com/.default",
    }

    def ask(tenant: object, application: object) -> tuple[int, list[str], bytes]:
        data = form | {"client_id": str(application)}
        return seen(httpx.post(f"{ours.partner.service.url}/{tenant}/{version}", data=data))

    mine = ours.partner.application_id
    assert ask(ours.partner.id, mine)[0] == 200
    answers = [ask(theirs.partner.id, mine), ask(theirs.partner.id, uuid4()), ask(ours.partner.id, uuid4())]
    assert answers[0][0] == 401
    assert all(answer == answers[0] for answer in answers)


def test_what_the_authority_publishes_differs_by_the_tenant_s_id_alone(
    document: dict[str, Any], ours: World, theirs: World
) -> None:
    for method, path, name in operations(document, "tenant"):
        if method == "GET":
            texts = [
                httpx.get(ours.partner.service.url + path.format(tenant=id)).text.replace(str(id), "")
                for id in (ours.partner.id, theirs.partner.id)
            ]
            assert texts[0] == texts[1], name


# Collections


def test_lists_hold_and_count_one_s_own_alone(ours: World, theirs: World) -> None:
    with ours.partner.client() as client, theirs.partner.client() as other:
        own = {one["id"] for one in first_page(client, size=500)["items"]}
        foreign = {one["id"] for one in first_page(other, size=500)["items"]}
        assert str(theirs.customer_id) in foreign
        assert len(foreign) == first_page(other)["totalCount"] == 5
        assert not own & foreign
        assert first_page(client, size=1)["totalCount"] == len(own)
        for text in (a_filter("CompanyName", "Bellows"), a_filter("Domain", f"c{theirs.customer_id.hex}")):
            page = first_page(client, filter=text)
            assert (page["items"], page["totalCount"]) == ([], 0)
        for field_, value, operator in (
            ("CustomerId", str(theirs.customer_id), "equals"),
            ("CompanyName", "Bellows", "substring"),
        ):
            page = first_page(client, "/v1/auditrecords", filter=a_filter(field_, value, operator))
            assert (page["items"], page["totalCount"]) == ([], 0)
            assert first_page(other, "/v1/auditrecords", filter=a_filter(field_, value, operator))["totalCount"] > 0
        everything = b"".join(ours.everything().values())
        for secret in (theirs.partner.id, theirs.customer_id, theirs.customer_id.hex, theirs.record_id, "Bellows"):
            assert str(secret).encode() not in everything


def test_a_walk_is_not_touched_by_what_they_do(service: Service) -> None:
    first, second = service.partner(), service.partner()
    mine = {str(id) for id in first.customers(5)}
    with first.client() as client, second.client() as other:
        page: dict[str, Any] | None = first_page(client, size=2, filter=a_filter("CompanyName", "Test"))
        found = []
        while page is not None:
            assert page["totalCount"] == 5
            found += ids(page)
            id = created(other, customer(name="Test Customer"))["id"]
            second.customers(2)
            assert other.delete(f"/v1/customers/{id}").status_code == 204
            page = follow(client, page)
        assert sorted(found) == sorted(mine)
        assert first_page(client)["totalCount"] == 5


def test_their_token_is_as_any_nonsense(ours: World, theirs: World) -> None:
    with ours.partner.client() as client, theirs.partner.client() as other:
        for path in ("/v1/customers", "/v1/auditrecords"):
            token = token_of(first_page(other, path, size=1))
            answers = [
                seen(client.get(path, params=query, headers={"MS-ContinuationToken": value}))
                for value in (token, token[:-8], "nonsense")
                for query in ({}, {"seekOperation": "Next"})
            ]
            assert answers[0][0] == 400
            assert all(answer == answers[0] for answer in answers)


# Codes and repeats


def test_a_code_of_theirs_is_as_one_of_nobody(ours: World, theirs: World, qualify: Qualify) -> None:
    with ours.partner.client() as client, theirs.partner.client() as other:
        codes = other.get("/v1/customers/all/validations").content
        (secret,) = [one["validationId"] for one in json.loads(codes) if one["validationId"] != "777"]
        id = ours.partner.customer("{}.gov")
        answers = [seen(qualify(client, id, GCC, code=code)) for code in (secret, str(uuid4().int), "0")]
        assert answers[0][0] == 400
        assert all(answer == answers[0] for answer in answers)
        own = [one["partnerId"] for one in client.get("/v1/customers/all/validations").json()]
        assert set(own) == {str(ours.partner.id)}
        assert qualify(client, id, GCC, code="777").status_code == 201
        assert other.get("/v1/customers/all/validations").content == codes


def test_their_request_ids_are_free_for_us(service: Service) -> None:
    """The same write, and another, under an ID that the other partner used: both are done, and answered apart."""
    first, second = service.partner(), service.partner()
    with first.client() as client, second.client() as other:
        for same in (True, False):
            id = {"MS-RequestId": str(uuid4())}
            body = customer()
            theirs = created(other, body, **id)
            refused(client.post("/v1/customers", json=body, headers=id), 400, "3000", "taken")
            id = {"MS-RequestId": str(uuid4())}
            theirs = created(other, customer(), **id)
            mine = created(client, customer(name="Contoso" if same else "Another"), **id)
            assert mine["id"] != theirs["id"]
            assert mine["userCredentials"] != theirs["userCredentials"]
        mine, theirs = created(client), created(other)
        for one, path in ((other, f"/v1/customers/{theirs['id']}"), (client, f"/v1/customers/{mine['id']}")):
            tag = {"If-Match": one.get(f"{path}/profiles/billing").json()["attributes"]["etag"]}
            shared = {"MS-RequestId": "00000000-0000-4000-8000-000000000001"}
            assert one.put(f"{path}/profiles/billing", json=billing("Shared"), headers=tag | shared).status_code == 200
            shared = {"MS-RequestId": "00000000-0000-4000-8000-000000000002"}
            assert one.delete(path, headers=shared).status_code == 204
        assert {one["operationType"] for one in records(client)} >= {"delete_customer", "add_customer"}


def test_what_belongs_to_nobody_answers_all_alike(ours: World, theirs: World) -> None:
    with ours.partner.client() as client, theirs.partner.client() as other:
        for path in ("/health/live", "/openapi.json"):
            assert client.get(path).content == other.get(path).content == httpx.get(str(client.base_url) + path).content
        answers = [seen(one.post("/v1/validations/address", json=ADDRESS | {"city": ""})) for one in (client, other)]
        assert answers[0] == answers[1]
        metrics = client.get("/metrics").text
        for id in (theirs.partner.id, theirs.customer_id, theirs.record_id, theirs.domain):
            assert str(id) not in metrics
