"""Audit records in the database: written in the transaction of the change they record, read by page."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from accredit.audit.models import AuditRecord, AuditResource, CustomizedData
from accredit.database.pool import Pool, fetch
from accredit.database.rows import Write
from accredit.wire.answers import Attributes, timestamp
from accredit.wire.paging import Filter, Page, Query

INSERT = """
INSERT INTO audit_records (
    id, partner_id, customer_id, customer_name, user_principal_name, application_id, resource_type,
    resource_old_value, resource_new_value, operation_type, operation_date, operation_status, customized_data)
SELECT
    id, partner_id, customer_id, customer_name, user_principal_name, application_id, resource_type,
    resource_old_value, resource_new_value, operation_type, operation_date, operation_status, customized_data
FROM json_to_recordset(%s::json) AS record (
    id uuid, partner_id uuid, customer_id uuid, customer_name text, user_principal_name text, application_id text,
    resource_type text, resource_old_value text, resource_new_value text, operation_type text,
    operation_date timestamptz, operation_status text, customized_data jsonb)
"""

_COLUMNS: LiteralString = """
    id, partner_id, customer_id, customer_name, user_principal_name, application_id, resource_type, resource_old_value,
    resource_new_value, operation_type, operation_date, operation_status, customized_data
"""
_OF_PERIOD: LiteralString = """
FROM audit_records
WHERE partner_id = %(partner_id)s AND operation_date >= %(first)s AND operation_date < %(after_last)s
"""
_CONDITIONS: dict[str, LiteralString] = {
    "CustomerId": " AND customer_id = %(value)s",
    "CompanyName": " AND position(lower(%(value)s) IN lower(customer_name)) > 0",
    "ResourceType": " AND replace(resource_type, '_', '') = replace(lower(%(value)s), '_', '')",
}
_BEYOND: LiteralString = " AND (operation_date, id) < (%(date)s::timestamptz, %(id)s::uuid)"
_ONE: LiteralString = f"SELECT {_COLUMNS} FROM audit_records WHERE id = %s AND partner_id = %s"


def write(records: Sequence[AuditRecord]) -> Write:
    """What writes ``records``. Their IDs grow with time, so that they page in the order of writing."""
    return Write(INSERT, [{"id": uuid7(), **record.row()} for record in records])


async def page(
    pool: Pool, partner_id: UUID, query: Query, period: tuple[datetime, datetime], *, timeout: float
) -> Page[AuditResource]:
    """A page of the partner's records of ``period`` (its first moment, and the first one after), newest first.

    The filter's value, for ``CustomerId``, is a GUID.
    """
    first, after_last = period
    parameters: dict[str, Any] = {
        "partner_id": partner_id,
        "first": first,
        "after_last": after_last,
        "most": query.size + 1,
        "value": _value(query.filter),
    }
    matching: LiteralString = _OF_PERIOD + (_CONDITIONS[query.filter.field] if query.filter else "")
    beyond: LiteralString = ""
    if query.after:
        beyond = _BEYOND
        parameters["date"], parameters["id"] = query.after
    statement: LiteralString = (
        f"SELECT {_COLUMNS} {matching}{beyond} ORDER BY operation_date DESC, id DESC LIMIT %(most)s"
    )
    rows = await fetch(pool, statement, parameters, timeout=timeout)
    total = query.total
    if total is None:
        ((total,),) = await fetch(pool, f"SELECT count(*) {matching}", parameters, timeout=timeout)
    end = None
    if len(rows) > query.size:
        rows = rows[: query.size]
        end = [rows[-1][10].isoformat(), str(rows[-1][0])]
    return Page([_resource(row) for row in rows], total, end)


async def get(pool: Pool, partner_id: UUID, record_id: UUID, *, timeout: float) -> AuditResource | None:
    """A record of the partner's, or ``None``."""
    rows = await fetch(pool, _ONE, (record_id, partner_id), timeout=timeout)
    return _resource(rows[0]) if rows else None


def _value(filter: Filter | None) -> str | UUID | None:
    if filter is None:
        return None
    return UUID(filter.value) if filter.field == "CustomerId" else filter.value


def _resource(row: tuple[Any, ...]) -> AuditResource:
    (id, partner_id, customer_id, customer_name, user_principal_name, application_id, resource_type, old, new,
     operation_type, operation_date, operation_status, customized_data) = row  # fmt: skip
    return AuditResource(
        id=id,
        partner_id=partner_id,
        customer_id=customer_id,
        customer_name=customer_name,
        user_principal_name=user_principal_name,
        application_id=application_id,
        resource_type=resource_type,
        resource_old_value=old,
        resource_new_value=new,
        operation_type=operation_type,
        operation_date=timestamp(operation_date.astimezone(UTC)),
        operation_status=operation_status,
        customized_data=msgspec.convert(customized_data, list[CustomizedData]),
        attributes=Attributes(object_type="AuditRecord"),
    )
