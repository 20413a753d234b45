"""HTTP for customers' qualifications: the asynchronous form, and the older, synchronous one."""

from collections.abc import Callable
from typing import Any

from litestar.handlers import HTTPRouteHandler

from accredit.database.idempotency import key_of
from accredit.qualifications import rules
from accredit.qualifications.models import (
    CustomerQualification,
    Qualification,
    QualificationRequest,
    QualificationState,
    QualificationUpdate,
    created,
    listed,
)
from accredit.qualifications.store import QualificationStore, Submission
from accredit.wire.answers import Answer
from accredit.wire.body import parse_json, parse_object
from accredit.wire.errors import (
    ALREADY_QUALIFIED,
    BAD_CUSTOMER_ID,
    BAD_REQUEST,
    BAD_VALIDATION_CODE,
    MALFORMED_BODY,
    NO_CREATES_LEFT,
    NO_RELATIONSHIP,
    NOT_COMBINABLE,
    NOT_IN_ENUM,
    REQUEST_ID_REUSED,
    TOO_MANY_REQUESTS_FOR_ONE,
    UNSUPPORTED_MEDIA_TYPE,
    ApiError,
)
from accredit.wire.operations import Call, Gate, Operation, Parameter, route

_TAG = "Qualifications"
_CODE = Parameter("code", "The validation code; needed for GovernmentCommunityCloud.")
_UPDATE_ERRORS = (
    BAD_CUSTOMER_ID,
    MALFORMED_BODY,
    NOT_IN_ENUM,
    BAD_REQUEST,
    BAD_VALIDATION_CODE,
    NO_RELATIONSHIP,
    ALREADY_QUALIFIED,
    NOT_COMBINABLE,
    NO_CREATES_LEFT,
    TOO_MANY_REQUESTS_FOR_ONE,
    REQUEST_ID_REUSED,
)

CREATE = Operation(
    id="CreateCustomerQualification",
    method="POST",
    path="/v1/customers/{customer_id}/qualifications",
    summary="Start an update of a customer's qualifications. It is vetted behind the answer.",
    tag=_TAG,
    status=201,
    answers=CustomerQualification,
    body=QualificationRequest,
    query=(_CODE,),
    errors=_UPDATE_ERRORS,
)
LIST = Operation(
    id="GetCustomerQualifications",
    method="GET",
    path="/v1/customers/{customer_id}/qualifications",
    summary="The customer's qualifications, oldest first.",
    tag=_TAG,
    answers=list[CustomerQualification],
    errors=(BAD_CUSTOMER_ID, NO_RELATIONSHIP),
)
UPDATE_OLDER = Operation(
    id="UpdateCustomerQualification",
    method="PUT",
    path="/v1/customers/{customer_id}/qualification",
    summary="The older form of an update: starts the same vetting, and answers the value asked for.",
    tag=_TAG,
    answers=str,
    body=int | str,
    query=(_CODE,),
    errors=_UPDATE_ERRORS,
)
GET_OLDER = Operation(
    id="GetCustomerQualification",
    method="GET",
    path="/v1/customers/{customer_id}/qualification",
    summary="The older form: the one vetted qualification, in lower case, once it is Approved; otherwise none.",
    tag=_TAG,
    answers=str,
    errors=(BAD_CUSTOMER_ID, NO_RELATIONSHIP),
)

OPERATIONS = (CREATE, LIST, UPDATE_OLDER, GET_OLDER)


def routes(gate: Gate, store: QualificationStore) -> list[HTTPRouteHandler]:
    """The handlers of this feature."""

    async def create(call: Call) -> Answer:
        def parse() -> QualificationUpdate:
            body = parse_object(call.body, call.exchange.headers.get("content-type"))
            return rules.parse_update(body, call.query("code"))

        return await _submit(store, call, parse, lambda state: Answer.json(created(state), CREATE.status))

    async def update_older(call: Call) -> Answer:
        def parse() -> QualificationUpdate:
            value: Any = parse_json(call.body, call.exchange.headers.get("content-type"))
            return rules.parse_older_update(value, call.query("code"))

        return await _submit(store, call, parse, lambda state: Answer.json(state.qualification.value.lower()))

    async def list_all(call: Call) -> Answer:
        states = await store.of_customer(call.caller.partner_id, call.customer)
        return Answer.json([listed(state) for state in states])

    async def get_older(call: Call) -> Answer:
        states = await store.of_customer(call.caller.partner_id, call.customer)
        standing: dict[Qualification, QualificationState] = {state.qualification: state for state in states}
        return Answer.json(rules.older_value(standing))

    return [
        route(CREATE, gate, create),
        route(LIST, gate, list_all),
        route(UPDATE_OLDER, gate, update_older),
        route(GET_OLDER, gate, get_older),
    ]


async def _submit(
    store: QualificationStore,
    call: Call,
    parse: Callable[[], QualificationUpdate],
    answer: Callable[[QualificationState], Answer],
) -> Answer:
    """Submit what ``parse`` reads; a refusal too, since it is kept under its ``MS-RequestId`` like any answer."""
    customer_id = call.customer
    try:
        update: QualificationUpdate | ApiError = parse()
    except ApiError as error:
        if error.kind is UNSUPPORTED_MEDIA_TYPE:
            raise
        update = error
    caller = call.caller
    return await store.submit(
        Submission(
            key_of(call),
            customer_id,
            update,
            answer,
            caller.user_principal_name,
            caller.application_id,
            call.provenance,
        )
    )
