"""The vetting worker: takes jobs from the queue, gathers evidence, decides, and records. Any number may run.

A job holds the cases of one commit. Each case is decided on its own: verdicts are gathered into transactions by group
commit, and a case that fails does not hold up the others; it is queued again by itself, later and later, and after
``_MOST_ATTEMPTS`` held for an operator to look at (status ``failed`` in the table ``pgqueuer``).
A job that runs twice, after a crash, decides nothing twice: ``vetting.store.record`` sees that it came too late.
"""

import asyncio
import contextlib
import functools
import signal
import socket
import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import psycopg
import structlog
from pgqueuer import PgQueuer
from pgqueuer.core.executors import DatabaseRetryEntrypointExecutor
from pgqueuer.models import Job, Schedule
from prometheus_client import Counter, Histogram, start_http_server
from uuid_utils.compat import uuid7

from accredit.database import idempotency
from accredit.database.group_commit import GroupCommit
from accredit.database.pool import Connection, Pool, create_pool, transact
from accredit.qualifications.models import QualificationState
from accredit.registries import importing
from accredit.registries.store import Lookup
from accredit.settings import Settings
from accredit.vetting import policy, queue, store
from accredit.vetting.evidence import Gatherer
from accredit.vetting.findings import Thresholds
from accredit.vetting.models import Case
from accredit.vetting.queue import CaseReference, WorkerDriver
from accredit.vetting.store import Verdict

log = structlog.get_logger("accredit.vetting")

DECIDED_BY = "policy"
DECISIONS = Counter("accredit_decisions", "Decisions of the policy.", ["qualification", "outcome"])
JOB_SECONDS = Histogram("accredit_job_seconds", "Seconds from taking a job to its last verdict's commit.")

_MOST_ATTEMPTS = 8
_HEARTBEAT_SECONDS = 2.0
_RECONNECT_SECONDS = 0.2
_LONGEST_RECONNECT_SECONDS = 5.0

_BEAT = """
INSERT INTO workers (id, host) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET seen_at = now()
"""
_FORGET = "DELETE FROM workers WHERE id = %s OR seen_at < now() - interval '1 day'"


class Vetting:
    """Decides the cases of jobs."""

    def __init__(self, pool: Pool, settings: Settings) -> None:
        self._pool = pool
        self._timeout = settings.database_timeout
        self._thresholds = Thresholds.of(settings)
        look_up = Lookup(pool, most=settings.registry_cache, timeout=settings.database_timeout)
        self._gather = Gatherer.of(look_up, settings)
        # Jobs that run at the same time read together as they commit together.
        self._reads: GroupCommit[CaseReference, Case | None] = GroupCommit(self._load, most=settings.write_batch)
        self._commits: GroupCommit[Verdict, QualificationState | None] = GroupCommit(
            self._record, most=settings.write_batch
        )

    async def vet(self, references: Sequence[CaseReference]) -> None:
        """Decide the cases that are still in review.

        Of several, those that fail are queued again one by one; a single one that fails raises.
        """
        results = await asyncio.gather(*map(self._decide, references), return_exceptions=True)
        failed = [(one, error) for one, error in zip(references, results, strict=True) if isinstance(error, Exception)]
        if not failed:
            return
        if len(references) == 1:
            raise failed[0][1]
        for (case, _), error in failed:
            log.error("case failed, queued again", case=str(case), exc_info=error)

        async def requeue(connection: Connection) -> None:
            for reference, _ in failed:
                await queue.enqueue(connection, [reference])

        await transact(self._pool, requeue, timeout=self._timeout)

    async def purge(self) -> None:
        """Remove the idempotency records that no longer count."""

        async def delete(connection: Connection) -> None:
            await connection.execute(idempotency.PURGE)

        await transact(self._pool, delete, timeout=self._timeout)

    async def _decide(self, reference: CaseReference) -> None:
        case = await self._reads.submit(reference)
        if case is None:
            return
        evidence = await self._gather(case)
        decision = policy.decide(case.qualification, evidence, self._thresholds)
        verdict = Verdict(case.qualification_id, case.request_number, decision, list(evidence.values()), DECIDED_BY)
        if await self._commits.submit(verdict) is None:
            return
        DECISIONS.labels(case.qualification, decision.outcome).inc()
        log.info(
            "decided",
            case=str(case.qualification_id),
            customer=str(case.customer_id),
            qualification=case.qualification,
            outcome=decision.outcome,
            rule=decision.rule,
        )

    async def _load(self, references: list[CaseReference]) -> list[Case | None]:
        cases = await store.load(self._pool, references, timeout=self._timeout)
        found = {(case.qualification_id, case.request_number): case for case in cases}
        return [found.get(reference) for reference in references]

    async def _record(self, verdicts: list[Verdict]) -> list[QualificationState | None]:
        return await transact(self._pool, functools.partial(store.record, verdicts=verdicts), timeout=self._timeout)


async def run(settings: Settings, database_url: str) -> None:
    """Work until SIGTERM or SIGINT; the jobs in hand are finished first. Outlives the database's restarts."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if settings.worker_metrics_port is not None:
        start_http_server(settings.worker_metrics_port, settings.host)
    pool = create_pool(database_url, most=4, timeout=settings.database_timeout, name="accredit-worker")
    worker_id = uuid7()
    async with pool:
        beating = asyncio.create_task(_beat(pool, worker_id))
        try:
            await _work(settings, database_url, Vetting(pool, settings), stop)
        finally:
            beating.cancel()
            with contextlib.suppress(psycopg.Error, asyncio.CancelledError):
                await beating
            with contextlib.suppress(psycopg.Error):
                async with pool.connection(1) as connection:
                    await connection.execute(_FORGET, (worker_id,))


async def _work(settings: Settings, database_url: str, vetting: Vetting, stop: asyncio.Event) -> None:
    """Run the queue until ``stop``; start it again, after a growing pause, whenever it loses the database."""
    pause = _RECONNECT_SECONDS
    while not stop.is_set():
        started = time.monotonic()
        try:
            async with await _connect(database_url) as listening, await _connect(database_url) as asking:
                await _run_queue(PgQueuer(WorkerDriver(listening, asking)), settings, database_url, vetting, stop)
        except Exception as error:
            if time.monotonic() - started > _LONGEST_RECONNECT_SECONDS:
                pause = _RECONNECT_SECONDS
            log.warning("queue stopped, starting again", error=f"{type(error).__name__}: {error}", pause=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
            pause = min(pause * 2, _LONGEST_RECONNECT_SECONDS)


async def _connect(database_url: str) -> Connection:
    return await psycopg.AsyncConnection.connect(database_url, autocommit=True, application_name="accredit-worker")


async def _run_queue(
    pgq: PgQueuer, settings: Settings, database_url: str, vetting: Vetting, stop: asyncio.Event
) -> None:
    @pgq.entrypoint(
        queue.VET,
        on_failure="hold",
        executor_factory=lambda parameters: DatabaseRetryEntrypointExecutor(
            parameters, max_attempts=_MOST_ATTEMPTS, initial_delay=timedelta(seconds=1)
        ),
    )
    async def vet(job: Job) -> None:
        with JOB_SECONDS.time():
            await vetting.vet(queue.decode(job.payload))

    @pgq.schedule("purge_idempotency_records", "17 * * * *")
    async def purge(_: Schedule) -> None:
        await vetting.purge()

    if settings.registry_refresh_hours:

        @pgq.schedule("refresh_registries", "41 * * * *")
        async def refresh(_: Schedule) -> None:
            await asyncio.to_thread(importing.refresh, database_url, settings)

    async def stop_queue() -> None:
        await stop.wait()
        pgq.shutdown.set()

    # How long PgQueuer waits when it finds that work came in behind its back: its default is a tenth of a second.
    pgq.qm.min_dequeue_poll_interval = timedelta(milliseconds=2)
    stopping = asyncio.create_task(stop_queue())
    try:
        await pgq.run(
            batch_size=settings.worker_jobs,
            dequeue_timeout=timedelta(seconds=5),
            shutdown_on_listener_failure=True,
            heartbeat_timeout=timedelta(seconds=settings.job_timeout),
        )
    finally:
        stopping.cancel()


async def _beat(pool: Pool, worker_id: UUID) -> None:
    """Tell every two seconds that this worker lives, for ``/health/ready``."""
    while True:
        try:
            async with pool.connection() as connection:
                await connection.execute(_BEAT, (worker_id, socket.gethostname()))
        except psycopg.Error as error:
            log.warning("no heartbeat", error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(_HEARTBEAT_SECONDS)
