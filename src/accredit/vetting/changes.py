"""What the rest of the service tells vetting: that something a decision may rest on has changed."""

from uuid import UUID

from accredit.database.pool import Connection
from accredit.vetting import queue

_NEW_FACTS = """
UPDATE qualifications SET facts_version = facts_version + 1
WHERE id IN (SELECT id FROM qualifications
             WHERE customer_id = %s AND vetting_status IN ('InReview', 'Approved')
             ORDER BY id FOR NO KEY UPDATE)
RETURNING id, request_number
"""

# Who looked at the open case before must look again: its ETag is made of changed_at.
_CASE_CHANGED = """
UPDATE review_cases SET changed_at = greatest(clock_timestamp(), changed_at + interval '1 microsecond')
WHERE qualification_id = ANY (%s) AND closed_at IS NULL
"""

REGISTRIES_CHANGED = "INSERT INTO evidence_changes DEFAULT VALUES"
"""What :func:`registries_changed` does, for who has a connection of the other kind."""


async def customer_changed(connection: Connection, customer_id: UUID) -> None:
    """The customer's name, address or verified domains change in the transaction that is open.

    Once it commits, what is in review is looked at again, and what is Approved is vetted again. A decision that is on
    its way takes no effect: it rests on facts that are no more. The transaction may hold the customer, and nothing that
    the write path locks after it (``qualifications.store``). PgQueuer wants the connection to be in autocommit mode.
    """
    rows = await (await connection.execute(_NEW_FACTS, (customer_id,))).fetchall()
    if rows:
        await connection.execute(_CASE_CHANGED, ([id for id, _ in rows],))
        await queue.enqueue(connection, [(id, number) for id, number in rows], entrypoint=queue.REVET)


async def registries_changed(connection: Connection) -> None:
    """A registry of institutions changes in the transaction that is open.

    Once it commits, all that was decided before is looked at again, in batches (``vetting.schedule``).
    """
    await connection.execute(REGISTRIES_CHANGED)
