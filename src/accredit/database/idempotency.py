"""Idempotency records, contract section 6: the same write under the same ``MS-RequestId`` is done once.

A write path locks its keys, recalls what is kept for them, does what is new, and keeps the answers: all in the one
transaction of the write itself. The lock makes a repeat wait for the first that is still running, in any process.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from accredit.database.pool import Connection, Pool, transact
from accredit.database.rows import Write, write_together
from accredit.wire.answers import Answer
from accredit.wire.errors import REQUEST_ID_REUSED, UNSUPPORTED_MEDIA_TYPE, ApiError
from accredit.wire.operations import Call

LOCK = "SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key"

RECALL = """
SELECT partner_id, request_id, fingerprint, status, body
FROM idempotency_records
WHERE partner_id = ANY (%s) AND request_id = ANY (%s) AND created_at > now() - interval '24 hours'
"""

# The conflict is with a record older than 24 hours that the clean-up has not met yet.
KEEP = """
INSERT INTO idempotency_records (partner_id, request_id, fingerprint, status, body, created_at)
SELECT partner_id, request_id, fingerprint, status, body, now()
FROM json_to_recordset(%s::json)
     AS kept (partner_id uuid, request_id uuid, fingerprint text, status smallint, body text)
ON CONFLICT (partner_id, request_id) DO UPDATE
SET fingerprint = excluded.fingerprint, status = excluded.status, body = excluded.body,
    created_at = excluded.created_at
"""

PURGE = "DELETE FROM idempotency_records WHERE created_at < now() - interval '24 hours'"


@dataclass(frozen=True, slots=True)
class WriteKey:
    """What makes two writes the same: the partner, its ``MS-RequestId``, and a fingerprint of the request."""

    partner_id: UUID
    request_id: UUID
    fingerprint: str

    @property
    def name(self) -> tuple[UUID, UUID]:
        return (self.partner_id, self.request_id)

    @property
    def lock(self) -> int:
        """A 64-bit number for PostgreSQL's advisory locks; a collision costs a wait, nothing else."""
        digest = hashlib.blake2b(self.partner_id.bytes + self.request_id.bytes, digest_size=8).digest()
        return int.from_bytes(digest, signed=True)


def key_of(call: Call) -> WriteKey:
    """The key of a call. Its fingerprint is of its method, path, query and body, each to the byte."""
    scope = call.request.scope
    digest = hashlib.blake2b(digest_size=16)
    for part in (call.operation.method.encode(), scope["path"].encode(), scope["query_string"], call.body):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return WriteKey(call.caller.partner_id, call.exchange.request_id, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was given before, and the fingerprint of what it answered."""

    fingerprint: str
    answer: Answer

    def replay(self, key: WriteKey) -> Answer:
        """The kept answer. Raises ``ApiError`` (409 / 700005) if ``key`` is of a different request."""
        if self.fingerprint != key.fingerprint:
            raise ApiError(REQUEST_ID_REUSED, "This MS-RequestId was used for a different request.")
        return self.answer


async def lock(connection: Connection, keys: Sequence[WriteKey]) -> None:
    """Hold ``keys`` until the transaction ends. In order, so that two batches cannot wait for each other."""
    await connection.execute(LOCK, (sorted({key.lock for key in keys}),))


async def recall(connection: Connection, keys: Sequence[WriteKey]) -> dict[tuple[UUID, UUID], Kept]:
    """What is kept for ``keys``, by their names; perhaps more."""
    cursor = await connection.execute(RECALL, ([key.partner_id for key in keys], [key.request_id for key in keys]))
    return {
        (partner_id, request_id): Kept(kept_fingerprint, Answer(status, body.encode()))
        for partner_id, request_id, kept_fingerprint, status, body in await cursor.fetchall()
    }


def keep(answers: Sequence[tuple[WriteKey, Answer]]) -> Write:
    """What keeps the answers of new writes."""
    rows = [
        {
            "partner_id": key.partner_id,
            "request_id": key.request_id,
            "fingerprint": key.fingerprint,
            "status": answer.status,
            "body": answer.body.decode(),
        }
        for key, answer in answers
    ]
    return Write(KEEP, rows)


async def once(pool: Pool, key: WriteKey, work: Callable[[Connection], Awaitable[Answer]], *, timeout: float) -> Answer:
    """Do ``work`` in one transaction and keep its answer, or give the answer that is kept for ``key``.

    ``work`` may refuse, by ``ApiError``, before it writes anything: refusals are kept like any answer. Raises
    ``ApiError`` for what is no business answer (415), and as ``database.pool.transact`` does.
    """

    async def in_transaction(connection: Connection) -> Answer:
        await lock(connection, [key])
        kept = (await recall(connection, [key])).get(key.name)
        if kept is not None:
            return kept.replay(key)
        try:
            answer = await work(connection)
        except ApiError as error:
            if error.kind is UNSUPPORTED_MEDIA_TYPE:
                raise
            answer = Answer(error.status, error.body())
        await write_together(connection, [keep([(key, answer)])])
        return answer

    return await transact(pool, in_transaction, timeout=timeout)
