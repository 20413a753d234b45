"""Validation codes: what allows a partner to ask for GovernmentCommunityCloud, contract section 3."""

from datetime import datetime
from urllib.parse import quote
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


def etag(changed_at: datetime) -> str:
    """The ETag of something last changed at ``changed_at`` (UTC), in the form the contract gives."""
    stamp = changed_at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
    return f"W/\"datetime'{quote(stamp, safe='')}'\""
