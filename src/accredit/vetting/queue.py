"""The job queue between the write path and the workers: PgQueuer's, filled inside our own transactions."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from pgqueuer.adapters.drivers.psycopg import PsycopgDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.adapters.persistence.queries import Queries

from accredit.database.pool import Connection

VET = "vet"
"""The entrypoint of jobs whose cases are in review."""
REVET = "revet"
"""The entrypoint of jobs whose cases are to be looked at again: in review, or Approved."""
IN_THEIR_TURN = -1
"""The priority of jobs that wait until there are no others."""


class WorkerDriver(PsycopgDriver):
    """PgQueuer's driver over two connections, one that listens and one that asks.

    On a single one every query waits up to a second for the listener to let go of it.
    """

    def __init__(self, listening: Connection, asking: Connection) -> None:
        super().__init__(listening)
        self._asking = PsycopgDriver(asking)

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        return await self._asking.fetch(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        return await self._asking.execute(query, *args)


CaseReference = tuple[UUID, int]
"""A qualification's ID and the number of the request to be vetted."""

# Built once: each reads PgQueuer's settings from the environment.
_BUILDERS = (QueryBuilderEnvironment(), QueryQueueBuilder(), QuerySchedulerBuilder())


async def enqueue(
    connection: Connection, cases: Sequence[CaseReference], *, entrypoint: str = VET, priority: int = 0
) -> None:
    """Queue ``cases`` as one job, which appears with the commit of the transaction that is open."""
    await Queries(PsycopgDriver(connection), *_BUILDERS).enqueue(entrypoint, encode(cases), priority)


def enqueue_statement() -> str:
    """The SQL of :func:`enqueue`, with ``$1`` to ``$6`` for its parameters; for measuring."""
    return _BUILDERS[1].build_enqueue_query()


def encode(cases: Sequence[CaseReference]) -> bytes:
    """A job's payload."""
    return msgspec.json.encode(cases)


def decode(payload: bytes | None) -> list[CaseReference]:
    """The cases of a job. Raises ``msgspec.DecodeError`` or ``ValidationError`` for a payload that is not ours."""
    return msgspec.json.decode(payload or b"", type=list[CaseReference])
