"""A bulk file is checked whole: what a line may say, what is wrong with one, and what a file remembers of itself."""

import hashlib
import tracemalloc
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.cli.bulk import source
from accredit.cli.bulk.rows import QUALIFICATIONS, SEGMENTS, RowError, Update, is_website, parse
from accredit.cli.bulk.source import LONGEST_LINE, Checked, SourceChangedError

CUSTOMER = "5f1e9b3c-2d47-4b8a-9e61-7c0a3d5f8b01"


def check(path: Path, content: bytes | str) -> tuple[Checked, list[tuple[int, str]]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    bad: list[tuple[int, str]] = []
    return source.check(path, lambda number, why: bad.append((number, why))), bad


@given(
    customer=st.uuids(),
    qualification=st.sampled_from(QUALIFICATIONS),
    segment=st.sampled_from(["", *SEGMENTS]),
    code=st.from_regex(r"[0-9]{0,8}", fullmatch=True),
    shout=st.booleans(),
    pad=st.sampled_from(["", " ", "\t"]),
)
def test_names_are_spelled_as_the_contract_does(
    customer: object, qualification: str, segment: str, code: str, shout: bool, pad: str
) -> None:
    given_fields = {"customer": str(customer), "qualification": qualification, "segment": segment, "code": code}
    if shout:
        given_fields = {name: value.upper() for name, value in given_fields.items()}
    fields = {name: pad + value + pad for name, value in given_fields.items()}
    allowed = (not segment or qualification == "Education") and (code or qualification != "GovernmentCommunityCloud")
    if allowed:
        assert parse(fields) == Update(str(customer), qualification, segment or None, None, code or None)
    else:
        with pytest.raises(RowError):
            parse(fields)


@given(st.dictionaries(st.sampled_from(["customer", "qualification", "segment", "website", "code"]), st.text()))
def test_any_line_is_an_update_or_an_error_that_says_why(fields: dict[str, str]) -> None:
    try:
        parse(fields)
    except RowError as error:
        assert str(error)


def test_everything_that_is_wrong_with_a_line_is_named() -> None:
    with pytest.raises(RowError) as error:
        parse({"customer": "x", "qualification": "Nonprofit", "segment": "K13", "website": "localhost", "code": "a"})
    for part in ("customer 'x'", "qualification 'Nonprofit'", "segment 'K13'", "website 'localhost'", "code 'a'"):
        assert part in str(error.value)


@pytest.mark.parametrize("website", ["contoso.edu", "www.contoso.edu/about", "https://contoso.edu:8443/", "schüle.de"])
def test_a_website_is_a_host_name_or_a_url(website: str) -> None:
    assert is_website(website)


@pytest.mark.parametrize(
    "website", ["contoso", "ftp://contoso.edu", "https://me@contoso.edu", "127.0.0.1", "a b.edu", "https://", "x:y:z"]
)
def test_other_texts_are_no_website(website: str) -> None:
    assert not is_website(website)


def test_a_file_is_read_as_spreadsheets_write_it(tmp_path: Path) -> None:
    other = str(uuid4())
    content = (
        b"\xef\xbb\xbf"
        + f'"Customer","Qualification","Website"\r\n{CUSTOMER},Education,"www.contoso.edu"\r\n,,\r\n\r\n'
        f"{other},education,\r\n".encode()
    )
    checked, bad = check(tmp_path / "a.csv", content)
    assert (checked.updates, checked.bad, bad) == (2, 0, [])
    assert checked.sha256 == hashlib.sha256(content).hexdigest()
    assert [(line.number, line.update) for line in checked.lines()] == [
        (2, Update(CUSTOMER, "Education", website="www.contoso.edu")),
        (5, Update(other, "Education")),
    ]


@pytest.mark.parametrize(
    ("content", "number", "why"),
    [
        ("", 1, "the file is empty"),
        ("customer,qualification\n", 1, "nothing to send"),
        (f"{CUSTOMER},Education\n", 1, f"unknown column '{CUSTOMER}'"),
        ("customer\n", 1, "column qualification is missing"),
        ("customer;qualification\n", 1, "fields are separated by commas"),
        ("customer,qualification,Customer\n", 1, "column customer comes twice"),
        (f"customer,qualification\n{CUSTOMER}\n", 2, "1 fields, where the first line names 2"),
        (f"customer,qualification\n{CUSTOMER},Education,K12\n", 2, "3 fields, where the first line names 2"),
        (f'customer,qualification\n{CUSTOMER},"Education\n', 2, "not CSV"),
        (f"customer,qualification\n{CUSTOMER},Education\rx\n", 2, "not CSV"),
        (b"customer,qualification\n\xff,Education\n", 2, "not UTF-8 (byte 1)"),
        (b"customer,qualification\n" + b"x" * (3 * LONGEST_LINE) + b"\n", 2, "longer than"),
        (b"\x00" * 100, 1, "unknown column"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, content: str | bytes, number: int, why: str) -> None:
    checked, bad = check(tmp_path / "a.csv", content)
    assert checked.bad == len(bad) == 1
    assert bad[0][0] == number
    assert why in bad[0][1]


def test_a_bad_line_spoils_no_other(tmp_path: Path) -> None:
    lines = ["customer,qualification", f'"{uuid4()},Education', f"{uuid4()},Education", "x" * 2 * LONGEST_LINE]
    lines += [f"{uuid4()},None", f"{uuid4()},Education", ""]
    checked, bad = check(tmp_path / "a.csv", "\n".join(lines))
    assert [number for number, _ in bad] == [2, 4, 5]
    assert checked.updates == 2


def test_lines_that_ask_twice_for_the_same_are_named(tmp_path: Path) -> None:
    lines = ["customer,qualification"]
    lines += [f"{CUSTOMER},Education", f"{CUSTOMER},StateOwnedEntity", f"{CUSTOMER.upper()},EDUCATION"]
    _, bad = check(tmp_path / "a.csv", "\n".join(lines))
    assert bad == [(4, "asks for the same as line 2")]


def test_a_file_that_was_changed_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = ["customer,qualification", *(f"{uuid4()},Education" for _ in range(10))]
    checked, _ = check(path, "\n".join(lines) + "\n")
    reading = checked.lines()
    next(reading)
    with path.open("a") as file:
        file.write(f"{uuid4()},Education\n")
    with pytest.raises(SourceChangedError):
        list(reading)


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Ten times the lines take no more memory: what is remembered of each is on disk."""
    peaks = []
    for number in (2_000, 20_000):
        path = tmp_path / f"{number}.csv"
        path.write_text("customer,qualification\n" + "".join(f"{uuid4()},Education\n" for _ in range(number)))
        tracemalloc.start()
        checked = source.check(path, lambda *_: None)
        assert sum(1 for _ in checked.lines()) == number
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The lines of a batch are in memory together: 10,000 at the most.
    assert peaks[1] < peaks[0] + 10_000 * 250
