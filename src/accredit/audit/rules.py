"""What a query of audit records asks for: its dates, and what it may be filtered by. Pure; contract section 8."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from accredit.wire.errors import BAD_REQUEST, ApiError

FILTERS: Final = {"CustomerId": "equals", "CompanyName": "substring", "ResourceType": "equals"}
"""What a query may be filtered by, each with its operator."""
DEFAULT_DAYS: Final = 30

# The contract's form, and what the official .NET client writes for a date.
_FORMS = (
    "%Y-%m-%d",
    "%m/%d/%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%SZ",
)


def period(start: str | None, end: str | None, *, now: datetime) -> tuple[datetime, datetime]:
    """The first moment asked for and the first one after, UTC: whole days, the last 30 where nothing is said.

    Raises ``ApiError`` (400 / 3000) for what is no date, and for a period that ends before it begins.
    """
    last = _date("endDate", end) if end is not None else now.date()
    first = _date("startDate", start) if start is not None else last - timedelta(days=DEFAULT_DAYS)
    if first > last:
        raise ApiError(BAD_REQUEST, f"The startDate {first} is after the endDate {last}.")
    midnight = datetime.min.time()
    return datetime.combine(first, midnight, UTC), datetime.combine(last + timedelta(days=1), midnight, UTC)


def as_given(asked: tuple[datetime, datetime]) -> dict[str, str]:
    """The query parameters that ask for a period."""
    first, after_last = asked
    return {"startDate": f"{first:%Y-%m-%d}", "endDate": f"{after_last - timedelta(days=1):%Y-%m-%d}"}


def _date(name: str, text: str) -> date:
    for form in _FORMS:
        try:
            found = datetime.strptime(text.strip(), form).date()  # a day, not a moment
        except ValueError:
            continue
        if 1900 <= found.year < 9999:
            return found
    raise ApiError(BAD_REQUEST, f"The query parameter {name} is not a date of the form yyyy-mm-dd.")
