"""A stand-in for Partner Center on loopback that remembers what it was asked, limits, and misbehaves as it is told."""

import asyncio
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from aiohttp import web

from tests.limiters import FixedWindow, SlidingLog


@dataclass
class Ask:
    """A request that came: the how-manieth of its kind, and what it said."""

    number: int
    method: str
    path: str
    request_id: str
    body: dict[str, Any]
    query: dict[str, str]
    headers: dict[str, str]

    @property
    def customer(self) -> str:
        return self.path.split("/")[3]


# What to do with a request, beside answering it as the contract says: see PartnerCenter.misbehave.
LOST = "lost"
"""Do it, then break the connection instead of answering."""
HELD = "held"
"""Do it, then keep the answer until ``release`` is called."""


@dataclass
class PartnerCenter:
    """The state of the stand-in; tests read it and set it.

    ``misbehave`` is asked for each request: ``None`` for nothing, ``LOST``, ``HELD``, or a status to answer with
    (then nothing is done). ``verdict`` says how an update ends, by customer; ``decide_after``: how many looks it takes.
    """

    url: str = ""
    asks: list[Ask] = field(default_factory=list)
    done: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    misbehave: Callable[[Ask], str | int | None] = lambda _: None
    verdict: Callable[[str], str] = lambda _: "Approved"
    decide_after: int = 1
    limiter: SlidingLog | FixedWindow | None = None
    idempotent: bool = True
    customers: list[dict[str, Any]] = field(default_factory=list)
    throttled: int = 0
    in_hand: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released once for each request that is held."""

    _answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    _states: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    _looks: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def posts(self) -> list[Ask]:
        return [ask for ask in self.asks if ask.method == "POST"]

    def request_ids(self) -> dict[tuple[str, str], set[str]]:
        """Under which IDs each update was ever asked for."""
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for ask in self.posts():
            found[ask.customer, ask.body["Qualification"]].add(ask.request_id)
        return found

    def release(self) -> None:
        """Let the answers go that are held, and hold no more."""
        self._loop.call_soon_threadsafe(self._released.set)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        number = sum(1 for ask in self.asks if ask.method == request.method)
        request_id = request.headers.get("MS-RequestId") or str(uuid4())
        ask = Ask(
            number,
            request.method,
            request.path,
            request_id,
            json.loads(raw) if raw else {},
            dict(request.query),
            dict(request.headers),
        )
        self.asks.append(ask)
        wait = self.limiter.ask(time.monotonic()) if self.limiter else None
        if wait is not None:
            self.throttled += 1
            body = {"statusCode": 429, "message": f"Rate limit is exceeded. Try again in {wait} seconds."}
            return web.json_response(body, status=429, headers={"Retry-After": str(wait)})
        how = self.misbehave(ask)
        if isinstance(how, int):
            error = {"code": str(how), "description": f"told to answer {how}", "data": [], "source": "stand-in"}
            headers = {"Retry-After": "0"} if how in (429, 503) else {}
            return web.json_response(error, status=how, headers={"MS-RequestId": request_id, **headers})
        status, body = self._do(ask)
        if how == HELD and not self._released.is_set():
            self.in_hand.release()
            await self._released.wait()
        if how == LOST and request.transport is not None:
            request.transport.abort()
        headers = {"MS-RequestId": request_id, "MS-CorrelationId": request.headers["MS-CorrelationId"]}
        return web.json_response(body, status=status, headers=headers)

    def _do(self, ask: Ask) -> tuple[int, Any]:
        if ask.path == "/v1/customers":
            return self._list(ask)
        if ask.path.endswith("/qualifications"):
            return self._post(ask) if ask.method == "POST" else (200, self._look(ask.customer))
        known = {one["id"]: one for one in self.customers}
        if ask.customer in known:
            return 200, known[ask.customer]
        return 403, {"code": "20002", "description": "no relationship", "data": [], "source": "stand-in"}

    def _post(self, ask: Ask) -> tuple[int, Any]:
        if self.idempotent and ask.request_id in self._answers:
            return self._answers[ask.request_id]
        qualification = ask.body["Qualification"]
        standing = self._states[ask.customer].get(qualification)
        if standing and standing["vettingStatus"] in ("InReview", "Approved"):
            error = {"code": "700001", "description": "InReview already", "data": [], "source": "stand-in"}
            answer: tuple[int, Any] = (409, error)
        else:
            self.done[ask.customer, qualification].append(ask.request_id)
            state = {
                "qualification": qualification,
                "vettingStatus": "InReview",
                "vettingCreateDate": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            }
            self._states[ask.customer][qualification] = dict(state)
            answer = (201, state)
        self._answers[ask.request_id] = answer
        return answer

    def _look(self, customer: str) -> list[dict[str, Any]]:
        self._looks[customer] += 1
        states = self._states[customer].values()
        if self._looks[customer] >= self.decide_after:
            for state in states:
                if state["vettingStatus"] == "InReview":
                    state["vettingStatus"] = self.verdict(customer)
                    if state["vettingStatus"] == "Denied":
                        state["vettingReason"] = "Not an Academic Domain"
        return list(states)

    def _list(self, ask: Ask) -> tuple[int, Any]:
        """A page of two, whose link names the next by a token in a header, as contract section 7 has it."""
        found = self.customers
        if "filter" in ask.query:
            asked = json.loads(ask.query["filter"])
            name = {"CompanyName": "companyName", "Domain": "domain"}[asked["Field"]]
            found = [c for c in found if c["companyProfile"][name].lower().startswith(asked["Value"].lower())]
        begin = int(ask.headers.get("MS-ContinuationToken", 0))
        links: dict[str, Any] = {"self": {"uri": "/customers?size=2", "method": "GET", "headers": []}}
        if begin + 2 < len(found):
            links["next"] = {
                "uri": f"/customers?{urlencode(ask.query)}&seekOperation=Next",
                "method": "GET",
                "headers": [{"key": "MS-ContinuationToken", "value": str(begin + 2)}],
            }
        return 200, {"totalCount": len(found), "items": found[begin : begin + 2], "links": links}


@contextmanager
def partner_center() -> Iterator[PartnerCenter]:
    """A stand-in that listens while the context lasts."""
    stand_in = PartnerCenter()
    started = threading.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", stand_in.answer)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        stand_in.url = f"http://{host}:{port}"
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stand_in._released.set()
            await runner.cleanup()

    loop = stand_in._loop
    serving = loop.create_task(serve())

    def run() -> None:
        try:
            loop.run_until_complete(serving)
        except asyncio.CancelledError:
            loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    if not started.wait(30):
        raise TimeoutError("the stand-in did not start")
    try:
        yield stand_in
    finally:
        loop.call_soon_threadsafe(serving.cancel)
        thread.join(30)
