"""Evidence, brought into the shape that the policy's rules read. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from accredit.registries.models import Kind
from accredit.settings import Settings
from accredit.vetting.models import Evidence, Found

ACADEMIC = frozenset({Kind.UNIVERSITY, Kind.SCHOOL, Kind.EDUCATION})
_HALF_ALIKE = 50.0
NEEDED = ("domains", "institutions", "company", "website", "code_organization")
"""The sources without which nothing is decided."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the policy's numbers are, 0 to 100.

    They are the settings ``ACCREDIT_NAME_MATCH_THRESHOLD`` and ``ACCREDIT_INSTITUTION_MATCH_THRESHOLD``.
    """

    name_match: float
    institution_match: float

    @classmethod
    def of(cls, settings: Settings) -> "Thresholds":
        """The settings' numbers."""
        return cls(settings.name_match_threshold, settings.institution_match_threshold)


@dataclass(frozen=True, slots=True)
class Match:
    """An institution whose domain the customer controls, and how it fits the customer.

    ``similarity`` is that of the names, where one may hold the other; ``exact`` is that of the names as they are;
    ``named_so``: they are the same, or the domain's label is made from the company's name.
    """

    registry: str
    domain: str
    name: str
    kind: Kind
    similarity: float
    exact: float
    named_so: bool
    fits: bool
    comparable: bool
    place: str
    level: str | None
    named_as_education: bool


@dataclass(frozen=True)
class Domain:
    """A verified domain and whose it is."""

    name: str
    facts: Mapping[str, Any]
    matches: tuple[Match, ...]

    @property
    def usable(self) -> bool:
        """Whether it is a domain name of which somebody is the owner."""
        return self.facts["registrable"] is not None

    @property
    def free(self) -> bool:
        """Free-mail, or disposable."""
        return bool(self.facts.get("free_mail"))

    @cached_property
    def institutions(self) -> tuple[Match, ...]:
        """Those of education."""
        return tuple(match for match in self.matches if match.kind in ACADEMIC)

    @property
    def suffix(self) -> Mapping[str, Any] | None:
        """The academic suffix that it is below."""
        return self.facts.get("academic_suffix") if self.usable else None

    @property
    def academic(self) -> bool:
        """Whether anything says that it is an institution of education's."""
        return self.usable and not self.free and bool(self.suffix or self.institutions)

    def of_kind(self, *kinds: Kind) -> tuple[Match, ...]:
        """The institutions of these kinds."""
        return tuple(match for match in self.matches if match.kind in kinds)

    @property
    def stop_listed(self) -> bool:
        """Whether a stop list has it, or a domain above it."""
        return bool(self._stops) or bool(self.facts.get("given_out"))

    @property
    def nothing_but_stop_listed(self) -> bool:
        """Whether a stop list has it, and no list has an institution there, or one by the company's name above it."""
        deepest = max(map(len, self._stops), default=0)
        known = [match for match in self.institutions if match.fits or len(match.domain) >= deepest]
        return bool(self._stops) and not known

    @cached_property
    def _stops(self) -> list[str]:
        listed = self.facts.get("stop_listed")
        return [*([listed] if listed else []), *(match.domain for match in self.of_kind(Kind.STOP))]


class Findings:
    """All evidence on a case."""

    def __init__(self, evidence: Mapping[str, Evidence], thresholds: Thresholds) -> None:
        self.thresholds = thresholds
        self._evidence = evidence

    @cached_property
    def unavailable(self) -> list[str]:
        """The needed sources that said nothing."""
        heard = {name for name, one in self._evidence.items() if one.outcome is not Found.UNAVAILABLE}
        return [name for name in NEEDED if name not in heard]

    @cached_property
    def concerns(self) -> list[str]:
        """What sources would have a person settle."""
        return sorted(str(one.facts["concern"]) for one in self._evidence.values() if one.facts.get("concern"))

    @cached_property
    def company(self) -> Mapping[str, Any]:
        """What the company's name says."""
        return self._evidence["company"].facts

    @cached_property
    def company_is_named(self) -> bool:
        """Whether there is a name to compare."""
        return self._evidence["company"].outcome is Found.FOUND

    @cached_property
    def segment(self) -> str | None:
        """The segment that is claimed."""
        segment = self.company["segment"]
        return None if segment is None else str(segment)

    @cached_property
    def domains(self) -> tuple[Domain, ...]:
        """The verified domains, by name."""
        facts = sorted(self._evidence["domains"].facts["domains"], key=lambda one: str(one["domain"]))
        return tuple(Domain(one["domain"], one, self._matches(one["domain"])) for one in facts)

    @cached_property
    def academic(self) -> tuple[Domain, ...]:
        """The verified domains that something says are an institution of education's."""
        return tuple(domain for domain in self.domains if domain.academic)

    @cached_property
    def homes(self) -> tuple[str, ...]:
        """The registered domains of the institutions that are known to have the company's very name."""
        return tuple(self._evidence["institutions"].facts["homes"])

    @cached_property
    def website(self) -> Mapping[str, Any] | None:
        """Where the website is; ``None``: no website was given."""
        website = self._evidence["website"]
        return website.facts if website.outcome is Found.FOUND else None

    @cached_property
    def website_is_theirs(self) -> bool:
        """Whether the website is on a verified domain, or on another of an institution by the company's name."""
        if self.website is None or self.website["verified"]:
            return True
        return any(match.fits and match.kind in ACADEMIC for match in self._matches(self.website["host"]))

    @cached_property
    def code(self) -> Mapping[str, Any] | None:
        """The validation code's organization; ``None``: no code was given."""
        code = self._evidence["code_organization"]
        return code.facts if code.outcome is Found.FOUND else None

    def _matches(self, domain: str) -> tuple[Match, ...]:
        facts = [one for one in self._evidence["institutions"].facts["institutions"] if one["at"] == domain]
        return tuple(map(self._match, facts))

    def _match(self, fact: Mapping[str, Any]) -> Match:
        # A label made from the name stands for the name only where something else says the same.
        says_so = self.company["education"] or fact["similarity"] >= _HALF_ALIKE
        labelled = fact["label"] and says_so and not self.company["commercial"]
        return Match(
            fact["registry"],
            fact["domain"],
            next(iter(fact["names"]), fact["domain"]),
            Kind(fact["kind"]),
            fact["similarity"],
            fact["exact"],
            bool(fact["named_so"] or fact["label"]),
            bool(fact["similarity"] >= self.thresholds.institution_match or labelled),
            fact["comparable"],
            fact["place"],
            fact["level"],
            fact["education"],
        )
