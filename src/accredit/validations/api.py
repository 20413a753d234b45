"""HTTP for validation codes."""

from litestar.handlers import HTTPRouteHandler

from accredit.database.pool import Pool
from accredit.validations import store
from accredit.validations.models import ValidationCode
from accredit.wire.answers import Answer
from accredit.wire.errors import BAD_CUSTOMER_ID, NO_RELATIONSHIP, ApiError
from accredit.wire.operations import Call, Gate, Operation, route

LIST_CODES = Operation(
    id="GetValidationCodes",
    method="GET",
    path="/v1/customers/all/validations",
    summary="The partner's validation codes.",
    tag="Validation codes",
    answers=list[ValidationCode],
)
CODE_OF_CUSTOMER = Operation(
    id="GetCustomerValidationCode",
    method="GET",
    path="/v1/customers/{customer_id}/validations",
    summary="The validation code that the customer's government qualification used; null where there is none.",
    tag="Validation codes",
    answers=ValidationCode | None,
    errors=(BAD_CUSTOMER_ID, NO_RELATIONSHIP),
)

OPERATIONS = (LIST_CODES, CODE_OF_CUSTOMER)


def routes(gate: Gate, pool: Pool, *, timeout: float) -> list[HTTPRouteHandler]:
    """The handlers of this feature. ``timeout``: seconds to wait for the database."""

    async def list_codes(call: Call) -> Answer:
        return Answer.json(await store.of_partner(pool, call.caller.partner_id, timeout=timeout))

    async def code_of_customer(call: Call) -> Answer:
        found, code = await store.used_by(pool, call.caller.partner_id, call.customer, timeout=timeout)
        if not found:
            raise ApiError.no_relationship()
        return Answer.json(code)

    return [route(LIST_CODES, gate, list_codes), route(CODE_OF_CUSTOMER, gate, code_of_customer)]
