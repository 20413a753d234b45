"""Customers' profiles, their counts, what audit queries filter by, and rate limits."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PROFILES = """
-- One company name and one address: both profiles show them. changed_at is what the profiles' ETags are made of.
ALTER TABLE customers
    ADD COLUMN commerce_id                      uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN billing_profile_id               uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN first_name                       text,
    ADD COLUMN last_name                        text,
    ADD COLUMN email                            text,
    ADD COLUMN culture                          text,
    ADD COLUMN language                         text,
    ADD COLUMN organization_registration_number text,
    ADD COLUMN associated_partner_id            text,
    ADD COLUMN changed_at                       timestamptz NOT NULL DEFAULT now();
-- Byte order, so that a prefix is a range whatever the database's collation is.
CREATE INDEX customers_by_name ON customers (partner_id, (lower(company_name) COLLATE "C"), id);
CREATE INDEX customers_by_domain ON customers (partner_id, (domain COLLATE "C"), id);
CREATE INDEX customers_domain ON customers (domain);
"""

COUNTS = """
-- How many customers each partner has, so that no list has to count them; in parts, so that writers rarely meet.
CREATE TABLE customer_counts (
    partner_id uuid NOT NULL,
    part       smallint NOT NULL,
    customers  bigint NOT NULL,
    PRIMARY KEY (partner_id, part)
);

CREATE FUNCTION count_customers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO customer_counts AS known (partner_id, part, customers)
    SELECT partner_id, pg_backend_pid() % 8, CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
    FROM changed GROUP BY partner_id ORDER BY partner_id
    ON CONFLICT (partner_id, part) DO UPDATE SET customers = known.customers + excluded.customers;
    RETURN NULL;
END $$;
CREATE TRIGGER customers_added AFTER INSERT ON customers
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_customers();
CREATE TRIGGER customers_removed AFTER DELETE ON customers
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_customers();
INSERT INTO customer_counts SELECT partner_id, 0, count(*) FROM customers GROUP BY partner_id;
"""

KEYS = """
-- Secrets that all processes share, each made once, here.
CREATE TABLE service_keys (
    name text PRIMARY KEY,
    key  bytea NOT NULL
);
INSERT INTO service_keys
SELECT 'continuation_tokens', sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'));
"""

AUDIT = """
CREATE INDEX audit_records_by_customer ON audit_records (partner_id, customer_id, operation_date, id);
"""

RATE_LIMITS = """
-- What counts against a rate limit: requests (no process), and what is set aside for a process to spend without asking.
-- resource is a customer, or the partner's own ID for its limit over all. Unlogged, as is the register of processes:
-- neither is worth a wait for the disk, and after a crash of PostgreSQL every limit starts afresh.
CREATE UNLOGGED TABLE rate_log (
    partner_id   uuid NOT NULL,
    resource     uuid NOT NULL,
    process_id   uuid,
    requests     integer NOT NULL,
    counts_until timestamptz NOT NULL
);
CREATE INDEX rate_log_of_resource ON rate_log (partner_id, resource, counts_until);
CREATE UNLOGGED TABLE api_processes (
    id      uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL
);
"""


def upgrade() -> None:
    for statements in (PROFILES, COUNTS, KEYS, AUDIT, RATE_LIMITS):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("accredit's schema only moves forward; restore a backup to go back")
