"""The SDK's customers, domains, addresses and audit records: as the contract has them, and against the service."""

import dataclasses
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import pytest

from accredit.client import (
    Address,
    AddressStatus,
    BillingProfile,
    CompanyProfile,
    Customer,
    CustomerFilter,
    NoRelationshipError,
    NotFoundError,
    PreconditionFailedError,
    ResourceType,
)
from tests.clients import KINDS, Clients, make_clients
from tests.conftest import Partner
from tests.misbehaving import answer, misbehaving

clients = pytest.fixture(params=KINDS)(make_clients)
CUSTOMER = "5f1e9b3c-2d47-4b8a-9e61-7c0a3d5f8b01"
REDMOND = Address(
    country="US",
    city="Redmond",
    state="WA",
    address_line1="1 Microsoft Way",
    postal_code="98052",
    first_name="Ada",
    last_name="Lovelace",
    phone_number="4255550100",
)
BILLING = BillingProfile(
    email="ada@contoso.example", culture="en-US", language="en", company_name="Contoso", default_address=REDMOND
)


@pytest.fixture
def client(clients: Clients, partner: Partner) -> Any:
    return clients(partner.service.url, partner.token())


def new_customer() -> Customer:
    domain = f"sdk{uuid4().hex}.onmicrosoft.com"
    return Customer(company_profile=CompanyProfile(domain=domain), billing_profile=BILLING)


# As the contract has them


def test_a_customer_is_read_whole(clients: Clients) -> None:
    body = {
        "id": CUSTOMER,
        "commerceId": "c",
        "companyProfile": {
            "tenantId": CUSTOMER,
            "domain": "contoso.onmicrosoft.com",
            "companyName": "Contoso",
            "attributes": {"objectType": "CustomerCompanyProfile"},
        },
        "billingProfile": {
            "id": "b",
            "email": "a@b.example",
            "defaultAddress": {"country": "US", "addressLine1": "1 Way"},
            "attributes": {"etag": "e1", "objectType": "CustomerBillingProfile"},
        },
        "relationshipToPartner": "reseller",
        "allowDelegatedAccess": True,
        "customDomains": ["contoso.example"],
        "links": {"self": {"uri": f"/customers/{CUSTOMER}", "method": "GET", "headers": []}},
    }
    with misbehaving(answer(200, body)) as server:
        customer = clients(server.url).customers.get(UUID(CUSTOMER))
    assert server.received[0].target == f"/v1/customers/{CUSTOMER}"
    assert customer.company_profile.company_name == "Contoso"
    assert customer.billing_profile.default_address.address_line1 == "1 Way"
    assert customer.billing_profile.etag == "e1"
    assert customer.custom_domains == ("contoso.example",)
    assert customer.to_wire() == body


def test_a_profile_is_replaced_by_its_version(clients: Clients) -> None:
    read = {"id": "b", "email": "a@b.example", "links": {"self": {}}, "attributes": {"etag": "e1"}}
    with misbehaving(answer(200, read), answer(200, read), answer(412, {"code": "2055", "description": "x"})) as server:
        billing = clients(server.url)
        profile = billing.customers.get_billing_profile(CUSTOMER)
        changed = dataclasses.replace(profile, email="c@d.example")
        with pytest.raises(PreconditionFailedError, match="412/2055"):
            billing.customers.update_billing_profile(CUSTOMER, changed)
        billing.customers.update_billing_profile(CUSTOMER, changed, etag="e2")
        with pytest.raises(ValueError, match="ETag"):
            billing.customers.update_billing_profile(CUSTOMER, BILLING)
    _, first, second = server.received
    assert (first.method, first.headers["If-Match"], second.headers["If-Match"]) == ("PUT", "e1", "e2")
    assert first.json == read | {"email": "c@d.example"}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, None, (True, None, None, ())),
        (400, {"code": "2007", "description": "No such postal code."}, (False, None, "No such postal code.", ())),
        (
            400,
            {
                "code": 2007,
                "description": '{"code": "60071", "reason": "Postal code.",'
                ' "corrected_address": {"address_line1": "1 Way", "postal_code": "98052"}}',
            },
            (False, None, "Postal code.", (Address(address_line1="1 Way", postal_code="98052"),)),
        ),
        (200, {"status": "VerifiedShippable"}, (True, AddressStatus.VERIFIED_SHIPPABLE, None, ())),
        (
            200,
            {
                "status": "InteractionRequired",
                "validationMessage": "Street.",
                "suggestedAddresses": [{"city": "Redmond"}],
            },
            (False, AddressStatus.INTERACTION_REQUIRED, "Street.", (Address(city="Redmond"),)),
        ),
    ],
)
def test_what_validating_an_address_may_answer(clients: Clients, status: int, body: Any, expected: Any) -> None:
    """The contract's two answers, and the newer one of Partner Center's public documentation."""
    with misbehaving(answer(status, body)) as server:
        result = clients(server.url).addresses.validate(REDMOND)
    assert server.received[0].json == REDMOND.to_wire()
    assert (result.is_valid, result.status, result.message, result.suggested) == expected
    assert result.original == REDMOND


@pytest.mark.parametrize(("status", "taken"), [(200, True), (404, False)])
def test_whether_a_domain_is_taken(clients: Clients, status: int, taken: bool) -> None:
    with misbehaving(answer(status)) as server:
        assert clients(server.url).domains.exists("contoso.onmicrosoft.com") is taken
    assert (server.received[0].method, server.received[0].target) == ("HEAD", "/v1/domains/contoso.onmicrosoft.com")


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ({}, {}),
        (
            {"start_date": date(2026, 11, 1), "end_date": date(2026, 11, 30), "size": 5},
            {"startDate": "2026-11-01", "endDate": "2026-11-30", "size": "5"},
        ),
        ({"customer_id": UUID(CUSTOMER)}, {"Field": "CustomerId", "Value": CUSTOMER, "Operator": "equals"}),
        ({"company_name": "Co & n"}, {"Field": "CompanyName", "Value": "Co & n", "Operator": "substring"}),
        (
            {"resource_type": ResourceType.CUSTOMER},
            {"Field": "ResourceType", "Value": "customer", "Operator": "equals"},
        ),
    ],
)
def test_what_is_asked_of_the_audit(clients: Clients, options: Any, query: Any) -> None:
    record = {
        "id": "r",
        "resourceType": "customer",
        "operationDate": "2026-11-23T09:00:00Z",
        "operationStatus": "succeeded",
        "customizedData": [{"key": "MS-RequestId", "value": "x"}],
        "attributes": {"objectType": "AuditRecord"},
    }
    with misbehaving(answer(200, {"totalCount": 1, "items": [record]})) as server:
        (found,) = clients(server.url).audit.list(**options)
    target = urlsplit(server.received[0].target)
    asked = dict(parse_qsl(target.query))
    assert target.path == "/v1/auditrecords"
    assert (json.loads(asked["filter"]) if "filter" in asked else asked) == query
    assert found.resource_type is ResourceType.CUSTOMER
    assert found.operation_date == datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert found.customized_data[0].value == "x"


def test_the_audit_takes_one_filter(clients: Clients) -> None:
    with pytest.raises(ValueError, match="at most one"):
        clients("http://127.0.0.1:9").audit.list(customer_id=CUSTOMER, company_name="Con")


def test_adding_a_domain_says_how_it_is_proven(clients: Clients) -> None:
    domain = {"name": "contoso.example", "status": "Verified", "verificationMethod": "DnsRecord"}
    with misbehaving(answer(201, domain)) as server:
        added = clients(server.url).customers.add_verified_domain(CUSTOMER, "contoso.example")
    assert (added.name, added.status) == ("contoso.example", "Verified")
    body = server.received[0].json
    assert server.received[0].target == f"/v1/customers/{CUSTOMER}/verifieddomain"
    assert (body["VerifiedDomainName"], body["Domain"]["Name"]) == ("contoso.example", "contoso.example")


# Against the service


def test_the_life_of_a_customer(client: Any) -> None:
    wanted = new_customer()
    assert client.domains.exists(wanted.company_profile.domain) is False
    created = client.customers.create(wanted, request_id=(id := uuid4()))
    assert created.user_credentials.password
    assert client.domains.exists(wanted.company_profile.domain) is True
    assert client.customers.create(wanted, request_id=id).id == created.id
    read = client.customers.get(created.id)
    assert read.company_profile.domain == wanted.company_profile.domain
    assert client.customers.get_company_profile(created.id).company_name == read.company_profile.company_name
    assert [customer.id for customer in client.customers.list()] == [created.id]
    client.customers.delete(created.id)
    with pytest.raises((NoRelationshipError, NotFoundError)):
        client.customers.get(created.id)


def test_a_billing_profile_is_updated_once_for_each_version(client: Any) -> None:
    id = client.customers.create(new_customer()).id
    profile = client.customers.get_billing_profile(id)
    changed = client.customers.update_billing_profile(id, dataclasses.replace(profile, email="new@contoso.example"))
    assert changed.email == "new@contoso.example"
    assert changed.etag != profile.etag
    with pytest.raises(PreconditionFailedError):
        client.customers.update_billing_profile(id, profile)


def test_customers_are_listed_page_by_page_and_by_name(client: Any, partner: Partner) -> None:
    ids = {str(id) for id in partner.customers(5, name="Woodgrove") + partner.customers(2, name="Contoso")}
    assert {customer.id for customer in client.customers.list(size=2)} == ids
    pages = client.customers.list(size=3).by_page()
    first = {customer.id for customer in next(pages)}
    rest = client.customers.list(size=3).by_page(pages.continuation_token)
    assert first | {customer.id for page in rest for customer in page} == ids
    named = client.customers.list(filter=CustomerFilter.company_name("wood"))
    assert {customer.company_profile.company_name for customer in named} == {"Woodgrove"}


def test_what_was_done_is_in_the_audit(client: Any, partner: Partner) -> None:
    customer = partner.customer("{}.example")
    client.qualifications.update(customer, "Education", request_id=(id := uuid4()))
    today = datetime.now(UTC).date()
    days = {"start_date": today - timedelta(days=1), "end_date": today + timedelta(days=1)}
    (record,) = [
        record
        for record in client.audit.list(customer_id=customer, size=1, **days)
        if record.operation_type == "update_customer_qualification"
    ]
    assert str(id) in {detail.value for detail in record.customized_data}
    assert client.audit.get(record.id) == record


def test_addresses_are_validated(client: Any) -> None:
    assert client.addresses.validate(REDMOND).is_valid
    wrong = client.addresses.validate(dataclasses.replace(REDMOND, postal_code="ABC"))
    assert not wrong.is_valid
    assert wrong.message
