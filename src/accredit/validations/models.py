"""Validation codes: what allows a partner to ask for GovernmentCommunityCloud, contract section 3."""

from uuid import UUID

from accredit.wire.answers import Resource


class ValidationCode(Resource, frozen=True, kw_only=True):
    """A validation code as a client sees it. ``maxCreates`` absent: no limit."""

    partner_id: UUID
    organization_name: str
    validation_id: str
    max_creates: int | None = None
    remaining_creates: int | None = None
    e_tag: str
