"""Review cases as a client of the review API sees them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from accredit.qualifications.models import Qualification
from accredit.vetting.review.models import CaseFile, Claim, MadeDecision, ReviewCase, Suggestion
from accredit.wire.answers import Attributes, Link, Links, Resource, timestamp
from accredit.wire.etags import etag

CASE_PATH = "/review/v1/cases"


class ClaimResource(Resource, frozen=True, kw_only=True):
    """Who has claimed a case, since when and until when."""

    by: str
    since: str
    until: str


class SuggestionResource(Resource, frozen=True, kw_only=True):
    """What to do with a case, and why. ``outcome``: ``Denied``, or ``Refer`` where a person has to find out."""

    outcome: str
    reason: str | None = None
    rule: str
    explanation: str


class RequestResource(Resource, frozen=True, kw_only=True):
    """One of the times that the qualification was asked for."""

    requested_at: str
    requested_by: str | None = None


class EvidenceResource(Resource, frozen=True, kw_only=True):
    """What a source of evidence found; ``outcome``: ``found``, ``not_found`` or ``unavailable``."""

    source: str
    outcome: str
    facts: dict[str, Any]


class DecisionResource(Resource, frozen=True, kw_only=True):
    """A decision that was made. ``subject``: the customer's facts as they were then."""

    request_number: int
    cause: str
    outcome: str
    reason: str | None = None
    rule: str
    explanation: str
    evidence: list[EvidenceResource]
    subject: dict[str, Any] | None = None
    policy_version: str
    decided_by: str
    note: str | None = None
    decided_at: str


class ReviewCaseResource(Resource, frozen=True, kw_only=True):
    """A case as an item of a list."""

    id: UUID
    kind: str
    qualification: Qualification
    request_number: int
    requested_at: str
    waiting_since: str
    due_at: str
    overdue: bool
    escalated_at: str | None = None
    partner_id: UUID
    partner_name: str
    customer_id: UUID
    company_name: str
    country: str | None = None
    rule: str
    explanation: str
    claim: ClaimResource | None = None
    links: Links
    attributes: Attributes


class ProfileResource(Resource, frozen=True, kw_only=True):
    """The customer of a case. Only ``verifiedDomains`` are proven to be theirs."""

    customer_id: UUID
    company_name: str
    domain: str
    address: dict[str, Any]
    verified_domains: list[str]


class CaseFileResource(Resource, frozen=True, kw_only=True):
    """The whole of a case. ``kind`` and the times are absent where no person is asked."""

    id: UUID
    open: bool
    kind: str | None = None
    qualification: Qualification
    vetting_status: str | None = None
    vetting_reason: str | None = None
    request_number: int
    requested_at: str
    requested_by: str | None = None
    education_segment: str | None = None
    website: str | None = None
    validation_code: str | None = None
    partner_id: UUID
    partner_name: str
    profile: ProfileResource
    waiting_since: str | None = None
    due_at: str | None = None
    escalated_at: str | None = None
    claim: ClaimResource | None = None
    suggestion: SuggestionResource | None = None
    evidence: list[EvidenceResource]
    requests: list[RequestResource]
    decisions: list[DecisionResource]
    links: Links
    attributes: Attributes


class DecisionRequest(msgspec.Struct, rename="camel", kw_only=True):
    """The body of a decision; for the OpenAPI document. Names are matched without regard to case."""

    outcome: str
    reason: str | None = None
    note: str | None = None


def listed(case: ReviewCase) -> ReviewCaseResource:
    """An item of a list."""
    return ReviewCaseResource(
        id=case.id,
        kind=case.kind,
        qualification=case.qualification,
        request_number=case.request_number,
        requested_at=timestamp(case.requested_at),
        waiting_since=timestamp(case.waiting_since),
        due_at=timestamp(case.due_at),
        overdue=case.due_at < datetime.now(UTC),
        escalated_at=_when(case.escalated_at),
        partner_id=case.partner_id,
        partner_name=case.partner_name,
        customer_id=case.customer_id,
        company_name=case.company_name,
        country=case.country,
        rule=case.rule,
        explanation=case.explanation,
        claim=_claim(case.claim),
        links=_links(case.id),
        attributes=Attributes(etag=etag(case.changed_at), object_type="ReviewCase"),
    )


def whole(case: CaseFile) -> CaseFileResource:
    """A case, whole."""
    return CaseFileResource(
        id=case.id,
        open=case.open,
        kind=case.kind,
        qualification=case.qualification,
        vetting_status=case.vetting_status,
        vetting_reason=case.vetting_reason,
        request_number=case.request_number,
        requested_at=timestamp(case.requested_at),
        requested_by=case.requested_by,
        education_segment=case.education_segment,
        website=case.website,
        validation_code=case.validation_id,
        partner_id=case.partner_id,
        partner_name=case.partner_name,
        profile=ProfileResource(
            customer_id=case.customer_id,
            company_name=case.company_name,
            domain=case.domain,
            address=case.address,
            verified_domains=case.verified_domains,
        ),
        waiting_since=_when(case.waiting_since),
        due_at=_when(case.due_at),
        escalated_at=_when(case.escalated_at),
        claim=_claim(case.claim),
        suggestion=_suggestion(case.suggestion),
        evidence=msgspec.convert(case.evidence, list[EvidenceResource]),
        requests=[
            RequestResource(requested_at=timestamp(one.requested_at), requested_by=one.requested_by)
            for one in case.requests
        ],
        decisions=[_decision(made) for made in case.decisions],
        links=_links(case.id),
        attributes=Attributes(etag=etag(case.changed_at), object_type="ReviewCaseFile"),
    )


def _decision(made: MadeDecision) -> DecisionResource:
    return DecisionResource(
        request_number=made.request_number,
        cause=made.cause,
        outcome=made.outcome,
        reason=made.reason,
        rule=made.rule,
        explanation=made.explanation,
        evidence=msgspec.convert(made.evidence, list[EvidenceResource]),
        subject=made.subject,
        policy_version=made.policy_version,
        decided_by=made.decided_by,
        note=made.note,
        decided_at=timestamp(made.decided_at),
    )


def _claim(claim: Claim | None) -> ClaimResource | None:
    if claim is None:
        return None
    return ClaimResource(by=claim.by, since=timestamp(claim.since), until=timestamp(claim.until))


def _suggestion(made: Suggestion | None) -> SuggestionResource | None:
    if made is None:
        return None
    return SuggestionResource(outcome=made.outcome, reason=made.reason, rule=made.rule, explanation=made.explanation)


def _when(moment: datetime | None) -> str | None:
    return timestamp(moment) if moment else None


def _links(id: UUID) -> Links:
    return Links(self_=Link(f"{CASE_PATH}/{id}"))
