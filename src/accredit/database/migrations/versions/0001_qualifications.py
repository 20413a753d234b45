"""Partners, customers, qualifications, decisions, audit records, idempotency records, and the job queue."""

from alembic import op
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
from pgqueuer.domain.settings import DBSettings, Durability

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PARTNERS = """
CREATE TABLE partners (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    sandbox     boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE applications (
    partner_id  uuid NOT NULL REFERENCES partners,
    id          uuid NOT NULL,
    secret_hash text NOT NULL,
    PRIMARY KEY (partner_id, id)
);

CREATE TABLE users (
    partner_id  uuid NOT NULL REFERENCES partners,
    id          uuid NOT NULL,
    upn         text NOT NULL,
    roles       text[] NOT NULL,
    PRIMARY KEY (partner_id, id)
);
CREATE UNIQUE INDEX users_upn ON users (partner_id, lower(upn));

CREATE TABLE validation_codes (
    partner_id        uuid NOT NULL REFERENCES partners,
    validation_id     text NOT NULL CHECK (validation_id ~ '^[0-9]+$'),
    organization_name text NOT NULL,
    max_creates       integer CHECK (max_creates >= 0),
    remaining_creates integer CHECK (remaining_creates BETWEEN 0 AND max_creates),
    changed_at        timestamptz NOT NULL,
    PRIMARY KEY (partner_id, validation_id),
    CHECK ((max_creates IS NULL) = (remaining_creates IS NULL))
);
"""

CUSTOMERS = """
CREATE TABLE customers (
    id           uuid PRIMARY KEY,
    partner_id   uuid NOT NULL REFERENCES partners,
    company_name text NOT NULL,
    domain       text NOT NULL,
    address      jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX customers_partner ON customers (partner_id, id);

-- Only domains whose control is proven are here. One domain belongs to one customer.
CREATE TABLE customer_domains (
    domain      text PRIMARY KEY CHECK (domain = lower(domain)),
    customer_id uuid NOT NULL REFERENCES customers ON DELETE CASCADE,
    verified_at timestamptz NOT NULL
);
CREATE INDEX customer_domains_customer ON customer_domains (customer_id);
"""

QUALIFICATIONS = """
-- The state of each customer's qualifications; request_number counts how often it was asked for.
CREATE TABLE qualifications (
    id                uuid PRIMARY KEY,
    customer_id       uuid NOT NULL REFERENCES customers ON DELETE CASCADE,
    qualification     text NOT NULL
                      CHECK (qualification IN ('Education', 'GovernmentCommunityCloud', 'StateOwnedEntity')),
    vetting_status    text CHECK (vetting_status IN ('InReview', 'Approved', 'Denied')),
    vetting_reason    text,
    request_number    smallint NOT NULL CHECK (request_number BETWEEN 1 AND 3),
    requested_at      timestamptz NOT NULL,
    requested_by      text,
    application_id    text,
    education_segment text CHECK (education_segment IN ('K12', 'HigherEducation')),
    website           text,
    validation_id     text,
    UNIQUE (customer_id, qualification),
    CHECK ((qualification = 'StateOwnedEntity') = (vetting_status IS NULL)),
    CHECK ((vetting_status IS NOT DISTINCT FROM 'Denied') = (vetting_reason IS NOT NULL)),
    CHECK (education_segment IS NULL OR qualification = 'Education'),
    CHECK (validation_id IS NOT NULL OR qualification <> 'GovernmentCommunityCloud')
);
CREATE UNIQUE INDEX qualifications_exclusive ON qualifications (customer_id)
    WHERE qualification IN ('Education', 'GovernmentCommunityCloud') AND vetting_status IN ('InReview', 'Approved');
CREATE INDEX qualifications_in_review ON qualifications (requested_at, id) WHERE vetting_status = 'InReview';

-- What vetting, or a person, made of a request. Refer leaves the qualification InReview.
CREATE TABLE decisions (
    id               uuid PRIMARY KEY,
    qualification_id uuid NOT NULL REFERENCES qualifications ON DELETE CASCADE,
    request_number   smallint NOT NULL,
    outcome          text NOT NULL CHECK (outcome IN ('Approved', 'Denied', 'Refer')),
    reason           text,
    rule             text NOT NULL,
    explanation      text NOT NULL,
    evidence         jsonb NOT NULL,
    policy_version   text NOT NULL,
    decided_by       text NOT NULL,
    note             text,
    decided_at       timestamptz NOT NULL,
    CHECK ((outcome = 'Denied') = (reason IS NOT NULL))
);
CREATE UNIQUE INDEX decisions_one_referral ON decisions (qualification_id, request_number) WHERE outcome = 'Refer';
CREATE UNIQUE INDEX decisions_one_verdict ON decisions (qualification_id, request_number) WHERE outcome <> 'Refer';

CREATE TABLE audit_records (
    id                  uuid PRIMARY KEY,
    partner_id          uuid NOT NULL,
    customer_id         uuid,
    customer_name       text,
    user_principal_name text,
    application_id      text,
    resource_type       text NOT NULL,
    resource_old_value  text,
    resource_new_value  text,
    operation_type      text NOT NULL,
    operation_date      timestamptz NOT NULL,
    operation_status    text NOT NULL CHECK (operation_status IN ('succeeded', 'failed', 'progress')),
    customized_data     jsonb NOT NULL DEFAULT '[]'
);
CREATE INDEX audit_records_by_date ON audit_records (partner_id, operation_date, id);
"""

IDEMPOTENCY = """
CREATE TABLE idempotency_records (
    partner_id  uuid NOT NULL,
    request_id  uuid NOT NULL,
    fingerprint text NOT NULL,
    status      smallint NOT NULL,
    body        text NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (partner_id, request_id)
);
CREATE INDEX idempotency_records_age ON idempotency_records USING brin (created_at);

CREATE TABLE workers (
    id         uuid PRIMARY KEY,
    host       text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now()
);
"""


def upgrade() -> None:
    for statements in (PARTNERS, CUSTOMERS, QUALIFICATIONS, IDEMPOTENCY):
        op.execute(statements)
    # The queue's tables are PgQueuer's own. Jobs are logged (WAL); its log and statistics may be lost in a crash.
    queue = QueryBuilderEnvironment(DBSettings(durability=Durability.balanced))
    op.get_bind().exec_driver_sql(queue.build_install_query())


def downgrade() -> None:
    raise NotImplementedError("accredit's schema only moves forward; restore a backup to go back")
