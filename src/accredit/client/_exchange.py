"""Sending calls through a pipeline: what of it both clients share, and each one's few lines around it."""

from collections.abc import Mapping
from typing import Any, TypeVar

from azure.core.pipeline import AsyncPipeline, Pipeline
from azure.core.rest import AsyncHttpResponse, HttpRequest, HttpResponse

from accredit.client._policies import JSON_BODY
from accredit.client._requests import Call
from accredit.client._responses import date_of, error_of, read_model
from accredit.client._retry import unanswered_since
from accredit.client._settings import Endpoint

T = TypeVar("T")
Answer = tuple[T, Mapping[str, str]]
"""A value, and the headers that came with it."""


class Sender:
    """Sends calls and waits, in the calling thread."""

    def __init__(self, pipeline: Pipeline[HttpRequest, HttpResponse], transport: Any, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._pipeline = pipeline
        self._transport = transport

    def send(self, call: Call[T], **options: Any) -> T:
        """Make a call; return its value."""
        return self.exchange(call, **options)[0]

    def exchange(self, call: Call[T], **options: Any) -> Answer[T]:
        """Make a call. Raises what ``accredit.client.errors`` describes."""
        request = _addressed(call, self.endpoint)
        return _answer(call, self._pipeline.run(request, **options))

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._transport.sleep(seconds)


class AsyncSender:
    """Sends calls and waits, in the running loop."""

    def __init__(
        self, pipeline: AsyncPipeline[HttpRequest, AsyncHttpResponse], transport: Any, endpoint: Endpoint
    ) -> None:
        self.endpoint = endpoint
        self._pipeline = pipeline
        self._transport = transport

    async def send(self, call: Call[T], **options: Any) -> T:
        """Make a call; return its value."""
        return (await self.exchange(call, **options))[0]

    async def exchange(self, call: Call[T], **options: Any) -> Answer[T]:
        """Make a call. Raises what ``accredit.client.errors`` describes."""
        request = _addressed(call, self.endpoint)
        return _answer(call, await self._pipeline.run(request, **options))

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._transport.sleep(seconds)


def _addressed(call: Call[Any], endpoint: Endpoint) -> HttpRequest:
    call.request.url = endpoint.resolve(call.request.url)
    return call.request


def _answer(call: Call[T], response: Any) -> Answer[T]:
    answer = response.http_response
    if answer.status_code < 300:
        return read_model(answer, response.context.get(JSON_BODY), call.parse), answer.headers
    error = error_of(answer, unanswered_since=unanswered_since(response, date_of(answer.headers)))
    for known in ((answer.status_code, error.code), (answer.status_code, None)):
        if known in call.otherwise:
            return call.otherwise[known](error), answer.headers
    raise error
