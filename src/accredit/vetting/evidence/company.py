"""What the company's name says of it, and how alike it and the validation code's organization are."""

from accredit.vetting.evidence import names
from accredit.vetting.models import Case, Evidence, Found


async def company(case: Case) -> Evidence:
    """What the name says: a type of institution, a legal form or word of trade, an affiliation, a level."""
    said = names.says(case.company_name)
    facts = {
        "name": case.company_name,
        "latin": names.parse(case.company_name).latin,
        "education": said.education,
        "school": said.school,
        "commercial": said.commercial,
        "affiliated": said.affiliated,
        "level": said.level,
        "country": case.country,
        "segment": case.education_segment,
    }
    return Evidence("company", Found.FOUND if names.parse(case.company_name).raw else Found.NOT_FOUND, facts)


async def code_organization(case: Case) -> Evidence:
    """How alike (0 to 100) the company's name and the validation code's organization are. Not found: no code."""
    if case.code_organization is None:
        return Evidence("code_organization", Found.NOT_FOUND, {})
    facts = {
        "validation_id": case.validation_id,
        "organization_name": case.code_organization,
        "company_name": case.company_name,
        "similarity": names.similarity(case.company_name, case.code_organization),
    }
    return Evidence("code_organization", Found.FOUND, facts)
