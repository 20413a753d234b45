"""The Python SDK: Partner Center's customer-qualification API, whether Microsoft's, 21Vianet's or accredit's own.

It imports nothing of the service. What it exports is imported at first use, so that a command line starts quickly; the
asynchronous client is :mod:`accredit.client.aio`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accredit.client._client import PartnerCenterClient
    from accredit.client._retry import RetryPolicy
    from accredit.client._settings import CHINA_ENDPOINT, GLOBAL_ENDPOINT
    from accredit.client.credentials import RefreshTokenCredential, StaticTokenCredential
    from accredit.client.errors import (
        AuthenticationError,
        ConflictError,
        ForbiddenError,
        InvalidRequestError,
        MalformedResponseError,
        NoRelationshipError,
        NotFoundError,
        OutcomeUnknownError,
        PartnerCenterError,
        PreconditionFailedError,
        RateLimitedError,
        ServerError,
        ServiceUnavailableError,
        UpdateLostError,
    )
    from accredit.client.models import (
        Address,
        AddressStatus,
        AddressValidation,
        AuditRecord,
        BillingProfile,
        CompanyProfile,
        Customer,
        CustomerFilter,
        CustomerQualification,
        CustomerRelationship,
        CustomizedData,
        EducationSegment,
        Qualification,
        ResourceAttributes,
        ResourceType,
        UserCredentials,
        ValidationCode,
        VerifiedDomain,
        VettingReason,
        VettingStatus,
    )

__all__ = [
    "CHINA_ENDPOINT",
    "GLOBAL_ENDPOINT",
    "Address",
    "AddressStatus",
    "AddressValidation",
    "AuditRecord",
    "AuthenticationError",
    "BillingProfile",
    "CompanyProfile",
    "ConflictError",
    "Customer",
    "CustomerFilter",
    "CustomerQualification",
    "CustomerRelationship",
    "CustomizedData",
    "EducationSegment",
    "ForbiddenError",
    "InvalidRequestError",
    "MalformedResponseError",
    "NoRelationshipError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PartnerCenterClient",
    "PartnerCenterError",
    "PreconditionFailedError",
    "Qualification",
    "RateLimitedError",
    "RefreshTokenCredential",
    "ResourceAttributes",
    "ResourceType",
    "RetryPolicy",
    "ServerError",
    "ServiceUnavailableError",
    "StaticTokenCredential",
    "UpdateLostError",
    "UserCredentials",
    "ValidationCode",
    "VerifiedDomain",
    "VettingReason",
    "VettingStatus",
]

# Lightest first: the models need no azure-core.
_HOMES = ("models", "_settings", "errors", "credentials", "_retry", "_client")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _HOMES:
            module = importlib.import_module(f"{__name__}.{home}")
            if name in vars(module):
                value = globals()[name] = vars(module)[name]
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
