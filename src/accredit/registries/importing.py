"""Importing a registry: from a file, a folder or a URL, whole or not at all."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import structlog

from accredit.registries import formats, store
from accredit.registries.models import Format
from accredit.settings import Settings

log = structlog.get_logger("accredit.registries")

_READING = "1"
"""Part of every version: a new way of reading imports the same content again."""

_CHUNK = 1 << 16


class FetchError(Exception):
    """A URL cannot be fetched."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. ``entries`` is ``None`` where the registry held this very content already."""

    entries: int | None
    skipped: list[str]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a fetch: seconds without a byte, and bytes in all."""

    timeout: float
    size: int

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """The settings' limits."""
        return cls(settings.registry_timeout, settings.registry_size)


def is_url(source: str) -> bool:
    """Whether ``source`` is to be fetched, and is no path."""
    return source.startswith(("http://", "https://"))


def import_registry(
    url: str, name: str, format: Format, source: str, limits: Limits, progress: Callable[[int], object]
) -> Imported:
    """Import ``source`` into the database at ``url`` as the registry ``name``, in place of what it held.

    Raises ``formats.FormatError``, ``store.NothingImportedError``, :class:`FetchError`, ``OSError`` and psycopg's
    errors; then nothing has changed.
    """
    skipped: list[str] = []
    with _local(source, limits) as path, psycopg.connect(url, connect_timeout=10) as connection:
        institutions = formats.read(format, path, skipped.append)
        entries = store.add(connection, name, format, source, _version(path), institutions, progress)
    return Imported(entries, skipped)


def refresh(url: str, settings: Settings) -> None:
    """Import the registries again that came from a URL and were not checked within the settings' hours.

    One that cannot be is logged, and keeps what it held.
    """
    limits = Limits.of(settings)
    due = datetime.now(UTC) - timedelta(hours=settings.registry_refresh_hours)
    with psycopg.connect(url, connect_timeout=10) as connection:
        stale = [one for one in store.registries(connection) if is_url(one.source) and one.checked_at <= due]
    for one in stale:
        try:
            imported = import_registry(url, one.name, one.format, one.source, limits, lambda _: None)
        except (formats.FormatError, store.NothingImportedError, FetchError, OSError, psycopg.Error) as error:
            log.error("registry not refreshed", registry=one.name, source=one.source, error=str(error))
        else:
            log.info("registry refreshed", registry=one.name, domains=imported.entries)


@contextmanager
def _local(source: str, limits: Limits) -> Iterator[Path]:
    if not is_url(source):
        yield Path(source)
        return
    with tempfile.NamedTemporaryFile() as file:
        size = 0
        try:
            with httpx.stream("GET", source, timeout=limits.timeout, follow_redirects=True) as answer:
                answer.raise_for_status()
                for chunk in answer.iter_bytes(_CHUNK):
                    size += len(chunk)
                    if size > limits.size:
                        raise FetchError(f"it is larger than {limits.size:,} bytes")
                    file.write(chunk)
        except httpx.HTTPStatusError as error:
            raise FetchError(f"the server answered {error.response.status_code}") from None
        except httpx.HTTPError as error:
            raise FetchError(str(error) or type(error).__name__) from error
        file.flush()
        yield Path(file.name)


def _version(path: Path) -> str:
    """SHA-256 of the content; of a folder, of all its files with their names."""
    digest = hashlib.sha256(_READING.encode())
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    for one in files:
        if path.is_dir():
            digest.update(f"\0{one.relative_to(path)}\0".encode())
        with one.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
