"""Values of reviews: the case that a person decides, whole or as a line of a list, and what lists are filtered by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from accredit.qualifications.models import Qualification


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose a case is, since when and until when; others leave it alone meanwhile."""

    by: str
    since: datetime
    until: datetime

    def keeps_out(self, reviewer: str, now: datetime) -> bool:
        """Whether it keeps ``reviewer`` from the case at the moment ``now``."""
        return now < self.until and self.by.casefold() != reviewer.casefold()


@dataclass(frozen=True, slots=True)
class Place:
    """A place between two cases in the order of their age."""

    waiting_since: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class ReviewCase:
    """A case as a line of a list. ``id`` is its qualification's: a case that is opened again is the same case.

    ``kind``: ``request``, or ``revetting`` of what is Approved and stays so until it is decided. ``rule`` and
    ``explanation`` are those of the referral. ``waiting_since`` is when it was asked for, or found to be
    in question; ``due_at`` is the deadline; ``escalated_at`` when it was seen to be past.
    """

    id: UUID
    kind: str
    qualification: Qualification
    request_number: int
    requested_at: datetime
    waiting_since: datetime
    due_at: datetime
    escalated_at: datetime | None
    partner_id: UUID
    partner_name: str
    customer_id: UUID
    company_name: str
    country: str | None
    rule: str
    explanation: str
    claim: Claim | None
    changed_at: datetime

    @property
    def place(self) -> Place:
        """Its place in a list."""
        return Place(self.waiting_since, self.id)


@dataclass(frozen=True, slots=True)
class AskedRequest:
    """One of the times that the qualification was asked for."""

    requested_at: datetime
    requested_by: str | None


@dataclass(frozen=True, slots=True)
class MadeDecision:
    """A decision on a case, as it was stored.

    ``cause``: ``request`` or ``revetting``. ``evidence`` and ``subject`` (the customer's facts then) as JSON values.
    """

    request_number: int
    cause: str
    outcome: str
    reason: str | None
    rule: str
    explanation: str
    evidence: list[dict[str, Any]]
    subject: dict[str, Any] | None
    policy_version: str
    decided_by: str
    note: str | None
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to do with a case, and why. ``outcome`` is ``Denied``, or ``Refer`` where it is a person's to find out."""

    outcome: str
    reason: str | None
    rule: str
    explanation: str


@dataclass(frozen=True, slots=True)
class CaseFile:
    """Everything about a case: the request, the customer's profile, what is known, and its history, oldest first.

    Any qualification has one, also such as no person was ever asked about. ``evidence`` is the latest.
    ``waiting_since``, ``due_at`` and ``suggestion`` are ``None`` unless a person is asked.
    """

    id: UUID
    kind: str | None
    open: bool
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
    waiting_since: datetime | None
    due_at: datetime | None
    escalated_at: datetime | None
    claim: Claim | None
    changed_at: datetime
    suggestion: Suggestion | None
    evidence: list[dict[str, Any]]
    requests: Sequence[AskedRequest]
    decisions: Sequence[MadeDecision]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFilter:
    """Which open cases to list; ``None`` is any. ``claimed`` counts only claims that have not run out."""

    qualification: Qualification | None = None
    kind: str | None = None
    partner_id: UUID | None = None
    customer_id: UUID | None = None
    country: str | None = None
    rule: str | None = None
    claimed_by: str | None = None
    claimed: bool | None = None
    overdue: bool | None = None


@dataclass(frozen=True, slots=True)
class QueueState:
    """How long the queue of one qualification is, and how old, in seconds."""

    qualification: str
    kind: str
    cases: int
    claimed: int
    overdue: int
    escalated: int
    oldest_seconds: float
    median_seconds: float
