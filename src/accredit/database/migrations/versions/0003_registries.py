"""Registries of institutions, and an index that finds the customers below a domain."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

REGISTRIES = """
-- What was imported, once for each name; version is made of the content. checked_at: when it was last seen to be so.
CREATE TABLE registries (
    name        text PRIMARY KEY,
    kind        text NOT NULL,
    source      text NOT NULL,
    version     text NOT NULL,
    entries     integer NOT NULL,
    imported_at timestamptz NOT NULL,
    checked_at  timestamptz NOT NULL
);

CREATE TABLE registry_institutions (
    registry text NOT NULL REFERENCES registries ON DELETE CASCADE,
    domain   text NOT NULL CHECK (domain = lower(domain)),
    names    text[] NOT NULL,
    kind     text NOT NULL,
    country  text,
    state    text
);
CREATE INDEX registry_institutions_domain ON registry_institutions (domain, registry);
"""

DOMAINS = """
CREATE INDEX customer_domains_below ON customer_domains (reverse(domain) text_pattern_ops);
"""


def upgrade() -> None:
    for statements in (REGISTRIES, DOMAINS):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("accredit's schema only moves forward; restore a backup to go back")
