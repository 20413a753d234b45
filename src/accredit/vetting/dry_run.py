"""Vetting of the rows of a CSV file, by the very code of the service; nothing is stored."""

import asyncio
import csv
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TextIO
from uuid import UUID

from accredit.qualifications import rules
from accredit.qualifications.models import EducationSegment, Qualification
from accredit.vetting import policy
from accredit.vetting.evidence import Gatherer
from accredit.vetting.evidence.places import country_code
from accredit.vetting.findings import Thresholds
from accredit.vetting.models import Case, Decision, Outcome
from accredit.wire.errors import ApiError

COLUMNS = ("company", "domain", "verified", "website", "country", "segment", "qualification")
NEEDED = ("company", "domain", "verified")
EXPECTED = "expected"
ADDED = ("decision", "reason", "rule")

_AT_A_TIME = 64
_NOBODY = UUID(int=0)
_TRUTH = {
    "true": True, "1": True, "yes": True, "y": True, "t": True,
    "false": False, "0": False, "no": False, "n": False, "f": False, "": False,
}  # fmt: skip
_QUALIFICATIONS = {"": Qualification.EDUCATION} | {one.lower(): one for one in policy.RULES}
_SEGMENTS: Mapping[str, EducationSegment | None] = {"": None} | {one.lower(): one for one in EducationSegment}
_OUTCOMES = {one.lower(): one for one in Outcome}


class RowError(ValueError):
    """A row, or the header, cannot be read. The message names the line and what is wrong."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was read: its values under the file's own header, and the case that they describe."""

    values: dict[str, str]
    case: Case
    expected: Outcome | None


@dataclass
class Confusion:
    """How often each outcome was expected, and made."""

    counts: Counter[tuple[Outcome, Outcome]] = field(default_factory=Counter)

    def add(self, expected: Outcome, made: Outcome) -> None:
        """Count one."""
        self.counts[expected, made] += 1

    def lines(self) -> list[str]:
        """The table, as text."""
        rows = [(expected, *(str(self.counts[expected, made]) for made in Outcome)) for expected in Outcome]
        table = ["".join(f"{cell:>10}" for cell in row) for row in (("expected", *Outcome), *rows)]
        right = sum(count for (expected, made), count in self.counts.items() if expected is made)
        return [*table, f"{right} of {self.counts.total()} as expected"]


def text_lines(source: Iterable[bytes]) -> Iterator[str]:
    """The lines of a UTF-8 file, without a byte-order mark. Raises :class:`RowError`."""
    for number, line in enumerate(source, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise RowError(f"line {number}: not UTF-8") from None


class Reader:
    """Reads a CSV file, row by row. ``header`` is the file's own.

    Raises :class:`RowError`. Column names match in any case; columns that are not ours are kept.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._rows = csv.reader(lines, strict=True)
        try:
            first = next(self._rows, [])
        except csv.Error as error:
            raise RowError(f"line 1: {error}") from None
        self.header = [name.strip() for name in first]
        self._places = {name.lower(): place for place, name in enumerate(self.header)}
        if len(self._places) != len(self.header):
            raise RowError("line 1: a column comes twice")
        for name in NEEDED:
            if name not in self._places:
                raise RowError(f"line 1: the column {name} is missing")
        for name in ADDED:
            if name in self._places:
                raise RowError(f"line 1: there is a column {name} already")

    @property
    def expects(self) -> bool:
        """Whether the file says what it expects."""
        return EXPECTED in self._places

    def __iter__(self) -> Iterator[Row]:
        while True:
            try:
                values = next(self._rows, None)
            except csv.Error as error:
                raise RowError(f"line {self._rows.line_num}: {error}") from None
            if values is None:
                return
            if values:
                yield self._row(values, f"line {self._rows.line_num}")

    def _row(self, values: list[str], place: str) -> Row:
        if len(values) != len(self.header):
            raise RowError(f"{place}: {len(values)} values under {len(self.header)} columns")

        def value(name: str) -> str:
            return values[self._places[name]].strip() if name in self._places else ""

        def one_of(name: str, known: Mapping[str, object]) -> str:
            if value(name).lower() not in known:
                raise RowError(f"{place}: {name} is “{value(name)}”, none of {', '.join(filter(None, known))}")
            return value(name).lower()

        qualification = _QUALIFICATIONS[one_of("qualification", _QUALIFICATIONS)]
        verified = _TRUTH[one_of("verified", _TRUTH)]
        expected = _OUTCOMES[one_of(EXPECTED, _OUTCOMES)] if self.expects and value(EXPECTED) else None
        country = value("country")
        case = Case(
            qualification_id=_NOBODY,
            request_number=1,
            partner_id=_NOBODY,
            customer_id=_NOBODY,
            company_name=value("company"),
            qualification=qualification,
            education_segment=_SEGMENTS[one_of("segment", _SEGMENTS)],
            website_host=_website(value("website")),
            validation_id=None,
            code_organization=None,
            domains=_domains(value("domain")) if verified else (),
            country=country_code(country) if country else None,
        )
        return Row(dict(zip(self.header, values, strict=True)), case, expected)


def _domains(text: str) -> tuple[str, ...]:
    """The domains of a cell: several are separated by spaces, commas, semicolons or bars."""
    for separator in ",;|":
        text = text.replace(separator, " ")
    return tuple(dict.fromkeys(text.split()))


def _website(text: str) -> str | None:
    """The host of a website; ``None`` for one that cannot be read, which proves nothing anyway."""
    try:
        return rules.website_host(text) if text else None
    except ApiError:
        return None


async def decide(rows: Iterable[Row], gather: Gatherer, thresholds: Thresholds) -> AsyncIterator[tuple[Row, Decision]]:
    """Decide ``rows``, in their order, some at a time."""

    async def one(row: Row) -> tuple[Row, Decision]:
        return row, policy.decide(row.case.qualification, await gather(row.case), thresholds)

    remaining = iter(rows)
    while some := list(islice(remaining, _AT_A_TIME)):
        for decided in await asyncio.gather(*map(one, some)):
            yield decided


class Writer:
    """Writes the rows with what was decided."""

    def __init__(self, file: TextIO, header: list[str]) -> None:
        self._rows = csv.DictWriter(file, [*header, *ADDED], lineterminator="\n")
        self._rows.writeheader()

    def write(self, row: Row, decision: Decision) -> None:
        """Write one. The reason is the contract's for a denial, otherwise why in a sentence."""
        reason = decision.reason or decision.explanation
        self._rows.writerow({**row.values, "decision": decision.outcome, "reason": reason, "rule": decision.rule})
