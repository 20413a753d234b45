"""The rules of Education, in the order in which they are tried: the first that holds decides."""

from accredit.registries.models import Kind
from accredit.vetting.evidence.places import same_country
from accredit.vetting.findings import Domain, Findings
from accredit.vetting.models import Outcome
from accredit.vetting.rule import Rule, listed

NOT_ACADEMIC = "Not an Academic Domain"


def _no_domain(found: Findings) -> str | None:
    return None if found.domains else "The customer has no verified domain."


def _no_name(found: Findings) -> str | None:
    return None if found.company_is_named else "The company has no name that can be read."


def _malformed(found: Findings) -> str | None:
    wrong = [domain.name for domain in found.domains if domain.facts["malformed"]]
    return f"Not a domain name: {listed(wrong)}." if wrong else None


def _free_or_stop_listed(found: Findings) -> str | None:
    stopped_counts = not found.company["education"]
    if not all(one.free or (stopped_counts and one.nothing_but_stop_listed) for one in found.domains):
        return None
    return f"The customer's only domains are free-mail, disposable or stop-listed: {listed(_names(found))}."


def _free_beside(found: Findings) -> str | None:
    free = [domain.name for domain in found.domains if domain.free]
    return f"Nobody's own, but verified: {listed(free)}. How was it?" if free else None


def _stop_listed(found: Findings) -> str | None:
    stopped = [domain.name for domain in found.domains if domain.stop_listed]
    return f"Stop-listed: {listed(stopped)}. Does the institution itself control it?" if stopped else None


def _look_alike(found: Findings) -> str | None:
    reasons = [domain.facts["look_alike"] for domain in found.domains if domain.facts.get("look_alike")]
    return " ".join(reasons) or None


def _second_hand(found: Findings) -> str | None:
    for domain in found.academic:
        others = domain.facts["shared_with"]
        if others:
            return f"{domain.facts['registrable']} is verified by other customers, too: {listed(others)}."
    return None


def _student_host(found: Findings) -> str | None:
    hosts = [domain.name for domain in found.academic if domain.facts["student_host"]]
    return f"A host for students, alumni or members: {listed(hosts)}." if hosts else None


def _website_elsewhere(found: Findings) -> str | None:
    if not found.academic or found.website is None or found.website_is_theirs:
        return None
    return f"{listed(_academic(found))} is academic and verified, but the website is on {found.website['host']}."


def _registries_disagree(found: Findings) -> str | None:
    for domain in found.academic:
        others = domain.of_kind(Kind.COMPANY)
        if others:
            return f"{domain.name} looks academic, but by {others[0].registry} it belongs to {others[0].name}."
    return None


def _affiliated(found: Findings) -> str | None:
    word = found.company["affiliated"]
    if not found.academic or word is None or _is_named_so(found):
        return None
    return f"“{found.company['name']}” ({word}) seems to stand beside an institution, not to be one."


def _commercial_name(found: Findings) -> str | None:
    word = found.company["commercial"]
    if not found.academic or word is None or _is_named_so(found):
        return None
    return f"{listed(_academic(found))} is academic, but “{found.company['name']}” ({word}) is a company's name."


def _is_named_so(found: Findings) -> bool:
    """Whether registries know the institution of each academic domain by the company's very name."""
    return all(any(one.similarity == 100 for one in domain.institutions) for domain in found.academic)


def _name_differs(found: Findings) -> str | None:
    for domain in found.academic:
        institutions = domain.institutions
        if not institutions or any(one.fits for one in institutions):
            continue
        if domain.suffix and found.company["education"] and not any(one.comparable for one in institutions):
            continue
        nearest = max(institutions, key=lambda one: (one.similarity, one.name))
        return (
            f"{domain.name} belongs to {nearest.name} ({nearest.registry}), and the company's name is "
            f"{nearest.similarity:g} of 100 like it, less than {found.thresholds.institution_match:g}."
        )
    return None


def _another_institution(found: Findings) -> str | None:
    if not found.homes or any(domain.facts["registrable"] in found.homes for domain in found.academic):
        return None
    for domain in found.academic:
        fitting = [one for one in domain.institutions if one.fits]
        if fitting and not any(one.named_so for one in fitting):
            return (
                f"{domain.name} belongs to {fitting[0].name} ({fitting[0].registry}), and “{found.company['name']}” is "
                f"the very name of the institution at {listed(found.homes)}."
            )
    return None


def _country_differs(found: Findings) -> str | None:
    for domain in found.academic:
        fitting = [one for one in domain.institutions if one.fits]
        known = [one for one in fitting if one.place != "unknown"]
        if known and all(one.place == "differs" for one in known):
            return f"The customer and {known[0].name} are not in the same country or state."
        country, its = found.company["country"], domain.facts["countries"]
        if country and its and not known and not any(same_country(country, one) for one in its):
            return f"The customer's country is {country}, but {domain.name} is a domain of {listed(its)}."
    return None


def _segment_differs(found: Findings) -> str | None:
    claimed, said = found.segment, found.company["level"]
    if not found.academic or claimed is None:
        return None
    if said and said != claimed:
        return f"The segment asked for is {claimed}, but “{found.company['name']}” reads as {said}."
    for domain in found.academic:
        levels = {one.level for one in domain.institutions if one.fits and one.level}
        if not levels and domain.suffix and domain.suffix["level"]:
            levels = {domain.suffix["level"]}
        if levels and claimed not in levels:
            return f"The segment asked for is {claimed}, but {domain.name} is of {listed(levels)}."
        if claimed == "K12" and not levels and not found.company["school"]:
            return f"The segment asked for is {claimed}, but nothing tells that {domain.name} is a school's."
    return None


def _unclear_institution(found: Findings) -> str | None:
    if found.company["education"]:
        return None
    unclear = [domain for domain in found.academic if not (domain.suffix or _trusted(domain))]
    if not unclear or len(unclear) < len(found.academic):
        return None
    return f"{unclear[0].name} is in a list of schools, but nothing in the name says that it is one."


def _trusted(domain: Domain) -> bool:
    """Whether an institution is one by its name, or in a list of universities: anyone may add to a list of schools."""
    return any(one.named_as_education or one.kind is not Kind.EDUCATION for one in domain.institutions if one.fits)


def _registered_institution(found: Findings) -> str | None:
    fitting = [(one, domain) for domain in found.academic for one in domain.institutions if one.fits]
    if not fitting:
        return None
    one, domain = max(fitting, key=lambda pair: pair[0].similarity)
    by_label = one.similarity < found.thresholds.institution_match
    return (
        f"The customer controls {domain.name}, which belongs to {one.name} ({one.registry}), and its name is "
        f"{one.similarity:g} of 100 like it{', and the domain is made from it' if by_label else ''}."
    )


def _academic_domain(found: Findings) -> str | None:
    for domain in found.academic:
        own = domain.name == domain.facts["registrable"]
        # Schools are named after anybody; what is above them should say what it is, or be called as its domain is.
        nameless = own and domain.suffix and domain.suffix["level"] == "K12"
        called_so = own and (domain.facts["label"] or not found.company["latin"])
        if domain.suffix and (found.company["education"] or nameless or called_so):
            return f"The customer controls {domain.name}, and .{domain.suffix['suffix']} is for education only."
    return None


def _name_unclear(found: Findings) -> str | None:
    if not found.academic:
        return None
    name = found.company["name"]
    return f"{listed(_academic(found))} is academic, but “{name}” does not say that it is the institution."


def _library_or_museum(found: Findings) -> str | None:
    for domain in found.domains:
        for one in domain.of_kind(Kind.LIBRARY, Kind.MUSEUM):
            return f"{domain.name} belongs to {one.name}, a {one.kind} ({one.registry}); is it eligible?"
    return None


def _government(found: Findings) -> str | None:
    names = [
        domain.name for domain in found.domains if domain.facts.get("government") or domain.of_kind(Kind.GOVERNMENT)
    ]
    return f"Government domains, none of them academic: {listed(names)}." if names else None


def _company(found: Findings) -> str | None:
    for domain in found.domains:
        for one in domain.of_kind(Kind.COMPANY):
            return f"{domain.name} belongs to {one.name}, a company ({one.registry})."
    return None


def _nobodys(found: Findings) -> str | None:
    if any(domain.usable and not domain.facts["hosted"] for domain in found.domains):
        return None
    return f"Given out to anyone by a host or a registry: {listed(_names(found))}."


def _unknown(found: Findings) -> str:
    return f"Not known to be academic: {listed(_names(found))}."


def _names(found: Findings) -> list[str]:
    return [domain.name for domain in found.domains]


def _academic(found: Findings) -> list[str]:
    return [domain.name for domain in found.academic]


_APPROVED, _DENIED, _REFER = Outcome.APPROVED, Outcome.DENIED, Outcome.REFER

RULES = (
    Rule("education.no-domain", _REFER, "no domain is verified", "domains", _no_domain),
    Rule("education.no-name", _REFER, "the company's name has neither letters nor digits", "company", _no_name),
    Rule("education.malformed-domain", _REFER, "a verified domain is no domain name", "domains", _malformed),
    Rule(
        "education.free-or-stop-listed",
        _DENIED,
        "every verified domain is free-mail, disposable, or on a stop list without an institution there or in the name",
        "domains, institutions, company",
        _free_or_stop_listed,
        NOT_ACADEMIC,
    ),
    Rule("education.free-mail-beside", _REFER, "one of several is free-mail or disposable", "domains", _free_beside),
    Rule("education.stop-listed", _REFER, "a verified domain is on a stop list", "domains, institutions", _stop_listed),
    Rule("education.look-alike", _REFER, "a verified domain looks like an institution's", "domains", _look_alike),
    Rule("education.second-hand", _REFER, "other customers have verified it, too", "domains", _second_hand),
    Rule("education.student-host", _REFER, "it is a host for students, alumni or members", "domains", _student_host),
    Rule(
        "education.website-elsewhere",
        _REFER,
        "a verified domain is academic, but the website is on another, and that is not the institution's either",
        "domains, website, institutions",
        _website_elsewhere,
    ),
    Rule(
        "education.registries-disagree",
        _REFER,
        "a verified domain is academic, but a registry has a company there",
        "institutions",
        _registries_disagree,
    ),
    Rule(
        "education.affiliated",
        _REFER,
        "the company's name is that of alumni, a club, a shop beside an institution",
        "company",
        _affiliated,
    ),
    Rule(
        "education.commercial-name",
        _REFER,
        "the company's name has a legal form or words of trade, and no registry knows the institution by it",
        "company, institutions",
        _commercial_name,
    ),
    Rule(
        "education.name-differs",
        _REFER,
        "the institution whose domain it is has another name than the company",
        "institutions",
        _name_differs,
    ),
    Rule(
        "education.another-institution",
        _REFER,
        "the names are alike, but the company's is the very name of an institution at another domain",
        "institutions",
        _another_institution,
    ),
    Rule(
        "education.country-differs",
        _REFER,
        "the customer's country (in the US, state) is not the institution's or, if no registry has it, the domain's",
        "institutions, domains",
        _country_differs,
    ),
    Rule(
        "education.segment-differs",
        _REFER,
        "the segment asked for is not what the name, the registry or the suffix says",
        "company, institutions, domains",
        _segment_differs,
    ),
    Rule(
        "education.unclear-institution",
        _REFER,
        "only a list that anyone may add to has the institution, and neither its name nor the company's says so",
        "institutions, company",
        _unclear_institution,
    ),
    Rule(
        "education.registered-institution",
        _APPROVED,
        "a verified domain is an institution's by a registry, and the company's name is the institution's",
        "institutions",
        _registered_institution,
    ),
    Rule(
        "education.academic-domain",
        _APPROVED,
        "a verified domain is below a suffix that is for education only, and the name is one of an institution",
        "domains, company",
        _academic_domain,
    ),
    Rule(
        "education.name-unclear",
        _REFER,
        "it is below such a suffix, but neither the company's name nor the domain's says that it is the institution",
        "domains, company",
        _name_unclear,
    ),
    Rule("education.library-or-museum", _REFER, "it is a library's or museum's", "institutions", _library_or_museum),
    Rule("education.government-domain", _REFER, "it is a government's", "domains, institutions", _government),
    Rule("education.company-domain", _REFER, "it is a company's by a registry", "institutions", _company),
    Rule(
        "education.nobodys-domain",
        _REFER,
        "it is below a host's or a public suffix, or one itself",
        "domains",
        _nobodys,
    ),
    Rule("education.unknown-domain", _REFER, "none of the verified domains is known to be academic", "", _unknown),
)
