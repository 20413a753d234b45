"""Values of the customers feature, contract section 7."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from accredit.wire.answers import Attributes, Link, Links, Resource
from accredit.wire.etags import etag

NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f]*\Z"
"""Matches text without control characters: PostgreSQL takes no NUL, and the others would steer a terminal."""
Line = Annotated[str, msgspec.Meta(pattern=NO_CONTROLS)]

LONGEST_NAME = 256
"""Characters of a company's name."""
RESELLER = "reseller"


class Address(msgspec.Struct, rename="camel", omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """A postal address. ``country`` is ISO 3166-1 alpha-2."""

    country: Line
    region: Line | None = None
    city: Line | None = None
    state: Line | None = None
    address_line1: Line | None = msgspec.field(name="addressLine1", default=None)
    address_line2: Line | None = msgspec.field(name="addressLine2", default=None)
    postal_code: Line | None = None
    first_name: Line | None = None
    middle_name: Line | None = None
    last_name: Line | None = None
    phone_number: Line | None = None


class CompanyProfile(Resource, frozen=True, kw_only=True):
    """A customer's company profile; in a list without address and e-mail address."""

    tenant_id: UUID
    domain: str
    company_name: str
    address: Address | None = None
    email: str | None = None
    organization_registration_number: str | None = None
    links: Links | None = None
    attributes: Attributes


class BillingProfile(Resource, frozen=True, kw_only=True):
    """A customer's billing profile. What a seed file did not tell is absent."""

    id: UUID
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    culture: str | None = None
    language: str | None = None
    company_name: str
    default_address: Address | None = None
    links: Links | None = None
    attributes: Attributes


class UserCredentials(Resource, frozen=True, kw_only=True):
    """The first user of a new customer, told once."""

    user_name: str
    password: str


class Customer(Resource, frozen=True, kw_only=True):
    """A customer, whole."""

    id: UUID
    commerce_id: UUID
    company_profile: CompanyProfile
    billing_profile: BillingProfile
    relationship_to_partner: str = msgspec.field(name="relationshipToPartner")
    allow_delegated_access: bool = msgspec.field(name="allowDelegatedAccess")
    user_credentials: UserCredentials | None = None
    custom_domains: list[str] = msgspec.field(name="customDomains")
    associated_partner_id: str | None = None
    links: Links
    attributes: Attributes


class CustomerItem(Resource, frozen=True, kw_only=True):
    """A customer in a list."""

    id: UUID
    company_profile: CompanyProfile
    relationship_to_partner: str = msgspec.field(name="relationshipToPartner")
    attributes: Attributes


class VerifiedDomain(Resource, frozen=True, kw_only=True):
    """A domain whose control was proven, as Partner Center describes one."""

    authentication_type: str = msgspec.field(name="authenticationType")
    capability: str
    is_default: bool = msgspec.field(name="isDefault")
    is_initial: bool = msgspec.field(name="isInitial")
    name: str
    status: str
    verification_method: str = msgspec.field(name="verificationMethod")


class AddressRequest(msgspec.Struct, rename="camel", kw_only=True):
    """An address in a request; for the OpenAPI document. Names are matched without regard to case."""

    country: str
    region: str | None = None
    city: str | None = None
    state: str | None = None
    address_line1: str | None = msgspec.field(name="addressLine1", default=None)
    address_line2: str | None = msgspec.field(name="addressLine2", default=None)
    postal_code: str | None = None
    first_name: str | None = None
    middle_name: str | None = None
    last_name: str | None = None
    phone_number: str | None = None


class BillingProfileRequest(msgspec.Struct, rename="camel", kw_only=True):
    """The billing profile in a request; for the OpenAPI document."""

    first_name: str | None = None
    last_name: str | None = None
    email: str
    culture: str
    language: str
    company_name: str
    default_address: AddressRequest


class CompanyProfileRequest(msgspec.Struct, rename="camel", kw_only=True):
    """The company profile in the body of POST; for the OpenAPI document."""

    domain: str
    organization_registration_number: str | None = None


class CustomerRequest(msgspec.Struct, rename="camel", kw_only=True):
    """The body of POST; for the OpenAPI document."""

    company_profile: CompanyProfileRequest
    billing_profile: BillingProfileRequest
    associated_partner_id: str | None = None


class VerifiedDomainRequest(msgspec.Struct, rename="camel", kw_only=True):
    """The body that adds a verified domain; for the OpenAPI document."""

    verified_domain_name: str


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a partner tells of a customer: what the billing profile holds, and what the company profile adds."""

    company_name: str
    address: Address | None
    email: str | None
    culture: str | None
    language: str | None
    first_name: str | None = None
    last_name: str | None = None


class StoredCustomer(msgspec.Struct, frozen=True, kw_only=True):
    """A customer as it is kept. ``changed_at`` is UTC; the profiles' ETags are made of it."""

    id: UUID
    partner_id: UUID
    commerce_id: UUID
    billing_profile_id: UUID
    domain: str
    profile: Profile
    organization_registration_number: str | None
    associated_partner_id: str | None
    custom_domains: list[str]
    changed_at: datetime

    @property
    def etag(self) -> str:
        """The ETag of both profiles."""
        return etag(self.changed_at)


def company_profile(customer: StoredCustomer) -> CompanyProfile:
    """What GET of the company profile answers."""
    return CompanyProfile(
        tenant_id=customer.id,
        domain=customer.domain,
        company_name=customer.profile.company_name,
        address=customer.profile.address,
        email=customer.profile.email,
        organization_registration_number=customer.organization_registration_number,
        links=_self(f"/v1/customers/{customer.id}/profiles/company"),
        attributes=Attributes(etag=customer.etag, object_type="CustomerCompanyProfile"),
    )


def billing_profile(customer: StoredCustomer) -> BillingProfile:
    """What GET and PUT of the billing profile answer."""
    profile = customer.profile
    return BillingProfile(
        id=customer.billing_profile_id,
        first_name=profile.first_name,
        last_name=profile.last_name,
        email=profile.email,
        culture=profile.culture,
        language=profile.language,
        company_name=profile.company_name,
        default_address=profile.address,
        links=_self(f"/v1/customers/{customer.id}/profiles/billing"),
        attributes=Attributes(etag=customer.etag, object_type="CustomerBillingProfile"),
    )


def whole(customer: StoredCustomer, credentials: UserCredentials | None = None) -> Customer:
    """What GET answers; with the first user's ``credentials``, what POST answers."""
    return Customer(
        id=customer.id,
        commerce_id=customer.commerce_id,
        company_profile=company_profile(customer),
        billing_profile=billing_profile(customer),
        relationship_to_partner=RESELLER,
        allow_delegated_access=True,
        user_credentials=credentials,
        custom_domains=customer.custom_domains,
        associated_partner_id=customer.associated_partner_id,
        links=_self(f"/v1/customers/{customer.id}"),
        attributes=Attributes(object_type="Customer"),
    )


def item(id: UUID, domain: str, company_name: str) -> CustomerItem:
    """What a list shows of a customer."""
    return CustomerItem(
        id=id,
        company_profile=CompanyProfile(
            tenant_id=id,
            domain=domain,
            company_name=company_name,
            attributes=Attributes(object_type="CustomerCompanyProfile"),
        ),
        relationship_to_partner=RESELLER,
        attributes=Attributes(object_type="Customer"),
    )


def verified_domain(name: str) -> VerifiedDomain:
    """What adding a domain answers."""
    return VerifiedDomain(
        authentication_type="managed",
        capability="email",
        is_default=False,
        is_initial=False,
        name=name,
        status="verified",
        verification_method="dns_record",
    )


def _self(uri: str) -> Links:
    return Links(self_=Link(uri))
