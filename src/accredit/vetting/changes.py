"""What the rest of the service tells vetting: that something a decision may rest on has changed."""

from uuid import UUID

from accredit.database.pool import Connection
from accredit.vetting import queue

_IN_REVIEW = """
SELECT id, request_number FROM qualifications WHERE customer_id = %s AND vetting_status = 'InReview'
"""


async def customer_changed(connection: Connection, customer_id: UUID) -> None:
    """Have the customer's pending cases looked at again, once the transaction that is open commits."""
    cases = await (await connection.execute(_IN_REVIEW, (customer_id,))).fetchall()
    if cases:
        await queue.enqueue(connection, [(id, number) for id, number in cases])
