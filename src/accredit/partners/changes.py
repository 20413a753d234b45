"""What registering a seed file changed: found by comparing before and after, recorded for the audit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec

from accredit.audit import store as audit
from accredit.audit.models import AuditRecord
from accredit.customers.models import StoredCustomer, whole
from accredit.customers.store import COLUMNS, as_text, stored
from accredit.database.pool import Connection
from accredit.database.rows import write_together
from accredit.partners.models import Seed
from accredit.vetting.changes import customer_changed

APPLICATION = "accredit seed"
"""What audit records name as the application."""

_OPERATIONS = {
    "partner": ("register_partner", "update_partner"),
    "application": ("register_application", "add_application_credential"),
    "partner_user": ("create_partner_user", "update_partner_user"),
    "validation_code": ("add_validation_code", "update_validation_code"),
}
"""By the resource's type: what adding one is called, and what changing it."""

_RESOURCES: LiteralString = """
SELECT 'partner', id, id::text, jsonb_build_object('id', id, 'name', name, 'sandbox', sandbox)::text
FROM partners WHERE id = ANY (%(partners)s)
UNION ALL
SELECT 'partner_user', partner_id, id::text, jsonb_build_object('id', id, 'upn', upn, 'roles', roles)::text
FROM users WHERE partner_id = ANY (%(partners)s)
UNION ALL
SELECT 'validation_code', partner_id, validation_id,
       jsonb_build_object('validationId', validation_id, 'organizationName', organization_name,
                          'maxCreates', max_creates)::text
FROM validation_codes WHERE partner_id = ANY (%(partners)s)
"""
_SECRETS = "SELECT partner_id, id, secret_hash FROM applications WHERE partner_id = ANY (%s)"
_CUSTOMERS: LiteralString = f"SELECT {COLUMNS} FROM customers AS customer WHERE id = ANY (%s) ORDER BY id"

Name = tuple[str, UUID, str]
"""A resource's type, its partner, and its own ID."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a seed file may change, as it stands."""

    resources: Mapping[Name, str]
    secret_hashes: Mapping[tuple[UUID, UUID], str]
    customers: Mapping[UUID, StoredCustomer]


async def snapshot(connection: Connection, seed: Seed) -> Snapshot:
    """How what ``seed`` names stands now."""
    partners = [partner.id for partner in seed.partners]
    resources = await (await connection.execute(_RESOURCES, {"partners": partners})).fetchall()
    secrets = await (await connection.execute(_SECRETS, (partners,))).fetchall()
    ids = [customer.id for partner in seed.partners for customer in partner.customers]
    customers = await (await connection.execute(_CUSTOMERS, (ids,))).fetchall()
    return Snapshot(
        {(kind, partner_id, id): value for kind, partner_id, id, value in resources},
        {(partner_id, id): secret_hash for partner_id, id, secret_hash in secrets},
        {customer.id: customer for customer in map(stored, customers)},
    )


async def record(connection: Connection, before: Snapshot, after: Snapshot) -> None:
    """Write an audit record of each change, and have the pending cases of changed customers looked at again."""
    now = datetime.now(UTC)
    records = [
        _record(name, old, value, now)
        for name, value in after.resources.items()
        if (old := before.resources.get(name)) != value
    ]
    for (partner_id, id), secret_hash in after.secret_hashes.items():
        known = before.secret_hashes.get((partner_id, id))
        if known != secret_hash:
            value = msgspec.json.encode({"id": id}).decode()
            records.append(_record(("application", partner_id, str(id)), value if known else None, value, now))
    for id, customer in after.customers.items():
        previous = before.customers.get(id)
        if previous != customer:
            records.append(_customer_record(previous, customer, now))
            if previous is not None:
                await customer_changed(connection, id)
    await write_together(connection, [audit.write(records)])


def _record(name: Name, old: str | None, new: str, now: datetime) -> AuditRecord:
    kind, partner_id, _ = name
    added, changed = _OPERATIONS[kind]
    return AuditRecord(
        partner_id=partner_id,
        resource_type=kind,
        resource_old_value=old,
        resource_new_value=new,
        operation_type=added if old is None else changed,
        **_common(now),
    )


def _customer_record(old: StoredCustomer | None, new: StoredCustomer, now: datetime) -> AuditRecord:
    return AuditRecord(
        partner_id=new.partner_id,
        customer_id=new.id,
        customer_name=new.profile.company_name,
        resource_type="customer",
        resource_old_value=as_text(whole(old)) if old else None,
        resource_new_value=as_text(whole(new)),
        operation_type="add_customer" if old is None else "update_customer_billing_profile",
        **_common(now),
    )


def _common(now: datetime) -> dict[str, Any]:
    return {"application_id": APPLICATION, "operation_date": now, "operation_status": "succeeded"}
