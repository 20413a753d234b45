"""Both clients, behind one blocking face, so that each test of the SDK is a test of both."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.polling import AsyncLROPoller

from accredit import client as sync
from accredit.client import aio
from accredit.client._transport import Transport
from accredit.client.aio._transport import Transport as AioTransport


class Time:
    """A clock that only waiting moves; ``waits`` are the seconds that were waited, in their order."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


class _Transport(Transport):
    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time

    def sleep(self, duration: float) -> None:
        self._time.wait(duration)


class _AioTransport(AioTransport):
    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time

    async def sleep(self, duration: float) -> None:
        self._time.wait(duration)


class Blocking:
    """Something of the asynchronous client, called and iterated over as the synchronous one is."""

    def __init__(self, it: Any, runner: asyncio.Runner) -> None:
        self._it = it
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._it, name)
        if not callable(value):
            return value if value is None or isinstance(value, str) else Blocking(value, self._runner)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = value(*args, **kwargs)
            if inspect.iscoroutine(result):
                result = self._runner.run(result)
            wrapped = isinstance(result, AsyncLROPoller) or hasattr(result, "__anext__")
            return Blocking(result, self._runner) if wrapped else result

        return call

    def __iter__(self) -> "Blocking":
        return self

    def __next__(self) -> Any:
        async def following() -> Any:
            item = await anext(self._it)
            return [one async for one in item] if hasattr(item, "__anext__") else item

        try:
            return self._runner.run(following())
        except StopAsyncIteration:
            raise StopIteration from None


KINDS = ("sync", "aio")


def make_clients(request: pytest.FixtureRequest) -> Iterator["Clients"]:
    """A fixture's function: makes clients, of each kind in turn."""
    made = Clients(request.param)
    yield made
    made.close()


class Clients:
    """Makes clients of one kind (``sync`` or ``aio``), and closes them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._runner = asyncio.Runner()
        self._open: list[Any] = []

    def __call__(self, endpoint: str, token: str = "token", *, time: Time | None = None, **options: Any) -> Any:
        """A client; with ``time``, one that waits by it."""
        if self.kind == "sync":
            if time is not None:
                options |= {"transport": _Transport(time), "retry_policy": sync.RetryPolicy(clock=time)}
            credential = options.pop("credential", None) or sync.StaticTokenCredential(token)
            client: Any = sync.PartnerCenterClient(credential, endpoint=endpoint, **options)
            self._open.append(client)
            return client
        if time is not None:
            options |= {"transport": _AioTransport(time), "retry_policy": aio.AsyncRetryPolicy(clock=time)}
        credential = options.pop("credential", None) or aio.StaticTokenCredential(token)
        client = Blocking(aio.PartnerCenterClient(credential, endpoint=endpoint, **options), self._runner)
        self._open.append(client)
        return client

    def credential(self, *args: Any, **options: Any) -> Any:
        """A refresh token credential for such a client."""
        return (sync if self.kind == "sync" else aio).RefreshTokenCredential(*args, **options)

    def run(self, result: Any) -> Any:
        """What a credential's method gives, in either kind."""
        return self._runner.run(result) if inspect.iscoroutine(result) else result

    def close(self) -> None:
        """Close what is open."""
        for client in self._open:
            client.close()
        self._runner.close()
