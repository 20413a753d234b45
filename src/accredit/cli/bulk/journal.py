"""The journal of a bulk run, beside its file: what was sent under which ``MS-RequestId``, and what came of it.

It is an SQLite database in WAL mode with ``synchronous=FULL``: a transaction is on the disk when its commit returns,
and what a crash or a power failure cuts off is as if it had never been begun. A request's ID is committed before the
request is sent, so whatever happens, it can only ever be sent again under the same ID.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

_APPLICATION_ID = 0x61636372  # "accr"
_VERSION = 1
_SCHEMA = """
CREATE TABLE run (sha256 TEXT NOT NULL, updates INTEGER NOT NULL, endpoint TEXT NOT NULL, tenant TEXT NOT NULL);
CREATE TABLE requests (
    line INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    customer TEXT NOT NULL,
    qualification TEXT NOT NULL,
    begun_at REAL NOT NULL,
    state TEXT NOT NULL,
    created TEXT,
    reason TEXT,
    correlation_id TEXT,
    error_code TEXT,
    error_description TEXT
);
"""
_COLUMNS = """
    line, request_id, customer, qualification, begun_at, state, created, reason, correlation_id,
    error_code, error_description
"""
_BEGIN = f"INSERT OR IGNORE INTO requests ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FINISH = """
UPDATE requests SET state = ?, created = ?, reason = ?, correlation_id = ?, error_code = ?, error_description = ?
WHERE line = ?
"""


class State(StrEnum):
    """What is known of an update."""

    UNKNOWN = "Unknown"
    """Sent, or about to be; no answer is known."""
    IN_REVIEW = "InReview"
    APPROVED = "Approved"
    DENIED = "Denied"
    SET = "Set"
    """Accepted, of a kind that is not vetted."""
    FAILED = "Failed"
    """Refused by the endpoint for good."""
    NOT_SENT = "NotSent"


class JournalError(Exception):
    """The journal cannot be read or written; the message says why."""


class ForeignJournalError(JournalError):
    """The journal is not of this run; the message says of what it is and what to do."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a journal belongs to: a file's content, an endpoint, and the partner's tenant (empty if not known)."""

    sha256: str
    updates: int
    endpoint: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What the journal knows of one line's update.

    ``begun_at``: when it was first about to be sent, in seconds since the epoch; ``created``: what the endpoint said of
    when it was asked for, in ISO 8601.
    """

    line: int
    request_id: str
    customer: str
    qualification: str
    begun_at: float
    state: State = State.UNKNOWN
    created: str | None = None
    reason: str | None = None
    correlation_id: str | None = None
    error_code: str | None = None
    error_description: str | None = None


class Journal:
    """An open journal, this process's alone. Close it. Its methods raise :class:`JournalError` if the disk fails.

    Not for several threads at once.
    """

    def __init__(self, path: Path, binding: Binding) -> None:
        """Open the journal at ``path``, or begin one. Raises :class:`JournalError`."""
        self.path = path
        try:
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self.resumed = self._open(binding)
            except BaseException:
                self._database.close()
                raise
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise ForeignJournalError(f"{path} is in use: another accredit is sending this file") from None
            raise JournalError(f"cannot use the journal {path}: {error}") from None
        except sqlite3.DatabaseError as error:
            raise ForeignJournalError(f"{path} is no journal: {error}. Move it away to begin anew") from None

    def _open(self, binding: Binding) -> bool:
        database = self._database
        # Before WAL: the lock is then held from the first read on, and no shared-memory file is needed.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        fresh = database.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
        found = database.execute("PRAGMA application_id").fetchone()[0]
        if not fresh and found != _APPLICATION_ID:
            raise ForeignJournalError(f"{self.path} is a database of something else. Move it away to begin anew")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN IMMEDIATE")
        if fresh:
            for statement in _SCHEMA.split(";"):
                database.execute(statement)
            database.execute("INSERT INTO run VALUES (?, ?, ?, ?)", _row(binding))
            database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {_VERSION}")
        else:
            self._check(binding)
        database.execute("COMMIT")
        return not fresh

    def _check(self, binding: Binding) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            raise ForeignJournalError(f"{self.path} is of another version of accredit ({version}, not {_VERSION})")
        was = Binding(*self._database.execute("SELECT sha256, updates, endpoint, tenant FROM run").fetchone())
        if was.sha256 != binding.sha256:
            raise ForeignJournalError(
                f"{self.path} is of another content of this file: the file was changed after a run was begun. Put it "
                "back to go on with that run, or move the journal away to begin anew (what was sent then is sent again)"
            )
        if was.endpoint != binding.endpoint:
            raise ForeignJournalError(f"{self.path} was begun at {was.endpoint}, not at {binding.endpoint}")
        if was.tenant != binding.tenant:
            raise ForeignJournalError(f"{self.path} was begun by the partner {was.tenant}, not {binding.tenant}")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def commit(self, begun: Sequence[Entry], finished: Sequence[Entry]) -> None:
        """Commit, in one transaction, that some are about to be sent, and what came of others.

        One that was begun before keeps its request ID.
        """
        database = self._database
        try:
            database.execute("BEGIN")
            database.executemany(_BEGIN, [astuple(entry) for entry in begun])
            database.executemany(
                _FINISH,
                [
                    (e.state, e.created, e.reason, e.correlation_id, e.error_code, e.error_description, e.line)
                    for e in finished
                ],
            )
            database.execute("COMMIT")
        except sqlite3.Error as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise JournalError(f"cannot write the journal {self.path}: {error}") from None

    def forget_failed(self) -> int:
        """Forget the updates that failed, so that they are sent again, as new requests. Returns how many."""
        return self._database.execute("DELETE FROM requests WHERE state = ?", (State.FAILED,)).rowcount

    def between(self, first: int, last: int) -> Mapping[int, Entry]:
        """What is known of the lines ``first`` to ``last``, by line."""
        query = f"SELECT {_COLUMNS} FROM requests WHERE line BETWEEN ? AND ?"
        return {row[0]: _entry(row) for row in self._database.execute(query, (first, last))}

    def in_review(self, after: int, most: int) -> list[Entry]:
        """The first ``most`` updates in review, of the lines after ``after``."""
        query = f"SELECT {_COLUMNS} FROM requests WHERE line > ? AND state = ? ORDER BY line LIMIT ?"
        return [_entry(row) for row in self._database.execute(query, (after, State.IN_REVIEW, most))]

    def entries(self) -> Iterator[Entry]:
        """All that is known, by line."""
        for row in self._database.execute(f"SELECT {_COLUMNS} FROM requests ORDER BY line"):
            yield _entry(row)

    def counts(self) -> dict[State, int]:
        """How many updates are in each state."""
        found = self._database.execute("SELECT state, count(*) FROM requests GROUP BY state")
        return {State(state): count for state, count in found}


def _row(binding: Binding) -> tuple[str, int, str, str]:
    return binding.sha256, binding.updates, binding.endpoint, binding.tenant


def _entry(row: tuple[Any, ...]) -> Entry:
    line, request_id, customer, qualification, begun_at, state, *rest = row
    return Entry(line, request_id, customer, qualification, begun_at, State(state), *rest)
