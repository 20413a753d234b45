"""The vetting policy: evidence in, decision out. Pure: no I/O, no clock; the same evidence always decides the same.

The rules are data: ``RULES`` holds them by qualification, and the first of a qualification's that holds decides.
``table`` is how ``docs/vetting.md`` shows them.
"""

from collections.abc import Mapping

from accredit.qualifications.models import Qualification
from accredit.vetting import rules_education, rules_government
from accredit.vetting.findings import Findings, Thresholds
from accredit.vetting.models import Decision, Evidence, Outcome
from accredit.vetting.rule import Rule, listed

VERSION = "3"
"""Stored with each decision; changes whenever a rule, or what a source's facts mean, does."""


def _unavailable(found: Findings) -> str | None:
    return f"Without an answer from {listed(found.unavailable)}." if found.unavailable else None


def _concern(found: Findings) -> str | None:
    return " ".join(found.concerns) or None


def _with_common(prefix: str, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The rules, after and among which those that every qualification has are tried."""
    unavailable = Rule(
        f"{prefix}.unavailable", Outcome.REFER, "a source that the rules need did not answer", "", _unavailable
    )
    concern = Rule(
        f"{prefix}.concern", Outcome.REFER, "a source, such as a plugin, would have a person look", "any", _concern
    )
    first = next(number for number, rule in enumerate(rules) if rule.outcome is Outcome.APPROVED)
    return (unavailable, *rules[:first], concern, *rules[first:])


RULES: Mapping[Qualification, tuple[Rule, ...]] = {
    Qualification.EDUCATION: _with_common("education", rules_education.RULES),
    Qualification.GOVERNMENT_COMMUNITY_CLOUD: _with_common("government", rules_government.RULES),
}


def decide(qualification: Qualification, evidence: Mapping[str, Evidence], thresholds: Thresholds) -> Decision:
    """Decide a case from its evidence. Raises ``ValueError`` for a qualification that has no vetting."""
    if qualification not in RULES:
        raise ValueError(f"{qualification} has no vetting")
    found = Findings(evidence, thresholds)
    return next(decision for rule in RULES[qualification] if (decision := rule.decide(found)))


def table() -> str:
    """The rules as a table in Markdown, in the order in which they are tried."""
    rows = [
        f"| `{rule.id}` | {rule.outcome}{f': {rule.reason}' if rule.reason else ''} | {rule.when} | {rule.needs} |"
        for rules in RULES.values()
        for rule in rules
    ]
    return "\n".join(["| rule | decides | when | evidence |", "|---|---|---|---|", *rows])
