"""The rules of reviews: what may be asked for, and what comes of it. Pure functions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from accredit.qualifications.models import Qualification
from accredit.qualifications.rules import DENIAL_REASONS
from accredit.vetting.models import Decision, Outcome
from accredit.vetting.revetting import BY_A_PERSON, NO_LONGER
from accredit.vetting.review.models import CaseFilter, Claim, MadeDecision, Suggestion
from accredit.wire.errors import BAD_REQUEST, NOT_IN_ENUM, ApiError
from accredit.wire.exchange import parse_guid

Member = TypeVar("Member")

FILTERS = (
    "qualification", "kind", "partnerId", "customerId", "country", "rule", "claimedBy", "claimed", "overdue",
)  # fmt: skip
ORDERS = {"oldest": False, "newest": True}
"""The orders of a list, and whether the newest comes first in it."""

QUALIFICATIONS = {member.lower(): member for member in DENIAL_REASONS}
KINDS = {"request": "request", "revetting": "revetting"}
_BOOLEANS = {"true": True, "false": False}
_OUTCOMES = {outcome.lower(): outcome for outcome in (Outcome.APPROVED, Outcome.DENIED)}
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_LONGEST_TEXT = 256
_LONGEST_NOTE = 4000
_NOTE = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*")


class NoSuchCaseError(LookupError):
    """There is no qualification with this ID."""


class CaseClosedError(Exception):
    """The case is not open, so there is nothing to claim or decide."""


class CaseClaimedError(Exception):
    """Another reviewer has claimed the case."""


class NotAReasonError(ValueError):
    """A reason that the contract does not give for this qualification."""


def check_claim(claim: Claim | None, reviewer: str, now: datetime) -> None:
    """Raise :class:`CaseClaimedError` if the claim keeps ``reviewer`` out."""
    if claim is not None and claim.keeps_out(reviewer, now):
        raise CaseClaimedError(f"the case is claimed by {claim.by}, until {claim.until:%Y-%m-%dT%H:%M:%SZ}")


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


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a reviewer asks for: to approve a case, or to deny it where there is a ``reason``."""

    reason: str | None
    note: str | None


def parse_filter(given: Mapping[str, str]) -> CaseFilter:
    """Read the query parameters of a list, of those that ``FILTERS`` names.

    Raises ``ApiError``: 400 / 3000 or 900126; the description names the parameter.
    """
    return CaseFilter(
        qualification=_choice(given, "qualification", QUALIFICATIONS),
        kind=_choice(given, "kind", KINDS),
        partner_id=_guid(given, "partnerId"),
        customer_id=_guid(given, "customerId"),
        country=_country(given),
        rule=_text(given, "rule"),
        claimed_by=_text(given, "claimedBy"),
        claimed=_choice(given, "claimed", _BOOLEANS),
        overdue=_choice(given, "overdue", _BOOLEANS),
    )


def newest_first(given: Mapping[str, str]) -> bool:
    """Whether the query parameter ``order`` asks for the newest first. Raises ``ApiError`` (400 / 900126)."""
    return bool(_choice(given, "order", ORDERS))


def parse_ruling(body: Mapping[str, Any]) -> Ruling:
    """Read the body of a decision, names in lower case. ``outcome`` is Approved or Denied, which needs a ``reason``.

    Whether the contract gives that reason is for :func:`persons_decision`. Raises ``ApiError``: 400 / 3000 or 900126.
    """
    for name in ("outcome", "reason", "note"):
        if not isinstance(body.get(name, ""), str):
            raise ApiError(BAD_REQUEST, f"The property {name} is not a string.")
    if "outcome" not in body:
        raise ApiError(BAD_REQUEST, "The property outcome is missing.")
    outcome, reason, note = _OUTCOMES.get(body["outcome"].lower()), body.get("reason"), body.get("note")
    if outcome is None:
        raise ApiError(NOT_IN_ENUM, f"The property outcome is none of {', '.join(_OUTCOMES.values())}.")
    if (outcome is Outcome.DENIED) != bool(reason):
        why = "is missing: a denial needs one" if outcome is Outcome.DENIED else "goes with Denied only"
        raise ApiError(BAD_REQUEST, f"The property reason {why}.")
    if note is not None and (len(note) > _LONGEST_NOTE or not _NOTE.fullmatch(note)):
        raise ApiError(
            BAD_REQUEST, f"The property note is longer than {_LONGEST_NOTE} characters, or has control characters."
        )
    return Ruling(reason or None, note or None)


def _choice(given: Mapping[str, str], name: str, choices: Mapping[str, Member]) -> Member | None:
    text = given.get(name)
    if text is None:
        return None
    if text.lower() not in choices:
        raise ApiError(NOT_IN_ENUM, f"The query parameter {name} is none of {', '.join(choices)}.")
    return choices[text.lower()]


def _guid(given: Mapping[str, str], name: str) -> UUID | None:
    text = given.get(name)
    guid = parse_guid(text) if text is not None else None
    if text is not None and guid is None:
        raise ApiError(BAD_REQUEST, f"The query parameter {name} is not a GUID.")
    return guid


def _country(given: Mapping[str, str]) -> str | None:
    country = given.get("country")
    if country is not None and not _COUNTRY.fullmatch(country):
        raise ApiError(BAD_REQUEST, "The query parameter country is not a country's two letters.")
    return country


def _text(given: Mapping[str, str], name: str) -> str | None:
    text = given.get(name)
    if text is not None and (len(text) > _LONGEST_TEXT or not text.isprintable()):
        raise ApiError(BAD_REQUEST, f"The query parameter {name} is too long, or not printable.")
    return text
