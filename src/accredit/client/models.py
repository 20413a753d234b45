"""What the client takes and gives: the resources of Partner Center's API, typed.

All are frozen dataclasses; change one with ``dataclasses.replace``. Moments are ``datetime`` in UTC. Where a field may
hold an enum's member, it may also hold a plain string: a value that this version does not know yet.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from accredit.client._wire import Model, OpenEnum, wire


class Qualification(OpenEnum):
    """What a customer may be qualified as. ``NONE`` and ``NONPROFIT`` can be read but not asked for."""

    NONE = "None"
    EDUCATION = "Education"
    NONPROFIT = "Nonprofit"
    GOVERNMENT_COMMUNITY_CLOUD = "GovernmentCommunityCloud"
    STATE_OWNED_ENTITY = "StateOwnedEntity"


class VettingStatus(OpenEnum):
    """Where the vetting of a qualification stands."""

    IN_REVIEW = "InReview"
    APPROVED = "Approved"
    DENIED = "Denied"


class EducationSegment(OpenEnum):
    """What kind of education customer it is."""

    K12 = "K12"
    HIGHER_EDUCATION = "HigherEducation"


class VettingReason(OpenEnum):
    """Why a qualification was denied."""

    NOT_AN_EDUCATION_CUSTOMER = "Not an Education Customer"
    NO_LONGER_AN_EDUCATION_CUSTOMER = "No longer an Education Customer"
    NOT_AN_EDUCATION_CUSTOMER_AFTER_REVIEW = "Not an Education Customer - After Review"
    RESTRICTED_BEING_AN_EDUCATION_CUSTOMER = "Restricted being an Education Customer"
    NOT_AN_ACADEMIC_DOMAIN = "Not an Academic Domain"
    NOT_AN_ELIGIBLE_LIBRARY = "Not an eligible Library"
    NOT_AN_ELIGIBLE_MUSEUM = "Not an eligible Museum"
    NOT_A_GOVERNMENT_CUSTOMER = "Not a Government Customer"
    NOT_A_GOVERNMENT_CUSTOMER_AFTER_REVIEW = "Not a Government Customer - After Review"


class CustomerRelationship(OpenEnum):
    """How a customer is related to the partner."""

    RESELLER = "reseller"
    ADVISOR = "advisor"


class ResourceType(OpenEnum):
    """What an audit record is about."""

    CUSTOMER = "customer"
    CUSTOMER_USER = "customer_user"
    ORDER = "order"
    SUBSCRIPTION = "subscription"


class AddressStatus(OpenEnum):
    """What validating an address showed."""

    VERIFIED = "Verified"
    VERIFIED_SHIPPABLE = "VerifiedShippable"
    INTERACTION_REQUIRED = "InteractionRequired"
    STREET_PARTIAL = "StreetPartial"
    PREMISES_PARTIAL = "PremisesPartial"
    MULTIPLE = "Multiple"
    NOT_VALIDATED = "NotValidated"
    NONE = "None"


@dataclass(frozen=True, kw_only=True)
class CustomerQualification(Model):
    """A customer's qualification. ``StateOwnedEntity`` is not vetted: it has neither status nor date.

    ``vetting_reason`` says why it was denied; ``vetting_created_date`` is when it was asked for.
    """

    qualification: Qualification | str
    vetting_status: VettingStatus | str | None = None
    vetting_reason: VettingReason | str | None = None
    vetting_created_date: datetime | None = field(
        default=None, metadata=wire("vettingCreatedDate", "vettingCreateDate")
    )

    @property
    def is_decided(self) -> bool:
        """Whether nothing is awaited: it is Approved, Denied, or needs no vetting."""
        return self.vetting_status in (None, VettingStatus.APPROVED, VettingStatus.DENIED)

    @property
    def is_denied(self) -> bool:
        """Whether it was refused."""
        return self.vetting_status == VettingStatus.DENIED

    @property
    def holds(self) -> bool:
        """Whether the customer has it: Approved, or given without vetting."""
        return self.vetting_status in (None, VettingStatus.APPROVED)


@dataclass(frozen=True, kw_only=True)
class ValidationCode(Model):
    """A code that allows the partner to ask for GovernmentCommunityCloud. ``None`` for the creates: no limit."""

    validation_id: str
    partner_id: str | None = None
    organization_name: str | None = None
    max_creates: int | None = None
    remaining_creates: int | None = None
    etag: str | None = field(default=None, metadata=wire("eTag"))


@dataclass(frozen=True, kw_only=True)
class Address(Model):
    """A postal address. ``country`` is ISO 3166-1 alpha-2, ``state`` at most two letters."""

    country: str | None = None
    region: str | None = None
    city: str | None = None
    state: str | None = None
    address_line1: str | None = None
    address_line2: str | None = None
    postal_code: str | None = None
    first_name: str | None = None
    middle_name: str | None = None
    last_name: str | None = None
    phone_number: str | None = None


@dataclass(frozen=True, kw_only=True)
class ResourceAttributes(Model):
    """What a resource says of itself. ``etag`` names its version, for updates."""

    object_type: str | None = None
    etag: str | None = None


@dataclass(frozen=True, kw_only=True)
class CompanyProfile(Model):
    """Who the customer is. ``domain`` is its ``….onmicrosoft.com``."""

    tenant_id: str | None = None
    domain: str | None = None
    company_name: str | None = None
    address: Address | None = None
    email: str | None = None
    organization_registration_number: str | None = None


@dataclass(frozen=True, kw_only=True)
class BillingProfile(Model):
    """Whom to bill. ``culture`` is such as ``en-US``, ``language`` such as ``en``."""

    id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    culture: str | None = None
    language: str | None = None
    company_name: str | None = None
    default_address: Address | None = None
    attributes: ResourceAttributes | None = None

    @property
    def etag(self) -> str | None:
        """The version that an update must name."""
        return self.attributes.etag if self.attributes else None


@dataclass(frozen=True, kw_only=True)
class UserCredentials(Model):
    """The first administrator's name and password: given once, when the customer is created."""

    user_name: str
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Customer(Model):
    """A customer of the partner. In a list it has only ``id``, ``company_profile`` and ``relationship_to_partner``."""

    id: str | None = None
    commerce_id: str | None = None
    company_profile: CompanyProfile | None = None
    billing_profile: BillingProfile | None = None
    relationship_to_partner: CustomerRelationship | str | None = None
    allow_delegated_access: bool | None = None
    custom_domains: tuple[str, ...] | None = None
    associated_partner_id: str | None = None
    user_credentials: UserCredentials | None = None


@dataclass(frozen=True, kw_only=True)
class CustomerFilter:
    """Which customers to list: those whose ``field`` starts with ``value``, case ignored."""

    field: str
    value: str

    @classmethod
    def company_name(cls, prefix: str) -> "CustomerFilter":
        """Customers whose company name starts so."""
        return cls(field="CompanyName", value=prefix)

    @classmethod
    def domain(cls, prefix: str) -> "CustomerFilter":
        """Customers whose domain starts so."""
        return cls(field="Domain", value=prefix)

    def __str__(self) -> str:
        """The filter as the query carries it."""
        return json.dumps({"Field": self.field, "Value": self.value, "Operator": "starts_with"})


@dataclass(frozen=True, kw_only=True)
class VerifiedDomain(Model):
    """A domain of a customer, proven to be its own."""

    name: str | None = None
    status: str | None = None
    verification_method: str | None = None
    authentication_type: str | None = None
    capability: str | None = None
    is_default: bool | None = None
    is_initial: bool | None = None
    root_domain: str | None = None


@dataclass(frozen=True, kw_only=True)
class CustomizedData(Model):
    """A detail of an audit record."""

    key: str
    value: str | None = None


@dataclass(frozen=True, kw_only=True)
class AuditRecord(Model):
    """Who changed what, when. The old and new values are the resource's JSON, as text."""

    id: str | None = None
    partner_id: str | None = None
    customer_id: str | None = None
    customer_name: str | None = None
    user_principal_name: str | None = None
    application_id: str | None = None
    resource_type: ResourceType | str | None = None
    resource_old_value: str | None = None
    resource_new_value: str | None = None
    operation_type: str | None = None
    operation_date: datetime | None = None
    operation_status: str | None = None
    customized_data: tuple[CustomizedData, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AddressValidation:
    """What validating an address showed. ``message`` says what is wrong, ``suggested`` what would be right."""

    is_valid: bool
    original: Address
    suggested: tuple[Address, ...] = ()
    status: AddressStatus | str | None = None
    message: str | None = None
    details: Any = field(default=None, repr=False)
