"""A bulk file: checked whole before anything is sent, then read again line by line. Memory stays flat.

A line of the file is a line of the CSV: no column can hold a line break, so a stray quote spoils its own line only.
"""

import csv
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from accredit.cli.bulk.rows import RowError, Update, columns, parse

LONGEST_LINE = 64 * 1024
"""Bytes of a line; more is not a list of customers."""
_BOM = b"\xef\xbb\xbf"
_BATCH = 10_000


class SourceChangedError(Exception):
    """The file is no longer what it was when it was checked."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that says an update; ``number`` counts the file's lines from 1, the header's included."""

    number: int
    update: Update


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found: the content's SHA-256, how many updates there are, how many lines are bad."""

    path: Path
    sha256: str
    updates: int
    bad: int
    stamp: tuple[int, ...]

    def lines(self) -> Iterator[Line]:
        """The file's updates, read again. Raises :class:`SourceChangedError` as soon as it is seen to have changed."""
        with self.path.open("rb") as file:
            for line in _read(file, None, self._refuse):
                # Looked at before each line is used: what was not checked must not be sent.
                if _stamp(file) != self.stamp:
                    self._refuse(line.number, "")
                yield line

    def _refuse(self, number: int, why: str) -> None:
        raise SourceChangedError(f"{self.path} was changed while it was being sent (seen at line {number})")


def check(path: Path, on_bad: Callable[[int, str], None]) -> Checked:
    """Check the whole file, and tell ``on_bad`` the number of every bad line and what is wrong with it.

    One pass; what has to be remembered of a line, to find those that ask twice for the same, is on disk.
    Raises :class:`SourceChangedError`, ``OSError``.
    """
    bad = 0

    def found_bad(number: int, why: str) -> None:
        nonlocal bad
        bad += 1
        on_bad(number, why)

    digest = hashlib.sha256()
    with path.open("rb") as file, closing(sqlite3.connect("", isolation_level=None)) as seen:
        stamp = _stamp(file)
        seen.execute("PRAGMA journal_mode = OFF")
        seen.execute("CREATE TABLE seen (key BLOB NOT NULL, line INTEGER NOT NULL)")
        seen.execute("BEGIN")
        updates = 0
        lines = _read(file, digest.update, found_bad)
        while batch := [(line.update.key, line.number) for line in islice(lines, _BATCH)]:
            updates += len(batch)
            seen.executemany("INSERT INTO seen VALUES (?, ?)", batch)
        for number, first in seen.execute(_TWICE):
            found_bad(number, f"asks for the same as line {first}")
        if not updates and not bad:
            found_bad(1, "there is no line after it: nothing to send")
        if _stamp(file) != stamp:
            raise SourceChangedError(f"{path} was changed while it was being read")
    return Checked(path, digest.hexdigest(), updates, bad, stamp)


_TWICE = """
SELECT line, first FROM (SELECT line, min(line) OVER (PARTITION BY key) AS first FROM seen)
WHERE line > first ORDER BY line
"""


def _read(
    file: BinaryIO, on_bytes: Callable[[bytes], None] | None, on_bad: Callable[[int, str], None]
) -> Iterator[Line]:
    """The updates of a file; every byte goes to ``on_bytes``, every bad line to ``on_bad``."""
    names: list[str] | None = None
    for number, raw in enumerate(_raw_lines(file, on_bytes), 1):
        try:
            fields = _fields(raw.removeprefix(_BOM) if number == 1 else raw)
            if names is None:
                names = columns(fields)
            elif any(field.strip() for field in fields):
                if len(fields) != len(names):
                    raise RowError(f"{len(fields)} fields, where the first line names {len(names)}")
                yield Line(number, parse(dict(zip(names, fields, strict=True))))
        except RowError as error:
            on_bad(number, str(error))
            if names is None:
                return
    if names is None:
        on_bad(1, "the file is empty")


def _raw_lines(file: BinaryIO, on_bytes: Callable[[bytes], None] | None) -> Iterable[bytes]:
    """Lines without their ends; one that is too long is given cut, and its rest is passed over."""
    while raw := file.readline(LONGEST_LINE + 1):
        if on_bytes:
            on_bytes(raw)
        line = raw
        while len(raw) > LONGEST_LINE and not raw.endswith(b"\n"):
            raw = file.readline(LONGEST_LINE + 1)
            if on_bytes:
                on_bytes(raw)
        yield line.rstrip(b"\r\n") if line.endswith(b"\n") else line


def _fields(raw: bytes) -> list[str]:
    if len(raw) > LONGEST_LINE:
        raise RowError(f"longer than {LONGEST_LINE:,} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise RowError(f"not UTF-8 (byte {error.start + 1})") from None
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise RowError(f"not CSV: {error}") from None


def _stamp(file: BinaryIO) -> tuple[int, ...]:
    """What changes with a file's content: enough to notice an editor, at the price of one system call."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
