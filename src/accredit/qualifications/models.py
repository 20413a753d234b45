"""Values of the qualifications feature, contract section 3."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from accredit.wire.answers import Resource, timestamp


class Qualification(StrEnum):
    """The enum ``CustomerQualification``; ``None`` and ``Nonprofit`` can be named but not set."""

    NONE = "None"
    EDUCATION = "Education"
    NONPROFIT = "Nonprofit"
    GOVERNMENT_COMMUNITY_CLOUD = "GovernmentCommunityCloud"
    STATE_OWNED_ENTITY = "StateOwnedEntity"


class VettingStatus(StrEnum):
    """Where the vetting of a qualification stands."""

    IN_REVIEW = "InReview"
    APPROVED = "Approved"
    DENIED = "Denied"


class EducationSegment(StrEnum):
    """What kind of education customer it is said to be."""

    K12 = "K12"
    HIGHER_EDUCATION = "HigherEducation"


@dataclass(frozen=True, slots=True)
class QualificationUpdate:
    """What a partner asks for. ``website`` is as it was given; ``validation_id`` a string of digits, if any."""

    qualification: Qualification
    education_segment: EducationSegment | None = None
    website: str | None = None
    validation_id: str | None = None


@dataclass(frozen=True, slots=True)
class QualificationState:
    """A customer's qualification as it stands. ``StateOwnedEntity`` has no vetting: ``vetting_status`` is ``None``.

    ``request_number`` counts how often it was asked for: 1 to 3. ``requested_at`` is UTC.
    """

    id: UUID
    customer_id: UUID
    qualification: Qualification
    vetting_status: VettingStatus | None
    vetting_reason: str | None
    request_number: int
    requested_at: datetime

    @property
    def holds(self) -> bool:
        """Whether it is InReview or Approved, and so can be neither overridden nor combined."""
        return self.vetting_status in (VettingStatus.IN_REVIEW, VettingStatus.APPROVED)

    def decided(self, status: VettingStatus, reason: str | None) -> "QualificationState":
        """The state after a decision."""
        return replace(self, vetting_status=status, vetting_reason=reason)


class CustomerQualification(Resource, frozen=True, kw_only=True):
    """A qualification as a client sees it. The date is spelled both ways, as the public texts do."""

    qualification: Qualification
    vetting_status: VettingStatus | None = None
    vetting_reason: str | None = None
    vetting_create_date: str | None = None
    vetting_created_date: str | None = None


class QualificationRequest(msgspec.Struct, rename="camel", kw_only=True):
    """The body of POST; for the OpenAPI document. Names are matched without regard to case."""

    qualification: str
    education_segment: str | None = None
    website: str | None = None
    validation_code: str | int | None = None


def created(state: QualificationState) -> CustomerQualification:
    """What POST answers."""
    return CustomerQualification(
        qualification=state.qualification,
        vetting_status=state.vetting_status,
        vetting_create_date=timestamp(state.requested_at) if state.vetting_status else None,
    )


def listed(state: QualificationState) -> CustomerQualification:
    """An item of what GET answers."""
    date = timestamp(state.requested_at) if state.vetting_status else None
    return CustomerQualification(
        qualification=state.qualification,
        vetting_status=state.vetting_status,
        vetting_reason=state.vetting_reason,
        vetting_create_date=date,
        vetting_created_date=date,
    )
