"""Values of vetting: the case, what is found out about it, and what is decided."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

import msgspec

from accredit.qualifications.models import EducationSegment, Qualification, VettingStatus


@dataclass(frozen=True, slots=True)
class Case:
    """A request for a qualification, as vetting sees it.

    ``domains`` are the customer's verified custom domains as A-labels; ``website_host`` is a claim, not a proof.
    ``code_organization`` is the organization that the validation code was given to.
    """

    qualification_id: UUID
    request_number: int
    partner_id: UUID
    customer_id: UUID
    company_name: str
    qualification: Qualification
    education_segment: EducationSegment | None
    website_host: str | None
    validation_id: str | None
    code_organization: str | None
    domains: tuple[str, ...]
    country: str | None


class Found(StrEnum):
    """How an evidence source fared."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    UNAVAILABLE = "unavailable"


class Evidence(msgspec.Struct, frozen=True):
    """What one source says of a case: whether it found what it looks for, and the facts, as JSON values."""

    source: str
    outcome: Found
    facts: dict[str, Any]


class Source(Protocol):
    """A source of evidence: looks at a case, answers facts, decides nothing."""

    def __call__(self, case: Case) -> Evidence: ...


class Outcome(StrEnum):
    """What a decision comes to. Refer leaves the case InReview, for a person."""

    APPROVED = "Approved"
    DENIED = "Denied"
    REFER = "Refer"

    @property
    def status(self) -> VettingStatus:
        """The vetting status that the outcome leads to."""
        return VettingStatus.IN_REVIEW if self is Outcome.REFER else VettingStatus(self.value)


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome, the rule that gave it, and why in a sentence. ``reason`` is the contract's, for a denial."""

    outcome: Outcome
    rule: str
    explanation: str
    reason: str | None = None
