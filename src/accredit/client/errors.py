"""What the client raises.

::

    AzureError
    ├── ServiceRequestError                           the endpoint could not be reached; nothing was sent
    ├── ServiceResponseError                          nobody answered, even after retries
    │   └── OutcomeUnknownError                       … a write
    ├── UpdateLostError                               the endpoint no longer shows an update that is waited for
    └── HttpResponseError
        ├── DecodeError ── MalformedResponseError     an answer that is not Partner Center's
        └── PartnerCenterError                        an error answer; by HTTP status:
            ├── InvalidRequestError                   400, 413, 415, 428 and other 4xx
            ├── AuthenticationError                   401; also a ClientAuthenticationError
            ├── ForbiddenError                        403
            │   └── NoRelationshipError               403 / 20002
            ├── NotFoundError                         404; also a ResourceNotFoundError
            ├── ConflictError                         409; also a ResourceExistsError
            ├── PreconditionFailedError               412; also a ResourceModifiedError
            ├── RateLimitedError                      429
            └── ServerError                           5xx
                └── ServiceUnavailableError           503

The bases are ``azure.core.exceptions``, so code that handles any Azure SDK's errors handles these. Credentials raise
``ClientAuthenticationError`` themselves.
"""

from datetime import datetime
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceResponseError,
)


class PartnerCenterError(HttpResponseError):
    """An error answer.

    ``code`` and ``description`` are Partner Center's: a code is text, also where the service writes a number, and empty
    where the answer has none. ``request_id`` and ``correlation_id`` are what support asks for. ``retry_after``: seconds
    that the answer asks to wait, if it does. ``unanswered_since``: when the first attempt of the call was sent that
    nobody answered, or a 5xx other than 503, by the service's clock: what it asked for may have been done.
    """

    def __init__(
        self,
        message: str,
        *,
        response: Any,
        code: str = "",
        description: str = "",
        request_id: str | None = None,
        correlation_id: str | None = None,
        retry_after: float | None = None,
        unanswered_since: datetime | None = None,
    ) -> None:
        super().__init__(message, response=response)
        # The base class reads the body as OData, which it is not.
        self.error = None
        self.message = message
        self.args = (message,)
        self.code = code
        self.description = description
        self.request_id = request_id
        self.correlation_id = correlation_id
        self.retry_after = retry_after
        self.unanswered_since = unanswered_since

    def __str__(self) -> str:
        return self.message


class InvalidRequestError(PartnerCenterError):
    """The request is wrong; the description says what about it."""


class AuthenticationError(PartnerCenterError, ClientAuthenticationError):
    """The token is missing, expired, or not for this service."""


class ForbiddenError(PartnerCenterError):
    """The caller may not do this: no MFA, an app-only token, or a role that may not."""


class NoRelationshipError(ForbiddenError):
    """The partner has no relationship with that customer, or there is no such customer."""


class NotFoundError(PartnerCenterError, ResourceNotFoundError):
    """There is no such thing."""


class ConflictError(PartnerCenterError, ResourceExistsError):
    """What is there does not allow it, such as a qualification that is InReview already; ``code`` says which."""


class PreconditionFailedError(PartnerCenterError, ResourceModifiedError):
    """The resource has changed since its ETag was read."""


class RateLimitedError(PartnerCenterError):
    """Too many requests, and waiting as told would have taken longer than the call's ``timeout``."""


class ServerError(PartnerCenterError):
    """A fault of the service, which retries did not get past."""


class ServiceUnavailableError(ServerError):
    """The service cannot serve now."""


class MalformedResponseError(DecodeError):
    """An answer of success that is not Partner Center's: a page of some proxy, or a body cut short."""

    def __str__(self) -> str:
        return self.message


class UpdateLostError(AzureError):
    """The endpoint no longer shows an update that is waited for: the qualification was removed, or never kept."""


class OutcomeUnknownError(ServiceResponseError):
    """A write was sent, and nobody answered: it may or may not have been done.

    Sending it again with ``request_id=error.request_id``, within 24 hours, does it once at most, and tells.
    """

    def __init__(self, message: str, *, request_id: str, error: Exception) -> None:
        super().__init__(message, error=error)
        self.request_id = request_id
