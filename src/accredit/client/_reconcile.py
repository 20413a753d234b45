"""A conflict that may be our own doing.

Partner Center answers a repeated ``MS-RequestId`` as it did the first time. Should it not have kept the first answer,
then the repetition of an update that was done, but whose answer was lost, is a 409: it is InReview already. What the
service shows decides whether it was ours.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from accredit.client.errors import ConflictError
from accredit.client.models import CustomerQualification, Qualification, VettingStatus

_REQUEST_ID_REUSED: Final = "700005"
_GRAIN: Final = timedelta(seconds=2)
"""How far off we may be about the service's clock, which is read from headers that count seconds."""


def may_be_ours(conflict: ConflictError) -> bool:
    """Whether an earlier attempt, which nobody answered, may be what the last one conflicts with."""
    return conflict.unanswered_since is not None and conflict.code != _REQUEST_ID_REUSED


def ours(
    listed: Sequence[CustomerQualification], qualification: Qualification | str, conflict: ConflictError
) -> CustomerQualification | None:
    """The qualification that our unanswered attempt made, among those listed."""
    if conflict.unanswered_since is None:
        return None
    earliest = conflict.unanswered_since - _GRAIN
    asked = Qualification.read(qualification)
    for state in listed:
        date = state.vetting_created_date
        standing = state.vetting_status in (VettingStatus.IN_REVIEW, VettingStatus.APPROVED)
        if state.qualification == asked and standing and date is not None and date >= earliest:
            return state
    return None
