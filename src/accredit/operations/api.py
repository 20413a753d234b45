"""For those who run the service: health, metrics, the API's description and a page to read it."""

from contextlib import suppress
from typing import Any

import msgspec
import psycopg
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from accredit.database import migrate
from accredit.database.pool import Pool
from accredit.operations.page import render
from accredit.vetting.review import store as review
from accredit.wire.exchange import JSON

HEARTBEAT_SECONDS = 15
"""How long after its last heartbeat a worker counts as alive."""

IN_REVIEW = Gauge("accredit_qualifications_in_review", "Qualifications in review.", ["referred"])
QUEUE = Gauge("accredit_jobs", "Vetting jobs in the queue.", ["status"])
REVIEW_CASES = Gauge("accredit_review_cases", "Open review cases.", ["qualification", "kind"])
REVIEW_CLAIMED = Gauge(
    "accredit_review_cases_claimed", "Open review cases that are claimed.", ["qualification", "kind"]
)
REVIEW_OVERDUE = Gauge(
    "accredit_review_cases_overdue", "Open review cases past their deadline.", ["qualification", "kind"]
)
REVIEW_AGE = Gauge(
    "accredit_review_age_seconds", "Seconds that open review cases have waited.", ["qualification", "kind", "which"]
)

_READY = """
SELECT (SELECT version_num FROM alembic_version),
       EXISTS (SELECT FROM workers WHERE seen_at > now() - make_interval(secs => %s))
"""
_IN_REVIEW = """
SELECT EXISTS (SELECT FROM decisions AS made
               WHERE made.qualification_id = asked.id AND made.request_number = asked.request_number), count(*)
FROM qualifications AS asked WHERE vetting_status = 'InReview' GROUP BY 1
"""
_QUEUE = "SELECT status::text, count(*) FROM pgqueuer GROUP BY 1"


def routes(pool: Pool, document: dict[str, Any]) -> list[HTTPRouteHandler]:
    """The handlers of this feature. ``document``: the OpenAPI document."""
    openapi, page = msgspec.json.encode(document), render(document).encode()
    revision = migrate.revisions()[-1]

    @get("/health/live", name="Live")
    async def live() -> ASGIResponse:
        """Whether the process answers."""
        return _json({"status": "live"})

    @get("/health/ready", name="Ready")
    async def ready() -> ASGIResponse:
        """Whether the database answers, its schema is this program's, and a worker is alive."""
        checks = {"database": False, "migrations": False, "worker": False}
        try:
            async with pool.connection(2) as connection:
                row = await (await connection.execute(_READY, (HEARTBEAT_SECONDS,))).fetchone()
            checks = {
                "database": True,
                "migrations": row is not None and row[0] == revision,
                "worker": row is not None and row[1],
            }
        except psycopg.OperationalError:
            pass
        except psycopg.errors.UndefinedTable:
            checks["database"] = True
        status = 200 if all(checks.values()) else 503
        return _json({"status": "ready" if status == 200 else "not ready", "checks": checks}, status)

    @get("/metrics", name="Metrics")
    async def metrics() -> ASGIResponse:
        """The metrics of this process and of the queue, for Prometheus."""
        for gauge in (IN_REVIEW, QUEUE, REVIEW_CASES, REVIEW_CLAIMED, REVIEW_OVERDUE, REVIEW_AGE):
            gauge.clear()
        # Without the database the process's own metrics are worth the more.
        with suppress(psycopg.OperationalError):
            async with pool.connection(2) as connection:
                in_review = await (await connection.execute(_IN_REVIEW)).fetchall()
                queue = await (await connection.execute(_QUEUE)).fetchall()
                reviews = await review.queue_state(connection)
            for referred, count in in_review:
                IN_REVIEW.labels(str(referred).lower()).set(count)
            for status, count in queue:
                QUEUE.labels(status).set(count)
            for one in reviews:
                labels = (one.qualification, one.kind)
                REVIEW_CASES.labels(*labels).set(one.cases)
                REVIEW_CLAIMED.labels(*labels).set(one.claimed)
                REVIEW_OVERDUE.labels(*labels).set(one.overdue)
                REVIEW_AGE.labels(*labels, "oldest").set(one.oldest_seconds)
                REVIEW_AGE.labels(*labels, "median").set(one.median_seconds)
        return ASGIResponse(body=generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @get("/openapi.json", name="OpenAPI")
    async def openapi_document() -> ASGIResponse:
        """The API's description, OpenAPI 3.1."""
        return ASGIResponse(body=openapi, media_type=JSON)

    @get(["/", "/docs"], name="Docs")
    async def docs() -> ASGIResponse:
        """The API's description as a page."""
        return ASGIResponse(body=page, media_type="text/html")

    return [live, ready, metrics, openapi_document, docs]


def _json(value: Any, status: int = 200) -> ASGIResponse:
    return ASGIResponse(body=msgspec.json.encode(value), status_code=status, media_type=JSON)
