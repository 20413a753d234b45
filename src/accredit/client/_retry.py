"""Which attempts are made again, and when.

azure-core's own policy does not fit: it does not repeat a POST that nobody answered (here ``MS-RequestId`` makes that
safe), counts the date in ``Retry-After`` from this machine's clock, waits past the call's time limit, has no jitter.
"""

import random
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy, HTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest, HttpResponse

from accredit.client._limits import ATTEMPT_SECONDS, SENT
from accredit.client._requests import REQUEST_ID
from accredit.client._responses import retry_after
from accredit.client.errors import OutcomeUnknownError

RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that say that the same request may fare better later."""
_TOLD_TO_WAIT: Final = frozenset({429, 503})
WRITE_WINDOW: Final = 23 * 3600.0
"""Seconds within which a write may be repeated: the service knows an ``MS-RequestId`` for 24 hours."""
_ATTEMPTS: Final = "accredit.attempts"


class RetryOptions:
    """How patient a client is; every call may say otherwise by the same keywords.

    :keyword timeout: seconds for a call, with all its attempts and waits. Default 300.
    :keyword attempt_timeout: seconds for one attempt, from the first byte sent to the last received. Default 60.
    :keyword retry_total: how many attempts may follow the first after faults. An answer that says how long to wait
        (429 or 503 with ``Retry-After``) does not count: only ``timeout`` bounds those. 0: none follows, whatever it
        is. Default 8.
    :keyword retry_backoff_factor: seconds before the second attempt; doubled for each one after it. Default 0.5.
    :keyword retry_backoff_max: the most seconds between attempts, where the service names none. Default 30.
    :keyword clock: gives seconds that only grow.
    """

    def __init__(
        self,
        *,
        timeout: float = 300.0,
        attempt_timeout: float = 60.0,
        retry_total: int = 8,
        retry_backoff_factor: float = 0.5,
        retry_backoff_max: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout = timeout
        self.attempt_timeout = attempt_timeout
        self.retry_total = retry_total
        self.backoff_factor = retry_backoff_factor
        self.backoff_max = retry_backoff_max
        self.clock = clock


class Attempts:
    """The attempts of one call: what became of them, and whether there is another."""

    def __init__(self, options: RetryOptions, request: PipelineRequest[HttpRequest]) -> None:
        asked = request.context.options
        self._options = options
        self._clock = options.clock
        self._left: int = asked.pop("retry_total", options.retry_total)
        self._may_wait = self._left > 0
        self._attempt_timeout: float = asked.pop("attempt_timeout", options.attempt_timeout)
        timeout: float = asked.pop("timeout", options.timeout)
        if request.http_request.method not in ("GET", "HEAD"):
            timeout = min(timeout, WRITE_WINDOW)
        self._deadline = self._clock() + timeout
        self._faults = 0
        self._began: datetime | None = None
        self.unanswered_since: datetime | None = None
        """When the first attempt was sent that nobody answered, or a 5xx other than 503; by this machine's clock."""
        self.count = 0
        self._request = request.http_request
        self._context = request.context
        self._context[_ATTEMPTS] = self

    @classmethod
    def of(cls, response: PipelineResponse[Any, Any]) -> "Attempts":
        """The attempts that led to an answer."""
        attempts: Attempts = response.context[_ATTEMPTS]
        return attempts

    def begin(self) -> None:
        """Count an attempt, and say how long it may take."""
        self._context["retry_count"] = self.count  # azure-core's tracing reads it
        self._context[ATTEMPT_SECONDS] = min(self._attempt_timeout, max(self._deadline - self._clock(), 0.001))
        self._context[SENT] = False
        self.count += 1
        self._began = datetime.now(UTC)

    def wait_after_error(self, error: AzureError) -> float | None:
        """Seconds to wait after nobody answered, or not so that it could be understood; ``None``: give up."""
        if isinstance(error, ClientAuthenticationError) or _is_of_a_certificate(error):
            return None
        if self._context[SENT] and not isinstance(error, ServiceRequestError):  # which says that nothing was sent
            self.unanswered_since = self.unanswered_since or self._began
        return self._wait_after_fault(None)

    def wait_after_answer(self, response: Any) -> float | None:
        """Seconds to wait after an answer; ``None``: it stands."""
        if response.status_code not in RETRIED:
            return None
        if response.status_code not in _TOLD_TO_WAIT:
            self.unanswered_since = self.unanswered_since or self._began
        wait = retry_after(response.headers)
        if wait is None or response.status_code not in _TOLD_TO_WAIT:
            return self._wait_after_fault(wait)
        self._faults += 1
        # Not all that were told the same should come back at the same moment.
        told = wait + random.uniform(0, min(0.1 * wait, 5)) if wait >= 1 else max(wait, self._backoff())  # noqa: S311
        return self._if_in_time(told) if self._may_wait else None

    def give_up(self, error: AzureError) -> NoReturn:
        """Raise the last error; of a write that was ever sent, that its outcome is unknown."""
        request_id = self._request.headers.get(REQUEST_ID)
        if request_id is None or self.unanswered_since is None:
            raise error
        raise OutcomeUnknownError(
            f"{self._request.method} {self._request.url} was sent and not answered, so it may have been done: "
            f"{error.message}",
            request_id=request_id,
            error=error,
        ) from error

    def _wait_after_fault(self, told: float | None) -> float | None:
        self._faults += 1
        if self._left <= 0:
            return None
        self._left -= 1
        return self._if_in_time(max(told or 0.0, self._backoff()))

    def _backoff(self) -> float:
        longest = min(self._options.backoff_factor * 2.0 ** min(self._faults - 1, 30), self._options.backoff_max)
        return longest * random.uniform(0.5, 1)  # noqa: S311

    def _if_in_time(self, wait: float) -> float | None:
        return wait if self._clock() + wait < self._deadline else None


def _is_of_a_certificate(error: AzureError) -> bool:
    """Whether the endpoint could not prove who it is: it will not in a while either."""
    cause: BaseException | None = error.inner_exception
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def unanswered_since(response: PipelineResponse[Any, Any], service_time: datetime | None) -> datetime | None:
    """When an earlier attempt of the answered call was sent that nobody answered, by the service's clock.

    ``None`` where each was answered. ``service_time``: the answer's ``Date``.
    """
    since = Attempts.of(response).unanswered_since
    if since is None:
        return None
    skew = service_time - datetime.now(UTC) if service_time else timedelta(0)
    return since + skew


class RetryPolicy(HTTPPolicy[HttpRequest, HttpResponse]):
    """Makes the attempts of a call. Takes the keywords of :class:`RetryOptions`."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = RetryOptions(**options)

    def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, HttpResponse]:
        """Send the request until an answer stands, or no attempt is left."""
        attempts = Attempts(self.options, request)
        transport: Any = request.context.transport
        while True:
            attempts.begin()
            try:
                response = self.next.send(request)
            except AzureError as error:
                wait = attempts.wait_after_error(error)
                if wait is None:
                    attempts.give_up(error)
            else:
                wait = attempts.wait_after_answer(response.http_response)
                if wait is None:
                    return response
            transport.sleep(wait)


class AsyncRetryPolicy(AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Makes the attempts of a call. Takes the keywords of :class:`RetryOptions`."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = RetryOptions(**options)

    async def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        """Send the request until an answer stands, or no attempt is left."""
        attempts = Attempts(self.options, request)
        transport: Any = request.context.transport
        while True:
            attempts.begin()
            try:
                response = await self.next.send(request)
            except AzureError as error:
                wait = attempts.wait_after_error(error)
                if wait is None:
                    attempts.give_up(error)
            else:
                wait = attempts.wait_after_answer(response.http_response)
                if wait is None:
                    return response
            await transport.sleep(wait)
