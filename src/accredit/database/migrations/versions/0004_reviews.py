"""Review cases, and what re-vetting needs: when a qualification was last looked at, and on which facts."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DECISIONS = """
-- cause: what was decided, a request or whether an Approved one still holds. subject: the facts it was decided on.
ALTER TABLE decisions
    ADD COLUMN cause   text NOT NULL DEFAULT 'request' CHECK (cause IN ('request', 'revetting')),
    ADD COLUMN subject jsonb;
ALTER TABLE decisions ALTER COLUMN cause DROP DEFAULT;

-- A case that is looked at again may be referred again, on other grounds.
DROP INDEX decisions_one_referral;
DROP INDEX decisions_one_verdict;
CREATE UNIQUE INDEX decisions_one_verdict ON decisions (qualification_id, request_number)
    WHERE outcome <> 'Refer' AND cause = 'request';
CREATE UNIQUE INDEX decisions_one_denial ON decisions (qualification_id, request_number) WHERE outcome = 'Denied';
CREATE INDEX decisions_of_qualification ON decisions (qualification_id, decided_at, id);
"""

REVETTING = """
-- facts_version grows with each change of what a decision may rest on; a decision on older facts takes no effect.
ALTER TABLE qualifications
    ADD COLUMN vetted_at           timestamptz,
    ADD COLUMN revetting_queued_at timestamptz,
    ADD COLUMN facts_version       integer NOT NULL DEFAULT 0;
UPDATE qualifications AS asked
SET vetted_at = (SELECT max(decided_at) FROM decisions
                 WHERE qualification_id = asked.id AND request_number = asked.request_number)
WHERE vetting_status IN ('InReview', 'Approved');
CREATE INDEX qualifications_vetted ON qualifications (vetted_at, id)
    WHERE vetting_status IN ('InReview', 'Approved') AND vetted_at IS NOT NULL;

-- That a registry changed; noticed_at is set once that is committed.
CREATE TABLE evidence_changes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    noticed_at timestamptz
);
"""

REVIEW_CASES = """
-- One case for each qualification that a person was ever asked about; it is opened again with each new question.
CREATE TABLE review_cases (
    qualification_id uuid PRIMARY KEY REFERENCES qualifications ON DELETE CASCADE,
    request_number   smallint NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('request', 'revetting')),
    rule             text NOT NULL,
    explanation      text NOT NULL,
    waiting_since    timestamptz NOT NULL,
    due_at           timestamptz NOT NULL,
    claimed_by       text,
    claimed_at       timestamptz,
    claim_expires_at timestamptz,
    escalated_at     timestamptz,
    closed_at        timestamptz,
    changed_at       timestamptz NOT NULL,
    CHECK ((claimed_by IS NULL) = (claimed_at IS NULL)),
    CHECK ((claimed_by IS NULL) = (claim_expires_at IS NULL))
);
CREATE INDEX review_cases_open ON review_cases (waiting_since, qualification_id) WHERE closed_at IS NULL;
CREATE INDEX review_cases_due ON review_cases (due_at) WHERE closed_at IS NULL AND escalated_at IS NULL;

INSERT INTO review_cases (
    qualification_id, request_number, kind, rule, explanation, waiting_since, due_at, changed_at)
SELECT asked.id, asked.request_number, 'request', referral.rule, referral.explanation, asked.requested_at,
       now() + interval '48 hours', now()
FROM qualifications AS asked
JOIN decisions AS referral
  ON referral.qualification_id = asked.id AND referral.request_number = asked.request_number
 AND referral.outcome = 'Refer'
WHERE asked.vetting_status = 'InReview';
"""


def upgrade() -> None:
    for statements in (DECISIONS, REVETTING, REVIEW_CASES):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("accredit's schema only moves forward; restore a backup to go back")
