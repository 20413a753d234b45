"""The rules of reviews. Pure functions; who decides what from it is in ``vetting.review.store``."""

from collections.abc import Sequence
from datetime import datetime

from accredit.qualifications.models import Qualification
from accredit.qualifications.rules import DENIAL_REASONS
from accredit.vetting.models import Decision, Outcome
from accredit.vetting.revetting import BY_A_PERSON, NO_LONGER
from accredit.vetting.review.models import Claim, MadeDecision, Suggestion


class NoSuchCaseError(LookupError):
    """There is no qualification with this ID."""


class CaseClosedError(Exception):
    """The case is not open, so there is nothing to claim or decide."""


class CaseClaimedError(Exception):
    """Another reviewer has claimed the case."""


class CaseChangedError(Exception):
    """The case is not any more what the reviewer saw."""


class NotAReasonError(ValueError):
    """A reason that the contract does not give for this qualification."""


def check_claim(claim: Claim | None, reviewer: str, now: datetime) -> None:
    """Raise :class:`CaseClaimedError` if the claim keeps ``reviewer`` out."""
    if claim is not None and claim.keeps_out(reviewer, now):
        raise CaseClaimedError(f"{claim.by} has claimed the case, until {claim.until:%Y-%m-%dT%H:%M:%SZ}")


def persons_decision(
    qualification: Qualification, reason: str | None, reviewer: str, history: Sequence[MadeDecision]
) -> Decision:
    """A person's decision: a denial where a ``reason`` is given. Raises :class:`NotAReasonError`."""
    if reason is not None and reason not in DENIAL_REASONS[qualification]:
        allowed = "; ".join(DENIAL_REASONS[qualification])
        raise NotAReasonError(f"“{reason}” is no reason to deny {qualification}. The reasons are: {allowed}")
    outcome = Outcome.APPROVED if reason is None else Outcome.DENIED
    referral = history[-1] if history and history[-1].outcome == Outcome.REFER else None
    after = f", after the referral {referral.rule}." if referral else "."
    return Decision(outcome, f"{BY_A_PERSON}{outcome.lower()}", f"{outcome} by {reviewer}{after}", reason)


def suggest(qualification: Qualification, kind: str, history: Sequence[MadeDecision]) -> Suggestion | None:
    """What to do with a case that was referred last; ``None`` if it was not. Never to approve: that is for evidence.

    What was approved and no longer holds is to be denied; so is what was denied before on the same ground, where a
    person saw it. All else is the question that the policy asks.
    """
    if not history or history[-1].outcome != Outcome.REFER:
        return None
    referral = history[-1]
    if kind == "revetting":
        why = f"It was approved, and that no longer holds. {referral.explanation}"
        return Suggestion(Outcome.DENIED, NO_LONGER[qualification], referral.rule, why)
    ground = None
    for made in history[:-1]:
        if made.outcome == Outcome.REFER:
            ground = made.rule
        elif made.outcome == Outcome.DENIED and made.rule.startswith(BY_A_PERSON) and ground == referral.rule:
            why = f"{made.decided_by} denied it before on the same ground. {referral.explanation}"
            return Suggestion(Outcome.DENIED, made.reason, referral.rule, why)
    return Suggestion(Outcome.REFER, None, referral.rule, referral.explanation)
