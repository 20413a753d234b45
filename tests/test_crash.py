"""What is acknowledged is kept and decided once, whatever is killed: ``kill -9`` of each part under load."""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psutil
import psycopg
import pytest

from accredit.vetting.store import DECIDED_CHANNEL
from tests.conftest import DEADLINE, Partner, Service, running_service

CUSTOMERS, KILLS, CLIENTS = 400, 6, 16
ANSWERED = (201, 409)


def part(service: Service, name: str) -> psutil.Process:
    """A part of the running service: ``api``, ``worker`` or ``postgres``."""
    while True:
        for child in psutil.Process(service.process.pid).children():
            try:
                command = child.cmdline()
            except psutil.NoSuchProcess:
                continue
            if name in command or any(word.endswith(f"/{name}") for word in command[:1]):
                return child
        # It is being restarted; the next look may find it.
        os.sched_yield()


async def ask(client: httpx.AsyncClient, customer: UUID, qualification: str, code: str | None) -> tuple[int, bytes]:
    """POST until it is answered, under one MS-RequestId as a client does that does not know what came of it."""
    headers = {"MS-RequestId": str(uuid4())}
    async with asyncio.timeout(DEADLINE * 2):
        while True:
            try:
                answer = await client.post(
                    f"/v1/customers/{customer}/qualifications",
                    params={"code": code} if code else None,
                    json={"Qualification": qualification},
                    headers=headers,
                )
            except httpx.TransportError:
                continue
            if answer.status_code != 503:
                return answer.status_code, answer.content


async def under_fire(
    service: Service, partner: Partner, requests: list[tuple[UUID, str, str | None]], dice: random.Random
) -> dict[tuple[UUID, str], int]:
    """Send all requests while parts are killed at random moments; return each one's status."""
    answers: dict[tuple[UUID, str], int] = {}
    moments = sorted(dice.sample(range(10, len(requests) - 10), KILLS))
    victims = [("api", "worker", "postgres")[number % 3] for number in range(KILLS)]
    dice.shuffle(victims)
    waiting = iter(requests)

    async def send(client: httpx.AsyncClient) -> None:
        for customer, qualification, code in waiting:
            status, body = await ask(client, customer, qualification, code)
            assert status in ANSWERED, body
            answers[customer, qualification] = status
            if moments and len(answers) >= moments[0]:
                moments.pop(0)
                victim = victims.pop()
                print(f"after {len(answers)} answers: kill -9 {victim}", file=sys.stderr)
                (await asyncio.to_thread(part, service, victim)).kill()

    async with partner.async_client(CLIENTS) as client:
        await asyncio.gather(*(send(client) for _ in range(CLIENTS)))
    assert not victims
    return answers


def wait_until_decided(service: Service) -> None:
    """Wait until nothing is left in the queue: event-driven, by the NOTIFYs of decisions and of the queue itself."""
    with psycopg.connect(service.database_url, autocommit=True) as connection:
        connection.execute(f"LISTEN {DECIDED_CHANNEL}")
        connection.execute("LISTEN ch_pgqueuer")
        while connection.execute("SELECT count(*) FROM pgqueuer").fetchone() != (0,):
            assert list(connection.notifies(timeout=DEADLINE, stop_after=1)), "the queue does not move"


@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_or_done_twice(tmp_path: Path) -> None:
    seed = int(os.environ.get("ACCREDIT_TEST_SEED", random.SystemRandom().randrange(10**6)))
    print(f"ACCREDIT_TEST_SEED={seed}", file=sys.stderr)
    dice = random.Random(seed)
    with running_service(tmp_path / "home", log_format="json", job_timeout="2") as service:
        partner = service.partner()
        code = partner.code(creates=60)
        third = CUSTOMERS // 4
        schools = partner.customers(third, "{}.k12.or.us")
        tutors = partner.customers(third, "{}.gmail.com")
        counties = partner.customers(third, "{}.gov", name="Test County")
        unknown = partner.customers(third)
        requests: list[tuple[UUID, str, str | None]] = [
            *((one, "Education", None) for one in (*schools, *tutors, *unknown)),
            *((one, "GovernmentCommunityCloud", code) for one in counties),
        ]
        dice.shuffle(requests)
        answers = asyncio.run(under_fire(service, partner, requests, dice))
        wait_until_decided(service)
        check(service, partner, answers)
        statuses = outcome(service)
    assert {statuses[one] for one in schools} == {"Approved"}
    assert {statuses[one] for one in tutors} == {"Denied"}
    assert {statuses[one] for one in unknown} == {"InReview"}
    granted = [one for one in counties if answers[one, "GovernmentCommunityCloud"] == 201]
    assert len(granted) == 60
    assert {statuses[one] for one in granted} == {"Approved"}

    # The supervisor itself: what it left behind goes on under the next one.
    with running_service(tmp_path / "home", log_format="json") as again:
        assert outcome(again) == statuses
        part(again, "postgres")
        check(again, partner, answers)


def outcome(service: Service) -> dict[UUID, str]:
    """Each customer's vetting status."""
    with service.database() as connection:
        return dict(connection.execute("SELECT customer_id, vetting_status FROM qualifications").fetchall())


def check(service: Service, partner: Partner, answers: dict[tuple[UUID, str], int]) -> None:
    """The database holds what was acknowledged, once, with its records."""
    acknowledged = {key for key, status in answers.items() if status == 201}
    with service.database() as connection:
        kept = connection.execute("SELECT customer_id, qualification FROM qualifications").fetchall()
        assert sorted(kept) == sorted(acknowledged)
        decided = connection.execute(
            """
            SELECT vetting_status,
                   (SELECT array_agg(outcome) FROM decisions WHERE qualification_id = asked.id),
                   (SELECT array_agg(operation_status ORDER BY operation_date, id)
                    FROM audit_records AS record
                     WHERE record.customer_id = asked.customer_id AND record.operation_type LIKE 'update%%')
            FROM qualifications AS asked
            """
        ).fetchall()
        for status, decisions, records in decided:
            if status == "InReview":
                assert (decisions, records) == (["Refer"], ["progress"])
            else:
                assert decisions == [status]
                assert records == ["progress", "succeeded" if status == "Approved" else "failed"]
        query = "SELECT max_creates, remaining_creates FROM validation_codes WHERE partner_id = %s"
        ((most, remaining),) = connection.execute(query, (partner.id,)).fetchall()
        held = "qualification = 'GovernmentCommunityCloud' AND vetting_status <> 'Denied'"
        in_use = connection.execute(f"SELECT count(*) FROM qualifications WHERE {held}").fetchone()
        assert in_use == (most - remaining,)
        assert remaining >= 0


@pytest.mark.timeout(120)
def test_a_killed_supervisor_is_succeeded(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_service(home, exit_code=-signal.SIGKILL) as service:
        partner = service.partner()
        customer = partner.customer("{}.k12.or.us")
        with partner.client() as client:
            answer = client.post(f"/v1/customers/{customer}/qualifications", json={"Qualification": "Education"})
            assert answer.status_code == 201
        children = psutil.Process(service.process.pid).children()
        service.process.kill()
        service.process.wait(DEADLINE)
        _, alive = psutil.wait_procs(children, timeout=DEADLINE)
        assert not alive
    with running_service(home) as service:
        wait_until_decided(service)
        assert outcome(service) == {customer: "Approved"}
