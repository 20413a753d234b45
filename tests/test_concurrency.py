"""Writes at once, repeated writes, and callers that go away: real HTTP, contract sections 4 and 6."""

import asyncio
import http.client
import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from accredit.vetting.review import store as review
from accredit.vetting.store import DECIDED_CHANNEL
from tests.conftest import DEADLINE, Decisions, Partner, Service, environment

Qualify = Callable[..., httpx.Response]
GCC = "GovernmentCommunityCloud"
CROWD = 50


async def post(
    client: httpx.AsyncClient,
    customer: UUID,
    qualification: str = "Education",
    *,
    code: str | None = None,
    request_id: UUID | None = None,
    sent: asyncio.Event | None = None,
) -> httpx.Response:
    """Ask for a qualification; ``sent`` is set once the whole request is on its way."""

    async def trace(event: str, _: Any) -> None:
        if sent is not None and event == "http11.send_request_body.complete":
            sent.set()

    return await client.post(
        f"/v1/customers/{customer}/qualifications",
        params={"code": code} if code else None,
        json={"Qualification": qualification},
        headers={"MS-RequestId": str(request_id)} if request_id else None,
        extensions={"trace": trace},
    )


def outcome(answer: httpx.Response) -> tuple[int, str | None]:
    """The status and, of an error, the code."""
    return answer.status_code, answer.json().get("code")


def rows(service: Service, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with service.database() as connection:
        return connection.execute(query, parameters).fetchall()  # type: ignore[arg-type]  # the tests' own queries


def audit_records(partner: Partner) -> list[str]:
    """The operation statuses of the partner's audit records, in the order of writing."""
    query = """
        SELECT operation_status FROM audit_records
        WHERE partner_id = %s AND operation_type LIKE 'update%%' ORDER BY id
    """
    return [status for (status,) in rows(partner.service, query, partner.id)]


def qualifications(partner: Partner) -> list[tuple[Any, ...]]:
    query = """
    SELECT customer_id, qualification, vetting_status FROM qualifications JOIN customers ON customers.id = customer_id
    WHERE partner_id = %s ORDER BY requested_at, qualifications.id
    """
    return rows(partner.service, query, partner.id)


def remaining(partner: Partner) -> dict[str, int | None]:
    """The creates left of each of the partner's codes, as a client sees them."""
    with partner.client() as client:
        codes = client.get("/v1/customers/all/validations").json()
    return {code["validationId"]: code.get("remainingCreates") for code in codes}


@pytest.fixture(scope="module")
def other_api(service: Service) -> Iterator[str]:
    """The URL of a second API process over the same database, trusting the same tokens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "accredit", "api", "--port", "0"],
        env=environment(home=str(service.home), database_url=service.database_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("accredit is listening on "), line
        yield line.split()[-1]
    finally:
        process.terminate()
        assert process.wait(DEADLINE) == 0
        assert process.stdout
        process.stdout.close()


@pytest.fixture
def verdicts(service: Service) -> Iterator[psycopg.Connection[Any]]:
    """A connection that hears the verdicts: for several at once, of which each must be read."""
    with service.database() as connection:
        connection.execute(f"LISTEN {DECIDED_CHANNEL}")
        yield connection


# The same request at once


def test_fifty_posts_with_one_request_id_are_one_qualification_and_fifty_equal_answers(
    partner: Partner, decisions: Decisions
) -> None:
    customer, request_id = partner.customer("{}.k12.or.us"), uuid4()
    jobs = "SELECT count(*) FROM pgqueuer_log WHERE status = 'queued'"
    ((jobs_before,),) = rows(partner.service, jobs)

    async def crowd() -> list[httpx.Response]:
        async with partner.async_client(CROWD) as client:
            return await asyncio.gather(*(post(client, customer, request_id=request_id) for _ in range(CROWD)))

    answers = asyncio.run(crowd())
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert {answer.headers["MS-RequestId"] for answer in answers} == {str(request_id)}
    assert len({answer.headers["MS-CorrelationId"] for answer in answers}) == CROWD
    assert decisions.wait(customer) == "Approved"
    assert qualifications(partner) == [(customer, "Education", "Approved")]
    assert audit_records(partner) == ["progress", "succeeded"]
    made = """
    SELECT decisions.request_number, outcome FROM decisions JOIN qualifications ON qualifications.id = qualification_id
    WHERE customer_id = %s
    """
    assert rows(partner.service, made, customer) == [(1, "Approved")]
    assert rows(partner.service, jobs) == [(jobs_before + 1,)]


def test_repeats_wait_for_the_first_that_is_still_running(partner: Partner, other_api: str) -> None:
    customer, request_id = partner.customer(), uuid4()

    async def crowd() -> list[httpx.Response]:
        sent = [asyncio.Event() for _ in range(CROWD)]
        async with (
            partner.async_client(CROWD) as here,
            httpx.AsyncClient(base_url=other_api, headers=here.headers, timeout=DEADLINE) as there,
            await psycopg.AsyncConnection.connect(partner.service.database_url) as holder,
        ):
            # Whichever comes first cannot end before all the others are on their way.
            await holder.execute("SELECT FROM customers WHERE id = %s FOR UPDATE", (customer,))
            posts = [
                asyncio.create_task(post((here, there)[i % 2], customer, request_id=request_id, sent=event))
                for i, event in enumerate(sent)
            ]
            await asyncio.wait_for(asyncio.gather(*(event.wait() for event in sent)), DEADLINE)
            assert not any(task.done() for task in posts)
            await holder.rollback()
            return await asyncio.gather(*posts)

    answers = asyncio.run(crowd())
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["MS-ServerId"] for answer in answers}) == 2
    assert qualifications(partner) == [(customer, "Education", "InReview")]
    assert audit_records(partner) == ["progress"]


def test_a_request_id_counts_in_all_processes(partner: Partner, other_api: str) -> None:
    customers = partner.customers(30)
    partner.code(creates=20)

    async def race() -> list[list[httpx.Response]]:
        async with (
            partner.async_client() as here,
            httpx.AsyncClient(base_url=other_api, headers=here.headers, timeout=DEADLINE) as there,
        ):

            async def pair(customer: UUID) -> list[httpx.Response]:
                same = uuid4()
                return await asyncio.gather(
                    *(post(client, customer, GCC, code="12345", request_id=same) for client in (here, there))
                )

            return await asyncio.gather(*map(pair, customers))

    pairs = asyncio.run(race())
    for one, other in pairs:
        assert one.content == other.content and one.status_code == other.status_code
        assert one.headers["MS-ServerId"] != other.headers["MS-ServerId"]
    assert Counter(outcome(one) for one, _ in pairs) == {(201, None): 20, (409, "700004"): 10}
    assert len(qualifications(partner)) == len(audit_records(partner)) == 20
    assert remaining(partner) == {"12345": 0}


def test_one_request_id_with_two_bodies_at_once_is_done_for_one_of_them(partner: Partner, other_api: str) -> None:
    customers = partner.customers(20)

    async def race() -> list[list[httpx.Response]]:
        async with (
            partner.async_client() as here,
            httpx.AsyncClient(base_url=other_api, headers=here.headers, timeout=DEADLINE) as there,
        ):

            async def pair(customer: UUID) -> list[httpx.Response]:
                same = uuid4()
                return await asyncio.gather(
                    post(here, customer, "Education", request_id=same),
                    post(here, customer, "StateOwnedEntity", request_id=same),
                    post(there, customer, "StateOwnedEntity", request_id=same),
                )

            return await asyncio.gather(*map(pair, customers))

    for customer, answers in zip(customers, asyncio.run(race()), strict=True):
        education, *owned = map(outcome, answers)
        assert {education, *owned} == {(201, None), (409, "700005")}
        assert owned[0] == owned[1] != education
        winner = "Education" if education == (201, None) else "StateOwnedEntity"
        assert [name for id, name, _ in qualifications(partner) if id == customer] == [winner]
    assert len(audit_records(partner)) == len(customers)


def test_one_request_id_for_two_customers_is_done_for_one_of_them(partner: Partner) -> None:
    customers, request_id = partner.customers(10), uuid4()

    async def race() -> list[httpx.Response]:
        async with partner.async_client() as client:
            return await asyncio.gather(*(post(client, customer, request_id=request_id) for customer in customers))

    outcomes = [outcome(answer) for answer in asyncio.run(race())]
    assert Counter(outcomes) == {(201, None): 1, (409, "700005"): 9}
    assert [id for id, *_ in qualifications(partner)] == [customers[outcomes.index((201, None))]]


# Different requests at once


@pytest.mark.parametrize(
    ("domains", "final"),
    [pytest.param((), "InReview", id="referred"), pytest.param(("{}.gov",), "Approved", id="approved")],
)
def test_fifty_customers_racing_for_five_creates_get_exactly_five(
    partner: Partner, verdicts: psycopg.Connection[Any], domains: tuple[str, ...], final: str
) -> None:
    customers = partner.customers(CROWD, *domains, name="Test County")
    partner.code(creates=5)

    async def race() -> list[httpx.Response]:
        async with partner.async_client(CROWD) as client:
            return await asyncio.gather(*(post(client, customer, GCC, code="12345") for customer in customers))

    outcomes = [outcome(answer) for answer in asyncio.run(race())]
    assert Counter(outcomes) == {(201, None): 5, (409, "700004"): 45}
    winners = {customer for customer, one in zip(customers, outcomes, strict=True) if one == (201, None)}
    if final == "Approved":
        awaited = {f"{customer} {GCC} Approved" for customer in winners}
        for notice in verdicts.notifies(timeout=DEADLINE):
            awaited.discard(notice.payload)
            if not awaited:
                break
        assert not awaited
    assert remaining(partner) == {"12345": 0}
    assert set(qualifications(partner)) == {(customer, GCC, final) for customer in winners}


def test_creates_given_back_while_others_race_for_them_are_neither_lost_nor_doubled(partner: Partner) -> None:
    customers = partner.customers(60)
    partner.code(creates=10)
    cases = """
    SELECT qualifications.id FROM qualifications JOIN customers ON customers.id = customer_id WHERE partner_id = %s
    """

    async def deny(case: UUID) -> None:
        async with await psycopg.AsyncConnection.connect(partner.service.database_url) as connection:
            await review.decide(connection, case, reason="Not a Government Customer", note=None, reviewer="tester")

    async def race() -> list[tuple[int, str | None]]:
        async with partner.async_client() as client:

            async def take(some: list[UUID]) -> list[httpx.Response]:
                return await asyncio.gather(*(post(client, customer, GCC, code="12345") for customer in some))

            first = await take(customers[:10])
            denials = asyncio.gather(*(deny(id) for (id,) in rows(partner.service, cases, partner.id)))
            second = await take(customers[10:35])
            await denials
            third = await take(customers[35:])
            return [outcome(answer) for answer in (*first, *second, *third)]

    outcomes = asyncio.run(race())
    assert outcomes[:10] == [(201, None)] * 10
    # All ten came back in the end, so ten more had them; nobody an eleventh.
    assert Counter(outcomes[10:]) == {(201, None): 10, (409, "700004"): 40}
    assert remaining(partner) == {"12345": 0}
    assert Counter(status for *_, status in qualifications(partner)) == {"Denied": 10, "InReview": 10}


def test_education_and_government_racing_for_a_customer_give_exactly_one(partner: Partner) -> None:
    customers = partner.customers(30)
    partner.code(creates=100)

    async def race() -> list[list[httpx.Response]]:
        async with partner.async_client() as client:

            async def pair(customer: UUID) -> list[httpx.Response]:
                return await asyncio.gather(post(client, customer), post(client, customer, GCC, code="12345"))

            return await asyncio.gather(*map(pair, customers))

    won: Counter[str] = Counter()
    for customer, answers in zip(customers, asyncio.run(race()), strict=True):
        assert sorted(map(outcome, answers), key=str) == [(201, None), (409, "700002")]
        winner = answers[0] if answers[0].status_code == 201 else answers[1]
        name = winner.json()["qualification"]
        assert [held for id, held, _ in qualifications(partner) if id == customer] == [name]
        won[name] += 1
    assert remaining(partner) == {"12345": 100 - won[GCC]}
    assert len(audit_records(partner)) == 30


def test_one_qualification_asked_for_at_once_under_different_ids_is_given_once(partner: Partner) -> None:
    customer = partner.customer()

    async def race() -> list[httpx.Response]:
        async with partner.async_client() as client:
            return await asyncio.gather(*(post(client, customer, request_id=uuid4()) for _ in range(30)))

    assert Counter(map(outcome, asyncio.run(race()))) == {(201, None): 1, (409, "700001"): 29}
    assert audit_records(partner) == ["progress"]


# The same request again


def test_a_repeat_gets_the_first_answer_also_after_the_state_changed(
    partner: Partner, decisions: Decisions, qualify: Qualify
) -> None:
    school, other = partner.customer("{}.k12.or.us"), partner.customer("{}.gmail.com")
    with partner.client() as client:
        for customer, verdict in ((school, "Approved"), (other, "Denied")):
            headers = {"MS-RequestId": str(uuid4())}
            first = qualify(client, customer, headers=headers)
            assert first.status_code == 201
            assert decisions.wait(customer) == verdict
            before = audit_records(partner)
            again = qualify(client, customer, headers=headers)
            assert (again.status_code, again.content) == (first.status_code, first.content)
            assert again.json()["vettingStatus"] == "InReview"
            assert audit_records(partner) == before
            listed = client.get(f"/v1/customers/{customer}/qualifications").json()
            assert [one["vettingStatus"] for one in listed] == [verdict]


def test_refusals_are_kept_under_their_request_id(partner: Partner, qualify: Qualify) -> None:
    customer = partner.customer()
    partner.code(creates=0)
    url = f"/v1/customers/{customer}/qualifications"
    with partner.client() as client:
        no_creates = {"MS-RequestId": str(uuid4())}
        first = qualify(client, customer, GCC, code="12345", headers=no_creates)
        assert outcome(first) == (409, "700004")
        malformed = {"MS-RequestId": str(uuid4()), "Content-Type": "application/json"}
        assert outcome(client.post(url, content=b"{", headers=malformed)) == (400, "800002")

        partner.code(creates=1)
        again = qualify(client, customer, GCC, code="12345", headers=no_creates)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert outcome(client.post(url, content=b"{", headers=malformed)) == (400, "800002")
        assert outcome(qualify(client, customer, headers=malformed)) == (409, "700005")
        assert qualifications(partner) == []
        assert outcome(qualify(client, customer, GCC, code="12345")) == (201, None)


def test_an_unauthorized_answer_is_not_kept(partner: Partner, qualify: Qualify) -> None:
    customer = partner.customer()
    headers = {"MS-RequestId": str(uuid4())}
    with partner.client() as client:
        assert outcome(qualify(client, customer, headers={**headers, "Authorization": ""})) == (401, "400")
        assert outcome(qualify(client, customer, headers=headers)) == (201, None)


def test_a_request_id_is_each_partners_own(service: Service, qualify: Qualify) -> None:
    headers = {"MS-RequestId": str(uuid4())}
    for partner in (service.partner(), service.partner()):
        with partner.client() as client:
            assert outcome(qualify(client, partner.customer(), headers=headers)) == (201, None)


def test_a_request_id_counts_for_24_hours(partner: Partner, qualify: Qualify) -> None:
    customer = partner.customer()
    headers = {"MS-RequestId": str(uuid4())}

    def age(hours: int) -> None:
        with partner.service.database() as connection:
            aged = connection.execute(
                "UPDATE idempotency_records SET created_at = now() - make_interval(hours => %s) WHERE partner_id = %s",
                (hours, partner.id),
            )
            assert aged.rowcount == 1

    with partner.client() as client:
        first = qualify(client, customer, headers=headers)
        assert outcome(first) == (201, None)
        age(23)
        assert qualify(client, customer, headers=headers).content == first.content
        age(25)
        anew = qualify(client, customer, headers=headers)
        assert outcome(anew) == (409, "700001")
        # And that is what counts from now on.
        assert qualify(client, customer, headers=headers).content == anew.content
        assert outcome(qualify(client, customer, "StateOwnedEntity", headers=headers)) == (409, "700005")
        assert audit_records(partner) == ["progress"]


# Callers that go away


def head_of(partner: Partner, customer: UUID, request_id: UUID, length: int) -> bytes:
    lines = (
        f"POST /v1/customers/{customer}/qualifications HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {partner.token()}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        f"MS-RequestId: {request_id}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_caller_that_leaves_within_its_request_changes_nothing(
    partner: Partner, qualify: Qualify, reset: bool
) -> None:
    customer, request_id = partner.customer(), uuid4()
    address = urlsplit(partner.service.url)
    body = json.dumps({"Qualification": "Education"}).encode()
    with socket.create_connection((address.hostname, address.port), DEADLINE) as connection:
        connection.sendall(head_of(partner, customer, request_id, len(body)) + body[:-1])
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with partner.client() as client:
        assert client.get(f"/v1/customers/{customer}/qualifications").json() == []
        # Nothing is kept for the ID either: it is free for a different request, and that is done.
        answer = qualify(client, customer, "StateOwnedEntity", headers={"MS-RequestId": str(request_id)})
        assert outcome(answer) == (201, None)
    assert qualifications(partner) == [(customer, "StateOwnedEntity", None)]
    assert audit_records(partner) == ["succeeded"]


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_caller_that_leaves_before_the_answer_leaves_all_of_it_or_nothing(partner: Partner, reset: bool) -> None:
    customer, request_id = partner.customer(), uuid4()
    address = urlsplit(partner.service.url)
    body = json.dumps({"Qualification": "Education"}).encode()
    request = head_of(partner, customer, request_id, len(body)) + body
    with psycopg.connect(partner.service.database_url) as holder:
        holder.execute("SELECT FROM customers WHERE id = %s FOR UPDATE", (customer,))
        with socket.create_connection((address.hostname, address.port), DEADLINE) as connection:
            connection.sendall(request)
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        holder.rollback()
    again = http.client.HTTPConnection(address.hostname or "", address.port, timeout=DEADLINE)
    try:
        again.connect()
        again.sock.sendall(request)
        answer = http.client.HTTPResponse(again.sock)
        answer.begin()
        assert answer.status == 201
        created = json.loads(answer.read())["vettingCreateDate"]
    finally:
        again.close()
    with partner.client() as client:
        (listed,) = client.get(f"/v1/customers/{customer}/qualifications").json()
    assert (listed["vettingStatus"], listed["vettingCreateDate"]) == ("InReview", created)
    assert audit_records(partner) == ["progress"]
    kept = "SELECT status FROM idempotency_records WHERE partner_id = %s AND request_id = %s"
    assert rows(partner.service, kept, partner.id, request_id) == [(201,)]
