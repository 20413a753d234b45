"""What every request carries, and what is looked at in every answer: the pipelines of both clients."""

import logging
import platform
import re
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass
from uuid import uuid4

from azure.core.credentials import TokenProvider
from azure.core.credentials_async import AsyncTokenProvider
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    AsyncBearerTokenCredentialPolicy,
    BearerTokenCredentialPolicy,
    CustomHookPolicy,
    DistributedTracingPolicy,
    HttpLoggingPolicy,
    ProxyPolicy,
    SansIOHTTPPolicy,
    UserAgentPolicy,
)
from azure.core.rest import HttpRequest

from accredit import __version__
from accredit.client._requests import CORRELATION_ID, REQUEST_ID
from accredit.client._responses import check_whole, read_json
from accredit.client._settings import Endpoint

Request = PipelineRequest[HttpRequest]
Response = PipelineResponse[HttpRequest, Any]

SDK_VERSION: Final = f"accredit-python/{__version__}"
JSON_BODY: Final = "accredit.json"
_LOGGED_HEADERS: Final = frozenset(
    {
        REQUEST_ID,
        CORRELATION_ID,
        "MS-CV",
        "MS-ServerId",
        "MS-SdkVersion",
        "MS-PartnerCenter-Application",
        "X-Locale",
        "If-Match",
        "Retry-After",
        "WWW-Authenticate",
    }
)
_SECRET: Final = re.compile(
    r'("(?:password|access_token|refresh_token|client_secret)"\s*:\s*)"(?:[^"\\]|\\.)*"', re.IGNORECASE
)
_LONGEST_LOGGED: Final = 16 * 1024
_log = logging.getLogger("accredit.client")


class HeadersPolicy(SansIOHTTPPolicy[HttpRequest, Any]):
    """The headers of contract section 1. The correlation ID is new for each call, and the same for its attempts."""

    def __init__(self, *, application: str | None, locale: str) -> None:
        super().__init__()
        self._headers = {"Accept": "application/json", "MS-SdkVersion": SDK_VERSION, "X-Locale": locale}
        if application:
            self._headers["MS-PartnerCenter-Application"] = application

    def on_request(self, request: Request) -> None:
        """Add what the call has not set itself; ``headers=`` of a call wins."""
        headers = request.http_request.headers
        for name, value in {**self._headers, CORRELATION_ID: str(uuid4())}.items():
            headers.setdefault(name, value)
        headers.update(request.context.options.pop("headers", None) or {})


class ContentPolicy(SansIOHTTPPolicy[HttpRequest, Any]):
    """Reads the JSON of answers of success, so that a body cut short counts as no answer and is asked for again."""

    def on_response(self, request: Request, response: Response) -> None:
        """Keep the JSON for the caller. Raises :class:`~accredit.client.errors.MalformedResponseError`."""
        answer = response.http_response
        if answer.status_code < 300 and answer.status_code != 204 and request.http_request.method != "HEAD":
            check_whole(answer)
            response.context[JSON_BODY] = read_json(answer)


class BodyLoggingPolicy(SansIOHTTPPolicy[HttpRequest, Any]):
    """Logs bodies at DEBUG where ``logging_enable`` is set, passwords and tokens left out."""

    def __init__(self, *, logging_enable: bool) -> None:
        super().__init__()
        self._enabled = logging_enable

    def on_request(self, request: Request) -> None:
        """Log what is sent."""
        options = request.context.options
        if "logging_enable" in options:
            request.context["logging_enable"] = options.pop("logging_enable")
        if request.context.get("logging_enable", self._enabled):
            _log_body("Request", request.http_request.content)

    def on_response(self, request: Request, response: Response) -> None:
        """Log what came."""
        if request.context.get("logging_enable", self._enabled):
            _log_body("Response", response.http_response.content)


class TokenPolicy(BearerTokenCredentialPolicy[HttpRequest, Any]):
    """Adds the token, to requests to the endpoint only; asks for a new one where it is refused."""

    def __init__(self, credential: TokenProvider, scopes: tuple[str, ...], endpoint: Endpoint) -> None:
        super().__init__(credential, *scopes)
        self._endpoint = endpoint

    def on_request(self, request: Request) -> None:
        """Add the token."""
        _guard(request, self._endpoint)
        super().on_request(request)

    def on_challenge(self, request: Request, response: Response) -> bool:
        """After a 401: whether there is a token to try that the service has not refused."""
        if super().on_challenge(request, response):
            return True
        refused = request.http_request.headers["Authorization"]
        self.authorize_request(request, *self._scopes)
        return request.http_request.headers["Authorization"] != refused


class AsyncTokenPolicy(AsyncBearerTokenCredentialPolicy[HttpRequest, Any]):
    """Adds the token, to requests to the endpoint only; asks for a new one where it is refused."""

    def __init__(self, credential: AsyncTokenProvider, scopes: tuple[str, ...], endpoint: Endpoint) -> None:
        super().__init__(credential, *scopes)
        self._endpoint = endpoint

    async def on_request(self, request: Request) -> None:
        """Add the token."""
        _guard(request, self._endpoint)
        await super().on_request(request)

    async def on_challenge(self, request: Request, response: Response) -> bool:
        """After a 401: whether there is a token to try that the service has not refused."""
        if await super().on_challenge(request, response):
            return True
        refused = request.http_request.headers["Authorization"]
        await self.authorize_request(request, *self._scopes)
        return request.http_request.headers["Authorization"] != refused


def policies(
    endpoint: Endpoint,
    *,
    retry: Any,
    token: Any,
    limit: Any,
    application: str | None,
    locale: str,
    logging_enable: bool = False,
    user_agent: str | None = None,
    proxies: dict[str, str] | None = None,
) -> list[Any]:
    """The policies of a pipeline, outermost first.

    What stands before ``retry`` sees a call, what stands after it each attempt. There is none that follows redirects:
    the API has none, and a token must not be led elsewhere.
    """
    http_logging = HttpLoggingPolicy()
    http_logging.allowed_header_names = {*http_logging.allowed_header_names, *_LOGGED_HEADERS}
    return [
        HeadersPolicy(application=application, locale=locale),
        UserAgentPolicy(f"{SDK_VERSION} Python/{platform.python_version()}", user_agent=user_agent),
        ProxyPolicy(proxies=environment_proxies(endpoint) if proxies is None else proxies),
        retry,
        ContentPolicy(),
        token,
        limit,
        CustomHookPolicy(),
        DistributedTracingPolicy(instrumentation_config=INSTRUMENTATION),
        http_logging,
        BodyLoggingPolicy(logging_enable=logging_enable),
    ]


INSTRUMENTATION: Final = {"library_name": "accredit", "library_version": __version__}


def environment_proxies(endpoint: Endpoint) -> dict[str, str]:
    """The proxies that the environment names for an endpoint; none for a loopback one."""
    host = endpoint.host
    return {} if endpoint.is_loopback or proxy_bypass(host) else getproxies()


def _guard(request: Request, endpoint: Endpoint) -> None:
    """Allow azure-core to send a token over http, to loopback; refuse another endpoint's URL (``ValueError``)."""
    endpoint.resolve(request.http_request.url)
    if endpoint.is_loopback:
        request.context.options["enforce_https"] = False


def _log_body(whose: str, body: Any) -> None:
    if _log.isEnabledFor(logging.DEBUG) and body:
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
        _log.debug("%s body: %s", whose, _SECRET.sub(r'\1"REDACTED"', text)[:_LONGEST_LOGGED])
