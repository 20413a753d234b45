"""What has to happen by itself, a minute at a time: re-vetting what is due, and telling of cases that nobody decides.

Any number of workers may do it at once. Each takes only rows that nobody holds, and waits for none.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from accredit.audit import store as audit
from accredit.audit.models import AuditRecord
from accredit.database.pool import Connection
from accredit.database.rows import write_together
from accredit.vetting import queue
from accredit.vetting.queue import IN_THEIR_TURN, REVET, VET, CaseReference
from accredit.vetting.store import REVIEW_CHANNEL

CASES_A_JOB = 50
"""How many re-vettings a job holds: few enough that a new request gets its turn between two of them."""

_MOST_ESCALATIONS = 500

# When it is noticed, not when it was made: a decision made before the change was committed must count as older.
_NOTICE = "UPDATE evidence_changes SET noticed_at = clock_timestamp() WHERE noticed_at IS NULL"
_FORGET = "DELETE FROM evidence_changes WHERE noticed_at < (SELECT max(noticed_at) FROM evidence_changes)"

_BUSY = (
    "SELECT EXISTS (SELECT FROM pgqueuer WHERE entrypoint = %s AND priority = %s AND status IN ('queued', 'picked'))"
)

# What was queued within the last hour and is due still either waits or met a source that was unavailable.
_DUE = """
WITH changed AS (SELECT max(noticed_at) AS at FROM evidence_changes),
due AS (
    SELECT asked.id
    FROM qualifications AS asked, changed
    WHERE asked.vetting_status IN ('InReview', 'Approved') AND asked.vetted_at IS NOT NULL
      AND asked.vetted_at < greatest(changed.at, now() - make_interval(days => %(days)s::int))
      AND (asked.vetting_status = 'Approved' OR asked.vetted_at < changed.at)
      AND (asked.revetting_queued_at IS NULL OR asked.revetting_queued_at < now() - interval '1 hour')
    ORDER BY asked.vetted_at, asked.id
    LIMIT %(most)s
    FOR NO KEY UPDATE OF asked SKIP LOCKED),
queued AS (
    UPDATE qualifications AS asked SET revetting_queued_at = now() FROM due WHERE asked.id = due.id
    RETURNING asked.id, asked.request_number, asked.vetted_at)
SELECT id, request_number FROM queued ORDER BY vetted_at, id
"""

# Not while the queue itself is behind: then the policy just has not come to it yet.
_UNDECIDED = """
SELECT id, request_number FROM qualifications
WHERE vetting_status = 'InReview' AND vetted_at IS NULL AND requested_at < now() - %(after)s
  AND NOT EXISTS (SELECT FROM pgqueuer
                  WHERE entrypoint = %(entrypoint)s AND status IN ('queued', 'picked') AND created < now() - %(after)s)
ORDER BY requested_at
LIMIT %(most)s
"""

# changed_at stays, and so does the case's ETag: a reviewer who is about to decide need not look again for this.
_ESCALATE = """
WITH overdue AS (
    SELECT qualification_id FROM review_cases
    WHERE closed_at IS NULL AND escalated_at IS NULL AND due_at < now()
    ORDER BY due_at
    LIMIT %s
    FOR NO KEY UPDATE SKIP LOCKED),
escalated AS (
    UPDATE review_cases AS late SET escalated_at = now() FROM overdue
    WHERE late.qualification_id = overdue.qualification_id
    RETURNING late.qualification_id, late.due_at, late.rule, late.claimed_by)
SELECT escalated.qualification_id, escalated.due_at, escalated.rule, escalated.claimed_by, asked.qualification,
       customer.partner_id, customer.id, customer.company_name
FROM escalated
JOIN qualifications AS asked ON asked.id = escalated.qualification_id
JOIN customers AS customer ON customer.id = asked.customer_id
"""

_NOTIFY = "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS payload"


async def queue_due(connection: Connection, *, days: int, most: int) -> int:
    """Queue what is due for another look, ``most`` of it, the longest not looked at first; return how many.

    Due is what is Approved and was not looked at for ``days`` (0: never for its age alone), and whatever was last
    looked at before a registry changed. Nothing is queued before all that was queued the last time is done.
    """
    await connection.execute(_NOTICE)
    await connection.execute(_FORGET)
    (busy,) = (await (await connection.execute(_BUSY, (REVET, IN_THEIR_TURN))).fetchone()) or (False,)
    if busy:
        return 0
    rows = await (await connection.execute(_DUE, {"days": days or None, "most": most})).fetchall()
    for start in range(0, len(rows), CASES_A_JOB):
        cases = [(id, number) for id, number in rows[start : start + CASES_A_JOB]]
        await queue.enqueue(connection, cases, entrypoint=REVET, priority=IN_THEIR_TURN)
    return len(rows)


async def undecided(connection: Connection, *, after: timedelta, most: int) -> list[CaseReference]:
    """The requests that the policy has not decided within ``after``, since looking at them fails again and again."""
    parameters = {"after": after, "most": most, "entrypoint": VET}
    rows = await (await connection.execute(_UNDECIDED, parameters)).fetchall()
    return [(id, number) for id, number in rows]


async def escalate_overdue(connection: Connection) -> list[UUID]:
    """Mark the open cases that are past their deadline: each once. Return them.

    An audit record and a NOTIFY on ``REVIEW_CHANNEL`` (``<case ID> escalated``) tell of each.
    """
    rows = await (await connection.execute(_ESCALATE, (_MOST_ESCALATIONS,))).fetchall()
    now = datetime.now(UTC)
    records = [
        AuditRecord(
            partner_id=partner_id,
            customer_id=customer_id,
            customer_name=company_name,
            resource_type="review_case",
            operation_type="escalate_review_case",
            operation_date=now,
            operation_status="progress",
            details={
                "Case": str(id),
                "Qualification": qualification,
                "DueAt": due_at.astimezone(UTC).isoformat(),
                "Rule": rule,
                "ClaimedBy": claimed_by or "nobody",
            },
        )
        for id, due_at, rule, claimed_by, qualification, partner_id, customer_id, company_name in rows
    ]
    await write_together(connection, [audit.write(records)])
    if rows:
        await connection.execute(_NOTIFY, (REVIEW_CHANNEL, [f"{row[0]} escalated" for row in rows]))
    return [row[0] for row in rows]
