"""Whether what was approved still holds. Pure: what stands and what the policy says now in, a decision out.

| the policy would now | on a case that the policy approved | on a case that a person approved |
|---|---|---|
| approve | it holds | it holds |
| refer or deny, by the rule that the person settled, and the customer is as it was | | it holds |
| refer otherwise | to a person | to a person |
| deny otherwise, and the customer is as it was | Denied | to a person: one once saw more than the policy does |
| deny otherwise, and the customer has changed | Denied | Denied |

While a source of evidence is unavailable nothing is taken from anybody: the case is looked at again later.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from accredit.qualifications.models import Qualification
from accredit.vetting.models import Case, Decision, Outcome

BY_A_PERSON = "review."
"""What the rules of people's decisions begin with."""

NO_LONGER = {
    Qualification.EDUCATION: "No longer an Education Customer",
    Qualification.GOVERNMENT_COMMUNITY_CLOUD: "Not a Government Customer",
}
"""The contract's reason for a denial of what was approved before. It has none of the kind for government."""


@dataclass(frozen=True, slots=True)
class Approval:
    """The approval that stands. ``rule`` is empty where no decision tells.

    ``settled``: the rule that referred it to a person, where a person approved it. ``subject`` is :func:`subject_of`
    the case as it was; ``None`` where that is not known.
    """

    rule: str
    settled: str | None
    subject: Mapping[str, Any] | None

    @property
    def by_a_person(self) -> bool:
        return self.rule.startswith(BY_A_PERSON)


def subject_of(case: Case) -> dict[str, Any]:
    """The customer's own facts that a decision rests on, as JSON values."""
    return {
        "companyName": case.company_name,
        "country": case.country,
        "domains": list(case.domains),
        "state": case.state,
        "educationSegment": case.education_segment,
        "websiteHost": case.website_host,
    }


def reconsider(
    qualification: Qualification,
    approval: Approval,
    decision: Decision,
    *,
    subject: Mapping[str, Any],
    complete: bool,
) -> Decision | None:
    """What becomes of ``approval`` when the policy's ``decision`` on the case as it is now is this.

    Approved: it holds; Refer: a person looks at it, and it stands until then; Denied: it is taken away. ``None``:
    evidence is missing (it is not ``complete``), so nothing can be said yet.
    """
    if decision.outcome is Outcome.APPROVED:
        return decision
    if not complete:
        return None
    if approval.by_a_person and approval.subject in (None, subject):
        if decision.rule == approval.settled:
            explanation = f"A person settled what {decision.rule} asks, and the customer has not changed since."
            return replace(decision, outcome=Outcome.APPROVED, rule=approval.rule, explanation=explanation, reason=None)
        if decision.outcome is Outcome.DENIED:
            explanation = f"A person approved it; the policy would now deny it. {decision.explanation}"
            return replace(decision, outcome=Outcome.REFER, explanation=explanation, reason=None)
    return decision if decision.outcome is Outcome.REFER else replace(decision, reason=NO_LONGER[qualification])
