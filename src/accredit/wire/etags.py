"""ETags, and the condition ``If-Match`` (RFC 9110 section 13.1.1) in the contract's form."""

from datetime import datetime
from urllib.parse import quote

from accredit.wire.errors import IF_MATCH_FAILED, IF_MATCH_REQUIRED, ApiError


def etag(changed_at: datetime) -> str:
    """The ETag of something last changed at ``changed_at`` (UTC), in the form the contract gives."""
    stamp = changed_at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
    return f"W/\"datetime'{quote(stamp, safe='')}'\""


def require_match(if_match: str | None, current: str) -> None:
    """Raise ``ApiError`` unless ``if_match``, the header's value, names ``current``: 428 if absent, else 412 / 2055.

    Clients hand back what they were given, weak as it is, so the comparison is of the whole text; quotes around it and
    a missing ``W/`` do no harm.
    """
    if if_match is None or not if_match.strip():
        raise ApiError(IF_MATCH_REQUIRED, "The header If-Match is missing: give the ETag that was read.")
    if if_match.strip() != "*" and _bare(current) not in map(_bare, if_match.split(",")):
        raise ApiError(IF_MATCH_FAILED, "It was changed since it was read: the header If-Match no longer matches.")


def _bare(tag: str) -> str:
    return tag.strip().removeprefix("W/").strip('"')
