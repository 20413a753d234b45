"""What people decide: the cases that the policy referred, or has not looked at yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from accredit.database.pool import Connection
from accredit.qualifications.models import Qualification, QualificationState
from accredit.qualifications.rules import DENIAL_REASONS
from accredit.vetting import store
from accredit.vetting.models import Decision, Evidence, Outcome
from accredit.vetting.store import Verdict

_OPEN = """
SELECT asked.id, asked.qualification, asked.request_number, asked.requested_at, customer.id, customer.company_name,
       referral.rule, referral.explanation
FROM qualifications AS asked
JOIN customers AS customer ON customer.id = asked.customer_id
LEFT JOIN decisions AS referral
       ON referral.qualification_id = asked.id AND referral.request_number = asked.request_number
      AND referral.outcome = 'Refer'
WHERE asked.vetting_status = 'InReview'
ORDER BY asked.requested_at, asked.id
LIMIT %s
"""

_ONE = """
SELECT asked.id, asked.qualification, asked.vetting_status, asked.vetting_reason, asked.request_number,
       asked.requested_at, asked.requested_by, asked.education_segment, asked.website, asked.validation_id,
       partner.id, partner.name, customer.id, customer.company_name, customer.domain, customer.address,
       ARRAY(SELECT domain FROM customer_domains WHERE customer_id = customer.id ORDER BY domain)
FROM qualifications AS asked
JOIN customers AS customer ON customer.id = asked.customer_id
JOIN partners AS partner ON partner.id = customer.partner_id
WHERE asked.id = %s
"""

_DECISIONS = """
SELECT request_number, outcome, reason, rule, explanation, evidence, policy_version, decided_by, note, decided_at
FROM decisions
WHERE qualification_id = %s
ORDER BY decided_at, id
"""


class NoSuchCaseError(LookupError):
    """There is no qualification with this ID."""


class CaseClosedError(Exception):
    """The case is not InReview, so there is nothing to decide."""


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A line of the review list. ``rule`` and ``explanation`` are the referral's; ``None`` before the policy looked."""

    id: UUID
    qualification: str
    request_number: int
    requested_at: datetime
    customer_id: UUID
    company_name: str
    rule: str | None
    explanation: str | None


@dataclass(frozen=True, slots=True)
class MadeDecision:
    """A decision on a case, as it was stored; ``evidence`` as JSON values."""

    request_number: int
    outcome: str
    reason: str | None
    rule: str
    explanation: str
    evidence: list[dict[str, Any]]
    policy_version: str
    decided_by: str
    note: str | None
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class CaseFile:
    """Everything about a case: the request, the customer's profile, and all decisions so far, oldest first."""

    id: UUID
    qualification: Qualification
    vetting_status: str | None
    vetting_reason: str | None
    request_number: int
    requested_at: datetime
    requested_by: str | None
    education_segment: str | None
    website: str | None
    validation_id: str | None
    partner_id: UUID
    partner_name: str
    customer_id: UUID
    company_name: str
    domain: str
    address: dict[str, Any]
    verified_domains: list[str]
    decisions: Sequence[MadeDecision]


async def open_cases(connection: Connection, *, most: int) -> list[OpenCase]:
    """The cases in review, the longest waiting first."""
    rows = await (await connection.execute(_OPEN, (most,))).fetchall()
    return [OpenCase(*row) for row in rows]


async def case_file(connection: Connection, case_id: UUID) -> CaseFile:
    """The whole of a case. Raises :class:`NoSuchCaseError`."""
    row = await (await connection.execute(_ONE, (case_id,))).fetchone()
    if row is None:
        raise NoSuchCaseError(f"there is no case {case_id}")
    id, qualification, *others = row
    decisions = await (await connection.execute(_DECISIONS, (case_id,))).fetchall()
    history = [MadeDecision(*made) for made in decisions]
    return CaseFile(id, Qualification(qualification), *others, history)  # type: ignore[call-arg]  # mypy counts a star as one


async def decide(
    connection: Connection, case_id: UUID, *, reason: str | None, note: str | None, reviewer: str
) -> QualificationState:
    """Approve a case, or deny it where a ``reason`` is given. Runs in the caller's transaction.

    Raises :class:`NoSuchCaseError`, :class:`CaseClosedError`, and ``ValueError`` for a reason that the contract does
    not give for this qualification.
    """
    case = await case_file(connection, case_id)
    if case.vetting_status != "InReview":
        raise CaseClosedError(f"the case {case_id} is not in review: it is {case.vetting_status or 'not vetted'}")
    if reason is not None and reason not in DENIAL_REASONS[case.qualification]:
        allowed = "; ".join(DENIAL_REASONS[case.qualification])
        raise ValueError(f"“{reason}” is no reason to deny {case.qualification}. The reasons are: {allowed}")
    referral = next((made for made in reversed(case.decisions) if made.request_number == case.request_number), None)
    evidence = msgspec.convert(referral.evidence, list[Evidence]) if referral else []
    outcome = Outcome.APPROVED if reason is None else Outcome.DENIED
    decision = Decision(
        outcome,
        f"review.{outcome.lower()}",
        f"{outcome} by {reviewer}" + (f", after the referral {referral.rule}." if referral else "."),
        reason,
    )
    verdict = Verdict(case.id, case.request_number, decision, evidence, reviewer, note)
    (state,) = await store.record(connection, [verdict])
    if state is None:
        raise CaseClosedError(f"the case {case_id} was decided by somebody else meanwhile")
    return state
