"""Sources of evidence: each a function from the case to facts. They decide nothing; ``vetting.policy`` does."""

from accredit.vetting.evidence.domains import academic_domains, government_domains, website_domain
from accredit.vetting.evidence.names import code_organization
from accredit.vetting.models import Case, Evidence, Source

SOURCES: tuple[Source, ...] = (academic_domains, government_domains, website_domain, code_organization)


def gather(case: Case) -> dict[str, Evidence]:
    """What all sources say of ``case``, by the source's name."""
    return {evidence.source: evidence for evidence in (source(case) for source in SOURCES)}
