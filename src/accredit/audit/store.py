"""Writing audit records, in the transaction of the change they record."""

from collections.abc import Sequence

from uuid_utils.compat import uuid7

from accredit.audit.models import AuditRecord
from accredit.database.rows import Write

INSERT = """
INSERT INTO audit_records (
    id, partner_id, customer_id, customer_name, user_principal_name, application_id, resource_type,
    resource_old_value, resource_new_value, operation_type, operation_date, operation_status, customized_data)
SELECT
    id, partner_id, customer_id, customer_name, user_principal_name, application_id, resource_type,
    resource_old_value, resource_new_value, operation_type, operation_date, operation_status, customized_data
FROM json_to_recordset(%s::json) AS record (
    id uuid, partner_id uuid, customer_id uuid, customer_name text, user_principal_name text, application_id text,
    resource_type text, resource_old_value text, resource_new_value text, operation_type text,
    operation_date timestamptz, operation_status text, customized_data jsonb)
"""


def write(records: Sequence[AuditRecord]) -> Write:
    """What writes ``records``. Their IDs grow with time, so that they page in the order of writing."""
    return Write(INSERT, [{"id": uuid7(), **record.row()} for record in records])
