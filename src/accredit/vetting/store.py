"""Cases out of the database, and decisions into it: state, audit record, the code's create and notice in one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from accredit.audit import store as audit
from accredit.audit.models import AuditRecord, OperationStatus
from accredit.database.pool import Connection, Pool, fetch
from accredit.database.rows import Write, write_together
from accredit.qualifications import rules
from accredit.qualifications.models import EducationSegment, Qualification, QualificationState, VettingStatus
from accredit.qualifications.store import OPERATION_TYPE, resource_value, state_of
from accredit.registries.domains import registrable
from accredit.validations import store as validations
from accredit.vetting import policy
from accredit.vetting.models import Case, Decision, Evidence, Outcome
from accredit.vetting.queue import CaseReference

DECIDED_CHANNEL = "accredit_decided"
"""NOTIFY channel: its payload is ``<customer ID> <qualification> <vetting status>``, sent with each verdict."""

_CASES = """
SELECT asked.id, asked.request_number, customer.partner_id, customer.id, customer.company_name, asked.qualification,
       asked.education_segment, asked.website, asked.validation_id, code.organization_name,
       ARRAY(SELECT domain FROM customer_domains WHERE customer_id = customer.id ORDER BY domain),
       customer.address ->> 'country', customer.address ->> 'state'
FROM qualifications AS asked
JOIN customers AS customer ON customer.id = asked.customer_id
LEFT JOIN validation_codes AS code
       ON code.partner_id = customer.partner_id AND code.validation_id = asked.validation_id
WHERE asked.id = ANY (%s) AND asked.vetting_status = 'InReview'
ORDER BY asked.id
"""

# The customers below a registered domain, by the index on reverse(domain): "." to "/" is all that follows a dot.
_SHARED = """
SELECT asked.customer_id, asked.domain, array_agg(DISTINCT other.company_name)
FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS asked (customer_id, domain, top)
JOIN customers AS own ON own.id = asked.customer_id
CROSS JOIN LATERAL (
    SELECT customer.company_name
    FROM customer_domains AS theirs
    JOIN customers AS customer ON customer.id = theirs.customer_id
    WHERE (theirs.domain = asked.top
           OR (reverse(theirs.domain) ~>=~ (reverse(asked.top) || '.')
               AND reverse(theirs.domain) ~<~ (reverse(asked.top) || '/')))
      AND theirs.customer_id <> asked.customer_id
      AND lower(customer.company_name) <> lower(own.company_name)
    LIMIT 5
) AS other
GROUP BY asked.customer_id, asked.domain
"""

_LOCK = """
SELECT asked.id, asked.customer_id, asked.qualification, asked.vetting_status, asked.vetting_reason,
       asked.request_number, asked.requested_at, asked.validation_id, customer.partner_id, customer.company_name
FROM qualifications AS asked
JOIN customers AS customer ON customer.id = asked.customer_id
WHERE asked.id = ANY (%s)
ORDER BY asked.id
FOR NO KEY UPDATE OF asked
"""

# A statement of its own, after the locks: it must see what another worker committed while this one waited.
_REFERRED = """
SELECT qualification_id, request_number FROM decisions WHERE qualification_id = ANY (%s) AND outcome = 'Refer'
"""

_DECIDE = """
UPDATE qualifications AS asked
SET vetting_status = decided.vetting_status, vetting_reason = decided.vetting_reason
FROM json_to_recordset(%s::json) AS decided (id uuid, vetting_status text, vetting_reason text)
WHERE asked.id = decided.id
"""

_INSERT = """
INSERT INTO decisions (
    id, qualification_id, request_number, outcome, reason, rule, explanation, evidence, policy_version, decided_by,
    note, decided_at)
SELECT
    id, qualification_id, request_number, outcome, reason, rule, explanation, evidence, policy_version, decided_by,
    note, decided_at
FROM json_to_recordset(%s::json) AS made (
    id uuid, qualification_id uuid, request_number smallint, outcome text, reason text, rule text, explanation text,
    evidence jsonb, policy_version text, decided_by text, note text, decided_at timestamptz)
"""

_NOTIFY = "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS payload"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision on a case, by the policy or by a person, with all that it was made from."""

    qualification_id: UUID
    request_number: int
    decision: Decision
    evidence: Sequence[Evidence]
    decided_by: str
    note: str | None = None


async def load(pool: Pool, references: Sequence[CaseReference], *, timeout: float) -> list[Case]:
    """The cases that are still in review; the others were decided, or asked for again, in the meantime."""
    rows = await fetch(pool, _CASES, ([id for id, _ in references],), timeout=timeout)
    wanted = set(references)
    cases = [_case(row) for row in rows if (row[0], row[1]) in wanted]
    return await _with_shared_domains(pool, cases, timeout)


async def _with_shared_domains(pool: Pool, cases: Sequence[Case], timeout: float) -> list[Case]:
    """The cases, each with the other customers of other names below the same registered domains."""
    asked = [
        (case.customer_id, domain, top) for case in cases for domain in case.domains if (top := registrable(domain))
    ]
    if not asked:
        return list(cases)
    ids, domains, tops = map(list, zip(*asked, strict=True))
    rows = await fetch(pool, _SHARED, (ids, domains, tops), timeout=timeout)
    shared: dict[UUID, dict[str, tuple[str, ...]]] = {}
    for customer_id, domain, others in rows:
        shared.setdefault(customer_id, {})[domain] = tuple(sorted(others))
    return [
        replace(case, shared_domains=shared[case.customer_id]) if case.customer_id in shared else case for case in cases
    ]


def _case(row: tuple[Any, ...]) -> Case:
    (id, request_number, partner_id, customer_id, company_name, qualification, segment, website, validation_id,
     organization, domains, country, state) = row  # fmt: skip
    return Case(
        id,
        request_number,
        partner_id,
        customer_id,
        company_name,
        Qualification(qualification),
        EducationSegment(segment) if segment else None,
        rules.website_host(website) if website else None,
        validation_id,
        organization,
        tuple(domains),
        country,
        state,
    )


async def record(connection: Connection, verdicts: Sequence[Verdict]) -> list[QualificationState | None]:
    """Write ``verdicts``; each that still finds its request in review takes effect, and is returned as the new state.

    ``None`` for one that came too late: its request was decided before, or referred before and is referred again.
    """
    ids = [verdict.qualification_id for verdict in verdicts]
    lock = await connection.execute(_LOCK, (ids,))
    referrals = await connection.execute(_REFERRED, (ids,))
    locked = {row[0]: row for row in await lock.fetchall()}
    referred = set(await referrals.fetchall())
    now = datetime.now(UTC)
    results: list[QualificationState | None] = []
    made: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    notices: list[str] = []
    records: list[AuditRecord] = []
    given_back: Counter[validations.CodeName] = Counter()
    for verdict in verdicts:
        row = locked.get(verdict.qualification_id)
        decision = verdict.decision
        if (
            row is None
            or (before := state_of(row[:7])).vetting_status is not VettingStatus.IN_REVIEW
            or before.request_number != verdict.request_number
            or (decision.outcome is Outcome.REFER and (before.id, before.request_number) in referred)
        ):
            results.append(None)
            continue
        # A batch may hold a request twice, after a job was taken over: only the first finds it.
        del locked[verdict.qualification_id]
        validation_id, partner_id, company_name = row[7:]
        reason = decision.reason and rules.denial_reason(before.qualification, decision.reason, before.request_number)
        after = before.decided(decision.outcome.status, reason)
        results.append(after)
        made.append(_decision_row(verdict, reason, now))
        if decision.outcome is Outcome.REFER:
            continue
        changed.append({"id": after.id, "vetting_status": after.vetting_status, "vetting_reason": reason})
        notices.append(f"{after.customer_id} {after.qualification} {after.vetting_status}")
        records.append(_audit_record(verdict, before, after, partner_id, company_name, now))
        if decision.outcome is Outcome.DENIED and validation_id is not None:
            given_back[partner_id, validation_id] -= 1
    if given_back:
        await validations.lock(connection, given_back)
    await write_together(
        connection,
        [Write(_INSERT, made), Write(_DECIDE, changed), validations.take(given_back), audit.write(records)],
    )
    if notices:
        await connection.execute(_NOTIFY, (DECIDED_CHANNEL, notices))
    return results


def _decision_row(verdict: Verdict, reason: str | None, now: datetime) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "qualification_id": verdict.qualification_id,
        "request_number": verdict.request_number,
        "outcome": verdict.decision.outcome,
        "reason": reason,
        "rule": verdict.decision.rule,
        "explanation": verdict.decision.explanation,
        "evidence": list(verdict.evidence),
        "policy_version": policy.VERSION,
        "decided_by": verdict.decided_by,
        "note": verdict.note,
        "decided_at": now,
    }


def _audit_record(
    verdict: Verdict,
    before: QualificationState,
    after: QualificationState,
    partner_id: UUID,
    company_name: str,
    now: datetime,
) -> AuditRecord:
    approved = verdict.decision.outcome is Outcome.APPROVED
    status: OperationStatus = "succeeded" if approved else "failed"
    details = {
        "DecidedBy": verdict.decided_by,
        "Rule": verdict.decision.rule,
        "Explanation": verdict.decision.explanation,
    }
    return AuditRecord(
        partner_id=partner_id,
        customer_id=after.customer_id,
        customer_name=company_name,
        resource_type="customer",
        resource_old_value=resource_value(before),
        resource_new_value=resource_value(after),
        operation_type=OPERATION_TYPE,
        operation_date=now,
        operation_status=status,
        details=details | ({"Note": verdict.note} if verdict.note else {}),
    )
