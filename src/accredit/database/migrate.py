"""Bringing a database to this program's schema, and telling whether it is there."""

from pathlib import Path

import psycopg

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x61636372  # "accr": one migration at a time, whichever host starts it


class SchemaNewerError(Exception):
    """The database was migrated by a newer accredit than this one."""


class SchemaOlderError(Exception):
    """The database has not been migrated to this accredit yet."""


def revisions() -> list[str]:
    """The revisions that this program knows, oldest first. Files are named ``<revision>_<what>.py``."""
    return sorted(path.name.split("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def current_revision(connection: psycopg.Connection) -> str | None:
    """The revision that the database is at; ``None`` for an empty one."""
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def check(url: str) -> None:
    """Raise :class:`SchemaNewerError` or :class:`SchemaOlderError` unless the schema is exactly this program's."""
    with psycopg.connect(url, connect_timeout=10) as connection:
        revision = current_revision(connection)
    if revision == revisions()[-1]:
        return
    _refuse_newer(revision)
    raise SchemaOlderError(
        f"the database is at revision {revision or 'none'}, this program needs {revisions()[-1]}: "
        "run `accredit migrate`"
    )


def migrate(url: str) -> bool:
    """Migrate to the newest revision; return whether anything was done.

    Safe to run from several hosts at once. Raises :class:`SchemaNewerError`, ``psycopg.OperationalError``.
    """
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        revision = current_revision(connection)
        if revision == revisions()[-1]:
            return False
        _refuse_newer(revision)
        _upgrade(url)
        return True


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and revision not in revisions():
        raise SchemaNewerError(
            f"the database is at revision {revision}, which this program (up to {revisions()[-1]}) does not know: "
            "use the newer accredit that migrated it"
        )


def _upgrade(url: str) -> None:
    # Imported here: SQLAlchemy would cost every start half a second, and nearly none of them migrates.
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    engine.dispose()
