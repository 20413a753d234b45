"""Audit records, contract section 8: one for each change in the system."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from accredit.wire.answers import Attributes, Resource

OperationStatus = Literal["succeeded", "failed", "progress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Who changed what, when. The values are the resource's JSON; ``details`` become ``customizedData``."""

    partner_id: UUID
    operation_type: str
    operation_status: OperationStatus
    operation_date: datetime
    resource_type: str
    resource_old_value: str | None = None
    resource_new_value: str | None = None
    customer_id: UUID | None = None
    customer_name: str | None = None
    user_principal_name: str | None = None
    application_id: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """The record's columns, but for its ID."""
        return {
            "partner_id": self.partner_id,
            "customer_id": self.customer_id,
            "customer_name": self.customer_name,
            "user_principal_name": self.user_principal_name,
            "application_id": self.application_id,
            "resource_type": self.resource_type,
            "resource_old_value": self.resource_old_value,
            "resource_new_value": self.resource_new_value,
            "operation_type": self.operation_type,
            "operation_date": self.operation_date,
            "operation_status": self.operation_status,
            "customized_data": [{"key": key, "value": value} for key, value in self.details.items()],
        }


class CustomizedData(Resource, frozen=True):
    """A further fact of a record."""

    key: str
    value: str


class AuditResource(Resource, frozen=True, kw_only=True):
    """An audit record as a client sees it."""

    id: UUID
    partner_id: UUID
    customer_id: UUID | None = None
    customer_name: str | None = None
    user_principal_name: str | None = None
    application_id: str | None = None
    resource_type: str
    resource_old_value: str | None = None
    resource_new_value: str | None = None
    operation_type: str
    operation_date: str
    operation_status: OperationStatus
    customized_data: list[CustomizedData] = msgspec.field(name="customizedData")
    attributes: Attributes
