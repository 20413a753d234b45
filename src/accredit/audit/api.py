"""HTTP for audit records."""

from datetime import UTC, datetime

import msgspec
from litestar.handlers import HTTPRouteHandler

from accredit.audit import rules, store
from accredit.audit.models import AuditResource
from accredit.database.keys import ServiceKey
from accredit.database.pool import Pool
from accredit.wire import paging
from accredit.wire.answers import Answer
from accredit.wire.errors import BAD_REQUEST, NO_SUCH_RECORD, ApiError
from accredit.wire.exchange import parse_guid
from accredit.wire.operations import Call, Gate, Operation, Parameter, route

_TAG = "Audit"
LIST = Operation(
    id="GetAuditRecords",
    method="GET",
    path="/v1/auditrecords",
    summary="A page of the partner's audit records, the newest first.",
    tag=_TAG,
    answers=paging.Collection[AuditResource],
    query=(
        Parameter("startDate", "The first day, yyyy-mm-dd, UTC; absent: 30 days before the last."),
        Parameter("endDate", "The last day, yyyy-mm-dd, UTC; absent: today."),
        paging.SIZE_PARAMETER,
        Parameter(
            "filter",
            'JSON: `{"Field": "CustomerId", "Value": "<guid>", "Operator": "equals"}`, or `CompanyName` with '
            "`substring`, or `ResourceType` with `equals`; case ignored.",
        ),
        paging.SEEK_PARAMETER,
    ),
    headers=(paging.CONTINUATION_PARAMETER,),
)
GET = Operation(
    id="GetAuditRecord",
    method="GET",
    path="/v1/auditrecords/{record_id}",
    summary="An audit record.",
    tag=_TAG,
    answers=AuditResource,
    path_parameters=(Parameter("record_id", "The record's ID.", {"type": "string", "format": "uuid"}),),
    errors=(NO_SUCH_RECORD,),
)

OPERATIONS = (LIST, GET)


def routes(gate: Gate, pool: Pool, key: ServiceKey, *, timeout: float) -> list[HTTPRouteHandler]:
    """The handlers of this feature. ``timeout``: seconds to wait for the database."""

    async def list_records(call: Call) -> Answer:
        secret = await key.get()
        query = paging.parse_query(call, secret, rules.FILTERS, ("startDate", "endDate"))
        if query.filter and query.filter.field == "CustomerId" and parse_guid(query.filter.value) is None:
            raise ApiError(BAD_REQUEST, "The filter's Value for CustomerId is not a GUID.")
        asked = rules.period(query.given.get("startDate"), query.given.get("endDate"), now=datetime.now(UTC))
        # Pages after midnight are still of the days that the first one was of.
        query = msgspec.structs.replace(query, given=rules.as_given(asked) | query.given)
        page = await store.page(pool, call.caller.partner_id, query, asked, timeout=timeout)
        return Answer.json(paging.collection(call, secret, query, page, carry_total=True))

    async def get(call: Call) -> Answer:
        record_id = parse_guid(call.path("record_id"))
        if record_id is None:
            raise ApiError(BAD_REQUEST, "The audit record's ID in the path is not a GUID.")
        record = await store.get(pool, call.caller.partner_id, record_id, timeout=timeout)
        if record is None:
            raise ApiError(NO_SUCH_RECORD, "There is no such audit record.")
        return Answer.json(record)

    return [route(LIST, gate, list_records), route(GET, gate, get)]
