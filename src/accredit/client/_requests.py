"""The operations of the API, as values: what to send, and how to read the answer. Both clients send these."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID, uuid4

from azure.core.rest import HttpRequest

from accredit.client import _tokens as continuation
from accredit.client._wire import Model
from accredit.client.models import (
    Address,
    AddressStatus,
    AddressValidation,
    AuditRecord,
    BillingProfile,
    CompanyProfile,
    Customer,
    CustomerFilter,
    CustomerQualification,
    EducationSegment,
    Qualification,
    ResourceType,
    ValidationCode,
    VerifiedDomain,
)

T = TypeVar("T")
M = TypeVar("M", bound=Model)
Id = str | UUID

REQUEST_ID = "MS-RequestId"
CORRELATION_ID = "MS-CorrelationId"
CONTINUATION = "MS-ContinuationToken"
_BAD_ADDRESS = "2007"
# A service that says nothing but 200 found nothing wrong.
_VALID = (None, AddressStatus.VERIFIED, AddressStatus.VERIFIED_SHIPPABLE)
_MESSAGES = ("validationmessage", "message", "reason")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call of an operation. ``request``'s URL is a path; ``parse`` reads the answer's JSON (``ValueError``)."""

    request: HttpRequest
    parse: Callable[[Any], T]
    otherwise: Mapping[tuple[int, str | None], Callable[[Any], T]] = field(default_factory=dict)
    """Answers of failure that are results: by status and code (``None``: any), what makes a value of the error."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a collection. ``next``: what ``by_page(continuation_token=…)`` takes, to go on after it."""

    items: list[T]
    next: str | None


def list_qualifications(customer_id: Id) -> Call[list[CustomerQualification]]:
    return Call(_get(f"/v1/customers/{_segment(customer_id)}/qualifications"), _list_of(CustomerQualification))


def create_qualification(
    customer_id: Id,
    qualification: Qualification | str,
    *,
    education_segment: EducationSegment | str | None = None,
    website: str | None = None,
    validation_code: str | int | None = None,
    request_id: Id | None = None,
) -> Call[CustomerQualification]:
    query = {} if validation_code is None else {"code": str(validation_code)}
    body = {"Qualification": str(qualification)}
    if education_segment is not None:
        body["EducationSegment"] = str(education_segment)
    if website is not None:
        body["Website"] = website
    path = f"/v1/customers/{_segment(customer_id)}/qualifications"
    return Call(_write("POST", path, body, query=query, request_id=request_id), CustomerQualification.from_wire)


def list_codes() -> Call[list[ValidationCode]]:
    return Call(_get("/v1/customers/all/validations"), _list_of(ValidationCode))


def code_of_customer(customer_id: Id) -> Call[ValidationCode | None]:
    def parse(value: Any) -> ValidationCode | None:
        return ValidationCode.from_wire(value) if value else None

    return Call(_get(f"/v1/customers/{_segment(customer_id)}/validations"), parse)


def list_customers(*, filter: CustomerFilter | None, size: int | None, token: str | None) -> Call[Page[Customer]]:
    query = {"size": str(size)} if size is not None else {}
    if filter is not None:
        query["filter"] = str(filter)
    return _page("/v1/customers", query, token, Customer)


def get_customer(customer_id: Id) -> Call[Customer]:
    return Call(_get(f"/v1/customers/{_segment(customer_id)}"), Customer.from_wire)


def create_customer(customer: Customer, *, request_id: Id | None) -> Call[Customer]:
    return Call(_write("POST", "/v1/customers", customer.to_wire(), request_id=request_id), Customer.from_wire)


def delete_customer(customer_id: Id, *, request_id: Id | None) -> Call[None]:
    path = f"/v1/customers/{_segment(customer_id)}"
    return Call(_write("DELETE", path, None, request_id=request_id), _nothing)


def get_company_profile(customer_id: Id) -> Call[CompanyProfile]:
    return Call(_get(f"/v1/customers/{_segment(customer_id)}/profiles/company"), CompanyProfile.from_wire)


def get_billing_profile(customer_id: Id) -> Call[BillingProfile]:
    return Call(_get(f"/v1/customers/{_segment(customer_id)}/profiles/billing"), BillingProfile.from_wire)


def update_billing_profile(
    customer_id: Id, profile: BillingProfile, *, etag: str | None, request_id: Id | None
) -> Call[BillingProfile]:
    etag = etag or profile.etag
    if not etag:
        raise ValueError(
            "an update needs the ETag of the profile that it changes: give etag=, or a profile that was read"
        )
    path = f"/v1/customers/{_segment(customer_id)}/profiles/billing"
    request = _write("PUT", path, profile.to_wire(), request_id=request_id)
    request.headers["If-Match"] = etag
    return Call(request, BillingProfile.from_wire)


def add_verified_domain(customer_id: Id, domain: str, *, request_id: Id | None) -> Call[VerifiedDomain]:
    body = {
        "VerifiedDomainName": domain,
        "Domain": {
            "Name": domain,
            "AuthenticationType": "Managed",
            "Capability": "Email",
            "Status": "Verified",
            "VerificationMethod": "DnsRecord",
            "IsDefault": False,
            "IsInitial": False,
        },
    }
    path = f"/v1/customers/{_segment(customer_id)}/verifieddomain"
    return Call(_write("POST", path, body, request_id=request_id), VerifiedDomain.from_wire)


def domain_exists(domain: str) -> Call[bool]:
    request = HttpRequest("HEAD", f"/v1/domains/{_segment(domain)}")
    return Call(request, lambda _: True, {(404, None): lambda _: False})


def validate_address(address: Address) -> Call[AddressValidation]:
    def valid(value: Any) -> AddressValidation:
        return _address_validation(address, value, is_valid=True)

    def invalid(error: Any) -> AddressValidation:
        try:
            value = json.loads(error.description)
        except ValueError:
            value = error.description
        return _address_validation(address, value, is_valid=False)

    request = _write("POST", "/v1/validations/address", address.to_wire(), request_id=None)
    return Call(request, valid, {(400, _BAD_ADDRESS): invalid})


def list_audit_records(
    *,
    start_date: date | None,
    end_date: date | None,
    customer_id: Id | None,
    company_name: str | None,
    resource_type: ResourceType | str | None,
    size: int | None,
    token: str | None,
) -> Call[Page[AuditRecord]]:
    filters = [
        {"Field": field_name, "Value": str(value), "Operator": operator}
        for field_name, value, operator in (
            ("CustomerId", customer_id, "equals"),
            ("CompanyName", company_name, "substring"),
            ("ResourceType", resource_type, "equals"),
        )
        if value is not None
    ]
    if len(filters) > 1:
        raise ValueError("give at most one of customer_id, company_name and resource_type")
    query = {"startDate": start_date, "endDate": end_date, "size": size}
    texts = {name: str(value) for name, value in query.items() if value is not None}
    if filters:
        texts["filter"] = json.dumps(filters[0])
    return _page("/v1/auditrecords", texts, token, AuditRecord)


def get_audit_record(record_id: str) -> Call[AuditRecord]:
    return Call(_get(f"/v1/auditrecords/{_segment(record_id)}"), AuditRecord.from_wire)


def _get(path: str, query: Mapping[str, str] | None = None) -> HttpRequest:
    return HttpRequest("GET", _with_query(path, query))


def _write(
    method: str, path: str, body: Any, *, query: Mapping[str, str] | None = None, request_id: Id | None
) -> HttpRequest:
    """A request with an ``MS-RequestId``: the one given, or a new one, for all its attempts."""
    headers = {REQUEST_ID: _guid(request_id) if request_id is not None else str(uuid4())}
    if body is None:
        return HttpRequest(method, _with_query(path, query), headers=headers)
    headers["Content-Type"] = "application/json"
    return HttpRequest(method, _with_query(path, query), headers=headers, content=json.dumps(body).encode())


def _page(path: str, query: Mapping[str, str], token: str | None, model: type[M]) -> Call[Page[M]]:
    def parse(value: Any) -> Page[M]:
        if not isinstance(value, dict) or not isinstance(value.get("items"), list):
            raise ValueError("it is no collection")
        links = value.get("links")
        following = links.get("next") if isinstance(links, dict) else None
        return Page([model.from_wire(item) for item in value["items"]], _link_token(following) if following else None)

    if token is None:
        return Call(_get(path, query), parse)
    return Call(_follow(token), parse)


def _link_token(link: Any) -> str:
    """The continuation token of a ``links.next``. Raises ``ValueError`` for what is no link."""
    if not isinstance(link, dict) or not isinstance(link.get("uri"), str):
        raise ValueError("links.next is no link")
    headers = {item["key"]: item["value"] for item in link.get("headers") or ()}
    return continuation.encode({"uri": link["uri"], "headers": headers})


def _follow(token: str) -> HttpRequest:
    """The request for the page that a continuation token stands for. Raises ``ValueError``.

    A link may be absolute, or relative with or without the version.
    """
    link = continuation.decode(token, "uri", "headers")
    uri: str = link["uri"]
    if not urlsplit(uri).scheme:
        uri = "/" + uri.lstrip("/")
        uri = uri if uri.startswith("/v1/") else "/v1" + uri
    return HttpRequest("GET", uri, headers=link["headers"])


def _with_query(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query, quote_via=quote)}" if query else path


def _segment(value: Id) -> str:
    """A path segment. Raises ``ValueError`` for an empty one, which would name another resource."""
    text = str(value).strip()
    if not text or text in (".", ".."):
        raise ValueError(f"“{value}” cannot stand in a path")
    return quote(text, safe="")


def _guid(value: Id) -> str:
    """A GUID in lower case. Raises ``ValueError``."""
    try:
        return str(value if isinstance(value, UUID) else UUID(value))
    except ValueError:
        raise ValueError(f"the request ID “{value}” is not a GUID") from None


def _list_of(model: type[M]) -> Callable[[Any], list[M]]:
    def parse(value: Any) -> list[M]:
        if not isinstance(value, list):
            raise ValueError("it is no list")
        return [model.from_wire(item) for item in value]

    return parse


def _nothing(_: Any) -> None:
    return None


def _address_validation(address: Address, value: Any, *, is_valid: bool) -> AddressValidation:
    """What a validation answered: nothing, a sentence, or an object in one of Partner Center's two spellings.

    Its newer answer has ``status``, ``validationMessage`` and ``suggestedAddresses``; its error 2007 has ``reason`` and
    ``corrected_address``.
    """
    if not isinstance(value, dict):
        return AddressValidation(is_valid=is_valid, original=address, message=None if value is None else str(value))
    properties = _spelled_alike(value)
    corrected = properties.get("correctedaddress")
    suggested = properties.get("suggestedaddresses") or ([corrected] if corrected else [])
    status = properties.get("status") or properties.get("validationstatus")
    known = AddressStatus.read(status) if status else None
    return AddressValidation(
        is_valid=is_valid and known in _VALID,
        original=address,
        suggested=tuple(Address.from_wire(_spelled_alike(item)) for item in suggested),
        status=known,
        message=next((properties[name] for name in _MESSAGES if properties.get(name)), None),
        details=value,
    )


def _spelled_alike(value: Mapping[str, Any]) -> dict[str, Any]:
    """Properties with their names in lower case and without underscores."""
    return {name.replace("_", "").lower(): item for name, item in value.items()}
