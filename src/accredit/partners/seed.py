"""Registering partners and what is theirs from a seed file: all of it in one transaction, or nothing."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from accredit.customers.domains import domain_name
from accredit.database.pool import Connection
from accredit.database.rows import as_json
from accredit.identity.secrets import hash_secret, verify_secret
from accredit.partners import changes
from accredit.partners.models import Partner, Seed


class SeedError(ValueError):
    """The seed file is refused; the message names the place in it."""


@dataclass(frozen=True, slots=True)
class Registered:
    """How many of each a seed file holds."""

    partners: int
    customers: int
    validation_codes: int


_PARTNERS = """
INSERT INTO partners (id, name, sandbox)
SELECT id, name, sandbox FROM json_to_recordset(%s::json) AS seed (id uuid, name text, sandbox boolean)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, sandbox = excluded.sandbox
"""

_APPLICATIONS = """
INSERT INTO applications (partner_id, id, secret_hash)
SELECT partner_id, id, secret_hash
FROM json_to_recordset(%s::json) AS seed (partner_id uuid, id uuid, secret_hash text)
ON CONFLICT (partner_id, id) DO UPDATE SET secret_hash = excluded.secret_hash
"""

_USERS = """
INSERT INTO users (partner_id, id, upn, roles)
SELECT partner_id, id, upn, ARRAY(SELECT json_array_elements_text(roles))
FROM json_to_recordset(%s::json) AS seed (partner_id uuid, id uuid, upn text, roles json)
ON CONFLICT (partner_id, id) DO UPDATE SET upn = excluded.upn, roles = excluded.roles
"""

# What was taken stays taken when a code is registered again, also with another limit.
_CODES = """
INSERT INTO validation_codes AS code
       (partner_id, validation_id, organization_name, max_creates, remaining_creates, changed_at)
SELECT partner_id, validation_id, organization_name, max_creates, max_creates, clock_timestamp()
FROM json_to_recordset(%s::json)
     AS seed (partner_id uuid, validation_id text, organization_name text, max_creates integer)
ORDER BY partner_id, validation_id
ON CONFLICT (partner_id, validation_id) DO UPDATE
SET organization_name = excluded.organization_name,
    max_creates = excluded.max_creates,
    remaining_creates = CASE
        WHEN excluded.max_creates IS NULL THEN NULL
        ELSE greatest(0, excluded.max_creates - coalesce(code.max_creates - code.remaining_creates, 0))
    END,
    changed_at = greatest(clock_timestamp(), code.changed_at + interval '1 microsecond')
WHERE (code.organization_name, code.max_creates) IS DISTINCT FROM (excluded.organization_name, excluded.max_creates)
"""

_CUSTOMERS = """
INSERT INTO customers AS known (id, partner_id, company_name, domain, address)
SELECT id, partner_id, company_name, domain, coalesce(address, '{}')
FROM json_to_recordset(%s::json)
     AS seed (id uuid, partner_id uuid, company_name text, domain text, address jsonb)
ORDER BY id
ON CONFLICT (id) DO UPDATE
SET company_name = excluded.company_name, domain = excluded.domain, address = excluded.address,
    changed_at = greatest(clock_timestamp(), known.changed_at + interval '1 microsecond')
WHERE (known.company_name, known.domain, known.address)
      IS DISTINCT FROM (excluded.company_name, excluded.domain, excluded.address)
"""

_DOMAINS = """
INSERT INTO customer_domains (domain, customer_id, verified_at)
SELECT domain, customer_id, now()
FROM json_to_recordset(%s::json) AS seed (domain text, customer_id uuid)
ON CONFLICT (domain) DO NOTHING
"""

_STRANGE_CUSTOMERS = """
SELECT id FROM customers
JOIN unnest(%s::uuid[], %s::uuid[]) AS seed (id, partner_id) USING (id)
WHERE customers.partner_id <> seed.partner_id
"""

_STRANGE_DOMAINS = """
SELECT domain FROM customer_domains
JOIN unnest(%s::text[], %s::uuid[]) AS seed (domain, customer_id) USING (domain)
WHERE customer_domains.customer_id <> seed.customer_id
"""

_STRANGE_USERS = """
SELECT seed.upn FROM users
JOIN unnest(%s::uuid[], %s::uuid[], %s::text[]) AS seed (partner_id, id, upn)
  ON users.partner_id = seed.partner_id AND lower(users.upn) = lower(seed.upn)
WHERE users.id <> seed.id
"""


def parse(content: bytes) -> Seed:
    """Read a seed file. Raises :class:`SeedError`, which names the place: ``$.partners[0].customers[3].id``."""
    try:
        seed = msgspec.json.decode(content, type=Seed)
    except msgspec.ValidationError as error:
        raise SeedError(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SeedError(f"not JSON: {error}") from None
    _refuse_repeats(seed)
    return seed


def _refuse_repeats(seed: Seed) -> None:
    seen: dict[object, str] = {}
    for name, place in _names(seed):
        if name in seen:
            raise SeedError(f"the same as {seen[name]} - at `{place}`")
        seen[name] = place


def _names(seed: Seed) -> Iterator[tuple[object, str]]:
    """What must not come twice, with its place. Checks the domains on the way."""
    for p, partner in enumerate(seed.partners):
        at = f"$.partners[{p}]"
        yield ("partner", partner.id), f"{at}.id"
        for i, application in enumerate(partner.applications):
            yield ("application", partner.id, application.id), f"{at}.applications[{i}].id"
        for i, user in enumerate(partner.users):
            yield ("user", partner.id, user.id), f"{at}.users[{i}].id"
            yield ("upn", partner.id, user.upn.lower()), f"{at}.users[{i}].upn"
        for i, code in enumerate(partner.validation_codes):
            yield ("code", partner.id, code.validation_id), f"{at}.validationCodes[{i}].validationId"
        for i, customer in enumerate(partner.customers):
            place = f"{at}.customers[{i}]"
            yield ("customer", customer.id), f"{place}.id"
            _normalised(customer.domain, f"{place}.domain")
            for j, domain in enumerate(customer.custom_domains):
                here = f"{place}.customDomains[{j}]"
                yield ("domain", _normalised(domain, here)), here


def _normalised(domain: str, place: str) -> str:
    try:
        return domain_name(domain)
    except ValueError as error:
        raise SeedError(f"not a domain name: {error} - at `{place}`") from None


def register(url: str, seed: Seed) -> Registered:
    """Register all of ``seed``; what is there already is brought up to date. Each change has its audit record.

    Raises :class:`SeedError` if something in it belongs to somebody else; then nothing is registered. Not to be called
    where an event loop runs.
    """
    return asyncio.run(_register(url, seed))


async def _register(url: str, seed: Seed) -> Registered:
    customers = [(partner, customer) for partner in seed.partners for customer in partner.customers]
    domains = [
        {"domain": domain_name(domain), "customer_id": customer.id}
        for _, customer in customers
        for domain in customer.custom_domains
    ]
    async with await psycopg.AsyncConnection.connect(url, connect_timeout=10) as connection:
        await _refuse_strangers(connection, seed, domains)
        before = await changes.snapshot(connection, seed)
        # Customers before codes, each in the order of its key: as the write path locks them.
        for statement, rows in (
            (_PARTNERS, [{"id": one.id, "name": one.name, "sandbox": one.sandbox} for one in seed.partners]),
            (_APPLICATIONS, [row for partner in seed.partners for row in _application_rows(partner, before)]),
            (_USERS, [row for partner in seed.partners for row in _user_rows(partner)]),
            (
                _CUSTOMERS,
                [
                    {
                        "id": customer.id,
                        "partner_id": partner.id,
                        "company_name": customer.company_name,
                        "domain": domain_name(customer.domain),
                        "address": customer.address,
                    }
                    for partner, customer in customers
                ],
            ),
            (_DOMAINS, domains),
            (_CODES, [row for partner in seed.partners for row in _code_rows(partner)]),
        ):
            await connection.execute(statement, (as_json(rows),))
        await changes.record(connection, before, await changes.snapshot(connection, seed))
    return Registered(len(seed.partners), len(customers), sum(len(one.validation_codes) for one in seed.partners))


def seed_demo(url: str) -> Registered:
    """Register the demo data that comes with accredit."""
    return register(url, parse(demo()))


def demo() -> bytes:
    """The demo seed file."""
    return files("accredit.partners").joinpath("demo.json").read_bytes()


async def _refuse_strangers(connection: Connection, seed: Seed, domains: list[dict[str, Any]]) -> None:
    customers = [(customer.id, partner.id) for partner in seed.partners for customer in partner.customers]
    users = [(partner.id, user.id, user.upn) for partner in seed.partners for user in partner.users]
    for query, columns, message in (
        (_STRANGE_CUSTOMERS, _columns(customers, 2), "the customer {} belongs to another partner"),
        (
            _STRANGE_DOMAINS,
            _columns([(row["domain"], row["customer_id"]) for row in domains], 2),
            "the domain {} belongs to another customer",
        ),
        (_STRANGE_USERS, _columns(users, 3), "the user name {} belongs to another user ID"),
    ):
        row = await (await connection.execute(query, columns)).fetchone()
        if row is not None:
            raise SeedError(message.format(row[0]))


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[column] for row in rows] for column in range(width)]


def _application_rows(partner: Partner, before: changes.Snapshot) -> list[dict[str, UUID | str]]:
    """The applications, each with the hash that it has if that is of the same secret."""
    rows: list[dict[str, UUID | str]] = []
    for one in partner.applications:
        known = before.secret_hashes.get((partner.id, one.id))
        same = known is not None and verify_secret(one.secret, known)
        hashed = known if known is not None and same else hash_secret(one.secret)
        rows.append({"partner_id": partner.id, "id": one.id, "secret_hash": hashed})
    return rows


def _user_rows(partner: Partner) -> list[dict[str, Any]]:
    return [{"partner_id": partner.id, "id": one.id, "upn": one.upn, "roles": one.roles} for one in partner.users]


def _code_rows(partner: Partner) -> list[dict[str, Any]]:
    return [
        {
            "partner_id": partner.id,
            "validation_id": one.validation_id,
            "organization_name": one.organization_name,
            "max_creates": one.max_creates,
        }
        for one in partner.validation_codes
    ]
