"""Values of the customers feature, contract section 7."""

from typing import Annotated

import msgspec

NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f]*\Z"
"""Matches text without control characters: PostgreSQL takes no NUL, and the others would steer a terminal."""
Line = Annotated[str, msgspec.Meta(pattern=NO_CONTROLS)]


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
