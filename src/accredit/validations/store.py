"""Validation codes in the database. Creates are taken and given back within the transaction of the update itself."""

from collections.abc import Collection, Mapping
from datetime import UTC
from typing import Any
from uuid import UUID

from accredit.database.pool import Connection, Pool, fetch
from accredit.database.rows import Write
from accredit.validations.models import ValidationCode
from accredit.wire.etags import etag

CodeName = tuple[UUID, str]
"""A code's partner and its ``validationId``."""

_OF_PARTNER = """
SELECT partner_id, organization_name, validation_id, max_creates, remaining_creates, changed_at
FROM validation_codes
WHERE partner_id = %s
ORDER BY length(validation_id), validation_id
"""

_USED_BY_CUSTOMER = """
SELECT code.partner_id, code.organization_name, code.validation_id, code.max_creates, code.remaining_creates,
       code.changed_at
FROM customers AS customer
LEFT JOIN qualifications AS used
       ON used.customer_id = customer.id AND used.qualification = 'GovernmentCommunityCloud'
      AND used.vetting_status <> 'Denied'
LEFT JOIN validation_codes AS code
       ON code.partner_id = customer.partner_id AND code.validation_id = used.validation_id
WHERE customer.partner_id = %s AND customer.id = %s
"""

_LOCK = """
SELECT partner_id, organization_name, validation_id, max_creates, remaining_creates, changed_at
FROM validation_codes
WHERE partner_id = ANY (%s) AND validation_id = ANY (%s)
ORDER BY partner_id, validation_id
FOR NO KEY UPDATE
"""

# The table's own CHECK keeps remaining_creates from going below zero, whoever miscounts.
_TAKE = """
UPDATE validation_codes AS code
SET remaining_creates = least(code.remaining_creates - taken.creates, code.max_creates),
    changed_at = greatest(clock_timestamp(), code.changed_at + interval '1 microsecond')
FROM json_to_recordset(%s::json) AS taken (partner_id uuid, validation_id text, creates integer)
WHERE code.partner_id = taken.partner_id AND code.validation_id = taken.validation_id
"""


def _code(row: tuple[Any, ...]) -> ValidationCode:
    partner_id, organization_name, validation_id, max_creates, remaining_creates, changed_at = row
    return ValidationCode(
        partner_id=partner_id,
        organization_name=organization_name,
        validation_id=validation_id,
        max_creates=max_creates,
        remaining_creates=remaining_creates,
        e_tag=etag(changed_at.astimezone(UTC)),
    )


async def of_partner(pool: Pool, partner_id: UUID, *, timeout: float) -> list[ValidationCode]:
    """The partner's codes, in the order of their numbers."""
    return [_code(row) for row in await fetch(pool, _OF_PARTNER, (partner_id,), timeout=timeout)]


async def used_by(
    pool: Pool, partner_id: UUID, customer_id: UUID, *, timeout: float
) -> tuple[bool, ValidationCode | None]:
    """Whether the customer is the partner's, and the code that its government qualification holds, if any."""
    rows = await fetch(pool, _USED_BY_CUSTOMER, (partner_id, customer_id), timeout=timeout)
    return bool(rows), _code(rows[0]) if rows and rows[0][0] is not None else None


async def lock(connection: Connection, names: Collection[CodeName]) -> dict[CodeName, ValidationCode]:
    """Hold the named codes until the transaction ends; those that exist come back, and perhaps others."""
    cursor = await connection.execute(_LOCK, ([partner for partner, _ in names], [id for _, id in names]))
    codes = [_code(row) for row in await cursor.fetchall()]
    return {(code.partner_id, code.validation_id): code for code in codes}


def take(creates: Mapping[CodeName, int]) -> Write:
    """What takes creates from locked codes, or gives back where the number is negative.

    A code without limit counts none.
    """
    rows = [
        {"partner_id": partner_id, "validation_id": validation_id, "creates": count}
        for (partner_id, validation_id), count in creates.items()
        if count
    ]
    return Write(_TAKE, rows)
