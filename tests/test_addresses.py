"""The rules of addresses: real ones of fifteen countries, each also with one thing broken, and properties."""

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from string import ascii_uppercase

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accredit.customers.addresses import (
    LONGEST,
    REGISTRATION_COUNTRIES,
    check,
    check_registration,
    problem_description,
)
from accredit.customers.countries import Country, country
from accredit.customers.models import Address
from accredit.wire.errors import ApiError

ROWS = list(csv.DictReader((Path(__file__).parent / "data" / "addresses.csv").open(encoding="utf-8", newline="")))
NAMES = {field.encode_name: field.name for field in msgspec.structs.fields(Address)}
COUNTRIES = [found for one in ascii_uppercase for two in ascii_uppercase if (found := country(one + two))]


def address(row: dict[str, str], **changes: str) -> Address:
    """The address of a row; absent is as the official clients send it, the empty string."""
    values = {name: row.get(wire, "") for wire, name in NAMES.items()}
    return Address(**{**values, **changes})


def fields(checked: Address) -> list[str]:
    return [problem.field for problem in check(checked)[1]]


real = st.sampled_from(ROWS)
texts = st.text(max_size=60) | st.text(alphabet='"\\\x00é東0 -', min_size=200, max_size=230) | st.none()
hostile = st.builds(
    Address,
    country=st.sampled_from([found.code for found in COUNTRIES]) | st.text(max_size=3),
    **{name: texts for name in NAMES.values() if name != "country"},
)
near_real = st.builds(
    lambda row, change: msgspec.structs.replace(address(row), **change),
    real,
    st.dictionaries(st.sampled_from([name for name in NAMES.values() if name != "country"]), texts, max_size=4),
)
any_address = hostile | near_real


def test_there_are_ten_addresses_of_fifteen_countries() -> None:
    assert list(Counter(row["country"] for row in ROWS).values()) == [10] * 15


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["institution"])
def test_a_real_address_is_valid_and_a_broken_one_is_named(row: dict[str, str]) -> None:
    normalised, problems = check(address(row))
    assert problems == []
    assert normalised.postal_code == row["postalCode"]
    assert fields(address(row, **{NAMES[row["broken"]]: row["value"]})) == [row["broken"]]


@given(real, st.sampled_from([str.lower, str.upper, str.title]), st.sampled_from(["", " ", "\t", "\u3000"]))
def test_case_and_blanks_make_nothing_wrong(row: dict[str, str], case: Callable[[str], str], blank: str) -> None:
    plain, _ = check(address(row))
    changes = {NAMES[wire]: f"{blank}{case(row[wire])}{blank}" for wire in ("country", "state", "postalCode", "region")}
    city = {"city": f" {row['city'].replace(' ', '  ')} "}
    written, problems = check(address(row, **changes, **city))
    assert problems == []
    assert msgspec.structs.replace(written, region=plain.region) == plain


@given(any_address)
def test_normalising_twice_changes_nothing(anything: Address) -> None:
    normalised, problems = check(anything)
    again, remaining = check(normalised)
    assert again == normalised
    assert {problem.field for problem in remaining} == {problem.field for problem in problems if not problem.corrected}


@given(any_address)
def test_what_passes_keeps_the_contract(anything: Address) -> None:
    normalised, problems = check(anything)
    if problems:
        return
    assert normalised.address_line1 and country(normalised.country)
    assert all(len(getattr(normalised, NAMES[wire]) or "") <= most for wire, most in LONGEST.items())
    assert all(getattr(normalised, name) != "" for name in NAMES.values())


@given(any_address)
@example(Address(country='"' * 300, **{name: '"' * 300 for name in NAMES.values() if name != "country"}))
def test_a_description_is_json_and_no_longer_than_an_error_takes(anything: Address) -> None:
    normalised, problems = check(anything)
    if not problems:
        return
    description = problem_description(normalised, problems)
    assert len(description) <= 1024
    said = msgspec.json.decode(description)
    assert said["code"] == "60071" and said["object_type"] == "AddressValidation"
    assert said["reason"].startswith(problems[0].reason)
    assert all(getattr(normalised, name) == text for name, text in said["corrected_address"].items())


def test_a_description_tells_the_correction() -> None:
    normalised, problems = check(
        Address(
            country="US", address_line1="One Microsoft Way", city="Redmond", state="Washington", postal_code="980526399"
        )
    )
    said = msgspec.json.decode(problem_description(normalised, problems))
    assert said == {
        "code": "60071",
        "reason": "The state 'Washington' is longer than 2 characters. - Details: "
        "Field - 'State' is corrected from OldValue: 'Washington' to NewValue: 'WA'.",
        "corrected_address": {
            "country": "US",
            "city": "Redmond",
            "state": "WA",
            "address_line1": "One Microsoft Way",
            "postal_code": "98052-6399",
        },
        "object_type": "AddressValidation",
        "resource_status": "Active",
    }


@pytest.mark.parametrize(
    ("code", "given_code", "kept"),
    [
        ("US", "98052 6399", "98052-6399"),
        ("GB", "sw1a1aa", "SW1A 1AA"),
        ("GB", "SW1A1 AA", "SW1A 1AA"),
        ("CA", "k1a0a9", "K1A 0A9"),
        ("NL", "1071xx", "1071 XX"),
        ("PL", "00927", "00-927"),
        ("JP", "〒１００ー０００１", "100-0001"),
        ("JP", "〒１００－０００１", "100-0001"),
        ("JP", "1000001", "100-0001"),
        ("BR", "01310200", "01310-200"),
        ("CH", "CH-3003", "3003"),
        ("DE", "DE-10117", "10117"),
        ("LU", "L-2998", "2998"),
        ("EG", "١١٥١١", "11511"),
        ("FR", "75 001", "75 001"),
        ("GB", "SW1A 1AA, England", None),
        ("US", "98052-", "98052"),
    ],
)
def test_a_postal_code_is_spelled_as_the_country_does(code: str, given_code: str, kept: str | None) -> None:
    found = country(code)
    assert found is not None and found.postal_code(given_code) == kept


@pytest.mark.parametrize("found", COUNTRIES, ids=lambda found: found.code)
def test_a_country_knows_its_own_names(found: Country) -> None:
    """Every area is found by its key and its short code, and the example of a postal code is one."""
    for area in found.areas:
        assert found.area(area.key) is area
        assert area.short is None or found.area(area.short) is area
    if found.example:
        assert found.postal_code(found.example) == found.example


@pytest.mark.parametrize(
    ("code", "state", "kept"),
    [("MX", "jc", "JC"), ("CN", "北京", "BJ"), ("CN", "11", "BJ"), ("IN", "mh", "MH"), ("DE", "by", "BY")],
)
def test_a_state_is_kept_as_its_code(code: str, state: str, kept: str) -> None:
    normalised, problems = check(Address(country=code, address_line1="1", state=state))
    assert normalised.state == kept
    assert "state" not in [problem.field for problem in problems]


@pytest.mark.parametrize(
    ("region", "state"),
    [("Québec", "QC"), ("quebec", "QC"), ("Nouvelle-Écosse", "NS"), ("nova scotia", "NS"), ("Maritimes", None)],
)
def test_a_region_that_names_a_state_stands_for_it(region: str, state: str | None) -> None:
    normalised, problems = check(Address(country="CA", address_line1="1", city="x", region=region))
    assert normalised.state == state and normalised.region == region
    assert ("state" in [problem.field for problem in problems]) == (state is None)


def test_mexico_and_china_have_a_short_code_for_every_area() -> None:
    for code in ("MX", "CN"):
        found = country(code)
        assert found is not None and all(area.short and area.short.isalpha() for area in found.areas)


@pytest.mark.parametrize("code", sorted(REGISTRATION_COUNTRIES))
def test_a_registration_country_needs_number_and_phone(code: str) -> None:
    check_registration(code, "1027700132195", "+7 495 123-45-67")
    check_registration(code, " AB-12.345/6 ", "1")
    for number, phone, expected in [
        (None, "1", "600049"),
        (" ", "1", "600049"),
        ("1234", "1", "600050"),
        ("ABCD-1234", "1", "600050"),
        ("1" * 23, "1", "600050"),
        ("12345_6", "1", "600050"),
        ("12345", None, "600051"),
        ("12345", " ", "600051"),
    ]:
        with pytest.raises(ApiError) as refusal:
            check_registration(code, number, phone)
        assert (refusal.value.status, refusal.value.kind.code) == (400, expected)


def test_elsewhere_a_registration_number_is_refused() -> None:
    check_registration("US", None, None)
    check_registration("US", "", None)
    with pytest.raises(ApiError, match="600002"):
        check_registration("US", "12345", "1")


@given(st.sampled_from(sorted(REGISTRATION_COUNTRIES)), st.text(), st.text())
def test_a_registration_is_judged_whatever_is_sent(code: str, number: str, phone: str) -> None:
    try:
        check_registration(code, number, phone)
    except ApiError as error:
        assert error.kind.code in {"600049", "600050", "600051"}
    else:
        assert 5 <= len(number.strip()) <= 22 and phone.strip()
