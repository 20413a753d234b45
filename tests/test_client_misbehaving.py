"""The client against a network and a service that misbehave: no update is done twice, none is lost silently."""

import email.utils
import ipaddress
import itertools
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accredit.client import (
    ConflictError,
    MalformedResponseError,
    OutcomeUnknownError,
    PartnerCenterError,
    RateLimitedError,
    ServerError,
    ServiceUnavailableError,
)
from tests.clients import KINDS, Clients, Time, make_clients
from tests.conftest import Partner
from tests.misbehaving import (
    Behaviour,
    MisbehavingServer,
    Received,
    answer,
    drip,
    drip_headers,
    fault,
    forward,
    hang_up,
    html,
    misbehaving,
    rate_limited,
    raw,
    then_cut,
    then_cut_chunks,
    then_cut_headers,
    then_hang_up,
    then_say,
    unavailable,
)

clients = pytest.fixture(params=KINDS)(make_clients)

CUSTOMER = "5f1e9b3c-2d47-4b8a-9e61-7c0a3d5f8b01"
IN_REVIEW = {"qualification": "Education", "vettingStatus": "InReview", "vettingCreateDate": "2026-11-23T09:00:00.5Z"}


class Ledger:
    """A service that does what it is asked, and keeps each ``MS-RequestId``'s first answer, as the contract says."""

    def __init__(self) -> None:
        self.done: dict[str, bytes] = {}

    def __call__(self, _: MisbehavingServer, request: Received) -> bytes:
        if request.method == "GET":
            return raw(200, json.dumps([IN_REVIEW] * len(self.done)).encode())
        return self.done.setdefault(request.headers["MS-RequestId"], raw(201, json.dumps(IN_REVIEW).encode()))


LOSSES: dict[str, Callable[[Behaviour], Behaviour]] = {
    "429": lambda _: rate_limited("2"),
    "503": lambda _: unavailable("3"),
    "dropped before": lambda _: hang_up,
    "500 before": lambda _: fault(500),
    "502 before": lambda _: html(502),
    "504 before": lambda _: answer(504),
    "dropped after": then_hang_up,
    "cut after": then_cut,
    "chunks cut after": then_cut_chunks,
    "headers cut after": then_cut_headers,
    "500 after": lambda does: then_say(does, fault(500)),
    "502 after": lambda does: then_say(does, html(502)),
    "page after": lambda does: then_say(does, html(200)),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_write_is_done_once_whatever_becomes_of_its_answer(clients: Clients, loss: str, partner: Partner) -> None:
    """Against the real service, behind something that loses answers before and after the write is done."""
    service = forward(partner.service.url)
    customer = partner.customer("{}.k12.or.us")
    with misbehaving(service, *[LOSSES[loss](service)] * 2) as between:
        client = clients(between.url, partner.token(), time=Time())
        state = client.qualifications.update(customer, "Education", request_id=(id := uuid4()))
    assert state.qualification == "Education"
    assert state.vetting_status == "InReview"
    assert between.ids("MS-RequestId") == [str(id)] * 3
    with partner.service.database() as database:
        asked = database.execute(
            "SELECT count(*) FROM audit_records WHERE customer_id = %s AND resource_new_value LIKE %s",
            (customer, "%InReview%"),
        ).fetchone()
    assert asked == (1,)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(losses=st.lists(st.sampled_from(list(LOSSES)), max_size=14))
def test_any_sequence_of_losses_does_it_once_or_says_so(clients: Clients, losses: list[str]) -> None:
    """One call: at most one update. Either its answer comes, or an error that says whether it may have been done."""
    ledger = Ledger()
    with misbehaving(ledger, *(LOSSES[loss](ledger) for loss in losses)) as server:
        client = clients(server.url, time=Time())
        try:
            state = client.qualifications.update(CUSTOMER, "Education")
        except OutcomeUnknownError as error:
            assert set(ledger.done) <= {error.request_id}
        except PartnerCenterError as error:
            assert not ledger.done or error.unanswered_since
        else:
            assert state.vetting_status == "InReview"
            assert len(ledger.done) == 1
        assert len(set(server.ids("MS-RequestId"))) == 1
        assert len(set(server.ids("MS-CorrelationId"))) == 1


def test_each_call_has_ids_of_its_own(clients: Clients) -> None:
    with misbehaving(Ledger()) as server:
        client = clients(server.url)
        for _ in range(2):
            client.qualifications.update(CUSTOMER, "Education")
        client.qualifications.list(CUSTOMER)
    assert len(set(server.ids("MS-CorrelationId"))) == 3
    assert len({request.headers["MS-RequestId"] for request in server.received if request.method == "POST"}) == 2


def test_a_storm_of_429_is_waited_out_as_told(clients: Clients) -> None:
    """Being told to wait is no fault: it takes no attempt away, only time."""
    time = Time()
    with misbehaving(Ledger(), *[rate_limited("5")] * 25) as server:
        state = clients(server.url, time=time).qualifications.update(CUSTOMER, "Education")
    assert state.vetting_status == "InReview"
    assert len(time.waits) == 25
    assert all(5 <= wait <= 5.5 for wait in time.waits)


@pytest.mark.parametrize(
    ("refusal", "error"), [(rate_limited, RateLimitedError), (unavailable, ServiceUnavailableError)]
)
def test_a_wait_longer_than_the_call_may_take_is_not_begun(
    clients: Clients, refusal: Callable[[str], Behaviour], error: type[PartnerCenterError]
) -> None:
    time = Time()
    with misbehaving(refusal("3600")) as server, pytest.raises(error) as raised:
        clients(server.url, time=time).qualifications.list(CUSTOMER)
    assert raised.value.retry_after == 3600
    assert time.waits == []


def test_a_storm_without_end_ends_with_the_calls_time(clients: Clients) -> None:
    time = Time()
    with misbehaving(rate_limited("10")) as server, pytest.raises(RateLimitedError):
        clients(server.url, time=time).qualifications.list(CUSTOMER, timeout=100)
    assert 80 <= time.now <= 100


def test_a_retry_after_of_nothing_is_no_reason_to_hammer(clients: Clients) -> None:
    time = Time()
    with misbehaving(rate_limited("0")) as server, pytest.raises(RateLimitedError):
        clients(server.url, time=time).qualifications.list(CUSTOMER, timeout=100)
    assert len(server.received) < 20


@pytest.mark.parametrize("skew", [timedelta(days=-400), timedelta(0), timedelta(days=400)])
def test_a_date_in_retry_after_counts_from_the_services_clock(clients: Clients, skew: timedelta) -> None:
    now = datetime.now(UTC) + skew
    http_date, until = (email.utils.format_datetime(at, usegmt=True) for at in (now, now + timedelta(seconds=30)))
    time = Time()
    with misbehaving(Ledger(), rate_limited(until, Date=http_date)) as server:
        clients(server.url, time=time).qualifications.list(CUSTOMER)
    assert 30 <= time.waits[0] <= 33


def test_faults_are_retried_a_few_times_and_further_and_further_apart(clients: Clients) -> None:
    time = Time()
    with misbehaving(fault(500)) as server, pytest.raises(ServerError, match="500/800003: A fault") as raised:
        clients(server.url, time=time).qualifications.list(CUSTOMER)
    assert raised.value.code == "800003"
    assert len(server.received) == 9
    assert all(later > earlier for earlier, later in zip(time.waits, time.waits[2:], strict=False))
    assert max(time.waits) <= 30


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 501])
def test_what_would_not_fare_better_is_not_sent_again(clients: Clients, status: int) -> None:
    with misbehaving(fault(status)) as server, pytest.raises(PartnerCenterError) as raised:
        clients(server.url, time=Time()).qualifications.update(CUSTOMER, "Education")
    assert raised.value.status_code == status
    assert len(server.received) == 1


def test_a_redirect_is_not_followed(clients: Clients) -> None:
    """A token must not be led to another host."""
    with (
        misbehaving(Ledger()) as elsewhere,
        misbehaving(answer(307, Location=f"{elsewhere.url}/v1/customers")) as server,
        pytest.raises(PartnerCenterError, match="307"),
    ):
        clients(server.url).qualifications.list(CUSTOMER)
    assert elsewhere.received == []


@pytest.mark.parametrize("dripping", [drip, drip_headers])
def test_bytes_that_drip_are_not_waited_for(clients: Clients, dripping: Behaviour) -> None:
    """Every byte comes within the read timeout, the answer never does."""
    with misbehaving(Ledger(), dripping) as server:
        client = clients(server.url, attempt_timeout=1.0, retry_backoff_factor=0.001)
        state = client.qualifications.update(CUSTOMER, "Education")
    assert state.vetting_status == "InReview"
    assert len(set(server.ids("MS-RequestId"))) == 1
    assert len(server.received) >= 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


def test_bytes_that_drip_over_tls_are_not_waited_for(
    clients: Clients, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    file, context = certificate
    with misbehaving(Ledger(), drip, tls=context) as server:
        client = clients(server.url, attempt_timeout=1.0, retry_backoff_factor=0.001, connection_verify=str(file))
        assert client.qualifications.update(CUSTOMER, "Education").vetting_status == "InReview"
    assert len(server.received) >= 2


def test_nothing_is_sent_to_who_cannot_prove_who_it_is(
    clients: Clients, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    _, context = certificate
    time = Time()
    with misbehaving(Ledger(), tls=context) as server, pytest.raises(ServiceRequestError, match=r"(?i)certificate"):
        clients(server.url, time=time).qualifications.update(CUSTOMER, "Education")
    assert server.received == []
    assert time.waits == []


def test_a_write_whose_answer_never_comes_is_said_to_be_unknown(clients: Clients) -> None:
    ledger = Ledger()
    with (
        misbehaving(then_hang_up(ledger)) as server,
        pytest.raises(OutcomeUnknownError, match="may have been done") as raised,
    ):
        clients(server.url, time=Time()).qualifications.update(CUSTOMER, "Education")
    assert list(ledger.done) == [raised.value.request_id]


def test_sending_it_again_with_its_id_tells_what_became_of_it(clients: Clients) -> None:
    ledger = Ledger()
    with misbehaving(ledger, *[then_hang_up(ledger)] * 2) as server:
        client = clients(server.url, time=Time())
        with pytest.raises(OutcomeUnknownError) as raised:
            client.qualifications.update(CUSTOMER, "Education", retry_total=1)
        state = client.qualifications.update(CUSTOMER, "Education", request_id=raised.value.request_id)
    assert state.vetting_status == "InReview"
    assert len(ledger.done) == 1


def test_a_read_whose_answer_never_comes_is_simply_not_answered(clients: Clients) -> None:
    with misbehaving(hang_up) as server, pytest.raises(ServiceResponseError) as raised:
        clients(server.url, time=Time()).qualifications.list(CUSTOMER)
    assert not isinstance(raised.value, OutcomeUnknownError)


def test_nothing_was_sent_where_nobody_listens(clients: Clients) -> None:
    with misbehaving(hang_up) as server:
        url = server.url
    with pytest.raises(ServiceRequestError) as raised:
        clients(url, time=Time()).qualifications.update(CUSTOMER, "Education")
    assert not isinstance(raised.value, OutcomeUnknownError)


def test_a_page_of_a_proxy_is_no_answer(clients: Clients) -> None:
    with misbehaving(html(200)) as server, pytest.raises(MalformedResponseError, match=r"not JSON \(text/html\)"):
        clients(server.url, time=Time()).qualifications.list(CUSTOMER)


@pytest.mark.parametrize(
    "value", [{"items": []}, ["Education"], [{"vettingStatus": "InReview"}], [{"qualification": []}]]
)
def test_json_of_another_shape_is_malformed(clients: Clients, value: Any) -> None:
    with misbehaving(answer(200, value)) as server, pytest.raises(MalformedResponseError, match="does not fit"):
        clients(server.url).qualifications.list(CUSTOMER)


class Forgetful:
    """A service that did the update, but did not keep its answer: a repetition is a conflict."""

    def __init__(self, *, made: timedelta, clock: timedelta = timedelta(0), code: str = "700001") -> None:
        now = datetime.now(UTC) + clock
        state = IN_REVIEW | {"vettingCreateDate": (now + made).isoformat()}
        date = {"Date": email.utils.format_datetime(now, usegmt=True)}
        self._list = answer(200, [state], **date)
        self._conflict = answer(409, {"code": code, "description": "It is InReview already."}, **date)

    def __call__(self, server: MisbehavingServer, request: Received) -> bytes:
        return (self._list if request.method == "GET" else self._conflict)(server, request)


@pytest.mark.parametrize("clock", [timedelta(days=-400), timedelta(0), timedelta(days=400)])
def test_a_conflict_with_our_own_unanswered_attempt_is_success(clients: Clients, clock: timedelta) -> None:
    service = Forgetful(made=timedelta(seconds=0.5), clock=clock)
    with misbehaving(service, hang_up) as server:
        state = clients(server.url, time=Time()).qualifications.update(CUSTOMER, "Education")
    assert state.vetting_status == "InReview"


@pytest.mark.parametrize(
    ("service", "script"),
    [
        pytest.param(Forgetful(made=timedelta(hours=-1)), [hang_up], id="somebody asked before"),
        pytest.param(
            Forgetful(made=timedelta(hours=1), code="700005"), [hang_up], id="our id stands for another request"
        ),
        pytest.param(Forgetful(made=timedelta(hours=1)), [], id="no attempt of ours went unanswered"),
        pytest.param(Forgetful(made=timedelta(hours=1)), [rate_limited("1")], id="the other attempt was answered"),
    ],
)
def test_a_conflict_with_somebody_elses_update_is_one(
    clients: Clients, service: Behaviour, script: list[Behaviour]
) -> None:
    with misbehaving(service, *script) as server, pytest.raises(ConflictError):
        clients(server.url, time=Time()).qualifications.update(CUSTOMER, "Education")


def test_a_token_that_the_service_refuses_is_replaced_once(clients: Clients) -> None:
    """After a 401 the credential is asked again; the same token is not tried twice."""
    refuse = answer(401, {"code": "400", "description": "Expired."}, WWW_Authenticate='Bearer error="invalid_token"')
    with misbehaving(Ledger(), refuse) as server:
        credential = _Counting() if clients.kind == "sync" else _AioCounting()
        clients(server.url, credential=credential).qualifications.list(CUSTOMER)
        assert server.ids("Authorization") == ["Bearer token-1", "Bearer token-2"]
    with misbehaving(refuse) as server, pytest.raises(PartnerCenterError, match="401/400"):
        clients(server.url).qualifications.list(CUSTOMER)
    assert len(server.received) == 1


class _Counting:
    """Gives another token each time."""

    def __init__(self) -> None:
        self._counter = itertools.count(1)

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken(f"token-{next(self._counter)}", 2**31)


class _AioCounting(_Counting):
    async def get_token(self, *_: str, **__: Any) -> AccessToken:  # type: ignore[override]
        return super().get_token()
