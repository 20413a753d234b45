"""Customers in the database. What changes is changed with its audit record, in one transaction."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from accredit.audit import store as audit
from accredit.audit.models import AuditRecord
from accredit.customers.models import (
    LONGEST_NAME,
    Address,
    CustomerItem,
    Profile,
    StoredCustomer,
    billing_profile,
    item,
    whole,
)
from accredit.customers.rules import NewCustomer
from accredit.database.pool import Connection, Pool, fetch
from accredit.database.rows import write_together
from accredit.wire.errors import BAD_REQUEST, NOT_A_SANDBOX, ApiError
from accredit.wire.operations import Call
from accredit.wire.paging import Page, Query

OPERATOR: Final = "accredit"
"""What audit records name as the application where an operator used the command line."""
FILTERS: Final = {"CompanyName": "starts_with", "Domain": "starts_with"}
"""What a list may be filtered by, each with its operator."""

COLUMNS: LiteralString = """
    customer.id, customer.partner_id, customer.commerce_id, customer.billing_profile_id, customer.domain,
    customer.company_name, customer.address, customer.email, customer.culture, customer.language,
    customer.first_name, customer.last_name, customer.organization_registration_number,
    customer.associated_partner_id, customer.changed_at,
    ARRAY(SELECT domain FROM customer_domains WHERE customer_id = customer.id ORDER BY domain)
"""
"""What :func:`stored` reads, of ``customers AS customer``."""
_ONE: LiteralString = f"SELECT {COLUMNS} FROM customers AS customer WHERE id = %s AND partner_id = %s"
_LOCK: LiteralString = f"{_ONE} FOR NO KEY UPDATE"
_LOCK_BY_ID: LiteralString = f"SELECT {COLUMNS} FROM customers AS customer WHERE id = %s FOR NO KEY UPDATE"

# Each list has an index of just this order, and every page is a range of it.
_COUNT = "SELECT coalesce(sum(customers), 0)::bigint FROM customer_counts WHERE partner_id = %(partner_id)s"
_LIST: LiteralString = """
SELECT id, domain, company_name, lower(company_name) FROM customers WHERE partner_id = %(partner_id)s
"""
_ORDERS: dict[str | None, LiteralString] = {
    None: "id",
    "CompanyName": 'lower(company_name) COLLATE "C", id',
    "Domain": 'domain COLLATE "C", id',
}
_POSITIONS: dict[str | None, LiteralString] = {
    None: "%(id)s::uuid",
    "CompanyName": "%(key)s, %(id)s::uuid",
    "Domain": "%(key)s, %(id)s::uuid",
}
# No name is so long that it could be greater than its prefix and _BEYOND.
_PREFIXES: dict[str, LiteralString] = {
    "CompanyName": """ AND lower(company_name) COLLATE "C" >= lower(%(prefix)s)
                       AND lower(company_name) COLLATE "C" < lower(%(prefix)s) || %(beyond)s""",
    "Domain": """ AND domain COLLATE "C" >= lower(%(prefix)s)
                  AND domain COLLATE "C" < lower(%(prefix)s) || %(beyond)s""",
}
_BEYOND: Final = "\U0010ffff" * (LONGEST_NAME + 1)

_INSERT = """
INSERT INTO customers (
    id, partner_id, company_name, domain, address, email, culture, language, first_name, last_name,
    organization_registration_number, associated_partner_id, changed_at)
VALUES (
    %(id)s, %(partner_id)s, %(company_name)s, %(domain)s, %(address)s, %(email)s, %(culture)s, %(language)s,
    %(first_name)s, %(last_name)s, %(number)s, %(associated_partner_id)s, clock_timestamp())
"""
_UPDATE = """
UPDATE customers
SET company_name = %(company_name)s, address = %(address)s, email = %(email)s, culture = %(culture)s,
    language = %(language)s, first_name = %(first_name)s, last_name = %(last_name)s,
    changed_at = greatest(clock_timestamp(), changed_at + interval '1 microsecond')
WHERE id = %(id)s
"""
_DELETE = "DELETE FROM customers WHERE id = %s"
_IS_SANDBOX = "SELECT sandbox FROM partners WHERE id = %s"

# Two customers that ask for one domain at the same moment take turns.
_LOCK_DOMAIN = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_TAKEN_BY = """
SELECT id FROM customers WHERE domain = %(domain)s
UNION SELECT customer_id FROM customer_domains WHERE domain = %(domain)s
"""
_ADD_DOMAIN = """
INSERT INTO customer_domains (domain, customer_id, verified_at) VALUES (%s, %s, now())
ON CONFLICT (domain) DO NOTHING RETURNING domain
"""
_REMOVE_DOMAIN = "DELETE FROM customer_domains WHERE domain = %s AND customer_id = %s"


async def page(pool: Pool, partner_id: UUID, query: Query, *, timeout: float) -> Page[CustomerItem]:
    """A page of the partner's customers: by ID or, where they are filtered, by what they are filtered by."""
    field = query.filter.field if query.filter else None
    where: LiteralString = _LIST
    parameters: dict[str, Any] = {"partner_id": partner_id, "most": query.size + 1}
    if query.filter:
        where += _PREFIXES[query.filter.field]
        parameters |= {"prefix": query.filter.value, "beyond": _BEYOND}
    after: LiteralString = ""
    if query.after:
        *key, parameters["id"] = query.after
        parameters["key"] = key[0] if key else None
        after = f" AND ({_ORDERS[field]}) > ({_POSITIONS[field]})"
    rows = await fetch(pool, f"{where}{after} ORDER BY {_ORDERS[field]} LIMIT %(most)s", parameters, timeout=timeout)
    total = query.total
    if total is None:
        count = f"SELECT count(*) FROM ({where}) AS matching" if query.filter else _COUNT
        ((total,),) = await fetch(pool, count, parameters, timeout=timeout)
    end = None
    if len(rows) > query.size:
        rows = rows[: query.size]
        end = _position(field, rows[-1])
    return Page([item(id, domain, name) for id, domain, name, _ in rows], total, end)


def _position(field: str | None, row: tuple[Any, ...]) -> list[str]:
    """Where a row stands in the order of its list."""
    id, domain, _, lower_name = row
    return {None: [str(id)], "Domain": [domain, str(id)], "CompanyName": [lower_name, str(id)]}[field]


async def get(pool: Pool, partner_id: UUID, customer_id: UUID, *, timeout: float) -> StoredCustomer:
    """A customer of the partner's. Raises ``ApiError`` (403 / 20002)."""
    rows = await fetch(pool, _ONE, (customer_id, partner_id), timeout=timeout)
    if not rows:
        raise ApiError.no_relationship()
    return stored(rows[0])


async def lock(connection: Connection, partner_id: UUID, customer_id: UUID) -> StoredCustomer:
    """The same, held until the transaction ends."""
    row = await (await connection.execute(_LOCK, (customer_id, partner_id))).fetchone()
    if row is None:
        raise ApiError.no_relationship()
    return stored(row)


async def create(connection: Connection, call: Call, new: NewCustomer) -> StoredCustomer:
    """Add a customer. Raises ``ApiError`` (400 / 3000) if its domain is taken."""
    partner_id = call.caller.partner_id
    if await _takers(connection, new.domain):
        raise ApiError(BAD_REQUEST, f"The property companyProfile.domain is refused: {new.domain} is taken.")
    id = uuid7()
    await connection.execute(
        _INSERT,
        {
            "id": id,
            "partner_id": partner_id,
            "domain": new.domain,
            "number": new.organization_registration_number,
            "associated_partner_id": new.associated_partner_id,
            **_columns(new.profile),
        },
    )
    customer = await lock(connection, partner_id, id)
    await _audit(connection, call, customer, "add_customer", None, whole(customer))
    return customer


async def update_profile(
    connection: Connection, call: Call, before: StoredCustomer, profile: Profile
) -> StoredCustomer:
    """Give a locked customer another billing profile."""
    await connection.execute(_UPDATE, {"id": before.id, **_columns(profile)})
    after = await lock(connection, before.partner_id, before.id)
    await _audit(
        connection, call, after, "update_customer_billing_profile", billing_profile(before), billing_profile(after)
    )
    return after


async def delete(connection: Connection, call: Call, customer: StoredCustomer) -> None:
    """Remove a locked customer and all that is its own but its audit records.

    Raises ``ApiError`` (403 / 700007) unless the partner is a sandbox one.
    """
    row = await (await connection.execute(_IS_SANDBOX, (customer.partner_id,))).fetchone()
    if row is None or not row[0]:
        raise ApiError(NOT_A_SANDBOX, "Only sandbox partners can delete customers.")
    await connection.execute(_DELETE, (customer.id,))
    await _audit(connection, call, customer, "delete_customer", whole(customer), None)


async def is_taken(pool: Pool, domain: str, *, timeout: float) -> bool:
    """Whether some customer, of any partner, has the domain (A-labels)."""
    return bool(await fetch(pool, _TAKEN_BY, {"domain": domain}, timeout=timeout))


async def add_domain(connection: Connection, call: Call, before: StoredCustomer, domain: str) -> StoredCustomer:
    """Add a proven domain to a locked customer; nothing changes if it has it already.

    Raises ``ApiError`` (400 / 3000) if it is another customer's.
    """
    if not await _takers(connection, domain) <= {before.id}:
        raise ApiError(BAD_REQUEST, f"The domain {domain} belongs to another customer.")
    if domain in before.custom_domains:
        return before
    added = await connection.execute(_ADD_DOMAIN, (domain, before.id))
    await added.fetchall()
    if not added.rowcount:  # a seed file, which takes no turns, was quicker
        raise ApiError(BAD_REQUEST, f"The domain {domain} belongs to another customer.")
    after = await lock(connection, before.partner_id, before.id)
    await _audit(connection, call, after, "add_customer_domain", whole(before), whole(after), {"Domain": domain})
    return after


async def remove_domain(connection: Connection, customer_id: UUID, domain: str, *, removed_by: str) -> bool:
    """Take a domain (A-labels) from a customer, as an operator does; return whether it had it."""
    row = await (await connection.execute(_LOCK_BY_ID, (customer_id,))).fetchone()
    if row is None or domain not in (before := stored(row)).custom_domains:
        return False
    await connection.execute(_REMOVE_DOMAIN, (domain, customer_id))
    after = msgspec.structs.replace(before, custom_domains=[one for one in before.custom_domains if one != domain])
    record = _record(after, "remove_customer_domain", whole(before), whole(after), {"Domain": domain})
    record = replace(record, user_principal_name=removed_by, application_id=OPERATOR)
    await write_together(connection, [audit.write([record])])
    return True


async def _takers(connection: Connection, domain: str) -> set[UUID]:
    await connection.execute(_LOCK_DOMAIN, (domain,))
    return {id for (id,) in await (await connection.execute(_TAKEN_BY, {"domain": domain})).fetchall()}


async def _audit(
    connection: Connection,
    call: Call,
    customer: StoredCustomer,
    operation_type: str,
    old: msgspec.Struct | None,
    new: msgspec.Struct | None,
    details: dict[str, str] | None = None,
) -> None:
    caller = call.caller
    record = replace(
        _record(customer, operation_type, old, new, call.provenance | (details or {})),
        user_principal_name=caller.user_principal_name,
        application_id=caller.application_id,
    )
    await write_together(connection, [audit.write([record])])


def _record(
    customer: StoredCustomer,
    operation_type: str,
    old: msgspec.Struct | None,
    new: msgspec.Struct | None,
    details: dict[str, str],
) -> AuditRecord:
    return AuditRecord(
        partner_id=customer.partner_id,
        customer_id=customer.id,
        customer_name=customer.profile.company_name,
        resource_type="customer",
        resource_old_value=as_text(old),
        resource_new_value=as_text(new),
        operation_type=operation_type,
        operation_date=datetime.now(UTC),
        operation_status="succeeded",
        details=details,
    )


def as_text(resource: msgspec.Struct | None) -> str | None:
    """A resource as audit records show it: the JSON that a client would get."""
    return None if resource is None else msgspec.json.encode(resource).decode()


def _columns(profile: Profile) -> dict[str, Any]:
    return {
        "company_name": profile.company_name,
        "address": msgspec.json.encode(profile.address or {}).decode(),
        "email": profile.email,
        "culture": profile.culture,
        "language": profile.language,
        "first_name": profile.first_name,
        "last_name": profile.last_name,
    }


def stored(row: tuple[Any, ...]) -> StoredCustomer:
    """A customer from the columns that the queries here select."""
    (id, partner_id, commerce_id, billing_profile_id, domain, company_name, address, email, culture, language,
     first_name, last_name, number, associated_partner_id, changed_at, custom_domains) = row  # fmt: skip
    return StoredCustomer(
        id=id,
        partner_id=partner_id,
        commerce_id=commerce_id,
        billing_profile_id=billing_profile_id,
        domain=domain,
        profile=Profile(
            company_name=company_name,
            address=msgspec.convert(address, Address) if address else None,
            email=email,
            culture=culture,
            language=language,
            first_name=first_name,
            last_name=last_name,
        ),
        organization_registration_number=number,
        associated_partner_id=associated_partner_id,
        custom_domains=custom_domains,
        changed_at=changed_at.astimezone(UTC),
    )
