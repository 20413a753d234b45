"""Values of the registries: what is imported, and the institutions that it tells of."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Format(StrEnum):
    """A published format that can be imported; ``accredit registry import`` calls it the kind of the registry."""

    UNIVERSITIES = "universities"
    SWOT = "swot"
    DOTGOV = "dotgov"
    ROR = "ror"
    CSV = "csv"


class Kind(StrEnum):
    """What an institution is. ``EDUCATION``: of education, not told which; ``STOP``: a domain that proves nothing."""

    UNIVERSITY = "university"
    SCHOOL = "school"
    EDUCATION = "education"
    LIBRARY = "library"
    MUSEUM = "museum"
    GOVERNMENT = "government"
    COMPANY = "company"
    OTHER = "other"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Institution:
    """Whose a domain is, by one registry.

    ``domain`` is in lower-case A-labels. ``names`` are one institution's or, where a domain is shared, several ones'.
    ``country`` is ISO 3166-1 alpha-2; ``state`` is as the registry writes it.
    """

    domain: str
    names: tuple[str, ...]
    kind: Kind
    country: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """An imported registry.

    ``source`` is the file's name or the URL; ``version`` is new whenever the content is. ``checked_at`` is when the
    source was last seen to hold it.
    """

    name: str
    format: Format
    source: str
    version: str
    entries: int
    imported_at: datetime
    checked_at: datetime
