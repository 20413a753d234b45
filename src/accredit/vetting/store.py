"""Cases out of the database, and decisions into it: state, audit record, the code's create and notice in one.

A case that is referred to a person becomes a review case in the same transaction, and any verdict closes it. All that
happens to a case happens under the lock of its qualification, so nothing here waits for anything else crosswise.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
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
from accredit.vetting.revetting import Approval

DECIDED_CHANNEL = "accredit_decided"
"""NOTIFY channel: its payload is ``<customer ID> <qualification> <vetting status>``, sent with each verdict."""

REVIEW_CHANNEL = "accredit_review"
"""NOTIFY channel: its payload is ``<case ID> <event>``; the events are ``opened``, ``closed`` and ``escalated``."""

CONFIRMATION_TYPE = "confirm_customer_qualification"
"""The audit record's operation of a person who lets stand what was approved before."""

_CASES = """
SELECT asked.id, asked.request_number, customer.partner_id, customer.id, customer.company_name, asked.qualification,
       asked.education_segment, asked.website, asked.validation_id, code.organization_name,
       ARRAY(SELECT domain FROM customer_domains WHERE customer_id = customer.id ORDER BY domain),
       customer.address ->> 'country', customer.address ->> 'state', asked.vetting_status, asked.facts_version,
       statement_timestamp()
FROM qualifications AS asked
JOIN customers AS customer ON customer.id = asked.customer_id
LEFT JOIN validation_codes AS code
       ON code.partner_id = customer.partner_id AND code.validation_id = asked.validation_id
WHERE asked.id = ANY (%s) AND asked.vetting_status IN ('InReview', 'Approved')
ORDER BY asked.id
"""

_APPROVAL = """
SELECT approved.rule,
       (SELECT referral.rule FROM decisions AS referral
        WHERE referral.qualification_id = approved.qualification_id AND referral.outcome = 'Refer'
          AND referral.request_number = approved.request_number AND referral.decided_at <= approved.decided_at
        ORDER BY referral.decided_at DESC, referral.id DESC LIMIT 1),
       approved.subject
FROM decisions AS approved
WHERE approved.qualification_id = %s AND approved.request_number = %s AND approved.outcome = 'Approved'
ORDER BY approved.decided_at DESC, approved.id DESC
LIMIT 1
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
       asked.request_number, asked.requested_at, asked.validation_id, customer.partner_id, customer.company_name,
       asked.facts_version
FROM qualifications AS asked
JOIN customers AS customer ON customer.id = asked.customer_id
WHERE asked.id = ANY (%s)
ORDER BY asked.id
FOR NO KEY UPDATE OF asked
"""

# Statements of their own, after the locks: they must see what another worker committed while this one waited.
_LAST_DECISIONS = """
SELECT DISTINCT ON (qualification_id) qualification_id, request_number, outcome, rule, explanation, evidence
FROM decisions
WHERE qualification_id = ANY (%s)
ORDER BY qualification_id, decided_at DESC, id DESC
"""
_OPEN = "SELECT qualification_id FROM review_cases WHERE qualification_id = ANY (%s) AND closed_at IS NULL"

_DECIDE = """
UPDATE qualifications AS asked
SET vetting_status = decided.vetting_status, vetting_reason = decided.vetting_reason, vetted_at = decided.vetted_at
FROM json_to_recordset(%s::json)
     AS decided (id uuid, vetting_status text, vetting_reason text, vetted_at timestamptz)
WHERE asked.id = decided.id
"""

_INSERT = """
INSERT INTO decisions (
    id, qualification_id, request_number, cause, outcome, reason, rule, explanation, evidence, subject, policy_version,
    decided_by, note, decided_at)
SELECT
    id, qualification_id, request_number, cause, outcome, reason, rule, explanation, evidence, subject, policy_version,
    decided_by, note, decided_at
FROM json_to_recordset(%s::json) AS made (
    id uuid, qualification_id uuid, request_number smallint, cause text, outcome text, reason text, rule text,
    explanation text, evidence jsonb, subject jsonb, policy_version text, decided_by text, note text,
    decided_at timestamptz)
"""

# A case that is open keeps its age, its deadline and its claim; one that was closed begins anew.
_OPEN_CASE = """
INSERT INTO review_cases AS standing (
    qualification_id, request_number, kind, rule, explanation, waiting_since, due_at, changed_at)
SELECT qualification_id, request_number, kind, rule, explanation, waiting_since, due_at, now
FROM json_to_recordset(%s::json) AS opened (
    qualification_id uuid, request_number smallint, kind text, rule text, explanation text, waiting_since timestamptz,
    due_at timestamptz, now timestamptz)
ON CONFLICT (qualification_id) DO UPDATE
SET request_number = excluded.request_number, kind = excluded.kind, rule = excluded.rule,
    explanation = excluded.explanation, closed_at = NULL,
    waiting_since = CASE WHEN standing.closed_at IS NULL THEN standing.waiting_since ELSE excluded.waiting_since END,
    due_at = CASE WHEN standing.closed_at IS NULL THEN standing.due_at ELSE excluded.due_at END,
    changed_at = greatest(excluded.changed_at, standing.changed_at + interval '1 microsecond')
"""

_CLOSE_CASE = """
UPDATE review_cases AS standing
SET closed_at = closed.now, claimed_by = NULL, claimed_at = NULL, claim_expires_at = NULL, escalated_at = NULL,
    changed_at = greatest(closed.now, standing.changed_at + interval '1 microsecond')
FROM json_to_recordset(%s::json) AS closed (qualification_id uuid, now timestamptz)
WHERE standing.qualification_id = closed.qualification_id
"""

_NOTIFY = "SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) AS notice (channel, payload)"


class Cause(StrEnum):
    """What a decision is about: a request that is in review, or whether what was approved still holds."""

    REQUEST = "request"
    REVETTING = "revetting"

    @property
    def status(self) -> VettingStatus:
        """The vetting status that a qualification must have for a decision of this kind to take effect."""
        return VettingStatus.IN_REVIEW if self is Cause.REQUEST else VettingStatus.APPROVED


@dataclass(frozen=True, slots=True)
class Pending:
    """A case as it was at ``read_at``, in review or Approved, and which version of its facts that was."""

    case: Case
    status: VettingStatus
    facts_version: int
    read_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A decision on a case, by the policy or by a person, with all that it was made from.

    ``subject``: the customer's facts, as ``revetting.subject_of`` gives them. ``details`` go to the audit record.
    """

    qualification_id: UUID
    request_number: int
    facts_version: int
    vetted_at: datetime
    cause: Cause
    decision: Decision
    evidence: Sequence[Evidence]
    subject: Mapping[str, Any]
    decided_by: str
    by_a_person: bool = False
    note: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)


async def load(pool: Pool, references: Sequence[CaseReference], *, timeout: float) -> list[Pending]:
    """The cases that are still in review, or Approved; the others were denied, or asked for again, in the meantime."""
    rows = await fetch(pool, _CASES, ([id for id, _ in references],), timeout=timeout)
    wanted = set(references)
    cases = [_pending(row) for row in rows if (row[0], row[1]) in wanted]
    return await _with_shared_domains(pool, cases, timeout)


async def _with_shared_domains(pool: Pool, found: Sequence[Pending], timeout: float) -> list[Pending]:
    """The cases, each with the other customers of other names below the same registered domains."""
    asked = [
        (one.case.customer_id, domain, top)
        for one in found
        for domain in one.case.domains
        if (top := registrable(domain))
    ]
    if not asked:
        return list(found)
    ids, domains, tops = map(list, zip(*asked, strict=True))
    rows = await fetch(pool, _SHARED, (ids, domains, tops), timeout=timeout)
    shared: dict[UUID, dict[str, tuple[str, ...]]] = {}
    for customer_id, domain, others in rows:
        shared.setdefault(customer_id, {})[domain] = tuple(sorted(others))
    return [
        replace(one, case=replace(one.case, shared_domains=shared[one.case.customer_id]))
        if one.case.customer_id in shared
        else one
        for one in found
    ]


async def pending(connection: Connection, qualification_id: UUID) -> Pending | None:
    """One case, if it is in review or Approved."""
    row = await (await connection.execute(_CASES, ([qualification_id],))).fetchone()
    return _pending(row) if row else None


def _pending(row: tuple[Any, ...]) -> Pending:
    (id, request_number, partner_id, customer_id, company_name, qualification, segment, website, validation_id,
     organization, domains, country, state, status, facts_version, read_at) = row  # fmt: skip
    case = Case(
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
    return Pending(case, VettingStatus(status), facts_version, read_at)


async def approval(pool: Pool, case: Case, *, timeout: float) -> Approval:
    """The approval that an Approved case stands on."""
    rows = await fetch(pool, _APPROVAL, (case.qualification_id, case.request_number), timeout=timeout)
    return Approval(*rows[0]) if rows else Approval("", None, None)


@dataclass(slots=True)
class _Changes:
    """What a transaction is going to write."""

    now: datetime
    decisions: list[dict[str, Any]] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    opened: list[dict[str, Any]] = field(default_factory=list)
    closed: list[dict[str, Any]] = field(default_factory=list)
    records: list[AuditRecord] = field(default_factory=list)
    creates: Counter[validations.CodeName] = field(default_factory=Counter)
    notices: list[tuple[str, str]] = field(default_factory=list)


async def record(
    connection: Connection, verdicts: Sequence[Verdict], *, review_within: timedelta
) -> list[QualificationState | None]:
    """Write ``verdicts``; each that still finds its case as it was takes effect, and is returned as the new state.

    ``None`` for one that came too late, since its case was decided before or is not what it was, and for one that
    says nothing new. ``review_within`` is the time that a person has for a case that is referred now.
    """
    ids = [verdict.qualification_id for verdict in verdicts]
    lock = await connection.execute(_LOCK, (ids,))
    last = await connection.execute(_LAST_DECISIONS, (ids,))
    open_cases = await connection.execute(_OPEN, (ids,))
    locked = {row[0]: row for row in await lock.fetchall()}
    decided = {row[0]: row[1:] for row in await last.fetchall()}
    is_open = {id for (id,) in await open_cases.fetchall()}
    changes = _Changes(datetime.now(UTC))
    results: list[QualificationState | None] = []
    for verdict in verdicts:
        # A batch may hold a case twice, after a job was taken over: only the first finds it.
        row = locked.get(verdict.qualification_id)
        if row is None or not _finds_its_case(verdict, before := state_of(row[:7]), row[10]):
            results.append(None)
            continue
        del locked[verdict.qualification_id]
        if _says_nothing_new(verdict, decided.get(verdict.qualification_id)):
            changes.states.append(_state_row(verdict, before))
            results.append(None)
            continue
        validation_id, partner_id, company_name = row[7:10]
        after = before.decided(*_status_and_reason(verdict, before))
        _note_decision(changes, verdict, after)
        _note_review(changes, verdict, after, review_within, was_open=verdict.qualification_id in is_open)
        if after != before or verdict.by_a_person:
            changes.records.append(_audit_record(verdict, before, after, partner_id, company_name, changes.now))
        if after.vetting_status is not before.vetting_status:
            status = f"{after.customer_id} {after.qualification} {after.vetting_status}"
            changes.notices.append((DECIDED_CHANNEL, status))
            if after.vetting_status is VettingStatus.DENIED and validation_id is not None:
                changes.creates[partner_id, validation_id] -= 1
        results.append(after)
    await _write(connection, changes)
    return results


def _finds_its_case(verdict: Verdict, standing: QualificationState, facts_version: int) -> bool:
    return (
        standing.vetting_status is verdict.cause.status
        and standing.request_number == verdict.request_number
        and facts_version == verdict.facts_version
    )


def _says_nothing_new(verdict: Verdict, last: tuple[Any, ...] | None) -> bool:
    """Whether the policy says once more what was decided last: for the same reasons a referral, or that it holds."""
    if verdict.by_a_person or last is None:
        return False
    request_number, outcome, rule, explanation, evidence = last
    decision = verdict.decision
    if (request_number, outcome, rule) != (verdict.request_number, decision.outcome, decision.rule):
        return False
    if decision.outcome is Outcome.REFER:
        return (explanation, evidence) == (decision.explanation, msgspec.to_builtins(list(verdict.evidence)))
    return verdict.cause is Cause.REVETTING


def _status_and_reason(verdict: Verdict, before: QualificationState) -> tuple[VettingStatus, str | None]:
    decision = verdict.decision
    if decision.outcome is Outcome.REFER:
        return verdict.cause.status, before.vetting_reason
    reason = decision.reason
    if reason is not None and verdict.cause is Cause.REQUEST:
        reason = rules.denial_reason(before.qualification, reason, before.request_number)
    return decision.outcome.status, reason


def _note_decision(changes: _Changes, verdict: Verdict, after: QualificationState) -> None:
    changes.states.append(_state_row(verdict, after))
    changes.decisions.append(
        {
            "id": uuid7(),
            "qualification_id": verdict.qualification_id,
            "request_number": verdict.request_number,
            "cause": verdict.cause,
            "outcome": verdict.decision.outcome,
            "reason": after.vetting_reason,
            "rule": verdict.decision.rule,
            "explanation": verdict.decision.explanation,
            "evidence": list(verdict.evidence),
            "subject": verdict.subject,
            "policy_version": policy.VERSION,
            "decided_by": verdict.decided_by,
            "note": verdict.note,
            "decided_at": changes.now,
        }
    )


def _state_row(verdict: Verdict, state: QualificationState) -> dict[str, Any]:
    return {
        "id": state.id,
        "vetting_status": state.vetting_status,
        "vetting_reason": state.vetting_reason,
        "vetted_at": verdict.vetted_at,
    }


def _note_review(
    changes: _Changes, verdict: Verdict, state: QualificationState, review_within: timedelta, *, was_open: bool
) -> None:
    """Open a case for what is referred, and close that of what is decided."""
    if verdict.decision.outcome is Outcome.REFER:
        # The partner has waited since it asked; nobody waits for a re-vetting before it is known that it is needed.
        waiting_since = state.requested_at if verdict.cause is Cause.REQUEST else changes.now
        changes.opened.append(
            {
                "qualification_id": verdict.qualification_id,
                "request_number": verdict.request_number,
                "kind": verdict.cause,
                "rule": verdict.decision.rule,
                "explanation": verdict.decision.explanation,
                "waiting_since": waiting_since,
                "due_at": waiting_since + review_within,
                "now": changes.now,
            }
        )
        if not was_open:
            changes.notices.append((REVIEW_CHANNEL, f"{verdict.qualification_id} opened"))
    elif was_open:
        changes.closed.append({"qualification_id": verdict.qualification_id, "now": changes.now})
        changes.notices.append((REVIEW_CHANNEL, f"{verdict.qualification_id} closed"))


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
        **verdict.details,
    }
    return AuditRecord(
        partner_id=partner_id,
        customer_id=after.customer_id,
        customer_name=company_name,
        resource_type="customer",
        resource_old_value=resource_value(before),
        resource_new_value=resource_value(after),
        operation_type=CONFIRMATION_TYPE if after == before else OPERATION_TYPE,
        operation_date=now,
        operation_status=status,
        details=details | ({"Note": verdict.note} if verdict.note else {}),
    )


async def _write(connection: Connection, changes: _Changes) -> None:
    if changes.creates:
        await validations.lock(connection, changes.creates)
    await write_together(
        connection,
        [
            Write(_INSERT, changes.decisions),
            Write(_DECIDE, changes.states),
            Write(_OPEN_CASE, changes.opened),
            Write(_CLOSE_CASE, changes.closed),
            validations.take(changes.creates),
            audit.write(changes.records),
        ],
    )
    if changes.notices:
        channels, payloads = zip(*changes.notices, strict=True)
        await connection.execute(_NOTIFY, (list(channels), list(payloads)))
