"""The rules of qualifications, and the reading of requests, as properties: pure functions, no service."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.qualifications import rules
from accredit.qualifications.models import Qualification, QualificationState, QualificationUpdate, VettingStatus
from accredit.validations.models import ValidationCode
from accredit.wire.body import parse_object
from accredit.wire.errors import NOT_ACCEPTABLE, ApiError
from accredit.wire.etags import etag
from accredit.wire.exchange import Exchange, accepts_json

VETTED = (Qualification.EDUCATION, Qualification.GOVERNMENT_COMMUNITY_CLOUD)
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["qualification", "educationsegment", "website", "validationcode", "other"])
likely = st.sampled_from(["Education", "GovernmentCommunityCloud", "None", "K12", "12345", "contoso.edu", 12345])


def code(remaining: int | None) -> ValidationCode:
    return ValidationCode(
        partner_id=uuid4(),
        organization_name="Contoso County",
        validation_id="12345",
        max_creates=remaining,
        remaining_creates=remaining,
        e_tag=etag(NOW),
    )


@given(st.dictionaries(names, likely | json_values), st.lists(st.text(max_size=6), max_size=2))
def test_any_body_is_read_or_refused(body: dict[str, Any], codes: list[str]) -> None:
    present = {name: value for name, value in body.items() if value is not None}
    try:
        update = rules.parse_update(present, codes)
    except ApiError as error:
        assert error.status == 400
        return
    assert update.qualification in (*VETTED, Qualification.STATE_OWNED_ENTITY)
    assert (update.validation_id is not None) == (update.qualification is Qualification.GOVERNMENT_COMMUNITY_CLOUD)
    assert update.education_segment is None or update.qualification is Qualification.EDUCATION


@given(likely | json_values, st.lists(st.text(max_size=6), max_size=2))
def test_any_value_of_the_older_form_is_read_or_refused(value: Any, codes: list[str]) -> None:
    try:
        update = rules.parse_older_update(value, codes)
    except ApiError as error:
        assert error.status == 400
        return
    assert update.qualification in (*VETTED, Qualification.STATE_OWNED_ENTITY)


@given(st.binary(max_size=64) | json_values.map(msgspec.json.encode))
def test_any_bytes_are_an_object_or_malformed(body: bytes) -> None:
    try:
        value = parse_object(body, "application/json")
    except ApiError as error:
        assert (error.kind.status, error.kind.code) == (400, "800002")
        return
    assert all(name == name.lower() and content is not None for name, content in value.items())


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{", b'{"a":1,}', b'{"a":1/*c*/}', b"// c\n{}", b"[]", b"1", b'"x"', b"null", b"NaN", b'{"a":NaN}',
     b'{"a":"\xff"}', b"\xff\xfe{\x00}\x00", b"[" * 200_000, b'{"a":' * 200_000, b"{} {}", b"{'a':1}"],
)  # fmt: skip
def test_what_is_not_a_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse_object(body, "application/json")
    assert caught.value.kind.code == "800002"
    assert len(caught.value.body()) < 1500


@pytest.mark.parametrize(
    ("website", "host"),
    [
        ("contoso.edu", "contoso.edu"),
        ("WWW.Contoso.EDU.", "www.contoso.edu"),
        ("https://contoso.edu/about?x#y", "contoso.edu"),
        ("http://contoso.edu:8080", "contoso.edu"),
        ("contoso.edu/about", "contoso.edu"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("https://Straße.example", "xn--strae-oqa.example"),
    ],
)
def test_the_host_of_a_website(website: str, host: str) -> None:
    assert rules.website_host(website) == host


@pytest.mark.parametrize(
    "website",
    ["", "contoso", "localhost", "192.0.2.1", "http://[2001:db8::1]/", "https://", "ftp://contoso.edu", "a b.edu",
     "javascript:alert(1)", "https://me@contoso.edu", "contoso..edu", "-contoso.edu", "contoso.edu\r\nX: y",
     "contoso.edu:port", "x" * 64 + ".edu", "a." * 2000 + "edu", "\ud800.edu", "contoso.1", 5, None],
)  # fmt: skip
def test_what_is_no_website_is_refused(website: Any) -> None:
    with pytest.raises(ApiError) as caught:
        rules.website_host(website)
    assert caught.value.kind.code == "3000"


@given(st.text(max_size=40))
def test_a_host_is_its_own_host(website: str) -> None:
    try:
        host = rules.website_host(website)
    except ApiError:
        return
    assert rules.website_host(host) == host
    assert host.isascii()
    assert host == host.lower()


hosts = st.from_regex(r"([a-z]([a-z0-9-]{0,8}[a-z0-9])?\.){1,3}[a-z]{2,8}", fullmatch=True)
tails = st.sampled_from(["", "/", "/about?x=a@b#c", "?x=1"])


@given(hosts.filter(lambda host: "--" not in host), st.sampled_from(["", "http://", "HTTPS://"]), tails, st.booleans())
def test_the_host_is_what_the_rest_of_the_url_does_not_touch(host: str, scheme: str, tail: str, port: bool) -> None:
    given_as = f"{scheme}{host.upper()}{':8443' if port else ''}{tail}"
    assert rules.website_host(given_as) == host


def refused(website: Any) -> bool:
    with pytest.raises(ApiError, match="website") as caught:
        rules.website_host(website)
    return caught.value.kind.code == "3000"


@given(st.ip_addresses(), st.sampled_from(["", "http://", "https://"]), tails)
def test_an_address_is_no_website(address: Any, scheme: str, tail: str) -> None:
    assert refused(f"{scheme}{f'[{address}]' if address.version == 6 else address}{tail}")


@given(hosts, st.from_regex(r"[A-Za-z0-9.%-]{0,8}(:[A-Za-z0-9%!]{0,8})?", fullmatch=True), tails)
def test_credentials_are_no_part_of_a_website(host: str, credentials: str, tail: str) -> None:
    assert refused(f"https://{credentials}@{host}{tail}")


@given(st.from_regex(r"[a-z0-9-]{1,30}", fullmatch=True), st.sampled_from(["", "http://", "https://"]))
def test_a_single_label_is_no_website(label: str, scheme: str) -> None:
    assert refused(scheme + label)


@given(json_values.filter(lambda value: not isinstance(value, str)))
def test_what_is_no_string_is_no_website(value: Any) -> None:
    assert refused(value)


steps = st.lists(
    st.tuples(
        st.sampled_from([*VETTED, Qualification.STATE_OWNED_ENTITY]),
        st.sampled_from([None, VettingStatus.APPROVED, VettingStatus.DENIED]),
    ),
    max_size=20,
)


@given(steps, st.none() | st.integers(min_value=0, max_value=3))
def test_no_sequence_of_requests_and_decisions_breaks_the_rules(
    sequence: list[tuple[Qualification, VettingStatus | None]], creates: int | None
) -> None:
    standing: dict[Qualification, QualificationState] = {}
    customer, held = uuid4(), 0
    for qualification, verdict in sequence:
        before = standing.get(qualification)
        remaining = None if creates is None else creates - held
        try:
            state = rules.request(
                QualificationUpdate(qualification, validation_id="12345"),
                standing,
                code(remaining),
                new_id=uuid4(),
                customer_id=customer,
                now=NOW,
            )
        except ApiError as error:
            assert error.status == 409
            continue
        standing[qualification] = state
        assert state.request_number == (before.request_number + 1 if before and state is not before else 1)
        if qualification is Qualification.STATE_OWNED_ENTITY:
            assert state.vetting_status is None
            continue
        assert before is None or before.vetting_status is VettingStatus.DENIED
        assert state.vetting_status is VettingStatus.IN_REVIEW
        if rules.takes_create(qualification):
            held += 1
        if verdict is not None:
            reason = None
            if verdict is VettingStatus.DENIED:
                reason = rules.denial_reason(
                    qualification, rules.DENIAL_REASONS[qualification][0], state.request_number
                )
                assert reason.endswith("- After Review") == (state.request_number > 1)
                held -= rules.takes_create(qualification)
            standing[qualification] = state.decided(verdict, reason)
        assert sum(standing[one].holds for one in VETTED if one in standing) <= 1
        assert all(one.request_number <= rules.MOST_REQUESTS for one in standing.values())
        assert creates is None or 0 <= creates - held <= creates
        assert (rules.older_value(standing) == qualification.value.lower()) == (verdict is VettingStatus.APPROVED)


def test_a_reason_of_the_other_qualification_is_refused() -> None:
    with pytest.raises(ValueError, match="Not a Government Customer"):
        rules.denial_reason(Qualification.GOVERNMENT_COMMUNITY_CLOUD, "Not an Academic Domain", 1)


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=60)), max_size=6))
def test_any_headers_are_read(headers: list[tuple[bytes, bytes]]) -> None:
    known = [(b"ms-requestid", value) for _, value in headers] + [(b"x-locale", value) for _, value in headers]
    exchange, error = Exchange.of([*headers, *known])
    assert error is None or error.status == 400
    for name, value in exchange.identifiers():
        assert name.isascii()
        assert not set(value) & set(b"\r\n\0")
    refused = exchange.check_v1()
    assert refused is None or refused.kind is NOT_ACCEPTABLE or refused.status == 400


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [(None, True), ("", True), ("*/*", True), ("application/json", True), ("TEXT/JSON", True), ("application/*", True),
     ("application/json; charset=utf-8", True), ("text/html, */*;q=0.1", True), ("text/html", False),
     ("application/json;q=0", False), ("application/json;q=0.0, text/json", True), ("application/jsonp", False)],
)  # fmt: skip
def test_accept(accept: str | None, accepted: bool) -> None:
    assert accepts_json(accept) is accepted
