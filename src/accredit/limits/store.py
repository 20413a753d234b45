"""The SQL of the rate limits. No clocks are compared: processes tell ages, and are told waits."""

import hashlib
from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from accredit.database.pool import Connection
from accredit.limits.models import Grant, Key, Use
from accredit.limits.rules import USABLE, WINDOW

LOST_AFTER = 10.0
"""Seconds without a beat after which an API process counts as gone."""

# A statement of its own, so that the next one sees what the holder of the lock before us wrote.
_LOCK: LiteralString = "SELECT pg_advisory_xact_lock(%s)"

# The parts see the log as it was before the statement: "counted" leaves out what "settled" removes, and adds "used".
_ASK: LiteralString = """
WITH clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now
), settled AS (
    DELETE FROM rate_log USING clock
    WHERE partner_id = %(partner_id)s AND resource = %(resource)s
      AND (counts_until <= clock.now OR process_id = %(process_id)s)
), used AS (
    INSERT INTO rate_log (partner_id, resource, requests, counts_until)
    SELECT %(partner_id)s, %(resource)s, use.requests, clock.now + make_interval(secs => %(window)s - use.age)
    FROM clock, unnest(%(ages)s::float8[], %(requests)s::integer[]) AS use (age, requests)
    RETURNING requests, counts_until
), counted AS (
    SELECT requests, counts_until FROM rate_log, clock
    WHERE partner_id = %(partner_id)s AND resource = %(resource)s
      AND counts_until > clock.now AND process_id IS DISTINCT FROM %(process_id)s
    UNION ALL
    SELECT requests, counts_until FROM used
), available AS (
    SELECT greatest(%(limit)s - coalesce(sum(requests), 0), 0)::integer AS requests FROM counted
), granted AS (
    SELECT least(requests, %(wanted)s) AS requests FROM available
), set_aside AS (
    INSERT INTO rate_log (partner_id, resource, process_id, requests, counts_until)
    SELECT %(partner_id)s, %(resource)s, %(process_id)s, granted.requests,
           clock.now + make_interval(secs => %(usable)s + %(window)s)
    FROM granted, clock WHERE granted.requests > 0
), later AS (
    SELECT counts_until, sum(requests) OVER (ORDER BY counts_until DESC) AS still_counted FROM counted
), waits AS (
    SELECT max(counts_until) FILTER (WHERE still_counted >= %(limit)s) AS one,
           max(counts_until) FILTER (WHERE still_counted >= %(limit)s - %(margin)s) AS some
    FROM later
)
SELECT granted.requests, available.requests - granted.requests,
       coalesce(extract(epoch FROM waits.one - clock.now), 0)::float8,
       coalesce(extract(epoch FROM waits.some - clock.now), 0)::float8
FROM available, granted, waits, clock
"""

_REPORT: LiteralString = """
INSERT INTO rate_log (partner_id, resource, requests, counts_until)
SELECT use.partner_id, use.resource, use.requests, clock_timestamp() + make_interval(secs => %s - use.age)
FROM unnest(%s::uuid[], %s::uuid[], %s::integer[], %s::float8[]) AS use (partner_id, resource, requests, age)
"""

_BEAT: LiteralString = """
WITH me AS (
    INSERT INTO api_processes (id, seen_at) VALUES (%(id)s, clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at
)
SELECT 1 + count(*) FROM api_processes
WHERE id <> %(id)s AND seen_at > clock_timestamp() - make_interval(secs => %(lost_after)s)
"""


async def ask(
    connection: Connection, process_id: UUID, key: Key, uses: Sequence[Use], *, limit: int, wanted: int, margin: int
) -> Grant:
    """Report ``uses``, give back what is left of the last grant, and have up to ``wanted`` requests set aside.

    Where there are none, the grant's ``retry_after`` is the time until there will be one more than ``margin``.
    For a transaction in pipeline mode: it is one round trip. Those who ask for one key go one after the other.
    """
    lock = hashlib.blake2b(key.partner_id.bytes + key.resource_id.bytes, digest_size=8).digest()
    await connection.execute(_LOCK, (int.from_bytes(lock, signed=True),))
    cursor = await connection.execute(
        _ASK,
        {
            "partner_id": key.partner_id,
            "resource": key.resource_id,
            "process_id": process_id,
            "ages": [use.age for use in uses],
            "requests": [use.requests for use in uses],
            "wanted": wanted,
            "limit": limit,
            "margin": margin,
            "window": WINDOW,
            "usable": USABLE,
        },
    )
    ((requests, left, wait, retry_after),) = await cursor.fetchall()
    return Grant(requests, left, wait, retry_after)


async def report(connection: Connection, uses: Sequence[tuple[Key, Use]]) -> None:
    """Report uses of any number of keys, asking for nothing."""
    await connection.execute(
        _REPORT,
        (
            WINDOW,
            [key.partner_id for key, _ in uses],
            [key.resource_id for key, _ in uses],
            [use.requests for _, use in uses],
            [use.age for _, use in uses],
        ),
    )


async def beat(connection: Connection, process_id: UUID) -> int:
    """Tell that the process lives; return how many do."""
    cursor = await connection.execute(_BEAT, {"id": process_id, "lost_after": LOST_AFTER})
    ((processes,),) = await cursor.fetchall()
    return int(processes)


async def leave(connection: Connection, process_id: UUID) -> None:
    """Strike the process off the register, and give back what is set aside for it."""
    await connection.execute("DELETE FROM rate_log WHERE process_id = %s", (process_id,))
    await connection.execute("DELETE FROM api_processes WHERE id = %s", (process_id,))


async def purge(connection: Connection) -> None:
    """Remove what no longer counts. Nothing depends on it but the tables' size: once a minute is often enough."""
    await connection.execute("DELETE FROM rate_log WHERE counts_until <= clock_timestamp()")
    await connection.execute(
        "DELETE FROM api_processes WHERE seen_at <= clock_timestamp() - make_interval(secs => %s)", (LOST_AFTER,)
    )
