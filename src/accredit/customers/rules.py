"""The rules of customers: what a new one and a billing profile must tell. Pure functions; contract section 7."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accredit.customers import addresses
from accredit.customers.domains import domain_name
from accredit.customers.models import LONGEST_NAME, Address, Profile
from accredit.wire.errors import ADDRESS_INVALID, ApiError
from accredit.wire.fields import Fields

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")
_CULTURE = re.compile(r"([A-Za-z]{2,3})(-[A-Za-z]{4})?(-(?:[A-Za-z]{2}|[0-9]{3}))?")
_LONGEST_DOMAIN = 253
_LONGEST_EMAIL = 320


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """What is told of a new customer. ``domain`` is in lower-case A-labels."""

    domain: str
    organization_registration_number: str | None
    associated_partner_id: str | None
    profile: Profile


def parse_create(body: Mapping[str, Any]) -> NewCustomer:
    """Read the body of POST.

    Raises ``ApiError``: 400 / 3000, whose description names the property; 400 / 600049 to 600051 and 600002 for the
    organization registration number and the phone number that goes with it.
    """
    fields = Fields(body)
    company = fields.object("companyProfile")
    text = company.required("domain", most=_LONGEST_DOMAIN)
    try:
        domain = domain_name(text)
    except ValueError as error:
        raise company.refusal("domain", f"is not a domain name: {error}") from None
    number = company.text("organizationRegistrationNumber", most=64)
    billing = fields.object("billingProfile")
    profile = _profile(billing)
    if profile.address is not None:
        addresses.check_registration(profile.address.country, number, profile.address.phone_number)
    return NewCustomer(domain, number, fields.text("associatedPartnerId", most=64), profile)


def parse_billing(body: Mapping[str, Any], organization_registration_number: str | None) -> Profile:
    """Read the body of the billing profile's PUT, which is the whole of it.

    The organization registration number is the one that the company profile has. Raises ``ApiError`` as
    :func:`parse_create` does.
    """
    profile = _profile(Fields(body))
    if profile.address is not None and profile.address.country in addresses.REGISTRATION_COUNTRIES:
        addresses.check_registration(
            profile.address.country, organization_registration_number, profile.address.phone_number
        )
    return profile


def validate_address(body: Mapping[str, Any]) -> None:
    """Check an address by itself. Raises ``ApiError``: 400 / 2007 with the corrected address, 400 / 3000 for types."""
    address, problems = addresses.check(_address(Fields(body)))
    if problems:
        raise ApiError(ADDRESS_INVALID, addresses.problem_description(address, problems))


def _profile(fields: Fields) -> Profile:
    email = fields.required("email", most=_LONGEST_EMAIL)
    if not _EMAIL.fullmatch(email):
        raise fields.refusal("email", "is not an e-mail address")
    where = fields.object("defaultAddress")
    address, problems = addresses.check(_address(where))
    if problems:
        raise where.refusal(problems[0].field, f"is refused: {' '.join(problem.reason for problem in problems)}")
    return Profile(
        company_name=fields.required("companyName", most=LONGEST_NAME),
        address=address,
        email=email,
        culture=_culture(fields, "culture"),
        language=_culture(fields, "language"),
        first_name=fields.text("firstName", most=50),
        last_name=fields.text("lastName", most=50),
    )


def _address(fields: Fields) -> Address:
    return Address(
        country=fields.text("country") or "",
        region=fields.text("region"),
        city=fields.text("city"),
        state=fields.text("state"),
        address_line1=fields.text("addressLine1"),
        address_line2=fields.text("addressLine2"),
        postal_code=fields.text("postalCode"),
        first_name=fields.text("firstName"),
        middle_name=fields.text("middleName"),
        last_name=fields.text("lastName"),
        phone_number=fields.text("phoneNumber"),
    )


def _culture(fields: Fields, name: str) -> str:
    """A culture or language in the case that RFC 5646 gives it: ``en-US``, ``zh-Hant-TW``."""
    match = _CULTURE.fullmatch(fields.required(name, most=16))
    if match is None:
        raise fields.refusal(name, "is not a culture such as en-US")
    language, script, region = match.groups(default="")
    return language.lower() + script.title() + region.upper()
