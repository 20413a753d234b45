"""The rules of qualifications: what may be asked for and what comes of it. Pure functions; contract sections 3 to 5."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from accredit.customers.domains import domain_name
from accredit.qualifications.models import (
    EducationSegment,
    Qualification,
    QualificationState,
    QualificationUpdate,
    VettingStatus,
)
from accredit.validations.models import ValidationCode
from accredit.wire.errors import (
    ALREADY_QUALIFIED,
    BAD_REQUEST,
    BAD_VALIDATION_CODE,
    NO_CREATES_LEFT,
    NOT_COMBINABLE,
    NOT_IN_ENUM,
    TOO_MANY_REQUESTS_FOR_ONE,
    ApiError,
)

MOST_REQUESTS = 3
"""How often one qualification may be asked for, for one customer, in all."""

AFTER_REVIEW = {
    Qualification.EDUCATION: "Not an Education Customer - After Review",
    Qualification.GOVERNMENT_COMMUNITY_CLOUD: "Not a Government Customer - After Review",
}

DENIAL_REASONS = {
    Qualification.EDUCATION: (
        "Not an Education Customer",
        "No longer an Education Customer",
        AFTER_REVIEW[Qualification.EDUCATION],
        "Restricted being an Education Customer",
        "Not an Academic Domain",
        "Not an eligible Library",
        "Not an eligible Museum",
    ),
    Qualification.GOVERNMENT_COMMUNITY_CLOUD: (
        "Not a Government Customer",
        AFTER_REVIEW[Qualification.GOVERNMENT_COMMUNITY_CLOUD],
    ),
}

_EXCLUDES = {
    Qualification.EDUCATION: Qualification.GOVERNMENT_COMMUNITY_CLOUD,
    Qualification.GOVERNMENT_COMMUNITY_CLOUD: Qualification.EDUCATION,
}
_OLDER_NUMBERS = {
    0: Qualification.NONE,
    1: Qualification.EDUCATION,
    2: Qualification.NONPROFIT,
    3: Qualification.GOVERNMENT_COMMUNITY_CLOUD,
}
_SETTABLE = frozenset({*_EXCLUDES, Qualification.STATE_OWNED_ENTITY})
_QUALIFICATIONS = {member.value.lower(): member for member in Qualification}
_SEGMENTS = {member.value.lower(): member for member in EducationSegment}
_LONGEST_WEBSITE = 2048
_CODE_NEEDED = "GovernmentCommunityCloud needs a validation code, and one that is yours."
_VALIDATION_ID = re.compile(r"[0-9]{1,64}")

Member = TypeVar("Member")


def parse_update(body: Mapping[str, Any], codes_in_query: list[str]) -> QualificationUpdate:
    """Read the body of POST (names in lower case, nulls left out) and the query's ``code``.

    Raises ``ApiError``: 400 / 3000 or 900126; the description names the property.
    """
    if "qualification" not in body:
        raise ApiError(BAD_REQUEST, "The property qualification is missing.")
    qualification = _settable(_member(_QUALIFICATIONS, "qualification", body["qualification"]))
    segment = None
    if "educationsegment" in body:
        segment = _member(_SEGMENTS, "educationSegment", body["educationsegment"])
        if qualification is not Qualification.EDUCATION:
            raise ApiError(BAD_REQUEST, "The property educationSegment goes with Education only.")
    website = body.get("website")
    if website is not None:
        website_host(website)
    validation_id = _validation_id(qualification, body.get("validationcode"), codes_in_query)
    return QualificationUpdate(qualification, segment, website, validation_id)


def parse_older_update(value: Any, codes_in_query: list[str]) -> QualificationUpdate:
    """Read the body of the older PUT: the enum's number, or its name in any case or snake_case.

    Raises ``ApiError`` as :func:`parse_update` does.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value not in _OLDER_NUMBERS:
            raise ApiError(BAD_REQUEST, f"The qualification {value} is none of the enum's numbers 0 to 3.")
        qualification = _OLDER_NUMBERS[value]
    else:
        name = value.replace("_", "") if isinstance(value, str) else value
        qualification = _member(_QUALIFICATIONS, "qualification", name)
    validation_id = _validation_id(_settable(qualification), None, codes_in_query)
    return QualificationUpdate(qualification, validation_id=validation_id)


def _member(members: Mapping[str, Member], name: str, value: Any) -> Member:
    if not isinstance(value, str):
        raise ApiError(BAD_REQUEST, f"The property {name} is not a string.")
    member = members.get(value.lower())
    if member is None:
        raise ApiError(NOT_IN_ENUM, f"The property {name} is none of {', '.join(map(str, members.values()))}.")
    return member


def _settable(qualification: Qualification) -> Qualification:
    if qualification not in _SETTABLE:
        raise ApiError(BAD_REQUEST, f"The qualification {qualification} cannot be set.")
    return qualification


def _validation_id(qualification: Qualification, in_body: Any, in_query: list[str]) -> str | None:
    """The validation code given, where ``qualification`` needs one; what is given needlessly is ignored."""
    if in_body is not None and (isinstance(in_body, bool) or not isinstance(in_body, str | int)):
        raise ApiError(BAD_REQUEST, "The property validationCode is neither a string nor an integer.")
    given = {*in_query, *([str(in_body)] if in_body not in (None, "") else [])}
    if len(given) > 1:
        raise ApiError(BAD_REQUEST, "The validationCode in the body and the code in the query differ.")
    if not takes_create(qualification):
        return None
    if not given or not _VALIDATION_ID.fullmatch(code := given.pop()):
        raise ApiError(BAD_VALIDATION_CODE, _CODE_NEEDED)
    return code


def website_host(website: Any) -> str:
    """The host of a ``website`` (a host name or an http(s) URL) as lower-case A-labels.

    Raises ``ApiError`` (400 / 3000) for anything else: an address, a single label, credentials in the URL.
    """
    if not isinstance(website, str):
        raise ApiError(BAD_REQUEST, "The property website is not a string.")
    if len(website) > _LONGEST_WEBSITE:
        raise ApiError(BAD_REQUEST, f"The property website is longer than {_LONGEST_WEBSITE} characters.")
    try:
        parts = urlsplit(website if "://" in website else f"//{website}")
        host = domain_name(parts.hostname or "")
        well_formed = parts.scheme in ("", "http", "https") and parts.username is None and parts.port != 0
    except ValueError:
        well_formed, host = False, ""
    if not well_formed or not website.isprintable():
        raise ApiError(BAD_REQUEST, "The property website is neither a host name nor an http(s) URL.")
    return host


def request(
    update: QualificationUpdate,
    standing: Mapping[Qualification, QualificationState],
    code: ValidationCode | None,
    *,
    new_id: UUID,
    customer_id: UUID,
    now: datetime,
) -> QualificationState:
    """What comes of asking for ``update`` where the customer's qualifications are ``standing``.

    ``code`` is the partner's validation code that ``update`` names, where there is one. Returns the state after the
    request; the very same object as stands if nothing changes. Raises ``ApiError``: 700001 to 700006.
    """
    qualification = update.qualification
    current = standing.get(qualification)
    if qualification is Qualification.STATE_OWNED_ENTITY:
        return current or QualificationState(new_id, customer_id, qualification, None, None, 1, now)
    if qualification is Qualification.GOVERNMENT_COMMUNITY_CLOUD and code is None:
        raise ApiError(BAD_VALIDATION_CODE, _CODE_NEEDED)
    if current is not None and current.holds:
        raise ApiError(ALREADY_QUALIFIED, f"{qualification} is {current.vetting_status} already.")
    other = standing.get(_EXCLUDES[qualification])
    if other is not None and other.holds:
        raise ApiError(
            NOT_COMBINABLE,
            f"{qualification} cannot be combined with {other.qualification}, which is {other.vetting_status}.",
        )
    if current is not None and current.request_number >= MOST_REQUESTS:
        raise ApiError(TOO_MANY_REQUESTS_FOR_ONE, f"{qualification} was asked for and denied {MOST_REQUESTS} times.")
    if takes_create(qualification) and code is not None and code.remaining_creates == 0:
        raise ApiError(NO_CREATES_LEFT, f"The validation code {code.validation_id} has no creates left.")
    if current is None:
        return QualificationState(new_id, customer_id, qualification, VettingStatus.IN_REVIEW, None, 1, now)
    return replace(
        current,
        vetting_status=VettingStatus.IN_REVIEW,
        vetting_reason=None,
        request_number=current.request_number + 1,
        requested_at=now,
    )


def takes_create(qualification: Qualification) -> bool:
    """Whether asking for it takes a create from a validation code."""
    return qualification is Qualification.GOVERNMENT_COMMUNITY_CLOUD


def denial_reason(qualification: Qualification, reason: str, request_number: int) -> str:
    """The reason that a denial gives: from the second request on it is the ``- After Review`` form.

    Raises ``ValueError`` for a reason that the contract does not give for this qualification.
    """
    reasons = DENIAL_REASONS[qualification]
    if reason not in reasons:
        raise ValueError(f"“{reason}” is no reason to deny {qualification}; those are: {'; '.join(reasons)}")
    return AFTER_REVIEW[qualification] if request_number > 1 else reason


def older_value(standing: Mapping[Qualification, QualificationState]) -> str:
    """What the older GET answers: the vetted qualification, lower case, once it is Approved; else ``none``."""
    for qualification in _EXCLUDES:
        state = standing.get(qualification)
        if state is not None and state.vetting_status is VettingStatus.APPROVED:
            return qualification.value.lower()
    return Qualification.NONE.value.lower()
