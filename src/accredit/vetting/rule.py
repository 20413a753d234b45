"""What a rule of the policy is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from accredit.vetting.findings import Findings
from accredit.vetting.models import Decision, Outcome


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: what it decides, when, and from the evidence of which sources.

    ``holds`` gives the explanation where the rule holds, and ``None`` where it does not. ``reason`` is the contract's,
    for a denial.
    """

    id: str
    outcome: Outcome
    when: str
    needs: str
    holds: Callable[[Findings], str | None]
    reason: str | None = None

    def decide(self, found: Findings) -> Decision | None:
        """The decision, where the rule holds."""
        explanation = self.holds(found)
        return None if explanation is None else Decision(self.outcome, self.id, explanation, self.reason)


def listed(names: Iterable[str]) -> str:
    """Names for an explanation, in order."""
    return ", ".join(sorted(names))
