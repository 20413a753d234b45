"""The vetting policy: evidence in, decision out. Pure: no I/O, no clock; the same evidence always decides the same.

| rule | decides | when |
|---|---|---|
| `education.academic-domain` | Approved | a verified domain is academic, and the website, if any, is on it |
| `education.website-elsewhere` | Refer | a verified domain is academic, but the website is on another |
| `education.no-domain` | Refer | no domain is verified |
| `education.free-or-stop-listed` | Denied | every verified domain is free-mail or stop-listed |
| `education.unknown-domain` | Refer | none of the verified domains is known to be academic |
| `government.domain-and-name` | Approved | a verified domain is under .gov or .mil, and the code is for the company |
| `government.name-differs` | Refer | such a domain, but the names are less alike than the threshold |
| `government.no-domain` | Refer | no verified domain is under .gov or .mil |
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from accredit.qualifications.models import Qualification
from accredit.vetting.models import Decision, Evidence, Found, Outcome

VERSION = "1"
"""Stored with each decision; changes whenever a rule does."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the policy's numbers are. ``name_match``: 0 to 100, see ``ACCREDIT_NAME_MATCH_THRESHOLD``."""

    name_match: float


def decide(qualification: Qualification, evidence: Mapping[str, Evidence], thresholds: Thresholds) -> Decision:
    """Decide a case from its evidence. Raises ``ValueError`` for a qualification that has no vetting."""
    if qualification is Qualification.EDUCATION:
        return _education(evidence)
    if qualification is Qualification.GOVERNMENT_COMMUNITY_CLOUD:
        return _government(evidence, thresholds)
    raise ValueError(f"{qualification} has no vetting")


def _education(evidence: Mapping[str, Evidence]) -> Decision:
    domains = evidence["academic_domains"].facts["domains"]
    academic = {domain["registrable"]: domain["domain"] for domain in domains if domain["academic"]}
    website = evidence["website_domain"]
    if academic and website.outcome is Found.FOUND and website.facts["registrable"] not in academic:
        return Decision(
            Outcome.REFER,
            "education.website-elsewhere",
            f"{_names(academic.values())} is academic and verified, but the website is on {website.facts['host']}.",
        )
    if academic:
        return Decision(
            Outcome.APPROVED,
            "education.academic-domain",
            f"The customer controls {_names(academic.values())}, which is academic.",
        )
    if not domains:
        return Decision(Outcome.REFER, "education.no-domain", "The customer has no verified domain.")
    names = _names(domain["domain"] for domain in domains)
    if all(domain["free_mail"] or domain["stop_listed"] for domain in domains):
        return Decision(
            Outcome.DENIED,
            "education.free-or-stop-listed",
            f"The customer's only domains are free-mail or stop-listed: {names}.",
            "Not an Academic Domain",
        )
    return Decision(Outcome.REFER, "education.unknown-domain", f"Not known to be academic: {names}.")


def _government(evidence: Mapping[str, Evidence], thresholds: Thresholds) -> Decision:
    domains = evidence["government_domains"].facts["domains"]
    if not domains:
        return Decision(
            Outcome.REFER,
            "government.no-domain",
            "The customer has no verified domain below .gov or .mil.",
        )
    match = evidence["code_organization"]
    similarity = match.facts["similarity"] if match.outcome is Found.FOUND else 0.0
    if similarity < thresholds.name_match:
        return Decision(
            Outcome.REFER,
            "government.name-differs",
            f"The customer controls {_names(domains)}, but its name and the validation code's organization "
            f"are {similarity:g} of 100 alike, less than {thresholds.name_match:g}.",
        )
    return Decision(
        Outcome.APPROVED,
        "government.domain-and-name",
        f"The customer controls {_names(domains)}, and its name is {similarity:g} of 100 like the validation "
        "code's organization.",
    )


def _names(domains: Iterable[str]) -> str:
    return ", ".join(sorted(domains))
