"""Values of vetting: the case, what is found out about it, and what is decided."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from accredit.qualifications.models import EducationSegment, Qualification, VettingStatus


@dataclass(frozen=True, slots=True)
class Case:
    """A request for a qualification, as vetting sees it.

    ``domains`` are the customer's verified custom domains; ``website_host`` is a claim, not a proof.
    ``code_organization`` is the organization that the validation code was given to. ``country`` (ISO 3166-1 alpha-2)
    and ``state`` are the profile's. ``shared_domains`` are, for a verified domain, the names of the other customers
    that have verified one below the same registered domain.
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
    state: str | None = None
    shared_domains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def facts(self) -> Hashable:
        """All that sources may look at, without the IDs: equal for cases that are alike."""
        shared = tuple(sorted(self.shared_domains.items()))
        return (
            self.company_name, self.qualification, self.education_segment, self.website_host, self.validation_id,
            self.code_organization, tuple(sorted(self.domains)), self.country, self.state, shared,
        )  # fmt: skip


class Found(StrEnum):
    """How an evidence source fared."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    UNAVAILABLE = "unavailable"


class Evidence(msgspec.Struct, frozen=True):
    """What one source says of a case: whether it found what it looks for, and the facts, as JSON values.

    A fact ``concern`` (a sentence) of any source keeps the policy from approving: a person is to settle it.
    """

    source: str
    outcome: Found
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A source of evidence: looks at a case, answers facts, decides nothing.

    ``look`` may wait for the network, but never block; after ``timeout`` seconds it counts as unavailable. What it
    found, or did not find, is kept for ``keep`` seconds for cases with an equal ``key``. One that never waits says so
    with ``waits``: it costs less to ask.
    """

    name: str
    look: Callable[[Case], Awaitable[Evidence]]
    timeout: float = 2.0
    keep: float = 0.0
    key: Callable[[Case], Hashable] = Case.facts
    waits: bool = True


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
