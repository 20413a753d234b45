"""Secrets that all processes share: made by a migration, read once by each process."""

from typing import LiteralString

from accredit.database.pool import Pool, fetch

_KEY: LiteralString = "SELECT key FROM service_keys WHERE name = %s"


class ServiceKey:
    """One of the secrets. Raises as ``database.pool.fetch`` does while it could not be read yet."""

    def __init__(self, pool: Pool, name: str, *, timeout: float) -> None:
        self._pool = pool
        self._name = name
        self._timeout = timeout
        self._key: bytes | None = None

    async def get(self) -> bytes:
        """The secret's bytes."""
        if self._key is None:
            ((self._key,),) = await fetch(self._pool, _KEY, (self._name,), timeout=self._timeout)
        return bytes(self._key)
