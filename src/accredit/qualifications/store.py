"""The write path of qualifications, and their reads.

A submission is a value; a batch of them is one transaction (``database.group_commit``). Within it the order of locks
is always the same: idempotency keys, customers, qualifications, validation codes; each in the order of its key. So two
batches wait for each other, never both at once, and what they decide by cannot change under them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from accredit.audit import store as audit
from accredit.audit.models import AuditRecord
from accredit.database import idempotency
from accredit.database.group_commit import GroupCommit
from accredit.database.idempotency import Kept, WriteKey
from accredit.database.pool import Connection, Pool, fetch, transact
from accredit.database.rows import Write, write_together
from accredit.qualifications import rules
from accredit.qualifications.models import (
    Qualification,
    QualificationState,
    QualificationUpdate,
    VettingStatus,
    listed,
)
from accredit.validations import store as validations
from accredit.validations.models import ValidationCode
from accredit.vetting import queue
from accredit.wire.answers import Answer
from accredit.wire.errors import ApiError

LOCK_CUSTOMERS = """
SELECT id, partner_id, company_name
FROM customers
WHERE id = ANY (%s) AND partner_id = ANY (%s)
ORDER BY id
FOR NO KEY UPDATE
"""

LOCK_QUALIFICATIONS = """
SELECT id, customer_id, qualification, vetting_status, vetting_reason, request_number, requested_at
FROM qualifications
WHERE customer_id = ANY (%s)
ORDER BY id
FOR NO KEY UPDATE
"""

_OF_CUSTOMER = """
SELECT standing.id, standing.customer_id, standing.qualification, standing.vetting_status, standing.vetting_reason,
       standing.request_number, standing.requested_at
FROM customers AS customer
LEFT JOIN qualifications AS standing ON standing.customer_id = customer.id
WHERE customer.partner_id = %s AND customer.id = %s
ORDER BY standing.requested_at, standing.id
"""

PUT = """
INSERT INTO qualifications (
    id, customer_id, qualification, vetting_status, vetting_reason, request_number, requested_at,
    requested_by, application_id, education_segment, website, validation_id)
SELECT
    id, customer_id, qualification, vetting_status, vetting_reason, request_number, requested_at,
    requested_by, application_id, education_segment, website, validation_id
FROM json_to_recordset(%s::json) AS asked (
    id uuid, customer_id uuid, qualification text, vetting_status text, vetting_reason text, request_number smallint,
    requested_at timestamptz, requested_by text, application_id text, education_segment text, website text,
    validation_id text)
ON CONFLICT (customer_id, qualification) DO UPDATE
SET vetting_status = excluded.vetting_status, vetting_reason = excluded.vetting_reason,
    request_number = excluded.request_number, requested_at = excluded.requested_at,
    requested_by = excluded.requested_by, application_id = excluded.application_id,
    education_segment = excluded.education_segment, website = excluded.website,
    validation_id = excluded.validation_id, vetted_at = NULL, revetting_queued_at = NULL
"""


@dataclass(frozen=True, slots=True)
class Submission:
    """A partner's write, as a value: an update of a customer's qualifications, or what it was refused with already.

    ``answer`` makes the success of the state that the update leads to. ``details`` go to the audit record.
    """

    key: WriteKey
    customer_id: UUID
    update: QualificationUpdate | ApiError
    answer: Callable[[QualificationState], Answer]
    user_principal_name: str | None
    application_id: str | None
    details: Mapping[str, str]


@dataclass(slots=True)
class _Batch:
    """What a transaction has read and locked, and what it is going to write."""

    now: datetime
    kept: dict[tuple[UUID, UUID], Kept]
    company_names: dict[tuple[UUID, UUID], str]
    standing: dict[UUID, dict[Qualification, QualificationState]]
    codes: dict[validations.CodeName, ValidationCode]
    qualifications: list[dict[str, Any]] = field(default_factory=list)
    audit_records: list[AuditRecord] = field(default_factory=list)
    jobs: list[queue.CaseReference] = field(default_factory=list)
    creates: Counter[validations.CodeName] = field(default_factory=Counter)
    answers: list[tuple[WriteKey, Answer]] = field(default_factory=list)


class QualificationStore:
    """Qualifications in the database. ``timeout``: seconds to wait for it."""

    def __init__(self, pool: Pool, *, most: int, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._commits: GroupCommit[Submission, Answer] = GroupCommit(self._commit, most=most)

    async def submit(self, submission: Submission) -> Answer:
        """Do a write once, or give the answer that it was given before.

        Errors of the contract come back as answers, since they are kept like any other. Raises
        ``psycopg.OperationalError`` or ``psycopg_pool.PoolTimeout`` if the database cannot be reached.
        """
        return await self._commits.submit(submission)

    async def of_customer(self, partner_id: UUID, customer_id: UUID) -> list[QualificationState]:
        """The customer's qualifications, oldest first. Raises ``ApiError`` (403 / 20002)."""
        rows = await fetch(self._pool, _OF_CUSTOMER, (partner_id, customer_id), timeout=self._timeout)
        if not rows:
            raise ApiError.no_relationship()
        return [state_of(row) for row in rows if row[0] is not None]

    async def _commit(self, submissions: list[Submission]) -> list[Answer]:
        async def work(connection: Connection) -> list[Answer]:
            batch = await _read(connection, submissions)
            answers = [_settle(batch, submission) for submission in submissions]
            await _write(connection, batch)
            return answers

        return await transact(self._pool, work, timeout=self._timeout)


async def _read(connection: Connection, submissions: Sequence[Submission]) -> _Batch:
    keys = [submission.key for submission in submissions]
    await idempotency.lock(connection, keys)
    kept = await idempotency.recall(connection, keys)
    new = [submission for submission in submissions if submission.key.name not in kept]
    customers = [(one.key.partner_id, one.customer_id) for one in new if not isinstance(one.update, ApiError)]
    company_names: dict[tuple[UUID, UUID], str] = {}
    standing: dict[UUID, dict[Qualification, QualificationState]] = defaultdict(dict)
    if customers:
        locked = await connection.execute(
            LOCK_CUSTOMERS, ([customer for _, customer in customers], [partner for partner, _ in customers])
        )
        states = await connection.execute(LOCK_QUALIFICATIONS, ([customer for _, customer in customers],))
        company_names = {(partner_id, id): name for id, partner_id, name in await locked.fetchall()}
        for state in map(state_of, await states.fetchall()):
            standing[state.customer_id][state.qualification] = state
    named_codes = {
        (one.key.partner_id, one.update.validation_id)
        for one in new
        if not isinstance(one.update, ApiError) and one.update.validation_id
    }
    codes = await validations.lock(connection, named_codes) if named_codes else {}
    return _Batch(datetime.now(UTC), kept, company_names, standing, codes)


def _settle(batch: _Batch, submission: Submission) -> Answer:
    """Find the answer to a submission, and note in the batch what it changes."""
    key = submission.key
    kept = batch.kept.get(key.name)
    if kept is not None:
        try:
            return kept.replay(key)
        except ApiError as error:
            return _refusal(error)
    try:
        answer = _update(batch, submission)
    except ApiError as error:
        answer = _refusal(error)
    batch.kept[key.name] = Kept(key.fingerprint, answer)
    batch.answers.append((key, answer))
    return answer


def _refusal(error: ApiError) -> Answer:
    return Answer(error.status, error.body())


def _update(batch: _Batch, submission: Submission) -> Answer:
    if isinstance(submission.update, ApiError):
        raise submission.update
    update, partner_id, customer_id = submission.update, submission.key.partner_id, submission.customer_id
    if (partner_id, customer_id) not in batch.company_names:
        raise ApiError.no_relationship()
    code_name = (partner_id, update.validation_id) if update.validation_id else None
    code = batch.codes.get(code_name) if code_name else None
    standing = batch.standing[customer_id]
    before = standing.get(update.qualification)
    state = rules.request(update, standing, code, new_id=uuid7(), customer_id=customer_id, now=batch.now)
    if state is before:
        return submission.answer(state)
    standing[state.qualification] = state
    if code_name and code:
        batch.creates[code_name] += 1
        if code.remaining_creates is not None:
            batch.codes[code_name] = msgspec.structs.replace(code, remaining_creates=code.remaining_creates - 1)
    batch.qualifications.append(
        {
            "id": state.id,
            "customer_id": customer_id,
            "qualification": state.qualification,
            "vetting_status": state.vetting_status,
            "vetting_reason": state.vetting_reason,
            "request_number": state.request_number,
            "requested_at": state.requested_at,
            "requested_by": submission.user_principal_name,
            "application_id": submission.application_id,
            "education_segment": update.education_segment,
            "website": update.website,
            "validation_id": update.validation_id,
        }
    )
    batch.audit_records.append(
        AuditRecord(
            partner_id=partner_id,
            customer_id=customer_id,
            customer_name=batch.company_names[partner_id, customer_id],
            user_principal_name=submission.user_principal_name,
            application_id=submission.application_id,
            resource_type="customer",
            resource_old_value=resource_value(before),
            resource_new_value=resource_value(state),
            operation_type=OPERATION_TYPE,
            operation_date=batch.now,
            operation_status="progress" if state.vetting_status else "succeeded",
            details=submission.details,
        )
    )
    if state.vetting_status is VettingStatus.IN_REVIEW:
        batch.jobs.append((state.id, state.request_number))
    return submission.answer(state)


async def _write(connection: Connection, batch: _Batch) -> None:
    await write_together(
        connection,
        [
            Write(PUT, batch.qualifications),
            validations.take(batch.creates),
            audit.write(batch.audit_records),
            idempotency.keep(batch.answers),
        ],
    )
    if batch.jobs:
        await queue.enqueue(connection, batch.jobs)


OPERATION_TYPE = "update_customer_qualification"


def resource_value(state: QualificationState | None) -> str | None:
    """A qualification as audit records show it: the JSON that a client would get."""
    return None if state is None else msgspec.json.encode(listed(state)).decode()


def state_of(row: Sequence[Any]) -> QualificationState:
    """A state from the columns of ``qualifications`` in the order that the queries here select them."""
    id, customer_id, qualification, vetting_status, vetting_reason, request_number, requested_at = row
    return QualificationState(
        id,
        customer_id,
        Qualification(qualification),
        VettingStatus(vetting_status) if vetting_status else None,
        vetting_reason,
        request_number,
        requested_at.astimezone(UTC),
    )
