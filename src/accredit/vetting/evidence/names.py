"""How alike names are."""

import math
import unicodedata

from rapidfuzz import fuzz, utils

from accredit.vetting.models import Case, Evidence, Found


def code_organization(case: Case) -> Evidence:
    """How alike (0 to 100) the company's name and the validation code's organization are, word order aside."""
    if case.code_organization is None:
        return Evidence("code_organization", Found.NOT_FOUND, {})
    similarity = fuzz.token_sort_ratio(
        _plain(case.code_organization), _plain(case.company_name), processor=utils.default_process
    )
    return Evidence(
        "code_organization",
        Found.FOUND,
        {
            "validation_id": case.validation_id,
            "organization_name": case.code_organization,
            "company_name": case.company_name,
            "similarity": math.floor(similarity * 10) / 10,  # never up: a threshold is compared with it
        },
    )


def _plain(name: str) -> str:
    """The name without accents and compatibility forms, in one case."""
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()
