"""What the tests of vetting share: cases, and their decisions with registries that are given as values."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from accredit.qualifications.models import Qualification
from accredit.registries.domains import at_and_above
from accredit.registries.models import Institution
from accredit.registries.store import Answer
from accredit.settings import Settings
from accredit.vetting import policy
from accredit.vetting.evidence import Gatherer, built_in
from accredit.vetting.evidence.institutions import LookUp
from accredit.vetting.findings import Thresholds
from accredit.vetting.models import Case, Decision, Evidence

EDUCATION, GOVERNMENT = Qualification.EDUCATION, Qualification.GOVERNMENT_COMMUNITY_CLOUD
SETTINGS = Settings()
THRESHOLDS = Thresholds.of(SETTINGS)


def case(company: str, *domains: str, qualification: Qualification = EDUCATION, **others: Any) -> Case:
    """A customer's request, with these verified domains."""
    facts: dict[str, Any] = {
        "education_segment": None,
        "website_host": None,
        "validation_id": None,
        "code_organization": None,
        "country": None,
    }
    return Case(
        uuid4(),
        1,
        uuid4(),
        uuid4(),
        company_name=company,
        qualification=qualification,
        domains=domains,
        **(facts | others),
    )


def registry(*institutions: Institution) -> LookUp:
    """A registry that holds these."""

    async def look_up(domains: Sequence[str]) -> Answer:
        def at(domain: str) -> list[tuple[str, Institution]]:
            deepest = next((one for one in at_and_above(domain) if any(i.domain == one for i in institutions)), None)
            return [("registry", one) for one in institutions if one.domain == deepest]

        return Answer({"registry": "1"}, {domain: at(domain) for domain in domains})

    return look_up


def evidence(one: Case, *institutions: Institution) -> Mapping[str, Evidence]:
    """What the built-in sources say of a case."""
    return asyncio.run(Gatherer(built_in(registry(*institutions), SETTINGS))(one))


def decision(one: Case, *institutions: Institution) -> Decision:
    """What the policy makes of it."""
    return policy.decide(one.qualification, evidence(one, *institutions), THRESHOLDS)
