"""HTTP for review cases, of all partners: for users with the role Reviewer."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar.handlers import HTTPRouteHandler

from accredit.database.idempotency import key_of, once
from accredit.database.keys import ServiceKey
from accredit.database.pool import Connection, Pool, transact
from accredit.identity.models import REVIEWER
from accredit.vetting.review import rules, store
from accredit.vetting.review.models import CaseFile, Place
from accredit.vetting.review.resources import (
    CASE_PATH,
    CaseFileResource,
    DecisionRequest,
    ReviewCaseResource,
    listed,
    whole,
)
from accredit.wire import paging
from accredit.wire.answers import Answer, Attributes
from accredit.wire.body import parse_object
from accredit.wire.errors import (
    BAD_REQUEST,
    CASE_CLAIMED,
    CASE_CLOSED,
    IF_MATCH_FAILED,
    IF_MATCH_REQUIRED,
    MALFORMED_BODY,
    NO_SUCH_CASE,
    NOT_IN_ENUM,
    REQUEST_ID_REUSED,
    ApiError,
)
from accredit.wire.etags import etag, require_match
from accredit.wire.exchange import parse_guid
from accredit.wire.operations import Call, Gate, Operation, Parameter, route

_CASE_ID = Parameter(
    "case_id",
    "The case's ID, which is its qualification's.",
    {"type": "string", "format": "uuid"},
)
_FLAG = {"type": "string", "enum": ["true", "false"]}
_COMMON: dict[str, Any] = {"tag": "Reviews", "role": REVIEWER}
_OF_A_CASE: dict[str, Any] = {**_COMMON, "answers": CaseFileResource, "etag": True, "path_parameters": (_CASE_ID,)}
_CHANGES = (NO_SUCH_CASE, CASE_CLOSED, CASE_CLAIMED, REQUEST_ID_REUSED)
_CONDITIONAL = (*_CHANGES, IF_MATCH_FAILED, IF_MATCH_REQUIRED)

LIST = Operation(
    id="GetReviewCases",
    method="GET",
    path=CASE_PATH,
    summary="A page of the cases that wait for a person, the longest waiting first.",
    answers=paging.Collection[ReviewCaseResource],
    query=(
        Parameter(
            "qualification", "Only of this qualification.", {"type": "string", "enum": list(rules.QUALIFICATIONS)}
        ),
        Parameter("kind", "Only such cases.", {"type": "string", "enum": list(rules.KINDS)}),
        Parameter("partnerId", "Only of this partner's customers.", {"type": "string", "format": "uuid"}),
        Parameter("customerId", "Only of this customer.", {"type": "string", "format": "uuid"}),
        Parameter("country", "Only of customers in this country, ISO 3166-1 alpha-2."),
        Parameter("rule", "Only those that this rule referred."),
        Parameter("claimedBy", "Only those that this reviewer has claimed."),
        Parameter("claimed", "Only those that somebody (`true`) or nobody (`false`) has claimed.", _FLAG),
        Parameter("overdue", "Only those past their deadline (`true`) or within it (`false`).", _FLAG),
        Parameter("order", "`oldest` first, the default, or `newest`.", {"type": "string", "enum": list(rules.ORDERS)}),
        paging.SIZE_PARAMETER,
        paging.SEEK_PARAMETER,
    ),
    headers=(paging.CONTINUATION_PARAMETER,),
    errors=(NOT_IN_ENUM,),
    **_COMMON,
)
GET = Operation(
    id="GetReviewCase",
    method="GET",
    path=f"{CASE_PATH}/{{case_id}}",
    summary="A case, whole: the request, the customer's profile, all evidence, what is suggested, and its history.",
    errors=(NO_SUCH_CASE,),
    **_OF_A_CASE,
)
CLAIM = Operation(
    id="ClaimReviewCase",
    method="POST",
    path=f"{CASE_PATH}/{{case_id}}/claim",
    summary="Claim a case, or claim it for longer: other reviewers can neither claim nor decide it meanwhile.",
    if_match=True,
    errors=_CONDITIONAL,
    **_OF_A_CASE,
)
RELEASE = Operation(
    id="ReleaseReviewCase",
    method="POST",
    path=f"{CASE_PATH}/{{case_id}}/release",
    summary="Give back a case that you have claimed.",
    errors=_CHANGES,
    **_OF_A_CASE,
)
DECIDE = Operation(
    id="DecideReviewCase",
    method="POST",
    path=f"{CASE_PATH}/{{case_id}}/decision",
    summary="Approve a case, or deny it with one of the contract's reasons.",
    body=DecisionRequest,
    if_match=True,
    errors=(MALFORMED_BODY, NOT_IN_ENUM, *_CONDITIONAL),
    **_OF_A_CASE,
)

OPERATIONS = (LIST, GET, CLAIM, RELEASE, DECIDE)

Work = Callable[[Connection, UUID], Awaitable[CaseFile]]


def routes(gate: Gate, pool: Pool, key: ServiceKey, *, claim_for: timedelta, timeout: float) -> list[HTTPRouteHandler]:
    """The handlers of this feature. ``claim_for``: how long a claim counts; ``timeout``: seconds for the database."""

    async def list_cases(call: Call) -> Answer:
        secret = await key.get()
        query = paging.parse_query(call, secret, {}, (*rules.FILTERS, "order"))
        wanted, newest_first = rules.parse_filter(query.given), rules.newest_first(query.given)
        after = _place(query.after) if query.after else None

        async def work(connection: Connection) -> paging.Page[ReviewCaseResource]:
            cases = await store.open_cases(
                connection, wanted, most=query.size + 1, after=after, newest_first=newest_first
            )
            page = cases[: query.size]
            more = len(cases) > len(page)
            end = [page[-1].waiting_since.isoformat(), str(page[-1].id)] if more else None
            return paging.Page([listed(case) for case in page], await store.count(connection, wanted), end)

        page = await transact(pool, work, timeout=timeout)
        return Answer.json(paging.collection(call, secret, query, page, carry_total=False))

    async def get(call: Call) -> Answer:
        case_id = _case_id(call)

        async def work(connection: Connection) -> CaseFile:
            return await store.case_file(connection, case_id)

        with _explained():
            return _tagged(call, _answer(await transact(pool, work, timeout=timeout)))

    async def claim(call: Call) -> Answer:
        async def work(connection: Connection, case_id: UUID) -> CaseFile:
            return await store.claim(
                connection, case_id, reviewer=_reviewer(call), duration=claim_for, check=_matches(call)
            )

        return await change(call, work)

    async def release(call: Call) -> Answer:
        async def work(connection: Connection, case_id: UUID) -> CaseFile:
            return await store.release(connection, case_id, reviewer=_reviewer(call))

        return await change(call, work)

    async def decide(call: Call) -> Answer:
        async def work(connection: Connection, case_id: UUID) -> CaseFile:
            ruling = rules.parse_ruling(parse_object(call.body, call.exchange.headers.get("content-type")))
            await store.decide(
                connection,
                case_id,
                reason=ruling.reason,
                note=ruling.note,
                reviewer=_reviewer(call),
                check=_matches(call),
                details=call.provenance,
            )
            return await store.case_file(connection, case_id)

        return await change(call, work)

    async def change(call: Call, work: Work) -> Answer:
        """Change a case, once for an ``MS-RequestId``."""

        async def explained(connection: Connection) -> Answer:
            with _explained():
                return _answer(await work(connection, _case_id(call)))

        return _tagged(call, await once(pool, key_of(call), explained, timeout=timeout))

    return [
        route(LIST, gate, list_cases),
        route(GET, gate, get),
        route(CLAIM, gate, claim),
        route(RELEASE, gate, release),
        route(DECIDE, gate, decide),
    ]


def _case_id(call: Call) -> UUID:
    case_id = parse_guid(call.path("case_id"))
    if case_id is None:
        raise ApiError(BAD_REQUEST, "The case ID in the path is not a GUID.")
    return case_id


def _place(end: list[str]) -> Place:
    waiting_since, id = end
    return Place(datetime.fromisoformat(waiting_since).astimezone(UTC), UUID(id))


def _reviewer(call: Call) -> str:
    """The reviewer's name, as claims and decisions have it; an App+User token names its user."""
    return call.caller.user_principal_name or call.caller.user_id or ""


def _matches(call: Call) -> Callable[[CaseFile], None]:
    return lambda case: require_match(call.exchange.headers.get("if-match"), etag(case.changed_at))


def _answer(case: CaseFile) -> Answer:
    return Answer.json(whole(case))


class _Tagged(msgspec.Struct):
    attributes: Attributes


def _tagged(call: Call, answer: Answer) -> Answer:
    """``answer``, with its ETag among the headers too: out of its body, which is all that a repeated answer has."""
    if answer.status == 200:
        tag = msgspec.json.decode(answer.body, type=_Tagged).attributes.etag or ""
        call.exchange.answer_headers.append((b"ETag", tag.encode()))
    return answer


@contextmanager
def _explained() -> Iterator[None]:
    """Give what a review raises its status and code."""
    try:
        yield
    except rules.NoSuchCaseError:
        raise ApiError(NO_SUCH_CASE, "There is no such case.") from None
    except rules.CaseClosedError as error:
        raise ApiError(CASE_CLOSED, _sentence(error)) from None
    except rules.CaseClaimedError as error:
        raise ApiError(CASE_CLAIMED, _sentence(error)) from None
    except rules.NotAReasonError as error:
        raise ApiError(NOT_IN_ENUM, _sentence(error)) from None


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
