"""The vetting worker over a database of its own: cases that fail, jobs that run twice, decisions made meanwhile."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from pgqueuer.core.executors import DatabaseRetryEntrypointExecutor
from psycopg.conninfo import make_conninfo

from accredit.database import migrate
from accredit.database.idempotency import WriteKey
from accredit.database.pool import Pool, create_pool
from accredit.partners import seed
from accredit.qualifications.models import Qualification, QualificationUpdate
from accredit.qualifications.store import QualificationStore, Submission
from accredit.settings import Settings
from accredit.vetting import queue, worker
from accredit.vetting.evidence import Gatherer
from accredit.vetting.models import Case, Evidence
from accredit.vetting.queue import CaseReference
from accredit.vetting.review import store as review
from accredit.vetting.store import DECIDED_CHANNEL
from accredit.vetting.worker import Vetting
from accredit.wire.answers import Answer
from tests.conftest import DEADLINE, Service

SETTINGS = Settings()
HELD_CHANNEL = "test_held"
HELD = f"""
CREATE FUNCTION tell_held() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_notify('{HELD_CHANNEL}', NEW.id::text); RETURN NEW; END $$;
CREATE TRIGGER held AFTER UPDATE ON pgqueuer FOR EACH ROW WHEN (NEW.status = 'failed') EXECUTE FUNCTION tell_held();
"""


@dataclass
class Office:
    """A database without a worker, and a partner in it."""

    url: str
    partner: UUID

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=True)

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(query, parameters).fetchall()  # type: ignore[arg-type]  # the tests' own queries

    def customers(self, *domains: str) -> list[UUID]:
        """Register customers, each with one domain; ``{}`` in it stands for something of the customer's own."""
        ids = [uuid4() for _ in domains]
        entries = [
            {
                "id": str(id),
                "companyName": "Contoso",
                "domain": f"{id.hex}.onmicrosoft.com",
                "customDomains": [domain.format(id.hex)],
            }
            for id, domain in zip(ids, domains, strict=True)
        ]
        partner = {"id": str(self.partner), "name": "Fabrikam", "customers": entries}
        seed.register(self.url, seed.parse(json.dumps({"partners": [partner]}).encode()))
        return ids

    def jobs(self) -> list[list[CaseReference]]:
        """What is queued, the oldest first."""
        query = "SELECT payload FROM pgqueuer WHERE status = 'queued' ORDER BY id"
        return [queue.decode(payload) for (payload,) in self.rows(query)]

    def forget_jobs(self) -> None:
        with self.connect() as connection:
            connection.execute("DELETE FROM pgqueuer")

    def statuses(self, *customers: UUID) -> list[str]:
        query = "SELECT customer_id, vetting_status FROM qualifications WHERE customer_id = ANY (%s)"
        found = dict(self.rows(query, list(customers)))
        return [found[customer] for customer in customers]

    def decisions(self, *references: CaseReference) -> list[tuple[str, str]]:
        """Outcome and decider of every decision on these requests, oldest first."""
        query = """
            SELECT outcome, decided_by FROM decisions
            WHERE (qualification_id, request_number) IN (SELECT * FROM unnest(%s::uuid[], %s::int[]))
            ORDER BY decided_at, id
        """
        return self.rows(query, [id for id, _ in references], [number for _, number in references])  # type: ignore[return-value]

    def audit_records(self, customer: UUID) -> int:
        """How many there are of the customer's qualifications."""
        query = "SELECT count(*) FROM audit_records WHERE customer_id = %s AND operation_type <> 'add_customer'"
        ((count,),) = self.rows(query, customer)
        return count


@contextmanager
def own_database(service: Service) -> Iterator[str]:
    """An empty database at our schema on the service's server; its API and worker do not know of it."""
    name = f"test_{uuid4().hex}"
    with service.database() as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    url = make_conninfo(service.database_url, dbname=name)
    migrate.migrate(url)
    yield url
    with service.database() as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def database(service: Service) -> Iterator[str]:
    """A database that tells when a job is held."""
    with own_database(service) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(HELD)  # type: ignore[arg-type]
        yield url


@pytest.fixture
def office(database: str) -> Office:
    """A partner of the test's own; the queue is empty."""
    office = Office(database, uuid4())
    office.forget_jobs()
    return office


@asynccontextmanager
async def opened(office: Office) -> AsyncIterator[Pool]:
    async with create_pool(office.url, most=4, timeout=5, name="test") as pool:
        yield pool


async def ask(pool: Pool, office: Office, *customers: UUID) -> list[CaseReference]:
    """Ask for Education for all of ``customers`` in one commit; return their requests."""
    store = QualificationStore(pool, most=100, timeout=5)

    def submission(customer: UUID) -> Submission:
        key = WriteKey(office.partner, uuid4(), "")
        update = QualificationUpdate(Qualification.EDUCATION)
        return Submission(key, customer, update, lambda _: Answer(201), None, None, {})

    answers = await asyncio.gather(*(store.submit(submission(customer)) for customer in customers))
    assert {answer.status for answer in answers} == {201}
    query = "SELECT customer_id, id, request_number FROM qualifications WHERE customer_id = ANY (%s)"
    found = {customer: (id, number) for customer, id, number in office.rows(query, list(customers))}
    return [found[customer] for customer in customers]


def failing_for(monkeypatch: pytest.MonkeyPatch, *customers: UUID, times: int = 1_000_000) -> list[UUID]:
    """Let the gathering of evidence fail for these customers' cases, so many times; return whom it failed for."""
    failed: list[UUID] = []

    async def fail(gatherer: Gatherer, case: Case) -> dict[str, Evidence]:
        if case.customer_id in customers and failed.count(case.customer_id) < times:
            failed.append(case.customer_id)
            raise RuntimeError("the gathering is broken")
        return await gather(gatherer, case)

    gather = Gatherer.__call__
    monkeypatch.setattr(Gatherer, "__call__", fail)
    return failed


def during(monkeypatch: pytest.MonkeyPatch, act: Callable[[Case], Awaitable[object]]) -> None:
    """Let something happen, and be committed, while the evidence of a case is gathered."""

    async def meanwhile(gatherer: Gatherer, case: Case) -> dict[str, Evidence]:
        await act(case)
        return await gather(gatherer, case)

    gather = Gatherer.__call__
    monkeypatch.setattr(Gatherer, "__call__", meanwhile)


async def deny(office: Office, case_id: UUID) -> None:
    async with await psycopg.AsyncConnection.connect(office.url) as connection:
        await review.decide(connection, case_id, reason="Not an eligible Museum", note=None, reviewer="a person")


def test_the_cases_of_one_commit_are_one_job(office: Office) -> None:
    customers = office.customers(*["{}.k12.or.us"] * 5)

    async def scenario() -> None:
        async with opened(office) as pool:
            references = await ask(pool, office, *customers)
            (job,) = office.jobs()
            assert sorted(job) == sorted(references)
            await Vetting(pool, SETTINGS).vet(job)

    asyncio.run(scenario())
    assert office.statuses(*customers) == ["Approved"] * 5


@pytest.mark.parametrize("broken", [1, 2])
def test_a_case_that_fails_does_not_hold_up_the_others_and_is_queued_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    customers = office.customers("{}.k12.or.us", "{}.gmail.com", "{}.k12.or.us", "{}.k12.or.us")
    failing_for(monkeypatch, *customers[2 : 2 + broken])

    async def scenario() -> list[CaseReference]:
        async with opened(office) as pool:
            references = await ask(pool, office, *customers)
            office.forget_jobs()
            await Vetting(pool, SETTINGS).vet(references)
            return references

    references = asyncio.run(scenario())
    guilty = references[2 : 2 + broken]
    undecided, decided = ["InReview"] * broken, ["Approved"] * (2 - broken)
    assert office.statuses(*customers) == ["Approved", "Denied", *undecided, *decided]
    assert sorted(office.jobs()) == sorted([reference] for reference in guilty)
    assert office.decisions(*guilty) == []


def test_a_single_case_that_fails_fails_its_job(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    (customer,) = office.customers("{}.k12.or.us")
    failing_for(monkeypatch, customer, times=1)

    async def scenario() -> None:
        async with opened(office) as pool:
            references = await ask(pool, office, customer)
            office.forget_jobs()
            vetting = Vetting(pool, SETTINGS)
            with pytest.raises(RuntimeError, match="the gathering is broken"):
                await vetting.vet(references)
            assert (office.jobs(), office.statuses(customer)) == ([], ["InReview"])
            await vetting.vet(references)
            assert office.statuses(customer) == ["Approved"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("domain", "outcome", "records"),
    [("{}.k12.or.us", "Approved", 2), ("{}.gmail.com", "Denied", 2), ("{}.example.com", "Refer", 1)],
)
def test_a_job_that_runs_again_decides_nothing_again(office: Office, domain: str, outcome: str, records: int) -> None:
    customers = office.customers(domain, domain)

    async def scenario() -> list[CaseReference]:
        async with opened(office) as pool:
            references = await ask(pool, office, *customers)
            vettings = [Vetting(pool, SETTINGS), Vetting(pool, SETTINGS)]
            await asyncio.gather(*(vetting.vet(references) for vetting in vettings * 3))
            await vettings[0].vet([*references, *reversed(references)])
            return references

    references = asyncio.run(scenario())
    for customer, reference in zip(customers, references, strict=True):
        assert office.decisions(reference) == [(outcome, "policy")]
        assert office.audit_records(customer) == records


def test_what_a_person_decided_meanwhile_stands(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    (customer,) = office.customers("{}.k12.or.us")
    during(monkeypatch, lambda case: deny(office, case.qualification_id))

    async def scenario() -> list[CaseReference]:
        async with opened(office) as pool:
            references = await ask(pool, office, customer)
            await Vetting(pool, SETTINGS).vet(references)
            return references

    references = asyncio.run(scenario())
    assert office.statuses(customer) == ["Denied"]
    assert office.decisions(*references) == [("Denied", "a person")]
    assert office.audit_records(customer) == 2


def test_a_request_that_was_denied_and_made_again_meanwhile_is_left_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    (customer,) = office.customers("{}.k12.or.us")

    async def deny_and_ask_again(case: Case) -> None:
        if case.request_number == 1:
            await deny(office, case.qualification_id)
            async with opened(office) as pool:
                await ask(pool, office, customer)

    during(monkeypatch, deny_and_ask_again)

    async def scenario() -> None:
        async with opened(office) as pool:
            ((case, _),) = await ask(pool, office, customer)
            vetting = Vetting(pool, SETTINGS)
            await vetting.vet([(case, 1)])
            assert office.statuses(customer) == ["InReview"]
            await vetting.vet([(case, 1)])
            assert office.statuses(customer) == ["InReview"]
            assert office.decisions((case, 1), (case, 2)) == [("Denied", "a person")]
            await vetting.vet([(case, 2)])
            assert office.decisions((case, 2)) == [("Approved", "policy")]

    asyncio.run(scenario())


def test_cases_that_are_not_there_are_left_out(office: Office) -> None:
    (customer,) = office.customers("{}.k12.or.us")

    async def scenario() -> None:
        async with opened(office) as pool:
            (reference,) = await ask(pool, office, customer)
            office.forget_jobs()
            await Vetting(pool, SETTINGS).vet([(uuid4(), 1), (reference[0], 2), reference])

    asyncio.run(scenario())
    assert office.statuses(customer) == ["Approved"]
    assert office.jobs() == []


@pytest.mark.parametrize("payload", [None, b"", b"{}", b"null", b"[1]", b'[["case", 1]]', b'[["' + b"0" * 36, b"\xff"])
def test_a_payload_that_is_not_ours_is_refused(payload: bytes | None) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        queue.decode(payload)


def test_what_keeps_failing_is_held_while_the_rest_is_decided(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    always, once, never = office.customers(*["{}.k12.or.us"] * 3)
    failed = failing_for(monkeypatch, always)
    failed_once = failing_for(monkeypatch, once, times=1)

    class Impatient(DatabaseRetryEntrypointExecutor):
        def __init__(self, parameters: Any, **_: Any) -> None:
            super().__init__(parameters, max_attempts=2, initial_delay=timedelta(0))

    monkeypatch.setattr(worker, "DatabaseRetryEntrypointExecutor", Impatient)

    async def scenario() -> CaseReference:
        async with opened(office) as pool:
            broken, *_ = await ask(pool, office, always, once, never)
            async with pool.connection() as connection:
                await queue.enqueue(connection, [(broken[0], 2)])
                await connection.execute(
                    "UPDATE pgqueuer SET payload = 'nonsense' WHERE id = (SELECT max(id) FROM pgqueuer)"
                )
            async with await psycopg.AsyncConnection.connect(office.url, autocommit=True) as listening:
                await listening.execute(f"LISTEN {HELD_CHANNEL}")  # type: ignore[arg-type]
                await listening.execute(f"LISTEN {DECIDED_CHANNEL}")  # type: ignore[arg-type]
                running = asyncio.create_task(worker.run(SETTINGS, office.url))
                seen = [notice.channel async for notice in listening.notifies(timeout=DEADLINE, stop_after=4)]
                assert not running.done()
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.wait_for(running, DEADLINE)
            assert sorted(seen) == sorted([HELD_CHANNEL] * 2 + [DECIDED_CHANNEL] * 2)
            return broken

    broken = asyncio.run(scenario())
    assert office.statuses(always, once, never) == ["InReview", "Approved", "Approved"]
    held = office.rows("SELECT payload, attempts, status::text FROM pgqueuer ORDER BY id")
    assert held == [(b"nonsense", 2, "failed"), (queue.encode([broken]), 2, "failed")]
    assert failed == [always] * 4
    assert failed_once == [once]
    assert office.rows("SELECT id FROM workers") == []
