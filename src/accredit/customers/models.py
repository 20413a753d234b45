"""Values of the customers feature, contract section 7."""

import msgspec


class Address(msgspec.Struct, rename="camel", omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """A postal address. ``country`` is ISO 3166-1 alpha-2."""

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
