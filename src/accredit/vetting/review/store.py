"""Review cases in the database: listed, shown, claimed, released and decided.

Whoever changes a case holds the lock of its qualification, as ``vetting.store`` does: of two reviewers, or a reviewer
and the policy, one comes first and the other finds what that one did.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg.rows import dict_row

from accredit.database.pool import Connection, Params
from accredit.qualifications.models import Qualification, QualificationState, VettingStatus
from accredit.qualifications.store import OPERATION_TYPE
from accredit.vetting import store
from accredit.vetting.models import Evidence
from accredit.vetting.revetting import subject_of
from accredit.vetting.review import rules
from accredit.vetting.review.models import (
    AskedRequest,
    CaseFile,
    CaseFilter,
    Claim,
    MadeDecision,
    Place,
    QueueState,
    ReviewCase,
)
from accredit.vetting.review.rules import CaseClosedError, NoSuchCaseError
from accredit.vetting.store import Cause, Verdict

_FROM_OPEN = """
FROM review_cases AS review
JOIN qualifications AS asked ON asked.id = review.qualification_id
JOIN customers AS customer ON customer.id = asked.customer_id
JOIN partners AS partner ON partner.id = customer.partner_id
WHERE review.closed_at IS NULL
  AND (%(qualification)s::text IS NULL OR asked.qualification = %(qualification)s)
  AND (%(kind)s::text IS NULL OR review.kind = %(kind)s)
  AND (%(partner_id)s::uuid IS NULL OR customer.partner_id = %(partner_id)s)
  AND (%(customer_id)s::uuid IS NULL OR customer.id = %(customer_id)s)
  AND (%(country)s::text IS NULL OR upper(customer.address ->> 'country') = upper(%(country)s))
  AND (%(rule)s::text IS NULL OR review.rule = %(rule)s)
  AND (%(claimed_by)s::text IS NULL OR
       (lower(review.claimed_by) = lower(%(claimed_by)s) AND review.claim_expires_at > now()))
  AND (%(claimed)s::boolean IS NULL OR coalesce(review.claim_expires_at > now(), false) = %(claimed)s)
  AND (%(overdue)s::boolean IS NULL OR (review.due_at < now()) = %(overdue)s)
"""

_PAGE = f"""
SELECT review.qualification_id AS id, review.kind, asked.qualification, review.request_number, asked.requested_at,
       review.waiting_since, review.due_at, review.escalated_at, partner.id AS partner_id, partner.name AS partner_name,
       customer.id AS customer_id, customer.company_name, customer.address ->> 'country' AS country, review.rule,
       review.explanation, review.claimed_by, review.claimed_at, review.claim_expires_at, review.changed_at
{_FROM_OPEN}
"""

_OLDEST_FIRST = f"""{_PAGE}
  AND (%(after)s::timestamptz IS NULL
       OR (review.waiting_since, review.qualification_id) > (%(after)s, %(after_id)s::uuid))
ORDER BY review.waiting_since, review.qualification_id
LIMIT %(most)s
"""

_NEWEST_FIRST = f"""{_PAGE}
  AND (%(after)s::timestamptz IS NULL
       OR (review.waiting_since, review.qualification_id) < (%(after)s, %(after_id)s::uuid))
ORDER BY review.waiting_since DESC, review.qualification_id DESC
LIMIT %(most)s
"""

_COUNT = f"SELECT count(*) {_FROM_OPEN}"

_ONE = """
SELECT asked.id, asked.qualification, asked.vetting_status, asked.vetting_reason, asked.request_number,
       asked.requested_at, asked.requested_by, asked.education_segment, asked.website, asked.validation_id,
       partner.id AS partner_id, partner.name AS partner_name, customer.id AS customer_id, customer.company_name,
       customer.domain, customer.address,
       ARRAY(SELECT domain FROM customer_domains WHERE customer_id = customer.id ORDER BY domain) AS verified_domains,
       review.kind, review.waiting_since, review.due_at, review.escalated_at, review.claimed_by, review.claimed_at,
       review.claim_expires_at, greatest(asked.requested_at, known.changed_at) AS changed_at
FROM qualifications AS asked
JOIN customers AS customer ON customer.id = asked.customer_id
JOIN partners AS partner ON partner.id = customer.partner_id
LEFT JOIN review_cases AS known ON known.qualification_id = asked.id
LEFT JOIN review_cases AS review ON review.qualification_id = asked.id AND review.closed_at IS NULL
WHERE asked.id = %s
"""

_DECISIONS = """
SELECT request_number, cause, outcome, reason, rule, explanation, evidence, subject, policy_version, decided_by, note,
       decided_at
FROM decisions
WHERE qualification_id = %s
ORDER BY decided_at, id
"""

# The qualification itself knows its latest request only; the audit records know all.
_REQUESTS = """
SELECT operation_date AS requested_at, user_principal_name AS requested_by
FROM audit_records
WHERE partner_id = %s AND customer_id = %s AND operation_type = %s AND operation_status = 'progress'
  AND resource_new_value::json ->> 'qualification' = %s
ORDER BY operation_date, id
"""

_LOCK = "SELECT FROM qualifications WHERE id = %s FOR NO KEY UPDATE"

_CLAIM = """
UPDATE review_cases
SET claimed_by = %(reviewer)s, claimed_at = %(since)s, claim_expires_at = %(until)s,
    changed_at = greatest(clock_timestamp(), changed_at + interval '1 microsecond')
WHERE qualification_id = %(id)s
"""

_QUEUE = """
SELECT asked.qualification, review.kind, count(*), count(*) FILTER (WHERE review.claim_expires_at > now()),
       count(*) FILTER (WHERE review.due_at < now()), count(*) FILTER (WHERE review.escalated_at IS NOT NULL),
       extract(epoch FROM now() - min(review.waiting_since))::float8,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM now() - review.waiting_since))
FROM review_cases AS review
JOIN qualifications AS asked ON asked.id = review.qualification_id
WHERE review.closed_at IS NULL
GROUP BY 1, 2
"""


Check = Callable[[CaseFile], None]


def _unchecked(_: CaseFile) -> None:
    pass


async def open_cases(
    connection: Connection, wanted: CaseFilter, *, most: int, after: Place | None = None, newest_first: bool = False
) -> list[ReviewCase]:
    """The open cases that are ``wanted``, the longest waiting first unless ``newest_first``; from ``after`` on."""
    place = {"after": after and after.waiting_since, "after_id": after and after.id}
    query = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
    rows = await _rows(connection, query, {**asdict(wanted), **place, "most": most})
    return [ReviewCase(claim=_take_claim(row), **row) for row in rows]


async def count(connection: Connection, wanted: CaseFilter) -> int:
    """How many open cases are ``wanted``."""
    (row,) = await (await connection.execute(_COUNT, asdict(wanted))).fetchall()
    return int(row[0])


async def queue_state(connection: Connection) -> list[QueueState]:
    """How long and how old the queue is, by qualification and kind of case."""
    return [QueueState(*row) for row in await (await connection.execute(_QUEUE)).fetchall()]


async def case_file(connection: Connection, case_id: UUID) -> CaseFile:
    """The whole of a case. Raises :class:`NoSuchCaseError`."""
    found = await _rows(connection, _ONE, (case_id,))
    if not found:
        raise NoSuchCaseError(f"there is no case {case_id}")
    (row,) = found
    history = [MadeDecision(**made) for made in await _rows(connection, _DECISIONS, (case_id,))]
    asked = (row["partner_id"], row["customer_id"], OPERATION_TYPE, row["qualification"])
    requests = [AskedRequest(**one) for one in await _rows(connection, _REQUESTS, asked)]
    is_open = row["waiting_since"] is not None
    return CaseFile(
        open=is_open or row["vetting_status"] == VettingStatus.IN_REVIEW,
        claim=_take_claim(row),
        suggestion=rules.suggest(row["qualification"], row["kind"], history) if is_open else None,
        evidence=history[-1].evidence if history else [],
        requests=requests,
        decisions=history,
        **row,
    )


async def claim(
    connection: Connection, case_id: UUID, *, reviewer: str, duration: timedelta, check: Check = _unchecked
) -> CaseFile:
    """Claim a case, or claim it for longer. Runs in the caller's transaction.

    ``check`` is called with the case as it is, once it is held; what it raises passes through. Raises of
    ``review.rules`` ``NoSuchCaseError``, ``CaseClosedError`` and ``CaseClaimedError``.
    """
    case, now = await _hold(connection, case_id, check), datetime.now(UTC)
    if case.waiting_since is None:
        raise CaseClosedError(f"nobody is asked about the case {case_id}: it is {case.vetting_status or 'not vetted'}")
    rules.check_claim(case.claim, reviewer, now)
    since = case.claim.since if case.claim else now
    await connection.execute(_CLAIM, {"id": case_id, "reviewer": reviewer, "since": since, "until": now + duration})
    return await case_file(connection, case_id)


async def release(connection: Connection, case_id: UUID, *, reviewer: str) -> CaseFile:
    """Give back a claimed case; one that nobody has claimed stays as it is. Raises as :func:`claim` does."""
    case = await _hold(connection, case_id)
    rules.check_claim(case.claim, reviewer, datetime.now(UTC))
    if case.claim is None:
        return case
    await connection.execute(_CLAIM, {"id": case_id, "reviewer": None, "since": None, "until": None})
    return await case_file(connection, case_id)


async def decide(
    connection: Connection,
    case_id: UUID,
    *,
    reason: str | None,
    note: str | None,
    reviewer: str,
    check: Check = _unchecked,
    details: Mapping[str, str] | None = None,
) -> QualificationState:
    """Approve a case, or deny it where a ``reason`` is given. Runs in the caller's transaction.

    ``details`` go to the audit record. Raises as :func:`claim` does, and ``rules.NotAReasonError``.
    """
    file = await _hold(connection, case_id, check)
    pending = await store.pending(connection, case_id)
    if not file.open or pending is None:
        raise CaseClosedError(f"the case {case_id} is not open: it is {file.vetting_status or 'not vetted'}")
    now = datetime.now(UTC)
    rules.check_claim(file.claim, reviewer, now)
    verdict = Verdict(
        qualification_id=case_id,
        request_number=file.request_number,
        facts_version=pending.facts_version,
        vetted_at=pending.read_at,
        cause=Cause.REQUEST if pending.status is VettingStatus.IN_REVIEW else Cause.REVETTING,
        decision=rules.persons_decision(file.qualification, reason, reviewer, file.decisions),
        evidence=msgspec.convert(file.evidence, list[Evidence]),
        subject=subject_of(pending.case),
        decided_by=reviewer,
        by_a_person=True,
        note=note,
        details=details or {},
    )
    (state,) = await store.record(connection, [verdict], review_within=timedelta(0))
    if state is None:
        raise CaseClosedError(f"the case {case_id} was decided by somebody else meanwhile")
    return state


async def _hold(connection: Connection, case_id: UUID, check: Check = _unchecked) -> CaseFile:
    """Hold a case until the transaction ends, and read it only then, as who held it before has left it."""
    await connection.execute(_LOCK, (case_id,))
    case = await case_file(connection, case_id)
    check(case)
    return case


async def _rows(connection: Connection, query: LiteralString, parameters: Params) -> list[dict[str, Any]]:
    """The rows of a query, by column; moments in UTC, and the qualification as what it is."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters)
        return [{name: _value(name, value) for name, value in row.items()} for row in await cursor.fetchall()]


def _value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return Qualification(value) if name == "qualification" else value


def _take_claim(row: dict[str, Any]) -> Claim | None:
    """The claim of a row, taken out of it, if it still counts."""
    by, since, until = (row.pop(name) for name in ("claimed_by", "claimed_at", "claim_expires_at"))
    return Claim(by, since, until) if by is not None and until > datetime.now(UTC) else None
