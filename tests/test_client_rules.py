"""The client's decisions, without a network: what it reads, where it sends a token, when it asks again."""

import dataclasses
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from hypothesis import given
from hypothesis import strategies as st

from accredit import client
from accredit.client import (
    CHINA_ENDPOINT,
    GLOBAL_ENDPOINT,
    Address,
    BillingProfile,
    Customer,
    CustomerQualification,
    Qualification,
    RefreshTokenCredential,
    StaticTokenCredential,
    UpdateLostError,
    UserCredentials,
    VettingStatus,
)
from accredit.client._polling import MOST_ABSENCES, Pace, Update, Watch, is_earlier
from accredit.client._requests import list_customers
from accredit.client._responses import retry_after
from accredit.client._settings import Endpoint
from accredit.client.errors import ForbiddenError, RateLimitedError

NOW = datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=UTC)
LOCAL = Endpoint.of("http://127.0.0.1:8080")
TEXT = st.text(max_size=20)
MOMENTS = st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC))


def state(status: str | None = "InReview", created: datetime | None = NOW, **more: Any) -> CustomerQualification:
    return CustomerQualification(
        qualification=Qualification.EDUCATION,
        vetting_status=status and VettingStatus(status),
        vetting_created_date=created,
        **more,
    )


# Models


@given(
    address=st.builds(
        Address,
        additional_properties=st.just({}),
        **{f.name: st.none() | TEXT for f in dataclasses.fields(Address) if f.name != "additional_properties"},
    )
)
def test_a_model_survives_the_wire(address: Address) -> None:
    assert Address.from_wire(json.loads(json.dumps(address.to_wire()))) == address


@given(st.dictionaries(TEXT.filter(lambda name: name.lower() not in ("id", "email")), st.integers() | TEXT, max_size=5))
def test_what_a_model_does_not_know_it_keeps_for_the_update(unknown: dict[str, Any]) -> None:
    """A profile is read, changed and written back whole: nothing that the service added may be lost on the way."""
    known = {field.name for field in dataclasses.fields(BillingProfile)}
    unknown = {name: value for name, value in unknown.items() if name not in known}
    profile = BillingProfile.from_wire({"ID": "7", "eMail": "a@b.example", **unknown})
    changed = dataclasses.replace(profile, email="c@d.example")
    assert changed.to_wire() == {"id": "7", "email": "c@d.example", **unknown}


@pytest.mark.parametrize("name", ["vettingCreateDate", "vettingCreatedDate", "VettingCreatedDate"])
def test_the_date_is_read_in_either_spelling(name: str) -> None:
    read = CustomerQualification.from_wire({"qualification": "education", name: "2026-11-23T09:00:00.1234567Z"})
    assert read == state(None)
    assert read.qualification is Qualification.EDUCATION


def test_values_that_are_new_to_us_stay_text() -> None:
    read = CustomerQualification.from_wire({"qualification": "Charity", "vettingStatus": "Escalated"})
    assert (read.qualification, read.vetting_status, read.is_decided) == ("Charity", "Escalated", False)


def test_the_date_that_means_none_is_none() -> None:
    read = CustomerQualification.from_wire({"qualification": "Education", "vettingCreatedDate": "0001-01-01T00:00:00"})
    assert read.vetting_created_date is None


def test_secrets_are_not_shown() -> None:
    created = Customer(user_credentials=UserCredentials(user_name="admin", password="s3cret"))
    credential = RefreshTokenCredential("tenant", "app", "s3cret", "s3cret")
    assert "s3cret" not in f"{created!r} {created} {StaticTokenCredential('s3cret')!r} {credential!r}"


# Endpoints


@pytest.mark.parametrize(
    "url", [GLOBAL_ENDPOINT, CHINA_ENDPOINT, "https://x.example:8443/base/", "http://[::1]:80", "http://localhost:8080"]
)
def test_endpoints_that_may_see_a_token(url: str) -> None:
    assert Endpoint.of(url).resolve("/v1/customers") == url.rstrip("/") + "/v1/customers"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.partnercenter.microsoft.com",
        "http://10.0.0.1",
        "http://localhost.example",
        "ftp://127.0.0.1",
        "127.0.0.1:8080",
        "",
        "https://",
        "https://a@b.example",
        "https://x.example?q",
        "https://x.example:port",
    ],
)
def test_endpoints_that_may_not(url: str) -> None:
    with pytest.raises(ValueError, match="the endpoint"):
        Endpoint.of(url)


@pytest.mark.parametrize(
    "uri", ["https://127.0.0.1:8080/v1/customers", "http://127.0.0.1/v1", "http://evil.example/v1", "javascript:1"]
)
def test_a_link_elsewhere_is_not_followed(uri: str) -> None:
    with pytest.raises(ValueError, match="not followed"):
        LOCAL.resolve(uri)


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("/v1/customers?size=2&seekOperation=Next", "/v1/customers?size=2&seekOperation=Next"),
        ("/customers?size=2", "/v1/customers?size=2"),
        ("customers?size=2", "/v1/customers?size=2"),
        ("http://127.0.0.1:8080/v1/customers", "/v1/customers"),
        ("//evil.example/customers", "/v1/evil.example/customers"),
    ],
)
def test_a_link_may_be_absolute_or_relative_with_or_without_the_version(uri: str, url: str) -> None:
    page = list_customers(filter=None, size=None, token=None).parse(
        {"items": [], "links": {"next": {"uri": uri, "headers": [{"key": "MS-ContinuationToken", "value": "t"}]}}}
    )
    request = list_customers(filter=None, size=None, token=page.next).request
    assert LOCAL.resolve(request.url) == LOCAL.url + url
    assert request.headers["MS-ContinuationToken"] == "t"


def test_the_scope_is_the_clouds() -> None:
    assert Endpoint.of(CHINA_ENDPOINT).default_scope == f"{CHINA_ENDPOINT}/.default"
    assert LOCAL.default_scope == Endpoint.of(GLOBAL_ENDPOINT).default_scope == f"{GLOBAL_ENDPOINT}/.default"


# Waiting


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": " 0 "}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({}, None),
        ({"Retry-After": "Mon, 23 Nov 2026 09:00:30 GMT", "Date": "Mon, 23 Nov 2026 09:00:00 GMT"}, 30),
        ({"Retry-After": "Mon, 23 Nov 2026 08:00:00 GMT", "Date": "Mon, 23 Nov 2026 09:00:00 GMT"}, 0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def watching(
    first: float = 1.0, longest: float = 60.0, *, resumed: bool = False, update: CustomerQualification | None = None
) -> Watch:
    watch = Watch(Pace(first, longest), resumed=resumed)
    watch.initialize(None, Update(LOCAL.url, "c", update or state()), lambda value: value)
    return watch


@given(
    first=st.floats(0.01, 10),
    told=st.lists(st.none() | st.integers(0, 1000), min_size=1, max_size=30),
    errors=st.booleans(),
)
def test_waits_grow_to_a_limit_and_are_never_shorter_than_told(
    first: float, told: list[int | None], errors: bool
) -> None:
    watch = watching(first)
    assert first <= watch.wait() <= first * 1.25
    for seconds in told:
        headers = {} if seconds is None else {"Retry-After": str(seconds)}
        if errors and seconds is not None:
            watch.excuse(RateLimitedError("429", response=_Response(429), retry_after=seconds))
        else:
            watch.observe([state()], headers)
        wait = watch.wait()
        assert wait >= max(seconds or 0, first)
        assert wait <= max(seconds or 0, 60 * 1.25)


def test_who_resumes_looks_at_once() -> None:
    watch = watching(5.0, resumed=True)
    assert watch.wait() == 0
    assert watch.wait() >= 5


def test_the_pace_is_gentle_with_the_real_endpoint_and_brisk_on_this_machine() -> None:
    assert Pace.at(Endpoint.of(GLOBAL_ENDPOINT), None) == Pace(5, 300)
    assert Pace.at(LOCAL, None) == Pace(0.1, 2)
    assert Pace.at(LOCAL, 10) == Pace(10, 10)
    with pytest.raises(ValueError, match="polling_interval"):
        Pace.at(LOCAL, 0)


@pytest.mark.parametrize("status", ["Approved", "Denied", None])
def test_a_decision_ends_it(status: str | None) -> None:
    watch = watching()
    watch.observe([state(status)], {})
    assert watch.finished()
    assert watch.resource() == state(status)


def test_an_earlier_denial_is_not_taken_for_the_decision() -> None:
    """Asked again after a denial, by a service that shows writes late: the old denial is still there for a while."""
    watch = watching()
    watch.observe([state("Denied", NOW - timedelta(days=1))], {})
    assert not watch.finished()
    watch.observe([state("Denied", NOW - timedelta(days=1)), state("Approved", NOW)], {})
    assert watch.status() == "Approved"


def test_other_qualifications_do_not_matter() -> None:
    watch = watching()
    watch.observe([CustomerQualification(qualification="StateOwnedEntity"), state()], {})
    assert not watch.finished()


@given(date=MOMENTS, digits=st.integers(0, 3))
def test_dates_of_less_precision_are_not_earlier(date: datetime, digits: int) -> None:
    """A service may give the date to the microsecond in one answer and to the second or millisecond in another."""
    unit = 10 ** (6 - digits) if digits in (0, 3) else 1000
    shown = date.replace(microsecond=date.microsecond // unit * unit)
    assert not is_earlier(shown, date)
    assert is_earlier(shown - timedelta(seconds=1), date)


def test_an_update_that_is_gone_is_not_waited_for_for_ever() -> None:
    watch = watching()
    for _ in range(MOST_ABSENCES - 1):
        watch.observe([], {})
    with pytest.raises(UpdateLostError, match="Education of c"):
        watch.observe([], {})


@pytest.mark.parametrize("error", [ServiceRequestError("x"), ServiceResponseError("x")])
def test_errors_that_pass_do_not_end_the_waiting(error: Any) -> None:
    watching().excuse(error)


def test_errors_that_do_not_pass_end_it() -> None:
    with pytest.raises(ForbiddenError):
        watching().excuse(ForbiddenError("403", response=_Response(403)))


@given(
    status=st.sampled_from(["InReview", "Approved", "Denied", None]),
    created=st.none() | MOMENTS,
    reason=st.none() | st.text(min_size=1),
)
def test_a_continuation_token_carries_all_that_is_needed(
    status: str | None, created: datetime | None, reason: str | None
) -> None:
    update = Update(LOCAL.url, "c", state(status, created, vetting_reason=reason))
    assert Update.of_token(update.token(), LOCAL) == update


@pytest.mark.parametrize("token", ["", "nonsense", "e30", "ñ"])
def test_what_is_no_continuation_token_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="not a continuation token"):
        Update.of_token(token, LOCAL)


def test_a_continuation_token_is_of_its_endpoint_and_customer() -> None:
    update = Update(LOCAL.url, "c", state())
    with pytest.raises(ValueError, match="not of https"):
        Update.of_token(update.token(), Endpoint.of(GLOBAL_ENDPOINT))
    with pytest.raises(ValueError, match="not of Education of d"):
        update.check_is("d", "Education")
    update.check_is("c", "education")


# The package


def test_it_imports_nothing_of_the_service() -> None:
    """In a process where the server's dependencies and the service's own modules cannot be imported."""
    blocked = (
        "litestar",
        "msgspec",
        "psycopg",
        "pgqueuer",
        "uvicorn",
        "alembic",
        "jwt",
        "structlog",
        "pydantic_settings",
    )
    code = f"""
import sys
for name in {blocked!r}:
    sys.modules[name] = None
import accredit.client, accredit.client.aio
for name in accredit.client.__all__:
    getattr(accredit.client, name)
own = [name for name in sys.modules if name.startswith("accredit.") and not name.startswith("accredit.client")]
assert not own, own
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_it_imports_nothing_heavy() -> None:
    """A command line that offers the enums' values must not pay for azure-core, requests and aiohttp."""
    code = """
import sys
from accredit.client import Qualification
heavy = {"azure.core", "requests", "aiohttp", "urllib3", "asyncio"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_all_that_is_promised_is_there() -> None:
    assert set(client.__all__) <= set(dir(client))
    with pytest.raises(AttributeError, match="Nothing"):
        _ = client.Nothing


class _Response:
    """As much of an answer as an error looks at."""

    reason = "reason"

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code
