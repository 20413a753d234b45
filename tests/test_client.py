"""The SDK against the running service, and what it puts on the wire; both clients."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.settings import settings as azure_settings
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from accredit.client import (
    AuthenticationError,
    ConflictError,
    CustomerFilter,
    ForbiddenError,
    InvalidRequestError,
    NoRelationshipError,
    PartnerCenterClient,
    RefreshTokenCredential,
    StaticTokenCredential,
    VettingReason,
)
from accredit.client._policies import environment_proxies
from accredit.client._settings import Endpoint
from accredit.identity.authority import LocalAuthority, RefreshGrant
from tests.clients import KINDS, Clients, Time, make_clients
from tests.conftest import AUDIENCE, DEADLINE, Partner, Service, run_cli
from tests.misbehaving import Received, answer, hang_up, misbehaving, rate_limited, raw

clients = pytest.fixture(params=KINDS)(make_clients)
SECRET = "an application's secret"
CUSTOMER = "5f1e9b3c-2d47-4b8a-9e61-7c0a3d5f8b01"


@pytest.fixture
def client(clients: Clients, partner: Partner) -> Any:
    return clients(partner.service.url, partner.token())


# Qualifications


def test_an_update_is_awaited_to_its_approval(client: Any, partner: Partner) -> None:
    customer = partner.customer("{}.k12.or.us")
    assert client.qualifications.list(customer) == []
    poller = client.qualifications.begin_update(customer, "Education", education_segment="K12")
    decided = poller.result()
    assert (decided.qualification, decided.vetting_status, decided.holds) == ("Education", "Approved", True)
    assert poller.done()
    assert poller.status() == "Approved"
    assert client.qualifications.list(customer) == [decided]


def test_a_denial_is_a_result(client: Any, partner: Partner) -> None:
    decided = client.qualifications.begin_update(partner.customer("{}.gmail.com"), "Education").result()
    assert decided.is_denied
    assert decided.vetting_reason is VettingReason.NOT_AN_ACADEMIC_DOMAIN


def test_asking_again_after_a_denial_waits_for_the_new_decision(client: Any, partner: Partner) -> None:
    customer = partner.customer("{}.gmail.com")
    first, second = (client.qualifications.begin_update(customer, "Education").result() for _ in range(2))
    assert first.vetting_created_date < second.vetting_created_date
    assert second.vetting_reason is VettingReason.NOT_AN_EDUCATION_CUSTOMER_AFTER_REVIEW


def test_what_needs_no_vetting_is_done_at_once(client: Any, partner: Partner) -> None:
    poller = client.qualifications.begin_update(partner.customer(), "StateOwnedEntity")
    assert poller.status() == "Succeeded"
    assert poller.result().vetting_status is None


def test_a_government_update_takes_its_code(client: Any, partner: Partner) -> None:
    customer, code = partner.customer("{}.gov", name="Test County"), partner.code(creates=2)
    assert client.validation_codes.get_for_customer(customer) is None
    poller = client.qualifications.begin_update(customer, "GovernmentCommunityCloud", validation_code=code)
    assert poller.result().vetting_status == "Approved"
    (listed,) = client.validation_codes.list()
    assert (listed.validation_id, listed.max_creates, listed.remaining_creates) == (code, 2, 1)
    assert listed.etag.startswith("W/")
    assert client.validation_codes.get_for_customer(customer) == listed


def test_update_does_not_wait(client: Any, partner: Partner) -> None:
    assert client.qualifications.update(partner.customer("{}.example"), "education").vetting_status == "InReview"


def test_waiting_survives_the_process(client: Any, partner: Partner) -> None:
    """One process asks and ends; a person decides; another process goes on waiting, by the token alone."""
    customer = partner.customer("{}.example")
    code = (
        "import sys; from accredit.client import *; endpoint, token, customer = sys.argv[1:]\n"
        "client = PartnerCenterClient(StaticTokenCredential(token), endpoint=endpoint)\n"
        "print(client.qualifications.begin_update(customer, 'Education').continuation_token())"
    )
    command = [sys.executable, "-c", code, partner.service.url, partner.token(), str(customer)]
    token = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True).stdout.strip()
    poller = client.qualifications.resume_update(token)
    assert poller.status() == "InReview"
    decide(partner.service, customer)
    assert poller.result().vetting_status == "Approved"
    again = client.qualifications.begin_update(customer, "Education", continuation_token=token)
    assert again.result().vetting_status == "Approved"


def decide(service: Service, customer: UUID) -> None:
    with service.database() as database:
        case = database.execute("SELECT id FROM qualifications WHERE customer_id = %s", (customer,)).fetchone()
    assert case is not None
    approved = run_cli("review", "approve", str(case[0]), "--database-url", service.database_url, home=service.home)
    assert approved.returncode == 0, approved.stderr


def test_polls_that_fail_for_a_while_do_not_end_the_waiting(clients: Clients) -> None:
    in_review = {"qualification": "Education", "vettingStatus": "InReview", "vettingCreateDate": "2026-11-23T09:00:00Z"}
    approved = in_review | {"vettingStatus": "Approved"}
    time = Time()
    script = [
        answer(201, in_review),
        hang_up,
        rate_limited("77"),
        answer(200, []),
        answer(502),
        answer(200, [in_review], Retry_After="99"),
    ]
    with misbehaving(answer(200, [approved]), *script) as server:
        poller = clients(server.url, time=time).qualifications.begin_update(CUSTOMER, "Education")
        assert poller.result().vetting_status == "Approved"
    assert [request.method for request in server.received] == ["POST", *["GET"] * 6]
    assert [wait for wait in time.waits if wait > 10] == [77, 99]


def test_a_poll_that_is_refused_ends_the_waiting_but_not_the_update(clients: Clients) -> None:
    in_review = {"qualification": "Education", "vettingStatus": "InReview", "vettingCreateDate": "2026-11-23T09:00:00Z"}
    with misbehaving(answer(403, {"code": 900150, "description": "No."}), answer(201, in_review)) as server:
        poller = clients(server.url, time=Time()).qualifications.begin_update(CUSTOMER, "Education")
        with pytest.raises(ForbiddenError) as raised:
            poller.result()
    assert raised.value.continuation_token == poller.continuation_token()


# Errors


def test_errors_carry_what_the_service_said(client: Any, partner: Partner) -> None:
    customer = partner.customer("{}.example")
    client.qualifications.update(customer, "Education")
    with pytest.raises(ConflictError, match="409/700001: Education is InReview already") as raised:
        client.qualifications.update(customer, "Education", request_id=(id := uuid4()))
    error = raised.value
    assert (error.status_code, error.code, error.request_id) == (409, "700001", str(id))
    assert UUID(error.correlation_id)
    assert error.description == "Education is InReview already."


@pytest.mark.parametrize(
    ("call", "error", "code"),
    [
        (lambda client: client.qualifications.list("not-a-guid"), InvalidRequestError, "900118"),
        (lambda client: client.qualifications.list(uuid4()), NoRelationshipError, "20002"),
        (lambda client: client.qualifications.update(uuid4(), "Charity"), InvalidRequestError, "900126"),
        (lambda client: client.qualifications.update(uuid4(), "Nonprofit"), InvalidRequestError, "3000"),
    ],
)
def test_errors_by_situation(client: Any, call: Callable[[Any], Any], error: type[Exception], code: str) -> None:
    with pytest.raises(error) as raised:
        call(client)
    assert raised.value.code == code


def test_a_token_of_no_use(clients: Clients, partner: Partner) -> None:
    with pytest.raises(AuthenticationError) as raised:
        clients(partner.service.url, "nonsense").validation_codes.list()
    assert isinstance(raised.value, ClientAuthenticationError)
    with pytest.raises(ForbiddenError, match="900329"):
        clients(partner.service.url, partner.token(app_only=True)).qualifications.update(uuid4(), "Education")


@pytest.mark.parametrize("customer", ["", " ", "..", "."])
def test_an_empty_customer_id_is_refused_before_anything_is_sent(client: Any, customer: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a path"):
        client.qualifications.list(customer)


def test_a_request_id_must_be_a_guid(client: Any) -> None:
    with pytest.raises(ValueError, match="not a GUID"):
        client.qualifications.update(uuid4(), "Education", request_id="today")


# On the wire


def test_what_a_request_carries(clients: Clients) -> None:
    with misbehaving(answer(201, {"qualification": "Education"})) as server:
        client = clients(server.url, "secret-token", application="Back office", locale="de-DE", user_agent="tool/1")
        client.qualifications.update(
            CUSTOMER, "Education", education_segment="K12", validation_code="1 2&3", headers={"X-More": "more"}
        )
    (request,) = server.received
    assert request.target == f"/v1/customers/{CUSTOMER}/qualifications?code=1%202%263"
    assert request.json == {"Qualification": "Education", "EducationSegment": "K12"}
    headers = request.headers
    assert headers["Authorization"] == "Bearer secret-token"
    assert headers["MS-PartnerCenter-Application"] == "Back office"
    assert headers["MS-SdkVersion"].startswith("accredit-python/")
    assert headers["X-Locale"] == "de-DE"
    assert headers["Accept"] == headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("tool/1 accredit-python/")
    assert headers["X-More"] == "more"
    assert UUID(headers["MS-RequestId"]) != UUID(headers["MS-CorrelationId"])


def test_a_collection_is_followed_page_by_page_and_can_be_gone_on_with(clients: Clients) -> None:
    pages = [["a", "b"], ["c"], []]

    def collection(_: Any, request: Received) -> bytes:
        number = int(request.headers.get("MS-ContinuationToken", 0))
        link = {"uri": "/customers?size=2&seekOperation=Next", "method": "GET"}
        link["headers"] = [{"key": "MS-ContinuationToken", "value": str(number + 1)}]
        body = {"totalCount": 3, "items": [{"id": id} for id in pages[number]]}
        return raw(200, json.dumps(body | ({"links": {"next": link}} if number < 2 else {})).encode())

    with misbehaving(collection) as server:
        client = clients(server.url)
        found = client.customers.list(filter=CustomerFilter.company_name('Ä "x"'), size=2)
        assert [customer.id for customer in found] == ["a", "b", "c"]
        by_page = client.customers.list(size=2).by_page()
        next(by_page)
        token = by_page.continuation_token
        rest = client.customers.list(size=2).by_page(token)
        assert [[customer.id for customer in page] for page in rest] == [["c"], []]
    first, second = server.received[:2]
    query = parse_qs(urlsplit(first.target).query)
    assert json.loads(query["filter"][0]) == {"Field": "CompanyName", "Value": 'Ä "x"', "Operator": "starts_with"}
    assert query["size"] == ["2"]
    assert second.target == "/v1/customers?size=2&seekOperation=Next"


def test_no_secret_is_logged(clients: Clients, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    created = {"id": "c", "userCredentials": {"userName": "admin", "password": 'pass"word'}}
    with misbehaving(answer(201, created)) as server:
        client = clients(server.url, "secret-token", logging_enable=True)
        from accredit.client import Customer

        assert client.customers.create(Customer()).user_credentials.password == 'pass"word'
    assert "secret-token" not in caplog.text
    assert "word" not in caplog.text.replace("password", "")
    assert "'Authorization': 'REDACTED'" in caplog.text
    assert '"userName": "admin"' in caplog.text


def test_bodies_are_logged_only_where_wanted(clients: Clients, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with misbehaving(answer(200, [{"qualification": "Education"}])) as server:
        client = clients(server.url)
        client.qualifications.list(CUSTOMER)
        assert "Response body" not in caplog.text
        client.qualifications.list(CUSTOMER, logging_enable=True)
        assert 'Response body: [{"qualification": "Education"}]' in caplog.text


def test_a_netrc_does_not_replace_the_token(clients: Clients, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with misbehaving(answer(200, [])) as server:
        clients(server.url, "ours").qualifications.list(CUSTOMER)
    assert server.ids("Authorization") == ["Bearer ours"]


def test_proxies_of_the_environment_are_for_other_hosts(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent to this machine stays on it; what is sent elsewhere goes by the proxy."""
    with misbehaving(answer(200, [])) as server, misbehaving(answer(200, [])) as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        clients(server.url).qualifications.list(CUSTOMER)
        assert len(server.received) == 1
        assert proxy.received == []
        clients(server.url, proxies={"http": proxy.url}).qualifications.list(CUSTOMER)
        assert proxy.received[0].target == f"{server.url}/v1/customers/{CUSTOMER}/qualifications"
    assert environment_proxies(Endpoint.of("https://x.example"))["http"] == proxy.url


@pytest.fixture(scope="module")
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    azure_settings.tracing_enabled = True
    yield exporter
    azure_settings.tracing_enabled.unset_value()


def test_calls_and_attempts_are_traced(clients: Clients, spans: InMemorySpanExporter) -> None:
    spans.clear()
    with misbehaving(answer(200, []), rate_limited("1")) as server:
        clients(server.url, time=Time()).qualifications.list(CUSTOMER)
    first, second, call = spans.get_finished_spans()
    assert call.name == "QualificationOperations.list"
    assert [span.attributes["http.response.status_code"] for span in (first, second)] == [429, 200]
    assert second.attributes["http.request.resend_count"] == 1
    assert {span.parent.span_id for span in (first, second)} == {call.context.span_id}
    assert all("traceparent" in request.headers for request in server.received)


# Credentials


@pytest.fixture
def application(partner: Partner) -> Partner:
    """The partner, with an application that may redeem refresh tokens for its user."""
    user = {"id": str(partner.user.id), "upn": f"{uuid4()}@partner.example", "roles": ["AdminAgent"]}
    partner.seed(applications=[{"id": str(partner.application_id), "secret": SECRET}], users=[user])
    return partner


def refresh_token(partner: Partner) -> str:
    grant = RefreshGrant(
        partner_id=partner.id, user_id=partner.user.id, application_id=partner.application_id, mfa=True
    )
    return LocalAuthority(partner.service.home).issue_refresh_token(grant)


def test_a_refresh_token_is_redeemed_and_its_rotation_handed_back(clients: Clients, application: Partner) -> None:
    stored = [refresh_token(application)]
    credential = clients.credential(
        str(application.id),
        str(application.application_id),
        SECRET,
        stored[0],
        authority=application.service.url,
        on_refresh_token=stored.append,
    )
    client = clients(application.service.url, credential=credential)
    customer = application.customer("{}.example")
    assert client.qualifications.update(customer, "Education").vetting_status == "InReview"
    client.qualifications.list(customer)
    assert len(stored) == 2  # redeemed once, for both calls
    renewed = clients.credential(
        str(application.id), str(application.application_id), SECRET, stored[1], authority=application.service.url
    )
    assert clients.run(renewed.get_token(f"{AUDIENCE}/.default")).token
    for one in (credential, renewed):
        clients.run(one.close())


def test_a_refused_refresh_token_says_why_and_shows_nothing(clients: Clients, application: Partner) -> None:
    credential = clients.credential(
        str(application.id), str(application.application_id), "wrong", "old-token", authority=application.service.url
    )
    with pytest.raises(ClientAuthenticationError, match="invalid_client: There is no such client") as raised:
        clients(application.service.url, credential=credential).validation_codes.list()
    assert "old-token" not in str(raised.value)
    clients.run(credential.close())


def test_an_authority_that_stumbles_is_asked_again(clients: Clients) -> None:
    granted = {"access_token": "access", "expires_in": 3600, "refresh_token": "new", "token_type": "Bearer"}
    stored: list[str] = []
    with misbehaving(answer(200, granted), hang_up, answer(503)) as authority:
        credential = clients.credential(
            "t", "app", "s&cret", "old", authority=authority.url, on_refresh_token=stored.append, retry_backoff_factor=0
        )
        for _ in range(2):
            assert isinstance(token := clients.run(credential.get_token("scope/.default")), AccessToken)
        clients.run(credential.close())
    assert token.token == "access"
    assert stored == ["new"]
    assert {request.target for request in authority.received} == {"/t/oauth2/v2.0/token"}
    assert authority.received[-1].body == (
        b"grant_type=refresh_token&client_id=app&client_secret=s%26cret&refresh_token=old"
        b"&scope=scope%2F.default+offline_access"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_many_at_once_redeem_a_refresh_token_once(kind: str) -> None:
    """An authority that rotates refresh tokens would refuse the second who redeems the same one."""
    granted = {"access_token": "access", "expires_in": 3600, "refresh_token": "new"}
    stored: list[str] = []
    with misbehaving(answer(200, granted)) as authority:
        options: dict[str, Any] = {"authority": authority.url, "on_refresh_token": stored.append}
        if kind == "sync":
            with RefreshTokenCredential("t", "app", "s", "old", **options) as credential, ThreadPoolExecutor(8) as pool:
                barrier = threading.Barrier(8)
                list(pool.map(lambda _: (barrier.wait(), credential.get_token("scope/.default")), range(8)))
        else:
            asyncio.run(_eight_at_once(options))
    assert len(authority.received) == 1
    assert stored == ["new"]


async def _eight_at_once(options: Any) -> None:
    from accredit.client.aio import RefreshTokenCredential as AioRefreshTokenCredential

    async with AioRefreshTokenCredential("t", "app", "s", "old", **options) as credential:
        await asyncio.gather(*(credential.get_token("scope/.default") for _ in range(8)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_is_shared(kind: str, partner: Partner) -> None:
    """Between threads, or between tasks: each call gets its own answer."""
    customers = partner.customers(20, "{}.example")
    if kind == "sync":
        with (
            PartnerCenterClient(StaticTokenCredential(partner.token()), endpoint=partner.service.url) as client,
            ThreadPoolExecutor(8) as pool,
        ):
            list(pool.map(lambda id: client.qualifications.update(id, "Education"), customers))
            listed = list(pool.map(client.qualifications.list, customers))
    else:
        listed = asyncio.run(_update_all(partner, customers))
    assert [[state.qualification for state in states] for states in listed] == [["Education"]] * 20


async def _update_all(partner: Partner, customers: list[UUID]) -> list[Any]:
    from accredit.client import aio

    credential = aio.StaticTokenCredential(partner.token())
    async with aio.PartnerCenterClient(credential, endpoint=partner.service.url) as client:
        await asyncio.gather(*(client.qualifications.update(id, "Education") for id in customers))
        return await asyncio.gather(*(client.qualifications.list(id) for id in customers))
