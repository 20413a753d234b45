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
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from uuid import UUID

import psycopg
import structlog
from pgqueuer import PgQueuer
from pgqueuer.core.executors import DatabaseRetryEntrypointExecutor, EntrypointExecutorParameters
from pgqueuer.models import Job, Schedule
from prometheus_client import Counter, Histogram, start_http_server
from uuid_utils.compat import uuid7

from accredit.database import idempotency
from accredit.database.group_commit import GroupCommit
from accredit.database.pool import Connection, Pool, create_pool, transact
from accredit.limits import store as limits
from accredit.qualifications.models import QualificationState, VettingStatus
from accredit.registries import importing
from accredit.registries.store import Lookup
from accredit.settings import Settings
from accredit.vetting import policy, queue, schedule, store
from accredit.vetting.evidence import Gatherer
from accredit.vetting.findings import Thresholds
from accredit.vetting.models import Decision, Evidence, Found, Outcome
from accredit.vetting.queue import CaseReference, WorkerDriver
from accredit.vetting.revetting import reconsider, subject_of
from accredit.vetting.store import Cause, Pending, Verdict

log = structlog.get_logger("accredit.vetting")

DECIDED_BY = "policy"
DECISIONS = Counter("accredit_decisions", "Decisions of the policy.", ["qualification", "outcome", "cause"])
ESCALATIONS = Counter("accredit_review_escalations", "Review cases that went past their deadline.")
JOB_SECONDS = Histogram("accredit_job_seconds", "Seconds from taking a job to its last verdict's commit.")

_MOST_ATTEMPTS = 8
_HEARTBEAT_SECONDS = 2.0
_RECONNECT_SECONDS = 0.2
_LONGEST_RECONNECT_SECONDS = 5.0
_LONGEST_UNDECIDED = timedelta(hours=1)
_UNDECIDED = Decision(
    Outcome.REFER,
    "vetting.undecided",
    "Looking at the case failed again and again, so the policy has not decided it: an operator finds why in the log.",
)

_BEAT = """
INSERT INTO workers (id, host) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET seen_at = now()
"""
_FORGET = "DELETE FROM workers WHERE id = %s OR seen_at < now() - interval '1 day'"


class Vetting:
    """Decides the cases of jobs, and does what falls due."""

    def __init__(self, pool: Pool, settings: Settings) -> None:
        self._pool = pool
        self._settings = settings
        self._timeout = settings.database_timeout
        self._thresholds = Thresholds.of(settings)
        self._gather = Gatherer.of(Lookup(pool, most=settings.registry_cache, timeout=self._timeout), settings)
        self._review_within = timedelta(hours=settings.review_deadline)
        # Jobs that run at the same time read together as they commit together.
        self._reads: GroupCommit[CaseReference, Pending | None] = GroupCommit(self._load, most=settings.write_batch)
        self._commits: GroupCommit[Verdict, QualificationState | None] = GroupCommit(
            self._record, most=settings.write_batch
        )

    async def vet(self, references: Sequence[CaseReference]) -> None:
        """Decide the cases that are still in review.

        Of several, those that fail are queued again one by one; a single one that fails raises.
        """
        await self._each(references, self._decide, queue.VET)

    async def revet(self, references: Sequence[CaseReference]) -> None:
        """Look again at cases: decide those in review, and see whether those Approved still hold. Fails as ``vet``."""
        await self._each(references, self._decide_again, queue.REVET, queue.IN_THEIR_TURN)

    async def _each(
        self,
        references: Sequence[CaseReference],
        decide: Callable[[CaseReference], Awaitable[None]],
        entrypoint: str,
        priority: int = 0,
    ) -> None:
        results = await asyncio.gather(*map(decide, references), return_exceptions=True)
        failed = [(one, error) for one, error in zip(references, results, strict=True) if isinstance(error, Exception)]
        if not failed:
            return
        if len(references) == 1:
            raise failed[0][1]
        for (case, _), error in failed:
            log.error("case failed, queued again", case=str(case), exc_info=error)

        async def requeue(connection: Connection) -> None:
            for reference, _ in failed:
                await queue.enqueue(connection, [reference], entrypoint=entrypoint, priority=priority)

        await transact(self._pool, requeue, timeout=self._timeout)

    async def purge(self) -> None:
        """Remove what no longer counts: old idempotency records, and old grants of the rate limits."""

        async def delete(connection: Connection) -> None:
            await connection.execute(idempotency.PURGE)
            await limits.purge(connection)

        await transact(self._pool, delete, timeout=self._timeout)

    async def queue_due(self) -> None:
        """Queue what is due for another look."""
        days, most = self._settings.revetting_days, self._settings.revetting_batch
        work = functools.partial(schedule.queue_due, days=days, most=most)
        count = await transact(self._pool, work, timeout=self._timeout)
        if count:
            log.info("re-vetting", cases=count)

    async def escalate(self) -> None:
        """Tell of the review cases that are past their deadline, and hand over what the policy cannot decide."""
        for case in await transact(self._pool, schedule.escalate_overdue, timeout=self._timeout):
            ESCALATIONS.inc()
            log.warning("review overdue", case=str(case))
        work = functools.partial(schedule.undecided, after=_LONGEST_UNDECIDED, most=self._settings.revetting_batch)
        for reference in await transact(self._pool, work, timeout=self._timeout):
            pending = await self._reads.submit(reference)
            if pending is not None and pending.status is VettingStatus.IN_REVIEW:
                await self._commit(pending, Cause.REQUEST, _UNDECIDED, ())

    async def _decide(self, reference: CaseReference) -> None:
        pending = await self._reads.submit(reference)
        if pending is not None and pending.status is VettingStatus.IN_REVIEW:
            await self._decide_request(pending)

    async def _decide_again(self, reference: CaseReference) -> None:
        pending = await self._reads.submit(reference)
        if pending is None:
            return
        if pending.status is VettingStatus.IN_REVIEW:
            await self._decide_request(pending)
            return
        case = pending.case
        approval = await store.approval(self._pool, case, timeout=self._timeout)
        evidence = await self._gather(case)
        decision = reconsider(
            case.qualification,
            approval,
            policy.decide(case.qualification, evidence, self._thresholds),
            subject=subject_of(case),
            complete=all(one.outcome is not Found.UNAVAILABLE for one in evidence.values()),
        )
        if decision is not None:
            await self._commit(pending, Cause.REVETTING, decision, list(evidence.values()))

    async def _decide_request(self, pending: Pending) -> None:
        evidence = await self._gather(pending.case)
        decision = policy.decide(pending.case.qualification, evidence, self._thresholds)
        await self._commit(pending, Cause.REQUEST, decision, list(evidence.values()))

    async def _commit(self, pending: Pending, cause: Cause, decision: Decision, evidence: Sequence[Evidence]) -> None:
        case = pending.case
        verdict = Verdict(
            qualification_id=case.qualification_id,
            request_number=case.request_number,
            facts_version=pending.facts_version,
            vetted_at=pending.read_at,
            cause=cause,
            decision=decision,
            evidence=evidence,
            subject=subject_of(case),
            decided_by=DECIDED_BY,
        )
        if await self._commits.submit(verdict) is None:
            return
        DECISIONS.labels(case.qualification, decision.outcome, cause).inc()
        log.info(
            "decided",
            case=str(case.qualification_id),
            customer=str(case.customer_id),
            qualification=case.qualification,
            cause=cause,
            outcome=decision.outcome,
            rule=decision.rule,
        )

    async def _load(self, references: list[CaseReference]) -> list[Pending | None]:
        pending = await store.load(self._pool, references, timeout=self._timeout)
        found = {(one.case.qualification_id, one.case.request_number): one for one in pending}
        return [found.get(reference) for reference in references]

    async def _record(self, verdicts: list[Verdict]) -> list[QualificationState | None]:
        work = functools.partial(store.record, verdicts=verdicts, review_within=self._review_within)
        return await transact(self._pool, work, timeout=self._timeout)


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
    def executor(parameters: EntrypointExecutorParameters) -> DatabaseRetryEntrypointExecutor:
        return DatabaseRetryEntrypointExecutor(
            parameters, max_attempts=_MOST_ATTEMPTS, initial_delay=timedelta(seconds=1)
        )

    @pgq.entrypoint(queue.VET, on_failure="hold", executor_factory=executor)
    async def vet(job: Job) -> None:
        with JOB_SECONDS.time():
            await vetting.vet(queue.decode(job.payload))

    @pgq.entrypoint(queue.REVET, on_failure="hold", executor_factory=executor)
    async def revet(job: Job) -> None:
        with JOB_SECONDS.time():
            await vetting.revet(queue.decode(job.payload))

    @pgq.schedule("purge", "* * * * *")
    async def purge(_: Schedule) -> None:
        await vetting.purge()

    @pgq.schedule("queue_due_revettings", "* * * * *")
    async def queue_due(_: Schedule) -> None:
        await vetting.queue_due()

    @pgq.schedule("escalate_reviews", "* * * * *")
    async def escalate(_: Schedule) -> None:
        await vetting.escalate()

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
