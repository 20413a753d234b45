"""Registries in the database: imported whole or not at all, listed, removed, and looked up by domain."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from accredit.database.group_commit import GroupCommit
from accredit.database.pool import Pool, fetch
from accredit.registries.domains import at_and_above
from accredit.registries.models import Format, Institution, Kind, Registry
from accredit.vetting.changes import REGISTRIES_CHANGED

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('accredit registries'))"
_LIST = "SELECT name, kind, source, version, entries, imported_at, checked_at FROM registries ORDER BY name"
_VERSION = "SELECT kind, version FROM registries WHERE name = %s"
_REMOVE = "DELETE FROM registries WHERE name = %s"
_ADD = """
INSERT INTO registries (name, kind, source, version, entries, imported_at, checked_at)
VALUES (%s, %s, %s, %s, 0, %s, %s)
"""
_CHECKED = "UPDATE registries SET source = %s, checked_at = %s WHERE name = %s"
_COPY = "COPY registry_institutions (registry, domain, names, kind, country, state) FROM STDIN"
_ANALYZE = "ANALYZE registries, registry_institutions"  # look-ups must not wait for autovacuum to be planned well
_COUNTED = "UPDATE registries SET entries = %s WHERE name = %s"

# One statement, so that entries and versions are of one moment. Without domains it asks for the versions alone.
_LOOK_UP = """
SELECT registry.name, registry.version, one.domain, one.names, one.kind, one.country, one.state
FROM registries AS registry
LEFT JOIN registry_institutions AS one ON one.registry = registry.name AND one.domain = ANY (%s)
ORDER BY registry.name, one.names
"""


class NothingImportedError(ValueError):
    """The file is well formed, but holds no institution."""


def add(
    connection: psycopg.Connection,
    name: str,
    format: Format,
    source: str,
    version: str,
    institutions: Iterable[Institution],
    progress: Callable[[int], object],
) -> int | None:
    """Put ``institutions`` in the place of what the registry ``name`` held, in the caller's transaction.

    Return how many there are; ``None`` if the registry is at this version already, and its institutions stay. What
    ``institutions`` raises passes through; then the transaction must not be committed. ``progress`` is told the count.
    Raises :class:`NothingImportedError`.
    """
    connection.execute(_LOCK)
    now = datetime.now(UTC)
    if connection.execute(_VERSION, (name,)).fetchone() == (format, version):
        connection.execute(_CHECKED, (source, now, name))
        return None
    connection.execute(_REMOVE, (name,))
    connection.execute(_ADD, (name, format, source, version, now, now))
    count = 0
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for one in institutions:
            copy.write_row((name, one.domain, list(one.names), one.kind, one.country, one.state))
            count += 1
            progress(count)
    if not count:
        raise NothingImportedError("there is no institution in it")
    connection.execute(_COUNTED, (count, name))
    connection.execute(_ANALYZE)
    connection.execute(REGISTRIES_CHANGED)
    return count


def registries(connection: psycopg.Connection) -> list[Registry]:
    """What is imported, by name."""
    rows = connection.execute(_LIST).fetchall()
    return [Registry(name, Format(format), *others) for name, format, *others in rows]


def remove(connection: psycopg.Connection, name: str) -> bool:
    """Remove a registry; return whether there was one."""
    connection.execute(_LOCK)
    removed = connection.execute(_REMOVE, (name,)).rowcount > 0
    if removed:
        connection.execute(REGISTRIES_CHANGED)
    return removed


@dataclass(frozen=True, slots=True)
class Answer:
    """What the registries say of some domains.

    ``institutions`` are, for each domain and registry, those at the domain or nearest above it, by the registry's name.
    ``versions`` are those of all registries, by name.
    """

    versions: Mapping[str, str]
    institutions: Mapping[str, Sequence[tuple[str, Institution]]]


_Entries = tuple[tuple[str, Institution], ...]


class Lookup:
    """Looks domains up for one process. Questions that come together are one query.

    What was found is kept, up to ``most`` domains, until any registry changes; every answer is of a moment after its
    question was asked.
    """

    def __init__(self, pool: Pool, *, most: int, timeout: float) -> None:
        self._pool = pool
        self._most = most
        self._timeout = timeout
        self._versions: dict[str, str] = {}
        self._known: OrderedDict[str, _Entries] = OrderedDict()
        self._questions: GroupCommit[Sequence[str], Answer] = GroupCommit(self._answer, most=1000)

    async def __call__(self, domains: Sequence[str]) -> Answer:
        """Look up ``domains`` and what is above each of them. Raises as ``database.pool.fetch`` does."""
        return await self._questions.submit(domains)

    async def _answer(self, questions: list[Sequence[str]]) -> list[Answer]:
        paths = {domain: at_and_above(domain) for domains in questions for domain in domains}
        wanted = {one for path in paths.values() for one in path}
        entries = {one: self._known[one] for one in wanted if one in self._known}
        missing = wanted - entries.keys()
        versions, found = await self._fetch(missing)
        if versions != self._versions:
            self._known.clear()
            self._versions = versions
            if entries:
                # What was known may be of an older version: all of it is asked for again, at one moment.
                self._versions, found = await self._fetch(wanted)
                entries, missing = {}, wanted
        for one in missing:
            entries[one] = self._known[one] = tuple(found.get(one, ()))
        for one in wanted:
            self._known.move_to_end(one)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        nearest = {domain: _nearest([entries[one] for one in path]) for domain, path in paths.items()}
        return [Answer(self._versions, {domain: nearest[domain] for domain in domains}) for domains in questions]

    async def _fetch(self, domains: Iterable[str]) -> tuple[dict[str, str], dict[str, list[tuple[str, Institution]]]]:
        versions: dict[str, str] = {}
        found: dict[str, list[tuple[str, Institution]]] = {}
        for registry, version, domain, names, kind, country, state in await fetch(
            self._pool, _LOOK_UP, (list(domains),), timeout=self._timeout
        ):
            versions[registry] = version
            if domain is not None:
                one = Institution(domain, tuple(names), Kind(kind), country, state)
                found.setdefault(domain, []).append((registry, one))
        return versions, found


def _nearest(path: Sequence[_Entries]) -> list[tuple[str, Institution]]:
    """Of each registry, the entries that are deepest in ``path`` (the deepest domain first)."""
    return list(_nearest_of_each(path))


def _nearest_of_each(path: Sequence[_Entries]) -> Iterator[tuple[str, Institution]]:
    seen: set[str] = set()
    for entries in path:
        yield from ((registry, one) for registry, one in entries if registry not in seen)
        seen.update(registry for registry, _ in entries)
