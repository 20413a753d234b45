"""The database of a command, and exit codes for what can be wrong with it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict

from accredit.cli import exits
from accredit.database import migrate
from accredit.database.embedded import EmbeddedPostgresError, database_url
from accredit.settings import Settings


@contextmanager
def open_database(settings: Settings) -> Iterator[str]:
    """The URL of a database at this program's schema. The embedded one is started and migrated where needed.

    Leaves as :func:`explained` does while it opens; what is raised afterwards passes through.
    """
    with ExitStack() as stack:
        with explained(settings):
            url = stack.enter_context(database_url(settings))
            if settings.database_url is None:
                migrate.migrate(url)
            else:
                migrate.check(url)
        yield url


@contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Leave with the code and the message for what is wrong with the database.

    These are ``exits.DATABASE_UNREACHABLE``, ``exits.SCHEMA_NEWER``, and ``exits.FAILED`` for one not migrated.
    """
    try:
        where = _whereabouts(settings)
        yield
    except psycopg.OperationalError as error:
        why = "; ".join(line.strip() for line in str(error).splitlines())
        exits.fail(exits.DATABASE_UNREACHABLE, f"cannot reach the database {where}: {why}")
    except EmbeddedPostgresError as error:
        exits.fail(exits.DATABASE_UNREACHABLE, str(error))
    except migrate.SchemaNewerError as error:
        exits.fail(exits.SCHEMA_NEWER, str(error))
    except migrate.SchemaOlderError as error:
        exits.fail(exits.FAILED, str(error))


def _whereabouts(settings: Settings) -> str:
    """Which database the settings mean, without its password."""
    if settings.database_url is None:
        return f"in {settings.home}"
    try:
        parts = conninfo_to_dict(settings.database_url)
    except psycopg.ProgrammingError:  # its text may quote the password
        exits.fail(exits.USAGE, "ACCREDIT_DATABASE_URL is not a PostgreSQL URL")
    named = {name: parts[name] for name in ("host", "port", "dbname") if name in parts}
    return ", ".join(f"{name} {value}" for name, value in named.items())
