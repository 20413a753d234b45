"""Rate limits, contract section 9: limiters over a real PostgreSQL, in one process and in several.

Nobody waits a minute here. Limiters tell the database ages and are told waits, so time passes when their clock is put
forward and what the database has logged is put back.
"""

import asyncio
import contextlib
import multiprocessing
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accredit.database.embedded import EmbeddedPostgres
from accredit.database.migrate import migrate
from accredit.database.pool import Pool, create_pool
from accredit.limits import store
from accredit.limits.ledger import Ledger
from accredit.limits.limiter import BEAT, Limiter
from accredit.limits.models import Grant, Key, RateLimitedError, Use
from accredit.limits.rules import TICK, USABLE, WINDOW, Account, Limit, Standing
from tests.conftest import DEADLINE, running_service

NO_LIMIT = 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a database that nobody else uses."""
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("limits"))
    postgres.start()
    try:
        migrate(postgres.url)
        yield postgres.url
    finally:
        postgres.stop()


@pytest.fixture
def url(server: str) -> str:
    """The same, with nothing logged and no process registered."""
    with psycopg.connect(server) as connection:
        connection.execute("TRUNCATE rate_log, api_processes")
    return server


@dataclass
class Time:
    """The time of all limiters of a test, and of the database."""

    url: str
    now: float = 1000.0
    limiters: list[Limiter] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def pass_by(self, seconds: float) -> None:
        """Let time pass, once there are no questions under way."""
        while asking := [task for limiter in self.limiters for task in limiter._asking.values()]:
            await asyncio.gather(*asking)
        self.now += seconds
        with psycopg.connect(self.url) as connection:
            connection.execute(
                "UPDATE rate_log SET counts_until = counts_until - make_interval(secs => %s)", (seconds,)
            )


@dataclass
class Client:
    """Sends requests for one partner and one of its customers, and counts what is admitted."""

    partner_id: UUID = field(default_factory=uuid4)
    customer_id: UUID | None = field(default_factory=uuid4)
    admitted: int = 0

    async def send(self, limiter: Limiter) -> None:
        await limiter.admit(self.partner_id, self.customer_id)
        self.admitted += 1

    async def send_many(self, limiter: Limiter, count: int) -> None:
        for _ in range(count):
            await self.send(limiter)

    async def exhaust(self, limiter: Limiter, *, crowd: int = 1) -> int:
        """Send until refused, ``crowd`` requests at a time; return the least ``Retry-After``."""

        async def insist() -> int:
            while True:
                try:
                    await self.send(limiter)
                except RateLimitedError as error:
                    return error.retry_after

        return min(await asyncio.gather(*(insist() for _ in range(crowd))))

    async def refused(self, limiter: Limiter) -> int:
        """Be refused; return ``Retry-After``."""
        with pytest.raises(RateLimitedError) as caught:
            await limiter.admit(self.partner_id, self.customer_id)
        return caught.value.retry_after


@contextlib.asynccontextmanager
async def deployment(
    url: str,
    time: Time,
    *,
    processes: int = 1,
    customer: int = NO_LIMIT,
    partner: int = NO_LIMIT,
    **others: Any,
) -> AsyncIterator[list[Limiter]]:
    """Limiters as those of API processes that have known each other for a while."""
    async with contextlib.AsyncExitStack() as stack:
        limiters = []
        for _ in range(processes):
            pool = await stack.enter_async_context(create_pool(url, most=4, timeout=DEADLINE, name="limits"))
            limiter = Limiter(pool, customer=customer, partner=partner, timeout=DEADLINE, clock=time, **others)
            limiters.append(await stack.enter_async_context(limiter))
        await acquaint(limiters, time)
        yield limiters


async def acquaint(limiters: list[Limiter], time: Time) -> None:
    """Let each learn of the others."""
    for limiter in limiters:
        await limiter.beat()
    time.limiters = limiters
    await time.pass_by(2 * BEAT)
    for limiter in limiters:
        await limiter.beat()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, DEADLINE))


def counted(url: str) -> dict[UUID, int]:
    """What the database counts, by resource."""
    query = "SELECT resource, sum(requests)::integer FROM rate_log WHERE counts_until > clock_timestamp() GROUP BY 1"
    with psycopg.connect(url) as connection:
        return dict(connection.execute(query).fetchall())


# Accuracy


@pytest.mark.parametrize("limit", [1, 7, 60, 500, 5000])
def test_one_process_admits_the_limit_and_tells_the_wait(url: str, limit: int) -> None:
    async def scenario() -> None:
        async with deployment(url, time := Time(url), customer=limit) as (limiter,):
            client = Client()
            retry_after = await client.exhaust(limiter)
            assert client.admitted == limit
            assert 58 <= retry_after <= 61
            await time.pass_by(retry_after - 2)
            await client.refused(limiter)
            await time.pass_by(2)
            await client.send(limiter)

    run(scenario())


@pytest.mark.parametrize("processes", [2, 4, 8])
@pytest.mark.parametrize("limit", [3, 60, 500, 5000])
def test_each_process_in_turn_spends_all_it_can(url: str, processes: int, limit: int) -> None:
    """The worst for the upper bound: when one has reached the limit, the others still have their allowances."""

    async def scenario() -> None:
        async with deployment(url, Time(url), processes=processes, customer=limit) as limiters:
            client = Client()
            for limiter in limiters:
                await client.exhaust(limiter)
            assert limit <= client.admitted <= limit * 1.05

    run(scenario())


@pytest.mark.parametrize("processes", [2, 4, 8])
@pytest.mark.parametrize("limit", [60, 500, 5000])
def test_what_idle_processes_hold_leaves_the_limit_to_the_busy_one(url: str, processes: int, limit: int) -> None:
    """The worst for the lower bound: all but one have just had something set aside, and then have no requests."""

    async def scenario() -> None:
        async with deployment(url, Time(url), processes=processes, customer=limit) as (busy, *idle):
            client = Client()
            for limiter in idle:
                before = counted(url)
                while counted(url) == before:
                    await client.send(limiter)
            await client.exhaust(busy)
            assert limit * 0.95 <= client.admitted <= limit * 1.05

    run(scenario())


def test_all_processes_at_once_with_crowds(url: str) -> None:
    async def scenario() -> None:
        async with deployment(url, Time(url), processes=4, customer=500, partner=5000) as limiters:
            client = Client()
            await asyncio.gather(*(client.exhaust(limiter, crowd=50) for limiter in limiters))
            assert 475 <= client.admitted <= 525

    run(scenario())


def hammer(url: str, client: Client, barrier: Barrier) -> int:
    """A process's part of the test below; returns how many of its requests were admitted."""

    async def scenario() -> None:
        time = Time(url)
        async with deployment(url, time, customer=500) as (limiter,):
            await asyncio.to_thread(barrier.wait, DEADLINE)
            await acquaint([limiter], time)
            await asyncio.to_thread(barrier.wait, DEADLINE)
            await client.exhaust(limiter, crowd=20)
            await asyncio.to_thread(barrier.wait, DEADLINE)

    run(scenario())
    return client.admitted


def test_processes_of_the_operating_system(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(3, mp_context=context) as pool:
        barrier = manager.Barrier(3)
        client = Client()
        parts = [pool.submit(hammer, url, client, barrier) for _ in range(3)]  # type: ignore[arg-type]
        admitted = [part.result(DEADLINE) for part in parts]
    assert 475 <= sum(admitted) <= 525, admitted


def test_the_minute_slides(url: str) -> None:
    """Half at 0 s, half at 30 s: nothing more until 60 s, then one half, and the other at 90 s: no burst of two."""

    async def scenario() -> None:
        async with deployment(url, time := Time(url), processes=2, customer=100) as (one, other):
            client = Client()
            await client.send_many(one, 50)
            admitted = []
            for pause in (30, 29, 2, 28, 2):
                await time.pass_by(pause)
                before = client.admitted
                await client.exhaust(other)
                admitted.append(client.admitted - before)
            # To within 4: what is set aside for the process that went idle counts until 70 s.
            assert admitted == [pytest.approx(expected, abs=4) for expected in (50, 0, 50, 0, 50)]

    run(scenario())


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(1, 30), st.integers(0, 25)), min_size=3, max_size=10),
    st.integers(0, 1),
)
def test_a_client_that_waits_as_long_as_it_is_told_succeeds(
    url: str, bursts: list[tuple[int, int, int]], last: int
) -> None:
    async def scenario() -> None:
        async with deployment(url, time := Time(url), processes=2, customer=50) as limiters:
            client = Client()
            for process, requests, pause in bursts:
                with contextlib.suppress(RateLimitedError):
                    await client.send_many(limiters[process], requests)
                await time.pass_by(pause)
            retry_after = await client.exhaust(limiters[last])
            await time.pass_by(retry_after)
            await client.send(limiters[last])

    run(scenario())


def test_a_limit_too_small_to_share_out_is_exact(url: str) -> None:
    async def scenario() -> None:
        async with deployment(url, time := Time(url), processes=3, customer=6) as limiters:
            client = Client()
            for limiter in limiters * 2:
                await client.send(limiter)
            await time.pass_by(0)
            retry_after = max([await client.refused(limiter) for limiter in limiters])
            assert 58 <= retry_after <= 60
            await time.pass_by(retry_after)
            for limiter in limiters * 2:
                await client.send(limiter)
            await client.refused(limiters[0])

    run(scenario())


# What is counted apart, and together


def test_customers_and_partners_are_counted_apart(url: str) -> None:
    async def scenario() -> None:
        async with deployment(url, Time(url), customer=10) as (limiter,):
            client = Client()
            await client.exhaust(limiter)
            for other in (Client(client.partner_id), Client(customer_id=client.customer_id)):
                await other.exhaust(limiter)
                assert other.admitted == 10
            # Requests for no customer are no part of this limit.
            await Client(client.partner_id, None).send_many(limiter, 100)

    run(scenario())


def test_a_partners_requests_count_together_whatever_they_are_for(url: str) -> None:
    async def scenario() -> None:
        async with deployment(url, Time(url), customer=20, partner=50) as (limiter,):
            partner_id = uuid4()
            clients = [Client(partner_id), Client(partner_id), Client(partner_id, None), Client(partner_id, partner_id)]
            for client in clients:
                await client.exhaust(limiter)
            assert [client.admitted for client in clients] == [20, 20, pytest.approx(10, abs=2), 0]
            await Client().send(limiter)

    run(scenario())


def test_what_the_partners_limit_refuses_counts_for_no_customer(url: str) -> None:
    async def scenario() -> None:
        async with deployment(url, time := Time(url), customer=10, partner=5) as (limiter,):
            client = Client()
            await client.exhaust(limiter)
            for _ in range(20):
                await client.refused(limiter)
            assert client.admitted == 5
            await time.pass_by(30)
            assert counted(url)[client.partner_id] == 5
        assert counted(url)[client.customer_id or UUID(int=0)] == 5

    run(scenario())


def test_zero_turns_a_limit_off(url: str) -> None:
    async def scenario() -> None:
        async with deployment(url, Time(url), customer=0, partner=0) as (limiter,):
            await Client().send_many(limiter, 10_000)
        async with deployment(url, Time(url), customer=0, partner=30) as (limiter,):
            client = Client()
            await client.exhaust(limiter)
            assert client.admitted == pytest.approx(30, abs=1)

    run(scenario())
    assert set(counted(url).values()) <= {30, 31}


# What it costs


def test_requests_that_come_at_once_share_one_question(url: str) -> None:
    async def scenario() -> None:
        time = Time(url)
        async with create_pool(url, most=4, timeout=DEADLINE, name="limits") as pool:
            newcomer = Limiter(pool, customer=1000, partner=0, timeout=DEADLINE, clock=time)
            await newcomer.beat()
            client = Client()
            await asyncio.gather(*(client.send(newcomer) for _ in range(100)))
        # A second question would have given back what the first one got.
        assert rows(url) == [(True, 100)]

    run(scenario())


def rows(url: str) -> list[tuple[bool, int]]:
    """What is logged: whether it is set aside, and how many requests."""
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT process_id IS NOT NULL, requests FROM rate_log ORDER BY 1, 2").fetchall()


def test_a_caller_that_goes_away_leaves_the_others_alone(url: str) -> None:
    async def scenario() -> None:
        async with create_pool(url, most=4, timeout=DEADLINE, name="limits") as pool:
            newcomer = Limiter(pool, customer=1000, partner=0, timeout=DEADLINE)
            client = Client()
            tasks = [asyncio.create_task(client.send(newcomer)) for _ in range(3)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert (results[1:], client.admitted) == ([None, None], 2)

    run(scenario())


def test_a_customers_first_requests_and_refusals_ask_nobody(url: str) -> None:
    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stack:
            pool = await stack.enter_async_context(create_pool(url, most=4, timeout=DEADLINE, name="limits"))
            limiter = Limiter(pool, customer=100, partner=0, timeout=DEADLINE, clock=(time := Time(url)))
            await acquaint([limiter], time)
            exhausted = Client()
            await exhausted.exhaust(limiter)
            logged = rows(url)
            await Client().send(limiter)
            for _ in range(1000):
                await exhausted.refused(limiter)
            assert rows(url) == logged
            # Whoever asks a closed pool fails, and a limiter that fails to ask admits.
            await pool.close()
            await exhausted.refused(limiter)
            await Client().send(limiter)

    run(scenario())


def test_memory_is_bounded_and_what_is_dropped_is_reported(url: str) -> None:
    async def scenario() -> None:
        async with deployment(url, Time(url), customer=500, most_accounts=20) as (limiter,):
            for client in clients:
                await client.send_many(limiter, 3)
                assert len(limiter._ledger) <= 20

    clients = [Client() for _ in range(100)]
    run(scenario())
    assert counted(url) == {client.customer_id: 3 for client in clients}


def test_the_ledger_keeps_who_is_used_and_who_awaits_an_answer() -> None:
    dropped: list[tuple[Key, Use]] = []
    ledger = Ledger(4, dropped.extend)
    asking, used = (ledger.account(Key(0, resource), 0.0) for resource in (1, 2))
    asking.report(0.0)
    for resource in range(3, 50):
        ledger.account(Key(0, resource), 1.0).use(1.0)
        assert ledger.account(Key(0, 2), 1.0) is used
        assert len(ledger) <= 6
    assert ledger.account(Key(0, 1), 1.0) is asking
    gone, here = ({key.resource for key, _ in debts} for debts in (dropped, ledger.debts(1.0)))
    assert gone | here == set(range(3, 50))
    assert not gone & here
    # What was used over a minute ago goes without a report.
    dropped.clear()
    for resource in range(50, 53):
        ledger.account(Key(0, resource), 100.0)
    assert not dropped


# Restarts and failures


def test_a_restart_forgets_nothing(url: str) -> None:
    async def scenario() -> None:
        client, time = Client(), Time(url)
        for _ in range(10):
            async with deployment(url, time, customer=500) as (limiter,):
                await client.send_many(limiter, 45)
        assert counted(url) == {client.customer_id: 450}
        async with deployment(url, time, customer=500) as (limiter,):
            await client.exhaust(limiter)
        assert 500 <= client.admitted <= 510

    run(scenario())


@pytest.mark.parametrize("processes", [1, 4])
def test_a_killed_process_takes_little_with_it(url: str, processes: int) -> None:
    async def scenario() -> None:
        async with deployment(url, time := Time(url), processes=processes, customer=500) as limiters:
            client = Client()
            async with create_pool(url, most=4, timeout=DEADLINE, name="limits") as pool:
                killed = Limiter(pool, customer=500, partner=0, timeout=DEADLINE, clock=time)
                await acquaint([*limiters, killed], time)
                await client.send_many(killed, 200)
            for limiter in limiters:
                await client.exhaust(limiter)
            assert 475 <= client.admitted <= 525

    run(scenario())


def test_a_newcomer_has_no_allowance_until_the_others_know_it(url: str) -> None:
    async def scenario() -> None:
        async with (
            deployment(url, time := Time(url), customer=500) as (old,),
            create_pool(url, most=4, timeout=DEADLINE, name="limits") as pool,
        ):
            newcomer = Limiter(pool, customer=500, partner=0, timeout=DEADLINE, clock=time)
            await newcomer.beat()
            early, late = Client(), Client()
            await early.send(newcomer)
            await acquaint([old, newcomer], time)
            await late.send(newcomer)
            assert early.customer_id in counted(url)
            assert late.customer_id not in counted(url)

    run(scenario())


def test_an_unreachable_database_refuses_nobody_and_is_waited_for_once() -> None:
    async def scenario() -> None:
        pool = create_pool("host=127.0.0.1 port=1", most=2, timeout=0.2, name="limits")
        await pool.open()
        try:
            async with Limiter(pool, customer=1, partner=1, timeout=0.2) as limiter:
                client = Client()
                await client.send_many(limiter, 1000)
        finally:
            await pool.close()
        assert client.admitted == 1000

    run(scenario())


def test_what_was_admitted_blindly_counts_once_the_database_answers(url: str) -> None:
    async def scenario() -> None:
        async with deployment(url, Time(url), customer=100) as (limiter,):
            client = Client()
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("ALTER TABLE rate_log RENAME TO rate_log_away")
                try:
                    await client.send_many(limiter, 60)
                finally:
                    connection.execute("ALTER TABLE rate_log_away RENAME TO rate_log")
            await limiter.beat()
            await client.exhaust(limiter)
            assert 100 <= client.admitted <= 105

    run(scenario())


def test_purging_removes_what_no_longer_counts(url: str) -> None:
    async def scenario() -> None:
        client, time = Client(), Time(url)
        async with deployment(url, time, customer=100) as (limiter,):
            await client.send_many(limiter, 30)
        await time.pass_by(30)
        async with deployment(url, time, customer=100) as (limiter,):
            await client.send_many(limiter, 30)
            await time.pass_by(31)
            async with limiter._pool.connection() as connection:
                await store.purge(connection)
        with psycopg.connect(url) as connection:
            (left,) = connection.execute("SELECT sum(requests) FROM rate_log").fetchone() or (None,)
        assert left == 30

    run(scenario())


# The rules, against a model of the database; and the database, against the model


@dataclass
class Log:
    """What ``store.ask`` does, in so many words."""

    entries: list[tuple[int | None, int, float]] = field(default_factory=list)
    """(process, requests, counts until)"""

    def ask(self, now: float, process: int, uses: list[Use], *, limit: int, wanted: int, margin: int) -> Grant:
        self.entries = [entry for entry in self.entries if entry[2] > now and entry[0] != process]
        self.entries += [(None, use.requests, now + WINDOW - use.age) for use in uses]
        free = limit - self.counted(now)
        if granted := max(0, min(wanted, free)):
            self.entries.append((process, granted, now + USABLE + WINDOW))
            return Grant(granted, free - granted)
        return Grant(0, 0, self.wait(now, limit), self.wait(now, limit - margin))

    def wait(self, now: float, limit: int) -> float:
        """Seconds until less than ``limit`` counts."""
        moments = [now, *(until for _, _, until in self.entries)]
        return min(moment for moment in moments if self.counted(moment) < limit) - now

    def counted(self, moment: float) -> int:
        """What counts after ``moment``."""
        return sum(requests for _, requests, until in self.entries if until > moment)


PATIENCE = 1.0
"""Seconds after which a process gives up a question; what it reports may count for so much longer."""


@dataclass
class Process:
    """One process's account, and the question that it has under way: when it was asked, and what for."""

    number: int
    account: Account = field(default_factory=Account)
    asked: tuple[float, list[Use], int] | None = None

    def ask(self, now: float, wanted: int) -> None:
        if self.asked is None:
            self.asked = (now, self.account.report(now), wanted)

    def hear(self, log: Log, now: float, limit: Limit, *, fails: bool = False) -> None:
        """Have the answer to what was asked, if anything was, and if it comes in time."""
        if self.asked is None:
            return
        (asked, uses, wanted), self.asked = self.asked, None
        if fails or now - asked > PATIENCE:
            self.account.failed()
        else:
            grant = log.ask(now, self.number, uses, limit=limit.requests, wanted=wanted, margin=limit.margin)
            self.account.granted(grant, asked=asked, now=now)


class Fleet:
    """Processes that share a limit, and what they admit for one key. Each request checks that it should be."""

    def __init__(self, requests: int, count: int) -> None:
        self.limit = Limit(requests)
        self.limit.share(count, known=True)
        self.log = Log()
        self.now = 1000.0
        self.processes = [Process(number) for number in range(count)]
        self.lives = count
        self.admitted: list[float] = []

    def crash(self, number: int) -> None:
        """Lose a process, with all that it knows; another takes its place."""
        self.processes[number] = Process(self.lives)
        self.lives += 1

    def send(self, number: int) -> bool:
        """Send a request to a process; return whether it was admitted."""
        process = self.processes[number]
        while (standing := process.account.standing(self.now, self.limit)) is Standing.EMPTY:
            process.ask(self.now, max(self.limit.portion, 1))
            process.hear(self.log, self.now, self.limit)
        if standing is Standing.REFUSED:
            assert self.within(WINDOW + TICK + PATIENCE) >= self.limit.requests - self.lives * max(
                self.limit.portion, 1
            )
            return False
        if standing is Standing.LOW:
            process.ask(self.now, self.limit.portion)
        process.account.use(self.now)
        if not self.limit.portion:
            process.ask(self.now, 0)
        self.admitted.append(self.now)
        assert self.within(WINDOW) <= self.limit.requests + self.lives * self.limit.allowance
        return True

    def within(self, seconds: float) -> int:
        """How many were admitted within the last ``seconds``."""
        return sum(1 for time in self.admitted if time > self.now - seconds)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "send", "hear", "fail", "crash"]),
        st.integers(0, 7),
        st.integers(1, 120),
        st.one_of(st.just(0), st.integers(0, 24), st.integers(0, 560)).map(lambda eighths: eighths / 8),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 300), st.integers(1, 8), EVENTS)
def test_any_minute_holds_the_limit_and_whoever_is_refused_had_it(
    requests: int, count: int, events: list[tuple[str, int, int, float]]
) -> None:
    fleet = Fleet(requests, count)
    for event, number, size, pause in events:
        fleet.now += pause
        if event == "crash":
            fleet.crash(number % count)
        elif event == "send":
            for _ in range(size):
                if not fleet.send(number % count):
                    break
        else:
            fleet.processes[number % count].hear(fleet.log, fleet.now, fleet.limit, fails=event == "fail")
    while fleet.send(0):
        pass
    # Whoever is refused, and waits, succeeds: also if the others report only now.
    for process in fleet.processes[1:]:
        process.hear(fleet.log, fleet.now, fleet.limit)
        process.ask(fleet.now, 0)
        process.hear(fleet.log, fleet.now, fleet.limit)
    fleet.now += RateLimitedError(fleet.processes[0].account.retry_after(fleet.now)).retry_after
    assert fleet.send(0)


ASKS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.lists(st.tuples(st.integers(0, 119), st.integers(1, 20)), max_size=4),
        st.integers(1, 30),
        st.integers(0, 80),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 60), ASKS)
def test_the_database_grants_what_the_model_grants(
    url: str, limit: int, asks: list[tuple[int, list[tuple[int, int]], int, int]]
) -> None:
    """Ages are whole half seconds, and pauses are so much off that no entry ends at the moment of a question."""

    async def scenario(pool: Pool) -> None:
        key, time, log = Key(uuid4().int, uuid4().int), Time(url), Log()
        ids, margin = [uuid4() for _ in range(3)], limit // 5
        for process, told, wanted, pause in asks:
            uses = [Use(ticks / 2, requests) for ticks, requests in told]
            async with pool.connection() as connection, connection.pipeline(), connection.transaction():
                grant = await store.ask(connection, ids[process], key, uses, limit=limit, wanted=wanted, margin=margin)
            expected = log.ask(time.now, process, uses, limit=limit, wanted=wanted, margin=margin)
            assert (grant.requests, grant.left) == (expected.requests, expected.left)
            if not grant.requests:
                assert grant.wait == pytest.approx(expected.wait, abs=0.2)
                assert grant.retry_after == pytest.approx(expected.retry_after, abs=0.2)
            await time.pass_by(pause + 0.01)

    async def with_pool() -> None:
        async with create_pool(url, most=2, timeout=DEADLINE, name="limits") as pool:
            await scenario(pool)

    run(with_pool())


# Over HTTP, with two API processes


def test_the_answer_and_that_it_is_not_kept(tmp_path: Path, qualify: Callable[..., httpx.Response]) -> None:
    request_id = {"MS-RequestId": str(uuid4())}
    with running_service(
        tmp_path, "--api-processes", "2", rate_limit_customer="20", rate_limit_partner="100"
    ) as limited:
        partner = limited.partner()
        customer, other = partner.customers(2)
        with partner.client() as client:
            url = f"/v1/customers/{customer}/qualifications"
            statuses = [client.get(url).status_code for _ in range(30)]
            assert 19 <= statuses.count(200) <= 21
            assert set(statuses) == {200, 429}
            refused = qualify(client, customer, headers=request_id)
            retry_after = int(refused.headers["Retry-After"])
            assert refused.status_code == 429
            assert refused.json() == {
                "statusCode": 429,
                "message": f"Rate limit is exceeded. Try again in {retry_after} seconds.",
            }
            assert 1 <= retry_after <= 60
            assert refused.headers["MS-RequestId"] == request_id["MS-RequestId"]
            assert client.get(f"/v1/customers/{other}/qualifications").status_code == 200
            statuses = [client.get("/v1/customers/all/validations").status_code for _ in range(100)]
            assert 75 <= statuses.count(200) <= 85
    with running_service(tmp_path, rate_limit_customer="0", rate_limit_partner="0") as unlimited:
        partner.service = unlimited
        with partner.client() as client:
            assert qualify(client, customer, headers=request_id).status_code == 201
