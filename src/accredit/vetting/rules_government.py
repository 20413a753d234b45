"""The rules of GovernmentCommunityCloud, in the order in which they are tried: the first that holds decides."""

from accredit.registries.models import Kind
from accredit.vetting.findings import Domain, Findings, Match
from accredit.vetting.models import Outcome
from accredit.vetting.rule import Rule, listed


def _free_mail(found: Findings) -> str | None:
    if not found.domains or not all(domain.free for domain in found.domains):
        return None
    return f"The customer's only domains are free-mail or disposable: {listed(one.name for one in found.domains)}."


def _no_domain(found: Findings) -> str | None:
    return None if _government(found) else "The customer has no verified domain below .gov or .mil."


def _look_alike(found: Findings) -> str | None:
    reasons = [domain.facts["look_alike"] for domain in found.domains if domain.facts.get("look_alike")]
    return " ".join(reasons) or None


def _second_hand(found: Findings) -> str | None:
    for domain in _government(found):
        if domain.facts["shared_with"]:
            others = listed(domain.facts["shared_with"])
            return f"{domain.facts['registrable']} is verified by other customers, too: {others}."
    return None


def _country_differs(found: Findings) -> str | None:
    country = found.company["country"]
    if country in (None, "US") or any(one.place == "same" for domain in _government(found) for one in domain.matches):
        return None
    return f"The customer's country is {country}, but .gov and .mil are the United States'."


def _registry_differs(found: Findings) -> str | None:
    for domain in _government(found):
        known = domain.of_kind(Kind.GOVERNMENT)
        if known and not any(_is(found, one) for one in known):
            nearest = max(known, key=lambda one: (one.similarity, one.name))
            return (
                f"{domain.name} belongs to {nearest.name} ({nearest.registry}), and the company's name is "
                f"{nearest.similarity:g} of 100 like it, or the state is another."
            )
    return None


def _name_differs(found: Findings) -> str | None:
    if found.code is None or found.code["similarity"] >= found.thresholds.name_match:
        return None
    return (
        f"The customer controls {_names(found)}, but its name and the validation code's organization "
        f"are {found.code['similarity']:g} of 100 alike, less than {found.thresholds.name_match:g}."
    )


def _domain_and_name(found: Findings) -> str | None:
    if found.code is None:
        return None
    return (
        f"The customer controls {_names(found)}, and its name is {found.code['similarity']:g} of 100 like the "
        "validation code's organization."
    )


def _registered_organization(found: Findings) -> str | None:
    for domain in _government(found):
        for one in domain.of_kind(Kind.GOVERNMENT):
            if _is(found, one):
                return f"The customer controls {domain.name}, which belongs to {one.name} ({one.registry})."
    return None


def _no_organization(found: Findings) -> str:
    return f"The customer controls {_names(found)}, but nothing tells for which organization."


def _is(found: Findings, one: Match) -> bool:
    return one.exact >= found.thresholds.name_match and one.place != "differs"


def _government(found: Findings) -> list[Domain]:
    return [domain for domain in found.domains if domain.facts.get("government")]


def _names(found: Findings) -> str:
    return listed(domain.name for domain in _government(found))


_APPROVED, _DENIED, _REFER = Outcome.APPROVED, Outcome.DENIED, Outcome.REFER

RULES = (
    Rule(
        "government.free-mail",
        _DENIED,
        "every verified domain is free-mail or disposable",
        "domains",
        _free_mail,
        "Not a Government Customer",
    ),
    Rule("government.no-domain", _REFER, "no verified domain is under .gov or .mil", "domains", _no_domain),
    Rule("government.look-alike", _REFER, "a verified domain looks like somebody else's", "domains", _look_alike),
    Rule("government.second-hand", _REFER, "other customers have verified it, too", "domains", _second_hand),
    Rule(
        "government.country-differs",
        _REFER,
        "the customer is in another country than the United States",
        "domains, institutions",
        _country_differs,
    ),
    Rule(
        "government.name-differs",
        _REFER,
        "such a domain, but the names of the company and of the code's organization are less alike than the threshold",
        "code_organization",
        _name_differs,
    ),
    Rule(
        "government.registry-differs",
        _REFER,
        "such a domain, but a registry has an organization of another name or state there",
        "institutions",
        _registry_differs,
    ),
    Rule(
        "government.domain-and-name",
        _APPROVED,
        "a verified domain is under .gov or .mil, and the code is for the company",
        "domains, code_organization",
        _domain_and_name,
    ),
    Rule(
        "government.registered-organization",
        _APPROVED,
        "there is no code, but a registry has the domain, and its organization's name is the company's",
        "domains, institutions",
        _registered_organization,
    ),
    Rule(
        "government.no-organization",
        _REFER,
        "such a domain, but neither a code nor a registry tells whose",
        "code_organization, institutions",
        _no_organization,
    ),
)
