"""The seed file: partners and all that is theirs, as ``accredit seed`` takes it."""

from typing import Annotated
from uuid import UUID

import msgspec

from accredit.customers.models import LONGEST_NAME, NO_CONTROLS, Address

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1024, pattern=NO_CONTROLS)]
CompanyName = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME, pattern=NO_CONTROLS)]
ValidationId = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,64}\Z")]


class _Seed(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A misspelt property is refused rather than ignored."""


class Application(_Seed):
    """An application that may ask the local authority for tokens. The secret is stored hashed."""

    id: UUID
    secret: Text


class User(_Seed):
    """A user of the partner. ``roles`` go into its tokens."""

    id: UUID
    upn: Text
    roles: list[Text] = []


class Code(_Seed):
    """A validation code; no ``maxCreates``, no limit."""

    validation_id: ValidationId
    organization_name: Text
    max_creates: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None


class Customer(_Seed):
    """A customer of the partner. ``customDomains`` count as verified."""

    id: UUID
    company_name: CompanyName
    domain: Text
    custom_domains: list[Text] = []
    address: Address | None = None


class Partner(_Seed):
    """A partner and all that is its own."""

    id: UUID
    name: Text
    sandbox: bool = False
    applications: list[Application] = []
    users: list[User] = []
    validation_codes: list[Code] = []
    customers: list[Customer] = []


class Seed(_Seed):
    """A whole seed file."""

    partners: list[Partner]
