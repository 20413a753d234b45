"""The database of a command that needs one, and exit codes for what can be wrong with it."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from accredit.cli import exits
from accredit.database import embedded, migrate
from accredit.settings import Settings


@contextmanager
def open_database(settings: Settings) -> Iterator[str]:
    """The URL of a database at this program's schema; the embedded one is started and migrated where needed.

    Leaves with ``exits.DATABASE_UNREACHABLE``, ``exits.SCHEMA_NEWER``, or ``exits.FAILED`` for one not migrated.
    """
    try:
        with embedded.database_url(settings) as url:
            if settings.database_url is None:
                migrate.migrate(url)
            else:
                migrate.check(url)
            yield url
    except migrate.SchemaNewerError as error:
        exits.fail(exits.SCHEMA_NEWER, str(error))
    except migrate.SchemaOlderError as error:
        exits.fail(exits.FAILED, str(error))
    except embedded.EmbeddedPostgresError as error:
        exits.fail(exits.DATABASE_UNREACHABLE, str(error))
    except psycopg.OperationalError as error:
        exits.fail(exits.DATABASE_UNREACHABLE, f"the database cannot be reached: {error}")
