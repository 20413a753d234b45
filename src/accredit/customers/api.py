"""HTTP for customers, their profiles, addresses and domains."""

from typing import Any

from litestar.handlers import HTTPRouteHandler

from accredit.customers import rules, store
from accredit.customers.dns import TxtLookup
from accredit.customers.domains import challenge, domain_name
from accredit.customers.models import (
    AddressRequest,
    BillingProfile,
    BillingProfileRequest,
    CompanyProfile,
    Customer,
    CustomerItem,
    CustomerRequest,
    UserCredentials,
    VerifiedDomain,
    VerifiedDomainRequest,
    billing_profile,
    company_profile,
    verified_domain,
    whole,
)
from accredit.customers.passwords import new_password
from accredit.database.idempotency import key_of, once
from accredit.database.keys import ServiceKey
from accredit.database.pool import Connection, Pool
from accredit.vetting.changes import customer_changed
from accredit.wire import paging
from accredit.wire.answers import Answer
from accredit.wire.body import parse_object
from accredit.wire.errors import (
    ADDRESS_INVALID,
    BAD_CUSTOMER_ID,
    BAD_REQUEST,
    DOMAIN_FREE,
    IF_MATCH_FAILED,
    IF_MATCH_REQUIRED,
    MALFORMED_BODY,
    NO_RELATIONSHIP,
    NOT_A_SANDBOX,
    PHONE_NUMBER_REQUIRED,
    REGISTRATION_NUMBER_MALFORMED,
    REGISTRATION_NUMBER_REFUSED,
    REGISTRATION_NUMBER_REQUIRED,
    REQUEST_ID_REUSED,
    ApiError,
)
from accredit.wire.etags import require_match
from accredit.wire.fields import Fields
from accredit.wire.operations import Call, Gate, Operation, Parameter, route

_CUSTOMERS, _PROFILES, _DOMAINS = "Customers", "Profiles", "Domains"
_OF_CUSTOMER = (BAD_CUSTOMER_ID, NO_RELATIONSHIP)
_REGISTRATION = (
    REGISTRATION_NUMBER_REQUIRED,
    REGISTRATION_NUMBER_MALFORMED,
    PHONE_NUMBER_REQUIRED,
    REGISTRATION_NUMBER_REFUSED,
)
_LONGEST_DOMAIN = 253

LIST = Operation(
    id="GetCustomers",
    method="GET",
    path="/v1/customers",
    summary="A page of the partner's customers.",
    tag=_CUSTOMERS,
    answers=paging.Collection[CustomerItem],
    query=(
        paging.SIZE_PARAMETER,
        Parameter(
            "filter",
            'JSON: `{"Field": "CompanyName" or "Domain", "Value": "…", "Operator": "starts_with"}`, case ignored.',
        ),
        paging.SEEK_PARAMETER,
    ),
    headers=(paging.CONTINUATION_PARAMETER,),
)
CREATE = Operation(
    id="CreateCustomer",
    method="POST",
    path="/v1/customers",
    summary="Create a customer. The answer holds the first user's credentials, this once.",
    tag=_CUSTOMERS,
    status=201,
    answers=Customer,
    body=CustomerRequest,
    errors=(MALFORMED_BODY, *_REGISTRATION, REQUEST_ID_REUSED),
)
GET = Operation(
    id="GetCustomer",
    method="GET",
    path="/v1/customers/{customer_id}",
    summary="A customer, whole.",
    tag=_CUSTOMERS,
    answers=Customer,
    errors=_OF_CUSTOMER,
)
DELETE = Operation(
    id="DeleteCustomer",
    method="DELETE",
    path="/v1/customers/{customer_id}",
    summary="Remove a customer; for sandbox partners. Its audit records stay, the creates it took stay taken.",
    tag=_CUSTOMERS,
    status=204,
    answers=None,
    errors=(*_OF_CUSTOMER, NOT_A_SANDBOX, REQUEST_ID_REUSED),
)
GET_COMPANY = Operation(
    id="GetCustomerCompanyProfile",
    method="GET",
    path="/v1/customers/{customer_id}/profiles/company",
    summary="A customer's company profile.",
    tag=_PROFILES,
    answers=CompanyProfile,
    errors=_OF_CUSTOMER,
)
GET_BILLING = Operation(
    id="GetCustomerBillingProfile",
    method="GET",
    path="/v1/customers/{customer_id}/profiles/billing",
    summary="A customer's billing profile, with the address.",
    tag=_PROFILES,
    answers=BillingProfile,
    errors=_OF_CUSTOMER,
)
PUT_BILLING = Operation(
    id="UpdateCustomerBillingProfile",
    method="PUT",
    path="/v1/customers/{customer_id}/profiles/billing",
    summary="Replace a customer's billing profile. Name and address are the company profile's, too.",
    tag=_PROFILES,
    answers=BillingProfile,
    body=BillingProfileRequest,
    errors=(*_OF_CUSTOMER, MALFORMED_BODY, *_REGISTRATION, REQUEST_ID_REUSED, IF_MATCH_FAILED, IF_MATCH_REQUIRED),
    if_match=True,
)
VALIDATE_ADDRESS = Operation(
    id="ValidateAddress",
    method="POST",
    path="/v1/validations/address",
    summary="Check an address: success has no body, a refusal tells the corrected address.",
    tag=_PROFILES,
    answers=None,
    body=AddressRequest,
    errors=(MALFORMED_BODY, ADDRESS_INVALID),
    app_only=True,
)
HEAD_DOMAIN = Operation(
    id="CheckDomainAvailability",
    method="HEAD",
    path="/v1/domains/{domain}",
    summary="Whether a domain is taken.",
    tag=_DOMAINS,
    answers=None,
    path_parameters=(Parameter("domain", "The domain's name, in Unicode or as A-labels."),),
    errors=(DOMAIN_FREE,),
)
ADD_DOMAIN = Operation(
    id="AddVerifiedDomain",
    method="POST",
    path="/v1/customers/{customer_id}/verifieddomain",
    summary="Add a domain to the customer's, once a TXT record proves control of it; a refusal names that record.",
    tag=_DOMAINS,
    status=201,
    answers=VerifiedDomain,
    body=VerifiedDomainRequest,
    errors=(*_OF_CUSTOMER, MALFORMED_BODY, REQUEST_ID_REUSED),
)

OPERATIONS = (
    LIST, CREATE, GET, DELETE, GET_COMPANY, GET_BILLING, PUT_BILLING, VALIDATE_ADDRESS, HEAD_DOMAIN, ADD_DOMAIN,
)  # fmt: skip


def routes(gate: Gate, pool: Pool, key: ServiceKey, lookup: TxtLookup, *, timeout: float) -> list[HTTPRouteHandler]:
    """The handlers of this feature. ``timeout``: seconds to wait for the database."""

    async def list_customers(call: Call) -> Answer:
        secret = await key.get()
        query = paging.parse_query(call, secret, store.FILTERS)
        page = await store.page(pool, call.caller.partner_id, query, timeout=timeout)
        # The count of all is kept, that of a filter is counted once.
        return Answer.json(paging.collection(call, secret, query, page, carry_total=query.filter is not None))

    async def create(call: Call) -> Answer:
        async def work(connection: Connection) -> Answer:
            customer = await store.create(connection, call, rules.parse_create(_body(call)))
            return Answer.json(whole(customer, UserCredentials(user_name="admin", password=new_password())), 201)

        return await once(pool, key_of(call), work, timeout=timeout)

    async def get(call: Call) -> Answer:
        return Answer.json(whole(await store.get(pool, call.caller.partner_id, call.customer, timeout=timeout)))

    async def delete(call: Call) -> Answer:
        customer_id = call.customer

        async def work(connection: Connection) -> Answer:
            await store.delete(connection, call, await store.lock(connection, call.caller.partner_id, customer_id))
            return Answer(204)

        return await once(pool, key_of(call), work, timeout=timeout)

    async def get_company(call: Call) -> Answer:
        customer = await store.get(pool, call.caller.partner_id, call.customer, timeout=timeout)
        return Answer.json(company_profile(customer))

    async def get_billing(call: Call) -> Answer:
        customer = await store.get(pool, call.caller.partner_id, call.customer, timeout=timeout)
        return Answer.json(billing_profile(customer))

    async def put_billing(call: Call) -> Answer:
        customer_id = call.customer

        async def work(connection: Connection) -> Answer:
            before = await store.lock(connection, call.caller.partner_id, customer_id)
            require_match(call.exchange.headers.get("if-match"), before.etag)
            profile = rules.parse_billing(_body(call), before.organization_registration_number)
            after = await store.update_profile(connection, call, before, profile)
            if (before.profile.address, before.profile.company_name) != (profile.address, profile.company_name):
                await customer_changed(connection, customer_id)
            return Answer.json(billing_profile(after))

        return await once(pool, key_of(call), work, timeout=timeout)

    async def validate_address(call: Call) -> Answer:
        rules.validate_address(_body(call))
        return Answer(200)

    async def head_domain(call: Call) -> Answer:
        try:
            domain = domain_name(call.path("domain"))
        except ValueError as error:
            raise ApiError(BAD_REQUEST, f"{error}.") from None
        if not await store.is_taken(pool, domain, timeout=timeout):
            raise ApiError(DOMAIN_FREE, "The domain is free.")
        return Answer(200)

    async def add_domain(call: Call) -> Answer:
        customer_id = call.customer
        # The DNS is asked before the transaction: nothing is held while it takes its time. What speaks against it is
        # said within, for a repeat answers as the first did, whatever has become of the customer.
        try:
            await store.get(pool, call.caller.partner_id, customer_id, timeout=timeout)
            proven: str | ApiError = await _proven_domain(call, lookup)
        except ApiError as error:
            proven = error

        async def work(connection: Connection) -> Answer:
            before = await store.lock(connection, call.caller.partner_id, customer_id)
            if isinstance(proven, ApiError):
                raise proven
            after = await store.add_domain(connection, call, before, proven)
            if after is not before:
                await customer_changed(connection, customer_id)
            return Answer.json(verified_domain(proven), 201)

        return await once(pool, key_of(call), work, timeout=timeout)

    return [
        route(LIST, gate, list_customers),
        route(CREATE, gate, create),
        route(GET, gate, get),
        route(DELETE, gate, delete),
        route(GET_COMPANY, gate, get_company),
        route(GET_BILLING, gate, get_billing),
        route(PUT_BILLING, gate, put_billing),
        route(VALIDATE_ADDRESS, gate, validate_address),
        route(HEAD_DOMAIN, gate, head_domain),
        route(ADD_DOMAIN, gate, add_domain),
    ]


def _body(call: Call) -> dict[str, Any]:
    return parse_object(call.body, call.exchange.headers.get("content-type"))


async def _proven_domain(call: Call, lookup: TxtLookup) -> str:
    """The domain that the call is to add. Raises ``ApiError`` (400), which names the record that is missing."""
    domain = _domain_of(_body(call))
    wanted = challenge(call.customer, domain)
    if wanted.value not in await lookup.values(wanted.name):
        raise ApiError(
            BAD_REQUEST,
            f"Control of {domain} is not proven yet. Publish this DNS record, then call again: "
            f'type TXT, name {wanted.name}, value "{wanted.value}"',
        )
    return domain


def _domain_of(body: dict[str, Any]) -> str:
    """The domain to add: ``verifiedDomainName`` or ``domain.name``, as Partner Center's clients send both."""
    fields = Fields(body)
    text = fields.text("verifiedDomainName", most=_LONGEST_DOMAIN)
    domain = fields.optional("domain")
    if text is None:
        text = domain.text("name", most=_LONGEST_DOMAIN) if domain else None
    if text is None:
        raise fields.refusal("verifiedDomainName", "is missing")
    try:
        return domain_name(text)
    except ValueError as error:
        raise fields.refusal("verifiedDomainName", f"is not a domain name: {error}") from None
